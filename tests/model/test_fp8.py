"""FP8 by hand against torch's own cast, and what scales for blocks are good for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.model import fp8


@given(st.floats(-448, 448, width=32))
def test_rounding_by_hand_is_torchs_cast(x):
    value = torch.tensor(x)
    assert torch.equal(fp8.round_e4m3(value), value.to(fp8.E4M3).float())


def test_every_e4m3_number_stays_itself():
    numbers = torch.arange(256, dtype=torch.uint8).view(fp8.E4M3).float()
    numbers = numbers[torch.isfinite(numbers)]
    assert torch.equal(fp8.round_e4m3(numbers), numbers) and numbers.max() == fp8.LARGEST


def test_scales_are_of_blocks_and_zeros_can_be_divided_by():
    x = torch.zeros(4, 4)
    x[0, 0], x[3, 1] = -448.0, 4.48
    found = fp8.scales(x, (2, 2))
    assert torch.allclose(found, torch.tensor([[1.0, 1.0], [0.01, 1.0]]))
    assert torch.equal(fp8.through(x, (2, 2))[:2], x[:2])


def test_a_matrix_comes_back_within_a_sixteenth_of_each_value():
    x = torch.randn(128, 256, generator=torch.Generator().manual_seed(0))
    back = fp8.through(x, (1, 128))
    large = x.abs() > 0.05
    assert ((back - x).abs() <= x.abs() / 16 + 1e-6)[large].all()


def test_an_outlier_spoils_the_others_only_without_blocks():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(128, 256, generator=generator)
    weight = torch.randn(128, 256, generator=generator)
    quiet = fp8.product_errors(x, weight)
    x[0, 3] = 1e6
    loud = fp8.product_errors(x, weight)
    assert loud["fp8, one scale"] > 5 * quiet["fp8, one scale"]
    blocks = "fp8, a scale for each block"
    assert abs(loud[blocks] - quiet[blocks]) < 1e-3 and quiet["bf16"] < quiet[blocks]


def test_blocks_that_do_not_fill_a_matrix_are_refused():
    with pytest.raises(ValueError, match="whole blocks"):
        fp8.scales(torch.zeros(3, 4), (2, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_as_the_same_numbers_in_float32_do(dtype):
    x = torch.randn(4, 128, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert torch.equal(fp8.scales(x, (1, 64)), fp8.scales(x.float(), (1, 64)))
    assert torch.equal(fp8.through(x, (1, 64)), fp8.through(x.float(), (1, 64)))


def test_half_precision_has_scales_that_do_not_vanish():
    x = torch.randn(4, 128, generator=torch.Generator().manual_seed(0)) * 2e-6
    near = fp8.through(x.half(), (1, 128)) - x.half().float()
    assert near.norm() < 0.05 * x.norm()
