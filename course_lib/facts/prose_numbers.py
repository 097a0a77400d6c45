"""Numbers in prose: finds them, and says whether a value, rounded as written, is the number.

What is a quantity is told from what only looks like one: `NAMES`, `COUNTED` and `SMALL` list model
names, places in the course and small counts.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

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

HIDDEN = (
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
_SCALES = {"k": 3, "thousand": 3, "m": 6, "million": 6, "b": 9, "billion": 9, "t": 12}
_SCALES["trillion"] = 12


class Number(NamedTuple):
    """A number as written: digits without separators, power of ten, and if it is a percent."""

    text: str
    digits: Decimal
    power: int
    percent: bool
    bare: bool
    start: int
    end: int


def prose(text: str) -> str:
    """The text with everything blanked out that needs no backing by its nature."""
    for pattern in (*HIDDEN, _NAMES, _COUNTED, _DAY, _YEAR):
        text = pattern.sub(lambda match: " " * len(match[0]), text)
    return text


def in_text(text: str) -> Iterator[Number]:
    """Every number in a text, as it is written."""
    for match in _NUMBER.finditer(text):
        digits = Decimal(re.sub(r"[,\u202f\u00a0]", "", match["number"]))
        if match["exponent"]:
            digits = Decimal(f"{digits}{match['exponent']}")
        power = _SCALES[match["scale"].lower()] if match["scale"] else 0
        percent = (match["unit"] or "").strip() == "%"
        money = text[: match.start()].rstrip().endswith(("$", "€"))
        bare = not (power or match["unit"] or money or match["exponent"] or "." in match["number"])
        yield Number(match[0].strip(), digits, power, percent, bare, *match.span())


def plain(text: str) -> Iterator[Number]:
    """Every number of an output or a value, scaled ones in full: "294K" is 294 and 294000."""
    for number in in_text(text):
        yield number
        if number.power:
            yield number._replace(digits=number.digits.scaleb(number.power))


def matches(number: Number, value: Decimal, digits: int = 2) -> bool:
    """Whether `value`, rounded as written, is the number; fewer `digits` must be it exactly."""
    for power in {0, number.power}:
        shifted = value.scaleb(-power)
        for candidate in (shifted, shifted * 100) if number.percent else (shifted,):
            if _rounds_to(candidate, number.digits, digits):
                return True
    return False


def _rounds_to(value: Decimal, written: Decimal, digits: int) -> bool:
    exponent = written.as_tuple().exponent
    if isinstance(exponent, str) or not value.is_finite() or abs(value) > Decimal(10) ** 25:
        return False
    step = Decimal(1).scaleb(exponent)
    enough = digits == 1 or abs(written) >= step * 10
    return value == written or (enough and abs(value - written) * 2 <= step)
