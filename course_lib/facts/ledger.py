"""Loads the ledger's files once, checks them as a whole, and answers by key."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.facts.model import Fact, LedgerError, Reader, Source, Table, read_source

DATA = Path(__file__).parent / "data"
_FORMS = ("group", "table", "claim")


@dataclass(frozen=True)
class Ledger:
    """Every fact by key (derived ones not included), every table by name, and the labels."""

    facts: dict[str, Fact]
    tables: dict[str, Table]
    labels: dict[str, str]


def load(folder: Path = DATA) -> Ledger:
    """Read and check every ledger file in `folder`.

    Raises LedgerError, which names file, entry and field, for a file that is not TOML, an entry
    that does not follow the schema, a key given twice with different values, or evidence that is
    no key. A table may repeat a key of another table if the value is the same: papers do that.
    """
    sources = {
        name: read_source("sources.toml", name, data)
        for name, data in parse(folder / "sources.toml").items()
    }
    labels = parse(folder / "labels.toml")
    for name, label in labels.items():
        if not isinstance(label, str):
            raise LedgerError(f"labels.toml, {name}: a label must be text, got {label!r:.60}.")
    book = Ledger({}, {}, labels)
    for path in sorted(folder.glob("*.toml")):
        if path.name not in ("sources.toml", "labels.toml"):
            _read_file(path, sources, book)
    return book


def parse(path: Path) -> dict[str, Any]:
    """A TOML file's content. Raises LedgerError, which names the file, where it is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LedgerError(f"{path.name}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerError(f"{path.name}: not a TOML file ({error}).") from error


def _read_file(path: Path, sources: Mapping[str, Source], book: Ledger) -> None:
    forms = parse(path)
    for form, entries in forms.items():
        if form not in _FORMS or not isinstance(entries, list):
            raise LedgerError(f"{path.name}, {form}: only [[{']], [['.join(_FORMS)}]] are allowed.")
    reader = Reader(path.name, sources, book.labels)
    for number, data in enumerate(forms.get("group", []), 1):
        for fact in reader.group(number, data):
            _add(path.name, book, fact)
    for number, data in enumerate(forms.get("claim", []), 1):
        _add(path.name, book, reader.claim(number, data))
    for number, data in enumerate(forms.get("table", []), 1):
        table, cells = reader.table(number, data)
        if table.name in book.tables:
            raise LedgerError(f"{path.name}, table {table.name}, field 'name': given twice.")
        book.tables[table.name] = table
        for fact in cells:
            _add(path.name, book, fact, repeat=True)


def _add(file: str, book: Ledger, fact: Fact, repeat: bool = False) -> None:
    known = book.facts.setdefault(fact.key, fact)
    if known is not fact and not (repeat and known.value == fact.value):
        raise LedgerError(
            f"{file}, {fact.key}, field 'value': {fact.value!r:.40} here, but the key already has "
            f"{known.value!r:.40} from {known.source.name}."
        )


def check_evidence(facts: Mapping[str, Fact]) -> None:
    """Raise LedgerError where a claim rests on a key that is none of `facts`."""
    for fact in facts.values():
        for key in fact.evidence:
            if key not in facts:
                raise LedgerError(
                    f"{fact.theme}.toml, {fact.key}, field 'evidence': {key!r:.60} is no key."
                )


@cache
def course_ledger() -> Ledger:
    """The course's own ledger, read once per process."""
    return load()


def nearest(
    key: str, known: Mapping[str, object], kind: str = "fact", none: str = "facts.all() lists them."
) -> KeyError:
    """The error for an unknown `key`: up to three known ones that look like it, or `none`."""
    close = difflib.get_close_matches(str(key), list(known), n=3, cutoff=0.5)
    hint = f"Nearest: {', '.join(close)}." if close else none
    return UnknownFact(f"no {kind} has the key {key!r:.80}. {hint}")


class UnknownFact(CourseError, KeyError):
    """An unknown key; prints as a sentence, which a plain KeyError does not."""

    def __str__(self) -> str:
        return str(self.args[0])
