"""The way through the course, with a mark where the reader is: what every lesson opens with."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from course_lib.show import svg
from course_lib.show.theme import PAGE_COLOUR, PALETTE, escape


@dataclass(frozen=True)
class Lesson:
    """A lesson: its notebook without ending, its name in a sentence and on the map."""

    file: str
    title: str
    short: str
    exercises: bool = False
    deeper: bool = False

    @property
    def number(self) -> str:
        """As people say it: 0, 2b, 3, 3a."""
        return self.file.split("_")[0].removeprefix("0")

    def link(self) -> str:
        """Number and title, leading to the notebook beside."""
        return f'<a href="{escape(self.file)}.ipynb">{escape(self)}</a>'

    def __str__(self) -> str:
        return f"{self.number}. {self.title}"


_TABLE = tomllib.loads(Path(__file__).with_name("lessons.toml").read_text(encoding="utf-8"))
LESSONS = tuple(Lesson(file, **of) for file, of in _TABLE.items())
"""All lessons in the order in which they are taken."""

_ROW, _STEP, _DROP = 7, 63, 66  # stops in a row; from one to the next; from one row to the next


@dataclass(frozen=True)
class Map:
    """The map as a cell shows it, with the lessons beside this one in `words` and as links."""

    svg: str
    words: str
    links: str

    def _repr_html_(self) -> str:
        picture = svg.as_images(svg.beside([self.svg]))
        return f'<div class="ir1-map">{picture}<p>{self.links}</p></div>'

    def __repr__(self) -> str:
        return self.words


def here(number: str) -> Map:
    """The map with a mark at the lesson `number`, such as "03c".

    Raises ValueError for a number that no lesson has.
    """
    numbers = [lesson.file.split("_")[0] for lesson in LESSONS]
    if number not in numbers:
        raise ValueError(f"there is no lesson {number!r}: there are {', '.join(numbers)}")
    at = numbers.index(number)
    beside = {"Before": LESSONS[at - 1]} if at else {}
    if at + 1 < len(LESSONS):
        beside["Next"] = LESSONS[at + 1]
    said = [f"You are at {LESSONS[at]}", *(f"{word}: {one}" for word, one in beside.items())]
    words = " ".join(one if one.endswith("?") else f"{one}." for one in said)
    links = [f"<strong>{escape(LESSONS[at])}</strong>"]
    links += [f"{word}: {lesson.link()}" for word, lesson in beside.items()]
    return Map(_drawn(at, words), words, " · ".join(links))


def _place(stop: int) -> tuple[float, float]:
    """The middle of a stop: there along the first row, and back along the second."""
    row, column = divmod(stop, _ROW)
    column = column if row % 2 == 0 else _ROW - 1 - column
    return 36 + _STEP * column, 44 + _DROP * row


def _drawn(at: int, words: str) -> str:
    places = [_place(stop) for stop in range(len(LESSONS))]
    (right, top), (left, bottom) = places[_ROW - 1], places[-1]
    turn = f"C{svg.NARROW} {top:g} {svg.NARROW} {bottom:g} {right:g} {bottom:g}"
    way = f"M{places[0][0]:g} {top:g}H{right:g}{turn}H{left:g}"
    body = [f'<path d="{way}" fill="none" stroke="{PALETTE["ocean"]}" stroke-width="4"/>']
    for stop, (lesson, (x, y)) in enumerate(zip(LESSONS, places, strict=True)):
        body.append(_stop(lesson, x, y, here=stop == at))
    return svg.frame("The way through", words, bottom + 40, body, svg.NARROW)


def _stop(lesson: Lesson, x: float, y: float, *, here: bool) -> str:
    """A stop with its number in it and its short name under it; the reader's own is a large one."""
    radius, width = (17, 5) if here else (13, 2)
    colour = PALETTE["violet" if here else "ocean"]
    dash = ' stroke-dasharray="4 3"' if lesson.deeper and not here else ""
    weight = ' font-weight="bold"' if here else ""
    said = svg.text(x, y + 5, lesson.number, "middle") + svg.text(x, y + 32, lesson.short, "middle")
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="{radius}" style="fill:{PAGE_COLOUR}" stroke="{colour}" '
        f'stroke-width="{width}"{dash}/><g{weight}>{said}</g>'
    )
