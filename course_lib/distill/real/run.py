"""A real model learns to reason, as one run in one folder: `python -m course_lib real-model`.

`start` holds the fresh adapter, `distil` the run of distillation (`distill.run`) and `rl` that of
GRPO from there (`zero.run`); each goes on when it was stopped. `adapter` is what one takes away.
"""

import argparse
import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from course_lib.distill import distill
from course_lib.distill.real import language_model, recipe
from course_lib.distill.trace_sft import DistillConfig
from course_lib.errors import COUNT, WHOLE, CourseError
from course_lib.model import lora, models
from course_lib.rl import zero
from course_lib.runtime import new_folder

TEACHER = "mini-r1-zero"

Line = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a run is made of; a stage with 0 steps is left out."""

    seed: int = 0
    adapter: lora.Lora = recipe.LORA
    distil: DistillConfig = recipe.DISTIL
    rl: zero.ZeroConfig = recipe.REINFORCE

    def stages(self) -> tuple[DistillConfig, zero.ZeroConfig]:
        """Both stages' settings, with the run's seed."""
        return replace(self.distil, seed=self.seed), replace(self.rl, seed=self.seed)


def run(
    out: str | Path, plan: Plan | None = None, *, model: str | Path | None = None, yes: bool = False
) -> Iterator[Line]:
    """Teach a language model by traces, then by GRPO: one dict a step, with its `stage`.

    `model` is SmolLM2-135M-Instruct (a download of 98 MB, which asks for `yes`) or a folder. Stop
    it whenever you like; the same call goes on from the last checkpoint. Raises CourseError for a
    model that cannot be taught here, before anything is loaded.
    """
    plan, out = plan or Plan(), Path(out)
    first = language_model.start(out / "start", model, plan.adapter, seed=plan.seed, yes=yes)
    distil, rl = plan.stages()
    taught = first
    if distil.steps:
        for line in distill.run(models.shipped(TEACHER), out / "distil", distil, base=first):
            yield {"stage": "distillation", **line}
        taught = out / "distil" / "model"
    if rl.steps:
        for line in zero.run(out / "rl", rl, base=taught):
            yield {"stage": "RL", **line}
    take_away(out)


def take_away(out: str | Path) -> Path:
    """Write the run's last adapter into `out/adapter`, in half precision, with its model card.

    Raises CourseError for a run that has made none yet.
    """
    out = Path(out)
    made = [one for one in (out / "rl" / "checkpoint", out / "distil" / "model")
            if lora.is_adapter(one)]  # fmt: skip
    if not made:
        raise CourseError(f"{out} holds no adapter yet; `python -m course_lib real-model` goes on.")
    with models.replacing(out / "adapter") as aside:
        lora.write(models.load(made[0])[0], aside, "float16")
        card = out / "distil" / "model" / "README.md"
        if card.is_file():
            shutil.copyfile(card, aside / "README.md")
    return out / "adapter"


def main(argv: list[str] | None = None) -> int:
    """`python -m course_lib real-model`: the whole run, with its progress."""
    args = _parser().parse_args(argv)
    if args.device:
        os.environ["INSIDE_R1_DEVICE"] = args.device
    yes = args.yes or args.model is not None or language_model.here() or _asked()
    plan = Plan(seed=args.seed)
    if args.steps is not None:
        plan = replace(plan, distil=replace(plan.distil, steps=args.steps))
    plan = replace(plan, rl=replace(plan.rl, steps=args.rl_steps))
    print("The model is made ready and traces are sampled first; then a line comes.", flush=True)
    _follow(run(args.out, plan, model=args.model, yes=yes))
    made = args.out / "adapter"
    print(
        f"The adapter is in {made}. To ask it: python -m course_lib ask --model "
        f"{shlex.quote(str(made))} "
        f"'7 ? 3 ? 5 ? 2 = 11'; for llama.cpp and Ollama: python -m course_lib export-gguf."
    )
    return 0


def _asked() -> bool:
    """Whether the reader says yes to the download; no where there is nobody to ask."""
    try:
        said = input("SmolLM2-135M-Instruct is a download of 98 MB. Fetch it? [y/N] ")
    except EOFError:
        return False
    return said.strip().lower() in ("y", "yes")


def _follow(lines: Iterator[Line]) -> None:
    shown = ("loss", "reward", "accuracy", "thinking_tokens", "seconds")
    for line in lines:
        if line["step"] % 10 == 0 or line["stage"] == "RL" or "accuracy" in line:
            told = [f"{name} {line[name]:.3g}" for name in shown if name in line]
            print(f"{line['stage']}, step {line['step']}: {', '.join(told)}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib real-model",
        description="SmolLM2-135M, or a model of your own, learns to reason from traces.",
    )
    parser.add_argument("--out", type=new_folder, required=True, help="folder of the run")
    parser.add_argument("--model", type=Path, help="folder of another model (SmolLM2-135M)")
    parser.add_argument("--seed", type=WHOLE, default=0, help="equal seeds give equal runs (0)")
    parser.add_argument("--steps", type=COUNT, help=f"updates ({recipe.DISTIL.steps})")
    parser.add_argument("--rl-steps", type=WHOLE, default=0, help="steps of GRPO afterwards (0)")
    parser.add_argument("--device", help="cpu or cuda (a GPU where there is one)")
    parser.add_argument("--yes", action="store_true", help="fetch SmolLM2 (98 MB) without asking")
    return parser
