"""The ledger: every number and claim of the course, with its source and how it was read.

Keys are dotted. A score is `model.benchmark.metric` ("r1.aime_2024.pass_at_1"), a claim of the page
is `page.` and its number ("page.c8"), everything else starts with its theme ("api.", "v3.config.",
"distill.", "cost.", "ollama."). The files are read at the first question, not at import.

Read `model` and `ledger` (entries, loading), `derived` (computed facts), `stale`; then
`finding_files`, `record_rows`, `paired` and `findings` (comparisons with their records);
`prose_numbers` and `glossary`.

May import: model and everything below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from course_lib.facts.ledger import UnknownFact, check_evidence, course_ledger, nearest
from course_lib.facts.model import READINGS, VERDICTS, Fact, LedgerError, Source, Table, Value

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "READINGS",
    "VERDICTS",
    "Fact",
    "LedgerError",
    "Source",
    "Table",
    "UnknownFact",
    "Value",
    "all",
    "cite",
    "claims",
    "fact",
    "frame",
    "label",
    "table",
    "table_layout",
    "tables",
    "value",
]


@cache
def _by_key() -> Mapping[str, Fact]:
    from course_lib.facts import derived

    read = course_ledger().facts
    known = {**read, **{entry.key: entry for entry in derived.compute(read)}}
    check_evidence(known)
    return known


def all() -> list[Fact]:
    """Every fact of the ledger, read and derived, in the order of the files."""
    return list(_by_key().values())


def fact(key: str) -> Fact:
    """The entry with this key. Raises UnknownFact (a KeyError) that suggests the nearest keys."""
    try:
        return _by_key()[key]
    except (KeyError, TypeError):
        raise nearest(key, _by_key()) from None


def value(key: str) -> Value:
    """The value of a key, in the unit that `fact(key).unit` names. Raises UnknownFact."""
    return fact(key).value


def claims() -> list[Fact]:
    """What the page claims, in its order: the facts that have a `verdict`."""
    return [entry for entry in all() if entry.verdict]


def cite(key: str) -> str:
    """One line that leads from a number to where it stands. Raises UnknownFact."""
    entry = fact(key)
    parts = [entry.source.title, entry.where, entry.source.address, f"read: {entry.read}"]
    return ", ".join(part for part in parts if part)


def label(name: str) -> str:
    """The readable name of a row or column such as "distill_qwen_7b"; the name itself if none."""
    return course_ledger().labels.get(name, name)


def tables() -> list[str]:
    """The names that `table` knows."""
    return list(course_ledger().tables)


def table_layout(name: str) -> Table:
    """Which keys stand where in a table of the ledger. Raises UnknownFact for an unknown name."""
    try:
        return course_ledger().tables[name]
    except (KeyError, TypeError):
        raise UnknownFact(f"no table {name!r:.60}; there are {', '.join(tables())}.") from None


def table(name: str, labels: bool = True) -> pd.DataFrame:
    """A table of the ledger: rows by columns, empty cells as None, readable names if `labels`.

    Raises UnknownFact for an unknown name; `tables()` lists the known ones.
    """
    import pandas as pd

    layout = table_layout(name)
    cells = [[None if key is None else value(key) for key in row] for row in layout.keys]
    named = label if labels else str
    return pd.DataFrame(
        cells, index=[named(row) for row in layout.rows], columns=[named(c) for c in layout.columns]
    )


def frame(prefix: str = "") -> pd.DataFrame:
    """Every fact whose key starts with `prefix`, one per row, with value, unit and source."""
    import pandas as pd

    rows = [
        (e.key, e.value, e.unit, e.about, e.date, e.source.title, e.where, e.read, e.verdict)
        for e in all()
        if e.key.startswith(prefix)
    ]
    columns = ["key", "value", "unit", "about", "date", "source", "where", "read", "verdict"]
    return pd.DataFrame(rows, columns=columns).set_index("key")
