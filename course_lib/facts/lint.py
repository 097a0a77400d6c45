"""Finds numbers in notebook prose that nothing backs.

A number in a markdown cell is backed by an output of the same notebook, by the value of a ledger
key that the cell cites in `<!-- facts: key key -->`, or by a list in the cell of the assumptions
that the text itself makes, `<!-- given: 1000 0.5 -->`. What needs no backing is listed in `NAMES`,
`COUNTED` and `SMALL`: model names, years, places in the course, small counts.
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

SMALL = 10
"""Whole numbers up to here need no backing when they stand alone ("three stages, 4 of them")."""

COUNTED = (
    "sections?|lessons?|questions?|notebooks?|parts?|steps?|stages?|cells?|tables?|figures?|fig\\."
    "|chapters?|equations?|eq\\.|appendix|exercises?|pages?|seed|version|python|arxiv|doi|issue|level"
    "|phase|round|puzzle|layer|expert|group|row|column|line"
)
"""Words after which a number is a place or a label and not a quantity: "table 4", "seed 0"."""

NAMES = (
    r"GPT-\d(\.\d)?o?\b",
    r"o[134](-mini|-preview|-pro)?(-\d{4}(-\d\d-\d\d)?)?\b",
    r"Claude(-| )\d(\.\d)?( Sonnet)?",
    r"Llama(-| )?\d(\.\d)?(-\d+B)?(-Instruct)?",
    r"Qwen-?\d?(\.\d)?(-Math)?(-\d+(\.\d+)?B)?",
    r"QwQ-32B(-Preview)?",
    r"(R1-)?Distill-(Qwen|Llama)-\d+(\.\d+)?B",
    r"R1-0528",
    r"(AIME|CNMO|HMMT|AMC|USAMO)([- ](I|II|12))?[- ]\d{4}",
    r"(MATH|GSM)-?\d+[kK]?\b",
    r"AMC ?12",
    r"AlpacaEval ?2(\.0)?",
    r"(pass|cons|maj)@\d+",
    r"SHA-?\d+",
    r"UTF-8",
    r"Apache(-| )2\.0",
    r"(1\.5|7|8|14|32|70)B\b(?! (param|token|of))",
    r"671B(?= (model|one)\b)",
    r"(RTX|Ryzen|Core|GTX) ?\d+(-\d+)?",
    r"CC BY(-SA)? \d\.\d",
)
"""Names that hold a number: models, tests, licences, the sizes by which the distills are called."""

_HIDDEN = (
    re.compile(r"```.*?(```|\Z)", re.DOTALL),
    re.compile(r"~~~.*?(~~~|\Z)", re.DOTALL),
    re.compile(r"`[^`\n]*`"),
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"(?<![\\\w])\$(?=[^\s\d])[^$\n]*(?<!\s)\$(?!\d)"),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"<[^<>]*>"),
    re.compile(r"\]\([^)\s]*\)"),
    re.compile(r"https?://\S+"),
    re.compile(r"^\s*\d+[.)]\s", re.MULTILINE),
    re.compile(r"^#+\s+\d+(\.\d+)*[.:)]?\s", re.MULTILINE),
)
"""Parts of a cell that are no prose: code, formulas, comments, tags, addresses, list numbers."""

_NAMES = re.compile("|".join(f"(?<![\\w.])(?:{name})" for name in NAMES))
_COUNTED = re.compile(rf"\b(?:{COUNTED}) ?§? ?\d+(\.\d+)*((,| and| to|-|–) ?\d+(\.\d+)*)*", re.I)
_YEAR = re.compile(r"(?<![\d.,$€])(19|20)\d\d(-\d\d(-\d\d)?)?(?![\d%.]*\d|[ ]?%)")
_DAY = re.compile(
    r"\b\d{1,2} (January|February|March|April|May|June|July|August|September|October|November"
    r"|December)\b"
)
_NUMBER = re.compile(
    r"(?<![\w.])(?P<number>\d{1,3}(?:[,\u202f\u00a0]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?:(?P<exponent>e[+-]?\d{1,3}\b)|\s?(?P<scale>K|k|M|B|T|million|billion|thousand|trillion)\b)?"
    r"(?P<unit>\s?%|\s?GB|\s?GiB|\s?s\b)?"
)
_CITED = re.compile(r"<!--\s*facts:\s*(.*?)-->", re.DOTALL)
_GIVEN = re.compile(r"<!--\s*given:\s*(.*?)-->", re.DOTALL)
_SCALES = {"k": 3, "thousand": 3, "m": 6, "million": 6, "b": 9, "billion": 9, "t": 12}
_SCALES["trillion"] = 12
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


class Unsourced(NamedTuple):
    """A number that nothing backs: its cell's place in the notebook, itself, its surroundings."""

    cell: int
    number: str
    context: str


