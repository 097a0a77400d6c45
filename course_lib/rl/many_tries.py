"""Many tries of base and R1-Zero at the same puzzles: did RL teach, or select?

`python -m course_lib many-tries --out DIR` samples both at held-out puzzles and leaves one record,
from which the curves of pass@k and of majority votes are computed (`course_lib.rl.pass_at_k`). What
was recorded beforehand stands in `assets/recorded/experiments/many-tries.json`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib import records
from course_lib.errors import COUNT, WHOLE
from course_lib.model import models
from course_lib.rl import experiments, measure, pass_at_k
from course_lib.runtime import use_threads
from course_lib.task import puzzles, traces
from course_lib.task.puzzles import Puzzle

NAME = "many-tries"
KS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BUDGETS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)  # tokens a vote may spend
_NO_ANSWER = "."


def worked_out(puzzle: Puzzle, completion: str) -> bool:
    """Whether the answer is right and comes from working that is right.

    That is: some attempt reaches the target with every step right, is said to (`yes`), and has the
    signs that are answered. A lucky guess is right and not worked out.
    """
    answer = puzzles.answer(completion)
    return puzzles.reward(puzzle, completion) == 1.0 and any(
        run.finished
        and run.verdict == "yes"
        and run.signs == answer
        and all(step.right for step in run.steps)
        for run in traces.read_attempts(completion, puzzle)
    )


def draw(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Puzzle],
    samples: int,
    seed: int = 0,
) -> dict[str, list]:
    """What `samples` completions of each puzzle come to, one entry a puzzle.

    `right` and `worked_out` are counts; `answers` has one character a sample, the signs as a number
    (`+` 0, `-` 1, so `+ - +` is 2) or `.` for no answer; `tokens` is what each sample cost. With
    the puzzles' own `solution`, written alike, that is all that pass@k and votes need.
    """
    found = measure.sample_many(model, tokenizer, items, samples, seed=seed)
    pairs = list(zip(items, found.texts, strict=True))
    return {
        "right": [int(sum(rewards)) for rewards in found.rewards],
        "worked_out": [sum(worked_out(item, text) for text in texts) for item, texts in pairs],
        "answers": ["".join(_letter(item, text) for text in texts) for item, texts in pairs],
        "tokens": found.tokens,
        "solution": [_as_number(puzzles.solutions(item)[0]) for item in items],
    }


def _letter(puzzle: Puzzle, completion: str) -> str:
    signs = puzzles.answer(completion)
    if signs is None or len(signs) != len(puzzle.numbers) - 1:
        return _NO_ANSWER
    return _as_number(signs)


def _as_number(signs: Sequence[str]) -> str:
    return f"{int(''.join('01'[sign == '-'] for sign in signs), 2):x}"


def pass_curve(drawn: dict[str, list], ks: Sequence[int], counts: str = "right") -> list[float]:
    """Mean pass@k over the puzzles for each of `ks`; `counts` may be `worked_out` instead."""
    samples = len(drawn["answers"][0])
    return pass_at_k.pass_curve([[1] * n + [0] * (samples - n) for n in drawn[counts]], ks)


def vote_curve(drawn: dict[str, list], budgets: Sequence[int]) -> list[float]:
    """How often a majority vote is right that may spend so many tokens, for each of `budgets`."""
    puzzles_drawn = list(zip(drawn["answers"], drawn["tokens"], drawn["solution"], strict=True))
    return [
        sum(
            pass_at_k.vote_within([None if a == _NO_ANSWER else a for a in answers], costs, s, b)
            for answers, costs, s in puzzles_drawn
        )
        / len(puzzles_drawn)
        for b in budgets
    ]


def load_record(folder: str | Path = experiments.RECORDED) -> dict[str, Any]:
    """The record. Raises CourseError, with the command to make one, where there is none."""
    return records.read(Path(folder) / f"{NAME}.json", f"python -m course_lib {NAME} --out DIR")


def provenance(record: dict[str, Any]) -> str:
    """Where, when and how a record was made, in words."""
    about = (
        f": {record['samples']} completions of {record['puzzles']} held-out puzzles each, by "
        f"{' and '.join(record['models'])}"
    )
    return records.said(record, about)


def main(argv: list[str] | None = None) -> int:
    """`python -m course_lib many-tries`: sample base and R1-Zero, and write the record."""
    parser = records.parser(
        NAME, "Sample base and R1-Zero many times at held-out puzzles.", "folder for the record"
    )
    shipped = models.shipped
    parser.add_argument("--base", type=Path, default=shipped("mini-v3-base"), help="a model folder")
    parser.add_argument("--zero", type=Path, default=shipped("mini-r1-zero"), help="a model folder")
    parser.add_argument("--samples", type=COUNT, default=256, help="completions a puzzle (256)")
    parser.add_argument("--puzzles", type=COUNT, default=100, help="held-out puzzles (100)")
    parser.add_argument("--seed", type=WHOLE, default=0)
    args = parser.parse_args(argv)
    use_threads()
    items = puzzles.sample(args.puzzles, args.seed, "test")
    drawn = {}
    for name, folder in {"base": args.base, "R1-Zero": args.zero}.items():
        drawn[name] = draw(*models.load(folder), items, args.samples, args.seed)
        print(f"{name}: {pass_curve(drawn[name], [1])[0]:.1%} at one try")
    asked = {"samples": args.samples, "puzzles": args.puzzles, "seed": args.seed}
    options = " ".join(f"--{name} {value}" for name, value in asked.items())
    command = f"python -m course_lib {NAME} {options} --out DIR"
    record = {"name": NAME, **records.stamp(args.machine, command), **asked, "models": drawn}
    records.write(args.out / f"{NAME}.json", record)
    return 0
