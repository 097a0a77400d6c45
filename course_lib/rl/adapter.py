"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685): train a small addition to fixed weights.

A weight W, (out, in), becomes W + SCALE * up @ down with up (out, rank) and down (rank, in); `up`
starts at 0, so that an untrained adapter changes nothing. Only the attention's matrices get one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

RANK = 16
SCALE = 4.0  # LoRA's alpha over its rank


class _Addition(nn.Module):
    """What is added to one weight."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        generator = torch.Generator().manual_seed(rows * columns)
        self.lora_down = nn.Parameter(
            torch.randn(rank, columns, generator=generator) / columns**0.5
        )
        self.lora_up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + SCALE * self.lora_up @ self.lora_down


def attach(model: nn.Module, rank: int = RANK, *, frozen: bool = True) -> None:
    """Give every matrix of the model's attention an adapter; `frozen` fixes all other weights."""
    if frozen:
        model.requires_grad_(False)
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    for name, layer in layers:
        if "self_attn" in name:
            parametrize.register_parametrization(layer, "weight", _Addition(layer.weight, rank))


def state(model: nn.Module) -> dict[str, Tensor]:
    """The adapter alone: what is saved of a model that was trained so."""
    return {name: t for name, t in model.state_dict().items() if "lora_" in name}
