"""GRPO's arithmetic against closed forms, numbers worked by hand, finite differences and laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor

from course_lib.model.logprobs import entropy, token_logprobs
from course_lib.rl.grpo import completion_mask, group_advantages, policy_loss, token_weights
from course_lib.rl.kl import k3

torch.manual_seed(0)
REDUCTIONS = ("sequence", "token", "constant")


def f64(values):
    return tensor(values, dtype=torch.float64)


def near(actual, expected, within=1e-12):
    torch.testing.assert_close(actual, expected, rtol=within, atol=within)


def batch(completions=4, tokens=6, seed=0, spread=0.3):
    """Two policies that differ, a reference, advantages of both signs and ragged completions."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    logp = -normal(completions, tokens).abs() - 0.1
    old, ref = (
        logp + spread * normal(completions, tokens),
        logp + spread * normal(completions, tokens),
    )
    lengths = torch.randint(1, tokens + 1, (completions, 1), generator=random)
    return logp, old, ref, normal(completions), torch.arange(tokens) < lengths


# --- advantages -----------------------------------------------------------------------------------


def test_population_advantages_of_two_right_in_five():
    given = group_advantages(f64([[1.0, 1, 0, 0, 0]]), std="population", eps=0.0)
    near(given, f64([[1.5**0.5] * 2 + [-((2 / 3) ** 0.5)] * 3]))
    assert [round(a, 4) for a in given[0].tolist()] == [1.2247, 1.2247, -0.8165, -0.8165, -0.8165]


def test_sample_advantages_of_four_right_in_eight():
    given = group_advantages(f64([[1.0] * 4 + [0] * 4]), eps=0.0)
    near(given[0, 0], f64(0.5 / math.sqrt(8 * 0.25 / 7)))
    assert round(given[0, 0].item(), 5) == 0.93541 and round(given[0, 7].item(), 5) == -0.93541


def test_epsilon_is_added_to_the_standard_deviation_and_is_a_ten_thousandth():
    rewards = f64([[1.0, 0, 0, 0]])
    near(group_advantages(rewards), (rewards - 0.25) / (0.5 + 1e-4))
    near(group_advantages(rewards, eps=0.5), rewards - 0.25)
    near(group_advantages(rewards, std="none", eps=0.5), rewards - 0.25)


@pytest.mark.parametrize("std", ["sample", "population", "none"])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3, -7.3e9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rewards_that_are_all_equal_teach_exactly_nothing(std, value, dtype):
    # 0.1 three times has a mean that is not 0.1, so only an exact rule gives 0 here.
    rewards = torch.full((2, 3), value, dtype=dtype)
    assert group_advantages(rewards, std=std, eps=0.0 if std == "none" else 1e-4).eq(0).all()


@pytest.mark.parametrize(("dtype", "eps"), [(torch.float32, 0.0), (torch.float16, 1e-8)])
@pytest.mark.parametrize("std", ["sample", "population"])
def test_equal_rewards_teach_nothing_whatever_epsilon_is(std, dtype, eps):
    """1e-8 is 0 in half precision, and 0 / 0 would be NaN."""
    found = group_advantages(tensor([[1, 1], [0, 1]], dtype=dtype), std=std, eps=eps)
    assert found[0].eq(0).all() and found[1, 1] > 0.7


@pytest.mark.parametrize("made", [list, np.array])
def test_rewards_may_be_lists_or_an_array(made):
    rewards = [[1.0, 0.0], [0.0, 1.0]]
    found, expected = group_advantages(made(rewards)), group_advantages(f64(rewards))
    near(found.double(), expected, 1e-6)


def test_each_group_is_compared_with_itself_only():
    rewards = tensor([[1.0, 0, 0, 0], [5.0, 5, 5, 6], [2.0, 2, 2, 2]])
    together = group_advantages(rewards)
    for row in range(3):
        assert torch.equal(together[row : row + 1], group_advantages(rewards[row : row + 1]))


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=9), st.floats(-10, 10), st.floats(0.1, 9)
)
@settings(max_examples=60, deadline=None)
def test_advantages_sum_to_nothing_and_ignore_shift_and_scale(values, shift, scale):
    rewards = f64([values])
    if rewards.std() < 1e-3:
        return
    given = group_advantages(rewards, eps=0.0)
    near(given.sum(), f64(0.0), 1e-9)
    near(given.square().sum(), f64(len(values) - 1.0), 1e-9)
    near(group_advantages(rewards * scale + shift, eps=0.0), given, 1e-6)


