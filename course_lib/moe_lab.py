"""Small live trainings of the mini-V3: with and without balance, sparse against dense.

The model is `DeepseekV3ForCausalLM`, smaller than the course's mini-V3 so that a run takes seconds;
the text is worked puzzles in the course's notation, and only the completion is learned.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import DeepseekV3ForCausalLM, PreTrainedTokenizerFast

from course_lib import corpus, models, moe, pretrain
from course_lib.routes import recording, routers

BALANCING = ("none", "auxiliary", "bias")

AUXILIARY_WEIGHT = 0.01  # Switch Transformer's alpha
BIAS_STEP = 0.01  # ten times V3's speed, for runs thousands of times shorter
LEARNING_RATE = 4e-3
_WORKED = corpus.Mix(drill=0.0, bare=0.0, chat=0.0)
_EXAMPLES, _ROWS = 4096, 32


@dataclass(frozen=True)
class Run:
    """What a training leaves behind."""

    name: str
    losses: list[float]  # cross-entropy in nats per completion token, one a step
    loads: Tensor  # (steps, layers, experts), each expert's load over the mean load
    seconds: float

    def final_loss(self, last: int = 50) -> float:
        """The mean loss of the last steps."""
        return sum(self.losses[-last:]) / len(self.losses[-last:])

    def final_load(self, last: int = 50) -> Tensor:
        """(layers, experts): load over the mean load in the last steps taken together."""
        return self.loads[-last:].mean(0)

    def imbalance(self, last: int = 50) -> float:
        """Largest over mean load in the last steps, of the layer where it is worst."""
        return float(moe.imbalance(self.final_load(last)).max())

    def dead(self, last: int = 50, below: float = 0.1) -> int:
        """How many experts, over all layers, got less than `below` of an even share at the end."""
        return int((self.final_load(last) < below).sum())


@lru_cache
def _examples(seed: int) -> tuple[PreTrainedTokenizerFast, list[tuple[list[int], list[float]]]]:
    """The tokenizer, and worked puzzles as rows of token ids and loss weights."""
    tokenizer = models.build_tokenizer()
    ids = models.token_ids(tokenizer)
    ids |= {digit: tokenizer.convert_tokens_to_ids(digit) for digit in "123456789"}
    rng = np.random.default_rng(seed)
    documents = corpus.documents(rng, _EXAMPLES, _WORKED, verdict_weight=1.0)
    return tokenizer, [pretrain.encode(document, ids) for document in documents]


def batches(steps: int, seed: int = 0) -> Iterator[pretrain.Batch]:
    """The same batches of worked puzzles for every run with this seed."""
    tokenizer, examples = _examples(seed)
    rng = random.Random(seed)
    for _ in range(steps):
        yield pretrain.collate(rng.sample(examples, _ROWS), tokenizer.eos_token_id)


def worked_texts(n: int, seed: int = 1) -> list[str]:
    """`n` puzzles with their working and answer, as one text each, special tokens and all."""
    tokenizer, examples = _examples(seed)
    return [tokenizer.decode(ids) for ids, _ in examples[:n]]


def small_moe(seed: int = 0, **changes: object) -> DeepseekV3ForCausalLM:
    """An untrained V3 of two layers, 16 experts of which a token takes 2, and one shared expert."""
    tokenizer, _ = _examples(0)
    sizes = dict(
        hidden_size=64,
        num_hidden_layers=2,
        first_k_dense_replace=0,
        intermediate_size=96,
        n_routed_experts=16,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        kv_lora_rank=32,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    torch.manual_seed(seed)
    return DeepseekV3ForCausalLM(models.mini_v3_config(tokenizer, **{**sizes, **changes}))


def small_dense(inner: int, seed: int = 0) -> DeepseekV3ForCausalLM:
    """The same model with one feed-forward layer of width `inner` in place of all experts."""
    return small_moe(seed, first_k_dense_replace=2, intermediate_size=inner)


def train(
    balancing: str = "none",
    *,
    steps: int = 250,
    seed: int = 0,
    model: DeepseekV3ForCausalLM | None = None,
    name: str | None = None,
) -> Run:
    """Train a small MoE (or `model`) from scratch and record its losses and its experts' loads.

    `balancing` is "none", "auxiliary" (the classic loss, added with weight 0.01) or "bias" (V3's
    rule after each batch). Raises ValueError for another word or fewer than one step.
    """
    if balancing not in BALANCING:
        allowed = ", ".join(map(repr, BALANCING))
        raise ValueError(f"balancing is {balancing!r}; allowed are {allowed}.")
    if steps < 1:
        raise ValueError(f"steps is {steps}; train for at least 1.")
    model = small_moe(seed) if model is None else model
    optimizer = pretrain.make_optimizer(model, LEARNING_RATE, decay=0.0)
    losses, loads, start = [], [], time.perf_counter()
    label = name or balancing
    stream = batches(steps, seed)
    for batch in tqdm(stream, label, steps, file=sys.stdout, ascii=" #", mininterval=1):
        loss, shares = _step(model, optimizer, batch, balancing)
        losses.append(loss)
        loads.append(shares)
    return Run(label, losses, torch.stack(loads), time.perf_counter() - start)


def _step(
    model: DeepseekV3ForCausalLM,
    optimizer: torch.optim.Optimizer,
    batch: pretrain.Batch,
    balancing: str,
) -> tuple[float, Tensor]:
    """One update; returns its loss without the auxiliary one, and loads over their mean."""
    with recording(model) as routes:
        loss = pretrain.weighted_loss(model(batch.ids, use_cache=False).logits, batch)
    extra = sum(moe.auxiliary_loss(r.logits, r.experts) for r in routes.values())
    optimizer.zero_grad()
    (loss + AUXILIARY_WEIGHT * extra if balancing == "auxiliary" else loss).backward()
    optimizer.step()
    loads = torch.zeros(len(routes), model.config.n_routed_experts)
    for row, (layer, gate) in enumerate(routers(model).items()):
        loads[row] = moe.load(routes[layer].experts, gate.num_experts)
        if balancing == "bias":
            bias = gate.e_score_correction_bias
            bias.copy_(moe.balance_bias(bias, loads[row], BIAS_STEP))
    return loss.item(), loads / loads.mean(-1, keepdim=True)
