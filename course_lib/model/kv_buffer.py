"""Attention over keys and values that are written in place: what `rollout` samples with.

The model's own forward pass is used throughout: only its attention and its experts are swapped for
the functions below, through the interfaces that transformers has for that. What an architecture
asks of its attention beside that (a sliding window, a cap on the scores, sinks) is passed through;
what is not known here is refused by name (see `course_lib.model.own_forward`).
"""

from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.integrations.moe import ExpertsInterface

from course_lib.errors import CourseError


class KVBuffer:
    """Expanded keys and values of every layer, written in place, with rows that can be dropped."""

    def __init__(self, capacity: int, device: torch.device) -> None:
        self.capacity = capacity
        self.device = device
        self.filled = 0
        # (rows, capacity) bool; None when nothing is padded
        self.visible: torch.Tensor | None = None
        self.windows: dict[int, int | None] = {}  # of every layer that has written here
        self._layers: dict[int, tuple[torch.Tensor, ...]] = {}

    def inputs(self) -> dict[str, Any]:
        """What a model's forward pass is given to find the buffer."""
        return {"kv_buffer": self}

    def write(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (rows, heads, new, dim) keys and values; return all that `layer` has."""
        keys, values = self._append(layer, key, value)
        return keys, values

    def _append(self, layer: int, *new: torch.Tensor) -> list[torch.Tensor]:
        if layer not in self._layers:
            self._layers[layer] = tuple(
                part.new_empty(*part.shape[:2], self.capacity, part.shape[3]) for part in new
            )
        end = self.filled + new[0].shape[2]
        for kept, part in zip(self._layers[layer], new, strict=True):
            kept[:, :, self.filled : end] = part
        return [kept[:, :, :end] for kept in self._layers[layer]]

    def absorbed(
        self, module: Any, query: torch.Tensor, scaling: float | None
    ) -> torch.Tensor | None:
        """Attention of one new token a row, (rows, 1, heads, value), where keys and values are not
        needed for it; else None."""
        return None

    def mask(self, new: int, total: int, window: int | None = None) -> torch.Tensor | None:
        """Which of `total` positions the `new` last ones may attend to; None stands for all.

        With a `window` a position sees itself and the `window - 1` before it.
        """
        mask = None if self.visible is None else self.visible[:, None, None, :total]
        if new == 1 and (window is None or total <= window):
            return mask
        ones = torch.ones(new, total, dtype=torch.bool, device=self.device)
        causal = ones.tril(total - new)
        if window is not None:
            causal = causal & ones.triu(total - new - window + 1)
        # A padding position sees itself, so that no row of the attention is empty (NaN).
        itself = causal & ones.triu(total - new)
        return causal if mask is None else (causal & mask) | itself

    def select(self, rows: torch.Tensor) -> None:
        """Keep `rows` only (an index may repeat): every layer and the padding in the same step."""
        for layer in self._layers:  # one after the other, so that there are never two of all
            self._layers[layer] = tuple(self._rows(kept, rows) for kept in self._layers[layer])
        if self.visible is not None:
            self.visible = self.visible[rows]

    def _rows(self, kept: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Some rows of a buffer, of which only what is filled is copied."""
        new = kept.new_empty(len(rows), *kept.shape[1:])
        new[:, :, : self.filled] = kept[rows, :, : self.filled]
        return new


_ORDINARY = {"dropout", "is_causal", "position_ids", "cache_position", "logits_to_keep"}
"""What models pass to their attention that changes nothing here."""


def _buffered_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    *,
    kv_buffer: KVBuffer,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over everything in the buffer; the signature is that of transformers."""
    unknown = [n for n, v in others.items() if n not in _ORDINARY and v not in (None, False)]
    if unknown or others.get("is_causal") is False:
        raise CourseError(f"its attention asks for {', '.join(unknown) or 'is_causal=False'}")
    kv_buffer.windows[module.layer_idx] = sliding_window
    absorbed = kv_buffer.absorbed(module, query, scaling)
    if absorbed is not None:
        return absorbed, None
    key, value = kv_buffer.write(module.layer_idx, key, value)
    mask = kv_buffer.mask(query.shape[2], key.shape[2], sliding_window)
    # Where values are narrower than keys (MLA) torch has no fused attention on the CPU, and its
    # other one multiplies all keys by the scale anew for every token. (In half precision the sum
    # rounds elsewhere than the model's own, so there torch's is kept.)
    slow = key.shape[-1] != value.shape[-1] and query.dtype == torch.float32
    if softcap or s_aux is not None or slow:
        output = _written_out(query, key, value, mask, scaling, softcap, s_aux)
    else:
        output = nn.functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
    return output.transpose(1, 2), None


def _written_out(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Attention in its parts; with a cap on its scores (Gemma 2) or a sink a head (gpt-oss)."""
    repeat = query.shape[1] // key.shape[1]
    if repeat > 1:
        key, value = (t.repeat_interleave(repeat, dim=1) for t in (key, value))
    scores = query * (scaling or query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    if softcap:
        scores = softcap * (scores / softcap).tanh()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    if sinks is not None:  # a score that takes its share of the softmax and carries no value
        sink = sinks.view(1, -1, 1, 1).expand(len(scores), -1, scores.shape[2], 1)
        scores = torch.cat([scores, sink.to(scores.dtype)], dim=-1)
    weights = scores.float().softmax(-1).to(value.dtype)
    return weights[..., : key.shape[2]] @ value


def _dense_experts(
    module: Any, hidden: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """Every expert on every token in two products; experts that were not chosen weigh 0.

    `hidden` is (tokens, dim), `top_k_index` and `top_k_weights` (tokens, top_k); returns
    (tokens, dim).
    """
    experts, inner, _ = module.gate_up_proj.shape
    gate_up = (hidden @ module.gate_up_proj.flatten(0, 1).T).view(-1, experts, inner)
    gate, up = gate_up.chunk(2, dim=-1)
    chosen = top_k_weights.to(hidden.dtype)  # a router counts in float32 whatever the rest does
    weights = hidden.new_zeros(len(hidden), experts).scatter(1, top_k_index, chosen)
    inside = module.act_fn(gate) * up * weights[..., None]
    return inside.flatten(1) @ module.down_proj.transpose(0, 1).flatten(1).T


AttentionInterface.register("kv_buffer", _buffered_attention)
ExpertsInterface.register("dense", _dense_experts)
