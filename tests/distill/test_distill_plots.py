"""The lesson's pictures and its explorer say in words what their records hold, seeds and all."""

import copy
from itertools import pairwise

import pytest

from course_lib import facts
from course_lib.distill import distill_lab, distill_plots
from course_lib.widgets import distills

PROMPTS = ("7 ? 3 ? 5 ? 2 = 11", "9 ? 4 ? 7 ? 3 = 15")


def row(student, data, count, accuracy, seed=0, parameters=1000):
    """A row as `Bench.row` makes them."""
    return {
        "seed": seed, "student": student, "data": data, "traces": count, "accuracy": accuracy,
        "three_digits": 0.3, "five_digits": 0.1, "lucky": 0.2, "thinking_tokens": 30.0,
        "attempts": 3.0, "parameters": parameters, "bytes": 4 * parameters,
        "tokens_per_second": 5000,
        "examples": {p: f"<think> {student} {accuracy}</think> + + <b>" for p in PROMPTS},
    }  # fmt: skip


def record(name, *rows):
    """A record of two seeds."""
    seeds = sorted({r["seed"] for r in rows})
    return {
        "name": name, "machine": "a test", "date": "2026-01-01", "torch": "2", "seeds": seeds,
        "command": f"python -m course_lib distill-lab {name} --out DIR", "rows": list(rows),
    }  # fmt: skip


SIZES = record(
    "sizes",
    *(row("teacher", "rewards", 0, a, s, 9000) for s, a in ((0, 0.9), (1, 0.94))),
    *(row("small", "right", 50, a, s) for s, a in ((0, 0.2), (1, 0.4))),
    *(row("small", "right", c, 0.6, s) for s, c in ((0, 1799), (1, 1790))),
    row("large", "right", 50, 0.5, 0, 2000),
)
QUALITY = record("quality", row("small", "answers only", 1800, 0.125))


@pytest.fixture
def recorded(monkeypatch):
    """The two records in the place of the course's own."""
    kept = {"sizes": SIZES, "quality": QUALITY}
    monkeypatch.setattr(distill_lab, "load_record", lambda name: copy.deepcopy(kept[name]))
    distills._rows.cache_clear()
    yield
    distills._rows.cache_clear()


def test_the_six_stand_at_their_true_sizes_and_the_70b_below_the_32b():
    figure, words = distill_plots.real_distills()
    points = {x: y for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True)}
    assert len(points) == 6
    assert points[facts.value("distill_qwen_1_5b.parameters") / 1e9] == 28.9
    assert "Llama 70.55B 70" in words and "Qwen 32.76B 72.6" in words
    levels = {shape.y0 for shape in figure.layout.shapes}
    assert facts.value("o1_mini.aime_2024.pass_at_1") in levels and len(levels) == 4
    assert "level line o1-mini 63.6" in words
    named = sorted(figure.layout.annotations, key=lambda note: note.y)
    for lower, upper in pairwise(named):  # two names that nearly meet stand on either side
        assert upper.y - lower.y > 4 or (lower.yanchor, upper.yanchor) == ("top", "bottom")


def test_a_loss_is_drawn_from_the_lines_that_have_one():
    lines = [{"step": 0, "kept": 9}, *({"step": i, "loss": 2 / i} for i in range(1, 21))]
    figure, words = distill_plots.losses(lines)
    assert list(figure.data[0].x) == list(range(1, 21))
    assert "from 2.00 to 0.10 nats" in words and "last 2 updates" in words


def test_sizes_average_the_seeds_and_draw_the_teacher_as_a_level():
    figure, words = distill_plots.sizes(SIZES)
    assert [trace.name for trace in figure.data] == ["small, 1,000", "large, 2,000"]
    assert figure.data[0].y[0] == pytest.approx(0.3)
    assert figure.layout.shapes[0].y0 == pytest.approx(0.92)
    assert "30.0% from 50" in words and words.endswith("the teacher 92.0%.")


def test_a_base_is_said_and_not_drawn_where_no_traces_have_no_place():
    with_base = record("sizes", *SIZES["rows"], row("large", "nothing yet", 0, 0.125, 0, 2000))
    figure, words = distill_plots.sizes(with_base)
    assert all(0 not in trace.x for trace in figure.data)
    assert "12.5% before, 50.0% from 50" in words


