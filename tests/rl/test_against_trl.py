"""Our losses against TRL's own code, forward and gradient, in double precision.

TRL's trainers are run as they are, with a tiny model; where a loss is to be fed chosen numbers, the
model is replaced by a function that returns them, and TRL's arithmetic still does the rest.
"""

from collections import defaultdict
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import tensor
from transformers import DeepseekV3ForCausalLM

from course_lib.distill.soft_labels import generalized_jsd
from course_lib.model import models
from course_lib.model.logprobs import entropy, token_logprobs
from course_lib.model.sft import collate, sft_loss
from course_lib.pipeline.preference import dpo_loss, reward_model_loss
from course_lib.rl.grpo import (
    completion_mask,
    group_advantages,
    policy_loss,
    truncated_weights,
)

pytestmark = pytest.mark.filterwarnings("ignore")

# TRL corrects the deviation by a float32 size / (size - 1): exact for groups of five.
GROUPS, SIZE, TOKENS = 2, 5, 6
LOSS_TYPES = {"sequence": "grpo", "token": "bnpo", "constant": "dr_grpo"}


def near(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def leaf(*shape, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=random, dtype=torch.float64).requires_grad_()


def prefixes(rows, tokens, seed=0):
    """A mask of completions of differing lengths, at least one token each."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, tokens + 1, (rows, 1), generator=random)
    return torch.arange(tokens) < lengths


@pytest.fixture(scope="module", autouse=True)
def trl():
    """TRL, imported when the first test runs: it takes ten seconds, which collecting need not."""
    return pytest.importorskip("trl", reason="needs TRL: pip install -r tests/requirements.txt")


@pytest.fixture(scope="module")
def tokenizer():
    return models.build_tokenizer()


@pytest.fixture(scope="module")
def tiny(tokenizer):
    torch.manual_seed(0)
    config = models.mini_v3_config(
        tokenizer,
        hidden_size=16,
        num_hidden_layers=2,
        intermediate_size=16,
        moe_intermediate_size=8,
        n_routed_experts=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        kv_lora_rank=8,
        qk_nope_head_dim=4,
        qk_rope_head_dim=4,
        v_head_dim=4,
        initializer_range=0.3,
        experts_implementation="eager",  # the only one that takes float64
    )
    return DeepseekV3ForCausalLM(config).double()


@pytest.fixture(scope="module")
def trainer(trl, tiny, tokenizer, tmp_path_factory):
    from datasets import Dataset

    config = trl.GRPOConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")),
        use_cpu=True,
        bf16=False,
        report_to="none",
        per_device_train_batch_size=GROUPS * SIZE,
        num_generations=SIZE,
        max_completion_length=TOKENS,
        gradient_checkpointing=False,
        use_bias_correction_kl=False,  # else V3.2's KL, multiplied by the ratio
    )
    data = Dataset.from_dict({"prompt": ["1 ? 2 = 3", "4 ? 2 = 2"]})
    return trl.GRPOTrainer(
        tiny,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
    )


def in_double(model, input_ids, labels, attention_mask=None, **_):
    """The model with TRL's output layer; the fused one, which is TRL's default, is in float32."""
    from trl.trainer.utils import selective_log_softmax_and_entropy

    logits = model(input_ids, attention_mask=attention_mask).logits[:, :-1]
    counted = labels[:, 1:] != -100
    logp, spread = selective_log_softmax_and_entropy(logits, input_ids[:, 1:], row_mask=counted)
    return SimpleNamespace(
        log_probs=logp.masked_fill(~counted, 0.0),
        entropy=spread,
        is_top1=counted,
        label_mask=counted,
    )


def gradients(model, loss):
    """The gradient of `loss` for every weight that has one, by name."""
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def scored(trainer, monkeypatch, tokenizer, rewards, ids, scale="group"):
    """TRL's batch for completions `ids` (rows, tokens) as its model would have sampled them."""
    monkeypatch.setattr(trainer, "scale_rewards", scale)
    monkeypatch.setattr(trainer, "_calculate_rewards", lambda *_: rewards.reshape(-1, 1))
    monkeypatch.setattr(
        trainer.model, "generate", lambda input_ids, **_: torch.cat([input_ids, ids], 1)
    )
    monkeypatch.setattr(trainer, "current_gradient_accumulation_steps", 1, raising=False)
    prompts = ["1 ? 2 = 3"] * SIZE + ["14 ? 2 = 12"] * SIZE
    trainer.model.train()
    return trainer._generate_and_score_completions([{"prompt": p} for p in prompts])


# --- GRPO -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("std", "scale"), [("sample", "group"), ("none", "none")])
def test_advantages(trainer, monkeypatch, tokenizer, std, scale):
    rewards = leaf(GROUPS, SIZE).detach()
    rewards[1] = tensor([1.0, 0, 0, 1, 0])
    ids = torch.full((GROUPS * SIZE, 1), tokenizer.eos_token_id)
    theirs = scored(trainer, monkeypatch, tokenizer, rewards, ids, scale)["advantages"]
    near(group_advantages(rewards, std=std).flatten(), theirs)


def test_completion_mask(trainer, monkeypatch, tokenizer):
    eos = tokenizer.eos_token_id
    assert tokenizer.pad_token_id == eos  # the case in which masking by token id goes wrong
    ids = torch.randint(0, 256, (GROUPS * SIZE, TOKENS))
    ids[0, 2:] = eos
    ids[1, 0] = eos
    ids[2, -1] = eos
    theirs = scored(trainer, monkeypatch, tokenizer, torch.zeros(GROUPS, SIZE), ids)
    assert torch.equal(completion_mask(ids, eos).long(), theirs["completion_mask"])


@pytest.mark.parametrize("reduce", LOSS_TYPES)
@pytest.mark.parametrize("kl", [0.0, 0.05])
@pytest.mark.parametrize("clip", [(0.2, 0.2), (0.1, 0.28)])
def test_policy_loss(trainer, monkeypatch, reduce, kl, clip):
    rows = GROUPS * SIZE
    logp, advantages = leaf(rows, TOKENS, seed=1), leaf(rows, seed=2).detach()
    old = logp.detach() + 0.3 * leaf(rows, TOKENS, seed=3).detach()
    ref = logp.detach() + 0.3 * leaf(rows, TOKENS, seed=4).detach()
    mask = prefixes(rows, TOKENS)
    mask[3] = False
    inputs = {
        "prompt_ids": torch.ones(rows, 1, dtype=torch.long),
        "prompt_mask": torch.ones(rows, 1, dtype=torch.long),
        "completion_ids": torch.ones(rows, TOKENS, dtype=torch.long),
        "completion_mask": mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": ref,
    }
    for name, value in {
        "loss_type": LOSS_TYPES[reduce],
        "beta": kl,
        "epsilon_low": clip[0],
        "epsilon_high": clip[1],
        "_metrics": defaultdict(lambda: defaultdict(list)),
    }.items():
        monkeypatch.setattr(trainer, name, value)
    trainer.model.eval()
    theirs_in = logp.detach().clone().requires_grad_()
    fake = SimpleNamespace(log_probs=theirs_in, entropy=torch.zeros_like(theirs_in))
    theirs = trainer._compute_loss(lambda **_: fake, inputs)
    ours, stats = policy_loss(
        logp,
        old,
        advantages,
        mask,
        clip=clip,
        ref_logp=ref,
        kl=kl,
        reduce=reduce,
        max_length=TOKENS,
    )
    near(ours, theirs)
    ours.backward()
    theirs.backward()
    near(logp.grad, theirs_in.grad)
    figures = trainer._metrics["eval"]
    assert stats["clip_fraction"] == pytest.approx(figures["clip_ratio/region_mean"][0], abs=1e-6)
    assert 0 < stats["clip_fraction"] < 1
    if kl:
        assert stats["kl"] == pytest.approx(figures["kl"][0], abs=1e-6)


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("cap", [None, 1.1])
def test_gspo_and_truncated_importance_sampling(trainer, monkeypatch, level, cap):
    rows = GROUPS * SIZE
    logp, advantages = leaf(rows, TOKENS, seed=1), leaf(rows, seed=2).detach()
    old = logp.detach() + 0.1 * leaf(rows, TOKENS, seed=3).detach()
    sampler = old + 0.2 * leaf(rows, TOKENS, seed=4).detach()
    mask = prefixes(rows, TOKENS)
    weights = None if cap is None else truncated_weights(old, sampler, mask, cap)
    inputs = {
        "prompt_ids": torch.ones(rows, 1, dtype=torch.long),
        "prompt_mask": torch.ones(rows, 1, dtype=torch.long),
        "completion_ids": torch.ones(rows, TOKENS, dtype=torch.long),
        "completion_mask": mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old,
    }
    if cap is not None:  # what TRL computes where it samples
        inputs["importance_sampling_ratio"] = (old - sampler).exp().clamp(max=cap)
    for name, value in {
        "loss_type": "grpo",
        "importance_sampling_level": level,
        "beta": 0.0,
        "epsilon_low": 0.03,
        "epsilon_high": 0.04,
        "use_vllm": cap is not None,
        "vllm_importance_sampling_correction": cap is not None,
        "_metrics": defaultdict(lambda: defaultdict(list)),
    }.items():
        monkeypatch.setattr(trainer, name, value, raising=False)
    trainer.model.eval()
    theirs_in = logp.detach().clone().requires_grad_()
    fake = SimpleNamespace(log_probs=theirs_in, entropy=torch.zeros_like(theirs_in))
    theirs = trainer._compute_loss(lambda **_: fake, inputs)
    ours, stats = policy_loss(
        logp, old, advantages, mask, clip=(0.03, 0.04), level=level, weights=weights
    )
    near(ours, theirs)
    ours.backward()
    theirs.backward()
    near(logp.grad, theirs_in.grad)
    assert 0 < stats["clip_fraction"] < 1


@pytest.mark.parametrize("std", ["sample", "none"])
def test_a_whole_step_from_rewards_to_the_gradient_of_every_weight(
    trainer, monkeypatch, tokenizer, std
):
    eos, rewards = tokenizer.eos_token_id, tensor([[1.0, 0, 0, 0, 0], [0, 1, 1, 0, 0]]).double()
    ids = torch.randint(0, 256, (GROUPS * SIZE, TOKENS), generator=torch.Generator().manual_seed(0))
    ids[::2, 3] = eos
    scale = "group" if std == "sample" else "none"
    batch = scored(trainer, monkeypatch, tokenizer, rewards, ids, scale)
    monkeypatch.setattr(trainer, "loss_type", "grpo")
    model = trainer.model
    theirs = gradients(model, trainer._compute_loss(partial(in_double, model), batch))
    mask = completion_mask(ids, eos)
    seen = torch.cat([batch["prompt_mask"], mask], 1)
    whole = torch.cat([batch["prompt_ids"], ids], 1)
    logp = token_logprobs(model(whole, attention_mask=seen).logits[:, -TOKENS - 1 : -1], ids)
    advantages = group_advantages(rewards, std=std).flatten()
    ours = gradients(model, policy_loss(logp, logp, advantages, mask)[0])
    assert ours.keys() == theirs.keys() and max(g.abs().max() for g in ours.values()) > 1e-3
    for name, gradient in ours.items():
        near(gradient, theirs[name])


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_and_entropy(temperature):
    from trl.trainer.utils import entropy_from_logits, selective_log_softmax

    ours, theirs = leaf(3, 5, 7), leaf(3, 5, 7)
    ids = torch.randint(0, 7, (3, 5))
    mine = token_logprobs(ours, ids, temperature)
    other = selective_log_softmax(theirs, ids, temperature=temperature)
    near(mine, other)
    near(entropy(ours), entropy_from_logits(theirs))
    (mine.square().sum() + entropy(ours).sum()).backward()
    (other.square().sum() + entropy_from_logits(theirs).sum()).backward()
    near(ours.grad, theirs.grad)


# --- fine-tuning, preferences, distillation -------------------------------------------------------


def counting_trainer(**more):
    """The parts of a TRL trainer that its loss reads and that are not about the loss."""
    alone = SimpleNamespace(
        gather=lambda x: x, gather_for_metrics=lambda x: x, device="cpu", parallelism_config=None
    )
    return SimpleNamespace(
        accelerator=alone,
        model=SimpleNamespace(training=False),
        aux_loss_enabled=False,
        compute_loss_func=None,
        label_smoother=None,
        _total_train_tokens=0,
        _metrics=defaultdict(lambda: defaultdict(list)),
        **more,
    )


def test_sft_loss(trl, tiny, tokenizer):
    prompts = [tokenizer.encode(p) for p in ("1 ? 2 = 3", "4 ? 2 ? 7 = 9")]
    ids, mask = collate(prompts, [[1, 2, 3], [4, 5]], pad=tokenizer.eos_token_id)
    labels = ids.masked_fill(~mask, -100)
    args = SimpleNamespace(loss_type="nll", average_tokens_across_devices=False)
    theirs = trl.SFTTrainer.compute_loss(
        counting_trainer(args=args),
        partial(in_double, tiny),
        {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)},
    )
    ours = sft_loss(tiny(ids).logits, ids, mask)
    near(ours, theirs)
    expected = gradients(tiny, theirs)
    for name, gradient in gradients(tiny, ours).items():
        near(gradient, expected[name])


