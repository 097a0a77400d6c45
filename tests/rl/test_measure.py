"""Working made to be shown: what is counted, and what an untrained model gets."""

import pytest

from course_lib.model import models
from course_lib.rl import measure
from course_lib.task import puzzles


def test_right_and_wrong_steps_and_verdicts_are_counted(monkeypatch):
    puzzle = puzzles.parse("7 ? 3 ? 5 ? 2 = 11")
    monkeypatch.setattr(puzzles, "sample", lambda n, seed, split: [puzzle] * n)
    good = "<think> -3=4 +5=9 +2=11 yes</think> - + +"
    slip = "<think> -3=4 +5=8 +2=10 no</think> - + +"  # one wrong step of three
    liar = "<think> +3=10 +5=15 +2=17 yes</think> + + +"  # a wrong verdict
    monkeypatch.setattr(measure, "_thoughts", lambda *given: [good, good, slip, liar])
    found = measure.step_accuracy(None, None, n=4)
    assert found["steps"] == 12 and found["steps_right"] == pytest.approx(11 / 12)
    assert found["verdicts"] == 4 and found["verdicts_right"] == pytest.approx(3 / 4)
    assert found["accuracy"] == pytest.approx(3 / 4) and found["attempts"] == 1


def test_a_model_without_working_scores_nothing(random_models, tokenizer):
    found = measure.step_accuracy(random_models["llama"], tokenizer, n=4)
    assert found["accuracy"] == 0
    assert found["steps"] > 0 or found["steps_right"] == found["verdicts_right"] == 0


def test_every_completion_is_begun_with_a_thought(random_models, tokenizer):
    texts = measure._thoughts(random_models["llama"], tokenizer, puzzles.sample(3, 0), 0)
    assert len(texts) == 3 and all(text.startswith(models.THINK) for text in texts)


def test_no_puzzles_is_refused():
    with pytest.raises(ValueError, match="n is 0"):
        measure.step_accuracy(None, None, n=0)
