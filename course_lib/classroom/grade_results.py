"""What came of a submission, and where results are kept so that no work is done twice."""

import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from course_lib.checklist.progress import worth
from course_lib.classroom.checks.judge import Outcome, Verdict
from course_lib.records import naming


@dataclass(frozen=True)
class Grade:
    """What came of one submission: a verdict for every exercise, and notes on how it ran.

    `key` names what was handed in and what it was asked (see `Submission.digest`).
    """

    student: str
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()
    key: str = ""

    @property
    def right(self) -> int:
        """How many exercises are right."""
        return sum(verdict.outcome is Outcome.RIGHT for verdict in self.verdicts)


def load(folder: Path) -> dict[str, Grade]:
    """All results kept in a report's folder, by their keys; lines that are damaged are none.

    Of one key the last in a file counts, and of several files' the latest.
    """
    found: dict[str, tuple[float, Grade]] = {}
    for path in sorted(folder.glob("results*.jsonl")):
        here: dict[str, tuple[float, Grade]] = {}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                kept = json.loads(line)
                verdicts = tuple(Verdict.read(one) for one in kept["verdicts"])
                one = Grade(kept["student"], verdicts, tuple(kept["notes"]), kept["key"])
                here[one.key] = float(kept.get("time", 0)), one
        for key, (at, one) in here.items():
            if key not in found or at >= found[key][0]:
                found[key] = at, one
    return {key: one for key, (_, one) in found.items()}


def keep(grade: Grade, path: Path) -> None:
    """Add a result to the file at `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("a", encoding="utf-8") as file:
        line = json.dumps(asdict(grade) | {"time": time.time()})
        file.write(f"\n{line}\n")  # after half a line of a run that was killed


def best(verdicts: Iterable[Verdict]) -> dict[str, Verdict]:
    """For each exercise its best verdict; of equal ones the first."""
    found: dict[str, Verdict] = {}
    for one in verdicts:
        before = found.get(one.exercise, one)
        found[one.exercise] = max(before, one, key=lambda verdict: worth(verdict.outcome))
    return found
