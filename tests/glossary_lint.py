"""Which words of the glossary a notebook uses before it has linked them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from course_lib.facts.glossary import PAGE, Term, terms

HIDDEN = re.compile(
    r"```.*?```|~~~.*?~~~|`[^`\n]*`|\$\$.*?\$\$|(?<!\\)\$[^$\n]+\$|<!--.*?-->|^#+ [^\n]*$|<[^<>]*>",
    re.DOTALL | re.MULTILINE,
)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*)\)")


class Unlinked(NamedTuple):
    """A term that a notebook uses before it links it: its name, the cell, the words around it."""

    term: str
    cell: int
    context: str


def unlinked(notebook: str | Path) -> Iterator[Unlinked]:
    """The terms whose first use in a notebook's text is no link to the glossary.

    Headings, code, formulas and comments are not looked at, and a term inside a longer one
    ("reward" in "reward model") is no use of it.
    """
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    seen: set[str] = set()
    for place, cell in enumerate(cells):
        if cell["cell_type"] != "markdown":
            continue
        text = HIDDEN.sub(lambda match: " " * len(match[0]), "".join(cell["source"]))
        for term, start, linked in uses(text):
            if term.name not in seen and not linked:
                yield Unlinked(
                    term.name, place, " ".join(text[max(0, start - 30) : start + 40].split())
                )
            seen.add(term.name)


def uses(text: str) -> Iterator[tuple[Term, int, bool]]:
    """Each use of a term in a text: the term, where, and whether it is a link to its entry."""
    links = {m.span(1): m[2] for m in LINK.finditer(text)}
    blank = LINK.sub(lambda m: f" {m[1]}  {' ' * len(m[2])} ", text)  # addresses are no text
    for match in forms().finditer(blank):
        term = by_word()[match[0].lower()]
        target = next((to for (a, b), to in links.items() if a <= match.start() < b), "")
        if not target or target.startswith(PAGE):  # a link to another page is no use
            yield term, match.start(), target == term.link


@cache
def by_word() -> Mapping[str, Term]:
    """Every form of every term, in small letters."""
    return {word.lower(): term for term in terms().values() for word in term.words}


@cache
def forms() -> re.Pattern[str]:
    """Finds the longest form of a term that stands alone."""
    words = sorted(by_word(), key=len, reverse=True)
    return re.compile(rf"(?<![\w@-])(?:{'|'.join(map(re.escape, words))})(?![\w@-])", re.IGNORECASE)
