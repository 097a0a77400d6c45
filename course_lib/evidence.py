"""What verdicts are computed from: the learner's own machine, model and run, as far as they exist.

Nothing here is measured anew: `gather` reads what the lessons left behind. What is not there yet
is None, and the questions then fall back on the ledger and say so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from course_lib import runs

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


@dataclass(frozen=True)
class Evidence:
    """`memory`: bytes of the machine; `config`: the learner's own MoE model; `run`: their run."""

    memory: int
    config: Mapping[str, Any] | None = None
    run: Run | None = None


def gather(folder: Path | None = None) -> Evidence:
    """Look at the machine and at the newest R1-Zero run below `folder` (the course's `runs`).

    The model is that of the run, else the base that comes with the course. Logs and configs that
    cannot be read count as not there.
    """
    found = newest_run(folder or runs.folder())
    folders = [found.folder / "checkpoint"] if found else []
    folders += [Path(__file__).parent / "assets" / "mini-v3-base"]
    config = next((c for c in map(read_config, folders) if c is not None), None)
    return Evidence(psutil.virtual_memory().total, config, found)


def newest_run(folder: Path) -> Run | None:
    """The R1-Zero run below `folder` whose log was written last, of those that can be read."""
    logs = sorted(folder.glob("**/metrics.jsonl"), key=lambda path: path.stat().st_mtime)
    read = (read_run(path) for path in reversed(logs))
    return next((run for run in read if run is not None), None)


def read_run(log: Path) -> Run | None:
    """A run from its log; None if it is no log of an R1-Zero run with two measurements."""
    accuracy, thinking, steps = [], [], 0
    for line in _lines(log):
        if "attempts" not in line:
            continue
        steps = int(_number(line, "step") or steps)
        accuracy += [value for value in [_number(line, "accuracy")] if value is not None]
        thinking += [value for value in [_number(line, "thinking_tokens")] if value is not None]
    if len(accuracy) < 2 or len(thinking) < 2:
        return None
    ends = (accuracy[0], accuracy[-1]), (thinking[0], thinking[-1])
    return Run(log.parent, steps, *ends)


def _lines(log: Path) -> list[dict[str, Any]]:
    """The JSON objects of a log, one a line; what cannot be read is left out."""
    lines = []
    try:
        with log.open(encoding="utf-8") as text:
            for _, line in zip(range(MOST_LINES), text, strict=False):
                lines.append(_object(line))
    except (OSError, UnicodeDecodeError):
        return []
    return [line for line in lines if line is not None]


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(line: Mapping[str, Any], name: str) -> float | None:
    value = line.get(name)
    usable = isinstance(value, int | float) and math.isfinite(value) and value >= 0
    return float(value) if usable else None


def read_config(folder: Path) -> dict[str, Any] | None:
    """`config.json` of a model of DeepSeek-V3's class; None for anything else."""
    try:
        config = _object((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return config if config and config.get("model_type") == "deepseek_v3" else None
