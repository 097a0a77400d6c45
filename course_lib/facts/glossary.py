"""The course's words: `glossary.toml` holds them, the page `notebooks/glossary.md` is made from it.

`python -m course_lib.facts.glossary notebooks/glossary.md` writes the page. A lesson links a word
where it first stands, `[policy](glossary.md#policy)`; `tests/glossary_lint.py` finds what does not.
"""

import pkgutil
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from course_lib.errors import CourseError

PAGE = "glossary.md"
_FILE = Path(__file__).with_name("glossary.toml")
_HEAD = """# Glossary

Every word that the lessons use in a meaning of its own, in plain language, with its formula where
it has one and the place in the code where it stands. (This page is made from
`course_lib/facts/glossary.toml`.)
"""


@dataclass(frozen=True)
class Term:
    """A word: what it means, the forms it is looked for in, its formula (LaTeX), its code place."""

    name: str
    means: str
    words: tuple[str, ...]
    formula: str = ""
    code: str = ""

    @property
    def link(self) -> str:
        """Where the page explains it, as JupyterLab names headings."""
        return f"{PAGE}#{self.name.replace(' ', '-')}"

    def place(self) -> object:
        """The module, function or field that `code` names. Raises CourseError if it is missing."""
        try:
            return pkgutil.resolve_name(self.code)
        except (ImportError, AttributeError, ValueError) as error:
            raise CourseError(f"glossary.toml: {self.name} names {self.code}: {error}.") from error


@cache
def terms() -> Mapping[str, Term]:
    """The terms by name, in the order of the alphabet."""
    found = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {
        name: Term(name, words=tuple(entry.pop("words", (name, f"{name}s"))), **entry)
        for name, entry in sorted(found.items(), key=lambda pair: pair[0].lower())
    }


def page() -> str:
    """The glossary as Markdown."""
    return "\n".join([_HEAD, *map(_entry, terms().values())])


def _entry(term: Term) -> str:
    lines = [f"### {term.name}", "", term.means.replace("<", "&lt;"), ""]
    if term.formula:
        lines += [f"$${term.formula}$$", ""]
    if term.code:
        lines += [f"In the code: `{term.code.replace(':', '.')}`", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
