"""Multi-token prediction: a head that guesses the token after next, and decoding with its guesses.

After the DeepSeek-V3 report (arXiv 2412.19437, section 2.2): the head joins a token's last hidden
state with the embedding of the token that follows, and sends both through one more layer of the
model's kind; embedding and output layer are the model's own. The head itself is transformers'
`MtpModel`. V3 trains it together with the model; here the model is finished and stays as it is.

Decoding is speculative (Leviathan et al., arXiv 2211.17192): the model checks a guess and the token
after it in one pass. Greedy, the text is the model's own to the token; sampled, it has the model's
own distribution, whatever the head guesses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_layers import MtpModel

from course_lib.errors import CourseError, real_number
from course_lib.model.latent_attention import LatentWeights, weights_of
from course_lib.model.latent_decode import Decoder, block
from course_lib.model.logprobs import token_logprobs
from course_lib.model.own_forward import sampling
from course_lib.model.rollout import Rollout, check_asked, ends_of, pick


def make_head(model: Any) -> Any:
    """A head for the token after next, before training; it shares the model's embedding and output.

    Its layer starts as a copy of the model's last one, and the join lets both parts through: from
    random weights it would take a hundred times as many texts. Raises CourseError as `Decoder`,
    and for a last layer without experts.
    """
    Decoder(model)  # refuses what it cannot run
    if not hasattr(model.model.layers[-1].mlp, "experts"):
        raise CourseError(
            "The head is a layer with experts, and this model's last one has none; take a model "
            "whose last layer has experts."
        )
    with torch.random.fork_rng(devices=[]):  # what is drawn is overwritten
        head: Any = MtpModel(model, 1)
    layer, width = head.layers[0], model.config.hidden_size
    layer.mtp_block.load_state_dict(model.model.layers[-1].state_dict())
    layer.post_norm.load_state_dict(model.model.norm.state_dict())
    with torch.no_grad():
        layer.eh_proj.weight.copy_(torch.eye(width).repeat(1, 2))
    head.layers.requires_grad_(False)  # the rest is the model's
    return head


def own_parameters(head: Any) -> list[torch.nn.Parameter]:
    """What of the head is not the model's."""
    return list(head.layers.parameters())


@torch.no_grad()
def states(model: Any, sampled: Rollout, rows: int = 128) -> Tensor:
    """The model's last hidden states (completions, tokens, d), normed, of prompts and completions.

    Prompts are of one length, so that nothing is padded on the left; ValueError where they are not.
    """
    if not bool(sampled.prompt_mask.all()):
        raise ValueError("the prompts are of different lengths; give those of one length only.")
    ids = torch.cat([sampled.prompt_ids, sampled.ids], 1)
    with sampling(model, "dense"):
        model.config._attn_implementation = "sdpa"
        return torch.cat([model.model(part, use_cache=False)[0] for part in ids.split(rows)])


def loss(model: Any, head: Any, sampled: Rollout, hidden: Tensor) -> Tensor:
    """Mean cross-entropy of the token after next, over the completions' tokens.

    Each place t of a completion is guessed from `states` at t - 2 and the token at t - 1.
    """
    ids = torch.cat([sampled.prompt_ids, sampled.ids], 1)
    hidden = hidden[:, : ids.shape[1]]
    positions = torch.arange(1, ids.shape[1] - 1)[None].expand(len(ids), -1)
    out = head.forward_layer(0, hidden[:, :-2], positions, None, input_ids=ids[:, 1:-1])
    places = torch.arange(ids.shape[1])[None] - sampled.prompt_ids.shape[1]
    learnt = ((places >= 0) & (places < sampled.lengths[:, None]))[:, 2:]
    return -token_logprobs(model.lm_head(out[learnt]), ids[:, 2:][learnt]).mean()


def train(
    model: Any, sampled: Rollout, *, steps: int, rows: int = 48, rate: float = 2e-3, seed: int = 0
) -> tuple[Any, list[float]]:
    """Train a head on texts that the model has written; the head, and the loss of each step.

    The model stays as it is. A batch holds completions of like length. The rate rises over 20
    steps and falls to 0 over the second half. Raises ValueError for fewer than one step or row.
    """
    if steps < 1 or rows < 1:
        raise ValueError(f"steps is {steps} and rows {rows}; train for at least 1 step of 1 row.")
    head, known = make_head(model), states(model, sampled)
    own = [p.requires_grad_() for p in own_parameters(head)]
    optimizer = torch.optim.AdamW(own, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
    batches = sampled.lengths.argsort().split(rows)
    generator = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(batches), generator=generator) for _ in range(steps)])
    losses = []
    for step, batch in enumerate(order[:steps].tolist()):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 20, 2 * (1 - step / steps))
        part = batches[batch]
        found = loss(model, head, sampled.take(part), known[part])
        optimizer.zero_grad()
        found.backward(inputs=own)
        optimizer.step()
        losses.append(float(found.detach()))
    return head, losses


