"""The six questions on a page that makes a file to hand in, and on paper; judged at the desk.

The page is one file that asks nobody anything: it can lie on any web server or be passed around.
It holds no key. What depends on one machine is left out, since the machine is not there.
"""

import string
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from course_lib.checklist import questions
from course_lib.checklist.evidence import Evidence
from course_lib.checklist.quiz import Ask, Choice, Number, Order, Question
from course_lib.classroom import pages

PHASES = ("before", "after")
_OF_A_MACHINE = "fits"


@cache
def checklist() -> dict[str, Question]:
    """The six questions as they are asked of somebody without a run of their own."""
    return questions.checklist(Evidence(memory=16 << 30))


@cache
def asked(phase: str) -> dict[str, Ask]:
    """What is asked in a phase, by full name ("cost.ratio")."""
    return {
        f"{question.name}.{way.name}": way
        for question in checklist().values()
        for way in question.asked(phase)
        if way.name != _OF_A_MACHINE and isinstance(way, Choice | Number | Order)
        and way.name in question.first
    }  # fmt: skip


@cache
def comparable() -> list[Question]:
    """The six questions with only what everybody was asked twice, on a page or in a notebook."""
    both = asked("before").keys() & asked("after").keys()
    return [
        replace(one, ways=[way for way in one.ways if f"{one.name}.{way.name}" in both], later=())
        for one in checklist().values()
    ]


def judged(phase: str, answers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries of a progress for `answers` (name -> key, text or keys in order).

    Raises ValueError for an answer that could not have been given.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, way in asked(phase).items():
        given = answers.get(name)
        if isinstance(way, Order):
            given = given if isinstance(given, list) else []
            given = [one for one in given if isinstance(one, str) and one in way.items]
            shown = {f"place_{n}": one for n, one in enumerate(given, 1)}
        else:
            given = given[:200] if isinstance(given, str) and given.strip() else None
            shown = {"answer": given}
        state = checklist()[name.partition(".")[0]].state()
        verdict = way.judge(given, state)  # type: ignore[arg-type]
        found[name] = {"outcome": str(verdict.outcome), "answer": shown, "reply": verdict.reply}
    return found


def from_paper(
    phase: str, answers: Mapping[str, str], *, decimal_comma: bool = False
) -> dict[str, Any]:
    """What letters in a table mean: b is the second option, "c a b" an order, a number itself.

    With `decimal_comma`, 2,63 is 2.63. What is not as `takes` says counts as not answered.
    """
    found: dict[str, Any] = {}
    for name, way in asked(phase).items():
        said = str(answers.get(name) or "").strip().lower()
        if isinstance(way, Number):
            lone = decimal_comma and said.count(",") == 1 and "." not in said
            found[name] = said.replace(",", ".") if lone else said
            continue
        keys = [key for key, _ in options(way)]
        places = [string.ascii_lowercase.find(letter) for letter in said if letter.isalpha()]
        known = all(0 <= place < len(keys) for place in places)
        picked = [keys[place] for place in places] if known else []
        one = picked[0] if len(picked) == 1 else None
        found[name] = picked if isinstance(way, Order) else one
    return found


def takes(way: Ask) -> str:
    """What is an answer to it in a table, in words."""
    if isinstance(way, Number):
        return f"one number in {way.unit}, such as 0.5"
    letters = f"from a to {string.ascii_lowercase[len(options(way)) - 1]}"
    return f"each letter {letters} once" if isinstance(way, Order) else f"one letter {letters}"


def options(way: Ask) -> list[tuple[str, str]]:
    """(key, text) of what can be chosen, as it is shown; [] for a number."""
    if isinstance(way, Choice):
        return [(key, text) for text, key in way.shown().items()]
    if not isinstance(way, Order):
        return []
    # The place says nothing, and is the same on every print.
    return sorted(way.items.items(), key=lambda one: zlib.crc32(f"{way.name} {one[0]}".encode()))


def page(phase: str = "before") -> str:
    """The form as one page of HTML, to click or to print."""
    rows = [
        {
            "name": name,
            "prompt": way.prompt,
            "options": options(way),
            "order": isinstance(way, Order),
            "unit": getattr(way, "unit", ""),
            "question": checklist()[name.partition(".")[0]].title,
        }
        for name, way in asked(phase).items()
    ]
    return pages.page("form", rows=rows, phase=phase, letters=string.ascii_lowercase)
