"""A systematic mutation of the official solutions: every mutant is caught or means the same."""

from __future__ import annotations

import ast
import time

import pytest
from bank import solution, solved_names
from mutants import mutants

from course_lib.classroom.checks import catalogue
from course_lib.classroom.checks.callers import Failure, LocalCaller
from course_lib.classroom.checks.exercise import Exercise, inputs
from course_lib.classroom.checks.values import difference

_LAST = "of two dimensions the last is the one numbered 1"
_NOT_ZERO = "only whether it is 0 is asked"
SAME: dict[str, dict[str, str]] = {
    "moe.balance_bias": {
        "line 8: without .double()": "the contract's loads are exact in float32, as is their mean",
    },
    "moe.route": {
        "line 12: sum -> mean": "the mean of two orders groups as their sum does",
        "line 13: -1 -> 1": _LAST,
        "line 13: 1.0 -> 2.0": _NOT_ZERO,
        "line 16: -1 -> 1": _LAST,
        "line 17: -1 -> 1": _LAST,
        "line 17: chosen.sum(-1, keepdim=True) + 1e-20 -> chosen.sum(-1, keepdim=True) - 1e-20": (
            "the sum is 0 or far above 1e-20, and 0 over either is 0"
        ),
    },
    "moe.find_the_bug": {
        "line 6: sum -> mean": "the mean of two orders groups as their sum does",
        "line 7: 1.0 -> 2.0": _NOT_ZERO,
        **{f"line {n}: -1 -> 1": _LAST for n in (7, 9, 11)},
        "line 11: weights.sum(dim=-1, keepdim=True) + 1e-20 -> "
        "weights.sum(dim=-1, keepdim=True) - 1e-20": (
            "the sum is 0 or far above 1e-20, and 0 over either is 0"
        ),
    },
    "v3.accept": {
        "line 9: u < p[drafted] / q[drafted] -> u <= p[drafted] / q[drafted]": (
            "a random number is never exactly the bound"
        ),
    },
    "moe.balance_a_router": {"line 10: without .float()": "counts may be whole numbers"},
    "grpo.grade_groups": {"line 9: True -> False": "both lists have the same length"},
    "distill.majority_vote": {
        "line 10: True -> False": "both lists have the same length",
        "line 13: 1 -> 2": "the first of two is the first of one",
    },
    "real.perplexity": {"line 6: -1 -> 1": _LAST},
    "real.keep_right": {"line 10: True -> False": "both lists have the same length"},
    "distill.teach": {"line 11: -1 -> 1": _LAST},
    "grpo.completion_mask": {"line 9: without .float()": "True and False count as 1 and 0"},
    "grpo.mend_the_verifier": {"line 14: True -> False": "both lists have the same length there"},
    "distill.jsd": {f"line {n}: -1 -> 1": _LAST for n in (8, 9, 12)},
    "memory.longest_context": {
        "line 8: without int()": "a whole number, written as a float",
        "line 8: left // bytes_per_token -> left / bytes_per_token": "int() cuts what // cuts",
    },
}
"""Exercise -> mutant -> why the contract cannot tell it from the solution."""

FUNCTIONS = [one for one in catalogue.exercises().values() if not one.is_value]


def killed(exercise: Exercise, code: str) -> bool:
    """Whether any input shows the mutant; values alone, for gradients have their own tests."""
    names = dict(solved_names(catalogue.lesson_of(exercise.name)))
    try:
        exec(compile(code, "<mutant>", "exec"), names)
        call = LocalCaller(names[exercise.symbol], seconds=20.0, tensors=bool(exercise.tensors))
        for one in inputs(exercise):
            if difference(call(one), one.expected, exercise.rtol, exercise.atol):
                return True
    except Failure:
        return True
    return False


def survivors(exercise: Exercise) -> tuple[int, list[str]]:
    code = ast.unparse(ast.parse(solution(exercise.name)))
    made = [(what, text) for what, text in mutants(code) if text != code]
    alive = []
    for what, text in made:
        if not killed(exercise, text):
            alive.append(what)
    return len(made), alive


@pytest.mark.slow
def test_every_mutant_of_a_solution_is_caught_or_means_the_same(capsys):
    total, same, left, started = 0, 0, [], time.process_time()
    for exercise in FUNCTIONS:
        made, alive = survivors(exercise)
        known = SAME.get(exercise.name, {})
        total, same = total + made, same + len([one for one in alive if one in known])
        left += [f"{exercise.name}: {one}" for one in alive if one not in known]
    seconds = time.process_time() - started
    with capsys.disabled():
        print(
            f"\nmutants of the solutions: {total}, caught: {total - same - len(left)}, "
            f"the same by the contract: {same}, left: {len(left)}; {seconds:.0f} s of one core"
        )
    assert not left, "\n".join(left)
