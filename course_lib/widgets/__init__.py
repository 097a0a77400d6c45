"""The widgets: what a reader sees and moves. All arithmetic and words are in the lessons' rooms.

Read `base` (controls, pictures and their text twins), then any widget: each is one file.

May import: every room. Nothing imports widgets but notebooks and tests.
"""
