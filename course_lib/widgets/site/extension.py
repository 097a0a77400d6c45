"""What Sphinx is told beside its settings: formulas as MathML, and scripts for figures."""

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert as mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from course_lib.widgets.site import docstrings

_LITERAL = re.compile(r"""('(?!/)[^']*'|"(?!/)[^"]*")|'/[^']*'|<(?:[^<>]|<[^<>]*>)*>""")
_NAME = re.compile(r"(<mi>(?:log|ln|exp)</mi>)(?!<mo[^>]*>&#x00028;)")
FIGURE = 'class="figure"'


def _formula(self: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """MathML of a formula, with the space that TeX sets after a function's name."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    made = mathml(node.astext(), display=display)
    self.body.append(_NAME.sub(r'\1<mspace width="0.167em"/>', made))
    raise nodes.SkipNode


def _scripts(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """plotly, 4 MB, on the pages that have something for it to draw."""
    if FIGURE in context.get("body", ""):
        app.add_js_file("plotly.min.js", loading_method="defer")
    app.add_js_file("page.js", loading_method="defer")


def _plain(app: Sphinx, what: str, name: str, it: object, options: Any, lines: list[str]) -> None:
    lines[:] = docstrings.as_rst(lines)


def _signature(
    app: Sphinx, what: str, name: str, it: object, options: Any, given: str | None, back: str | None
) -> tuple[str | None, str | None]:
    """A signature without the places of types, with `...` for a default that is no literal, or a
    path of the machine that builds the site.
    """

    def short(text: str | None) -> str | None:
        text = text and re.sub(r"~(?:\w+\.)+", "", text)
        return text and _LITERAL.sub(lambda found: found[1] or "...", text)

    return short(given), short(back)


def _ours(app: Sphinx, what: str, name: str, it: object, skip: bool, options: Any) -> bool | None:
    """Whether to leave a member out: what another library made is described there."""
    if type(it).__name__ == "_tuplegetter":  # a named tuple's field, which the class describes
        return True
    home = str(getattr(it, "__module__", None) or "course_lib")
    return None if home.startswith("course_lib") else True


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))
    app.connect("html-page-context", _scripts)
    app.connect("autodoc-process-docstring", _plain)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _ours)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
