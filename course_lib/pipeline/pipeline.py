"""The whole pipeline, from R1-Zero to R1: one folder, one command, and it goes on when stopped.

    zero -> cold_start -> dev1 -> dev2 -> rejection -> dev3 -> reward_model -> r1 -> table

What each stage does is in `stages`; here is who runs when, what is there already, and the command.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from course_lib.errors import WHOLE, CourseError
from course_lib.model import checkpoints, models
from course_lib.pipeline import variants
from course_lib.pipeline.stages import STAGES, TINY, PipelineConfig, read, require_made, told
from course_lib.rl import run_folder
from course_lib.runtime import new_folder, use_threads

_SETTINGS = "pipeline.json"


def run(
    out: str | Path, config: PipelineConfig | None = None, only: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Run the stages that `out` does not have yet (or those of `only`) and yield their log lines.

    Each line has `stage`; the last one of a stage has `done`. Stop it whenever you like: the same
    call goes on. Raises CourseError for a stage whose input is missing, saying what makes it, for
    an unknown stage, and for a folder that holds a run with other settings.
    """
    config, out = config or PipelineConfig(), Path(out)
    unknown = [name for name in only if name not in STAGES]
    if unknown:
        raise CourseError(f"There is no stage {unknown[0]!r}; the stages are {', '.join(STAGES)}.")
    use_threads()
    if os.path.isfile(out / _SETTINGS):
        read(out / _SETTINGS)  # a damaged one is told
    checkpoints.claim(out, asdict(config), _SETTINGS)
    for name in only or STAGES:
        stage, done = STAGES[name], is_done(out, name, config)
        if not done:
            require_made(out, stage.needs, f"stage {name}")
        yield from told(name, stage.about, () if done else stage.work(out, config))


def is_done(out: Path, name: str, config: PipelineConfig) -> bool:
    """Whether a stage has left all that it makes: an RL run counts once its last step is saved.

    An R1-Zero that was taken over (`adopt_zero`) counts as it is, with however many steps.
    """
    path = out / STAGES[name].makes
    if name not in RL_STEPS:
        return path.exists()
    if not checkpoints.has_state(path):
        return False
    if name == "zero" and not (out / "zero" / checkpoints.ABOUT).is_file():
        return True
    return read(path / "trainer.json").get("step", 0) >= getattr(config, RL_STEPS[name])


RL_STEPS = {"zero": "zero_steps", "dev2": "reasoning_steps", "r1": "preference_steps"}
"""The stages of RL, and the setting that says how many steps each takes."""


def adopt_zero(out: str | Path, trained: str | Path) -> None:
    """Take over the R1-Zero that `course_lib.rl.zero.run` left in `trained`, in place of a new one.

    One that `out` has from there already is left alone. Raises CourseError if there is none to take
    over, and where `out` has one of its own, begun or finished.
    """
    source = Path(trained) / "checkpoint"
    if not checkpoints.has_state(source):
        raise CourseError(
            f"There is no R1-Zero in {trained}; make one with "
            f"`python -m course_lib zero --out {shlex.quote(str(trained))}`."
        )
    run_folder.read(Path(trained))  # another command's checkpoint is told
    kept = Path(out) / "zero"
    there, own = checkpoints.has_state(kept / "checkpoint"), (kept / checkpoints.ABOUT).is_file()
    if own or (there and (checkpoints.fingerprint(kept / "checkpoint")
                          != checkpoints.fingerprint(source))):  # fmt: skip
        raise CourseError(f"{kept} holds another R1-Zero; give another --out, or leave out --zero.")
    if there:
        return
    with models.replacing(kept / "checkpoint") as aside:
        shutil.copytree(source, aside, dirs_exist_ok=True)


def main(argv: Sequence[str] | None = None) -> None:
    """`python -m course_lib pipeline`: the stages from R1-Zero to R1, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m course_lib pipeline", description=main.__doc__)
    parser.add_argument("--out", type=new_folder, required=True, help="folder for all stages")
    parser.add_argument("--seed", type=WHOLE, default=0, help="equal seeds give equal runs (0)")
    parser.add_argument("--zero", type=Path, help="an R1-Zero that was trained before (lesson 3)")
    parser.add_argument("--only", nargs="+", default=[], metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument(
        "--variants", action="store_true", help="also the runs with stages left out"
    )
    parser.add_argument("--tiny", action="store_true", help="a few seconds, to see that all runs")
    _follow(parser.parse_args(argv))


def _follow(args: argparse.Namespace) -> None:
    """Run the command: a line when a stage ends, and the table at the end."""
    config = replace(TINY if args.tiny else PipelineConfig(), seed=args.seed)
    if args.zero:
        adopt_zero(args.out, args.zero)
    lines = run(args.out, config, args.only)
    if args.variants:
        lines = chain(lines, variants.run(args.out, config))
    for line in lines:
        if line.get("done"):
            print(f"{line['stage']}: {line['about']} ({line['seconds']:.0f} s)")
        elif line.get("step", 0) % 10 == 0 or "model" in line:
            shown = {k: round(v, 3) for k, v in line.items() if isinstance(v, float)}
            print(
                line["stage"], line.get("step", ""), line.get("model", ""), shown, file=sys.stderr
            )
    if (args.out / "table.json").is_file():
        rows = read(args.out / "table.json")["rows"]
        print(json.dumps({name: row["figures"] for name, row in rows.items()}))
