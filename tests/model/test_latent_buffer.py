"""What is kept as latents, and what is read once, gives the model's own logits and gradients."""

import pytest
import torch

from course_lib.model import lora, models, own_forward, rollout
from course_lib.model.kv_buffer import KVBuffer
from course_lib.model.latent_buffer import LatentBuffer

START = list(range(20, 30))
PROMPTS = {  # by what is special of them
    "alone": [[7, 8, 9, 10]],
    "padded": [[*range(40, 40 + n)] for n in (1, 7, 4)],
    "shared": [[*START, *range(40, 40 + n)] for n in (1, 7, 4)],
}


@pytest.fixture(scope="module")
def model():
    return models.load(models.shipped("mini-v3-base"))[0]


@pytest.fixture
def sampled(monkeypatch):
    """Samples like `rollout.generate`, and says what every token was sampled from."""

    def sample(model, prompts):
        seen, pick = [], rollout.pick

        def heard(logits, *rest):
            seen.append(logits.clone())
            return pick(logits, *rest)

        monkeypatch.setattr(rollout, "pick", heard)
        generator = torch.Generator().manual_seed(0)
        options = {
            "eos": [*range(300, 350)],
            "generator": generator,
            "temperature": 3.0,
        }
        found = rollout.generate(model, prompts, samples=5, max_new_tokens=20, **options)
        return found, seen

    return sample


@torch.no_grad()
def apart(model, prompts, found, seen):
    """How far what was sampled from is from the model's own logits, as a share of the largest."""
    running, most = torch.arange(len(found.ids)), 0.0
    for step, logits in enumerate(seen):
        if len(logits) < len(running):  # the finished were dropped
            running = running[found.lengths[running] > step]
        for row, given in zip(running.tolist(), logits, strict=True):
            if found.lengths[row] > step:
                ids = torch.tensor([prompts[row // 5] + found.ids[row, :step].tolist()])
                most = max(most, float((model(ids).logits[0, -1] - given).abs().max()))
    return most / max(float(logits.abs().max()) for logits in seen)


@pytest.mark.parametrize("kind", PROMPTS)
def test_latents_give_the_models_own_logits(model, sampled, kind):
    """With padding, a shared beginning, and rows that end and are dropped."""
    assert own_forward.way(model).buffer is LatentBuffer
    found, seen = sampled(model, PROMPTS[kind])
    assert found.shared == (10 if kind == "shared" else 0)
    assert len({len(logits) for logits in seen}) > 2, "rows must be dropped to test anything"
    assert apart(model, PROMPTS[kind], found, seen) < 1e-5


def test_padding_that_is_attended_to_would_be_seen(model, sampled, monkeypatch):
    prefill = rollout._prefill

    def forgetful(*given):
        logits = prefill(*given)
        given[3].visible = None
        return logits

    monkeypatch.setattr(rollout, "_prefill", forgetful)
    assert apart(model, PROMPTS["padded"], *sampled(model, PROMPTS["padded"])) > 1e-3


@pytest.mark.parametrize("part", ["absorbed", "_unfolding", "update"])
def test_a_wrong_latent_is_not_taken(monkeypatch, part):
    """Each part, if wrong, is found out by the trial, and keys and values are kept instead."""
    right = getattr(LatentBuffer, part)

    def wrong(self, *given):
        made = right(self, *given)
        if part == "_unfolding":
            return made[0], made[1].flip(0)  # other heads' values
        if part == "update":
            self._layers[given[2]][0][..., -1] *= 2  # of the rotated key
            return made
        return made if made is None else made.flip(2)  # other heads'

    monkeypatch.setattr(LatentBuffer, part, wrong)
    fresh = models.load(models.shipped("mini-v3-base"))[0]
    assert own_forward.way(fresh).buffer is KVBuffer


def test_half_precision_and_others_keep_keys_and_values(model, random_models):
    half = models.load(models.shipped("mini-v3-base"))[0]
    own_forward.way(half)  # found before it was in half precision
    half.to(torch.bfloat16)
    for other in (half, random_models["llama"]):
        assert own_forward.way(other).buffer is KVBuffer


def test_an_adapter_on_what_is_absorbed_counts(sampled):
    fresh = models.load(models.shipped("mini-v3-base"))[0]
    own_forward.way(fresh)  # found before there was an adapter
    lora.add(fresh, lora.Lora())
    torch.manual_seed(0)
    for name, p in fresh.named_parameters():
        if "kv_b_proj" in name and p.requires_grad:
            torch.nn.init.normal_(p, std=0.1)
    assert own_forward.way(fresh).buffer is LatentBuffer
    assert apart(fresh, PROMPTS["alone"], *sampled(fresh, PROMPTS["alone"])) < 1e-5


def gradients(model, read):
    model.zero_grad()
    logits = read()
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return logits.detach(), {
        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("kind", ["padded", "shared"])
def test_what_is_read_once_has_the_gradient_of_all_rows(model, sampled, kind):
    found, _ = sampled(model, PROMPTS[kind] * 2)
    ids = torch.cat([found.prompt_ids, found.ids], 1)
    mask = torch.cat([found.prompt_mask, torch.ones_like(found.ids)], 1)
    inputs = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
    keep = torch.zeros_like(mask, dtype=torch.bool)
    keep[:, found.prompt_ids.shape[1] - 1 :] = True
    begun = found.shared, found.prompt_ids.shape[1] - 1
    assert own_forward._worth(ids, begun) == [end for end in begun if end]
    wanted, theirs = gradients(model, lambda: own_forward.kept_logits(model, ids, keep, **inputs))
    got, ours = gradients(
        model, lambda: own_forward.kept_logits(model, ids, keep, begun=begun, **inputs)
    )
    assert torch.allclose(got, wanted, atol=1e-4) and ours.keys() == theirs.keys()
    for name in ours:
        scale = float(theirs[name].abs().max())
        assert torch.allclose(ours[name], theirs[name], atol=1e-4 * scale), name


def test_what_is_kept_too_early_is_refused(model):
    ids = torch.arange(20, 32).expand(2, -1)
    with pytest.raises(ValueError, match="before the last of begun"):
        own_forward.kept_logits(model, ids, torch.ones_like(ids, dtype=torch.bool), begun=[8])


def test_with_gradient_checkpointing_nothing_is_read_apart():
    fresh = models.load(models.shipped("mini-v3-base"))[0].train()
    ids = torch.arange(20, 32).expand(40, -1)
    keep = torch.ones_like(ids, dtype=torch.bool)
    keep[:, :8] = False
    assert own_forward._worth(ids, [8]) == [8]
    plain = own_forward.kept_logits(fresh, ids, keep, begun=[8])
    fresh.activation_checkpointing_enable()
    assert torch.allclose(own_forward.kept_logits(fresh, ids, keep, begun=[8]), plain, atol=1e-4)


def test_the_same_tokens_padded_otherwise_are_read_apart(model):
    """The pad token is one of the prompt's own, and the two stand in one row of the cache."""
    ids = torch.tensor([[0, 0, 5, 6, 7, 8, 9]] * 40)
    mask = torch.ones_like(ids)
    mask[20:, :2] = 0
    inputs = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
    keep = torch.ones_like(mask, dtype=torch.bool)
    keep[:, :5] = False
    with torch.no_grad():
        once = own_forward.kept_logits(model, ids, keep, begun=(5,), **inputs)
        each = own_forward.kept_logits(model, ids, keep, **inputs)
    assert torch.allclose(once, each, atol=1e-5) and not torch.allclose(
        each[0], each[-2], atol=1e-3
    )
