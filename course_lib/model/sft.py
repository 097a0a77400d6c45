"""Supervised fine-tuning: learn completions token by token, with the prompts masked.

The loss is next-token cross-entropy. A prompt is read and not learnt: its tokens are in the input
and not in the mean, as in TRL's completion-only loss.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from course_lib.model.logprobs import token_logprobs


def collate(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], pad: int
) -> tuple[Tensor, Tensor]:
    """Prompts and completions as one batch: ids (sequences, longest) and what is to be learnt.

    The mask, boolean and of the same shape, is true on completions. Rows are padded on the right,
    where a causal model needs no attention mask. Raises ValueError for lists of unequal length, no
    sequences, or an empty prompt (nothing would predict the first token).
    """
    if len(prompts) != len(completions) or not len(prompts):
        raise ValueError(
            f"There are {len(prompts)} prompts and {len(completions)} completions; allowed is the "
            "same number of both, at least one."
        )
    if not all(map(len, prompts)):
        raise ValueError("A prompt is empty; allowed are prompts of at least one token.")
    pairs = list(zip(prompts, completions, strict=True))
    rows = [torch.tensor([*prompt, *completion]) for prompt, completion in pairs]
    learnt = [torch.arange(len(p) + len(c)) >= len(p) for p, c in pairs]
    ids = pad_sequence(rows, batch_first=True, padding_value=pad)
    return ids, pad_sequence(learnt, batch_first=True)


def sft_loss(logits: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """Mean cross-entropy in nats of the tokens with a weight above 0, over all of them at once.

    `logits` is (sequences, tokens, vocabulary) and `ids` and `weights` are (sequences, tokens), all
    for the same tokens: the shift by one happens here, the logits at a token being the guess at the
    next, so that a first token is never learnt. `weights` may be a mask, or say how much each token
    counts. The mean is per token and not per sequence: long traces weigh more than short ones, as
    in TRL and transformers.

    Raises ValueError for shapes that do not fit or weights that leave nothing to learn.
    """
    if logits.ndim != 3 or logits.shape[:2] != ids.shape or weights.shape != ids.shape:
        raise ValueError(
            f"logits has shape {tuple(logits.shape)}, ids {tuple(ids.shape)} and weights "
            f"{tuple(weights.shape)}; allowed are (sequences, tokens, vocabulary) and twice "
            "(sequences, tokens)."
        )
    learnt = weights[:, 1:] > 0
    if not bool(learnt.any()):
        raise ValueError(
            "weights leaves no token to learn; allowed is one above 0 after a first token."
        )
    # Only what is learnt goes through the softmax: prompts and padding cost nothing here.
    return weighted_loss(logits[:, :-1][learnt], ids[:, 1:][learnt], weights[:, 1:][learnt])


def weighted_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean cross-entropy in nats: logits (tokens, vocabulary), the tokens that came, their weights.

    For tokens that are all learnt; see `sft_loss`.
    """
    if logits.dtype in (torch.float16, torch.bfloat16):  # summed in float32, as transformers does
        logits = logits.float()
    losses = -token_logprobs(logits, targets)
    shares = weights.to(losses.dtype)
    return (losses * shares).sum() / shares.sum()