def test_whole_number_rewards_are_taken_as_floats_and_floats_keep_their_type():
    assert group_advantages(tensor([[1, 0]])).dtype == torch.float32
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert group_advantages(tensor([[1, 0]], dtype=dtype)).dtype == dtype


def test_ids_in_a_list_are_refused_by_name():
    with pytest.raises(ValueError, match="ids is a list; allowed is a tensor"):
        completion_mask([[1, 2]], 2)


@pytest.mark.parametrize(
    ("rewards", "options", "said"),
    [
        (tensor([1.0, 0.0]), {}, r"rewards has shape \(2,\); allowed is \(groups, size\)"),
        (tensor([[1.0], [0.0]]), {}, "a group of one has nothing to be compared with"),
        (tensor([[1.0, 0], [0, math.nan]]), {}, r"rewards\[1, 1\] is nan; allowed are finite"),
        (tensor([[-math.inf, 0.0]]), {}, r"rewards\[0, 0\] is -inf"),
        (
            tensor([[1.0, 0.0]]),
            {"std": "both"},
            "std is 'both'; allowed are 'sample', 'population'",
        ),
        (tensor([[1.0, 0.0]]), {"eps": -1.0}, "eps is -1.0; allowed is a finite number"),
    ],
)
def test_bad_rewards_are_refused_by_name(rewards, options, said):
    with pytest.raises(ValueError, match=said):
        group_advantages(rewards, **options)


# --- the loss -------------------------------------------------------------------------------------


def by_hand(logp, old, ref, advantages, mask, clip, kl, reduce, max_length):
    """The loss written out one token at a time in plain Python, from the paper's formula."""
    rows = []
    for i in range(len(logp)):
        row = []
        for t in range(logp.shape[1]):
            if not mask[i, t]:
                continue
            ratio, a = math.exp(logp[i, t] - old[i, t]), float(advantages[i])
            surrogate = min(ratio * a, min(max(ratio, 1 - clip[0]), 1 + clip[1]) * a)
            r = math.exp(ref[i, t] - logp[i, t])
            row.append(-surrogate + kl * (r - math.log(r) - 1))
        rows.append(row)
    if reduce == "sequence":
        return sum(sum(row) / len(row) if row else 0.0 for row in rows) / len(rows)
    everything = sum(map(sum, rows))
    return everything / (sum(map(len, rows)) if reduce == "token" else len(rows) * max_length)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("clip", [(0.2, 0.2), (0.1, 0.4), (0.3, 0.05)])
@pytest.mark.parametrize("kl", [0.0, 0.04])
def test_the_loss_is_the_formula_token_by_token(reduce, clip, kl):
    logp, old, ref, advantages, mask = batch(seed=3)
    mask[1] = False  # a completion without tokens is 0, and still counts as a completion
    options = {"clip": clip, "kl": kl, "reduce": reduce, "max_length": 7}
    loss, stats = policy_loss(logp, old, advantages, mask, ref_logp=ref, **options)
    near(loss.item(), by_hand(logp, old, ref, advantages, mask, **options))
    ratio = (logp - old).exp()[mask]
    near(stats["ratio_max"], ratio.max().item())
    sign = advantages[:, None].expand_as(logp)[mask].sign()
    stopped = ((ratio > 1 + clip[1]) & (sign > 0)) | ((ratio < 1 - clip[0]) & (sign < 0))
    assert 0 < stopped.sum() < len(stopped)
    near(stats["clip_fraction"], stopped.double().mean().item())
    near(stats["kl"], k3(logp, ref, mask)[mask].mean().item())


def test_one_token_worked_by_hand():
    # p went from 0.5 to 0.7: ratio 1.4. A good token is cut at 1.2, a bad one is not.
    logp, old, mask = tensor([[0.7]]).log(), tensor([[0.5]]).log(), tensor([[1]])
    good, stats = policy_loss(logp, old, tensor([2.0]), mask)
    near(good, tensor(-2.4), 1e-6)
    assert stats == {"clip_fraction": 1.0, "kl": 0.0, "ratio_max": pytest.approx(1.4)}
    bad, stats = policy_loss(logp, old, tensor([-2.0]), mask)
    near(bad, tensor(2.8), 1e-6)
    assert stats["clip_fraction"] == 0.0


