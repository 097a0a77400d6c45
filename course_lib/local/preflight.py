"""What this machine can run and how long it will take: measured here, not guessed."""

import json
import platform
import shutil
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from transformers import PreTrainedModel

from course_lib import runtime
from course_lib.errors import CourseError
from course_lib.model import models, rollout
from course_lib.runtime import allowed_cores, use_threads
from course_lib.task import puzzles

NEEDED_MEMORY = 2e9  # bytes; all but lesson 9's training stays under it
_RECORDED = models.ASSETS / "recorded.json"
_PACKAGES = ("torch", "transformers", "jupyterlab", "ipywidgets", "plotly")


@dataclass(frozen=True)
class Machine:
    """What was found: versions, cores, memory and disk in bytes, and the GPU's name or None."""

    python: str
    system: str
    cores: int
    memory: int
    memory_free: int
    disk_free: int
    gpu: str | None
    packages: dict[str, str]


def look() -> Machine:
    """Find out what this machine is."""
    memory, free = runtime.memory()
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=allowed_cores(),
        memory=memory,
        memory_free=free,
        disk_free=shutil.disk_usage(Path.cwd()).free,
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        packages={name: metadata.version(name) for name in _PACKAGES},
    )


def probe(seconds: float = 3.0) -> float:
    """Seconds for one small round of what training does: sample 64 completions, learn from them.

    The best of as many rounds as fit into `seconds`. It uses the shipped base and changes nothing.
    """
    use_threads()
    model, tokenizer = models.load(models.shipped("mini-v3-base"))
    prompts = [models.chat_ids(tokenizer, str(p)) for p in puzzles.sample(16, 0)]
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        _round(model, tokenizer.eos_token_id, prompts)
        best = min(best, time.perf_counter() - began)
    return best


def _round(model: PreTrainedModel, eos: int, prompts: list[list[int]]) -> None:
    sampled = rollout.generate(
        model, prompts, samples=4, max_new_tokens=32, eos=eos, banned=[eos], temperature=1.0
    )
    ids = torch.cat([sampled.prompt_ids, sampled.ids], 1)
    model(ids, labels=ids, use_cache=False).loss.backward()
    model.zero_grad()


def recorded() -> dict:
    """How long each run took where it was recorded, with that machine's own probe."""
    return json.loads(_RECORDED.read_text(encoding="utf-8"))


def estimates(probed: float) -> dict[str, float]:
    """Seconds that each run should take here, scaled from the recorded ones by the probe."""
    record = recorded()
    return {name: s * probed / record["probe"] for name, s in record["seconds"].items()}


def require_memory(needed: float = NEEDED_MEMORY) -> None:
    """Raise CourseError where less than `needed` bytes of memory are free."""
    free = runtime.memory()[1]
    if free < needed:
        raise CourseError(
            f"Only {free / 1e9:.1f} GB of memory are free and this run wants "
            f"{needed / 1e9:.1f} GB; close other programs or notebooks and try again."
        )


def report(machine: Machine, probed: float) -> str:
    """The findings in plain sentences."""
    gpu = machine.gpu or "none; the course does not need one"
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    lines = [
        f"Python {machine.python} on {machine.system}; {versions}",
        f"Cores: {machine.cores}, of which torch uses {use_threads()}. GPU: {gpu}.",
        f"Memory: {machine.memory_free / 1e9:.1f} GB free of {machine.memory / 1e9:.1f} GB"
        f" (the course needs {NEEDED_MEMORY / 1e9:.0f} GB, training in lesson 9 some more).",
        f"Disk: {machine.disk_free / 1e9:.1f} GB free.",
        "What will run here, and about how long it takes (measured with a short probe):",
    ]
    lines += [f"  {name}: {duration(s)}" for name, s in estimates(probed).items()]
    lines.append(f"Your progress is kept in {runtime.home()}, your runs in {runtime.runs()}.")
    if machine.memory_free < NEEDED_MEMORY:
        lines.append("There is too little free memory; close other programs first.")
    if said := runtime.not_kept():
        lines.append(said)
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds for people: `40 s`, `3 min`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
