"""Small live trainings of the mini-V3: with and without balance, sparse against dense.

The model is `DeepseekV3ForCausalLM`, smaller than the course's mini-V3 so that a run takes seconds;
the text is worked puzzles in the course's notation, and only the completion is learned.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm
from transformers import DeepseekV3ForCausalLM

from course_lib import models, moe, numerals, puzzles
from course_lib.routes import recording, routers

BALANCING = ("none", "auxiliary", "bias")

AUXILIARY_WEIGHT = 0.01  # Switch Transformer's alpha
BIAS_STEP = 0.01  # ten times V3's speed, for runs thousands of times shorter
LEARNING_RATE = 4e-3
_EXAMPLES, _ROWS = 4096, 32
_IGNORED = -100


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


def worked_text(puzzle: puzzles.Puzzle, rng: random.Random) -> str:
    """A completion that tries signs at random until they are right, in digits or in words."""
    write = rng.choice([str, numerals.word])
    choices, thought = list(range(2 ** (len(puzzle.numbers) - 1))), ""
    rng.shuffle(choices)
    for choice in choices:
        signs = ["+-"[choice >> i & 1] for i in range(len(puzzle.numbers) - 1)]
        total = puzzle.numbers[0]
        for sign, number in zip(signs, puzzle.numbers[1:], strict=True):
            total += number if sign == "+" else -number
            thought += f" {sign}{write(number)}={write(total)}"
        thought += " yes" if total == puzzle.target else " no"
        if total == puzzle.target:
            return f"<think>{thought}</think>{puzzles.format_answer(signs)}"
    raise ValueError(f"{puzzle} has no solution to work out.")


@lru_cache
def _examples(seed: int) -> tuple[models.PreTrainedTokenizerFast, list[tuple[list[int], int]]]:
    """The tokenizer, and the ids of every example with the length of its prompt."""
    tokenizer, rng = models.build_tokenizer(), random.Random(seed)
    examples = []
    for puzzle in puzzles.sample(_EXAMPLES, seed):
        prompt = models.chat_ids(tokenizer, puzzles.prompt(puzzle))
        text = worked_text(puzzle, rng) + models.EOS
        examples.append((prompt + tokenizer.encode(text, add_special_tokens=False), len(prompt)))
    return tokenizer, examples


def batches(steps: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches for every run with this seed: ids and labels, both (rows, tokens).

    Rows are padded on the right; labels are -100 on prompts and padding, which are not learned.
    """
    tokenizer, examples = _examples(seed)
    rng = random.Random(seed + 1)
    for _ in range(steps):
        rows = rng.sample(examples, _ROWS)
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.full((len(rows), longest), tokenizer.eos_token_id)
        labels = torch.full_like(ids, _IGNORED)
        for row, (tokens, prompt) in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            labels[row, prompt : len(tokens)] = torch.tensor(tokens[prompt:])
        yield ids, labels


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
    steps: int = 300,
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
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.0)
    losses, loads, start = [], [], time.perf_counter()
    label = name or balancing
    for ids, labels in tqdm(batches(steps, seed), total=steps, desc=label, leave=False):
        loss, shares = _step(model, optimizer, ids, labels, balancing)
        losses.append(loss)
        loads.append(shares)
    return Run(label, losses, torch.stack(loads), time.perf_counter() - start)


def _step(
    model: DeepseekV3ForCausalLM,
    optimizer: torch.optim.Optimizer,
    ids: Tensor,
    labels: Tensor,
    balancing: str,
) -> tuple[float, Tensor]:
    """One update; returns its loss without the auxiliary one, and loads over their mean."""
    with recording(model) as routes:
        logits = model(ids, use_cache=False).logits
    loss = F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=_IGNORED
    )
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