def test_reward_model_loss(trl):
    chosen, rejected, scores = leaf(6, seed=1), leaf(6, seed=2), leaf(12, seed=3)
    with torch.no_grad():
        scores.copy_(torch.cat([chosen, rejected]))
    args = SimpleNamespace(center_rewards_coefficient=None)
    stub = counting_trainer(args=args)
    theirs = trl.RewardTrainer.compute_loss(stub, lambda **_: SimpleNamespace(logits=scores), {})
    ours, stats = reward_model_loss(chosen, rejected)
    near(ours, theirs)
    ours.backward()
    theirs.backward()
    near(torch.cat([chosen.grad, rejected.grad]), scores.grad)
    assert stats["accuracy"] == pytest.approx(stub._metrics["eval"]["accuracy"][0])
    assert stats["margin"] == pytest.approx(stub._metrics["eval"]["margin"][0])


@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_dpo_loss(trl, beta):
    pairs = 3
    ours_in, theirs_in = leaf(2 * pairs, TOKENS), leaf(2 * pairs, TOKENS)
    ref = leaf(2 * pairs, TOKENS, seed=9).detach()
    mask = prefixes(2 * pairs, TOKENS)
    stub = counting_trainer(
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        beta=beta,
        use_weighting=False,
    )
    nothing = torch.zeros(2 * pairs, TOKENS)
    fake = SimpleNamespace(
        log_probs=theirs_in * mask, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool()
    )
    better, worse = (ref * mask).sum(1).chunk(2)
    inputs = {
        "input_ids": torch.ones(2 * pairs, TOKENS + 1, dtype=torch.long),
        "completion_mask": torch.nn.functional.pad(mask, (1, 0)).long(),
        "ref_chosen_logps": better,
        "ref_rejected_logps": worse,
    }
    theirs = trl.DPOTrainer._compute_loss(stub, lambda **_: fake, inputs, return_outputs=False)
    chosen, rejected = (ours_in * mask).sum(1).chunk(2)
    ours, stats = dpo_loss(chosen, rejected, better, worse, beta=beta)
    near(ours, theirs)
    ours.backward()
    theirs.backward()
    near(ours_in.grad, theirs_in.grad)
    figures = stub._metrics["eval"]
    assert stats["accuracy"] == pytest.approx(figures["rewards/accuracies"][0])
    assert stats["margin"] == pytest.approx(figures["rewards/margins"][0])


@pytest.mark.parametrize("beta", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_generalized_jsd(beta, temperature):
    from trl.experimental.gkd import GKDTrainer

    ours_in, theirs_in = leaf(2, 4, 7), leaf(2, 4, 7)
    teacher = leaf(2, 4, 7, seed=5).detach()
    mask = prefixes(2, 4)
    labels = torch.zeros(2, 4, dtype=torch.long).masked_fill(~mask, -100)
    theirs = GKDTrainer.generalized_jsd_loss(
        theirs_in, teacher, labels=labels, beta=beta, temperature=temperature
    )
    ours = generalized_jsd(ours_in, teacher, beta=beta, temperature=temperature, mask=mask)
    near(ours, theirs)
    ours.backward()
    theirs.backward()
    near(ours_in.grad, theirs_in.grad)
