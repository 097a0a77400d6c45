"""The explorer's JavaScript, joined for a page and for a notebook.

The files are plain scripts that know each other's names: `puzzle.js` (puzzle and verifier),
`model.js` (the forward pass), `group.js` (GRPO's arithmetic), `view.js` (what is seen). They are
joined, with one that starts them, because a page opened from a folder may not load modules.
"""

from pathlib import Path

HERE = Path(__file__).parent
_PARTS = ("puzzle.js", "model.js", "group.js", "view.js")


def as_script(last: str) -> str:
    """The explorer and the file `last`, which starts it, as one script without globals."""
    return f'"use strict";\n(() => {{\n{_joined(last)}}})();\n'


def as_module(last: str) -> str:
    """The same as a module for anywidget; `last` has the function `render`."""
    return f"{_joined(last)}export default {{ render }};\n"


def _joined(last: str) -> str:
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in (*_PARTS, last))
