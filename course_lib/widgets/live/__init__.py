"""The mini-R1 in a web page: the same explorer as `live.html` in the site and as a widget.

`export` packs a checkpoint; `page` writes the site's page. The JavaScript is joined in this order:
`puzzle.js` (puzzle and verifier), `model.js` (the forward pass), `group.js` (GRPO's arithmetic),
`view.js` (what is seen), then `page.js`, which starts it.
"""
