"""What a run's folder says of itself: what it was made with, when, and what has changed since.

`run.json` stands beside the log, and the checkpoint holds the same. A run is known by every setting
but `steps`, by its base's weights, and by the source of the reward, the verifier and the functions
that it learns with (see `identity`).
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeGuard

from course_lib import records
from course_lib.errors import CourseError
from course_lib.model import checkpoints
from course_lib.rl.identity import describe, digest, name_of
from course_lib.rl.settings import Task, ZeroConfig

NAME = checkpoints.ABOUT
PARTS = ("checkpoint", "metrics.jsonl", NAME)
"""What a run leaves in its folder."""

Made = dict[str, dict[str, str]]


def made_with(
    config: ZeroConfig, task: Task, base: Path, functions: Mapping[str, Callable[..., Any]]
) -> Made:
    """Every part that decides a run, by name: how it is shown, and a sum to compare it by.

    `functions` are the method, advantages and loss. A base that is no longer there is left out.
    """
    settings = {name: v for name, v in asdict(config).items() if name != "steps"}
    made = {name: _part(f"{v!r}"[:80], describe(v)) for name, v in settings.items()}
    parts = {"reward": task.reward, "verifier": task.right, "puzzles drawn": task.draw,
             "prompt": task.prompt, "puzzles held out": task.held_out, **functions}  # fmt: skip
    for name, part in parts.items():
        text = describe(part)
        made[name] = _part(name_of(part), text) | {"source": text[:4000]}
    if os.path.isdir(base):
        made["base"] = _part(base.name, checkpoints.fingerprint(base))
    return made


def _part(shown: str, text: str) -> dict[str, str]:
    return {"is": shown, "sum": digest(text)}


def read(out: Path) -> dict[str, Any]:
    """What is known of the run in `out`: nothing ({}) where there is none.

    The checkpoint knows it too where `run.json` is gone or damaged. Raises CourseError where that
    is damaged as well, or the run another command's.
    """
    kept: Any = None
    with suppress(OSError, ValueError):
        kept = records.loaded(out / NAME)
        if _is_run(kept):
            return kept
    if checkpoints.has_state(folder := out / "checkpoint"):
        state = checkpoints.read_state(folder)
        kept = state.get("run") or _older(state)
    elif not isinstance(kept, dict) or "made" in kept:
        return {}
    if not _is_run(kept):
        raise CourseError(
            f"What is in {out} does not say what the run is made of, as R1-Zero's does: it is "
            "another command's, or damaged. Give another folder."
        )
    return kept


def _is_run(kept: object) -> TypeGuard[dict[str, Any]]:
    """Whether it is what `begin` writes: parts with their sums, a date and a number of steps."""
    if not isinstance(kept, dict) or not isinstance(kept.get("made"), dict):
        return False
    parts = all(
        isinstance(part, dict) and all(isinstance(part.get(key), str) for key in ("is", "sum"))
        for part in kept["made"].values()
    )
    return parts and isinstance(kept.get("date"), str) and type(kept.get("steps")) is int


def _older(state: Mapping[str, Any]) -> dict[str, Any]:
    """A run from before runs said what they are: its settings are known."""
    said = state.get("config")
    if not isinstance(said, dict):
        return {}
    config = {n: v for n, v in said.items() if n != "steps"}
    tupled = {n: tuple(v) if isinstance(v, list) else v for n, v in config.items()}
    made = {name: _part(f"{v!r}"[:80], describe(v)) for name, v in tupled.items()}
    return {"made": made, "date": "", "steps": state.get("step", 0)}


def begin(out: Path, made: Made, steps: int) -> dict[str, Any]:
    """Write down what a run is, or that it is to have more steps than it was begun with."""
    kept = read(out) or {"date": datetime.now(UTC).date().isoformat()}
    kept = {**kept, "made": {**kept.get("made", {}), **made}, "steps": steps}
    with checkpoints.telling(out / NAME):
        records.write(out / NAME, kept)
    return kept


def changed(kept: Mapping[str, Any], made: Made) -> list[str]:
    """The names of what is otherwise than in the run that is kept; [] where there is none."""
    before = kept.get("made", {})
    return sorted(n for n, part in made.items() if n in before and before[n]["sum"] != part["sum"])


def about(out: str | Path) -> str:
    """Which run a folder holds, in a sentence. Raises CourseError where there is none."""
    kept = read(Path(out))
    if not kept:
        raise CourseError(f"{out} holds no run.")
    made, plain = kept["made"], asdict(ZeroConfig())
    shown = [f"{kept['steps']} steps"]
    shown += [f"{n} {made[n]['is']}" for n in ("seed",) if n in made]
    functions = {n: made[n]["is"] for n in ("reward", "advantages", "loss") if n in made}
    shown += [f"the {name} `{function}`" for name, function in functions.items()]
    for name, value in plain.items():
        if name != "seed" and name in made and made[name]["sum"] != digest(describe(value)):
            shown.append(f"{name} {made[name]['is']}")
    when = f"of {_said(kept['date'])}" if kept["date"] else "of an earlier version of the course"
    return f"This is the run {when} in {out}, made with {', '.join(shown)}."


def _said(day: str) -> str:
    try:
        return f"{date.fromisoformat(day):%d %B %Y}".lstrip("0")
    except ValueError:
        return day


def refuse(out: Path, names: list[str]) -> None:
    """A run goes on with what it began with, or its curve would mean nothing."""
    if names:
        own = out.with_name(named(out, names))
        raise CourseError(
            f"{out} holds a run with other settings ({', '.join(names)}). {about(out)} For a run "
            f'of its own give another folder, such as "{own.as_posix()}"; to begin anew, '
            "delete the folder (in Python, again=True sets the old run aside)."
        )


def named(out: Path, names: list[str]) -> str:
    """The name of a folder for a run in which some things are otherwise than in `out`."""
    said = "-".join(name.replace(" ", "-") for name in names) if len(names) < 4 else "changed"
    return f"{out.name}-{said}"


def place(out: Path, made: Made) -> Path:
    """`out`, or, where another run is in it, the folder beside it for one like this."""
    names = changed(read(out), made)
    if not names:
        return out
    first = out.with_name(named(out, names))
    folder, number = first, 1
    while changed(read(folder), made):
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return folder
