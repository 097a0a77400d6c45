"""What Sphinx is told beside its settings: formulas as MathML, and scripts for figures."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert as mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

FIGURE = 'class="figure"'


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(mathml(node.astext(), display="block"))
    raise nodes.SkipNode


def _scripts(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """plotly, 4 MB, on the pages that have something for it to draw."""
    if FIGURE in context.get("body", ""):
        app.add_js_file("plotly.min.js", loading_method="defer")
    app.add_js_file("page.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("html-page-context", _scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