def guess(
    model: Any,
    head: Any,
    hidden: Tensor,
    ids: Tensor,
    cache: Tensor | None = None,
    weights: LatentWeights | None = None,
) -> tuple[Tensor, Tensor]:
    """The head written out: hidden states (tokens, d) and the tokens that follow them, (tokens,),
    to the last hidden states for the tokens after those, (tokens, d), and the new cache.
    """
    layer = head.layers[0]
    joined = torch.cat([layer.enorm(model.model.embed_tokens(ids)), layer.hnorm(hidden)], -1)
    weights = weights or weights_of(layer.mtp_block.self_attn)
    x, cache = block(layer.mtp_block, layer.eh_proj(joined), weights, cache, "absorbed")
    return layer.post_norm(x), cache


@dataclass
class Speculative:
    """A completion, and how it came about: guesses made, guesses kept, passes over the model."""

    ids: list[int] = field(default_factory=list)
    guessed: int = 0
    kept: int = 0
    passes: int = 0


@torch.no_grad()
def speculate(
    model: Any,
    head: Any,
    prompt: Sequence[int],
    *,
    eos: int | Sequence[int],
    max_new_tokens: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Speculative:
    """One completion with the head's guesses; at `temperature` 0 it is greedy.

    Each pass reads the newest token and one guess. A kept guess brings two tokens for one pass.
    `eos` is one id, or several of which any ends it. Raises ValueError for what is out of range.
    """
    check_asked([prompt], 1, max_new_tokens, temperature)
    with sampling(model, "dense"):
        return _speculate(
            model, head, prompt, ends_of(eos).tolist(), max_new_tokens, temperature, generator
        )


def _speculate(
    model: Any,
    head: Any,
    prompt: Sequence[int],
    ends: Sequence[int],
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator | None,
) -> Speculative:
    decoder, said, cache = Decoder(model), Speculative(), None
    weights = weights_of(head.layers[0].mtp_block.self_attn)
    # 1 The first token is the model's own.
    hidden, follow = decoder.begin(prompt), list(prompt[1:])
    token, seen = int(pick(model.lm_head(hidden[-1:]), temperature, generator)), len(prompt)
    said.ids, said.passes = [token], 1
    while token not in ends and len(said.ids) < max_new_tokens:
        # 2 Guess the token after it, from the states whose next tokens are known by now.
        known = torch.tensor([*follow, token])
        after, cache = guess(model, head, hidden, known, cache, weights)
        q = chances(model.lm_head(after[-1:]), temperature)[0]
        drafted = draw(q, generator)
        # 3 One pass over both: what the model itself would say after each.
        hidden = decoder.run([token, drafted])
        kept, token = check(chances(model.lm_head(hidden), temperature), q, drafted, generator)
        # 4 Keep what is true: two tokens, or one and a cache without the guess.
        new = [drafted, token] if kept else [token]
        new = new[:1] if kept and drafted in ends else new
        said.ids += new
        said.guessed, said.kept, said.passes = said.guessed + 1, said.kept + kept, said.passes + 1
        seen += 1 + kept
        decoder.keep(seen)
        hidden, follow, token = hidden[: 1 + kept], [drafted] if kept else [], new[-1]
    said.ids = said.ids[:max_new_tokens]
    return said


def chances(logits: Tensor, temperature: float) -> Tensor:
    """Probabilities (rows, vocabulary); at temperature 0 all of it is on the likeliest token."""
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).double()
    return (logits.double() / real_number("temperature", temperature)).softmax(-1)


def draw(p: Tensor, generator: torch.Generator | None) -> int:
    """A token from probabilities (vocabulary,)."""
    return int(torch.multinomial(p, 1, generator=generator))


def check(
    p: Tensor, q: Tensor, drafted: int, generator: torch.Generator | None = None
) -> tuple[bool, int]:
    """Whether a guess is kept, and the token that comes then: after it, or in its place.

    `p` (2, vocabulary) is the model's, at the guess and after it, `q` (vocabulary,) what the guess
    was drawn from. A guess is kept with probability p / q, at most 1; where it is not, the token is
    drawn from what p has more than q. Together that is p, exactly.
    """
    if torch.rand((), generator=generator) * q[drafted] < p[0, drafted]:
        return True, draw(p[1], generator)
    more = (p[0] - q).clamp(min=0)
    return False, draw(more / more.sum(), generator)
