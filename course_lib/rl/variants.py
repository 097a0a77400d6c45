"""Controls and variants of R1-Zero by name: each is the run of `zero` with one thing changed.

The table of them all is `experiments.toml`, to be read as a page; here its lines become runs.
"""

import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import torch

from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.rl import rewards, zero
from course_lib.rl.identity import describe, digest, name_of
from course_lib.rl.zero import PUZZLES, Task, ZeroConfig
from course_lib.task.puzzles import Puzzle

_TABLE = tomllib.loads(Path(__file__).with_name("experiments.toml").read_text(encoding="utf-8"))

SHORT = ZeroConfig(**_TABLE["short"])


@dataclass(frozen=True)
class Experiment:
    """One thing changed: what it asks, what is run, on which base (None: the shipped one), how."""

    asks: str
    config: ZeroConfig = SHORT
    task: Task = PUZZLES
    base: Callable[[Path], Path] | None = None
    method: type[zero.Learner] = zero.Learner


def rewarded(reward: Callable[[Puzzle, str], float], task: Task = PUZZLES) -> Task:
    """The puzzles with another reward; accuracy is still by the exact verifier."""
    return replace(task, reward=reward)


def scramble_totals(folder: Path) -> Path:
    """Save the shipped base with its adder broken, and return `folder`.

    The rows of the output layer that write totals (`=10`, `=ten`) change places: where the base
    means one total it writes another, always the same. All else, thinking included, is as before.
    """
    model, tokenizer = models.load(models.shipped("mini-v3-base"))
    totals = [i for piece, i in models.token_ids(tokenizer).items() if piece.startswith("=")]
    order = torch.randperm(len(totals), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rows = model.lm_head.weight[totals]
        model.lm_head.weight[totals] = rows[order]
    models.save(model, tokenizer, folder)
    return folder


def hack(folder: Path) -> Path:
    """Train the shipped base by the lenient verifier; returns the folder of the hacked policy."""
    work, hacked = folder.with_name("hacking"), find("hacked")
    for _ in zero.run(work, hacked.config, task=hacked.task):
        pass
    return (work / "checkpoint").rename(folder)


def _read(line: dict[str, Any]) -> Experiment:
    """One paragraph of the table as an experiment."""
    change = dict(line.get("change", {}))
    if line.get("banned") == "thinking":
        totals = (piece for piece in models.vocabulary() if piece[:1] == "=")
        change["banned"] = (models.THINK, *totals)
    task = rewarded(getattr(rewards, line["reward"])) if "reward" in line else PUZZLES
    base = globals()[line["base"]] if "base" in line else None
    module, name = line.get("method", "learner.Learner").split(".")
    method = getattr(import_module(f"course_lib.rl.{module}"), name)
    return Experiment(line["asks"], replace(SHORT, **change), task, base, method)


def _group(name: str) -> dict[str, Experiment]:
    return {key: _read(line) for key, line in _TABLE[name].items()}


def _search() -> dict[str, Experiment]:
    """An experiment for every choice of rates: `outcome-6e-04`, `ppo-3e-04-1e-03`."""
    found = {}
    for name, rates in _TABLE["search"].items():
        plain = {**CONTROLS, **VARIANTS}[name]
        for values in product(*rates.values()):
            config = replace(plain.config, **dict(zip(rates, values, strict=True)))
            label = "-".join([name, *(f"{value:.1e}".replace(".0e", "e") for value in values)])
            found[label] = replace(plain, config=config)
    return found


CONTROLS, VARIANTS, HACKS = _group("controls"), _group("variants"), _group("hacks")
SEARCH, WHOLE = _search(), _group("whole")
EXPERIMENTS: dict[str, Experiment] = {**CONTROLS, **VARIANTS, **HACKS, **SEARCH, **WHOLE}


def find(name: str) -> Experiment:
    """The experiment of that name. Raises CourseError, with the list, for another name."""
    if name not in EXPERIMENTS:
        raise CourseError(f"There is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]


def changed(config: ZeroConfig) -> dict[str, Any]:
    """The fields in which `config` differs from `SHORT`; a long list of tokens is only counted."""
    ours, plain = asdict(config), asdict(SHORT)
    differs = {key: value for key, value in ours.items() if value != plain[key]}
    if "banned" in differs:
        differs["banned"] = f"{len(differs['banned'])} tokens"
    return differs


def settings(name: str) -> dict[str, Any]:
    """All that decides an experiment but its seeds, in JSON: what its record is known by.

    Of the functions there are name and sum (see `identity`); of `banned`, the number and a sum.
    """
    experiment = find(name)
    config = {k: v for k, v in asdict(experiment.config).items() if k != "seed"}
    config["banned"] = f"{len(config['banned'])} tokens {digest(describe(config['banned']))}"
    functions = {"reward": experiment.task.reward, "verifier": experiment.task.right}
    said = {key: f"{name_of(f)} {digest(describe(f))}" for key, f in functions.items()}
    base = "mini-v3-base" if experiment.base is None else name_of(experiment.base)
    return json.loads(
        json.dumps({**config, **said, "base": base, "method": experiment.method.__name__})
    )


def run(
    name: str, seed: int, out: str | Path, *, steps: int | None = None
) -> Iterator[dict[str, float]]:
    """Run an experiment with one seed in `out/NAME/seed-N`; yields a dict a step, as `zero.run`.

    After `steps` it stops, on the schedule of the whole run, with a checkpoint there. A run that
    was stopped goes on from its checkpoint. Raises CourseError for an unknown name.
    """
    experiment = find(name)
    folder = Path(out) / name
    base = None
    if experiment.base is not None:
        base = folder / "base"
        if not (base / "config.json").is_file():
            experiment.base(base)
    yield from zero.run(
        folder / f"seed-{seed}",
        replace(experiment.config, seed=seed),
        base=base,
        task=experiment.task,
        method=experiment.method,
        until=steps,
    )
