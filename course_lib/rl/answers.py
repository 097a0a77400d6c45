"""What a model answers to one puzzle while it is trained: a record of a short run of R1-Zero.

`python -m course_lib answers --out DIR` trains, and every few steps draws many answers to a puzzle
of the held-out split. What was recorded beforehand stands in `assets/recorded/answers.json`.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from course_lib import records
from course_lib.errors import COUNT, WHOLE, CourseError
from course_lib.model import checkpoints, models
from course_lib.rl import many_tries, zero
from course_lib.runtime import use_threads
from course_lib.task import puzzles

NAME = "answers"
NONE = "no answer"
_KEPT = ("step", "reward", "thinking_tokens", "accuracy", "test_thinking_tokens")


def counted(letters: str, gaps: int) -> dict[str, int]:
    """How often each way to set the `gaps` signs was answered, of `many_tries.draw`'s letters."""
    found = Counter(letters)
    ways = [" ".join(signs) for signs in itertools.product("+-", repeat=gaps)]
    return {way: found[f"{number:x}"] for number, way in enumerate(ways)} | {NONE: found["."]}


def follow(
    out: Path, puzzle: puzzles.Puzzle, steps: int, every: int, samples: int, seed: int = 0
) -> list[records.Record]:
    """Train for `steps` steps; the counts of `samples` answers before, and after `every` steps."""
    config = zero.ZeroConfig(seed, steps, evaluate_every=steps, checkpoint_every=every)
    gaps, found = len(puzzle.numbers) - 1, []

    def look(step: int, folder: Path) -> None:
        drawn = many_tries.draw(*models.load(folder), [puzzle], samples, seed=step)
        found.append({"step": step, "answers": counted(drawn["answers"][0], gaps)})
        print(f"step {step}: {drawn['right'][0]} of {samples} right")

    look(0, models.shipped("mini-v3-base"))
    for line in zero.run(out, config, again=True):
        if line["step"] and line["step"] % every == 0:
            look(line["step"], out / "checkpoint")
    return found


def log(out: Path) -> list[records.Record]:
    """What the run's own log says of each step: right answers and thinking."""
    lines = checkpoints.read_log(out / "metrics.jsonl")
    return [{name: line[name] for name in _KEPT if name in line} for line in lines]


def load_record(path: str | Path = records.RECORDED / f"{NAME}.json") -> records.Record:
    """The record. Raises CourseError, with the command that makes one, where there is none."""

    def check(record: records.Record) -> None:
        puzzle = puzzles.parse(record["puzzle"])
        ways = set(counted("", len(puzzle.numbers) - 1))
        if not record["lines"] or len(record["moments"]) < 2:
            raise ValueError("no film has a single moment")
        if any(set(m["answers"]) != ways for m in record["moments"]):
            raise ValueError("not the answers of that puzzle")
        if any(sum(m["answers"].values()) != record["samples"] for m in record["moments"]):
            raise ValueError("not all samples are there")

    return records.read(path, f"python -m course_lib {NAME} --out DIR", check)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m course_lib answers`: train, look every few steps, and write the record."""
    parser = records.parser(
        NAME,
        "Train R1-Zero for a while and see what it answers to one puzzle meanwhile.",
        "folder for run and record",
    )
    parser.add_argument("--steps", type=COUNT, default=40, help="steps to train (40)")
    parser.add_argument(
        "--every", type=COUNT, default=4, help="steps from one look to the next (4)"
    )
    parser.add_argument("--samples", type=COUNT, default=256, help="answers at each look (256)")
    parser.add_argument("--seed", type=WHOLE, default=0, help="of the puzzle and the run (0)")
    args = parser.parse_args(argv)
    if args.steps % args.every:
        raise CourseError(
            "--steps, --every and --samples take 1 or more, --steps a multiple of --every."
        )
    use_threads()
    puzzle = puzzles.sample(1, args.seed, "test")[0]
    looks = {name: getattr(args, name) for name in ("steps", "every", "samples", "seed")}
    given = " ".join(f"--{name} {value}" for name, value in looks.items())
    record = {
        **records.stamp(args.machine, f"python -m course_lib {NAME} {given} --out DIR"),
        "seed": args.seed,
        "puzzle": str(puzzle),
        "solution": " ".join(puzzles.solutions(puzzle)[0]),
        "samples": args.samples,
        "moments": follow(args.out / "run", puzzle, **looks),
        "lines": log(args.out / "run"),
    }
    records.write(args.out / f"{NAME}.json", record)
    return 0
