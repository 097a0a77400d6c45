"""Questions that tell a misunderstanding from a blank, judged against the learner's own state.

A question holds no key: what is right is a function of `State`, the numbers of the learner's own
run, config and machine and of the ledger. A reply says why, with those numbers. Everything here is
pure; `course_lib.widgets.question` shows it and `course_lib.checklist.questions` holds the course's
own.
"""

import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from course_lib.task.puzzles import plain

State = Mapping[str, Any]
Reply = str | Callable[[State], str]
States = Callable[[], State]


def fixed(number: float) -> Callable[[State], float]:
    """A value that does not depend on the learner: a number of the ledger."""
    return lambda _: number


class Outcome(StrEnum):
    """What became of an answer."""

    BLANK = "blank"
    WRONG = "wrong"
    MISUNDERSTOOD = "misunderstanding"
    CLOSE = "close"
    RIGHT = "right"


SIGNS = dict(zip(Outcome, "…✗≠≈✓", strict=True))
"""What stands beside the word of an outcome, in their order."""


@dataclass(frozen=True)
class Verdict:
    """An outcome and the reply that goes with it, in a sentence or two."""

    outcome: Outcome
    reply: str


def say(reply: Reply, state: State) -> str:
    """A reply as text: as it is, or computed from the state."""
    return reply(state) if callable(reply) else reply


