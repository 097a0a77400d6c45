"""Error bars and comparisons of published scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import facts
from course_lib.cost import scores


def test_wilsons_interval_against_values_computed_elsewhere():
    assert scores.interval(80, 30) == pytest.approx((62.69, 90.49), abs=0.01)
    assert scores.interval(0, 10) == pytest.approx((0, 27.75), abs=0.01)
    assert scores.interval(50, 100) == pytest.approx((40.38, 59.62), abs=0.01)


@given(st.floats(0, 100), st.integers(1, 5000))
def test_an_interval_holds_its_score_and_mirrors(percent, problems):
    low, high = scores.interval(percent, problems)
    assert 0 <= low <= percent + 1e-9 and percent - 1e-9 <= high <= 100
    mirrored = scores.interval(100 - percent, problems)
    assert (100 - mirrored[1], 100 - mirrored[0]) == pytest.approx((low, high), abs=1e-6)
    wider = scores.interval(percent, max(1, problems // 4))
    assert wider[1] - wider[0] >= high - low - 1e-9


def test_the_lead_on_aime_is_a_fifth_of_a_problem():
    assert scores.problems_apart(79.8, 79.2, 30) == pytest.approx(0.18)
    assert scores.problems_apart(79.2, 79.8, 30) == pytest.approx(-0.18)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: scores.interval(101, 30), "percent is 101"),
        (lambda: scores.interval(float("nan"), 30), "percent is nan"),
        (lambda: scores.interval(50, 0), "problems is 0"),
        (lambda: scores.problems_apart(1, 2, 0), "problems is 0"),
        (lambda: scores.interval(50, float("nan")), "problems is nan"),
        (lambda: scores.problems_apart(1, 2, float("nan")), "problems is nan"),
        (lambda: scores.problems_apart(float("nan"), 2, 30), "first is nan; give 0 to 100"),
        (lambda: scores.problems_apart(1, 200, 30), "second is 200"),
        (lambda: scores.scores("aime"), "no metric 'aime'"),
    ],
)
def test_impossible_input_is_one_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_scores_are_sorted_and_leave_gaps_out():
    found = scores.scores("aime_2024.pass_at_1", ("o1_mini", "r1", "o1_1217", "r1_zero_v1"))
    assert [score.model for score in found] == ["r1", "o1_1217", "r1_zero_v1", "o1_mini"]
    assert [score.model for score in scores.scores("frames.accuracy", ("o1_1217", "r1"))] == ["r1"]
    assert found[0].low < 62.5 < found[0].value < found[0].high


def test_error_bars_only_where_the_number_of_problems_is_known():
    for metric in scores.metrics():
        known = scores.problems_of(metric) is not None
        assert known == (metric.split(".")[0] in ("aime_2024", "math_500", "gpqa_diamond"))
        assert all((score.low is not None) == known for score in scores.scores(metric))


def test_every_model_and_metric_of_the_tables_is_there():
    assert len(scores.metrics()) == 22
    assert {"r1", "dev3", "distill_llama_70b", "r1_zero_qwen_32b"} <= set(scores.models())
    found = sum(len(scores.scores(metric)) for metric in scores.metrics())
    keys = {key for t in scores.TABLES for row in facts.table_layout(t).keys for key in row if key}
    assert found >= len(keys)
