"""The mini-R1 in JavaScript: the same explorer as `live.html` in the site and as a widget.

`export` packs a checkpoint, `script` joins the JavaScript, `page` writes the site's page,
`explorer` is the widget, and `greedy` the still that stands where neither can run.
"""
