"""What an entry of the ledger is, and how its files turn into entries.

A ledger file is TOML and holds any number of three forms: `[[group]]` (facts of one source under
one prefix), `[[table]]` (rows by columns, one key a cell) and `[[claim]]` (what the page says, and
whether it is so). `sources.toml` and `labels.toml` hold the documents and the readable names.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Value = int | float | str | bool

READINGS = ("primary", "copy", "second-hand", "derived", "unverified")
"""How a value was read: in the document itself, in a copy of it, in a report about it, computed
by us from such values, or not at all (remembered, shown to a learner as such)."""

VERDICTS = ("confirmed", "imprecise", "wrong", "outdated", "unverifiable")
"""What became of a claim of the page."""

_ORIGIN = ("source", "where", "date", "read", "known_on")
_CLAIM = ("id", "claim", "verdict", "value", "unit", "note", "notebook", "rank", "evidence")
_KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+\Z")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?\Z")
_ADDRESS = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w\-./#?=&%]*)?\Z", re.IGNORECASE)


class LedgerError(ValueError):
    """A ledger file is malformed; the message names the file, the entry and the field."""


@dataclass(frozen=True)
class Source:
    """A document: its short name, title and https address ("" where no stable one is known).

    `known_on` is the ISO day on which it was last looked at.
    """

    name: str
    title: str
    address: str
    known_on: str


@dataclass(frozen=True)
class Fact:
    """One entry. The fields from `claim` on are set only where the page makes a claim of it.

    `theme` is the ledger file that holds it, without its ending, or "derived".
    `date` is an ISO date, month or year: when the source said so; `known_on` is the day on which we
    last saw it there (a value may state its own). `where` is the page, table or
    section; `read` is one of `READINGS`; `evidence` are the keys of the facts a verdict rests on.
    `notebook` is the file name of the lesson that recomputes the claim.
    """

    key: str
    theme: str
    value: Value
    unit: str
    about: str
    date: str
    known_on: str
    source: Source
    where: str
    read: str
    claim: str = ""
    verdict: str = ""
    note: str = ""
    notebook: str = ""
    rank: int = 0
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the ledger: `keys[i][j]` is the key of a cell, or None where it is empty."""

    name: str
    about: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    keys: tuple[tuple[str | None, ...], ...]


