"""What verdicts are computed from: the learner's own machine, models and run, as far as they exist.

`gather` reads what the lessons left behind and looks at the machine. What is not there yet is
None, or the model that comes with the course, and the questions then say so.
"""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from course_lib import records, runtime
from course_lib.local import hardware, memory
from course_lib.model import accounting
from course_lib.runtime import ASSETS

NOT_ZERO = frozenset(
    {"dev2", "r1", "r1_rules", "variants", "controls", "hacked", "collapse", "parity"}
)
"""Folders of a pipeline and of lesson 3c whose logs are of RL as well, but not of R1-Zero."""

ALTERED = ("change-", "my-reward")
"""How folders begin in which one thing was changed to see what it does."""

MOST_LINES = 100_000
"""Lines of a log that are read; a run of the course has some hundreds."""


@dataclass(frozen=True)
class Run:
    """An R1-Zero run of the learner's own, from its log.

    Accuracies are shares of the held-out puzzles, `thinking` is mean tokens, each at the first
    and at the last step where it was measured; `steps` is the last step.
    """

    folder: Path
    steps: int
    accuracy: tuple[float, float]
    thinking: tuple[float, float]

    def __str__(self) -> str:
        """What it came to, in words."""
        (first, last), (before, after) = self.accuracy, self.thinking
        grown = f"from {before:.1f} to {after:.1f} tokens of thinking"
        return f"from {first:.0%} to {last:.0%} right, {grown}"


@dataclass(frozen=True)
class Student:
    """A distilled model: its folder, its config, and whether the learner has distilled it."""

    folder: Path
    config: Mapping[str, Any]
    own: bool


@dataclass(frozen=True)
class Evidence:
    """The machine's `memory` and largest card (`graphics`) in bytes, its `bandwidth` in bytes/s.

    `config` is the learner's own MoE model, `run` their R1-Zero run, `student` their distill, else
    the course's. A bandwidth of 0 has not been measured.
    """

    memory: int
    config: Mapping[str, Any] | None = None
    run: Run | None = None
    student: Student | None = None
    graphics: int = 0
    bandwidth: float = 0.0


def gather(folder: Path | None = None) -> Evidence:
    """Look at the machine and at what is below `folder` (the course's `runs`, and a notebook's).

    The model is that of the newest R1-Zero run, else the base that comes with the course. Logs and
    configs that cannot be read count as not there.
    """
    kept = [folder] if folder else [runtime.runs(), Path("runs")]
    found = next(filter(None, map(newest_run, kept)), None)
    folders = [found.folder / "checkpoint"] if found else []
    config = next(filter(None, map(read_config, [*folders, ASSETS / "mini-v3-base"])), None)
    own, graphics, bandwidth = machine()
    return Evidence(own, config, found, _student(kept), graphics, bandwidth)


@cache
def machine() -> tuple[int, int, float]:
    """Bytes of memory, bytes of the largest graphics card, bytes/s read; measured once a process.

    The speed is rounded to whole GB/s, as it is shown, so that a verdict agrees with what was read.
    """
    own, *cards = hardware.here()
    speed = max(1.0, round(hardware.bandwidth() / 1e9)) * 1e9
    return own.memory, max((card.memory for card in cards), default=0), speed


def _student(folders: list[Path]) -> Student | None:
    """The newest distill below one of `folders`, else the one that comes with the course."""
    own = [path for place in folders for path in sorted(place.glob("**/model"), key=_age)]
    for folder in [*reversed(own), ASSETS / "mini-r1-distill"]:
        config = read_config(folder, ("qwen2", "llama"))
        if config is not None:
            return Student(folder, config, folder in own)
    return None


def _age(path: Path) -> float:
    return path.stat().st_mtime


def described(evidence: Evidence) -> dict[str, str]:
    """The learner's own numbers in words, by what they are of; only what is there."""
    said = {"memory of this machine": f"{evidence.memory / memory.GIB:.1f} GiB"}
    if evidence.graphics:
        said["memory of its graphics card"] = f"{evidence.graphics / memory.GIB:.1f} GiB"
    if evidence.bandwidth:
        said["read from memory"] = f"{evidence.bandwidth / 1e9:.0f} GB/s on all cores"
    if evidence.run:
        said["own R1-Zero"] = f"{evidence.run.steps} steps: {evidence.run}"
    if evidence.config:
        count = accounting.count_parameters(evidence.config)
        whose = "own mixture of experts" if evidence.run else "mixture of experts of the course"
        said[whose] = f"{count.active:,} of {count.total:,} parameters for each token"
    if evidence.student:
        size = accounting.count_parameters(evidence.student.config).total
        name = "own distill" if evidence.student.own else "distill of the course"
        said[name] = f"{size:,} parameters ({evidence.student.config['model_type']})"
    return said


def newest_run(folder: Path) -> Run | None:
    """The R1-Zero run below `folder` whose log was written last, of those that can be read.

    Of logs with one time, as a copied folder has them, the last by name.
    """
    logs = folder.glob("**/metrics.jsonl")
    for log in sorted(logs, key=lambda log: (_age(log), log), reverse=True):
        parts = log.relative_to(folder).parts
        altered = any(part.startswith(ALTERED) for part in parts)
        if not altered and not NOT_ZERO & set(parts) and (run := read_run(log)):
            return run
    return None


def read_run(log: Path) -> Run | None:
    """A run from its log; None if it is no log of an R1-Zero run with two measurements.

    The base's own line, of step 0, has the thinking of held-out completions only.
    """
    try:
        read = list(islice(records.lines(log), MOST_LINES))
    except OSError:
        return None
    lines = [
        {"thinking_tokens": line.get("test_thinking_tokens")} | line
        for line in read
        if "attempts" in line or "test_attempts" in line
    ]
    accuracy, thinking = _numbers(lines, "accuracy"), _numbers(lines, "thinking_tokens")
    if len(accuracy) < 2 or len(thinking) < 2:
        return None
    ends = (accuracy[0], accuracy[-1]), (thinking[0], thinking[-1])
    last = next((step for step in reversed(_numbers(lines, "step")) if step), 0)
    return Run(log.parent, int(last), *ends)


def _numbers(lines: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """The figures under a name, without what is none."""
    found = [line[name] for line in lines if isinstance(line.get(name), int | float)]
    return [float(one) for one in found if 0 <= one <= sys.float_info.max]


def read_config(folder: Path, kinds: tuple[str, ...] = ("deepseek_v3",)) -> dict[str, Any] | None:
    """`config.json` of a model of one of `kinds`, DeepSeek-V3's class; None for anything else."""
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
        config = records.loaded(folder / "config.json")
        if config["model_type"] in kinds:
            accounting.count_parameters(config)
            return config
    return None
