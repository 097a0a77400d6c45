"""Quantisation by block: every 32 weights share one scale and keep a small whole number each.

`quantise` works at any number of bits from 2 to 8. `q8_0` and `q4_0` are llama.cpp's formats of
those names, byte for byte; `q4_0` is nothing but `quantise` at 4 bits, packed two to a byte.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
_SCALE_BYTES = 2  # the scale of a block is kept in float16

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Quantised:
    """Weights as small numbers: `codes` [blocks, block] int8, `scales` [blocks, 1] float16."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float16]
    bits: int
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes when packed: `bits` for each weight and two bytes for each block."""
        return self.codes.size * self.bits // 8 + _SCALE_BYTES * len(self.scales)


def _blocks(weights: Floats, block: int) -> Floats:
    weights = np.asarray(weights, np.float32)
    if not weights.ndim or weights.shape[-1] % block or not weights.size:
        raise ValueError(
            f"weights have the shape {weights.shape}; the last size must be a multiple of the "
            f"block, {block}, and above 0."
        )
    if not np.isfinite(weights).all():
        raise ValueError("weights hold infinities or NaN; only finite numbers can be quantised.")
    return weights.reshape(-1, block)


def _inverse(scales: Floats) -> Floats:
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(scales == 0, np.float32(0), 1 / scales)


def quantise(weights: Floats, bits: int, block: int = BLOCK) -> Quantised:
    """Round `weights` [..., multiple of block] to `bits` bits each, 2 to 8.

    Codes run from -2**(bits-1) to 2**(bits-1) - 1. The weight of a block that is furthest from 0
    gets the lowest code, whichever sign it has, so that the one extra code below 0 is not wasted.
    Raises ValueError for another number of bits, a shape that has no whole blocks, or NaN.
    """
    if bits not in range(2, 9) or block < 8 or block % 8:
        raise ValueError(
            f"bits is {bits} and block is {block}; allowed are 2 to 8 bits and blocks of a "
            "multiple of 8 weights."
        )
    blocks, half = _blocks(weights, block), 2 ** (bits - 1)
    furthest = np.abs(blocks).argmax(1)[:, None]
    scales = np.take_along_axis(blocks, furthest, 1) / np.float32(-half)
    shifted = np.floor(blocks * _inverse(scales) + np.float32(half + 0.5))
    codes = (shifted.clip(0, 2 * half - 1) - half).astype(np.int8)
    return Quantised(codes, _as_half(scales), bits, np.shape(weights))


def dequantise(quantised: Quantised) -> Floats:
    """The weights that a computation sees: code times scale, in the original shape."""
    values = quantised.codes * quantised.scales.astype(np.float32)
    return values.reshape(quantised.shape).astype(np.float32, copy=False)


def q4_0(weights: Floats) -> Bytes:
    """llama.cpp's Q4_0: [..., n] floats to [..., n / 32 * 18] bytes.

    A block is its scale in float16, then 16 bytes: the low halves hold the first 16 codes, the
    high halves the other 16, both counted from 0.
    """
    quantised = quantise(weights, 4)
    codes = (quantised.codes + 8).astype(np.uint8)
    packed: Bytes = codes[:, :16] | codes[:, 16:] << np.uint8(4)
    return _join(quantised.scales, packed, quantised.shape)


def q8_0(weights: Floats) -> Bytes:
    """llama.cpp's Q8_0: [..., n] floats to [..., n / 32 * 34] bytes: scale, then 32 signed bytes.

    Unlike `quantise` at 8 bits it is symmetric, from -127 to 127, and rounds halves away from 0.
    """
    blocks = _blocks(weights, BLOCK)
    scales = np.abs(blocks).max(1, keepdims=True) / np.float32(127)
    exact = blocks * _inverse(scales)
    whole = np.trunc(exact)
    codes = (whole + np.trunc(2 * (exact - whole))).astype(np.int8)
    return _join(_as_half(scales), codes.view(np.uint8), np.shape(weights))


def _as_half(scales: Floats) -> NDArray[np.float16]:
    """Scales as they are kept. Raises ValueError for one that float16 cannot hold."""
    if np.abs(scales).max() > np.finfo(np.float16).max:
        raise ValueError("weights hold numbers so large that their block's scale is no float16.")
    return scales.astype(np.float16)


def _join(scales: NDArray[np.float16], packed: Bytes, shape: tuple[int, ...]) -> Bytes:
    return np.concatenate([scales.view(np.uint8), packed], axis=1).reshape(*shape[:-1], -1)


def quantise_model(model: Any, bits: int, block: int = BLOCK) -> int:
    """Replace every matrix of a torch `model`, in place, by what is left of it at `bits` bits.

    Returns the bytes the quantised model takes. Vectors, and matrices whose rows are no whole
    number of blocks, stay as they are and count two bytes a weight.
    """
    total = 0
    for parameter in model.parameters():
        if parameter.ndim < 2 or parameter.shape[-1] % block:
            total += 2 * parameter.numel()
            continue
        quantised = quantise(parameter.detach().float().cpu().numpy(), bits, block)
        parameter.data.copy_(parameter.data.new_tensor(dequantise(quantised)))
        total += quantised.bytes
    return total
