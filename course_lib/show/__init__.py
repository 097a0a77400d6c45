"""How things look: colours, pictures, the notebook's set-up.

Read `theme` (colours for every eye, light and dark), then `svg` (charts as text), `diagrams` (boxes
and arrows, written in `diagrams.toml`), `tables` (tables that sort), `pages` (templates),
`printing` (a page to PDF), `course_map` (the way through the lessons, in their order from
`lessons.toml`), `notebook` (the first cell of every lesson) and `colab` (the one before it, on
Google Colab).

May import: task and the ground floor.
"""