def test_k3_worked_by_hand():
    # The reference gives 0.25 where the policy gives 0.5: r = 1/2, and 1/2 - log(1/2) - 1.
    logp, ref = tensor([[0.5]]).log().double(), tensor([[0.25]]).log().double()
    loss, stats = policy_loss(logp, logp, tensor([0.0]), tensor([[1]]), ref_logp=ref, kl=10.0)
    expected = math.log(2) - 0.5
    near(stats["kl"], expected, 1e-6)
    near(loss.item(), 10 * expected, 1e-6)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_the_gradient_is_that_of_finite_differences(reduce, kl):
    logp, old, ref, advantages, mask = batch(3, 4, seed=5)

    def loss(logp):
        return policy_loss(
            logp, old, advantages, mask, ref_logp=ref, kl=kl, reduce=reduce, max_length=9
        )[0]

    assert torch.autograd.gradcheck(loss, logp.requires_grad_())


def test_clipped_tokens_get_no_gradient_and_the_others_do():
    old = tensor([[0.5, 0.5], [0.5, 0.5]]).log()
    logp = tensor([[0.7, 0.3], [0.7, 0.3]]).log().requires_grad_()
    loss, _ = policy_loss(logp, old, tensor([1.0, -1.0]), torch.ones(2, 2), reduce="token")
    loss.backward()
    near(logp.grad, tensor([[0.0, -0.6], [1.4, 0.0]]) / 4, 1e-6)


def test_one_update_a_rollout_has_loss_nought_and_a_gradient():
    logp = -torch.rand(8, 5, dtype=torch.float64)
    rewards = f64([[1.0, 0, 0, 1], [0.0, 0, 0, 1]])
    advantages = group_advantages(rewards).flatten()
    logp.requires_grad_()
    loss, stats = policy_loss(logp, logp, advantages, torch.ones(8, 5))
    loss.backward()
    assert abs(loss.item()) < 1e-6
    near(logp.grad, -advantages[:, None].expand(8, 5) / 40)  # so old_logp counts as a constant
    assert stats["ratio_max"] == 1.0 and stats["clip_fraction"] == 0.0


def test_only_the_policy_gets_a_gradient():
    logp, old, ref, advantages, mask = (t.float().requires_grad_() for t in batch())
    policy_loss(logp, old, advantages, mask.detach(), ref_logp=ref, kl=0.1)[0].backward()
    assert logp.grad is not None
    assert old.grad is None and ref.grad is None and advantages.grad is None


def test_the_largest_ratio_is_one_of_tokens_that_count():
    logp, old = tensor([[0.2, 0.1]]).log(), tensor([[0.5, 0.5]]).log()
    stats = policy_loss(logp, old, tensor([1.0]), tensor([[1, 0]]))[1]
    assert stats["ratio_max"] == pytest.approx(0.4)


def test_groups_without_differences_give_exactly_no_gradient():
    logp = -torch.rand(6, 5).requires_grad_()
    logp.retain_grad()
    advantages = group_advantages(torch.full((2, 3), 0.1)).flatten()
    policy_loss(logp, logp.detach() + 0.3, advantages, torch.ones(6, 5))[0].backward()
    assert logp.grad.eq(0).all()


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_what_stands_in_the_padding_is_never_looked_at(reduce):
    logp, old, ref, advantages, mask = batch(seed=7)
    options = {"kl": 0.1, "reduce": reduce, "max_length": 9}
    clean, stats = policy_loss(logp, old, advantages, mask, ref_logp=ref, **options)
    dirty = [t.masked_fill(~mask, v) for t, v in [(logp, math.nan), (old, -math.inf), (ref, 1e30)]]
    dirty[0].requires_grad_()
    loss, same = policy_loss(dirty[0], dirty[1], advantages, mask, ref_logp=dirty[2], **options)
    loss.backward()
    assert loss.item() == clean.item() and same == stats
    assert dirty[0].grad.isfinite().all() and dirty[0].grad[~mask].eq(0).all()


