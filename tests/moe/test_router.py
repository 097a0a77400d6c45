"""The router against a slow oracle, transformers and hand-made cases; balance; the layer."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import (
    DeepseekV3MoE,
    DeepseekV3TopkRouter,
)

from course_lib.model import router
from course_lib.moe.router_bugs import BUGS, broken_route, compare


def logits_of(*scores: float) -> torch.Tensor:
    return torch.logit(torch.tensor([scores], dtype=torch.float64))


# --- the route ------------------------------------------------------------------------------


def oracle(logits, bias, top_k, n_group, topk_group, scale):
    """The rule once more for one token, with lists and loops, in double precision."""
    scores = [1 / (1 + math.exp(-x)) for x in logits]
    biased = [s + b for s, b in zip(scores, bias, strict=True)]
    size = len(logits) // n_group
    members = [range(g * size, (g + 1) * size) for g in range(n_group)]
    worth = [sum(sorted((biased[i] for i in m), reverse=True)[:2]) for m in members]
    kept = sorted(range(n_group), key=lambda g: -worth[g])[:topk_group]
    left = [i for g in sorted(kept) for i in members[g]]
    chosen = sorted(left, key=lambda i: -biased[i])[:top_k]
    total = sum(scores[i] for i in chosen)
    return [scale * scores[i] / total for i in chosen], chosen


@st.composite
def routings(draw):
    n_group = draw(st.integers(1, 4))
    size = draw(st.integers(2, 5))
    topk_group = draw(st.integers(1, n_group))
    top_k = draw(st.integers(1, topk_group * size))
    numbers = st.integers(-40, 40)
    n = n_group * size
    logits = draw(st.lists(numbers, min_size=n, max_size=n, unique=True))
    bias = draw(st.lists(numbers, min_size=n, max_size=n))
    scale = draw(st.sampled_from([1.0, 2.5]))
    return [x / 8 for x in logits], [b / 32 for b in bias], top_k, n_group, topk_group, scale


@given(routings())
@settings(max_examples=200, deadline=None)
def test_agrees_with_an_oracle_of_lists_and_loops(case):
    logits, bias, top_k, n_group, topk_group, scale = case
    weights, experts = router.route(
        torch.tensor([logits], dtype=torch.float64),
        torch.tensor(bias, dtype=torch.float64),
        top_k=top_k,
        n_group=n_group,
        topk_group=topk_group,
        scale=scale,
    )
    wanted_weights, wanted_experts = oracle(*case)
    assert experts.tolist() == [wanted_experts]
    assert weights[0].tolist() == pytest.approx(wanted_weights, abs=1e-12)
    assert weights.sum().item() == pytest.approx(scale)


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_transformers_router_on_random_input(seed, spread):
    generator = torch.Generator().manual_seed(seed)
    config = DeepseekV3Config(
        hidden_size=32,
        n_routed_experts=32,
        n_group=8,
        topk_group=3,
        num_experts_per_tok=5,
        routed_scaling_factor=2.5,
    )
    gate = DeepseekV3TopkRouter(config)
    gate.weight.data = torch.eye(32)
    # Biases below zero are where a zero mask would show; 5.23's router has minus infinity.
    gate.e_score_correction_bias.copy_(torch.randn(32, generator=generator) - 0.5)
    logits = torch.randn(500, 32, generator=generator) * spread
    _, wanted_weights, wanted_experts = gate(logits)
    weights, experts = router.route(
        logits, gate.e_score_correction_bias, top_k=5, n_group=8, topk_group=3, scale=2.5
    )
    order, wanted_order = experts.sort(-1), wanted_experts.sort(-1)
    assert torch.equal(order.values, wanted_order.values)
    difference = weights.gather(-1, order.indices) - wanted_weights.gather(-1, wanted_order.indices)
    assert difference.abs().max() < 1e-6


def test_a_negative_bias_does_not_let_a_lost_group_back_in():
    weights, experts = router.route(
        torch.tensor([[2.0, 0.0, -1.0, -2.0]]), -torch.ones(4), top_k=1, n_group=2, topk_group=1
    )
    assert experts.tolist() == [[0]] and weights.tolist() == [[1.0]]


def test_a_group_is_worth_its_two_best():
    logits = logits_of(0.9, 0.1, 0.6, 0.55)
    weights, experts = router.route(logits, None, top_k=2, n_group=2, topk_group=1)
    assert experts.tolist() == [[2, 3]]
    assert weights[0].tolist() == pytest.approx([0.5217, 0.4783], abs=5e-5)


def test_weights_come_from_unbiased_scores():
    logits, bias = logits_of(0.8, 0.4, 0.3, 0.2), torch.tensor([0, 0.5, 0, 0])
    weights, experts = router.route(logits, bias, top_k=2)
    by_expert = dict(zip(experts[0].tolist(), weights[0].tolist(), strict=True))
    assert by_expert == pytest.approx({0: 2 / 3, 1: 1 / 3})


def test_weights_are_finite_when_every_score_underflows():
    weights, _ = router.route(torch.full((3, 4), -1000.0), None, top_k=2)
    assert weights.tolist() == [[0.0, 0.0]] * 3


def test_half_precision_is_routed_in_single():
    logits = torch.randn(50, 16, generator=torch.Generator().manual_seed(1)).bfloat16()
    weights, experts = router.route(logits, None, top_k=4)
    wanted_weights, wanted_experts = router.route(logits.float(), None, top_k=4)
    assert weights.dtype == torch.float32
    assert torch.equal(weights, wanted_weights) and torch.equal(experts, wanted_experts)


def test_ties_go_to_the_lower_number_and_no_tokens_give_no_routes():
    _, experts = router.route(torch.zeros(1, 8), None, top_k=4, n_group=4, topk_group=2)
    assert experts.tolist() == [[0, 1, 2, 3]]
    weights, experts = router.route(torch.zeros(0, 8), None, top_k=2, n_group=4, topk_group=2)
    assert weights.shape == experts.shape == (0, 2)


def test_sizes_may_be_numpys():
    logits = torch.randn(3, 8)
    sizes = {"top_k": 2, "n_group": 4, "topk_group": 2}
    theirs = router.route(logits, None, **{name: np.int64(n) for name, n in sizes.items()})
    for a, b in zip(theirs, router.route(logits, None, **sizes), strict=True):
        assert torch.equal(a, b)
    assert router.load(theirs[1], np.int64(8)).sum() == 6


def test_the_choice_has_no_gradient_and_the_weights_have():
    logits, bias = torch.randn(3, 4).requires_grad_(), torch.zeros(4, requires_grad=True)
    router.route(logits, bias, top_k=2)[0][:, 0].sum().backward()
    assert logits.grad.abs().sum() > 0 and bias.grad is None


GOOD = {"top_k": 2, "n_group": 2, "topk_group": 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"logits": torch.zeros(4)}, r"logits has the shape \(4,\).*\(tokens, experts\)"),
        ({"logits": [[0.0]]}, "logits must be a tensor .* not list"),
        ({"logits": torch.zeros(2, 0)}, r"logits has the shape \(2, 0\)"),
        ({"logits": torch.zeros(1, 4, dtype=torch.bool)}, "logits .* torch.bool"),
        ({"logits": torch.tensor([[0, math.nan, 0, 0]])}, "logits has NaN or infinite"),
        ({"logits": torch.tensor([[0, -math.inf, 0, 0]])}, "logits has NaN or infinite"),
        ({"bias": torch.zeros(3)}, r"bias .* \(4,\).* \(3,\)"),
        ({"bias": torch.zeros(1, 4)}, r"bias .* \(4,\).* \(1, 4\)"),
        ({"bias": torch.full((4,), math.inf)}, "bias has NaN or infinite"),
        ({"top_k": 0}, "top_k is 0; .* at least 1"),
        ({"top_k": 2.0}, "top_k is 2.0; .* whole number"),
        ({"top_k": True}, "top_k is True"),
        ({"top_k": 3}, "top_k is 3; at most 2 experts are left in 1 of 2 groups"),
        ({"n_group": 3}, "n_group is 3; it must divide the 4 experts"),
        ({"n_group": 4}, "n_group is 4 with 4 experts; a group needs two"),
        ({"topk_group": 3}, "topk_group is 3; allowed are 1 to n_group, 2"),
        ({"scale": math.nan}, "scale is nan"),
        ({"scale": 0.0}, "scale is 0.0; .* above 0"),
    ],
)
def test_bad_input_is_named(change, words):
    arguments = {"logits": torch.zeros(1, 4), **GOOD, **change}
    with pytest.raises(ValueError, match=words):
        router.route(arguments.pop("logits"), arguments.pop("bias", None), **arguments)


# --- the five bugs --------------------------------------------------------------------------


@pytest.mark.parametrize("bug", BUGS)
def test_each_bug_shows_on_its_own_case_and_is_caught_by_the_right_rule(bug):
    right, wrong = compare(bug)
    assert right != wrong


def test_the_routes_the_cases_talk_about():
    assert compare("zero mask") == ("expert 0 x 1.000", "expert 2 x 1.000")
    assert compare("biased weights") == (
        "expert 1 x 0.333 + expert 0 x 0.667",
        "expert 1 x 0.529 + expert 0 x 0.471",
    )
    assert compare("group maximum") == (
        "expert 2 x 0.522 + expert 3 x 0.478",
        "expert 0 x 0.900 + expert 1 x 0.100",
    )
    assert "nan" in compare("no epsilon")[1] and "nan" not in compare("no epsilon")[0]
    assert compare("softmax") == (
        "expert 0 x 0.527 + expert 1 x 0.473",
        "expert 0 x 0.982 + expert 2 x 0.018",
    )


@pytest.mark.parametrize("bug", sorted(set(BUGS) - {"softmax"}))
def test_where_a_bug_cannot_matter_the_broken_router_is_the_right_one(bug):
    """No bias, two-expert groups of equal spread: every switch but the softmax is idle."""
    logits = torch.tensor([[2.0, 1.0, -1.0, -2.0]])
    right = router.route(logits, None, top_k=2, n_group=2, topk_group=1, scale=2.5)
    wrong = broken_route(bug, logits, None, top_k=2, n_group=2, topk_group=1, scale=2.5)
    assert all(torch.equal(a, b) for a, b in zip(right, wrong, strict=True))


def test_an_unknown_bug_and_bad_input_are_refused():
    with pytest.raises(ValueError, match="bug is 'mask'; allowed are 'zero mask'"):
        broken_route("mask", torch.zeros(1, 4), None, top_k=1)
    with pytest.raises(ValueError, match="bug is 'mask'; allowed are 'zero mask'"):
        compare("mask")
    with pytest.raises(ValueError, match="top_k"):
        broken_route("softmax", torch.zeros(1, 4), None, top_k=5)


# --- balance --------------------------------------------------------------------------------


def test_load_counts_every_choice():
    assert router.load(torch.tensor([[0, 2], [2, 3]]), 5).tolist() == [1, 0, 2, 1, 0]
    assert router.load(torch.zeros(0, 2, dtype=torch.long), 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("experts", [[[0, 4]], [[-1, 0]]])
def test_load_refuses_experts_that_are_not_there(experts):
    with pytest.raises(ValueError, match="allowed are 0 to 3"):
        router.load(torch.tensor(experts), 4)


def test_load_refuses_what_is_no_number_of_an_expert():
    for wrong in (torch.tensor([0.5]), torch.tensor([True]), [0, 1]):
        with pytest.raises(ValueError, match="experts must hold whole numbers, not"):
            router.load(wrong, 4)
    with pytest.raises(ValueError, match="n is 0"):
        router.load(torch.tensor([0]), 0)


def test_balance_bias_is_a_step_against_the_load_whatever_its_size():
    bias = torch.tensor([0.5, 0.0, 0.0, -0.5])
    moved = router.balance_bias(bias, torch.tensor([90, 4, 2, 0]), 0.001)
    assert (moved - bias).tolist() == pytest.approx([-0.001, 0.001, 0.001, 0.001], abs=1e-6)
    assert bias.tolist() == [0.5, 0.0, 0.0, -0.5]


def test_balance_bias_leaves_the_balanced_alone_and_takes_layers():
    load = torch.tensor([[3, 3, 3], [4, 3, 2]])
    moved = router.balance_bias(torch.zeros(2, 3), load, 0.1)
    assert moved.tolist() == [[0.0, 0.0, 0.0], pytest.approx([-0.1, 0.0, 0.1])]


@pytest.mark.parametrize(
    ("bias", "load", "step", "words"),
    [
        (torch.zeros(3), torch.ones(4), 0.1, r"\(3,\) and \(4,\)"),
        (torch.zeros(2), torch.tensor([1, -1]), 0.1, "load has values that are negative"),
        (torch.zeros(2), torch.tensor([1.0, math.nan]), 0.1, "load has values"),
        (torch.tensor([0.0, math.nan]), torch.ones(2), 0.1, "bias has NaN"),
        (torch.zeros(2), torch.ones(2), -0.1, "step is -0.1"),
        (torch.zeros(2), torch.ones(2), math.inf, "step is inf"),
    ],
)
def test_balance_bias_refuses_what_does_not_fit(bias, load, step, words):
    with pytest.raises(ValueError, match=words):
        router.balance_bias(bias, load, step)


def test_the_bias_alone_balances_a_lopsided_router():
    generator = torch.Generator().manual_seed(0)
    slope, bias = torch.linspace(-1, 1, 8), torch.zeros(8)
    for _ in range(400):
        logits = torch.randn(256, 8, generator=generator) + slope
        loads = router.load(router.route(logits, bias, top_k=2)[1], 8)
        bias = router.balance_bias(bias, loads, 0.005)
    unbiased = router.load(router.route(logits, None, top_k=2)[1], 8)
    assert router.imbalance(unbiased) > 1.8 > 1.3 > router.imbalance(loads)


def test_imbalance_is_largest_over_mean():
    assert router.imbalance(torch.tensor([6, 1, 1, 0])) == 3.0
    assert router.imbalance(torch.tensor([[2, 2], [3, 1]])).tolist() == [1.0, 1.5]


def test_auxiliary_loss_is_one_in_balance_and_more_when_affinity_follows_load():
    logits = torch.zeros(4, 4)
    even = torch.tensor([[0, 1], [2, 3], [0, 1], [2, 3]])
    assert router.auxiliary_loss(logits, even).item() == pytest.approx(1.0)
    # By hand: shares 1, 0; affinities .75 and .25; two experts: 2 * (.75 + 0) = 1.5
    logits = logits_of(0.6, 0.2)
    assert router.auxiliary_loss(logits, torch.tensor([[0]])).item() == pytest.approx(1.5)


def test_auxiliary_loss_pushes_the_crowded_expert_down():
    logits = torch.zeros(4, 3, requires_grad=True)
    router.auxiliary_loss(logits, torch.tensor([[0], [0], [0], [1]])).backward()
    assert (logits.grad[:, 0] > 0).all() and (logits.grad[:, 2] < 0).all()


def test_auxiliary_loss_in_half_precision_is_computed_in_float32():
    logits, experts = torch.full((70_000, 2), -20.0), torch.zeros(70_000, 1, dtype=torch.long)
    found = router.auxiliary_loss(logits.half(), experts)
    assert found.item() == pytest.approx(router.auxiliary_loss(logits, experts).item())


def test_auxiliary_loss_refuses_routes_of_other_tokens():
    with pytest.raises(ValueError, match=r"must be \(4, top_k\)"):
        router.auxiliary_loss(torch.zeros(4, 3), torch.zeros(3, 1, dtype=torch.long))


# --- the layer ------------------------------------------------------------------------------


def stack(generator, experts, inner, width):
    def random(*shape):
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    return router.Experts(random(experts, 2 * inner, width), random(experts, width, inner))


def dense_moe_layer(x, gate, experts, shared, bias, **routing):
    """The slow and obvious way: every expert on every token, most of it times 0."""
    weights, chosen = router.route(x @ gate.T, bias, **routing)
    mix = torch.zeros(len(x), len(experts.down)).scatter(-1, chosen, weights)
    parts = torch.stack([experts.run(i, x) for i in range(len(experts.down))], dim=1)
    out = (parts * mix[..., None]).sum(1)
    return out + sum(shared.run(i, x) for i in range(len(shared.down)))


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_the_layer_equals_the_dense_loop(shared):
    generator = torch.Generator().manual_seed(shared)
    experts, extra = stack(generator, 8, 12, 16), stack(generator, shared, 12, 16)
    x, rows = (torch.randn(n, 16, generator=generator) for n in (64, 8))
    bias = torch.randn(8, generator=generator)
    routing = {"top_k": 3, "n_group": 4, "topk_group": 2, "scale": 2.5}
    sparse = router.moe_layer(x, rows, experts, extra if shared else None, bias, **routing)
    dense = dense_moe_layer(x, rows, experts, extra, bias, **routing)
    assert sparse.shape == (64, 16) and dense.abs().mean() > 0.1
    assert (sparse - dense).abs().max() < 1e-5


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_the_layer_equals_transformers(dtype, within):
    """In bfloat16 too, where some tokens would go to other experts if the router did not widen."""
    torch.manual_seed(3)
    config = DeepseekV3Config(
        hidden_size=16,
        moe_intermediate_size=12,
        n_routed_experts=8,
        n_shared_experts=1,
        n_group=4,
        topk_group=2,
        num_experts_per_tok=3,
    )
    theirs = DeepseekV3MoE(config)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    theirs.gate.e_score_correction_bias.normal_()
    theirs.to(dtype)
    one = theirs.shared_experts
    gate_up = torch.cat([one.gate_proj.weight, one.up_proj.weight])
    ours = router.moe_layer(
        x := torch.randn(400, 16).to(dtype),
        theirs.gate.weight,
        router.Experts(theirs.experts.gate_up_proj, theirs.experts.down_proj),
        router.Experts(gate_up[None], one.down_proj.weight[None]),
        theirs.gate.e_score_correction_bias,
        top_k=3,
        n_group=4,
        topk_group=2,
        scale=config.routed_scaling_factor,
    )
    assert (ours - theirs(x[None])[0]).abs().max() < within
