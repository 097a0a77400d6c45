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
# # Exercises: the four stages
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/04_r1_pipeline.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
import torch

from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: pipeline.starts_from -->
#
# Each of R1's four stages trains a model. Which model does the training *start from*? Give
# `"base"`, `"Dev1"`, `"Dev2"` or `"Dev3"` for the keys `"cold start"`, `"reasoning RL"`,
# `"rejection sampling and SFT"` and `"preference RL"`.

# %%
### BEGIN SOLUTION
starts_from = {
    "cold start": "base",
    "reasoning RL": "Dev1",
    "rejection sampling and SFT": "base",
    "preference RL": "Dev3",
}
### END SOLUTION

# %%
check("pipeline.starts_from", starts_from)

# %% [markdown]
# <!-- card: pipeline.language_consistency -->
#
# The mini-R1 works in two notations: `+3=10` in digits and `+three=ten` in words. A thought is
# steps and verdicts with blanks between: `+3=10 -five=five no`.


# %%
def language_consistency(thinking, language):
    """The share of a thought's steps that are wholly in one language.

    thinking: steps (words that begin with + or -) and verdicts (`yes`, `no`), with blanks between.
    language: "digits" or "words". A step that mixes both is in neither; verdicts are no steps; a
    thought without steps gives 1.0.
    """
    ### BEGIN SOLUTION
    steps = [word for word in thinking.split() if word[0] in "+-"]
    if not steps:
        return 1.0
    good = 0
    for step in steps:
        digits = any(letter.isdigit() for letter in step)
        words = any(letter.isalpha() for letter in step)
        good += (digits and not words) if language == "digits" else (words and not digits)
    return good / len(steps)
    ### END SOLUTION


# %%
check("pipeline.language_consistency", language_consistency)

# %% [markdown]
# <!-- card: pipeline.keep -->
#
# A sample is a dictionary with `text` (a string), `closed` and `right` (True or False) and
# `consistency` (0 to 1).


# %%
def keep_samples(samples):
    """Keep the samples worth training on, and count why the others go.

    A sample goes for the first reason that fits, in this order: "unclosed" (not closed), "wrong"
    (not right), "mixed" (consistency below 1), "duplicate" (its text was already kept).
    Returns (texts kept, in order; a dictionary with the count of each of the four reasons).
    """
    ### BEGIN SOLUTION
    kept, reasons = [], {"unclosed": 0, "wrong": 0, "mixed": 0, "duplicate": 0}
    for sample in samples:
        if not sample["closed"]:
            reasons["unclosed"] += 1
        elif not sample["right"]:
            reasons["wrong"] += 1
        elif sample["consistency"] < 1:
            reasons["mixed"] += 1
        elif sample["text"] in kept:
            reasons["duplicate"] += 1
        else:
            kept.append(sample["text"])
    return kept, reasons
    ### END SOLUTION


# %%
check("pipeline.keep", keep_samples)

# %% [markdown]
# <!-- card: pipeline.sft_labels -->


# %%
def sft_labels(prompt, completion, length):
    """The labels of one row for supervised fine-tuning: only the completion is trained.

    prompt, completion: lists of token ids. The row is prompt, completion, then padding up to
    `length`, and is cut there if it is longer. Returns a list of `length` labels: the token's own
    id where it is trained, -100 where it is not (no shift by one: the loss does that itself).
    """
    ### BEGIN SOLUTION
    row = ([-100] * len(prompt) + completion)[:length]
    return row + [-100] * (length - len(row))
    ### END SOLUTION


# %%
check("pipeline.sft_labels", sft_labels)

# %% [markdown]
# <!-- card: pipeline.preference_loss -->


# %%
def preference_loss(chosen, rejected):
    """The loss of a reward model on pairs, after Bradley and Terry: a number.

    chosen, rejected: (pairs,), the model's scores of the better and of the worse answer.
    The mean of -log(sigmoid(chosen - rejected)), finite also for scores 800 apart.
    """
    ### BEGIN SOLUTION
    return -torch.nn.functional.logsigmoid(chosen - rejected).mean()
    ### END SOLUTION


# %%
check("pipeline.preference_loss", preference_loss)

# %% [markdown]
# <!-- card: pipeline.build_rows -->


# %%
def build_rows(samples, prompt, length):
    """Rows of labels for the samples worth training on: (rows, share).

    samples: as in `keep_samples`; prompt: a list of token ids, the same for every sample. A
    sample's completion is its text's bytes. rows: the labels, of `length` each, in order. share:
    of all labels in the rows that are trained (not -100); 0.0 where there is no row.
    """
    ### BEGIN SOLUTION
    kept, _ = keep_samples(samples)
    rows = [sft_labels(prompt, list(text.encode()), length) for text in kept]
    trained = sum(label != -100 for row in rows for label in row)
    return rows, trained / (len(rows) * length) if rows else 0.0
    ### END SOLUTION


# %%
check("pipeline.build_rows", build_rows)

# %% [markdown]
# <!-- card: pipeline.fit_reward_model -->


# %%
def fit_reward_model(better, worse, steps, lr):
    """Train a linear reward model on pairs; returns its weights (features,).

    better, worse: (pairs, features), of the better and of the worse answer. A score is features
    times weights. The weights begin at 0; then so many steps of `lr` down your loss's gradient.
    """
    ### BEGIN SOLUTION
    weight = torch.zeros(better.shape[1], requires_grad=True)
    for _ in range(steps):
        loss = preference_loss(better @ weight, worse @ weight)
        (gradient,) = torch.autograd.grad(loss, weight)
        weight = (weight - lr * gradient).detach().requires_grad_()
    return weight.detach()
    ### END SOLUTION


# %%
check("pipeline.fit_reward_model", fit_reward_model)
