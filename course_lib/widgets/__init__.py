"""The widgets: what a reader sees and moves. Arithmetic is in the lessons' rooms.

Read `base` (controls, pictures and their text twins), then any widget: each is one file, and its
words are its `text()`. `tours` leads through six of them; `told` is how a script hears the kernel.
`predict` asks for a prediction. `live` is the mini-R1 in JavaScript, for a web page and for a
notebook; `site` the course as pages. Over 2,000 lines because the widgets of all lessons are here.

May import: every room. Nothing imports widgets but notebooks, tests and the command line.
"""
