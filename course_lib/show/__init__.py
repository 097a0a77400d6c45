"""How things look: colours, pictures, the notebook's set-up and the site.

Read `theme` (colours for every eye, light and dark), then `svg` (charts as text), `notebook` (the
first cell of every lesson), `colab` (the one before it, on Google Colab) and `site` (the course as
pages).

May import: task and the ground floor.
"""
