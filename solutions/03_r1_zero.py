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
# # Exercises: R1-Zero and GRPO
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/03_r1_zero.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
import math

import torch

from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: grpo.by_hand -->
#
# Four answers to one question have the rewards 1, 0, 0, 0. Write their four advantages as a list,
# with two decimals: (reward - mean) over the *sample* deviation, without an epsilon.

# %%
### BEGIN SOLUTION
advantages_by_hand = [1.5, -0.5, -0.5, -0.5]
### END SOLUTION

# %%
check("grpo.by_hand", advantages_by_hand)

# %% [markdown]
# <!-- card: grpo.advantages -->


# %%
def my_group_advantages(rewards, eps=1e-4):
    """How much better each answer is than its group, in deviations of the group.

    rewards: (groups, size). Each row: (reward - mean) / (sample standard deviation + eps).
    Returns (groups, size); a group whose rewards are all the same gives 0, but for rounding.
    """
    ### BEGIN SOLUTION
    mean = rewards.mean(dim=1, keepdim=True)
    return (rewards - mean) / (rewards.std(dim=1, keepdim=True) + eps)
    ### END SOLUTION


# %%
check("grpo.advantages", my_group_advantages)

# %% [markdown]
# <!-- card: grpo.completion_mask -->


# %%
def my_completion_mask(ids, eos):
    """1.0 for every token of a completion, up to and including its first end; 0.0 after it.

    ids: (completions, tokens), whole numbers; padding may have any id, `eos` too. A completion
    without an end counts whole. Returns (completions, tokens).
    """
    ### BEGIN SOLUTION
    ends = (ids == eos).long()
    before = ends.cumsum(dim=1) - ends
    return (before == 0).float()
    ### END SOLUTION


# %%
check("grpo.completion_mask", my_completion_mask)

# %% [markdown]
# <!-- card: grpo.policy_loss -->


