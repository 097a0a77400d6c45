"""Reading traces: thought and answer apart, the steps of a thought, their counts, and loops.

Two kinds of text are read. The course's own working (` +3=10 -5=5 +2=7 no`) is read exactly: of
every step and every verdict it is known whether it is right. Natural language is read by stated
rules, one list of cue words for each label (`CUES`): they show where to look and prove nothing.

Any text can be read. Nothing here raises for what a model wrote, and all of it takes linear time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from course_lib.task import numerals, puzzles
from course_lib.task.puzzles import Puzzle

OPEN, CLOSE = "<think>", "</think>"

# --- thought and answer ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """A completion taken apart. Nothing is stripped, so that the parts add up to the text.

    `opened` and `closed` say whether the tags stand in the text itself: a prefilled thought, whose
    opening tag was part of the prompt, has `opened` False.
    """

    thinking: str
    answer: str
    opened: bool
    closed: bool


# A line that begins or ends a code block; `</think>` as code in a line, or as itself.
_FENCE = re.compile(r"[ \t]{0,3}```([^`<]*)")
_CLOSING = re.compile(r"`</think>`|</think>")


@dataclass
class _Reading:
    """Where the parts of a text lie, as far as its lines have been read."""

    prefilled: bool
    at: int = 0  # where the next line begins
    start: int | None = None  # where the thought begins; None as long as only blanks were seen
    opened: bool = False
    in_code: bool = False
    close: int | None = None
    close_in_code: int | None = None  # counts only if its code block never ends

    def read(self, line: str) -> None:
        """Take the next line, without its line end."""
        begin = self.at
        self.at += len(line) + 1
        if self.start is None and line.strip():
            offset = self._find_start(line)
            self.start, line, begin = begin + offset, line[offset:], begin + offset
        if self.start is not None and self.close is None and (self.opened or self.prefilled):
            self._read_thought(line, begin)

    def _find_start(self, line: str) -> int:
        indent = len(line) - len(line.lstrip())
        self.opened = line.startswith(OPEN, indent)
        return indent + len(OPEN) if self.opened else 0

    def _read_thought(self, line: str, begin: int) -> None:
        if fence := _FENCE.fullmatch(line):
            if not self.in_code:
                self.in_code = True
            elif not fence[1].strip():
                self.in_code, self.close_in_code = False, None
            return
        for tag in _CLOSING.finditer(line):
            if tag[0] == CLOSE and self.in_code:
                self.close_in_code = self.close_in_code or begin + tag.start()
            elif tag[0] == CLOSE:
                self.close = begin + tag.start()
                return

    def split(self, text: str) -> Trace:
        """Cut the text that was read."""
        if not (self.opened or self.prefilled):
            return Trace("", text, False, False)
        start = self.start if self.opened and self.start is not None else 0
        close = self.close if self.close is not None else self.close_in_code
        if close is None:
            return Trace(text[start:], "", self.opened, False)
        return Trace(text[start:close], text[close + len(CLOSE) :], self.opened, True)


class TraceReader:
    """`parse_trace` for a stream: `feed` the pieces as they come and look at `trace` at any time.

    However the text was cut into pieces, `trace` is that of the text so far.
    """

    def __init__(self, *, prefilled: bool = False) -> None:
        self._reading = _Reading(prefilled)
        self._pieces: list[str] = []
        self._line: list[str] = []  # pieces of the line that has not ended yet

    def feed(self, piece: str) -> None:
        """Take the next piece of text."""
        self._pieces.append(piece)
        *ended, rest = piece.split("\n")
        for end in ended:
            self._reading.read("".join([*self._line, end]))
            self._line.clear()
        self._line.append(rest)

    @property
    def text(self) -> str:
        """All that was fed."""
        return "".join(self._pieces)

    @property
    def trace(self) -> Trace:
        """The trace of the text so far."""
        reading = replace(self._reading)
        reading.read("".join(self._line))
        return reading.split(self.text)


def parse_trace(text: str, *, prefilled: bool = False) -> Trace:
    """Take thought and answer apart.

    A thought starts with `<think>` at the beginning of the text, or at once where the prompt ended
    with that tag (`prefilled`). It ends at the first `</think>` that is not code: not between
    backticks, and not in a code block that ends later. Tags in the answer are part of the answer,
    and without a thought the whole text is the answer.
    """
    reader = TraceReader(prefilled=prefilled)
    reader.feed(text)
    return reader.trace


# --- the course's working, exactly ----------------------------------------------------------------

_WORDS = "|".join(sorted((w.lstrip("-") for w in numerals.NUMBERS), key=len, reverse=True))
_WORKING = re.compile(
    rf"([+-])([1-9]|{_WORDS})=(-?(?:[0-9]{{1,3}}|{_WORDS}))(?![\w=])"  # a step
    r"|\b(yes|no)\b"  # a verdict
    r"|[^\s]+"  # anything else ends an attempt
)


@dataclass(frozen=True, slots=True)
class WorkStep:
    """One step of the working: `text[start:end]` says that `sign` `digit` makes `total`."""

    sign: str
    digit: int
    total: int
    notation: str  # "digits", "words", or "mixed" within the step
    right: bool  # the puzzle's next digit, and a total that follows from the one before
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run of steps and its verdict; `finished` if it has a step for every sign of the puzzle."""

    steps: tuple[WorkStep, ...]
    finished: bool
    verdict: str  # "yes", "no" or ""
    verdict_right: bool  # the verdict agrees with the total as written; True without a verdict
    repeated: bool  # the same signs were tried before
    start: int
    end: int  # of the steps
    verdict_end: int

    @property
    def signs(self) -> tuple[str, ...]:
        return tuple(step.sign for step in self.steps)


