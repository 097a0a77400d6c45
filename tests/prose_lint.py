"""Finds numbers and comparisons in notebook prose that nothing backs.

A number in a markdown cell is backed by an output of the same notebook, by the value of a ledger
key that the cell cites in `<!-- facts: key key -->`, or by a list in the cell of the assumptions
that the text itself makes, `<!-- given: 1000 0.5 -->`. What needs no backing is listed in `NAMES`,
`COUNTED` and `SMALL`: model names, years, places in the course, small counts. A finding that the
cell cites, `<!-- finding: key -->`, backs its numbers as well.

A sentence that compares or says why is backed by a finding or a fact that its cell cites. A cell
whose sentences need none says so, with the reason: `<!-- no-finding: arithmetic -->`.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

from course_lib import facts
from course_lib.facts import findings, prose_numbers

_CITED = re.compile(r"<!--\s*facts:\s*(.*?)-->", re.DOTALL)
_GIVEN = re.compile(r"<!--\s*given:\s*(.*?)-->", re.DOTALL)
_FOUND = re.compile(r"<!--\s*finding:\s*(.*?)-->", re.DOTALL)
_NEEDS_NONE = re.compile(r"<!--\s*no-finding:\s*\S.*?-->", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n\s*\n|\n\s*[-*|]\s")
_COMPARES = re.compile(
    r"\b(?!(?:rather|other|whether|number|never|order|paper)\b)(?:[a-z]+er|more|less|worse)\b"
    r"[^.;:?]{0,60}?\bthan\b(?! (?:\d|one\b|a (?:third|quarter|half)\b))"
    r"|\b(?:twice|\w+ times) as \w+"
    r"|\bbeats?\b|\boutperform|\bsurpass|\bloses?\b|\bwins?\b|\bimprov|\bhurts?\b|\bhelps?\b|\bharms?\b"
    r"|\bbecause\b|\bcaus(?:e|es|ed)\b|\bdue to\b|\bthanks to\b|\bma(?:kes?|de) (?:it|them)\b"
    r"|\bleads? to\b|\bgr(?:ows?|ew) since\b|\bcosts? nothing\b|\bfor free\b|\bnot worse\b"
    r"|\bwithout (?:hurting|losing|touching|cost)",
    re.IGNORECASE,
)
"""Words by which a sentence compares or says why."""

_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


class Unsourced(NamedTuple):
    """A number that nothing backs: its cell's place in the notebook, itself, its surroundings."""

    cell: int
    number: str
    context: str


def unsourced_numbers(notebook_path: str | Path) -> list[Unsourced]:
    """Every number in the markdown of a notebook that nothing backs, in reading order.

    Raises ValueError for a file that is no notebook, and UnknownFact for a cited key that the
    ledger does not have.
    """
    cells = _cells(Path(notebook_path))
    printed = {
        n.digits for cell in cells for text in _outputs(cell) for n in prose_numbers.plain(text)
    }
    found = []
    for place, cell in enumerate(cells):
        if cell.get("cell_type") == "markdown":
            text = _joined(cell.get("source", ""))
            found += [Unsourced(place, *hit) for hit in unsourced_in_text(text, printed)]
    return found


def unsourced_in_text(text: str, printed: Iterable[Decimal] = ()) -> Iterator[tuple[str, str]]:
    """The numbers in one markdown `text` that nothing backs, each with its surroundings.

    `printed` are the numbers in the notebook's outputs.
    """
    backing = set(printed) | set(_cited_values(text)) | set(_given(text))
    prose = prose_numbers.prose(text)
    for number in prose_numbers.in_text(prose):
        small = (
            number.bare
            and number.digits <= prose_numbers.SMALL
            and number.digits == int(number.digits)
        )
        whole = number.percent and number.digits in (0, 100)
        if not (small or whole or any(prose_numbers.matches(number, value) for value in backing)):
            start, end = max(0, number.start - 30), number.end + 30
            yield number.text, " ".join(prose[start:end].split())


class Unfound(NamedTuple):
    """A sentence that compares or says why: its cell's place, itself, and what it lacks."""

    cell: int
    sentence: str
    lack: str


def unfound_sentences(notebook_path: str | Path) -> list[Unfound]:
    """Every comparative or causal sentence in a notebook's markdown that no finding or fact backs.

    Raises ValueError for a file that is no notebook, and UnknownFact for a finding that is none.
    """
    return [
        Unfound(place, *hit)
        for place, cell in enumerate(_cells(Path(notebook_path)))
        if cell.get("cell_type") == "markdown"
        for hit in unfound_in_text(_joined(cell.get("source", "")))
    ]


def unfound_in_text(text: str) -> Iterator[tuple[str, str]]:
    """The sentences of one markdown `text` that compare and are backed by nothing, and the lack."""
    cited = [findings.get(key) for key in _keys(_FOUND, text)]
    for finding in cited:
        if finding.strength == "not shown here" and "not shown" not in text.lower():
            yield finding.claim, f"{finding.key} is not shown here; say so. {finding.why}"
    if cited or _CITED.search(text) or _NEEDS_NONE.search(text):
        return
    shown = text
    for pattern in prose_numbers.HIDDEN:
        shown = pattern.sub(" ", shown)
    for sentence in _SENTENCE.split(shown):
        if sentence and not sentence.rstrip().endswith("?") and _COMPARES.search(sentence):
            yield " ".join(sentence.split()), "it cites no finding and no fact"


def _keys(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for keys in pattern.findall(text):
        yield from keys.replace(",", " ").split()


def _cells(path: Path) -> list[dict[str, Any]]:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not a notebook ({type(error).__name__}).") from error
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ValueError(f"{path.name} is not a notebook: its cells are not a list of objects.")
    return cells


def _joined(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def _outputs(cell: dict[str, Any]) -> Iterator[str]:
    """The readable text of a code cell's outputs; pictures and plotly's data are not readable."""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        yield _joined(output.get("text", ""))
        yield _joined(data.get("text/plain", ""))
        yield _joined(data.get("text/markdown", ""))
        if "application/vnd.plotly.v1+json" not in data:
            yield html.unescape(_TAG.sub(" ", _joined(data.get("text/html", ""))))


def _cited_values(text: str) -> Iterator[Decimal]:
    for key in _keys(_CITED, text):
        value = facts.value(key)
        if isinstance(value, str):
            yield from (number.digits for number in prose_numbers.plain(value))
        else:
            yield Decimal(str(value))
    for key in _keys(_FOUND, text):
        finding = findings.get(key)
        yield from map(Decimal, map(str, findings.means(finding) + findings.ends(finding)))


def _given(text: str) -> Iterator[Decimal]:
    for numbers in _GIVEN.findall(text):
        for number in numbers.split():
            try:
                yield Decimal(number.replace(",", ""))
            except InvalidOperation:
                raise ValueError(f"{number!r:.40} in a `given` comment is not a number.") from None
