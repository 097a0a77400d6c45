"""The course as pages to read without running anything, made by Sphinx with myst-nb.

`sources` writes what Sphinx reads: the notebooks made readable, the texts, the ledgers, the front
page and the API reference. `build` runs Sphinx and makes its pages work from a folder, offline.
"""
