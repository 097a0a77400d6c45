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
# # Exercises: distillation
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/05_distillation.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
import math
from collections import Counter

import torch

from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: distill.by_hand -->
#
# A teacher gives two tokens the probabilities 0.5 and 0.5, a student gives them 0.9 and 0.1. Write
# (forward, reverse) = (KL(teacher || student), KL(student || teacher)) in nats, two decimals.

# %%
### BEGIN SOLUTION
kl_by_hand = (0.51, 0.37)
### END SOLUTION

# %%
check("distill.by_hand", kl_by_hand)

# %% [markdown]
# <!-- card: distill.jsd -->


# %%
def my_jsd(student_logits, teacher_logits, beta):
    """The generalised Jensen-Shannon divergence of GKD (Agarwal et al., 2306.13649): a number.

    student_logits, teacher_logits: (tokens, vocabulary). With m = beta * teacher +
    (1 - beta) * student, in probabilities: beta * KL(teacher || m) + (1 - beta) * KL(student || m),
    the mean over tokens. beta 0 is KL(teacher || student), beta 1 is KL(student || teacher).
    """
    ### BEGIN SOLUTION
    student = student_logits.log_softmax(dim=-1)
    teacher = teacher_logits.log_softmax(dim=-1)

    def kl(p, q):
        return (p.exp() * (p - q)).sum(dim=-1).mean()

    if beta == 0:
        return kl(teacher, student)
    if beta == 1:
        return kl(student, teacher)
    middle = torch.logaddexp(teacher + math.log(beta), student + math.log(1 - beta))
    return beta * kl(teacher, middle) + (1 - beta) * kl(student, middle)
    ### END SOLUTION


# %%
check("distill.jsd", my_jsd)

# %% [markdown]
# <!-- card: distill.majority_vote -->


# %%
def pass_and_vote(answers, truths):
    """pass@1 and the majority's vote over several problems: (pass_at_1, vote), both 0 to 1.

    answers: for each problem the list of answers that were sampled, None where none could be read.
    truths: the right answers. pass@1 is the mean over problems of the share of right answers (None
    is wrong). The vote is the share of problems whose most frequent answer is right; None has no
    voice, and of a tie the answer seen first wins.
    """
    ### BEGIN SOLUTION
    shares, votes = 0.0, 0
    for given, truth in zip(answers, truths, strict=True):
        shares += given.count(truth) / len(given)
        voices = Counter(one for one in given if one is not None)
        votes += bool(voices) and voices.most_common(1)[0][0] == truth
    return shares / len(truths), votes / len(truths)
    ### END SOLUTION


# %%
check("distill.majority_vote", pass_and_vote)

# %% [markdown]
# <!-- card: distill.count_dense -->
#
# A layer has attention (q, k, v and output projections; with `qkv_bias` a bias on q, k and v), an
# FFN of three matrices without biases, and two norms of `hidden_size` numbers. Before the layers
# stands the embedding table, after them one more norm and the head, which with
# `tie_word_embeddings` is the embedding table again.


# %%
def count_dense(config):
    """How many parameters a dense distill has.

    config: a dictionary with num_hidden_layers, hidden_size, num_attention_heads,
    num_key_value_heads, head_dim, intermediate_size, vocab_size, qkv_bias, tie_word_embeddings.
    A layer's matrices: q and output are hidden_size by heads x head_dim; k and v have key-value
    heads instead, fewer, because several query heads share one key and value (grouped-query
    attention); three for the FFN, hidden_size by intermediate_size.
    """
    ### BEGIN SOLUTION
    width, size = config["hidden_size"], config["head_dim"]
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    qkv = (heads + 2 * shared) * size
    attention = width * qkv + heads * size * width
    if config["qkv_bias"]:
        attention += qkv
    layer = attention + 3 * width * config["intermediate_size"] + 2 * width
    tables = 1 if config["tie_word_embeddings"] else 2
    return config["num_hidden_layers"] * layer + width + tables * config["vocab_size"] * width
    ### END SOLUTION


# %%
check("distill.count_dense", count_dense)

# %% [markdown]
# <!-- card: distill.find_the_bug -->
#
# Fine-tuning on a teacher's traces: the loss is the mean of -log p(token | tokens before it) over
# the tokens with mask 1. The function below is wrong in one place.


# %%
def broken_next_loss(logits, ids, mask):
    logs = logits.log_softmax(dim=-1)
    taken = logs.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    return -(taken * mask).sum() / mask.sum()


# %%
def mended_next_loss(logits, ids, mask):
    """The mean loss of the next token, a number.

    logits: (rows, tokens, vocabulary), where the model stood when it had read the token of that
    place. ids, mask: (rows, tokens); mask is 1 for tokens that are trained. The first token of a
    row has no prediction.
    """
    ### BEGIN SOLUTION
    logs = logits[:, :-1].log_softmax(dim=-1)
    taken = logs.gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return -(taken * mask[:, 1:]).sum() / mask[:, 1:].sum()
    ### END SOLUTION


# %%
check("distill.find_the_bug", mended_next_loss)

# %% [markdown]
# <!-- card: distill.teach -->


# %%
def teach(student_logits, teacher_logits, beta, steps, lr):
    """Train a student's logits towards a teacher's; returns its probabilities after it.

    student_logits, teacher_logits: (tokens, vocabulary); beta: as in `my_jsd`. So many steps of
    `lr` down the gradient of your divergence for the student. Returns (tokens, vocabulary).
    """
    ### BEGIN SOLUTION
    logits = student_logits.clone().requires_grad_()
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(my_jsd(logits, teacher_logits, beta), logits)
        logits = (logits - lr * gradient).detach().requires_grad_()
    return logits.softmax(dim=-1).detach()
    ### END SOLUTION


# %%
check("distill.teach", teach)
