"""Batched sampling gives what one-by-one sampling gives, for every model family and batch."""

import copy

import numpy as np
import pytest
import torch

from course_lib.errors import CourseError
from course_lib.model import kv_buffer, latent_decode, models, rollout
from course_lib.task import puzzles

FAMILIES = ["mini_v3", "qwen2", "llama"]


@pytest.fixture
def prompts(tokenizer):
    return [models.chat_ids(tokenizer, str(p)) for p in puzzles.sample(12, 0)]


def ending(model, prompts):
    """A token that greedy completions of these prompts reach at different times: a good EOS."""
    free = rollout.generate(model, prompts, max_new_tokens=24, eos=0, banned=[0], temperature=0)
    counts = free.ids.flatten().bincount()
    return int(counts.argsort(descending=True)[2])


def upto(row, eos):
    row = row.tolist()
    return row[: row.index(eos) + 1] if eos in row else row


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ragged", [False, True])
def test_a_batch_gives_what_each_prompt_gives_alone(random_models, prompts, family, ragged):
    model = random_models[family]
    if ragged:
        prompts = [p[i % 5 :] for i, p in enumerate(prompts)]
    eos = ending(model, prompts)
    alone = [
        rollout.generate(model, [p], max_new_tokens=24, eos=eos, temperature=0) for p in prompts
    ]
    for size in (2, 5, 12):
        for start in range(0, 12, size):
            batch = rollout.generate(
                model, prompts[start : start + size], max_new_tokens=24, eos=eos, temperature=0
            )
            for row, single in zip(batch.ids, alone[start:], strict=False):
                assert upto(row, eos) == upto(single.ids[0], eos)
    lengths = {int(single.lengths) for single in alone}
    assert len(lengths) > 1, "the completions must end at different times for this to test anything"


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_transformers_generate(random_models, prompts, family):
    model = random_models[family]
    ours = rollout.generate(model, prompts, max_new_tokens=16, eos=-1, temperature=0).ids
    ids = torch.tensor(prompts)
    theirs = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    assert torch.equal(ours, theirs[:, ids.shape[1] :])


@pytest.mark.parametrize("family", FAMILIES)
def test_streaming_gives_the_same_tokens(random_models, prompts, family):
    model = random_models[family]
    eos = ending(model, prompts)
    batch = rollout.generate(model, prompts[:1], max_new_tokens=24, eos=eos, temperature=0)
    streamed = rollout.stream(model, prompts[0], max_new_tokens=24, eos=eos, temperature=0)
    assert list(streamed) == upto(batch.ids[0], eos)


def test_of_several_ends_one_that_is_a_token_pads(random_models, prompts):
    model = random_models["mini_v3"]
    eos = ending(model, prompts)
    limits = {"max_new_tokens": 24, "temperature": 0}
    one = rollout.generate(model, prompts, eos=eos, **limits)
    several = rollout.generate(model, prompts, eos=[-1, eos], **limits)
    assert one.finished.any() and not one.finished.all()
    assert torch.equal(one.ids, several.ids) and torch.equal(one.lengths, several.lengths)


