"""The numbers of the puzzle's working, written as words: `10` is `ten` and `-2` is `-two`.

The models think in two notations, digits and words, and the reader of traces, the generator of
training text and the tokenizer all need the same table, so it stands here once.
"""

LOWEST, HIGHEST = -26, 36  # every running total of four digits lies between 1 - 27 and 9 + 27

# fmt: off
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen",
)
# fmt: on
_TENS = {20: "twenty", 30: "thirty"}


def _spell(n: int) -> str:
    if n < 0:
        return f"-{_spell(-n)}"
    if n < len(_SMALL):
        return _SMALL[n]
    unit = n % 10
    return f"{_TENS[n - unit]}-{_SMALL[unit]}" if unit else _TENS[n]


WORDS: dict[int, str] = {n: _spell(n) for n in range(LOWEST, HIGHEST + 1)}
NUMBERS: dict[str, int] = {text: n for n, text in WORDS.items()}


def word(n: int) -> str:
    """`n` in words, from -26 (`-twenty-six`) to 36 (`thirty-six`); ValueError outside."""
    if n not in WORDS:
        raise ValueError(f"{n} has no word here; numbers go from {LOWEST} to {HIGHEST}.")
    return WORDS[n]


def number(word: str) -> int:
    """The number that `word` spells, the inverse of `word(n)`; ValueError for any other text."""
    if word not in NUMBERS:
        raise ValueError(f"{word[:40]!r} is not a number word such as 'ten' or '-twenty-six'.")
    return NUMBERS[word]