def read_attempts(completion: str, puzzle: Puzzle) -> list[Attempt]:
    """Every run of steps in the thought of `completion`, in order, finished or not.

    A run ends with a verdict, with as many steps as the puzzle has signs, or where something else
    stands. A step is judged against the total written before it, so that one slip counts once.
    """
    thought = completion.partition(CLOSE)[0]
    size = len(puzzle.numbers) - 1
    attempts: list[Attempt] = []
    tried: set[tuple[str, ...]] = set()
    steps: list[WorkStep] = []
    for match in _WORKING.finditer(thought):
        if match[1] and len(steps) < size:
            steps.append(_read_step(match, puzzle, steps))
            continue
        if steps:
            attempts.append(_close_attempt(steps, match, puzzle, tried))
            steps = []
        if match[1]:
            steps = [_read_step(match, puzzle, [])]
    if steps:
        attempts.append(_close_attempt(steps, None, puzzle, tried))
    return attempts


def _read_number(text: str) -> int:
    known = numerals.NUMBERS.get(text)
    if known is not None:
        return known
    return int(text) if text[-1].isdigit() else -numerals.NUMBERS[text[1:]]


def _read_step(match: re.Match[str], puzzle: Puzzle, before: Sequence[WorkStep]) -> WorkStep:
    sign, digit, total = match[1], _read_number(match[2]), _read_number(match[3])
    base = before[-1].total if before else puzzle.numbers[0]
    follows = total == (base + digit if sign == "+" else base - digit)
    right = follows and digit == puzzle.numbers[len(before) + 1]
    kinds = {match[2][-1].isdigit(), match[3][-1].isdigit()}
    notation = "mixed" if len(kinds) == 2 else ("digits" if True in kinds else "words")
    return WorkStep(sign, digit, total, notation, right, match.start(), match.end())


def _close_attempt(
    steps: list[WorkStep], after: re.Match[str] | None, puzzle: Puzzle, tried: set[tuple[str, ...]]
) -> Attempt:
    finished = len(steps) == len(puzzle.numbers) - 1
    verdict = (after[4] or "") if after else ""
    reached = finished and steps[-1].total == puzzle.target
    signs = tuple(step.sign for step in steps)
    repeated = finished and signs in tried
    if finished:
        tried.add(signs)
    end = steps[-1].end
    return Attempt(
        steps=tuple(steps),
        finished=finished,
        verdict=verdict,
        verdict_right=not verdict or (verdict == "yes") == reached,
        repeated=repeated,
        start=steps[0].start,
        end=end,
        verdict_end=after.end() if verdict and after else end,
    )


