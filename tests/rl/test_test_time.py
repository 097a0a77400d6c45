"""Best of n, budgets and waits: their bookkeeping, and what is known of them beforehand."""

import pytest
import torch

from course_lib.model import models
from course_lib.rl import test_time
from course_lib.task import puzzles


@pytest.fixture(scope="module")
def zero_model():
    return models.load(models.shipped("mini-r1-zero"))


ITEMS = puzzles.sample(12, 0, "test")


def test_the_best_of_more_is_no_worse_by_the_verifier_and_costs_more(zero_model):
    scorers = {"verifier": test_time.by_verifier, "length": test_time.by_length}
    rows = test_time.best_of_n(*zero_model, ITEMS, [1, 2, 4], scorers)
    assert [(r["scorer"], r["n"]) for r in rows[:3]] == [("verifier", n) for n in (1, 2, 4)]
    best = [r["accuracy"] for r in rows[:3]]
    assert best == sorted(best) and rows[0]["accuracy"] == rows[3]["accuracy"]
    assert rows[0]["tokens"] < rows[1]["tokens"] < rows[2]["tokens"]


def test_a_longer_budget_costs_more_and_cuts_less(zero_model):
    rows = test_time.budget_forcing(*zero_model, ITEMS, [0, 6, 64])
    assert rows[0]["forced"] == 1 and rows[0]["tokens"] < rows[1]["tokens"] < rows[2]["tokens"]
    assert rows[1]["forced"] > rows[2]["forced"]
    assert rows[2]["accuracy"] > rows[0]["accuracy"]
    assert all(0 <= r["accuracy"] <= 1 for r in rows)


def test_a_wait_makes_thoughts_longer(zero_model):
    rows = test_time.wait(*zero_model, ITEMS[:6], 1, room=32)
    assert [r["waits"] for r in rows] == [0, 1] and rows[0]["tokens"] < rows[1]["tokens"]


def test_a_scorer_learns_and_leaves_the_policy_alone(random_models, tokenizer):
    model = random_models["llama"]
    before = {name: p.clone() for name, p in model.state_dict().items()}
    scorer = test_time.train_scorer(
        model, tokenizer, puzzles.sample(4, 0), samples=4, max_new_tokens=6
    )
    rows = test_time.best_of_n(
        model, tokenizer, ITEMS[:3], [1, 2], {"reward model": scorer}, max_new_tokens=6
    )
    assert len(rows) == 2
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
