"""The widgets: what a reader sees and moves. Arithmetic is in the lessons' rooms.

Read `base` (controls, pictures and their text twins), then any widget: each is one file, and its
words are its `text()`. `predict` asks for a prediction.

May import: every room. Nothing imports widgets but notebooks and tests.
"""