def test_everything_after_the_first_eos_is_eos_and_the_length_counts_it(random_models, prompts):
    model = random_models["qwen2"]
    eos = ending(model, prompts)
    found = rollout.generate(
        model, prompts, samples=8, max_new_tokens=24, eos=eos,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    for row, length, finished in zip(found.ids, found.lengths, found.finished, strict=True):
        assert (row[int(length) - 1 :] == eos).all() == bool(finished)
        assert not (row[: int(length) - 1] == eos).any()


def test_samples_of_a_prompt_stand_together_and_a_seed_repeats_them(random_models, prompts):
    def sample(seed):
        return rollout.generate(
            random_models["mini_v3"], prompts[:3], samples=4, max_new_tokens=6, eos=-1,
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip

    first = sample(1)
    assert torch.equal(first.prompt_ids[4:8], torch.tensor([prompts[1]] * 4))
    assert torch.equal(first.ids, sample(1).ids)
    assert not torch.equal(first.ids, sample(2).ids)


def test_banned_tokens_never_come(random_models, prompts):
    model = random_models["llama"]
    usual = rollout.generate(model, prompts[:2], max_new_tokens=8, eos=-1, temperature=0)
    banned = usual.ids.unique().tolist()
    other = rollout.generate(
        model, prompts[:2], max_new_tokens=8, eos=-1, temperature=0, banned=banned
    )
    assert not set(other.ids.flatten().tolist()) & set(banned)


def test_sampling_follows_the_softmax():
    logits = torch.tensor([[0.0, 1.0, 2.0, -50.0]]).repeat(20_000, 1)
    for temperature in (1.0, 0.5):
        drawn = rollout.pick(logits, temperature, torch.Generator().manual_seed(0))
        shares = drawn.bincount(minlength=4) / len(drawn)
        assert torch.allclose(shares, (logits[0] / temperature).softmax(-1), atol=0.02)
        assert shares[3] == 0


def test_the_model_comes_back_as_it_was(random_models, prompts):
    model = random_models["mini_v3"].train()
    before = model.config._attn_implementation, model.config._experts_implementation
    with pytest.raises(ValueError, match="prompts"):
        rollout.generate(model, [[]], max_new_tokens=1, eos=0)
    rollout.generate(model, prompts[:1], max_new_tokens=1, eos=0)
    assert model.training
    assert (model.config._attn_implementation, model.config._experts_implementation) == before
    model.eval()


def test_a_gradient_goes_through_what_was_sampled(random_models, prompts):
    """`gather` and the embedding keep ids for the way back, which inference mode forbids."""
    model = copy.deepcopy(random_models["llama"])
    found = rollout.generate(model, prompts, max_new_tokens=4, eos=0, keep_logp=True)
    ids = torch.cat([found.prompt_ids, found.ids], 1)
    before = model(ids).logits[:, found.prompt_ids.shape[1] - 1 : -1].log_softmax(-1)
    logp = before.gather(-1, found.ids[..., None]).squeeze(-1)
    (logp * found.logp).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def decoded(model, prompt):
    return latent_decode.decode(model, prompt, max_new_tokens=4, eos=-1)


def streamed(model, prompt):
    return rollout.stream(model, prompt, max_new_tokens=4, eos=-1, temperature=0)


@pytest.mark.parametrize("tokens_of", [decoded, streamed])
def test_between_two_tokens_the_model_is_as_it_was(random_models, prompts, tokens_of):
    model = random_models["mini_v3"].train()
    before = model.config._attn_implementation, model.config._experts_implementation
    expected = list(tokens_of(model, prompts[0]))
    first, second = tokens_of(model, prompts[0]), tokens_of(model, prompts[0])
    assert next(first) == next(second) == expected[0]
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled() and model.training
    assert (model.config._attn_implementation, model.config._experts_implementation) == before
    del first
    assert list(second) == expected[1:]
    assert model.training and model.config._attn_implementation == before[0]
    model.eval()


def test_dense_experts_equal_the_models_own(random_models):
    model = random_models["mini_v3"]
    experts = model.model.layers[1].mlp.experts
    hidden = torch.randn(30, 128)
    weights, chosen = torch.rand(30, 8).topk(2)
    with torch.no_grad():
        ours = kv_buffer._dense_experts(experts, hidden, chosen, weights)
        assert torch.allclose(ours, experts(hidden, chosen, weights), atol=1e-5)


@pytest.mark.parametrize("change", [{"max_new_tokens": 0}, {"samples": 0}])
def test_limits_below_one_are_refused(random_models, prompts, change):
    with pytest.raises(ValueError, match="max_new_tokens"):
        rollout.generate(
            random_models["llama"], prompts, **({"max_new_tokens": 4, "eos": 0} | change)
        )


def test_a_precision_in_which_a_model_does_not_run_is_told_in_a_sentence(random_models, prompts):
    model = copy.deepcopy(random_models["mini_v3"]).double()
    with pytest.raises(CourseError, match=r"in torch.float64 fails .*Try it in float32"):
        rollout.generate(model, prompts, max_new_tokens=2, eos=0)
    llama = copy.deepcopy(random_models["llama"]).double()
    assert rollout.generate(llama, prompts, max_new_tokens=2, eos=0).ids.shape[0] == len(prompts)


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused_by_both(random_models, prompts, temperature):
    model, asked = random_models["llama"], {"max_new_tokens": 2, "eos": 0}
    with pytest.raises(ValueError, match="temperature is"):
        rollout.generate(model, prompts, temperature=temperature, **asked)
    with pytest.raises(ValueError, match="temperature is"):
        list(rollout.stream(model, prompts[0], temperature=temperature, **asked))
    with pytest.raises(ValueError, match="at least one token"):
        list(rollout.stream(model, [], **asked))


@pytest.mark.parametrize("sampled_before", [False, True])
def test_a_model_whose_training_went_astray_is_told_in_a_sentence(
    random_models, prompts, sampled_before
):
    model = copy.deepcopy(random_models["qwen2"])
    if sampled_before:
        rollout.generate(model, prompts, max_new_tokens=2, eos=0)
    with torch.no_grad():
        next(model.parameters())[:] = torch.nan
    with pytest.raises(CourseError, match=r"are NaN.*earlier checkpoint"):
        rollout.generate(model, prompts, max_new_tokens=2, eos=0)


def test_no_end_at_all_is_refused_by_both(random_models, prompts):
    model = random_models["llama"]
    for nothing in ([], None):  # None is what a tokenizer without an end has
        with pytest.raises(ValueError, match="eos is empty"):
            rollout.generate(model, prompts, max_new_tokens=2, eos=nothing)
    with pytest.raises(ValueError, match="eos is empty"):
        next(rollout.stream(model, prompts[0], max_new_tokens=2, eos=[]))


@pytest.mark.parametrize("wrong", [[5, 6], "a text", ["a text"], [[[5, 6]]], torch.tensor([5, 6])])
def test_what_is_no_list_of_prompts_is_refused_in_a_sentence(random_models, wrong):
    with pytest.raises(ValueError, match="prompts, each a list of"):
        rollout.generate(random_models["llama"], wrong, max_new_tokens=2, eos=0)


def test_a_token_that_the_model_has_not_is_refused_by_both(random_models):
    model = random_models["llama"]
    known = model.config.vocab_size
    with pytest.raises(ValueError, match=rf"token {known}, and this model has 0 to {known - 1};"):
        rollout.generate(model, [[5, known]], max_new_tokens=2, eos=0)
    with pytest.raises(ValueError, match=f"token {known}"):
        next(rollout.stream(model, [known], max_new_tokens=2, eos=0))
    with pytest.raises(ValueError, match="token -3, and this model has 0 to"):
        rollout.generate(model, [[5, -3]], max_new_tokens=2, eos=0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("made", [torch.tensor, np.array])
def test_prompts_may_be_rows_of_a_tokenizer(random_models, made):
    """As a tokenizer gives them that is asked for tensors or arrays."""
    model, prompts = random_models["llama"], [list(range(3, 20)), [*range(3, 19), 30]]
    asked = {"max_new_tokens": 4, "eos": -1, "temperature": 0}
    expected = rollout.generate(model, prompts, **asked)
    found = rollout.generate(model, made(prompts), **asked)
    assert found.ids.equal(expected.ids) and found.shared == expected.shared == 16
