"""The pages that are made from the library: front page, ledgers, claims, API reference."""

import ast
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import escape

import course_lib
from course_lib.facts import findings as found_findings
from course_lib.facts.ledger import course_ledger
from course_lib.facts.model import Fact
from course_lib.show import svg
from course_lib.show.pages import cell, plain, render
from course_lib.widgets.live.page import STILL, growth, still
from course_lib.widgets.site import docstrings
from course_lib.widgets.tours import TOURS

_OWN = Path(__file__).parent

START = ".venv/bin/jupyter lab notebooks/00_start_here.ipynb"
"""The first command, as the README has it."""


@dataclass(frozen=True)
class Page:
    """A document: where it lies, without its ending, its title and its name in lists."""

    name: str
    title: str
    short: str


def front(groups: Sequence[tuple[str, list[Page]]], book: bool = False) -> str:
    """The front page: what will grow, the live model, the six questions, the first command."""
    shown = growth()
    shown["growth"] = svg.as_images(shown["growth"])
    base, zero = still()
    tries = [escape(one) for one in re.split(r"(?<=no) |(?<=<think>) |(?=</think>)", zero.text)]
    more = {"puzzle": STILL, "base": base, "zero": zero, "tries": tries}
    return _text("front", groups=groups, book=book, start=START, **shown, **more)


def live() -> str:
    """What a book, and the site's search, have of the live page; on the web it is that page."""
    return _text("live")


def tours() -> str:
    """The guided tours of the widgets in words: their steps, and what comes of each."""
    spaced = {name: re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize() for name in TOURS}
    return _text("tours", tours={said: TOURS[name] for name, said in spaced.items()})


def claims(root: Path, book: bool = False) -> str:
    """The page of claims in the site's frame; in a book a table of its own."""
    source = (root / "notebooks" / "claims.html").read_text(encoding="utf-8")
    style, body = re.findall(r"(<style>.*</style>).*<body>(.*)</body>", source, re.S)[0]
    body = re.sub("<h1>.*?</h1>", "", body, count=1)
    # The site has colours of its own; what filters the table is kept.
    style = re.sub(r":root\{[^}]*\}|body\{[^}]*\}", "", style)
    known = [fact for fact in course_ledger().facts.values() if fact.claim]
    return _text("claims", claims=known, book=book, style=style, body=body)


def facts() -> str:
    """Every fact of the ledger with its source, under the ledger's themes."""
    themes: dict[str, list[Fact]] = defaultdict(list)
    for fact in course_ledger().facts.values():
        themes[fact.theme].append(fact)
    return _text("facts", themes=themes)


def findings() -> str:
    """Every comparison of the course by lesson, computed from its records as the site is built."""
    lessons: dict[str, list[found_findings.Finding]] = defaultdict(list)
    for found in found_findings.all():
        lessons[found.entered.lesson].append(found)
    return _text("findings", lessons=lessons)


def room(name: str) -> str:
    """The reference of one room: what every module says of itself and of what it offers.

    A program's settings in Python, such as a hub's, cannot be imported: they say what they are.
    """
    folder = Path(course_lib.__file__).parent / name
    parts = [f".. automodule:: course_lib.{name}\n"]
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.with_suffix("").parts):
        if path.stem in ("__init__", "__main__"):
            continue
        module = ".".join(path.relative_to(folder.parent.parent).with_suffix("").parts)
        parts.append(f"{module}\n{'-' * len(module)}\n")
        source = path.read_text(encoding="utf-8")
        if "get_config()" in source:
            lines = (ast.get_docstring(ast.parse(source)) or "").splitlines()
            parts.append("\n".join(docstrings.as_rst(lines)) + "\n")
        else:
            parts.append(f".. automodule:: {module}\n   :members:\n")
    body = "\n".join(parts)
    return f"# course_lib.{name}\n\n````{{eval-rst}}\n{body}````\n"


def _text(name: str, **values: Any) -> str:
    filters = {"plain": plain, "cell": cell, "value": _value}
    return render(_OWN / f"{name}.md.j2", filters=filters, **values)


def _value(value: object) -> str:
    """A fact's value as it is read: large numbers in threes, yes and no as words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
