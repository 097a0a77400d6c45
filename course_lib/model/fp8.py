"""FP8 as DeepSeek-V3 has it: e4m3 numbers, with a scale for each block of a matrix.

After the V3 report (arXiv 2412.19437, section 3.3): weights in blocks of 128 by 128, activations in
tiles of 1 by 128, each scaled so that its largest value is e4m3's largest, 448. Casts are torch's.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

E4M3 = torch.float8_e4m3fn
LARGEST = 448.0


def round_e4m3(x: Tensor) -> Tensor:
    """The nearest e4m3 numbers, by hand, in x's own type; beyond 448 it is 448.

    Eight steps from one power of two to the next, and below 2 ** -6 steps of 2 ** -9.
    """
    _, exponent = torch.frexp(x)  # x = mantissa * 2 ** exponent with 1/2 <= mantissa < 1
    step = torch.exp2((exponent - 1).clamp(min=-6) - 3.0).to(x.dtype)
    return ((x / step).round() * step).clamp(-LARGEST, LARGEST)


def scales(x: Tensor, block: tuple[int, int]) -> Tensor:
    """The largest absolute value of each block over 448: (rows / block, columns / block).

    A block of zeros has the scale 1; scales are float32 at least. Raises ValueError for a
    matrix that blocks do not fill.
    """
    rows, columns = block
    if x.ndim != 2 or x.shape[0] % rows or x.shape[1] % columns:
        raise ValueError(f"x has the shape {tuple(x.shape)}; it must be whole blocks of {block}.")
    if x.dtype.itemsize < 4:  # float16 is too narrow for small scales, bfloat16 too coarse
        x = x.float()
    blocks = x.unflatten(0, (-1, rows)).unflatten(-1, (-1, columns))
    most = blocks.abs().amax((1, 3)) / LARGEST
    return most.masked_fill(most == 0, 1.0)


def quantise(x: Tensor, block: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A matrix as e4m3 and the scales of its blocks."""
    scale = scales(x, block)
    return (x / _spread(scale, block)).to(E4M3), scale


def _spread(scale: Tensor, block: tuple[int, int]) -> Tensor:
    return scale.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)


def restore(quantised: Tensor, scale: Tensor, block: tuple[int, int]) -> Tensor:
    """The matrix that e4m3 numbers and their scales stand for, in the scales' type."""
    return quantised.float() * _spread(scale, block)


def through(x: Tensor, block: tuple[int, int]) -> Tensor:
    """What is left of a matrix after FP8 and back."""
    return restore(*quantise(x, block), block)


def product_errors(x: Tensor, weight: Tensor, block: int = 128) -> dict[str, float]:
    """Relative error of `x @ weight.T` in several numbers, against float64, without the first row.

    `x` is (tokens, d), `weight` (out, d). Sums are taken in float32 throughout. The first token is
    left out, so that what an outlier in it does to the *others* can be seen.
    """
    ways: Mapping[str, Callable[[Tensor, bool], Tensor]] = {
        "bf16": lambda m, _: m.bfloat16().float(),
        "fp8, one scale": lambda m, _: through(m, (m.shape[0], m.shape[1])),
        "fp8, a scale for each block": lambda m, tile: through(m, (1 if tile else block, block)),
    }
    exact = (x.double() @ weight.double().T)[1:]
    products = {name: (way(x, True) @ way(weight, False).T)[1:] for name, way in ways.items()}
    return {name: float((y - exact).norm() / exact.norm()) for name, y in products.items()}
