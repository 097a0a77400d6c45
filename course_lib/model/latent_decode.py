"""One text, token by token, with three kinds of cache: latent, absorbed or expanded.

The forward pass of a DeepSeek-V3 written out over `latent_attention`: what is kept of a token is
its latent, or (`expanded`) every head's key and value. All three give the same numbers; they differ
in bytes kept and in work for each new token. The model's own norms, experts and head are used.
"""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.model.latent_attention import (
    THETA,
    LatentWeights,
    latent_attention,
    normed,
    rotate,
)
from course_lib.model.latent_attention import weights_of as latent_weights
from course_lib.model.own_forward import refuse_nan, sampling
from course_lib.model.rollout import check_asked, ends_of, pick, refuse_foreign

Kind = Literal["latent", "absorbed", "expanded"]
KINDS: tuple[Kind, ...] = ("expanded", "latent", "absorbed")


def expanded_attention(
    x: Tensor, w: LatentWeights, heads: int, cache: Tensor | None = None, theta: float = THETA
) -> tuple[Tensor, Tensor]:
    """`latent_attention` with every head's keys and values kept instead of the latent.

    The cache is (heads, all tokens, plain + rotary + value).
    """
    latent, value = len(w.norm), w.out.shape[1] // heads
    start, rotary = 0 if cache is None else cache.shape[1], len(w.down) - latent
    narrow = x
    if w.query_down is not None and w.query_norm is not None:
        narrow = normed(F.linear(x, w.query_down), w.query_norm)
    query = F.linear(narrow, w.query).unflatten(-1, (heads, -1)).transpose(0, 1)
    query = torch.cat([query[..., :-rotary], rotate(query[..., -rotary:], start, theta)], -1)
    kept = F.linear(x, w.down)
    unfolded = F.linear(normed(kept[:, :latent], w.norm), w.up).unflatten(-1, (heads, -1))
    plain, values = unfolded.transpose(0, 1).tensor_split([-value], dim=-1)
    turned = rotate(kept[:, latent:], start, theta).expand(heads, -1, -1)
    new = torch.cat([plain, turned, values], -1)
    cache = new if cache is None else torch.cat([cache, new], 1)
    keys, values = cache.tensor_split([-value], dim=-1)
    scores = query @ keys.mT / math.sqrt(query.shape[-1])
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(start + 1)
    mixed = scores.masked_fill(future, -math.inf).softmax(-1) @ values
    return F.linear(mixed.transpose(0, 1).flatten(1), w.out), cache


def block(
    layer: Any, x: Tensor, w: LatentWeights, cache: Tensor | None, kind: Kind
) -> tuple[Tensor, Tensor]:
    """One decoder layer on `x`, (new tokens, d): the same shape, and the new cache."""
    heads, before = layer.self_attn.num_heads, layer.input_layernorm(x)
    if kind == "expanded":
        seen, cache = expanded_attention(before, w, heads, cache)
    else:
        seen, cache = latent_attention(before, w, heads, cache, absorbed=kind == "absorbed")
    x = x + seen
    return x + layer.mlp(layer.post_attention_layernorm(x)[None])[0], cache


class Decoder:
    """A model with what it keeps of one text.

    Raises CourseError for another architecture, and for attention that is not plain (see
    `latent_attention.weights_of`), as R1's own with its stretched positions. Raises ValueError for
    another kind of cache.
    """

    def __init__(self, model: Any, kind: Kind = "absorbed") -> None:
        if getattr(model.config, "model_type", "") != "deepseek_v3":
            raise CourseError(
                f"This decoder is for DeepSeek-V3's attention, not {type(model).__name__}'s; use "
                "`rollout.generate` for other models."
            )
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; allowed are {', '.join(map(repr, KINDS))}.")
        self.model, self.kind = model, kind
        self.layers = list(model.model.layers)
        self.weights = [latent_weights(layer.self_attn) for layer in self.layers]
        self.caches: list[Tensor | None] = [None] * len(self.layers)

    @torch.no_grad()
    def run(self, ids: Sequence[int]) -> Tensor:
        """Read some more tokens: their last hidden states (tokens, d), normed, for the head."""
        x = self.model.model.embed_tokens(torch.as_tensor(ids))
        for i, layer in enumerate(self.layers):
            x, self.caches[i] = block(layer, x, self.weights[i], self.caches[i], self.kind)
        return self.model.model.norm(x)

    def begin(self, prompt: Sequence[int]) -> Tensor:
        """`run` for a text's beginning. Raises ValueError for a token that the model does not have,
        CourseError for weights that are NaN."""
        refuse_foreign(self.model, torch.as_tensor(prompt))
        hidden = self.run(prompt)
        refuse_nan(self.model, hidden)
        return hidden

    def keep(self, tokens: int) -> None:
        """Forget all but the first `tokens` tokens."""
        self.caches = [None if c is None else c[..., :tokens, :] for c in self.caches]

    def nbytes(self) -> int:
        """What is kept, in bytes."""
        return sum(c.numel() * c.element_size() for c in self.caches if c is not None)


@torch.no_grad()
def decode(
    model: Any,
    prompt: Sequence[int],
    *,
    eos: int | Sequence[int],
    max_new_tokens: int,
    kind: Kind = "absorbed",
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """The tokens of one completion, the EOS included; `temperature` 0 is greedy.

    `eos` is one id, or several of which any ends it. Raises ValueError for what is out of range.
    """
    check_asked([prompt], 1, max_new_tokens, temperature)
    ends = ends_of(eos).tolist()
    decoder, new = Decoder(model, kind), list(prompt)
    for i in range(max_new_tokens):
        with sampling(model, "dense"):  # between the tokens the model is as it was
            hidden = decoder.run(new) if i else decoder.begin(new)
            logits = model.lm_head(hidden[-1:])
        new = [int(pick(logits, temperature, generator))]
        yield new[0]
        if new[0] in ends:
            return


def cost(model: nn.Module, kind: Kind, context: int, steps: int = 16) -> dict[str, float]:
    """What a cache of `context` tokens holds, and the processor's time for one token more.

    Returns `bytes` for each token and `seconds`, the mean over `steps` further tokens. Raises
    ValueError where there is no token.
    """
    if context < 1 or steps < 1:
        raise ValueError(f"context is {context} and steps {steps}; give at least 1 of each.")
    decoder = Decoder(model, kind)
    vocabulary = decoder.model.config.vocab_size
    ids = torch.randint(vocabulary, (context + steps,), generator=torch.Generator().manual_seed(0))
    with sampling(decoder.model, "dense"):
        for chunk in ids[:context].split(512):
            decoder.run(chunk.tolist())
        kept, start = decoder.nbytes(), time.process_time()
        for token in ids[context:].tolist():
            decoder.run([token])
    return {"bytes": kept / context, "seconds": (time.process_time() - start) / steps}