def test_parameters_run_from_small_to_large_with_a_line_for_each_number_of_traces():
    rows = [row("large", "right", c, a, 0, 2000) for c, a in ((50, 0.5), (300, 0.75))]
    rows += [row("small", "right", c, a, s) for s in (0, 1) for c, a in ((50, 0.25), (300, 0.5))]
    whole = record("sizes", row("teacher", "rewards", 0, 0.9, 0, 9000), *rows)
    figure, words = distill_plots.by_parameters(whole)
    assert [(t.name, list(t.x), list(t.y)) for t in figure.data] == [
        ("50 traces", [1000, 2000], [0.25, 0.5]), ("300 traces", [1000, 2000], [0.5, 0.75]),
    ]  # fmt: skip
    assert figure.layout.shapes[0].y0 == 0.9
    assert "300 traces: small 50.0%, large 75.0%; the teacher 90.0%." in words


def test_bars_reach_from_the_least_to_the_most():
    figure, words = distill_plots.bars(SIZES, "student", "accuracy", "Right")
    bar = figure.data[0]
    assert list(bar.y) == ["teacher", "small", "large"]
    assert bar.x[1] == pytest.approx(0.45)
    assert (bar.error_x.array[1], bar.error_x.arrayminus[1]) == pytest.approx((0.15, 0.25))
    assert "small 45.0% (20.0% to 60.0%)" in words
    assert words.endswith("large 50.0%.")  # one seed has no range


def test_the_fight_has_a_line_a_side_from_the_least_to_the_most():
    rows = [
        {"seed": s, "data": name, "updates": [0, 10], "sampled": [0, 100 * (s + 1)],
         "accuracy": [0.1, end + s / 10], "thinking": [1, 2]}
        for s in (0, 1)
        for name, end in (("GRPO from its base", 0.2), ("distillation", 0.7))
    ]  # fmt: skip
    figure, words = distill_plots.fight(record("fight", *rows))
    assert [list(trace.x) for trace in figure.data] == [[0, 10], [0, 10]]
    assert figure.data[1].error_y.array[1] == pytest.approx(0.05)
    assert "distillation 10.0% to 75.0% (70.0% to 80.0% over 2 seeds) with 150 sampled" in words


def test_the_explorer_shows_student_and_teacher_side_by_side(recorded):
    widget = distills.DistillExplorer("a", student="small", data="right, 50 traces", puzzle=2)
    assert "small, learnt from right, 50 traces: 30.0% right with 4,000 bytes" in widget.text()
    assert "62.0 points behind" in widget.text() and "2 seed(s)" in widget.text()
    picture = widget.picture()
    assert "30.0%" in picture and "92.0%" in picture and "36,000" in picture
    assert PROMPTS[1] in picture and "&lt;think&gt; small 0.2" in picture and "<b>" not in picture
    assert picture.count("<strong>not right</strong>") == 2
    assert widget.widget is not None and "Settings" in widget.static_html()


def test_the_verdict_beside_a_trace_is_the_verifiers(recorded, monkeypatch):
    right = row("large", "right", 50, 0.5, 0, 2000)
    right["examples"] = {PROMPTS[0]: "<think> -3=4 +5=9 +2=11 yes</think> - + +"}
    kept = {"sizes": record("sizes", SIZES["rows"][0], right), "quality": QUALITY}
    monkeypatch.setattr(distill_lab, "load_record", kept.__getitem__)
    distills._rows.cache_clear()
    picture = distills.DistillExplorer("f", student="large", data="right, 50 traces").picture()
    assert picture.count("<strong>right</strong>") == 1  # and the teacher's is not


def test_counts_that_differ_by_a_few_between_seeds_are_one_kind_of_data(recorded):
    widget = distills.DistillExplorer("b", student="small", data="right, 1,800 traces")
    assert "60.0% right" in widget.text() and "2 seed(s)" in widget.text()


def test_the_explorer_opens_with_the_most_traces_and_not_with_a_base(recorded, monkeypatch):
    rows = [row("large", "nothing yet", 0, 0.1, 0, 2000), *SIZES["rows"]]
    kept = {"sizes": record("sizes", *rows), "quality": QUALITY}
    monkeypatch.setattr(distill_lab, "load_record", kept.__getitem__)
    distills._rows.cache_clear()
    assert distills.DistillExplorer("e").state["data"] == "right, 1,800 traces"


def test_what_was_not_run_is_said(recorded):
    widget = distills.DistillExplorer("c", student="large", data="answers only")
    assert "large was not taught from: answers only" in widget.text()
    assert "right, 50 traces" in widget.text() and "small" not in widget.picture()


def test_a_student_of_the_other_experiments_names_their_record(recorded, monkeypatch):
    monkeypatch.setattr(distills, "SHIPPED", "small")
    widget = distills.DistillExplorer("d", student="small", data="answers only")
    assert "distill-lab quality" in widget.text()
    monkeypatch.setattr(distills, "SHIPPED", "another")
    assert "distill-lab sizes" in widget.text()
