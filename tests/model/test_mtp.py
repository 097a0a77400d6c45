"""The head for the token after next against transformers' own, and decoding with its guesses."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.model import latent_decode, models, mtp, mtp_lab, rollout
from course_lib.model.latent_decode import KINDS, Decoder
from course_lib.model.own_forward import sampling
from course_lib.moe.training import small_dense


@pytest.fixture(scope="module")
def zero():
    model, tokenizer = models.load(models.shipped("mini-r1-zero"))
    return model.requires_grad_(False), tokenizer


@pytest.fixture(scope="module")
def head(zero):
    model, _ = zero
    found = mtp.make_head(model)
    generator = torch.Generator().manual_seed(1)
    for parameter in mtp.own_parameters(found):  # so that no part is only a copy
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return found


@torch.no_grad()
def test_the_head_written_out_is_transformers(zero, head):
    model, tokenizer = zero
    ids = torch.tensor(mtp_lab.prompts(tokenizer, 1, 0))
    hidden = model.model(ids, use_cache=False)[0]
    positions = torch.arange(1, ids.shape[1])[None]
    theirs = head.forward_layer(0, hidden[:, :-1], positions, None, input_ids=ids[:, 1:])[0]
    ours, cache = mtp.guess(model, head, hidden[0, :-1], ids[0, 1:])
    assert (ours - theirs).abs().max() < 1e-6 * max(1.0, float(theirs.abs().max()))
    parts, kept = [], None
    for place in range(ids.shape[1] - 1):
        out, kept = mtp.guess(
            model, head, hidden[0, place : place + 1], ids[0, place + 1 : place + 2], kept
        )
        parts.append(out)
    assert (torch.cat(parts) - ours).abs().max() < 1e-5 and kept.shape == cache.shape


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_is_the_model_whatever_it_keeps(zero, kind):
    model, tokenizer = zero
    ids = mtp_lab.prompts(tokenizer, 1, 3)[0]
    decoder = Decoder(model, kind)
    parts = torch.cat([decoder.run(ids[:5]), *(decoder.run([i]) for i in ids[5:])])
    whole = model.model(torch.tensor([ids]), use_cache=False)[0][0]
    assert (parts - whole).abs().max() < 1e-5
    decoder.keep(4)
    assert (decoder.run(ids[4:]) - whole[4:]).abs().max() < 1e-5


@torch.no_grad()
def test_a_latent_cache_is_smaller_by_what_the_configuration_says(zero):
    model, tokenizer = zero
    ids, config = mtp_lab.prompts(tokenizer, 1, 3)[0], model.config
    kept = {}
    for kind in KINDS:
        decoder = Decoder(model, kind)
        decoder.run(ids)
        kept[kind] = decoder.nbytes() / len(ids) / 4 / config.num_hidden_layers
    one = config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim
    assert kept["expanded"] == config.num_attention_heads * one
    assert kept["latent"] == kept["absorbed"] == config.kv_lora_rank + config.qk_rope_head_dim


def test_greedy_with_guesses_is_plain_greedy_to_the_token(zero, head):
    model, tokenizer = zero
    limits = {"eos": tokenizer.eos_token_id, "max_new_tokens": 40}
    asked = mtp_lab.prompts(tokenizer, 3, 5, "test")
    theirs = rollout.generate(model, asked, temperature=0.0, **limits)
    for row, one in enumerate(asked):
        plain = list(latent_decode.decode(model, one, **limits))
        assert mtp.speculate(model, head, one, **limits).ids == plain
        assert theirs.ids[row, : theirs.lengths[row]].tolist() == plain


def test_any_of_several_ids_ends_a_text(zero, head):
    model, tokenizer = zero
    prompt = mtp_lab.prompts(tokenizer, 1, 5, "test")[0]
    plain = list(latent_decode.decode(model, prompt, eos=-1, max_new_tokens=24))
    for end in (plain[0], plain[7], plain[8]):
        limits = {"eos": [-1, end], "max_new_tokens": 24}
        upto = plain[: plain.index(end) + 1]
        assert list(latent_decode.decode(model, prompt, **limits)) == upto
        assert mtp.speculate(model, head, prompt, **limits).ids == upto


def test_prompts_of_different_lengths_are_refused_in_training(zero):
    padded = rollout.generate(zero[0], [[1, 2, 3], [4]], eos=-1, max_new_tokens=4)
    with pytest.raises(ValueError, match="different lengths"):
        mtp.train(zero[0], padded, steps=1)


@given(
    p=st.lists(st.integers(1, 20), min_size=3, max_size=5),
    q=st.lists(st.integers(1, 20), min_size=3, max_size=5),
)
@settings(max_examples=30)
def test_a_guess_kept_or_replaced_has_the_models_distribution(p, q):
    n = min(len(p), len(q))
    p, q = (torch.tensor(x[:n], dtype=torch.float64) / sum(x[:n]) for x in (p, q))
    kept = torch.minimum(p, q)  # drawn from q, kept with p / q
    rest = (p - q).clamp(min=0)
    replaced = (1 - kept.sum()) * rest / rest.sum() if rest.sum() > 0 else 0 * rest
    assert (kept + replaced - p).abs().max() < 1e-9


def test_check_draws_that_distribution():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]], dtype=torch.float64)
    q = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(3)
    for _ in range(4000):
        drafted = mtp.draw(q, generator)
        kept, token = mtp.check(p, q, drafted, generator)
        counts[drafted if kept else token] += 1
        assert not kept or token == 2
    assert (counts / 4000 - p[0]).abs().max() < 0.03


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": -1}, {"steps": 1, "rows": 0}])
def test_a_head_is_not_trained_for_no_steps(zero, wrong):
    with pytest.raises(ValueError, match="train for at least 1 step of 1 row"):
        mtp.train(zero[0], None, **wrong)


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"max_new_tokens": 0}, {}])
def test_what_nothing_can_be_sampled_from_is_refused(zero, wrong):
    model, prompt = zero[0], [1, 2] if wrong else []
    limits = {"eos": 1, "max_new_tokens": 4, **wrong}
    with pytest.raises(ValueError, match=r"temperature|at least one token"):
        list(latent_decode.decode(model, prompt, **limits))
    with pytest.raises(ValueError, match=r"temperature|at least one token"):
        mtp.speculate(model, None, prompt, **limits)


def test_a_foreign_token_and_weights_that_are_none_are_refused(zero):
    model, _ = zero
    limits = {"eos": 1, "max_new_tokens": 4}
    for token in (-3, model.config.vocab_size):
        with pytest.raises(ValueError, match=f"token {token}, and this model has 0 to"):
            list(latent_decode.decode(model, [token], **limits))
        with pytest.raises(ValueError, match=f"token {token}, and this model has 0 to"):
            mtp.speculate(model, mtp.make_head(model), [token], **limits)
    lost = copy.deepcopy(model)
    lost.model.norm.weight.fill_(math.nan)
    with pytest.raises(CourseError, match="are NaN"):
        list(latent_decode.decode(lost, [1, 2], **limits))


def test_states_within_sampling_leave_its_attention_as_it_was(zero):
    model, tokenizer = zero
    sampled = rollout.generate(model, mtp_lab.prompts(tokenizer, 1, 0), eos=1, max_new_tokens=3)
    before = model.config._attn_implementation
    with sampling(model, "dense"):
        inside = model.config._attn_implementation
        mtp.states(model, sampled)
        assert model.config._attn_implementation == inside == "kv_buffer"
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("made_of", [Decoder, mtp.make_head])
def test_another_architecture_is_refused(made_of):
    model, _ = models.load(models.shipped("qwen2-base"))
    with pytest.raises(CourseError, match="DeepSeek-V3's attention"):
        made_of(model)


def test_a_head_on_a_model_without_experts_is_refused():
    with pytest.raises(
        CourseError, match=r"layer with experts, and .* has none; take a model whose last"
    ):
        mtp.make_head(small_dense(64))


def test_the_model_of_a_head_is_trained_on_as_before():
    model, _ = models.load(models.shipped("mini-r1-zero"))
    free = [p.requires_grad for p in model.parameters()]
    head = mtp.make_head(model)
    assert [p.requires_grad for p in model.parameters()] == free and all(free)
    assert not any(p.requires_grad for p in mtp.own_parameters(head))
    sampled = rollout.generate(model, [[1, 2, 3]] * 2, eos=-1, max_new_tokens=4)
    mtp.train(model, sampled, steps=1)
    assert [p.requires_grad for p in model.parameters()] == free
    assert all(p.grad is None for p in model.parameters())


def test_half_precision_another_cache_and_no_tokens_are_refused(zero):
    model, _ = zero
    with pytest.raises(ValueError, match="kind is 'absorb'; allowed are 'expanded', 'latent'"):
        latent_decode.cost(model, "absorb", 8)
    for none in ({"context": 0}, {"context": 4, "steps": 0}):
        with pytest.raises(ValueError, match="give at least 1 of each"):
            latent_decode.cost(model, "latent", **none)
    with pytest.raises(CourseError, match=r"dtype torch.bfloat16; .* in float32 or wider"):
        Decoder(copy.deepcopy(model).bfloat16())
