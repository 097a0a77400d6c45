"""Which experts a real model sends its tokens to: recorded, and counted by kind of token.

Works on any transformers model whose routers return `(logits, weights, experts)` as DeepSeek-V3's
do: the mini-V3 of the course, and the 671B one for who has the memory.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

from course_lib.model.router import load

_PATTERNS = (
    ("tag", re.compile(r"</?think>|<｜.*｜>")),
    ("verdict", re.compile(r" (?:yes|no)")),
    ("step in digits", re.compile(r" [+-]\d+")),
    ("step in words", re.compile(r" [+-][a-z]+")),
    ("total in digits", re.compile(r"=-?\d+")),
    ("total in words", re.compile(r"=[a-z-]+")),
    ("sign", re.compile(r" ?[+-]")),
    ("digit", re.compile(r" ?\d+")),
)

KINDS = (*(name for name, _ in _PATTERNS), "other")
"""Kinds of token: what marks a turn, a thought or the end; ` yes` and ` no`; a step of the working
(` +3`, ` +three`); its running total (`=10`, `=ten`); a bare sign; a bare number; the rest."""


class Routes(NamedTuple):
    """One router's part in one forward pass."""

    logits: Tensor  # (tokens, experts), with gradient
    experts: Tensor  # (tokens, top_k)


def routers(model: PreTrainedModel) -> dict[int, DeepseekV3TopkRouter]:
    """The routers of a model by the number of their layer, lowest first; a dense model has none."""
    return {
        int(name.split("layers.")[1].split(".")[0]): module
        for name, module in model.named_modules()
        if isinstance(module, DeepseekV3TopkRouter)
    }


@contextmanager
def recording(model: PreTrainedModel) -> Iterator[dict[int, Routes]]:
    """A dictionary that each forward pass inside the `with` fills: layer number to `Routes`."""
    routes: dict[int, Routes] = {}

    def keep(layer: int, _module: torch.nn.Module, _inputs: tuple, outputs: tuple) -> None:
        routes[layer] = Routes(outputs[0], outputs[2])

    gates = routers(model).items()
    hooks = [gate.register_forward_hook(partial(keep, layer)) for layer, gate in gates]
    try:
        yield routes
    finally:
        for hook in hooks:
            hook.remove()


def kind(token: str) -> str:
    """The kind, one of `KINDS`, of a token's text."""
    return next((name for name, pattern in _PATTERNS if pattern.fullmatch(token)), "other")


@torch.no_grad()
def choices(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[tuple[list[str], Tensor]]:
    """For every text its tokens as text, and who each was sent to: (layers, tokens, top_k).

    Texts are read one by one, without padding, special tokens and all. Raises ValueError for no
    text, for one that is not in a list and for a model without routers.
    """
    texts = [] if isinstance(texts, str) else list(texts)
    if not texts or not all(texts):
        raise ValueError("texts is empty, no list, or holds an empty one; give a list of texts.")
    if not routers(model):
        raise ValueError(f"model is a {type(model).__name__} without a DeepSeek-V3 router.")
    read = []
    with recording(model) as routes:
        for text in texts:
            ids = tokenizer.encode(text, add_special_tokens=False)
            model(torch.tensor([ids], device=model.device))
            experts = torch.stack([seen.experts for seen in routes.values()]).cpu()
            read.append(([str(tokenizer.decode([i])) for i in ids], experts))
    return read


def shares_by_kind(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    named: Callable[[str], str] = kind,
) -> dict[str, Tensor]:
    """How each kind of token in `texts` spreads over the experts: kind to (layers, experts).

    `named` gives a token's text its kind. Every row sums to 1; kinds that do not occur are left
    out. Raises ValueError as `choices` does.
    """
    read = choices(model, tokenizer, texts)
    kinds = [named(token) for tokens, _ in read for token in tokens]
    experts = torch.cat([chosen for _, chosen in read], dim=1)
    n = max(gate.num_experts for gate in routers(model).values())
    shares = {}
    for name in dict.fromkeys([*(one for one in KINDS if one in kinds), *kinds]):
        mine = torch.tensor([k == name for k in kinds])
        counts = torch.stack([load(layer[mine], n) for layer in experts])
        shares[name] = counts / counts.sum(-1, keepdim=True)
    return shares


def moved(
    before: PreTrainedModel,
    after: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
) -> float:
    """The share of choices that `after` makes differently from `before`, token by token.

    A token in a layer makes `top_k` choices; those that are not among the other model's have moved.
    """
    pairs = zip(choices(before, tokenizer, texts), choices(after, tokenizer, texts), strict=True)
    same = [(a[..., :, None] == b[..., None, :]).any(-1).flatten() for (_, a), (_, b) in pairs]
    return 1 - torch.cat(same).float().mean().item()


def touched(experts: Tensor, tokens: int) -> float:
    """How many experts a run of `tokens` tokens meets, mean over layers and runs.

    `experts` is (layers, all tokens, top_k); runs follow each other, and the rest is left out.
    Raises ValueError where there is not one run.
    """
    if not 1 <= tokens <= experts.shape[1]:
        raise ValueError(
            f"tokens is {tokens}; allowed is 1 to all that there are, {experts.shape[1]}."
        )
    runs = experts[:, : experts.shape[1] // tokens * tokens].unflatten(1, (-1, tokens)).flatten(2)
    return sum(len(run.unique()) for run in runs.flatten(0, 1)) / runs[..., 0].numel()


def distance(before: Tensor, after: Tensor) -> Tensor:
    """Half the sum of absolute differences of two shares, along the last dimension: 0 to 1.

    The part of the choices that must have moved to turn one spread into the other: never more
    than those that have, since what moves one way and back again does not show (see `moved`).
    """
    return (before - after).abs().sum(-1) / 2
