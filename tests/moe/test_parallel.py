"""Pipelines played through against their formulas; nodes, drops and losses by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.model import router
from course_lib.moe import parallel, parallel_plots, routes


@pytest.mark.parametrize("stages", [2, 4, 8])
def test_idle_times_are_those_of_the_formulas(stages):
    plain, split, both = (
        parallel.schedule(stages, 2 * stages, split=s, both_ends=b).idle / stages
        for s, b in ((False, False), (True, False), (True, True))
    )
    assert plain == (stages - 1) * (1 + 2)
    assert split == (stages - 1) * (1 + 2 - 2)
    assert both == (stages / 2 - 1) * (3 + 2 - 3)


@given(st.integers(1, 5), st.integers(1, 6), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_every_task_is_done_once_and_after_what_it_needs(stages, batches, split, both):
    count = 2 * batches if both else batches
    plan = parallel.schedule(stages, count, split=split, both_ends=both)
    begun = {}
    for time, row in enumerate(plan.rows):
        for task in row:
            if task is not None:
                begun.setdefault(task, time)
    kinds = ("F", "B", "W") if split else ("F", "B")
    assert len(begun) == len(kinds) * stages * count
    for task, time in begun.items():
        for need in parallel._needs(task, stages):
            assert begun[need] + (2 if need.kind == "B" and not split else 1) <= time


def test_one_stage_is_never_idle_and_bad_numbers_are_refused():
    assert parallel.schedule(1, 5).idle == 0
    for bad in ((0, 1, False), (1, 0, False), (2, 3, True)):
        with pytest.raises(ValueError, match="at least one stage"):
            parallel.schedule(bad[0], bad[1], both_ends=bad[2])


def test_a_token_goes_to_the_nodes_of_its_experts_once():
    experts = torch.tensor([[0, 1, 5], [7, 6, 2]])  # eight experts on four nodes
    there = parallel.nodes_of(experts, 8, 4)
    assert there.tolist() == [[True, False, True, False], [False, True, False, True]]
    sent = parallel.traffic(experts, 8, 4, home=torch.tensor([0, 3]))
    assert sent.sum() == 2 and sent[0, 2] == 1 and sent[3, 1] == 1


def test_limited_groups_limit_the_nodes():
    logits = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    _, chosen = router.route(logits, torch.zeros(64), 8, 8, 2)
    assert parallel.nodes_of(chosen, 64, 8).sum(1).max() <= 2


def test_what_is_dropped_is_what_is_over_the_room():
    assert parallel.dropped(torch.tensor([4, 0, 0, 0]), 1.0) == 0.75
    assert parallel.dropped(torch.tensor([4, 0, 0, 0]), 2.0) == 0.5
    assert parallel.dropped(torch.tensor([1, 1, 1, 1]), 1.0) == 0.0


def test_a_batch_may_be_even_while_its_texts_are_not():
    one = torch.tensor([[30.0, 30.0, -30.0, -30.0]]).expand(3, 4)
    logits = torch.cat([one, one.flip(-1)])
    _, chosen = router.route(logits, None, 2)
    assert abs(float(router.auxiliary_loss(logits, chosen)) - 1) < 1e-6
    found = parallel.sequence_losses(logits, chosen, [3, 3])
    assert torch.allclose(found, torch.tensor([2.0, 2.0]))


def test_pictures_have_words():
    plans = {"a": parallel.schedule(2, 2), "b": parallel.schedule(2, 2, split=True)}
    figure, words = parallel_plots.timetable(plans)
    assert "b: " in words and len(figure.data) == 6
    _, words = parallel_plots.traffic({"all": torch.ones(3, 3).fill_diagonal_(0)})
    assert words == "all: 6 tokens sent, 1 from a node to another on average."


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: parallel.nodes_of(torch.tensor([[0, 9]]), 8, 4), "experts names 0 to 9"),
        (lambda: parallel.dropped(torch.zeros(4), 1.0), "load sums to 0"),
        (lambda: parallel.dropped(torch.ones(4), -1.0), "factor is -1.0"),
        (
            lambda: parallel.sequence_losses(torch.ones(4, 3), torch.zeros(4, 1).long(), [2, 3]),
            "lengths sum to 5; logits has 4",
        ),
        (lambda: routes.touched(torch.zeros(2, 4, 2).long(), 8), "tokens is 8; allowed is 1 to"),
        (lambda: routes.touched(torch.zeros(2, 4, 2).long(), 0), "tokens is 0"),
    ],
)
def test_what_has_no_answer_is_refused_in_a_sentence(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_experts_that_do_not_lie_in_equal_groups_are_refused():
    with pytest.raises(ValueError, match="10 experts do not lie in equal groups on 4 nodes"):
        parallel.nodes_of(torch.zeros(2, 1, dtype=torch.long), 10, 4)
