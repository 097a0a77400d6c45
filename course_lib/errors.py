"""The one exception a learner meets: a sentence that says what is wrong and what to do."""

from argparse import ArgumentTypeError
from collections.abc import Callable

_LARGEST = 2**63 - 1  # what torch takes as a seed, and more than anybody counts


class CourseError(Exception):
    """Something the reader can put right: the message is one plain sentence, without traceback."""


def at_least(least: int) -> Callable[[str], int]:
    """What argparse reads an option by that is a whole number from `least` on."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= _LARGEST:
            raise ArgumentTypeError(f"it takes a whole number from {least} on, not {text!r:.40}")
        return value

    return number


COUNT, WHOLE = at_least(1), at_least(0)  # how many of something; a seed, or as few as none