@dataclass(frozen=True, slots=True)
class TraceCounts:
    """What a trace of the course does, counted.

    `attempts` are runs of steps that are finished or have a verdict; `rejections` end in `no`;
    `repeats` try signs that were tried before. Steps and verdicts are right or wrong as in
    `WorkStep` and `Attempt`. `copied` says whether the answer has the signs of the first attempt
    found right (`yes`); it is None where there is no such attempt or no answer.
    """

    attempts: int
    rejections: int
    repeats: int
    steps: int
    wrong_steps: int
    wrong_verdicts: int
    digit_steps: int
    word_steps: int
    mixed_steps: int
    copied: bool | None

    @property
    def mixing(self) -> bool:
        """Whether the thought mixes the notations, in one step or from step to step."""
        return self.mixed_steps > 0 or (self.digit_steps > 0 and self.word_steps > 0)


def count(completion: str, puzzle: Puzzle) -> TraceCounts:
    """Count what the thought of `completion` does; the answer is only compared with it."""
    runs = read_attempts(completion, puzzle)
    steps = [step for run in runs for step in run.steps]
    notations = Counter(step.notation for step in steps)
    return TraceCounts(
        attempts=sum(1 for run in runs if run.finished or run.verdict),
        rejections=sum(1 for run in runs if run.verdict == "no"),
        repeats=sum(1 for run in runs if run.repeated),
        steps=len(steps),
        wrong_steps=sum(1 for step in steps if not step.right),
        wrong_verdicts=sum(1 for run in runs if not run.verdict_right),
        digit_steps=notations["digits"],
        word_steps=notations["words"],
        mixed_steps=notations["mixed"],
        copied=_copied(runs, puzzles.answer(completion)),
    )


def _copied(runs: Sequence[Attempt], answer: tuple[str, ...] | None) -> bool | None:
    found = next((run.signs for run in runs if run.verdict == "yes"), None)
    return None if found is None or answer is None else found == answer


# --- labels ---------------------------------------------------------------------------------------

ATTEMPT, CHECK, BACKTRACK, CONCLUSION = LABELS = ("attempt", "check", "backtracking", "conclusion")

CUES: dict[str, str] = {
    BACKTRACK: (
        r"wait|hmm+|actually|on second thought|scratch that|start(?:ing)? over|go(?:ing)? back|"
        r"backtrack|mistake|(?:that|this|it)(?:'s| is| was) (?:wrong|not (?:right|correct))|"
        r"(?:does not|doesn't|did not|didn't) (?:work|match|fit)|let me (?:rethink|reconsider)"
    ),
    CHECK: (
        r"(?:double[- ]?)?check(?:s|ing|ed)?|verif(?:y|ies|ied|ying|ication)|confirm(?:s|ing|ed)?|"
        r"make sure|makes sense|sanity|plug(?:ging)? (?:it|this|that|them|back)|"
        r"is (?:that|this) (?:right|correct)|does (?:that|this|it) (?:work|match|fit)"
    ),
    CONCLUSION: (
        r"therefore|thus|hence|in conclusion|to conclude|final answer|"
        r"(?:so,? )?the (?:answer|solution|result) (?:is|must be|should be)|\\boxed|####"
    ),
    ATTEMPT: (
        r"try(?:ing)?|tried|suppose|assume|assuming|consider|let's say|say we|maybe|perhaps|"
        r"what if|alternatively|another (?:way|approach|idea)|first(?:ly)?|one (?:way|option)"
    ),
}
_CUES = {
    label: re.compile(rf"(?<![\w-])(?:{cues})(?!\w)", re.IGNORECASE) for label, cues in CUES.items()
}
_SENTENCE = re.compile(r"[^\s.!?\n][^.!?\n]*(?:[.!?](?![\s\"')])[^.!?\n]*)*[.!?]*[\"')]*")


@dataclass(frozen=True)
class Step:
    """A stretch of the text, `text[start:end]`, and what it does.

    `labels` are from `LABELS`: none for plain working, two for a rejection, which is a check and a
    backtracking. `right` says whether it holds (None: not known) and `note` why it does not.
    """

    start: int
    end: int
    labels: tuple[str, ...]
    right: bool | None = None
    note: str = ""


