"""Sampler against trainer: how far two computations of one policy's probabilities are apart.

Completions are sampled by one program (other kernels, perhaps other numbers) and learnt from by
another. On paper both are the same policy; where they differ, training is off-policy from the first
token. With a mixture of experts a rounding error can send a token to other experts. What to do
about it is in `grpo`: `ratios` of tokens or sequences, and `truncated_weights`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.model import rollout
from course_lib.model.rollout import Rollout
from course_lib.moe import routes
from course_lib.rl import grpo, kl
from course_lib.rl.experience import prompt_ids
from course_lib.rl.learner import completion_logprobs
from course_lib.rl.settings import PUZZLES, Task


def mismatch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Any],
    *,
    sampler: torch.dtype | None = None,
    samples: int = 8,
    seed: int = 0,
    max_new_tokens: int = 96,
    task: Task = PUZZLES,
) -> dict[str, float]:
    """Sample with a copy of the model in the numbers `sampler` (None: its own), and compare.

    Of the tokens that were written: `tokens`, the mean and largest `difference` of their
    log-probabilities in nats, the trainer's probability over the sampler's (`ratio_least`,
    `ratio_most`), the same for whole sequences (`sequence_least`, `sequence_most`, as GSPO takes
    them), `k3`, and `experts_differ`: the share whose set of experts is another in some layer.
    """
    acting: Any = model if sampler is None else copy.deepcopy(model)
    acting = acting if sampler is None else acting.to(sampler)
    prompts = [prompt_ids(tokenizer, task.prompt(item)) for item in items]
    sampled = rollout.generate(
        acting,
        prompts,
        samples=samples,
        max_new_tokens=max_new_tokens,
        eos=tokenizer.eos_token_id,
        generator=torch.Generator().manual_seed(seed),
        keep_logp=True,
    )
    mask = grpo.completion_mask(sampled.ids, tokenizer.eos_token_id)
    with torch.no_grad():
        trainer, _ = completion_logprobs(model, sampled, mask, 1.0)
    assert sampled.logp is not None
    found = differences(trainer, sampled.logp.clone(), mask)
    return found | {"experts_differ": experts_differ(model, acting, sampled, mask)}


def differences(trainer: Tensor, sampler: Tensor, mask: Tensor) -> dict[str, float]:
    """What `mismatch` says of two sets of log-probabilities, (completions, tokens) both."""
    gap = kl.difference(trainer, sampler, mask)[mask]
    tokens = grpo.ratios(trainer, sampler, mask)[mask]
    whole = grpo.ratios(trainer, sampler, mask, "sequence")[:, 0]
    return {
        "tokens": int(mask.sum()),
        "difference": float(gap.abs().mean()),
        "difference_most": float(gap.abs().max()),
        "ratio_least": float(tokens.min()),
        "ratio_most": float(tokens.max()),
        "sequence_least": float(whole.min()),
        "sequence_most": float(whole.max()),
        "k3": float(kl.k3(sampler, trainer)[mask].mean()),
    }


@torch.no_grad()
def experts_differ(
    model: PreTrainedModel, other: PreTrainedModel, sampled: Rollout, mask: Tensor
) -> float:
    """The share of tokens that two copies of a model send to different sets of experts somewhere.

    Each copy reads the rollout in its own numbers and kernels. 0.0 for a model without experts.
    """
    ids = torch.cat([sampled.prompt_ids, sampled.ids], 1)
    seen_by_all = torch.cat([sampled.prompt_mask, torch.ones_like(sampled.ids)], 1)
    chosen = []
    for each, kernels in ((model, None), (other, "dense")):
        before = getattr(each.config, "_experts_implementation", None)
        each.config._experts_implementation = kernels or before
        with routes.recording(each) as seen:
            each.model(ids, attention_mask=seen_by_all, use_cache=False)
        each.config._experts_implementation = before
        chosen.append({layer: found.experts.sort(-1).values for layer, found in seen.items()})
    if not chosen[0]:
        return 0.0
    differs = torch.stack([(chosen[0][i] != chosen[1][i]).any(-1) for i in chosen[0]]).any(0)
    read = differs.view(ids.shape)[:, sampled.prompt_ids.shape[1] :]
    return float(read[mask].float().mean())