class Entry:
    """Reads the fields of one entry and complains with file, entry and field."""

    def __init__(self, file: str, name: str, data: object) -> None:
        self.file, self.name = file, name
        if not isinstance(data, Mapping):
            raise LedgerError(f"{file}, {name}: expected a table of fields, got {data!r:.60}.")
        self.data = data

    def fail(self, field: str, problem: str) -> LedgerError:
        return LedgerError(f"{self.file}, {self.name}, field '{field}': {problem}")

    def only(self, *fields: str) -> None:
        for field in self.data:
            if field not in fields:
                raise self.fail(field, f"unknown; allowed are {', '.join(fields)}.")

    def text(self, field: str, default: str | None = None) -> str:
        value = self.data.get(field, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.fail(field, f"must be text, got {value!r:.60}.")
        return value

    def one_of(self, field: str, allowed: tuple[str, ...]) -> str:
        value = self.text(field)
        if value not in allowed:
            raise self.fail(field, f"{value!r:.60} is not one of {', '.join(allowed)}.")
        return value

    def date(self, field: str = "date") -> str:
        value = self.text(field)
        if not _DATE.match(value):
            raise self.fail(field, f"{value!r:.60} is not YYYY, YYYY-MM or YYYY-MM-DD.")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        value = self.data.get(field, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(field, f"must be a list of texts, got {value!r:.60}.")
        return tuple(value)

    def mapping(self, field: str) -> Mapping[str, Any]:
        value = self.data.get(field, {})
        if not isinstance(value, Mapping):
            raise self.fail(field, f"must be a table, got {value!r:.60}.")
        return value

    def value(self) -> Value:
        value = self.data.get("value")
        finite = not isinstance(value, float) or math.isfinite(value)
        if not isinstance(value, (int, float, str)) or not finite or value == "":
            raise self.fail("value", f"must be a number, a text or true/false, got {value!r:.60}.")
        return value

    def key(self, key: str) -> str:
        if not _KEY.match(key):
            raise self.fail("key", f"{key!r:.80} must be lower-case words joined by dots.")
        return key


def read_source(file: str, name: str, data: object) -> Source:
    """One document from `sources.toml`. Raises LedgerError."""
    entry = Entry(file, name, data)
    entry.only("title", "address", "known_on")
    address = entry.text("address", "")
    if address and not _ADDRESS.match(address):
        raise entry.fail("address", f"{address!r:.80} must be a plain https address, or empty.")
    known = entry.date("known_on")
    if len(known) != len("2026-11-24"):
        raise entry.fail("known_on", f"{known!r} must be a day, YYYY-MM-DD.")
    return Source(name, entry.text("title"), address, known)


def _shared(entry: Entry) -> dict[str, Any]:
    """What a group or table says once for all its facts."""
    return {field: entry.data[field] for field in _ORIGIN if field in entry.data}


class Reader:
    """Turns the parsed forms of one ledger file into facts and tables."""

    def __init__(self, file: str, sources: Mapping[str, Source], labels: Mapping[str, str]) -> None:
        self.file, self.sources, self.labels = file, sources, labels

    def group(self, number: int, data: object) -> Iterator[Fact]:
        """The facts of one `[[group]]`: `[value, unit, about]`, or a table that overrides."""
        group = Entry(self.file, f"group {number}", data)
        group.only("prefix", "facts", *_ORIGIN)
        prefix = group.text("prefix")
        shared = _shared(group)
        for name, short in group.mapping("facts").items():
            if isinstance(short, list):
                if len(short) != 3:
                    raise group.fail(name, "a short fact is [value, unit, about].")
                short = dict(zip(("value", "unit", "about"), short, strict=True))
            whole = Entry(self.file, f"{prefix}.{name}", short)
            whole.only("value", "unit", "about", "note", *_ORIGIN)
            whole.data = shared | dict(whole.data)
            yield self._fact(whole, f"{prefix}.{name}", whole.text("about"))

    def claim(self, number: int, data: object) -> Fact:
        """The fact of one `[[claim]]`: a statement of the page with its verdict."""
        entry = Entry(self.file, f"claim {number}", data)
        entry.name = f"claim {entry.text('id')}"
        entry.only(*_CLAIM, *_ORIGIN)
        rank = entry.data.get("rank", 0)
        if type(rank) is not int or rank < 0:
            raise entry.fail("rank", f"must be a whole number, got {rank!r:.60}.")
        return self._fact(
            entry,
            "page." + entry.text("id").lower(),
            entry.text("claim"),
            claim=entry.text("claim"),
            verdict=entry.one_of("verdict", VERDICTS),
            note=entry.text("note"),
            notebook=entry.text("notebook"),
            rank=rank,
            evidence=entry.texts("evidence"),
        )

    def _fact(self, entry: Entry, key: str, about: str, **extra: Any) -> Fact:
        name = entry.text("source")
        if name not in self.sources:
            raise entry.fail("source", f"{name!r:.60} is not in sources.toml.")
        source, read = self.sources[name], entry.one_of("read", READINGS)
        if read in ("primary", "copy") and not source.address:
            raise entry.fail("read", f"{read!r} needs a source with an address; {name} has none.")
        date = entry.date()
        known = entry.date("known_on") if "known_on" in entry.data else source.known_on
        if known < date:
            raise entry.fail("known_on", f"{known} is before {date}, when its source says so.")
        extra.setdefault("note", entry.text("note", ""))
        return Fact(
            key=entry.key(key),
            theme=self.file.removesuffix(".toml"),
            value=entry.value(),
            unit=entry.text("unit", ""),
            about=about,
            date=date,
            known_on=known,
            source=source,
            where=entry.text("where", ""),
            read=read,
            **extra,
        )

    def table(self, number: int, data: object) -> tuple[Table, list[Fact]]:
        """One `[[table]]` and the facts of its cells; `key` says how a cell's key is made."""
        table = Entry(self.file, f"table {number}", data)
        table.name = f"table {table.text('name')}"
        table.only("name", "about", "key", "unit", "units", "columns", "rows", *_ORIGIN)
        columns, rows = table.texts("columns"), table.mapping("rows")
        facts, keys = [], []
        for row, cells in rows.items():
            if not isinstance(cells, list) or len(cells) != len(columns):
                raise table.fail(row, f"must be a list of {len(columns)} cells.")
            cell_facts = [
                None if cell == "-" else self._cell(table, row, column, cell)
                for column, cell in zip(columns, cells, strict=True)
            ]
            facts += [fact for fact in cell_facts if fact]
            keys.append(tuple(fact.key if fact else None for fact in cell_facts))
        name, about = table.text("name"), table.text("about")
        return Table(name, about, tuple(rows), columns, tuple(keys)), facts

    def _cell(self, table: Entry, row: str, column: str, cell: object) -> Fact:
        pattern = table.text("key")
        if "{row}" not in pattern or "{column}" not in pattern:
            raise table.fail("key", "must hold {row} and {column}.")
        key = pattern.replace("{row}", row).replace("{column}", column)
        units = table.mapping("units")
        data = _shared(table) | {"value": cell}
        data["unit"] = units.get(row, units.get(column, table.text("unit", "")))
        first, second = (
            (column, row) if pattern.index("{column}") < pattern.index("{row}") else (row, column)
        )
        about = f"{self.labels.get(first, first)}: {self.labels.get(second, second)}"
        return self._fact(Entry(self.file, key, data), key, about)