# %%
def my_policy_loss(logp, old_logp, advantages, mask, clip=0.2):
    """GRPO's clipped loss without the KL term: a number.

    logp, old_logp, mask: (completions, tokens); advantages: (completions,). For each token the
    smaller of ratio * A and the ratio clipped to 1 - clip .. 1 + clip, times A. Mean over each
    completion's own tokens, then over completions, with a minus. A completion without tokens is 0.
    """
    ### BEGIN SOLUTION
    ratio = torch.exp(logp - old_logp)
    gain = advantages[:, None]
    gain = torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
    rows = (gain * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return -rows.mean()
    ### END SOLUTION


# %%
check("grpo.policy_loss", my_policy_loss)

# %% [markdown]
# <!-- card: grpo.kl -->


# %%
def my_kl(logp, ref_logp):
    """The k3 estimate of the divergence from the reference policy, token by token.

    logp, ref_logp: (completions, tokens), log-probabilities of the same tokens under the policy and
    under the reference. Returns (completions, tokens), nowhere negative, 0 where the two agree.
    """
    ### BEGIN SOLUTION
    difference = ref_logp - logp
    return difference.exp() - difference - 1
    ### END SOLUTION


# %%
check("grpo.kl", my_kl)

# %% [markdown]
# <!-- card: grpo.pass_at_k -->
#
# Lesson 3c, section 3c.3, says what it is good for.


# %%
def pass_at_k(n, c, k):
    """How likely at least one of k samples is right, drawn without putting back from n samples of
    which c are right.

    Returns a number from 0 to 1; k is at most n.
    """
    ### BEGIN SOLUTION
    return 1 - math.comb(n - c, k) / math.comb(n, k)
    ### END SOLUTION


# %%
check("grpo.pass_at_k", pass_at_k)

# %% [markdown]
# <!-- card: grpo.find_the_bug -->
#
# The loss below is wrong in one place. It has the contract of `my_policy_loss` above. Find the
# input that shows it (for yourself: only `mended_loss` is checked), then write `mended_loss` right.


# %%
def broken_loss(logp, old_logp, advantages, mask, clip=0.2):
    ratio = (logp - old_logp).exp()
    weight = advantages.unsqueeze(1)
    surrogate = torch.min(ratio, ratio.clamp(1 - clip, 1 + clip)) * weight
    per_completion = (surrogate * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return -per_completion.mean()


# %%
def mended_loss(logp, old_logp, advantages, mask, clip=0.2):
    """`broken_loss` without its bug; the contract is that of `my_policy_loss`."""
    ### BEGIN SOLUTION
    ratio = (logp - old_logp).exp()
    weight = advantages.unsqueeze(1)
    surrogate = torch.min(ratio * weight, ratio.clamp(1 - clip, 1 + clip) * weight)
    per_completion = (surrogate * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return -per_completion.mean()
    ### END SOLUTION


# %%
check("grpo.find_the_bug", mended_loss)

# %% [markdown]
# <!-- card: grpo.mend_the_verifier -->
#
# A verifier that asks only whether the right signs stand in the text would pay for a row of signs.
# Write one that cannot be cheated so.


# %%
def sloppy_verifier(numbers, target, text):
    for choice in range(2 ** (len(numbers) - 1)):
        signs = [(choice >> place) % 2 for place in range(len(numbers) - 1)]
        total = numbers[0] + sum(n if s else -n for s, n in zip(signs, numbers[1:], strict=True))
        if total == target and " ".join("-+"[s] for s in signs) in text:
            return 1.0
    return 0.0


# %%
def mended_verifier(numbers, target, text):
    """1.0 for a text that is one right answer to `6 ? 9 ? 4 = 1`, else 0.0.

    numbers: a list such as [6, 9, 4]; target: a whole number such as 1. text: what the model wrote.
    Everything up to the first `</think>` is thought and is not judged. What follows it, or all of
    the text where there is no `</think>`, must be the answer and nothing else: a + or a - for every
    number but the first, with blanks between. It is right if it reaches the target.
    """
    ### BEGIN SOLUTION
    _, closed, rest = text.partition("</think>")
    signs = (rest if closed else text).split()
    if len(signs) != len(numbers) - 1 or any(sign not in ("+", "-") for sign in signs):
        return 0.0
    total = numbers[0]
    for sign, number in zip(signs, numbers[1:], strict=True):
        total += number if sign == "+" else -number
    return float(total == target)
    ### END SOLUTION


# %%
check("grpo.mend_the_verifier", mended_verifier)

# %% [markdown]
# <!-- card: grpo.train_a_policy -->


# %%
def train_policy(logits, sampled, rewards, lr):
    """Train a policy over a few answers by GRPO; returns its probabilities (answers,).

    logits: (answers,), the policy before. sampled: (steps, size), the numbers of the answers that
    each step's group has sampled. rewards: (answers,), what each answer earns. One update a group:
    your loss of your advantages, with eps and clip as they are, and a step of `lr` down.
    """
    ### BEGIN SOLUTION
    logits = logits.clone().requires_grad_()
    for group in sampled:
        logp = logits.log_softmax(dim=-1)[group][:, None]  # completions of one token
        gains = my_group_advantages(rewards[group][None])[0]
        loss = my_policy_loss(logp, logp.detach(), gains, torch.ones_like(logp))
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - lr * gradient).detach().requires_grad_()
    return logits.softmax(dim=-1).detach()
    ### END SOLUTION


# %%
check("grpo.train_a_policy", train_policy)

# %% [markdown]
# <!-- card: grpo.grade_groups -->


# %%
def grade_groups(puzzles, texts):
    """Grade groups of answers: (rewards, share, dead).

    puzzles: a list of (numbers, target); texts: for each puzzle the list of what was written.
    rewards: a list of rewards for each group. share: of all texts together that are right, 0 to 1.
    dead: how many groups teach nothing, because all their rewards are the same.
    """
    ### BEGIN SOLUTION
    rewards = []
    for (numbers, target), group in zip(puzzles, texts, strict=True):
        rewards.append([mended_verifier(numbers, target, text) for text in group])
    flat = [reward for group in rewards for reward in group]
    dead = sum(len(set(group)) == 1 for group in rewards)
    return rewards, sum(flat) / len(flat), dead
    ### END SOLUTION


# %%
check("grpo.grade_groups", grade_groups)
