"""A calculator for models: sums, products, fractions and brackets, exactly, and nothing else.

What a model writes is a stranger's text, so it is never evaluated as Python. A grammar of four
rules reads it instead: there is no name, no power and no call that could be asked for.

    sum = product (("+" | "-") product)*        product = signed (("*" | "/") signed)*
    signed = ("+" | "-") signed | atom          atom = number | "(" sum ")"
"""

import re
from fractions import Fraction

LONGEST = 200  # characters, so that no result has more than about 200 digits
DEEPEST = 20  # brackets and signs within each other
PLACES = 20  # behind the point, so that a value that is shown is not endless either

_TOKEN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|[-+*/()])\s*")
_SIGNS = str.maketrans("×·÷−–", "**/--")


def calculate(text: str) -> Fraction:
    """The exact value of an expression such as `7 + 3 * (5 - 2) / 4`.

    Raises ValueError for anything that is no such expression, is longer than LONGEST, is nested
    deeper than DEEPEST, or divides by zero.
    """
    if len(text) > LONGEST:
        raise ValueError(f"an expression has at most {LONGEST} characters, not {len(text)}")
    reader = _Reader(text.translate(_SIGNS))
    value = reader.sum(0)
    if reader.next:
        raise ValueError(f"{reader.next!r} is left over at the end")
    return value


def show(value: Fraction) -> str:
    """A value as text: a decimal of up to PLACES places exactly, any other as a fraction."""
    if 10**PLACES % value.denominator:
        return f"{value} (about {float(value):.6g})"
    whole, rest = divmod(abs(value.numerator) * 10**PLACES // value.denominator, 10**PLACES)
    return f"{'-' * (value < 0)}{whole}.{rest:0{PLACES}}".rstrip("0").rstrip(".")


class _Reader:
    """Reads an expression from left to right; `next` is the token it stands before."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self.next = ""
        self._step()

    def _step(self) -> str:
        """The token it stood before; it then stands before the one after it."""
        taken, match = self.next, _TOKEN.match(self._text, self._at)
        if match is None and self._text[self._at :].strip():
            raise ValueError(
                f"{self._text[self._at :].strip()[0]!r} is not allowed: only numbers, + - * / ( )"
            )
        self.next = match[1] if match else ""
        self._at = match.end() if match else len(self._text)
        return taken

    def sum(self, depth: int) -> Fraction:
        value = self._product(depth)
        while self.next in ("+", "-"):
            sign = 1 if self._step() == "+" else -1
            value += sign * self._product(depth)
        return value

    def _product(self, depth: int) -> Fraction:
        value = self._signed(depth)
        while self.next in ("*", "/"):
            if self._step() == "*":
                value *= self._signed(depth)
                continue
            divisor = self._signed(depth)
            if divisor == 0:
                raise ValueError("division by zero")
            value /= divisor
        return value

    def _signed(self, depth: int) -> Fraction:
        if depth > DEEPEST:
            raise ValueError(f"brackets and signs are nested deeper than {DEEPEST}")
        if self.next in ("+", "-"):
            sign = 1 if self._step() == "+" else -1
            return sign * self._signed(depth + 1)
        if self.next == "(":
            self._step()
            value = self.sum(depth + 1)
            if self._step() != ")":
                raise ValueError("a closing bracket is missing")
            return value
        if not self.next[:1].isdigit():
            raise ValueError(f"a number is missing before {self.next or 'the end'!r}")
        return Fraction(self._step())
