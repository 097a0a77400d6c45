# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: how V3 is built
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/02b_how_v3_is_built.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
import math

import torch

from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: v3.round_e4m3 -->


# %%
def round_e4m3(x):
    """The number of FP8 e4m3 nearest to x: one sign, four bits of exponent, three of mantissa.

    x: a float from -448 to 448. From one power of two to the next there are 8 equal steps; below
    2 ** -6 the step stays 2 ** -9. A half goes to the even neighbour. Returns a float.
    """
    ### BEGIN SOLUTION
    if x == 0:
        return 0.0
    exponent = max(math.floor(math.log2(abs(x))), -6)
    step = 2.0 ** (exponent - 3)
    return round(x / step) * step
    ### END SOLUTION


# %%
check("v3.round_e4m3", round_e4m3)

# %% [markdown]
# <!-- card: v3.block_scales -->


# %%
def block_scales(x, size):
    """The scale of each block of size by size: the largest absolute value in it over 448.

    x: (rows, columns), both whole multiples of size. A block of zeros has the scale 1.
    Returns a tensor (rows / size, columns / size).
    """
    ### BEGIN SOLUTION
    blocks = x.reshape(len(x) // size, size, x.shape[1] // size, size)
    most = blocks.abs().amax((1, 3))
    return torch.where(most > 0, most / 448, 1.0)
    ### END SOLUTION


# %%
check("v3.block_scales", block_scales)

# %% [markdown]
# <!-- card: v3.accept -->


# %%
def after_a_guess(p, q, drafted, u):
    """What becomes of a guess in speculative decoding: (kept, chances).

    p: (vocabulary,), the model's probabilities at this place. q: (vocabulary,), those that the
    guess was drawn from. drafted: the guess. u: a random number from 0 to 1. kept: True or False.
    chances: (vocabulary,), in both cases: what the token is drawn from if the guess is not kept.
    """
    ### BEGIN SOLUTION
    more = (p - q).clamp(min=0)
    return bool(u < p[drafted] / q[drafted]), more / more.sum()
    ### END SOLUTION


# %%
check("v3.accept", after_a_guess)

# %% [markdown]
# <!-- card: v3.bubble -->


# %%
def bubble_share(stages, micro_batches):
    """The share of the time for which a device of a pipeline is idle.

    Each of `stages` devices does one stage of every micro-batch, which takes one unit of time,
    forward and backward together; each waits until the first one reaches it and until the last
    one has come back, `stages - 1` units in all. Returns a number from 0 to 1.
    """
    ### BEGIN SOLUTION
    idle = stages - 1
    return idle / (micro_batches + idle)
    ### END SOLUTION


# %%
check("v3.bubble", bubble_share)
