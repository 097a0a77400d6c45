"""Latents in place of keys and values: what `rollout` keeps of a DeepSeek-V3 while it samples.

DeepSeek-V2 and V3 (arXiv 2405.04434, section 2.1; 2412.19437, section 2.1.1) keep one latent and
one rotated key a token for all heads, and do not unfold them again: what would unfold keys is
absorbed into the query, and values are unfolded after the sum. `latent_attention` has it for one
text. Here the model's own forward pass hands its latents over, as to any cache of transformers; a
mini-V3 then reads 112 numbers a layer for each token before the new one, where keys and values are
320.
"""

from typing import Any

import torch

from course_lib.model.kv_buffer import KVBuffer


class LatentBuffer(KVBuffer):
    """Latents and rotated keys of every layer, (rows, 1, tokens, latent + rotary)."""

    def __init__(self, capacity: int, device: torch.device) -> None:
        super().__init__(capacity, device)
        self._up: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def inputs(self) -> dict[str, Any]:
        return super().inputs() | {"past_key_values": self}

    def update(
        self, latent: torch.Tensor, rotary: torch.Tensor, layer: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the model calls with (rows, 1, new, latent) and (rows, 1, new, rotary).

        It unfolds what it gets back: everything, or one new token alone, for which `absorbed` is.
        """
        (memory,) = self._append(layer, torch.cat([latent, rotary], -1))
        if latent.shape[2] == 1:
            return latent, rotary
        return memory[..., : latent.shape[-1]], memory[..., latent.shape[-1] :]

    def write(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """These were unfolded from what `update` gave back, so there is nothing to add."""
        return key, value

    def absorbed(
        self, module: Any, query: torch.Tensor, scaling: float | None
    ) -> torch.Tensor | None:
        if query.shape[2] > 1:
            return None
        up_key, up_value = self._unfolding(module)
        query = query[:, :, 0] * (scaling or query.shape[-1] ** -0.5)  # (rows, heads, dim)
        plain, turned = query.tensor_split([up_key.shape[1]], dim=2)
        plain = (plain.transpose(0, 1) @ up_key).transpose(0, 1)  # (rows, heads, latent)
        memory = self._layers[module.layer_idx][0][:, 0, : self.filled + 1]
        scores = torch.cat([plain, turned], 2) @ memory.mT  # (rows, heads, tokens)
        if self.visible is not None:
            scores = scores.masked_fill(~self.visible[:, None, : self.filled + 1], -torch.inf)
        mixed = scores.softmax(-1) @ memory[..., : up_key.shape[2]]
        return (mixed.transpose(0, 1) @ up_value).transpose(0, 1)[:, None]

    def _unfolding(self, module: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """What makes heads' keys, (heads, plain, latent), and values, (heads, latent, value).

        It is read off the layer's outputs, so that an adapter on it counts.
        """
        if module.layer_idx not in self._up:
            one = torch.eye(module.kv_lora_rank, device=self.device)
            up = module.kv_b_proj(one).unflatten(1, (module.num_heads, -1)).transpose(0, 1)
            key, value = up.tensor_split([module.qk_nope_head_dim], dim=2)
            self._up[module.layer_idx] = key.mT.contiguous(), value.contiguous()
        return self._up[module.layer_idx]


def serves(model: Any) -> bool:
    """Whether it may be tried: in float32 on the CPU. In half precision it rounds elsewhere."""
    kind = model.config.model_type, model.device.type, model.dtype
    return kind == ("deepseek_v3", "cpu", torch.float32)
