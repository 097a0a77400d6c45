"""Quantisation: blocks worked out by hand, bounds on the error, equality with gguf to the bit."""

import gguf
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from course_lib.local import quant

Q = gguf.GGMLQuantizationType
FLOATS = st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-20)
MATRICES = st.one_of(
    hnp.arrays(np.float32, st.sampled_from([(32,), (2, 64), (3, 2, 32)]), elements=FLOATS),
    st.integers(0, 2**32 - 1).map(
        lambda seed: np.random.default_rng(seed).normal(size=(8, 96)).astype(np.float32)
    ),
)


@settings(deadline=None)
@given(MATRICES)
def test_q8_0_and_q4_0_are_the_gguf_packages_to_the_bit(weights):
    for mine, kind in [(quant.q8_0, Q.Q8_0), (quant.q4_0, Q.Q4_0)]:
        theirs = gguf.quants.quantize(weights, kind)
        got = mine(weights)
        assert got.dtype == np.uint8 and got.shape == theirs.shape
        assert np.array_equal(got, theirs)


@settings(deadline=None)
@given(MATRICES)
def test_dequantised_four_bits_are_what_gguf_reads_from_q4_0(weights):
    theirs = gguf.quants.dequantize(quant.q4_0(weights), Q.Q4_0)
    assert np.array_equal(quant.dequantise(quant.quantise(weights, 4)), theirs)


def test_halves_round_away_from_zero_in_q8_0():
    block = np.zeros(32, np.float32)
    block[:4] = [127, 0.5, -0.5, 0.49999997]
    assert quant.q8_0(block)[2:6].view(np.int8).tolist() == [127, 1, -1, 0]


def test_a_block_by_hand():
    """Furthest from 0 is 4, so at 3 bits the scale is -1 and 4 gets the code -4."""
    block = np.zeros(8, np.float32)
    block[:5] = [4, -3, 1.4, -4, 0.2]
    got = quant.quantise(block, 3, block=8)
    assert got.scales.tolist() == [[-1.0]]
    assert got.codes[0, :5].tolist() == [-4, 3, -1, 3, 0]
    assert quant.dequantise(got)[:5].tolist() == [4, -3, 1, -3, 0]


@settings(deadline=None)
@given(MATRICES, st.integers(2, 8))
@example(np.random.default_rng(458279).normal(size=(8, 96)).astype(np.float32), 7)
def test_the_error_is_at_most_one_scale_and_the_rounding_of_the_scale(weights, bits):
    """A weight almost as far out as the furthest, on the other side, finds no code: one scale.

    A scale in float16 is off by its share of 2^-11, or 2^-25 where it is tiny; the code takes that
    up to 2^(bits - 1) times, which is up to the furthest weight itself.
    """
    got, half = quant.quantise(weights, bits), 2 ** (bits - 1)
    assert got.codes.min() >= -half and got.codes.max() <= half - 1
    error = np.abs(quant.dequantise(got) - weights).reshape(-1, 32)
    furthest = np.abs(weights.reshape(-1, 32)).max(1, keepdims=True)
    assert (error <= furthest * (1 / half + 2**-11 + 1e-6) + half * 2**-25).all()


def test_more_bits_are_never_worse():
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    errors = [
        np.square(quant.dequantise(quant.quantise(weights, bits)) - weights).mean()
        for bits in range(2, 9)
    ]
    assert errors == sorted(errors, reverse=True) and errors[0] > 1000 * errors[-1]


@pytest.mark.parametrize(("bits", "size"), [(8, 34), (4, 18), (3, 14), (2, 10)])
def test_bytes_of_a_block(bits, size):
    assert quant.quantise(np.ones((3, 32), np.float32), bits).bytes == 3 * size


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_zeros_stay_zeros(bits):
    assert not quant.dequantise(quant.quantise(np.zeros((2, 32), np.float32), bits)).any()


@pytest.mark.parametrize(
    ("weights", "bits", "message"),
    [
        (np.ones((2, 33)), 4, r"shape \(2, 33\)"),
        (np.ones((0, 32)), 4, "above 0"),
        (np.float32(1), 4, "shape"),
        (np.full((1, 32), np.nan), 4, "infinities or NaN"),
        (np.full((1, 32), np.inf), 8, "infinities or NaN"),
        (np.full((1, 32), 1e6), 4, "so large"),
        (np.ones((1, 32)), 1, "bits is 1"),
        (np.ones((1, 32)), 9, "2 to 8 bits"),
    ],
)
def test_bad_weights_are_named(weights, bits, message):
    with pytest.raises(ValueError, match=message):
        quant.quantise(weights, bits)


def test_a_model_is_quantised_in_place():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.Linear(8, 5))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    size = quant.quantise_model(model, 4)
    after = list(model.parameters())
    assert size == 8 * 64 // 32 * 18 + 2 * (8 + 5 * 8 + 5)
    assert np.array_equal(
        after[0].detach().numpy(), quant.dequantise(quant.quantise(before[0].numpy(), 4))
    )
    assert not torch.equal(after[0], before[0])
    for old, new in zip(before[1:], after[1:], strict=True):
        assert torch.equal(old, new)


def test_eight_bits_hold_no_more_than_their_scale():
    with pytest.raises(ValueError, match="so large"):
        quant.q8_0(np.full((1, 32), 1e7))
