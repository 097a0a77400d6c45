"""Recipes: which stages a recorded model went through, to be looked up by switching them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

REWARDS = ("none", "accuracy", "accuracy + format", "accuracy + format + language")
PREFERENCES = ("none", "last part", "alone and long")


@dataclass(frozen=True)
class Recipe:
    """The stages between the base and a model.

    `reward` is that of the reasoning RL, `preference` how the reward model was used at the end.
    """

    cold_start: bool
    reward: str
    sft: bool
    preference: str = "none"

    def words(self) -> str:
        """The recipe as a chain: base -> cold start -> ..."""
        steps = ["base"]
        steps += ["cold start"] if self.cold_start else []
        steps += [f"RL ({self.reward})"] if self.reward != "none" else []
        steps += ["rejection sampling and SFT"] if self.sft else []
        if self.preference == "last part":
            steps.append("RL with preferences in its last part")
        elif self.preference != "none":
            steps.append("RL with the reward model alone, for long")
        return " → ".join(steps)


_ACCURACY, _NO_LANGUAGE, _ALL = REWARDS[1:]

RECIPES: dict[str, Recipe] = {
    "base": Recipe(False, "none", False),
    "zero": Recipe(False, _ACCURACY, False),
    "zero_no_language": Recipe(False, _NO_LANGUAGE, False),
    "zero_rules": Recipe(False, _ALL, False),
    "zero_sft": Recipe(False, _ACCURACY, True),
    "dev1": Recipe(True, "none", False),
    "dev2_no_language": Recipe(True, _NO_LANGUAGE, False),
    "dev2": Recipe(True, _ALL, False),
    "dev2_preference": Recipe(True, _ALL, False, "last part"),
    "dev3": Recipe(True, _ALL, True),
    "r1": Recipe(True, _ALL, True, "last part"),
    "overuse": Recipe(True, _ALL, True, "alone and long"),
}
"""The pipeline's models and its variants, by name."""


def find(recipe: Recipe, recorded: Iterable[str]) -> str | None:
    """The name of the recorded model made by this recipe, or None if nobody ran it."""
    return next((name for name in recorded if RECIPES.get(name) == recipe), None)


def nearest(recipe: Recipe, recorded: Iterable[str]) -> str:
    """The recorded model whose recipe differs in the fewest switches; of equals the first.

    Raises ValueError where nothing known is recorded.
    """
    wanted = asdict(recipe)
    known = [name for name in recorded if name in RECIPES]
    if not known:
        raise ValueError("nothing is recorded: give the names of models that were run")
    return min(
        known, key=lambda name: sum(wanted[k] != v for k, v in asdict(RECIPES[name]).items())
    )
