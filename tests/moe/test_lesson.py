"""One contract for lesson and exercise: what the lesson defines passes the check when pasted."""

import ast
import json
import math
from pathlib import Path

import pytest
import torch

from course_lib.classroom.checks import check
from course_lib.classroom.checks.desk import CheckFailed

LESSON = Path(__file__).parents[2] / "notebooks" / "02_mixture_of_experts.ipynb"


def defined(name):
    """A function of the lesson, alone in a namespace that has what the exercises import."""
    cells = json.loads(LESSON.read_text(encoding="utf-8"))["cells"]
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        for node in ast.parse("".join(cell["source"])).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                namespace = {"math": math, "torch": torch}
                exec(compile(ast.Module([node], []), name, "exec"), namespace)
                return namespace[name]
    raise LookupError(name)


@pytest.mark.parametrize("name", ["route", "balance_bias"])
def test_the_lessons_function_passes_the_exercise(name, capsys):
    check(f"moe.{name}", defined(name))
    assert f"moe.{name}: right" in capsys.readouterr().out


def test_a_mutant_of_the_lessons_route_is_caught():
    right = defined("route")
    with pytest.raises(CheckFailed, match="bias"):
        check("moe.route", lambda logits, bias, *rest: right(logits, 0 * bias, *rest))
