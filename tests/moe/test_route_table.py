"""The worked-out route against the router, and the widget that shows it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.model import router
from course_lib.moe.route_table import batch_load, fit, tabulate, words
from course_lib.widgets.router import EXPERTS, Router

LOGITS = [2.0, 0.0, -1.0, -2.0, 1.0, 0.5, -0.5, -1.5]


@given(
    st.lists(st.integers(-24, 24), min_size=8, max_size=8),
    st.lists(st.integers(-20, 20), min_size=8, max_size=8),
    st.integers(1, 8),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 4),
)
@settings(max_examples=150, deadline=None)
def test_the_table_is_the_route(logits, bias, top_k, n_group, topk_group):
    logits, bias = [x / 4 for x in logits], [b / 20 for b in bias]
    top_k, n_group, topk_group = fit(8, top_k, n_group, topk_group)
    routing = {"top_k": top_k, "n_group": n_group, "topk_group": topk_group, "scale": 2.5}
    table = tabulate(logits, bias, **routing)
    weights, experts = router.route(torch.tensor([logits]), torch.tensor(bias), **routing)
    assert {x.expert for x in table.chosen} == set(experts[0].tolist())
    for expert, weight in zip(experts[0].tolist(), weights[0].tolist(), strict=True):
        assert table.lines[expert].weight == weight
        assert 2.5 * table.lines[expert].score / table.total == pytest.approx(weight)
    kept = {x.group for x in table.lines if x.stays}
    assert len(kept) == topk_group
    lost = set(range(n_group)) - kept
    assert all(table.worth[a] >= table.worth[b] for a in kept for b in lost)


def test_the_words_hold_the_arithmetic():
    said = words(tabulate([2.0, 0.0, -1.0, -2.0], [0.0] * 4, top_k=2, n_group=2, topk_group=1))
    assert "The 2 groups are worth group 0 1.38, group 1 0.39; group 0 stays." in said
    assert "Expert 0 is chosen by 0.881 +0.00 = 0.881 and weighs 1 x 0.881 / 1.381 = 0.638" in said


def test_fit_changes_only_what_does_not_fit():
    assert fit(8, 2, 4, 2) == (2, 4, 2)
    assert fit(8, 8, 4, 2) == (4, 4, 2)
    assert fit(8, 8, 1, 4) == (8, 1, 1)


def test_batch_load_averages_one_and_follows_the_logits():
    loads = batch_load(LOGITS, [0.0] * 8, top_k=2)
    assert sum(loads) == pytest.approx(8) and max(loads) == loads[0] > 2
    assert loads == batch_load(LOGITS, [0.0] * 8, top_k=2)
    assert loads != batch_load(LOGITS, [0.0] * 8, top_k=2, seed=1)


@pytest.fixture
def shown():
    widget = Router("test")
    widget.reset()
    return widget


def test_the_widget_shows_the_arithmetic_and_the_sizes(shown):
    assert "Expert 0 is chosen by 0.881" in shown.text()
    assert "671.0 billion" in shown.text() and "37.6 billion" in shown.text()
    assert shown.picture().count("<tr") == EXPERTS + 1 and 'role="img"' in shown.picture()


def test_balancing_in_the_widget_evens_the_load(shown):
    before = max(shown._loads())
    for _ in range(12):
        shown.balance()
    assert max(shown._loads()) < before / 2
    shown.set(**{f"bias_{i}": 1.0 for i in range(EXPERTS)})
    shown.balance()
    assert set(shown._bias()) == {0.95, 1.0}, "no slider goes beyond its end"
    shown.reset()
    assert max(shown._loads()) == before


def test_the_widget_says_what_did_not_fit_and_what_a_bug_changes(shown):
    shown.set(n_group=4, topk_group=1, top_k=8)
    assert "Only 2 experts are left" in shown.text()
    shown.set(n_group=1, top_k=2, bug="softmax", bias_3=0.8)
    assert "With the bug 'softmax'" in shown.text() and "instead of" in shown.text()


def test_every_expert_s_two_sliders_stand_together(shown):
    names, _ = shown.groups().values()
    assert names == [f"{kind}_{i}" for i in range(EXPERTS) for kind in ("logit", "bias")]