class Number(NamedTuple):
    """A number as written: digits without separators, power of ten, and if it is a percent."""

    text: str
    digits: Decimal
    power: int
    percent: bool
    bare: bool
    start: int
    end: int


def unsourced_numbers(notebook_path: str | Path) -> list[Unsourced]:
    """Every number in the markdown of a notebook that nothing backs, in reading order.

    Raises ValueError for a file that is no notebook, and UnknownFact for a cited key that the
    ledger does not have.
    """
    cells = _cells(Path(notebook_path))
    printed = {n.digits for cell in cells for text in _outputs(cell) for n in _plain_numbers(text)}
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
    prose = _prose(text)
    for number in _numbers(prose):
        small = number.bare and number.digits <= SMALL and number.digits == int(number.digits)
        whole = number.percent and number.digits in (0, 100)
        if not (small or whole or any(_matches(number, value) for value in backing)):
            start, end = max(0, number.start - 30), number.end + 30
            yield number.text, " ".join(prose[start:end].split())


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


def _prose(text: str) -> str:
    """The text with everything blanked out that needs no backing by its nature."""
    for pattern in (*_HIDDEN, _NAMES, _COUNTED, _DAY, _YEAR):
        text = pattern.sub(lambda match: " " * len(match[0]), text)
    return text


def _numbers(text: str) -> Iterator[Number]:
    for match in _NUMBER.finditer(text):
        digits = Decimal(re.sub(r"[,\u202f\u00a0]", "", match["number"]))
        if match["exponent"]:
            digits = Decimal(f"{digits}{match['exponent']}")
        power = _SCALES[match["scale"].lower()] if match["scale"] else 0
        percent = (match["unit"] or "").strip() == "%"
        money = text[: match.start()].rstrip().endswith(("$", "€"))
        bare = not (power or match["unit"] or money or match["exponent"] or "." in match["number"])
        yield Number(match[0].strip(), digits, power, percent, bare, *match.span())


def _plain_numbers(text: str) -> Iterator[Number]:
    """Every number of an output or a value, scaled ones in full: "294K" is 294 and 294000."""
    for number in _numbers(text):
        yield number
        if number.power:
            yield number._replace(digits=number.digits.scaleb(number.power))


def _matches(number: Number, value: Decimal) -> bool:
    """Whether `value`, rounded to the digits that are written, is the number."""
    for power in {0, number.power}:
        shifted = value.scaleb(-power)
        for candidate in (shifted, shifted * 100) if number.percent else (shifted,):
            if _rounds_to(candidate, number.digits):
                return True
    return False


def _rounds_to(value: Decimal, written: Decimal) -> bool:
    exponent = written.as_tuple().exponent
    if isinstance(exponent, str) or not value.is_finite() or abs(value) > Decimal(10) ** 25:
        return False
    step = Decimal(1).scaleb(exponent)
    return value == written or (abs(value - written) * 2 <= step and abs(written) >= step * 10)


def _cited_values(text: str) -> Iterator[Decimal]:
    for keys in _CITED.findall(text):
        for key in keys.replace(",", " ").split():
            value = facts.value(key)
            if isinstance(value, str):
                yield from (number.digits for number in _plain_numbers(value))
            else:
                yield Decimal(str(value))


def _given(text: str) -> Iterator[Decimal]:
    for numbers in _GIVEN.findall(text):
        for number in numbers.split():
            try:
                yield Decimal(number.replace(",", ""))
            except InvalidOperation:
                raise ValueError(f"{number!r:.40} in a `given` comment is not a number.") from None
