"""Batched sampling from any Hugging Face causal LM, several times faster than `generate`.

Three things make it fast. Keys and values are written into one buffer that is allocated once and
never copied. Rows that have finished are dropped, so that a batch does not wait for its longest
completion. And a mixture of experts runs all its experts in two matrix products, which for experts
this small is quicker than sorting tokens by expert.

The model's own forward pass is used throughout: only its attention and its experts are swapped for
the functions below, through the interfaces that transformers has for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.moe import ExpertsInterface

_DROP_BELOW = 0.85  # finished rows are dropped once fewer than this share of rows is running


@dataclass
class Rollout:
    """What `generate` returns: one row a completion, `samples` rows for each prompt in order.

    Shapes: `prompt_ids` (completions, prompt tokens), padded on the left where
    `prompt_mask` is 0; `ids` (completions, tokens), padded with `eos` after the first one;
    `finished` (completions,): whether an EOS came before `max_new_tokens`; `logp`, where it was
    kept, like `ids`: the log-probability that the sampler gave each token, 0 after the first EOS.
    """

    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    ids: torch.Tensor
    finished: torch.Tensor
    lengths: torch.Tensor
    logp: torch.Tensor | None = None

    def take(self, rows: torch.Tensor) -> Rollout:
        """The rollout of some completions only, cut to the longest of them."""
        longest = int(self.lengths[rows].max()) if len(rows) else 0
        return Rollout(
            self.prompt_ids[rows],
            self.prompt_mask[rows],
            self.ids[rows, :longest],
            self.finished[rows],
            self.lengths[rows],
            None if self.logp is None else self.logp[rows, :longest],
        )


class KVBuffer:
    """Expanded keys and values of every layer, written in place, with rows that can be dropped."""

    def __init__(self, capacity: int, device: torch.device) -> None:
        self.capacity = capacity
        self.device = device
        self.filled = 0
        self.visible: torch.Tensor | None = (
            None  # (rows, capacity) bool; None when nothing is padded
        )
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def write(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (rows, heads, new, dim) keys and values; return all that `layer` has."""
        if layer not in self._layers:
            self._layers[layer] = tuple(
                t.new_empty(t.shape[0], t.shape[1], self.capacity, t.shape[3]) for t in (key, value)
            )
        keys, values = self._layers[layer]
        end = self.filled + key.shape[2]
        keys[:, :, self.filled : end] = key
        values[:, :, self.filled : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def mask(self, new: int, total: int) -> torch.Tensor | None:
        """Which of `total` positions the `new` last ones may attend to; None stands for all."""
        mask = None if self.visible is None else self.visible[:, None, None, :total]
        if new > 1:
            ones = torch.ones(new, total, dtype=torch.bool, device=self.device)
            causal = ones.tril(total - new)
            # A padding position sees itself, so that no row of the attention is empty (NaN).
            itself = causal & ones.triu(total - new)
            mask = causal if mask is None else (causal & mask) | itself
        return mask

    def select(self, rows: torch.Tensor) -> None:
        """Keep `rows` only (an index may repeat): every layer and the padding in the same step."""
        self._layers = {i: (k[rows], v[rows]) for i, (k, v) in self._layers.items()}
        if self.visible is not None:
            self.visible = self.visible[rows]


def _buffered_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    kv_buffer: KVBuffer | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention over everything in the buffer; the signature is that of transformers."""
    key, value = kv_buffer.write(module.layer_idx, key, value)
    output = nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=kv_buffer.mask(query.shape[2], key.shape[2]),
        scale=scaling,
        enable_gqa=key.shape[1] != query.shape[1],
    )
    return output.transpose(1, 2), None


def _dense_experts(
    module: nn.Module, hidden: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """Every expert on every token in two products; experts that were not chosen weigh 0.

    `hidden` is (tokens, dim), `top_k_index` and `top_k_weights` (tokens, top_k); returns
    (tokens, dim).
    """
    experts, inner, _ = module.gate_up_proj.shape
    gate_up = (hidden @ module.gate_up_proj.flatten(0, 1).T).view(-1, experts, inner)
    gate, up = gate_up.chunk(2, dim=-1)
    weights = hidden.new_zeros(len(hidden), experts).scatter(1, top_k_index, top_k_weights)
    inside = module.act_fn(gate) * up * weights[..., None]
    return inside.flatten(1) @ module.down_proj.transpose(1, 2).flatten(0, 1)


AttentionInterface.register("kv_buffer", _buffered_attention)
ExpertsInterface.register("dense", _dense_experts)


@contextmanager
def _sampling(model: PreTrainedModel) -> Iterator[None]:
    """The model in evaluation mode with the attention and experts of this module."""
    config, training = model.config, model.training
    before = config._attn_implementation, getattr(config, "_experts_implementation", None)
    model.eval()
    config._attn_implementation, config._experts_implementation = "kv_buffer", "dense"
    try:
        yield
    finally:
        config._attn_implementation, config._experts_implementation = before
        model.train(training)


def pad_left(
    prompts: Sequence[Sequence[int]], pad: int, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts as ids (prompts, longest) and a 0/1 mask of the same shape, padded on the left."""
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


def pick(
    logits: torch.Tensor, temperature: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """One token a row from logits (rows, vocabulary): the likeliest at 0, else sampled.

    Sampling inverts the cumulative distribution, which needs one random number a row.
    """
    if temperature == 0:
        return logits.argmax(-1)
    cumulative = (logits.float() / temperature).softmax(-1).cumsum(-1)
    uniform = torch.rand(len(logits), 1, generator=generator).to(logits.device)
    wanted = uniform * cumulative[:, -1:]
    return (
        torch.searchsorted(cumulative, wanted, right=True).squeeze(1).clamp(max=logits.shape[1] - 1)
    )


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos: int,
    samples: int = 1,
    temperature: float = 1.0,
    banned: Sequence[int] = (),
    generator: torch.Generator | None = None,
    keep_logp: bool = False,
) -> Rollout:
    """Sample `samples` completions for each prompt (a list of token ids).

    `temperature` 0 is greedy; `banned` tokens are never sampled; `generator` (on the CPU) makes a
    run repeatable; `keep_logp` keeps the tokens' log-probabilities, as they were when sampled.
    Each prompt goes through the model once, however many samples it gets.
    Raises ValueError for no prompts, an empty prompt, or a limit under one token.
    """
    if not prompts or not all(map(len, prompts)) or max_new_tokens < 1 or samples < 1:
        raise ValueError(
            "generate needs prompts of at least one token, and samples and max_new_tokens >= 1."
        )
    prompt_ids, prompt_mask = pad_left(prompts, eos, model.device)
    buffer = KVBuffer(prompt_ids.shape[1] + max_new_tokens, model.device)
    with _sampling(model):
        logits = _prefill(model, prompt_ids, prompt_mask, buffer)
        rows = torch.arange(len(prompts), device=model.device).repeat_interleave(samples)
        buffer.select(rows)
        prompt_ids, prompt_mask = prompt_ids[rows], prompt_mask[rows]
        logp = torch.zeros(len(rows), max_new_tokens, device=model.device) if keep_logp else None
        ids = _decode(
            model, logits[rows], prompt_mask.sum(1), buffer,
            max_new_tokens, eos, temperature, banned, generator, logp,
        )  # fmt: skip
    ended = ids == eos
    finished = ended.any(1)
    lengths = torch.where(finished, ended.int().argmax(1) + 1, ids.shape[1])
    logp = None if logp is None else logp[:, : ids.shape[1]]
    return Rollout(prompt_ids, prompt_mask, ids, finished, lengths, logp)


def stream(
    model: PreTrainedModel,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    eos: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Yield the tokens of one completion as they are sampled, the EOS included."""
    ids, mask = pad_left([prompt], eos, model.device)
    buffer = KVBuffer(ids.shape[1] + max_new_tokens, model.device)
    with torch.inference_mode(), _sampling(model):
        logits = _prefill(model, ids, mask, buffer)
        for position in range(len(prompt), len(prompt) + max_new_tokens):
            token = pick(logits, temperature, generator)
            yield int(token)
            if int(token) == eos:
                return
            logits = _advance(model, token, mask.new_tensor([position]), buffer)


def _advance(
    model: PreTrainedModel, token: torch.Tensor, positions: torch.Tensor, buffer: KVBuffer
) -> torch.Tensor:
    """Put one more token a row through the model; returns the logits for the next."""
    hidden = model.model(
        token[:, None], position_ids=positions[:, None], use_cache=False, kv_buffer=buffer
    )[0]
    buffer.filled += 1
    return model.lm_head(hidden[:, -1])


def _prefill(
    model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, buffer: KVBuffer
) -> torch.Tensor:
    """Run the prompts and return the logits (prompts, vocabulary) for what comes next."""
    if not bool(mask.all()):
        room = mask.new_ones(len(mask), buffer.capacity - mask.shape[1])
        buffer.visible = torch.cat([mask, room], 1).bool()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    hidden = model.model(ids, position_ids=positions, use_cache=False, kv_buffer=buffer)[0]
    buffer.filled = ids.shape[1]
    return model.lm_head(hidden[:, -1])


def _decode(
    model: PreTrainedModel,
    logits: torch.Tensor,
    positions: torch.Tensor,
    buffer: KVBuffer,
    max_new_tokens: int,
    eos: int,
    temperature: float,
    banned: Sequence[int],
    generator: torch.Generator | None,
    logp: torch.Tensor | None = None,
) -> torch.Tensor:
    """The token loop: pick, append, drop what has finished; returns ids padded with `eos`.

    Fills in `logp` (completions, tokens) where it is given.
    """
    out = torch.full((len(logits), max_new_tokens), eos, device=logits.device)
    rows = torch.arange(
        len(logits), device=logits.device
    )  # where each row of the batch is in `out`
    running = torch.ones_like(rows, dtype=torch.bool)
    for step in range(max_new_tokens):
        if len(banned):
            logits[:, list(banned)] = -torch.inf
        token = torch.where(running, pick(logits, temperature, generator), eos)
        out[rows, step] = token
        if logp is not None:
            scores = (logits.float() / (temperature or 1.0)).log_softmax(-1)
            logp[rows, step] = scores.gather(1, token[:, None]).squeeze(1) * running
        running = token != eos
        if step + 1 == max_new_tokens or not running.any():
            return out[:, : step + 1]
        if running.float().mean() < _DROP_BELOW:
            keep = running.nonzero().squeeze(1)
            buffer.select(keep)
            rows, token, positions = rows[keep], token[keep], positions[keep]
            running = running[keep]
        logits = _advance(model, token, positions, buffer)
        positions = positions + 1
    return out
