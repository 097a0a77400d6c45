"""What the parts of a thought do: attempts, checks, backtracking and conclusions.

The course's working is read exactly. Natural language is read by stated rules, one list of cue
words for each label (`CUES`): they show where to look and prove nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from course_lib.task import puzzles
from course_lib.task.puzzles import Puzzle
from course_lib.task.traces.attempts import Attempt, read_attempts
from course_lib.task.traces.reader import CLOSE, OPEN, parse_trace

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
        straight = sentence[0].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")  # that's, doesn't
        found = {label for label, cues in _CUES.items() if cues.search(straight)}
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
        whole = len(puzzles.answer(text) or ()) == len(puzzle.numbers) - 1
        wrong = "does not reach the target" if whole else "is not exactly one answer"
        note = "" if right else wrong
        start = len(text) - len(answer.lstrip())
        yield Step(start, len(text.rstrip()), (CONCLUSION,), right, note)
