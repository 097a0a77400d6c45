"""Lesson 04: what each of R1's four stages starts from, keeps, trains on and prefers."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np

from course_lib.classroom.checks.exercise import Case, Exercise, Mistake, case

_START = {
    "cold start": "base",
    "reasoning RL": "Dev1",
    "rejection sampling and SFT": "base",
    "preference RL": "Dev3",
}


def _consistency(thinking: str, language: str, *, kind: str = "right") -> float:
    steps = [word for word in thinking.split() if word[0] in "+-"]
    if kind == "verdicts":
        steps = thinking.split()
    if kind == "empty is 0" and not steps:
        return 0.0
    digits = [bool(re.search(r"\d", step)) for step in steps]
    letters = [bool(re.search(r"[a-z]", step)) for step in steps]
    if kind == "other":
        language = {"digits": "words", "words": "digits"}[language]
    has, lacks = (digits, letters) if language == "digits" else (letters, digits)
    if kind == "any":
        good = sum(has)
    elif kind == "all or nothing":
        return float(all(h and not x for h, x in zip(has, lacks, strict=True)))
    else:
        good = sum(h and not x for h, x in zip(has, lacks, strict=True))
    if kind == "count" and steps:
        return float(good)
    if kind == "per mille":
        return 100 * good / len(steps) if steps else 100.0
    return good / len(steps) if steps or kind == "no guard" else 1.0


_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _fresh_thought(rng: np.random.Generator) -> Case:
    def number(in_words: bool) -> str:
        n = int(rng.integers(0, 11))
        return _WORDS[n] if in_words else str(n)

    words = []
    for _ in range(int(rng.integers(3, 12))):
        first, second = rng.random(2) < 0.5
        words.append(f"{rng.choice(['+', '-'])}{number(first)}={number(second)}")
        words += ["no"] if rng.random() < 0.3 else []
    why = "steps wholly in the language over all steps; verdicts are no steps"
    return case(why, " ".join(words), str(rng.choice(["digits", "words"])))


_REASONS = ("unclosed", "wrong", "mixed", "duplicate")


def _keep(
    samples: list[dict[str, Any]],
    *,
    order: tuple[str, ...] = _REASONS,
    limit: float = 1.0,
    skip: str = "",
    every_reason: bool = False,
    kept_counts: bool = False,
) -> tuple[list[str], dict[str, int]]:
    kept: list[str] = []
    seen: set[str] = set()
    counts = dict.fromkeys(_REASONS, 0)
    for sample in samples:
        fails = {
            "unclosed": not sample["closed"],
            "wrong": not sample["right"],
            "mixed": sample["consistency"] < limit,
            "duplicate": sample["text"] in (seen if kept_counts else kept),
        }
        reasons = [name for name in order if fails[name] and name != skip]
        seen.add(sample["text"])
        for reason in reasons if every_reason else reasons[:1]:
            counts[reason] += 1
        kept += [] if reasons else [sample["text"]]
    return kept, counts


def _sample(text: str, closed: int = 1, right: int = 1, consistency: float = 1.0) -> dict:
    return {"text": text, "closed": bool(closed), "right": bool(right), "consistency": consistency}


def _fresh_samples(rng: np.random.Generator) -> Case:
    samples = [
        _sample(
            str(rng.choice(list("abcd"))),
            int(rng.random() < 0.7),
            int(rng.random() < 0.7),
            float(rng.choice([1.0, 1.0, 0.75])),
        )
        for _ in range(12)
    ]
    return case("the first reason counts; only texts already kept are duplicates", samples)


def _labels(
    prompt: list[int],
    completion: list[int],
    length: int,
    *,
    ignore: int = -100,
    shift: int = 0,
    pad: int | None = None,
    train: str = "completion",
    cut: bool = True,
) -> list[int]:
    if train == "all":
        row = prompt + completion
    elif train == "prompt":
        row = prompt + [ignore] * len(completion)
    elif train == "only completion":
        row = list(completion)
    else:
        row = [ignore] * (len(prompt) + shift) + completion[max(shift, 0) :]
    row = row[:length] if cut else row
    return row + [ignore if pad is None else pad] * (length - len(row))


def _fresh_ids(rng: np.random.Generator) -> Case:
    prompt = rng.integers(3, 99, int(rng.integers(1, 6))).tolist()
    completion = rng.integers(3, 99, int(rng.integers(1, 6))).tolist()
    return case("only the completion's tokens are trained", prompt, completion, 8)


def _preference(chosen: np.ndarray, rejected: np.ndarray, *, kind: str = "right") -> float:
    margin = rejected - chosen if kind == "turned round" else chosen - rejected
    if kind == "margin":
        return float(-margin.mean())
    if kind == "hinge":
        return float(np.maximum(0, 1 - margin).mean())
    with np.errstate(over="ignore", divide="ignore"):
        if kind == "probability":
            return float((1 / (1 + np.exp(-margin))).mean())
        if kind == "unstable":
            return float(-np.log(1 / (1 + np.exp(-margin))).mean())
        if kind == "log outside":
            return float(-np.log((1 / (1 + np.exp(-margin))).mean()))
    losses = np.logaddexp(0, -margin)
    if kind == "gain":
        return float(-losses.mean())
    return float(losses.sum() if kind == "sum" else losses.mean())


EXERCISES = (
    Exercise(
        name="pipeline.starts_from",
        symbol="starts_from",
        title="What does each stage start from?",
        what_for="The most misread point of the paper: one stage goes back to the beginning.",
        difficulty=2,
        minutes=5,
        needs='the lesson\'s four stages; the models are called "base", "Dev1", "Dev2", "Dev3"',
        hints=(
            "Dev1 comes out of the cold start, Dev2 out of reasoning RL, Dev3 out of the big SFT.",
            "What is the reasoning-RL model used for in the third stage: as a start or as a "
            "source of data?",
            "The SFT on 800,000 samples starts from the base again; the model before only made "
            "the data.",
        ),
        reference=lambda: dict(_START),
        cases=(case("each stage trains one model; the third one uses Dev2 only to make data"),),
        mistakes=(
            Mistake(
                "The big SFT does not go on from Dev2: Dev2 makes the data, and training "
                "starts over.",
                lambda: _START | {"rejection sampling and SFT": "Dev2"},
            ),
            Mistake(
                "The cold start is trained from the base; R1-Zero only wrote its raw material.",
                lambda: _START | {"cold start": "R1-Zero"},
            ),
            Mistake(
                "Reasoning RL goes on from the cold-started model, not from the base: that "
                "would be R1-Zero.",
                lambda: _START | {"reasoning RL": "base"},
            ),
            Mistake(
                "The last stage goes on from the SFT just before it.",
                lambda: _START | {"preference RL": "Dev2"},
            ),
            Mistake(
                "No stage but the first and the third starts from the base.",
                lambda: dict.fromkeys(_START, "base"),
            ),
        ),
    ),
    Exercise(
        name="pipeline.language_consistency",
        symbol="language_consistency",
        title="The language-consistency reward",
        what_for="R1-Zero mixed languages; R1 was paid for staying in one.",
        difficulty=2,
        minutes=10,
        needs="strings: split, isdigit, isalpha",
        hints=(
            "Split at blanks; a step begins with + or -, everything else is a verdict.",
            "`+3=ten` is in no language: a step counts only if it is wholly in the one asked for.",
            "any(c.isdigit() for c in step) and any(c.isalpha() for c in step) tell the two apart; "
            "no steps at all is 1.0.",
        ),
        reference=_consistency,
        cases=(
            case(
                "all three steps are in digits, the verdict is no step",
                "+3=10 -5=5 +2=7 no",
                "digits",
                expected=1.0,
            ),
            case("one of two steps is in words", "+three=ten -5=5", "words", expected=0.5),
            case(
                "a step that mixes both is in neither",
                "+3=ten -5=5 +2=7 -1=6",
                "digits",
                expected=0.75,
            ),
            case("nothing is said, so nothing is mixed", "", "words", expected=1.0),
            case("a verdict alone is no step", "yes", "digits", expected=1.0),
            case("verdicts do not count as words", "+3=10 no +3=10 yes", "words", expected=0.0),
            case("negative totals have a sign inside", "-nine=-two +4=2", "words", expected=0.5),
        ),
        fresh=_fresh_thought,
        mistakes=(
            Mistake(
                "A step that mixes both notations counts for neither.",
                partial(_consistency, kind="any"),
            ),
            Mistake(
                "`yes` and `no` are verdicts, not steps in words.",
                partial(_consistency, kind="verdicts"),
            ),
            Mistake(
                "A thought without steps is consistent: 1.0.",
                partial(_consistency, kind="empty is 0"),
            ),
            Mistake(
                "A thought without steps divides by 0; it is consistent: 1.0.",
                partial(_consistency, kind="no guard"),
            ),
            Mistake(
                "That is a number of steps; give their share.", partial(_consistency, kind="count")
            ),
            Mistake(
                "The reward is a share, not all or nothing.",
                partial(_consistency, kind="all or nothing"),
            ),
            Mistake(
                "A share lies between 0 and 1; that is a percentage.",
                partial(_consistency, kind="per mille"),
            ),
            Mistake(
                "That is the share of the other language.", partial(_consistency, kind="other")
            ),
        ),
    ),
    Exercise(
        name="pipeline.keep",
        symbol="keep_samples",
        title="Rejection sampling",
        what_for="Most of what the RL model writes is thrown away; count why.",
        difficulty=3,
        minutes=12,
        needs="dictionaries and lists",
        hints=(
            "Go through the samples once; find the first reason in the order unclosed, wrong, "
            "mixed, duplicate.",
            "A duplicate is a text that has already been *kept*, not merely seen.",
            "if not closed ... elif not right ... elif consistency < 1 ... elif text in kept ... "
            "else keep it.",
        ),
        reference=_keep,
        cases=(
            case(
                "one is kept, one is wrong",
                [_sample("a"), _sample("b", right=0)],
                expected=(["a"], {"unclosed": 0, "wrong": 1, "mixed": 0, "duplicate": 0}),
            ),
            case(
                "unclosed and wrong: the first reason counts, once",
                [_sample("a", closed=0, right=0, consistency=0.5)],
                expected=([], {"unclosed": 1, "wrong": 0, "mixed": 0, "duplicate": 0}),
            ),
            case(
                "wrong and mixed is wrong; right and mixed is mixed",
                [_sample("a", right=0, consistency=0.5), _sample("b", consistency=0.99)],
                expected=([], {"unclosed": 0, "wrong": 1, "mixed": 1, "duplicate": 0}),
            ),
            case(
                "the second `a` is a duplicate of a text already kept",
                [_sample("a"), _sample("a"), _sample("c")],
                expected=(["a", "c"], {"unclosed": 0, "wrong": 0, "mixed": 0, "duplicate": 1}),
            ),
            case(
                "the first `a` was thrown away, so the second is no duplicate",
                [_sample("a", closed=0), _sample("a"), _sample("a", right=0)],
                expected=(["a"], {"unclosed": 1, "wrong": 1, "mixed": 0, "duplicate": 0}),
            ),
            case(
                "half consistent is mixed",
                [_sample("a", consistency=0.5), _sample("b")],
                expected=(["b"], {"unclosed": 0, "wrong": 0, "mixed": 1, "duplicate": 0}),
            ),
            case(
                "no samples, no reasons",
                [],
                expected=([], {"unclosed": 0, "wrong": 0, "mixed": 0, "duplicate": 0}),
            ),
        ),
        fresh=_fresh_samples,
        mistakes=(
            Mistake(
                "A sample has one reason, the first; you count all of them.",
                partial(_keep, every_reason=True),
            ),
            Mistake(
                "A text that was thrown away before is no duplicate; compare with what is kept.",
                partial(_keep, kept_counts=True),
            ),
            Mistake(
                "Mixed means a consistency below 1; nearly consistent is not consistent.",
                partial(_keep, limit=0.9),
            ),
            Mistake("Unclosed thoughts must go.", partial(_keep, skip="unclosed")),
            Mistake("Wrong answers must go.", partial(_keep, skip="wrong")),
            Mistake("Mixed notation must go.", partial(_keep, skip="mixed")),
            Mistake("The same text is kept twice.", partial(_keep, skip="duplicate")),
            Mistake(
                "The order of the reasons: unclosed comes before wrong.",
                partial(_keep, order=("wrong", "unclosed", "mixed", "duplicate")),
            ),
            Mistake(
                "The order of the reasons: wrong comes before mixed.",
                partial(_keep, order=("unclosed", "mixed", "wrong", "duplicate")),
            ),
            Mistake(
                "The order of the reasons: a duplicate that is wrong counts as wrong.",
                partial(_keep, order=("duplicate", "unclosed", "wrong", "mixed")),
            ),
        ),
    ),
    Exercise(
        name="pipeline.sft_labels",
        symbol="sft_labels",
        title="What supervised fine-tuning trains on",
        what_for="A model should learn to answer, not to ask: the prompt is masked.",
        difficulty=2,
        minutes=7,
        needs="lists; -100 is the label that torch's cross entropy leaves out",
        hints=(
            "The row is prompt, completion, padding; only one of the three is trained.",
            "Labels stand at the token's own place; transformers does the shift by one itself.",
            "row = [-100] * len(prompt) + completion, cut at length, then -100 up to length.",
        ),
        reference=_labels,
        cases=(
            case(
                "two prompt tokens, three of completion, one of padding",
                [5, 6],
                [7, 8, 9],
                6,
                expected=[-100, -100, 7, 8, 9, -100],
            ),
            case("too long: cut at the end", [5, 6], [7, 8, 9], 4, expected=[-100, -100, 7, 8]),
            case(
                "a prompt that fills the row leaves nothing to train",
                [5, 6, 7],
                [8],
                3,
                expected=[-100, -100, -100],
            ),
            case("no prompt", [], [8, 9], 3, expected=[8, 9, -100]),
        ),
        fresh=_fresh_ids,
        mistakes=(
            Mistake(
                "The prompt is trained too; its labels must be -100.", partial(_labels, train="all")
            ),
            Mistake(
                "You train the prompt and mask the completion: the other way round.",
                partial(_labels, train="prompt"),
            ),
            Mistake(
                "The prompt keeps its place: one -100 for each of its tokens.",
                partial(_labels, train="only completion"),
            ),
            Mistake(
                "Off by one: the first token of the completion is trained as well.",
                partial(_labels, shift=1),
            ),
            Mistake(
                "0 is a token; the label that is left out is -100.", partial(_labels, ignore=0)
            ),
            Mistake(
                "-1 is not left out by cross entropy; the label is -100.",
                partial(_labels, ignore=-1),
            ),
            Mistake("Padding must not be trained: its label is -100 too.", partial(_labels, pad=0)),
            Mistake("The row must be cut at its length.", partial(_labels, cut=False)),
        ),
    ),
    Exercise(
        name="pipeline.preference_loss",
        symbol="preference_loss",
        title="The loss of a reward model",
        what_for="From 'this one is better' to a number: Bradley and Terry's model.",
        difficulty=3,
        minutes=10,
        needs="torch.nn.functional.logsigmoid",
        hints=(
            "Better by a margin m has the probability sigmoid(m), m = chosen - rejected.",
            "The loss of a pair is -log(sigmoid(m)); the loss is the mean over pairs.",
            "log(sigmoid(-800)) is log(0) on a computer; logsigmoid is not.",
        ),
        reference=_preference,
        cases=(
            case(
                "no margin is a coin flip: log 2",
                np.array([1.0]),
                np.array([1.0]),
                expected=float(np.log(2)),
            ),
            case(
                "the mean of -log(sigmoid(2)) and -log(sigmoid(-1))",
                np.array([3.0, 0.0]),
                np.array([1.0, 1.0]),
            ),
            case(
                "a margin of -800 costs 800 and not infinity",
                np.array([0.0]),
                np.array([800.0]),
                expected=800.0,
            ),
            case("a margin of 800 costs nothing", np.array([800.0]), np.array([0.0]), expected=0.0),
        ),
        fresh=lambda rng: case(
            "the mean of -log(sigmoid(chosen - rejected))", rng.normal(0, 2, 6), rng.normal(0, 2, 6)
        ),
        mistakes=(
            Mistake(
                "The margin is turned round: chosen minus rejected.",
                partial(_preference, kind="turned round"),
            ),
            Mistake(
                "That is a probability, not a loss: take minus its logarithm.",
                partial(_preference, kind="probability"),
            ),
            Mistake(
                "The logarithm of a sigmoid that underflows is minus infinity; use logsigmoid.",
                partial(_preference, kind="unstable"),
            ),
            Mistake("Sum over pairs; take their mean.", partial(_preference, kind="sum")),
            Mistake(
                "That is the plain margin; squash it with logsigmoid.",
                partial(_preference, kind="margin"),
            ),
            Mistake(
                "That is a hinge loss, another one than Bradley and Terry's.",
                partial(_preference, kind="hinge"),
            ),
            Mistake(
                "The sign: log(sigmoid) is negative, a loss is positive.",
                partial(_preference, kind="gain"),
            ),
            Mistake(
                "Take the logarithm of each pair first and the mean after.",
                partial(_preference, kind="log outside"),
            ),
        ),
        tensors=True,
    ),
)