def test_a_completion_without_tokens_counts_as_nought_and_not_as_nan():
    logp = tensor([[-1.0, -1.0], [-1.0, -1.0]], requires_grad=True)
    mask = tensor([[1, 1], [0, 0]])
    loss, _ = policy_loss(logp, logp, tensor([3.0, 5.0]), mask)
    loss.backward()
    assert loss.item() == -1.5
    assert logp.grad.tolist() == [[-0.75, -0.75], [0.0, 0.0]]


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float64])
def test_the_mask_may_be_of_any_type(kind):
    logp, old, _, advantages, mask = batch(seed=1)
    want = policy_loss(logp, old, advantages, mask)
    assert policy_loss(logp, old, advantages, mask.to(kind)) == want


@pytest.mark.parametrize("reduce", ["sequence", "constant"])
def test_eight_steps_of_one_completion_equal_one_step_of_eight(reduce):
    logp, old, ref, advantages, mask = batch(8, 5, seed=11)
    options = {"ref_logp": ref, "kl": 0.1, "reduce": reduce, "max_length": 6}
    whole = logp.clone().requires_grad_()
    policy_loss(whole, old, advantages, mask, **options)[0].backward()
    pieces = logp.clone().requires_grad_()
    for i in range(8):
        part = {**options, "ref_logp": ref[i : i + 1]}
        rows = slice(i, i + 1)
        (
            policy_loss(pieces[rows], old[rows], advantages[rows], mask[rows], **part)[0] / 8
        ).backward()
    near(pieces.grad, whole.grad)


def test_token_means_add_up_when_weighted_by_tokens():
    logp, old, _, advantages, mask = batch(8, 5, seed=11)
    whole = policy_loss(logp, old, advantages, mask, reduce="token")[0]
    parts = [
        policy_loss(*(t[i : i + 1] for t in (logp, old, advantages, mask)), reduce="token")[0]
        * mask[i].sum()
        for i in range(8)
    ]
    near(sum(parts) / mask.sum(), whole)