def label_steps(text: str, puzzle: Puzzle | None = None, *, prefilled: bool = False) -> list[Step]:
    """Mark attempts, checks, backtracking and conclusions, in order, without overlaps.

    With a puzzle, the course's working is read exactly. Without one, the thought is cut into
    sentences and lines, each of which gets every label that has a cue in it (see `CUES`). In both,
    the answer after a thought is a conclusion.
    """
    if puzzle is not None:
        return [*_label_working(text, puzzle), *_label_answer(text, puzzle)]
    trace = parse_trace(text, prefilled=prefilled)
    if not (trace.opened or prefilled):
        return list(_label_sentences(text, 0))
    end = len(text) - len(trace.answer) - len(CLOSE) * trace.closed
    steps = list(_label_sentences(trace.thinking, end - len(trace.thinking)))
    if trace.answer.strip():
        begin = len(text) - len(trace.answer.lstrip())
        steps.append(Step(begin, len(text.rstrip()), (CONCLUSION,)))
    return steps


def _label_sentences(text: str, offset: int) -> Iterator[Step]:
    for sentence in _SENTENCE.finditer(text):
        found = {label for label, cues in _CUES.items() if cues.search(sentence[0])}
        labels = tuple(label for label in LABELS if label in found)
        yield Step(offset + sentence.start(), offset + sentence.end(), labels)


def _label_working(text: str, puzzle: Puzzle) -> Iterator[Step]:
    for run in read_attempts(text, puzzle):
        note = _explain(text, run, puzzle)
        yield Step(run.start, run.end, (ATTEMPT,), all(s.right for s in run.steps), note)
        if run.verdict:
            labels = (CHECK, BACKTRACK) if run.verdict == "no" else (CHECK,)
            start = run.verdict_end - len(run.verdict)
            reached = f"the total as written is {run.steps[-1].total}, the target {puzzle.target}"
            note = "" if run.verdict_right else reached
            yield Step(start, run.verdict_end, labels, run.verdict_right, note)


def _explain(text: str, run: Attempt, puzzle: Puzzle) -> str:
    """What is wrong with the first wrong step of an attempt, or that it was tried before."""
    before = puzzle.numbers[0]
    for step, digit in zip(run.steps, puzzle.numbers[1:], strict=False):
        written = text[step.start : step.end]
        if step.digit != digit:
            return f"{written}: the puzzle's next digit is {digit}"
        if not step.right:
            so = before + digit if step.sign == "+" else before - digit
            return f"{written}: {before} {step.sign} {digit} is {so}"
        before = step.total
    return "tried before" if run.repeated else ""


def _label_answer(text: str, puzzle: Puzzle) -> Iterator[Step]:
    """The answer behind the thought; text with neither tags nor steps is an answer too."""
    _, close, answer = text.rpartition(CLOSE)
    if answer.strip() and (close or not (OPEN in text or read_attempts(text, puzzle))):
        right = puzzles.reward(puzzle, text) == 1.0
        note = "" if right else "does not reach the target"
        start = len(text) - len(answer.lstrip())
        yield Step(start, len(text.rstrip()), (CONCLUSION,), right, note)


# --- loops ----------------------------------------------------------------------------------------

_LOOP_WINDOW = 2000  # characters looked at, from the end
_LOOP_LEAST = 60  # shorter repetition is ordinary


@dataclass(frozen=True)
class Loop:
    """The text ends with `unit` said `times` times over."""

    unit: str
    times: int


def find_loop(text: str, *, times: int = 3) -> Loop | None:
    """Whether the text ends in a loop: the same stretch at least `times` times without a break.

    The end of the text is turned round, and the failure function of Knuth, Morris and Pratt gives
    the shortest period of every beginning of it. The longest repetition of 60 characters or more
    is taken; only the last 2,000 characters are looked at, so a stream may ask again and again.
    """
    end = text[-_LOOP_WINDOW:][::-1]
    failure = [0] * (len(end) + 1)
    border, best = 0, None
    for i in range(1, len(end)):
        while border and end[i] != end[border]:
            border = failure[border]
        border += end[i] == end[border]
        failure[i + 1] = border
        period = i + 1 - border
        if i + 1 >= max(_LOOP_LEAST, times * period):
            best = (period, (i + 1) // period)
    return Loop(end[: best[0]][::-1], best[1]) if best else None
