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
# # Exercises: a bug lab for RL
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/03d_bug_lab.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
import math

import torch

from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: lab.step_mean -->


# %%
def step_mean(parts):
    """The mean over all values of a step, however it was cut into micro-batches.

    parts: a list of micro-batches, each a list of values; some may be empty, not all.
    Returns a float.
    """
    ### BEGIN SOLUTION
    return sum(map(sum, parts)) / sum(map(len, parts))
    ### END SOLUTION


# %%
check("lab.step_mean", step_mean)

# %% [markdown]
# <!-- card: lab.advantages_in_order -->


# %%
def advantages_in_order(rewards, groups):
    """Each reward less the mean of its prompt's, in the order in which they came.

    rewards: (samples * groups,): one completion of every prompt, then another of every prompt, and
    so on, so that completion i answers prompt i % groups. Returns a tensor of the same shape.
    """
    ### BEGIN SOLUTION
    table = rewards.reshape(-1, groups)
    return (table - table.mean(0)).flatten()
    ### END SOLUTION


# %%
check("lab.advantages_in_order", advantages_in_order)

# %% [markdown]
# <!-- card: lab.sequence_ratio -->


# %%
def sequence_ratio(logp, old, mask):
    """Each completion's ratio, new over old, as the geometric mean over the tokens that count.

    logp, old: (completions, tokens), log-probabilities. mask: the same shape, 1.0 where a token
    counts. Returns a tensor (completions,).
    """
    ### BEGIN SOLUTION
    mean = ((logp - old) * mask).sum(1) / mask.sum(1)
    return mean.exp()
    ### END SOLUTION


# %%
check("lab.sequence_ratio", sequence_ratio)

# %% [markdown]
# <!-- card: lab.tell -->


# %%
def tell(right, broken):
    """Where the fault of a trainer is, told by its log and the right trainer's.

    right, broken: dictionaries with reward, grad_norm, loss and entropy, each a list of one number
    a step. Returns the first of these that holds: "nothing" for equal logs, "never learns" where
    every gradient of `broken` is 0, "only the log" where all rewards and gradients agree, and "the
    training" otherwise.
    """
    ### BEGIN SOLUTION
    if right == broken:
        return "nothing"
    if not any(broken["grad_norm"]):
        return "never learns"
    same = all(right[name] == broken[name] for name in ("reward", "grad_norm"))
    return "only the log" if same else "the training"
    ### END SOLUTION


# %%
check("lab.tell", tell)
