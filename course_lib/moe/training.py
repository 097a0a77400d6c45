"""Small live trainings of the mini-V3: with and without balance, sparse against dense.

The model is `DeepseekV3ForCausalLM`, smaller than the course's mini-V3 so that a run takes seconds;
the text is worked puzzles in the course's notation, and only the completion is learned. Every batch
is new, and what a model has learned is measured on texts drawn with a seed of their own. Rows are
padded to one length; padding weighs nothing in the loss, the loads, the biases or the auxiliary
loss.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import DeepseekV3ForCausalLM, PreTrainedTokenizerFast

from course_lib import records
from course_lib.model import models, pretrain, router
from course_lib.model.sft import sft_loss
from course_lib.moe.routes import Routes, recording, routers
from course_lib.task import corpus

BALANCING = ("none", "auxiliary", "bias")

_WORKED = corpus.Mix(drill=0.0, bare=0.0, chat=0.0)
_ROWS, _WARMUP = 32, 20
_HELD_OUT = 512


@dataclass(frozen=True)
class Run:
    """What a training leaves behind."""

    name: str
    losses: list[float]  # cross-entropy in nats per completion token, one a step
    loads: Tensor  # (steps, layers, experts), each expert's load over the mean load; no padding
    seconds: float  # of the processor, for the training alone
    held_out: float = math.nan  # the loss at the end, on 512 texts that are drawn with another seed

    def final_loss(self, last: int = 50) -> float:
        """The mean loss of the last steps."""
        return sum(self.losses[-last:]) / len(self.losses[-last:])

    def final_load(self, last: int = 50) -> Tensor:
        """(layers, experts): load over the mean load in the last steps taken together."""
        return self.loads[-last:].mean(0)

    def imbalance_by_layer(self, last: int = 50) -> list[float]:
        """Largest over mean load in the last steps, layer by layer."""
        return router.imbalance(self.final_load(last)).tolist()

    def imbalance(self, last: int = 50) -> float:
        """Largest over mean load in the last steps, of the layer where it is worst."""
        return max(self.imbalance_by_layer(last))

    def dead(self, last: int = 50, below: float = 0.1) -> int:
        """How many experts, over all layers, got less than `below` of an even share at the end."""
        return int((self.final_load(last) < below).sum())


@cache
def _tokenizer() -> tuple[PreTrainedTokenizerFast, dict[str, int]]:
    tokenizer = models.build_tokenizer()
    return tokenizer, pretrain.piece_ids(tokenizer)


def _rows(rng: np.random.Generator, n: int) -> list[tuple[list[int], list[float]]]:
    """Worked puzzles as token ids and loss weights, 1 for every token of the completion."""
    documents = corpus.documents(rng, n, _WORKED, verdict_weight=1.0)
    return [pretrain.encode(document, _tokenizer()[1]) for document in documents]


def batches(steps: int, seed: int = 0) -> Iterator[pretrain.Batch]:
    """New worked puzzles at every step, the same for every run with this seed."""
    rng, pad = np.random.default_rng(seed), _tokenizer()[0].eos_token_id
    for _ in range(steps):
        yield pretrain.collate(_rows(rng, _ROWS), pad)


def worked_texts(n: int, seed: int = 1) -> list[str]:
    """`n` puzzles with their working and answer, as one text each, special tokens and all."""
    return [str(_tokenizer()[0].decode(ids)) for ids, _ in _rows(np.random.default_rng(seed), n)]


def _held_out_rng() -> np.random.Generator:
    return np.random.default_rng([0, 1])  # no run's seed: those are single numbers


@torch.no_grad()
def held_out_loss(model: DeepseekV3ForCausalLM) -> float:
    """Nats per completion token on 512 worked puzzles, the same for every model."""
    rows = sorted(_rows(_held_out_rng(), _HELD_OUT), key=lambda row: len(row[0]))
    total = weight = 0.0
    for start in range(0, len(rows), 64):
        batch = pretrain.collate(rows[start : start + 64], _tokenizer()[0].eos_token_id)
        tokens = float(batch.weights[:, 1:].sum())
        total += tokens * float(sft_loss(model(batch.ids).logits, batch.ids, batch.weights))
        weight += tokens
    return total / weight


def small_moe(seed: int = 0, **changes: object) -> DeepseekV3ForCausalLM:
    """An untrained V3 of two layers, 16 experts of which a token takes 2, and one shared expert."""
    tokenizer, _ = _tokenizer()
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
    with torch.random.fork_rng(devices=[]):  # the learner's own draws go on as if without
        torch.default_generator.manual_seed(seed)
        return DeepseekV3ForCausalLM(models.mini_v3_config(tokenizer, **{**sizes, **changes}))


def small_dense(inner: int, seed: int = 0) -> DeepseekV3ForCausalLM:
    """The same model with one feed-forward layer of width `inner` in place of all experts."""
    return small_moe(seed, first_k_dense_replace=2, intermediate_size=inner)


class Contestant(NamedTuple):
    """How an untrained model is made from a seed, and what it is trained with."""

    make: Callable[..., DeepseekV3ForCausalLM]
    balancing: str
    rate: float  # of learning
    strength: float  # the auxiliary loss's weight, or the bias's step


CONTESTANTS: dict[str, Contestant] = {
    "no balance": Contestant(small_moe, "none", 8e-3, 0.0),
    "auxiliary loss": Contestant(small_moe, "auxiliary", 4e-3, 0.1),
    "sparse": Contestant(small_moe, "bias", 4e-3, 0.01),
    "dense, same active": Contestant(partial(small_dense, 96), "none", 8e-3, 0.0),
    "dense, same total": Contestant(partial(small_dense, 544), "none", 8e-3, 0.0),
}
"""What is compared, by name, each at the best rate and strength of `comparison`'s search. The dense
ones have as many parameters as a token of the sparse one uses, and as it has in all, less the
router."""


def compete(name: str, seed: int = 0, steps: int = 250, **other: float) -> Run:
    """Train the contestant of that name; equal seeds give all of them the same puzzles.

    `rate` and `strength` are the contestant's own where nothing else is given. Raises ValueError
    for another name.
    """
    if name not in CONTESTANTS:
        raise ValueError(f"name is {name!r}; allowed are {', '.join(map(repr, CONTESTANTS))}.")
    one = CONTESTANTS[name]
    settings = {"rate": one.rate, "strength": one.strength, **other}
    return train(one.balancing, one.make(seed=seed), name=name, steps=steps, seed=seed, **settings)


def competed(name: str, steps: int = 250) -> Run:
    """`compete` with seed 0, once: the next time what it left is shown (`records.once`)."""

    def make() -> dict[str, Any]:
        run = compete(name, steps=steps)
        return vars(run) | {"loads": run.loads.tolist()}

    kept = records.once("mixture", {"name": name, "steps": steps}, make)
    return Run(**kept | {"loads": torch.tensor(kept["loads"])})


def schedule(step: int, steps: int) -> float:
    """The share of the full rate: up over 20 steps, 1, and down to 0 over the second half."""
    return min(1.0, (step + 1) / _WARMUP, 2 * (1 - step / steps))


def train(
    balancing: str,
    model: DeepseekV3ForCausalLM,
    *,
    rate: float = 4e-3,
    strength: float = 0.01,
    steps: int = 250,
    seed: int = 0,
    name: str | None = None,
) -> Run:
    """Train a model from scratch and record its losses and its experts' loads.

    `balancing` is "none", "auxiliary" (the classic loss, added with weight `strength`) or "bias"
    (V3's rule after each batch, with the step `strength`). `rate`, the learning rate, follows
    `schedule`: without the fall to 0 the end of a run is mostly noise. Raises ValueError for
    another word or fewer than one step.
    """
    if balancing not in BALANCING:
        allowed = ", ".join(map(repr, BALANCING))
        raise ValueError(f"balancing is {balancing!r}; allowed are {allowed}.")
    if steps < 1:
        raise ValueError(f"steps is {steps}; train for at least 1.")
    optimizer = pretrain.make_optimizer(model, rate, decay=0.0)
    losses, loads, start = [], [], time.process_time()
    label = name or balancing
    stream = tqdm(batches(steps, seed), label, steps, file=sys.stdout, ascii=" #", mininterval=1)
    for step, batch in enumerate(stream):
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule(step, steps)
        loss, load = _step(model, optimizer, batch, balancing, strength)
        losses.append(loss)
        loads.append(load / load.mean(-1, keepdim=True))
    seconds = time.process_time() - start
    return Run(label, losses, torch.stack(loads), seconds, held_out_loss(model))


def _step(
    model: DeepseekV3ForCausalLM,
    optimizer: torch.optim.Optimizer,
    batch: pretrain.Batch,
    balancing: str,
    strength: float,
) -> tuple[float, Tensor]:
    """One update; returns its loss without the auxiliary one, and the loads (layers, experts)."""
    # 1. Forward. Padding goes through the router as well: what it chose is left out below.
    with recording(model) as routes:
        logits = model(batch.ids, use_cache=False).logits
    real = batch.real.flatten()
    routes = {layer: Routes(r.logits[real], r.experts[real]) for layer, r in routes.items()}
    # 2. The loss, and the update of the weights.
    loss = total = sft_loss(logits, batch.ids, batch.weights)
    if balancing == "auxiliary":
        extra = sum(router.auxiliary_loss(r.logits, r.experts) for r in routes.values())
        total = loss + strength * extra
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    # 3. What each expert got, and the update of the biases: no gradient, only counts.
    loads = torch.zeros(len(routes), model.config.n_routed_experts)
    for row, (layer, gate) in enumerate(routers(model).items()):
        loads[row] = router.load(routes[layer].experts, gate.num_experts)
        if balancing == "bias":
            bias = gate.e_score_correction_bias
            bias.copy_(router.balance_bias(bias, loads[row], strength))
    return loss.item(), loads