@given(st.permutations(range(5)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_completions_does_not_matter(order):
    logp, old, _, advantages, mask = batch(5, 4, seed=2)
    shuffled = [t[list(order)] for t in (logp, old, advantages, mask)]
    near(policy_loss(*shuffled)[0], policy_loss(logp, old, advantages, mask)[0])


def test_more_padding_changes_nothing():
    logp, old, _, advantages, mask = batch(seed=4)
    wide = [torch.nn.functional.pad(t, (0, 3)) for t in (logp, old, mask)]
    for reduce in REDUCTIONS:
        options = {"reduce": reduce, "max_length": 9}
        narrow = policy_loss(logp, old, advantages, mask, **options)
        near(policy_loss(wide[0], wide[1], advantages, wide[2], **options)[0], narrow[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_loss_keeps_the_float_type_and_half_precision_is_computed_in_float32(dtype):
    given = [t if t.dtype == torch.bool else t.to(dtype) for t in batch(spread=0.01)]
    doubles = [t if t.dtype == torch.bool else t.double() for t in given]

    def loss(logp, old, ref, advantages, mask):
        return policy_loss(logp, old, advantages, mask, ref_logp=ref, kl=0.1)

    (ours, stats), (exact, true) = loss(*given), loss(*doubles)
    assert ours.dtype == torch.promote_types(dtype, torch.float32)
    near(float(ours), float(exact), 1e-6)
    near(stats["kl"], true["kl"], 1e-6)


@pytest.mark.parametrize("advantage", [1.0, 0.0, -1.0])
def test_a_ratio_beyond_float32_gives_no_nan(advantage):
    logp, old = tensor([[-1.0, -2.0]], requires_grad=True), tensor([[-100.0, -2.0]])
    loss, stats = policy_loss(logp, old, tensor([advantage]), torch.ones(1, 2))
    loss.backward()
    assert loss.isfinite() and logp.grad.isfinite().all() and math.isfinite(stats["ratio_max"])
    near(logp.grad[0], tensor([0.0, -advantage / 2]))


@pytest.mark.parametrize("std", ["sample", "population", "none"])
@pytest.mark.parametrize(
    "rewards",
    [
        torch.tensor([[3e38, 3e38, 0.0]]),
        torch.tensor([[3e38, -3e38, -3e38, -3e38]]),
        torch.tensor([[1e308, 1e308, -1e308]], dtype=torch.float64),
    ],
)
def test_rewards_beyond_a_sum_are_refused_and_never_nan(rewards, std):
    with pytest.raises(ValueError, match="rewards has values so large"):
        group_advantages(rewards, std=std)


def refused(said, *, change=(), **options):
    logp, old, _, advantages, mask = batch(2, 3)
    arguments = {"logp": logp, "old_logp": old, "advantages": advantages, "mask": mask}
    with pytest.raises(ValueError, match=said):
        policy_loss(**{**arguments, **dict(change), **options})


def test_bad_arguments_are_refused_by_name():
    zeros = torch.zeros
    refused(r"logp has shape \(3,\)", change={"logp": zeros(3)})
    refused(r"old_logp has shape \(2, 4\); allowed is logp's, \(2, 3\)", old_logp=zeros(2, 4))
    refused(r"mask has shape \(3, 2\)", mask=torch.ones(3, 2))
    refused(r"ref_logp has shape \(1, 3\)", ref_logp=zeros(1, 3))
    refused(r"advantages has shape \(2, 3\); allowed is \(2,\)", advantages=zeros(2, 3))
    refused("mask is a list; allowed is a tensor", mask=[[1, 1, 1], [1, 1, 1]])
    refused("advantages is a ndarray; allowed is a tensor", advantages=np.ones(2))
    refused("mask is 0 everywhere", mask=zeros(2, 3))
    refused("mask has values other than 0 and 1", mask=torch.full((2, 3), 0.5))
    refused("advantages has 1 values that are not finite", advantages=tensor([0.0, math.nan]))
    refused(
        "logp has 6 values that are not finite",
        logp=torch.full((2, 3), -math.inf),
        mask=torch.ones(2, 3),
    )
    refused("old_logp has", old_logp=torch.full((2, 3), math.nan))
    refused("ref_logp has", ref_logp=torch.full((2, 3), math.inf))
    refused(r"clip is \(-0.1, 0.2\)", clip=(-0.1, 0.2))
    refused(r"clip is \(0.2,\)", clip=(0.2,))
    for clip in (None, "ab", tensor(0.2), (0.2, "b")):
        refused("clip is .*; allowed are two numbers", clip=clip)
    refused("kl is 0.1 and ref_logp is missing", kl=0.1)
    refused("kl is nan", kl=math.nan)
    refused("reduce is 'mean'; allowed are 'sequence', 'token' and 'constant'", reduce="mean")
    refused("level is 'word'; allowed are 'token' and 'sequence'", level="word")
    refused("max_length is None; reduce='constant' needs", reduce="constant")
    for length in (0, math.nan, math.inf):
        refused(f"max_length is {length}", reduce="constant", max_length=length)


# --- masks, log-probabilities, entropy ------------------------------------------------------------


def test_a_completion_ends_with_its_first_eos_by_position():
    ids = tensor([[5, 2, 2, 2], [5, 6, 7, 8], [2, 5, 2, 6], [5, 6, 7, 2]])
    assert completion_mask(ids, 2).int().tolist() == [
        [1, 1, 0, 0],  # padding that is EOS does not count, the first EOS does
        [1, 1, 1, 1],  # cut off before any EOS: all of it counts
        [1, 0, 0, 0],
        [1, 1, 1, 1],
    ]
    assert completion_mask(ids, [2, 6]).sum(1).tolist() == [2, 2, 1, 2]
    assert completion_mask(torch.zeros(2, 0, dtype=torch.long), 2).shape == (2, 0)


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_the_mask_is_that_of_a_plain_loop(rows):
    expected = [[0 not in row[:i] for i in range(6)] for row in rows]
    assert completion_mask(tensor(rows), 0).tolist() == expected


def test_the_mask_wants_completions_by_tokens():
    with pytest.raises(ValueError, match=r"ids has shape \(3,\)"):
        completion_mask(tensor([1, 2, 3]), 0)


def test_log_probabilities_worked_by_hand():
    logits = f64([[0.0, 0.0, math.log(2.0)]])
    near(token_logprobs(logits, tensor([2])).exp(), f64([0.5]), 1e-6)
    near(token_logprobs(logits, tensor([2]), temperature=0.5).exp(), f64([4 / 6]), 1e-6)
    near(token_logprobs(logits, tensor([0]), temperature=1e9).exp(), f64([1 / 3]), 1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_and_their_gradient_in_any_shape(temperature):
    logits = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    ids = torch.randint(0, 5, (2, 3))
    expected = (logits / temperature).softmax(-1).log().gather(-1, ids[..., None])[..., 0]
    near(token_logprobs(logits, ids, temperature), expected)
    assert torch.autograd.gradcheck(lambda x: token_logprobs(x, ids, temperature), logits)
    near(token_logprobs(logits[0, 0], ids[0, 0], temperature), expected[0, 0])


def test_log_probabilities_survive_large_logits_and_ruled_out_tokens():
    logits = tensor([[1e4, 0.0, -math.inf], [-1e4, -1e4, -math.inf]])
    near(token_logprobs(logits, tensor([0, 1])), tensor([0.0, -math.log(2)]), 1e-6)
    near(entropy(logits), tensor([0.0, math.log(2)]), 1e-6)


@pytest.mark.parametrize(
    ("ids", "temperature", "said"),
    [
        (tensor([0, 1, 2]), 1.0, r"logits has shape \(2, 4\) and ids \(3,\)"),
        (tensor([[0], [1]]), 1.0, "logits has shape"),
        (tensor([0, 4]), 1.0, "ids runs from 0 to 4; allowed is 0 to 3"),
        (tensor([-100, 1]), 1.0, "ids runs from -100 to 1"),
        (tensor([0, 1]), 0.0, "temperature is 0.0; allowed is a finite number above 0"),
        (tensor([0, 1]), math.nan, "temperature is nan"),
    ],
)
def test_bad_ids_and_temperatures_are_refused(ids, temperature, said):
    with pytest.raises(ValueError, match=said):
        token_logprobs(torch.zeros(2, 4), ids, temperature)


def test_entropy_of_even_and_certain_choices():
    near(entropy(torch.zeros(3, 8).double()), torch.full((3,), math.log(8)).double(), 1e-7)
    near(entropy(tensor([0.0, -math.inf, -math.inf])), tensor(0.0))
    p = np.array([0.5, 0.25, 0.25])
    near(entropy(tensor(np.log(p))), f64(1.5 * math.log(2)))


def test_the_gradient_of_entropy_also_with_ruled_out_tokens():
    logits = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(entropy, logits)
    ruled_out = tensor([[0.3, -math.inf, 0.9]], requires_grad=True)
    entropy(ruled_out).sum().backward()
    assert ruled_out.grad.isfinite().all() and ruled_out.grad[0, 1] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"estimator": "k4"}, "estimator is 'k4'"),
        ({"weights": torch.ones(2)}, "weights has shape"),
        ({"weights": torch.full((2, 2), math.nan)}, "weights has 3 values that are not finite"),
    ],
)
def test_estimators_and_weights_that_are_none_are_refused(change, said):
    logp, mask = torch.full((2, 2), -1.0), tensor([[1, 1], [1, 0]])
    with pytest.raises(ValueError, match=said):
        policy_loss(logp, logp, torch.ones(2), mask, **change)


def test_weights_of_the_padding_are_never_looked_at():
    logp, mask = torch.full((2, 2), -1.0), tensor([[1, 1], [1, 0]])
    weights = tensor([[1.0, 2.0], [3.0, math.nan]])
    loss, _ = policy_loss(logp, logp, tensor([1.0, -1.0]), mask, weights=weights)
    near(float(loss), -(1 + 2) / 2 / 2 + 3 / 2)


def test_a_mean_that_there_is_not_is_refused_and_no_token_counts_nothing():
    with pytest.raises(ValueError, match="reduce is 'mean'"):
        token_weights(torch.ones(1, 2), "mean", 4)
    for length in (None, 0, -4):
        with pytest.raises(ValueError, match=f"max_length is {length}; reduce='constant' needs"):
            token_weights(torch.ones(1, 2), "constant", length)
    assert not token_weights(torch.zeros(1, 2), "token").any()
