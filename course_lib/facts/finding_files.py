"""What an entry of the ledger of findings is, and how `data/findings/*.toml` turn into entries.

A file holds `[record."NAME"]` tables (which settings a record must have, and the command that makes
it again), `[[finding]]` entries, and `notebooks`: the lessons that are held to the lint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from course_lib.facts.ledger import DATA, parse
from course_lib.facts.model import Entry, LedgerError
from course_lib.facts.paired import RELATIONS
from course_lib.facts.record_rows import Pick

FOLDER = DATA / "findings"

STRENGTHS = ("shown", "suggested", "one run", "not shown here")
"""What may be said, strongest first. *Shown*: five seeds or more, the whole interval on the claimed
side, and an exact test at 1 in 20. *Suggested*: two seeds or more and the whole interval. *One
run*: one seed, which says so on its face. *Not shown here*: all else."""

_PICK = ("record", "column", "where", "at", "per", "after")
_FIELDS = (
    *("key", "claim", "lesson", "section", "a", "b", "relation", "margin", "ratio", "pair"),
    *("seeds", "strength", "given", "refuted_by", "unit"),
)


@dataclass(frozen=True)
class Kept:
    """What a finding asks of a record: its settings (`record_rows.version`), and who makes it."""

    settings: str
    command: str


@dataclass(frozen=True)
class Entered:
    """A finding as it stands in its file; see `findings.Finding` for what becomes of it.

    `unit` is that of the figures; without one, figures up to 1 are taken for shares.
    """

    key: str
    claim: str
    lesson: str
    section: str
    a: Pick
    b: Pick | float
    relation: str
    margin: float | None
    ratio: bool
    pair: str
    seeds: tuple[int, ...]
    strength: str
    given: tuple[float, ...]
    refuted_by: str
    kept: Mapping[str, Kept]
    unit: str = ""


def read(folder: Path = FOLDER) -> tuple[dict[str, Entered], tuple[str, ...]]:
    """Every entry by key, and the notebooks that are held to the lint.

    Raises LedgerError, which names file, entry and field, for a file that does not follow the form.
    """
    entries: dict[str, Entered] = {}
    held: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        file = Entry(path.name, "the file", parse(path))
        file.only("notebooks", "record", "finding")
        held += file.texts("notebooks")
        kept = {name: _kept(path.name, name, of) for name, of in file.mapping("record").items()}
        for number, data in enumerate(file.data.get("finding", []), 1):
            entry = _entry(Entry(path.name, f"finding {number}", data), kept)
            if entry.key in entries:
                raise LedgerError(f"{path.name}, {entry.key}, field 'key': given twice.")
            entries[entry.key] = entry
    return entries, tuple(held)


def _kept(file: str, name: str, data: object) -> Kept:
    record = Entry(file, f"record {name}", data)
    record.only("settings", "command")
    return Kept(record.text("settings"), record.text("command"))


def _entry(entry: Entry, kept: Mapping[str, Kept]) -> Entered:
    entry.name = entry.key(entry.text("key"))
    entry.only(*_FIELDS)
    first, number = _pick(entry, "a"), entry.data.get("b")
    other = float(number) if _is_number(number) else _pick(entry, "b")
    picks = [p for p in (first, other) if isinstance(p, Pick)]
    missing = {p.record for p in picks} - set(kept)
    if missing:
        raise entry.fail("a", f'there is no [record."{missing.pop()}"] in {entry.file}.')
    return Entered(
        key=entry.name,
        claim=" ".join(entry.text("claim").split()),
        lesson=entry.text("lesson"),
        section=entry.text("section"),
        a=first,
        b=other,
        relation=entry.one_of("relation", RELATIONS),
        margin=_number(entry, "margin"),
        ratio=entry.data.get("ratio", False) is True,
        pair=entry.text("pair", "seed"),
        seeds=_numbers(entry, "seeds"),
        strength=entry.one_of("strength", STRENGTHS),
        given=_numbers(entry, "given"),
        refuted_by=entry.text("refuted_by"),
        kept={p.record: kept[p.record] for p in picks},
        unit=entry.text("unit", ""),
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(entry: Entry, field: str) -> float | None:
    value = entry.data.get(field)
    if value is not None and not (_is_number(value) and value > 0):
        raise entry.fail(field, f"must be a number above 0, got {value!r:.60}.")
    return value


def _numbers(entry: Entry, field: str) -> tuple[Any, ...]:
    value = entry.data.get(field, [])
    if not isinstance(value, list) or not all(map(_is_number, value)):
        raise entry.fail(field, f"must be a list of numbers, got {value!r:.60}.")
    if len(set(value)) < len(value):
        raise entry.fail(field, "holds a number twice.")
    return tuple(value)


def _pick(entry: Entry, field: str) -> Pick:
    pick = Entry(entry.file, f"{entry.name}, {field}", entry.data.get(field))
    pick.only(*_PICK)
    at = pick.data.get("at")
    places = isinstance(at, list) and len(at) == 2 and all(type(i) is int for i in at)
    if not (at is None or type(at) is int or places or at in ("max", "min", "mean", "sum")):
        raise pick.fail("at", f"a place, [first, before] or max, min, mean, sum; got {at!r:.60}.")
    return Pick(
        record=pick.text("record"),
        column=pick.text("column"),
        where=dict(pick.mapping("where")),
        at=tuple(at) if isinstance(at, list) else at,
        per=pick.text("per", ""),
        after=_number(pick, "after"),
    )
