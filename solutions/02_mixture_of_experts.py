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
# # Exercises: mixture of experts
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/02_mixture_of_experts.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
import math

import torch

from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: moe.by_hand -->
#
# One token, four experts in two groups of two, one group kept, two experts chosen, and a scale
# of 1, so that the weights sum to 1:
#
# | expert | 0 | 1 | 2 | 3 |
# |---|---|---|---|---|
# | sigmoid score | 0.9 | 0.2 | 0.65 | 0.6 |
# | bias | 0 | 0 | 0.1 | 0 |
#
# Write the route as a dictionary from expert to weight, with two decimals, such as
# `{0: 0.75, 1: 0.25}`.

# %%
### BEGIN SOLUTION
route_by_hand = {2: 0.65 / (0.65 + 0.6), 3: 0.6 / (0.65 + 0.6)}
### END SOLUTION

# %%
check("moe.by_hand", route_by_hand)

# %% [markdown]
# <!-- card: moe.route -->


# %%
def my_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    """Choose top_k experts for every token and weigh them, by DeepSeek-V3's rule.

    logits: (tokens, experts). bias: (experts,), for choosing only. The experts stand in n_group
    equal groups; a group is worth the sum of its two best biased scores, and only the topk_group
    best groups stay. Weights are the chosen sigmoid scores over (their sum + 1e-20), times scale.
    Returns (weights, experts), both (tokens, top_k), best biased score first.
    """
    ### BEGIN SOLUTION
    scores = torch.sigmoid(logits)
    biased = scores + bias
    groups = biased.reshape(len(logits), n_group, -1)
    worth = groups.topk(2, dim=-1).values.sum(-1)
    kept = torch.zeros_like(worth).scatter(-1, worth.topk(topk_group).indices, 1.0)
    left = groups.masked_fill(kept[..., None] == 0, -math.inf).reshape(biased.shape)
    experts = left.topk(top_k).indices
    chosen = scores.gather(-1, experts)
    return scale * chosen / (chosen.sum(-1, keepdim=True) + 1e-20), experts
    ### END SOLUTION


# %%
check("moe.route", my_route)

# %% [markdown]
# <!-- card: moe.balance_bias -->


# %%
def my_balance_bias(bias, load, step):
    """The router's bias after a batch: one step down where the load was above its mean, one up
    where it was below, none where it was exactly the mean.

    bias: (experts,). load: (experts,), how many tokens each expert got.
    Returns a tensor (experts,).
    """
    ### BEGIN SOLUTION
    load = load.double()
    return bias + step * torch.sign(load.mean() - load)
    ### END SOLUTION


# %%
check("moe.balance_bias", my_balance_bias)

# %% [markdown]
# <!-- card: moe.count_parameters -->
#
# An expert is three matrices (gate, up, down) between `hidden_size` and `moe_intermediate_size`,
# without biases. The router has a row of `hidden_size` numbers and one bias for each routed
# expert. Shared experts are as big as routed ones, and every token goes through all of them.


# %%
def count_moe_layer(config):
    """The parameters of one mixture-of-experts layer (without attention and norms).

    config: a dictionary with hidden_size, moe_intermediate_size, n_routed_experts,
    n_shared_experts, num_experts_per_tok (and intermediate_size, the dense layers').
    Returns (total, active): all of them, and those that one token goes through.
    """
    ### BEGIN SOLUTION
    expert = 3 * config["hidden_size"] * config["moe_intermediate_size"]
    routed, shared = config["n_routed_experts"], config["n_shared_experts"]
    router = routed * config["hidden_size"] + routed
    active = config["num_experts_per_tok"]
    return (routed + shared) * expert + router, (active + shared) * expert + router
    ### END SOLUTION


# %%
check("moe.count_parameters", count_moe_layer)

# %% [markdown]
# <!-- card: moe.experts_touched -->


# %%
def experts_touched(experts, top_k, tokens):
    """How many of a layer's experts at least one of the tokens chooses, in expectation.

    Every token chooses top_k different experts, evenly and on its own. Returns a number from 0 to
    `experts`.
    """
    ### BEGIN SOLUTION
    return experts * (1 - (1 - top_k / experts) ** tokens)
    ### END SOLUTION


# %%
check("moe.experts_touched", experts_touched)

# %% [markdown]
# <!-- card: moe.find_the_bug -->
#
# The router below is wrong in one place. It has the contract of `my_route` above. Find the input
# that shows it (for yourself: only `mended_route` is checked), then write `mended_route` right.


# %%
def broken_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    scores = logits.sigmoid()
    biased = scores + bias
    groups = biased.view(len(logits), n_group, -1)
    worth = groups.topk(2, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(worth).scatter_(1, worth.topk(topk_group, dim=-1).indices, 1.0)
    allowed = kept.unsqueeze(-1).expand_as(groups).reshape(biased.shape)
    experts = (biased * allowed).topk(top_k, dim=-1).indices
    weights = scores.gather(1, experts)
    return scale * weights / (weights.sum(dim=-1, keepdim=True) + 1e-20), experts


# %%
def mended_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    """`broken_route` without its bug; the contract is that of `my_route`."""
    ### BEGIN SOLUTION
    scores = logits.sigmoid()
    biased = scores + bias
    groups = biased.view(len(logits), n_group, -1)
    worth = groups.topk(2, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(worth).scatter_(1, worth.topk(topk_group, dim=-1).indices, 1.0)
    allowed = kept.unsqueeze(-1).expand_as(groups).reshape(biased.shape)
    experts = biased.masked_fill(allowed == 0, -math.inf).topk(top_k, dim=-1).indices
    weights = scores.gather(1, experts)
    return scale * weights / (weights.sum(dim=-1, keepdim=True) + 1e-20), experts
    ### END SOLUTION


# %%
check("moe.find_the_bug", mended_route)

# %% [markdown]
# <!-- card: moe.balance_a_router -->


# %%
def balance_router(logits, bias, top_k, step, rounds):
    """Route the same tokens `rounds` times, moving the bias after each: (bias, load).

    logits: (tokens, experts); bias: (experts,); one group. After each round the bias moves by
    `step` as in `my_balance_bias`. Returns the bias after the last move, and how many tokens each
    expert got in the last round (experts,).
    """
    ### BEGIN SOLUTION
    for _ in range(rounds):
        _, experts = my_route(logits, bias, top_k)
        load = experts.flatten().bincount(minlength=len(bias)).float()
        bias = my_balance_bias(bias, load, step)
    return bias, load
    ### END SOLUTION


# %%
check("moe.balance_a_router", balance_router)

# %% [markdown]
# <!-- card: moe.route_a_layer -->


# %%
def route_layer(hidden, gate, config):
    """Route hidden states through a layer's gate: (weights, experts), as `my_route` gives them.

    hidden: (tokens, width). gate: {"weight": (experts, width), "bias": (experts,)}. config: a
    dictionary with num_experts_per_tok, n_group, topk_group and routed_scaling_factor.
    """
    ### BEGIN SOLUTION
    logits = hidden @ gate["weight"].T
    groups, kept = config["n_group"], config["topk_group"]
    top_k, scale = config["num_experts_per_tok"], config["routed_scaling_factor"]
    return my_route(logits, gate["bias"], top_k, groups, kept, scale)
    ### END SOLUTION


# %%
check("moe.route_a_layer", route_layer)
