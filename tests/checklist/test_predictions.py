"""Predictions: what is said of each, and what is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.checklist import predictions, progress
from course_lib.checklist.quiz import Outcome


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_R1_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("answer", "came", "outcome", "words"),
    [
        ("30", 27.9, "right", "You predicted 30 points; it came to 27.9 points: near."),
        ("10", 27.9, "wrong", "2.8 times too low"),
        ("35", 27.9, "wrong", "points: too high."),
        ("-3", 27.9, "wrong", "too low"),
        ("1e4", 27.9, "wrong", "10,000 points"),
        ("", 27.9, "blank", "You predicted nothing; it came to 27.9 points."),
        ("  ", 27.9, "blank", "nothing"),
        ("many", 27.9, "blank", "cannot be read"),
        ("28 s", 27.9, "blank", "type it in points, not in s"),
        ("minutes", "minutes", "right", "You predicted “minutes”, as it came."),
        ("hours", "minutes", "wrong", "and it came to “minutes”"),
        (None, "minutes", "blank", "nothing"),
    ],
)
def test_what_is_said(answer, came, outcome, words):
    verdict = predictions.compare(answer, came, "points" if came == 27.9 else "")
    assert verdict.outcome == outcome and words in verdict.reply


@pytest.mark.parametrize("came", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("answer", ["0", "28"])
def test_a_run_that_came_to_no_number_has_nothing_near(answer, came):
    verdict = predictions.compare(answer, came)
    assert verdict.outcome == "wrong"
    assert verdict.reply == f"You predicted {answer}; it came to {came}."


@given(st.text(max_size=40), st.floats(-1e9, 1e9))
def test_any_answer_gets_a_sentence(answer, came):
    verdict = predictions.compare(answer, came, "s")
    assert verdict.outcome in set(Outcome) and verdict.reply.endswith(".")


def test_the_first_prediction_that_was_compared_is_the_one_that_is_kept():
    assert predictions.keep("01.x", "How many?", "3") == ""
    assert predictions.kept("01.x") == "3"
    predictions.keep("01.x", "How many?", "5", predictions.compare("5", 10.0, "s"))
    predictions.keep("01.x", "How many?", "10", predictions.compare("10", 10.0, "s"))
    entry = progress.load().entry("predictions", "01.x")
    assert entry["answer"] == "5" and entry["outcome"] == "wrong" and "came to 10" in entry["reply"]


def test_a_prediction_that_cannot_be_kept_is_said(monkeypatch):
    monkeypatch.setattr(progress, "record", lambda *a, **k: "It could not be kept.")
    assert predictions.keep("01.x", "How many?", "3") == "It could not be kept."


def test_junk_in_the_progress_is_no_prediction():
    progress.record("01.x", "right", "predictions", answer=["a", {}])
    assert predictions.kept("01.x") == "" and predictions.kept("01.y") == ""
