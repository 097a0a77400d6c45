"""The figures of the first lesson say what their data say."""

import pytest

from course_lib.cost import cost_plots, scores


def test_curves_hold_their_data():
    figure = cost_plots.curves("t", [1, 2], {"a": [3, 4], "b": [5, 6]}, ("x", "y"), log=True)
    assert [(line.name, list(line.y)) for line in figure.data] == [("a", [3, 4]), ("b", [5, 6])]
    assert figure.layout.yaxis.type == "log" and "ten times" in figure.layout.yaxis.title.text
    assert cost_plots.curves("t", [1], {}, ("x", "y")).layout.yaxis.type is None
    with pytest.raises(ValueError, match="'a' has 1 values for 2 places"):
        cost_plots.curves("t", [1, 2], {"a": [3]}, ("x", "y"))


def test_intervals_reach_from_low_to_high():
    shown = scores.scores("aime_2024.pass_at_1", ("r1", "o1_mini"))
    (points,) = cost_plots.intervals("t", shown).data
    assert [x + e for x, e in zip(points.x, points.error_x.array, strict=True)] == pytest.approx(
        [score.high for score in shown]
    )
    assert points.x[0] - points.error_x.arrayminus[0] == pytest.approx(shown[0].low)
    words = "From the top: DeepSeek-R1 79.8 (62 to 90); o1-mini 63.6 (46 to 78)."
    assert cost_plots.interval_words(shown) == words


def test_scores_without_an_interval_are_points():
    shown = scores.scores("drop.f1", ("r1",))
    (points,) = cost_plots.intervals("t", shown).data
    assert points.error_x.array[0] == points.error_x.arrayminus[0] == 0
    assert cost_plots.interval_words(shown) == "From the top: DeepSeek-R1 92.2."
