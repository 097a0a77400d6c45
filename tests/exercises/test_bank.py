"""The checks' score: wrong submissions caught with their message, right ones never rejected."""

import bank_bug_lab
import bank_cost_reset
import bank_distillation
import bank_escapes
import bank_fresh
import bank_fresh_zero
import bank_how_v3_is_built
import bank_local_inference
import bank_mixture_of_experts
import bank_r1_pipeline
import bank_r1_zero
import bank_real_model
import bank_styles
import bank_uses
import bank_your_data
import pytest
from bank import code, solution, verdict

from course_lib.classroom.checks import catalogue
from course_lib.classroom.checks.judge import Outcome

MODULES = (
    bank_cost_reset,
    bank_mixture_of_experts,
    bank_how_v3_is_built,
    bank_r1_zero,
    bank_bug_lab,
    bank_r1_pipeline,
    bank_distillation,
    bank_local_inference,
    bank_real_model,
    bank_your_data,
    bank_uses,
)
BANKS = {name: bank for module in MODULES for name, bank in module.BANKS.items()}
WRONG = [(name, *one) for name, bank in BANKS.items() for one in bank.wrong]
RIGHT = [(name, one) for name, bank in BANKS.items() for one in (*bank.right, ("", ""))]
RIGHT += bank_styles.RIGHT
FRESH = (bank_fresh, bank_fresh_zero)
RIGHT += [(name, one) for part in FRESH for name, many in part.RIGHT.items() for one in many]
ESCAPES = [*bank_escapes.ESCAPES, *bank_fresh.WRONG, *bank_fresh_zero.WRONG]
JUDGED = (Outcome.WRONG, Outcome.MISTAKE, Outcome.ERROR)


def caught(name, fragment, submission):
    found = verdict(name, submission)
    return found.outcome in JUDGED and fragment in found.message, found.message


def test_every_exercise_has_its_bank():
    assert set(BANKS) == set(catalogue.exercises())
    for name, bank in BANKS.items():
        texts = {code(name, one) for _, one in bank.wrong}
        assert len(texts) >= 8, f"{name} has {len(texts)} wrong submissions"
        assert len({code(name, one) for one in bank.right} - {solution(name)}) >= 3, name


@pytest.mark.parametrize(("name", "fragment", "submission"), WRONG)
def test_wrong_submission_is_caught_with_its_message(name, fragment, submission):
    good, message = caught(name, fragment, submission)
    assert good, f"wanted {fragment!r}, got:\n{message}\nfor\n{code(name, submission)}"


@pytest.mark.parametrize(("name", "what", "submission"), ESCAPES, ids=lambda part: str(part)[:30])
def test_what_escaped_earlier_checks_is_caught_whatever_is_drawn(name, what, submission):
    for seed in range(3):
        assert verdict(name, submission, seed).outcome in JUDGED, what


@pytest.mark.parametrize(("name", "submission"), RIGHT)
def test_right_submission_is_accepted(name, submission):
    found = verdict(name, submission)
    assert found.outcome is Outcome.RIGHT, f"{found.message}\nfor\n{code(name, submission)}"


def test_score(record_property):
    found = sum(caught(*one)[0] for one in WRONG)
    accepted = sum(verdict(*one).outcome is Outcome.RIGHT for one in RIGHT)
    record_property(
        "told",
        f"exercises: {len(BANKS)}, mutants caught: {found}/{len(WRONG)}, "
        f"right variants accepted: {accepted}/{len(RIGHT)}",
    )
    assert (found, accepted) == (len(WRONG), len(RIGHT))
