"""pass@k and votes against counting every case."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.rl.pass_at_k import crossing, pass_at_k, pass_curve, vote, vote_within


@given(
    st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))
)
@settings(max_examples=120, deadline=None)
def test_pass_at_k_counts_every_choice_of_k_samples(case):
    samples, correct, k = case
    outcomes = [True] * correct + [False] * (samples - correct)
    choices = list(itertools.combinations(outcomes, k))
    assert pass_at_k(samples, correct, k) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_pass_at_k_is_unbiased():
    # Over all outcomes of 5 samples that are right with chance 0.3, the mean is 1 - 0.7 ** 3.
    chance = Fraction(3, 10)
    mean = sum(
        chance ** sum(o) * (1 - chance) ** (5 - sum(o)) * Fraction(pass_at_k(5, sum(o), 3))
        for o in itertools.product((0, 1), repeat=5)
    )
    assert float(mean) == pytest.approx(1 - 0.7**3, abs=1e-12)


def test_large_counts_neither_overflow_nor_lose_precision():
    assert pass_at_k(256, 1, 128) == pytest.approx(0.5, abs=1e-15)
    assert pass_at_k(256, 0, 256) == 0.0 and pass_at_k(256, 1, 256) == 1.0
    assert pass_at_k(2000, 3, 1) == pytest.approx(0.0015, abs=1e-15)


@pytest.mark.parametrize("case", [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_impossible_counts_are_refused(case):
    with pytest.raises(ValueError, match="allowed is"):
        pass_at_k(*case)


def test_the_curve_is_the_mean_over_problems_and_never_falls():
    outcomes = [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]]
    curve = pass_curve(outcomes, [1, 2, 4])
    assert curve == pytest.approx([1 / 3, (1 / 2 + 0 + 1) / 3, 2 / 3])
    with pytest.raises(ValueError, match="outcomes is empty"):
        pass_curve([], [1])
    with pytest.raises(ValueError, match="rewards other than 0 and 1"):
        pass_curve([[0.5, 1]], [1])


def test_curves_meet_where_the_base_catches_up():
    assert crossing([1, 2, 4], [0.2, 0.5, 0.9], [0.6, 0.7, 0.8]) == 4
    assert crossing([1, 2], [0.2, 0.7], [0.6, 0.7]) == 2
    assert crossing([1, 2], [0.2, 0.3], [0.6, 0.7]) is None


def test_a_vote_is_by_the_most_and_ties_are_shared():
    assert vote(["a", "b", "a"], "a") == 1.0 and vote(["a", "b", "a"], "b") == 0.0
    assert vote(["a", "b"], "a") == 0.5 and vote(["a", "b", "c", "c", "a"], "c") == 0.5
    assert vote(["a", None, None, None], "a") == 1.0
    assert vote([None, None], "a") == 0.0 and vote([], "a") == 0.0
    assert vote(["a"], "z") == 0.0


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=6))
@settings(max_examples=80, deadline=None)
def test_a_vote_is_the_mean_over_ways_to_break_the_tie(answers):
    counted = [a for a in answers if a is not None]
    winners = {a for a in counted if counted.count(a) == max(map(counted.count, counted))}
    assert vote(answers, "a") == pytest.approx(("a" in winners) / max(1, len(winners)))


def test_a_budget_buys_as_many_votes_as_fit():
    answers, tokens = ["a", "b", "b", "a", "a"], [4, 3, 3, 5, 9]
    assert vote_within(answers, tokens, "b", 10) == 0.5  # abb fits exactly, then a alone
    assert vote_within(answers, tokens, "a", 7) == pytest.approx((0.5 + 0.0 + 1.0) / 3)
    assert vote_within(["a"], [3], "a", 100) == 1.0
    assert vote_within(["a", "a"], [8, 2], "a", 5) == 0.0  # cut off in the middle: no answer


def test_bad_budgets_are_refused():
    with pytest.raises(ValueError, match="2 answers and 1 costs"):
        vote_within(["a", "b"], [1], "a", 5)
    with pytest.raises(ValueError, match="0 answers"):
        vote_within([], [], "a", 5)
    with pytest.raises(ValueError, match="budget is 0"):
        vote_within(["a"], [1], "a", 0)
    with pytest.raises(ValueError, match="least cost 0"):
        vote_within(["a"], [0], "a", 5)


def test_sums_of_rewards_and_arrays_are_taken():
    """Rewards are floats, and so are their sums; a learner keeps them in an array."""
    outcomes = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert pass_at_k(3, sum([1.0, 0.0, 1.0]), 2) == pass_at_k(3, 2, 2)
    assert pass_at_k(3, outcomes[0].sum(), 2) == pass_at_k(3, 2, 2)
    assert pass_curve(outcomes, [1]) == pass_curve(outcomes.tolist(), [1])
    assert vote_within(np.array(["a", "b", "a"]), [1, 1, 1], "a", 3) == 1.0
    with pytest.raises(ValueError, match=r"correct is 1\.5; allowed is 0 to samples, 3, and whole"):
        pass_at_k(3, 1.5, 1)
