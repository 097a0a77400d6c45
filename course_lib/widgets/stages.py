"""The stage explorer: two recipes side by side, with what was measured and what the models say."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import ipywidgets as ipw

from course_lib.pipeline import stage_records
from course_lib.pipeline.stage_records import FIGURES, PREFERENCES, RECIPES, REWARDS, Recipe
from course_lib.show import tables
from course_lib.widgets.base import Widget, choice, slider, tick

SIDES = ("left", "right")
FIRST = {"left": RECIPES["zero"], "right": RECIPES["r1"]}


@cache
def _record() -> Mapping[str, Any]:
    return stage_records.load()


class StageExplorer(Widget):
    """Switch the stages of two models on and off; every combination that was run has its row."""

    title = "Stage explorer"
    column = "30em"

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """For each side the stages it went through, and which puzzle's traces are shown."""
        made: dict[str, ipw.ValueWidget] = {}
        for side in SIDES:
            first, name = FIRST[side], side.capitalize()
            made[f"{side}_cold_start"] = tick(f"{name}: cold start", first.cold_start)
            made[f"{side}_reward"] = choice(f"{name}: reward of RL", list(REWARDS), first.reward)
            made[f"{side}_sft"] = tick(f"{name}: rejection sampling and SFT", first.sft)
            made[f"{side}_preference"] = choice(
                f"{name}: reward model", list(PREFERENCES), first.preference
            )
        count = len(next(iter(_record()["traces"].values())))
        return made | {"trace": slider("Puzzle shown", 1, count, 1)}

    def groups(self) -> dict[str, list[str]]:
        """A card for each side, the two side by side, then the puzzle."""
        sides = {s.capitalize(): [n for n in self._controls if n.startswith(s)] for s in SIDES}
        return sides | {"": ["trace"]}

    def recipe(self, side: str) -> Recipe:
        """The recipe that a side's switches stand for."""
        names = ("cold_start", "reward", "sft", "preference")
        return Recipe(*(self.state[f"{side}_{name}"] for name in names))

    def model(self, side: str) -> str | None:
        """The recorded model of a side's recipe; None if that combination was not run."""
        return stage_records.find(self.recipe(side), _record()["traces"])

    def picture(self) -> str:
        """One table: a column a side, a row a figure, and at its foot what each model said."""
        found = {side: self.model(side) for side in SIDES}
        heads = ("figure", *(f"{side}: {self.recipe(side).words()}" for side in SIDES))
        rows = [
            (heading, *(_cell(found[side], figure) for side in SIDES))
            for figure, (heading, _) in FIGURES.items()
        ]
        said = (_trace(found[side], self.state["trace"] - 1) for side in SIDES)
        rows.append((f"says to {_prompt(self.state['trace'] - 1)}", *said))
        return tables.html(stage_records.said(_record()), heads, rows)

    def text(self) -> str:
        """Each side's figures, or that its combination was not run, and what the models say."""
        index = self.state["trace"] - 1
        said = "; ".join(f"{side}, {_trace(self.model(side), index)}" for side in SIDES)
        figures = " ".join(self._words(side) for side in SIDES)
        return f"{figures} They say to {_prompt(index)}: {said}."

    def _words(self, side: str) -> str:
        name, recipe = self.model(side), self.recipe(side)
        if name is None:
            other = RECIPES[stage_records.nearest(recipe, _record()["traces"])]
            return f"{side.capitalize()}: this was not run; the nearest that was: {other.words()}."
        shown = ("accuracy", "consistency", "thinking_tokens")
        said = ", ".join(f"{FIGURES[key][0]} {_cell(name, key)}" for key in shown)
        return f"{side.capitalize()}, {recipe.words()}: {said}."


def _cell(name: str | None, figure: str) -> str:
    value = stage_records.spread(_record(), name, figure) if name else None
    return str(value) if value else "–"


def _trace(name: str | None, index: int) -> str:
    return _record()["traces"][name][index]["completion"] if name else "not run"


def _prompt(index: int) -> str:
    return next(iter(_record()["traces"].values()))[index]["prompt"]
