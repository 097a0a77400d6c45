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
# <!-- card: real.cross -->


# %%
def carry_over(ids, teacher, student, eos):
    """A trace in the student's ids, its end among them; None if the student cannot write it.

    ids: the teacher's. teacher, student: lists of pieces of text; a piece's place is its id.
    Join the teacher's pieces, and cut the text from the left, each time by the longest of the
    student's pieces that it starts with. eos: the student's id for the end.
    """
    ### BEGIN SOLUTION
    text, found = "".join(teacher[i] for i in ids), []
    while text:
        fits = [i for i, piece in enumerate(student) if text.startswith(piece)]
        if not fits:
            return None
        best = max(fits, key=lambda i: len(student[i]))
        found.append(best)
        text = text[len(student[best]) :]
    return [*found, eos]
    ### END SOLUTION


# %%
check("real.cross", carry_over)

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
# <!-- card: real.perplexity -->


# %%
def my_perplexity(logits, ids):
    """e to the mean loss, in nats, of every token but the first: one number.

    logits: (tokens, vocabulary), the model's answer at each token; ids: (tokens,), the text.
    """
    ### BEGIN SOLUTION
    logp = logits[:-1].log_softmax(dim=-1)
    said = logp[torch.arange(len(ids) - 1), ids[1:]]
    return torch.exp(-said.mean())
    ### END SOLUTION


# %%
check("real.perplexity", my_perplexity)

# %% [markdown]
# <!-- card: real.keep_right -->


# %%
def keep_right(answers, truths, most):
    """What a model is taught of its own answers: a list of pairs (question's number, text).

    answers: for each question the texts that were sampled. truths: the right numbers. A text is
    right if it ends in `Answer: ` and the number, and holds `Answer:` only once. Nothing may follow
    the number, no full stop either: stricter than the lesson's verifier. Keep right ones in
    their order, each text once for a question, and at most `most` for a question.
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
