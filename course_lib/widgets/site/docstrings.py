"""Docstrings as Sphinx reads them."""

import re
from collections.abc import Iterable

_TICKED = re.compile(r"(`[^`]*`)")
_STARRED = re.compile(r"((?<![\w*])\*[^\s*][^*\n]*(?<!\s)\*(?![\w*]))")


def as_rst(lines: Iterable[str]) -> list[str]:
    """A docstring, plain text with code in backticks and in indented lines, as Sphinx's RST."""
    made: list[str] = []
    inside = False
    for line in lines:
        code = line.startswith("    ")
        if code and not inside:
            made += ["", "::", ""]
        if line.strip():
            inside = code
        made.append(line if code else _escaped(line))
    return made


def _escaped(line: str) -> str:
    """A line without what RST takes for markup, but for code in backticks."""
    parts = _TICKED.split(line)
    parts[::2] = [_escaped_words(part) for part in parts[::2]]
    # RST takes no code that begins or ends with a blank.
    parts[1::2] = [re.sub("^` | `$", lambda end: end[0].replace(" ", "␣"), p) for p in parts[1::2]]
    return "".join(parts)


def _escaped_words(text: str) -> str:
    """Words without RST's markup; what stands between two stars stays emphasised."""
    parts = _STARRED.split(text)
    parts[::2] = [re.sub(r"([*|\\]|_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)
