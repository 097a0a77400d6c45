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
# # Exercises: a real language model
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/09_a_real_language_model.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
import torch

from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: real.lora -->


# %%
def my_lora(x, W, A, B, alpha):
    """What a frozen weight and a LoRA beside it answer: (rows, outputs).

    x: (rows, inputs); W: (outputs, inputs), frozen; A: (r, inputs) and B: (outputs, r), which
    learn; alpha: how loud the detour is, to be divided by the rank r.
    """
    ### BEGIN SOLUTION
    r = A.shape[0]
    return x @ W.T + (alpha / r) * (x @ A.T @ B.T)
    ### END SOLUTION


# %%
check("real.lora", my_lora)

# %% [markdown]
# <!-- card: real.keep_right -->


# %%
def keep_right(answers, truths, most):
    """What a model is taught of its own answers: a list of pairs (question's number, text).

    answers: for each question the texts that were sampled. truths: the right numbers. A text is
    right if it ends in `Answer: ` and the number, and holds `Answer:` only once. Keep right ones
    in their order, each text once for a question, and at most `most` for a question.
    """
    ### BEGIN SOLUTION
    kept = []
    for number, (texts, truth) in enumerate(zip(answers, truths, strict=True)):
        own = []
        for text in texts:
            right = text.endswith(f"Answer: {truth}") and text.count("Answer:") == 1
            if right and text not in own and len(own) < most:
                own.append(text)
        kept += [(number, text) for text in own]
    return kept
    ### END SOLUTION


# %%
check("real.keep_right", keep_right)
