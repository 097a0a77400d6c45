"""One contract for lesson and exercise: what a lesson defines passes when it is pasted."""

import ast
import json
import math

import pytest
from bank import solved_names

from course_lib.classroom.checks import catalogue
from course_lib.classroom.checks.callers import LocalCaller
from course_lib.classroom.checks.judge import Outcome, judge
from course_lib.runtime import ROOT

TAUGHT = {
    "moe.route": ("02_mixture_of_experts", "route"),
    "moe.balance_bias": ("02_mixture_of_experts", "balance_bias"),
    "grpo.advantages": ("03_r1_zero", "group_advantages"),
    "grpo.completion_mask": ("03_r1_zero", "completion_mask"),
    "grpo.policy_loss": ("03_r1_zero", "policy_loss"),
    "grpo.kl": ("03_r1_zero", "kl"),
    "grpo.find_the_bug": ("03_r1_zero", "policy_loss"),
    "pipeline.preference_loss": ("04_r1_pipeline", "reward_model_loss"),
    "distill.jsd": ("05_distillation", "generalized_jsd"),
}
GIVEN = "import math, torch\nfrom course_lib.model.router import top\nEPSILON = 1e-20\n"


def defined(lesson: str, name: str) -> str | None:
    """The source of a function that a lesson's notebook defines, with the cells' own helpers."""
    notebook = json.loads((ROOT / "notebooks" / f"{lesson}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and f"def {name}(" in source:
            tree = ast.parse(source)
            found = [node for node in tree.body if getattr(node, "name", "") == name]
            if found:
                return ast.unparse(found[0])
    return None


@pytest.mark.parametrize("exercise", list(TAUGHT))
def test_what_the_lesson_defines_passes_the_exercise(exercise):
    lesson, name = TAUGHT[exercise]
    source = defined(lesson, name)
    if source is None:
        pytest.skip(f"notebooks/{lesson}.ipynb defines no {name}")
    names = {"math": math}
    exec(GIVEN + source, names)
    asked = catalogue.get(exercise)
    verdict = judge(asked, LocalCaller(names[name], seconds=30, tensors=asked.tensors))
    assert verdict.outcome is Outcome.RIGHT, verdict.message


def test_the_solutions_define_what_the_exercises_ask_for():
    for one in catalogue.exercises().values():
        assert one.symbol in solved_names(catalogue.lesson_of(one.name))