# A comma stands before three digits or is none of the number: "0,05" is two numbers, not 5.
_NUMBER = re.compile(r"[-+]?(?:(?:[1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+)\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_MINUS = str.maketrans("\N{MINUS SIGN}\N{EN DASH}", "--")  # editors make them of a hyphen
_WORD = re.compile(r"[^\W\d_]+|[%$€¢]")
_SCALE = re.compile(
    r"[kmgtb]|[mbt]l?n|mi[lo]|mrd|dozen|hundreds?|thousands?|lakhs?|crores?|(?:m|b|tr)illions?"
)
_PER_CENT = re.compile(r"\bper[\s-]+cent\b", re.IGNORECASE)
_A_SECOND = re.compile(r"(?<![^\W\d])t/s\b")  # as llama.cpp says it
_SIZES = dict(k="kilo", m="mega", g="giga", t="tera", ki="kibi", mi="mebi", gi="gibi", ti="tebi")
_UNITS = {
    "%": "% percent percentage point points pp hundred",
    "cents": "cent cents ct ¢",
    "dollars": "dollar dollars usd $",
    "euros": "euro euros eur €",
    "ms": "millisecond milliseconds ms",
    "s": "second seconds sec s",
    "min": "minute minutes min",
    "h": "hour hours h",
    "days": "day days",
    "bits": "bit bits",
    "bytes": "byte bytes b",
    **{f"{short}b": f"{short}b {long}byte {long}bytes" for short, long in _SIZES.items()},
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()}


def read_number(text: str, unit: str = "") -> float | None:
    """A number as people type it: '12,000', '27x', '$0.03', '5.3 %', '1e4'; None for a blank.

    Raises ValueError where no number, or more than one, is there, where a word makes it another
    ('12k'), and, for a number in `unit`, where another unit is named.
    """
    if not text.strip():
        return None
    text = _A_SECOND.sub("tokens/s", _PER_CENT.sub("%", plain(text).translate(_MINUS)))
    found = list(_NUMBER.finditer(text)) if len(text) <= 100 else []
    rest = "".join(_NUMBER.split(text))
    if len(found) != 1 or any(sign.isnumeric() for sign in rest):  # of 3½, the half is left
        raise ValueError("type one number, for example 12,000 or 0.05")
    value = float(found[0][0].replace(",", ""))
    if not math.isfinite(value):
        raise ValueError("type a number that is not infinite")
    _refuse_words(text, unit)
    return value


def _refuse_words(text: str, unit: str) -> None:
    """Raises ValueError for a word that makes the number another, or its unit another."""
    asked = set(_WORD.findall(unit.lower()))
    allowed = asked | {_UNIT_OF[word] for word in asked & _UNIT_OF.keys()}
    for said in _WORD.findall(text):
        word = said.lower()
        if word in allowed or _UNIT_OF.get(word) in allowed:
            continue
        if unit and word in _UNIT_OF:
            raise ValueError(f"type it in {unit}, not in {said}")
        if _SCALE.fullmatch(word):
            raise ValueError(f"type the number in full, without {said}, for example 12,000")


@dataclass(frozen=True)
class Option:
    """One answer to choose: its text, what is said to who chooses it, and what it confuses.

    `mistake` names the misunderstanding in a few words; blank if the option is just not right.
    """

    text: str
    reply: Reply
    mistake: str = ""


@dataclass(frozen=True)
class Choice:
    """Choose one of `options` (key -> Option); `right(state)` gives the key that is right.

    They are shown in an order that depends on the question's name alone, so that the place says
    nothing; `as_listed` keeps the order given, for sizes and the like.
    """

    name: str
    prompt: str
    options: Mapping[str, Option]
    right: Callable[[State], str]
    as_listed: bool = False

    def shown(self) -> dict[str, str]:
        """Text -> key of the options, in the order in which they are shown."""
        keys = list(self.options)
        if not self.as_listed:
            keys.sort(key=lambda key: zlib.crc32(f"{self.name} {key}".encode()))
        return {self.options[key].text: key for key in keys}

    def judge(self, answer: str | None, state: State) -> Verdict:
        """The verdict on a key. Raises ValueError for a key that is no option."""
        if answer is None:
            return Verdict(Outcome.BLANK, "Choose an answer first.")
        if answer not in self.options:
            raise ValueError(f"{answer!r} is no option: they are {', '.join(self.options)}")
        option = self.options[answer]
        reply = say(option.reply, state)
        if answer == self.right(state):
            return Verdict(Outcome.RIGHT, reply)
        if option.mistake:
            return Verdict(Outcome.MISUNDERSTOOD, f"This is {option.mistake}. {reply}")
        return Verdict(Outcome.WRONG, reply)


SLIP = 0.05
"""How near (as a share) to the number of a known slip an answer must be to bear its name."""


@dataclass(frozen=True)
class Slip:
    """A number that a known misunderstanding gives, and what is said to who gives it."""

    value: Callable[[State], float]
    mistake: str
    reply: Reply


@dataclass(frozen=True)
class Number:
    """Give a number in `unit`; `right(state)` computes it.

    Within `tolerance` (a share of the right value) an answer is right, and within `factor` times
    it either way; within `near` it is close. The nearest slip is named within `SLIP` of its own
    value, and no further off than an answer may be, unless it is right as well.
    """

    name: str
    prompt: str
    unit: str
    right: Callable[[State], float]
    reply: Reply
    tolerance: float = 0.05
    near: float = 0.25
    slips: Sequence[Slip] = ()
    factor: float = 1.0

    def judge(self, answer: str | None, state: State) -> Verdict:
        """The verdict on what was typed."""
        try:
            given = read_number(answer or "", self.unit)
        except ValueError as error:
            return Verdict(Outcome.BLANK, f"That cannot be read as a number: {error}.")
        if given is None:
            return Verdict(Outcome.BLANK, f"Type a number in {self.unit}.")
        right = self.right(state)
        if _within(given, right, self.tolerance) or _within_factor(given, right, self.factor):
            return Verdict(Outcome.RIGHT, say(self.reply, state))
        slip = min(self.slips, key=lambda one: abs(given - one.value(state)), default=None)
        if slip and _within(given, slip.value(state), min(SLIP, self.tolerance)):
            reply = say(slip.reply, state)
            return Verdict(Outcome.MISUNDERSTOOD, f"This is {slip.mistake}. {reply}")
        side = "more" if given > right else "less"
        if _within(given, right, self.near):
            return Verdict(Outcome.CLOSE, f"Close, though your number is {side} than it should be.")
        return Verdict(Outcome.WRONG, f"Your number is {side} than it should be.")


def _within(given: float, value: float, share: float) -> bool:
    return abs(given - value) <= share * abs(value) + 1e-12


def _within_factor(given: float, value: float, factor: float) -> bool:
    return given * value > 0 and 1 / factor < given / value < factor


@dataclass(frozen=True)
class Mixup:
    """Putting `first` before `then` (both keys of items) shows this misunderstanding."""

    first: str
    then: str
    mistake: str
    reply: Reply


@dataclass(frozen=True)
class Order:
    """Put `items` (key -> text) in order; `right(state)` gives the keys in theirs."""

    name: str
    prompt: str
    items: Mapping[str, str]
    right: Callable[[State], Sequence[str]]
    reply: Reply
    mixups: Sequence[Mixup] = ()

    def judge(self, answer: Sequence[str | None], state: State) -> Verdict:
        """The verdict on keys in the order given; "" or None stands for a place left open."""
        given = [key for key in answer if key]
        if len(given) != len(answer) or len(given) != len(self.items):
            return Verdict(Outcome.BLANK, "Fill every place first.")
        twice = sorted({self.items[key] for key in given if given.count(key) > 1})
        if twice:
            return Verdict(Outcome.BLANK, f"Used more than once: {'; '.join(twice)}.")
        right = list(self.right(state))
        if given == right:
            return Verdict(Outcome.RIGHT, say(self.reply, state))
        for mixup in self.mixups:
            if given.index(mixup.first) < given.index(mixup.then):
                reply = say(mixup.reply, state)
                return Verdict(Outcome.MISUNDERSTOOD, f"This is {mixup.mistake}. {reply}")
        return self._nearly(given, right)

    def _nearly(self, answer: list[str], right: list[str]) -> Verdict:
        wrong = [place for place, key in enumerate(answer) if key != right[place]]
        if len(wrong) == 2 and wrong[1] == wrong[0] + 1:
            first, second = (self.items[answer[place]] for place in wrong)
            return Verdict(
                Outcome.CLOSE, f"Close: two neighbours are swapped, {first} and {second}."
            )
        return Verdict(Outcome.WRONG, f"{len(wrong)} of {len(answer)} are not in their place yet.")


@dataclass(frozen=True)
class Prediction:
    """A question asked before a run: the guess is kept, then `run()` happens and is compared.

    `run` returns what it adds to the state, for instance {"accuracy": 0.83}. `ask` is judged on
    the state with that in it, so nothing about the result is known before the guess.
    """

    ask: Choice | Number
    run: Callable[[], State]
    shows: Callable[[State], str]

    @property
    def name(self) -> str:
        """The name of the question that is asked."""
        return self.ask.name

    @property
    def prompt(self) -> str:
        """What is asked."""
        return self.ask.prompt

    def judge(self, answer: str | None, state: State) -> Verdict:
        """The verdict on a guess; the run happens only once there is one."""
        if not (answer or "").strip():
            reply = "Predict first: the run starts once you have said what you expect."
            return Verdict(Outcome.BLANK, reply)
        if isinstance(self.ask, Number):
            try:
                read_number(answer or "", self.ask.unit)
            except ValueError:
                return self.ask.judge(answer, state)  # says that it cannot be read
        seen = {**state, **self.run()}
        verdict = self.ask.judge(answer, seen)
        return Verdict(verdict.outcome, f"{self.shows(seen)} {verdict.reply}")


Ask = Choice | Number | Order | Prediction


@dataclass(frozen=True)
class Question:
    """One question of the checklist, with several ways of answering it.

    `state()` gathers what the verdicts are computed from, anew at every check. `explore` says in
    a sentence where the learner can find out. `later` names the ways that are asked at the end
    only, because they are about what the learner has built by then. `first` holds, by name, the
    forms in which ways are asked before the course; without one, a way is asked twice alike.
    """

    name: str
    title: str
    ways: Sequence[Ask]
    state: Callable[[], State] = field(default=dict)
    explore: str = ""
    later: Sequence[str] = ()
    first: Mapping[str, Ask] = field(default_factory=dict)

    def asked(self, phase: str) -> list[Ask]:
        """The ways that are asked in a phase, in the form of that phase."""
        if phase != "before":
            return list(self.ways)
        return [self.first.get(way.name, way) for way in self.ways if way.name not in self.later]


def overall(outcomes: Sequence[str]) -> Outcome:
    """One outcome for a question from those of its ways: the lowest that needs attention.

    A misunderstanding comes first, then wrong, blank and close; right needs all to be right.
    """
    rank = [Outcome.MISUNDERSTOOD, Outcome.WRONG, Outcome.BLANK, Outcome.CLOSE, Outcome.RIGHT]
    return min((Outcome(outcome) for outcome in outcomes), key=rank.index, default=Outcome.BLANK)
