"""The number words: hand-written examples, both ways, and refusals."""

import pytest

from course_lib.task import numerals


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "zero"),
        (9, "nine"),
        (10, "ten"),
        (13, "thirteen"),
        (20, "twenty"),
        (26, "twenty-six"),
        (30, "thirty"),
        (36, "thirty-six"),
        (-1, "-one"),
        (-20, "-twenty"),
        (-26, "-twenty-six"),
    ],
)
def test_known_words(n, text):
    assert numerals.word(n) == text
    assert numerals.number(text) == n


def test_every_number_has_its_own_word():
    span = range(numerals.LOWEST, numerals.HIGHEST + 1)
    assert [numerals.number(numerals.word(n)) for n in span] == list(span)
    assert len({numerals.word(n) for n in span}) == 63


@pytest.mark.parametrize("n", [-27, 37])
def test_no_word_outside_the_range(n):
    with pytest.raises(ValueError, match="-26 to 36"):
        numerals.word(n)


@pytest.mark.parametrize("text", ["", "Ten", "twentysix", "--one", "10", "minus-two", "x" * 99_999])
def test_other_text_is_no_number(text):
    with pytest.raises(ValueError, match="not a number word"):
        numerals.number(text)
