"""Batched sampling from any Hugging Face causal LM, several times faster than `generate`.

Three things make it fast. Keys and values (or the latents they are unfolded from) are written into
one buffer that is allocated once and never copied. Rows that have finished are dropped, so that a
batch does not wait for its longest completion. And a mixture of experts runs all its experts in two
matrix products, which for experts this small is quicker than sorting tokens by expert.

The model's own forward pass is used throughout: only its attention and its experts are swapped for
those of `kv_buffer`, and a model for which that is not the same is refused by name (`own_forward`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from course_lib.errors import COLDEST, real_number, whole_number
from course_lib.model.kv_buffer import KVBuffer
from course_lib.model.own_forward import (
    next_logits,
    refuse_nan,
    sampling,
    shared_beginning,
    way,
)
from course_lib.model.team import ALONE, Ours, Team

_ROOM = 1e9  # bytes of keys and values
_PROMPT = 64  # tokens that a prompt is taken to have, where room is reckoned
_DROP_BELOW = 0.85  # finished rows are dropped once fewer than this share of rows is running


@dataclass
class Rollout:
    """What `generate` returns: one row a completion, `samples` rows for each prompt in order.

    Shapes: `prompt_ids` (completions, prompt tokens), padded where `prompt_mask` is 0, behind the
    first `shared` tokens, which are the same in all; `ids` (completions, tokens), padded with an
    EOS after the first one; `finished` (completions,): whether an EOS came before `max_new_tokens`;
    `logp`, where it was kept, like `ids`: the log-probability that the sampler gave each token (at
    temperature 0, that at temperature 1), 0 after the first EOS.
    """

    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    ids: torch.Tensor
    finished: torch.Tensor
    lengths: torch.Tensor
    logp: torch.Tensor | None = None
    shared: int = 0

    def take(self, rows: torch.Tensor) -> "Rollout":
        """The rollout of some completions only, cut to the longest of them."""
        longest = int(self.lengths[rows].max()) if len(rows) else 0
        return Rollout(
            self.prompt_ids[rows],
            self.prompt_mask[rows],
            self.ids[rows, :longest],
            self.finished[rows],
            self.lengths[rows],
            None if self.logp is None else self.logp[rows, :longest],
            self.shared,
        )


def pad_left(
    prompts: Sequence[Sequence[int]],
    pad: int,
    device: torch.device | str = "cpu",
    shared: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts as ids (prompts, longest) and a 0/1 mask of the same shape, padded on the left.

    The first `shared` tokens, the same in all, stay where they are, in front of the padding.
    """
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        own = len(prompt) - shared
        ids[row, :shared] = torch.as_tensor(prompt[:shared], dtype=torch.long)
        ids[row, longest - own :] = torch.as_tensor(prompt[shared:])
        mask[row, :shared] = 1
        mask[row, longest - own :] = 1
    return ids.to(device), mask.to(device)


def rows_at_once(model: PreTrainedModel, tokens: int) -> int:
    """How many completions of so many new tokens fit into `_ROOM` bytes of keys and values."""
    config = model.config.get_text_config()
    default = config.hidden_size // config.num_attention_heads
    sizes = [getattr(config, name, None) or default for name in ("head_dim", "v_head_dim")]
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    token = config.num_hidden_layers * heads * sum(sizes) * model.dtype.itemsize
    return max(16, int(_ROOM // (token * (tokens + _PROMPT))))


def pick(
    logits: torch.Tensor,
    temperature: float,
    generator: torch.Generator | None = None,
    ours: Ours = slice(None),
    among: int = 0,
) -> torch.Tensor:
    """One token a row from logits (rows, vocabulary): the likeliest at 0, else sampled.

    Sampling inverts the cumulative distribution, which needs one random number a row. Rows that
    are `ours` among so many get the numbers that they would get if all were sampled here.
    """
    if temperature == 0:
        return logits.argmax(-1)
    cumulative = (logits.float() / temperature).softmax(-1).cumsum(-1)
    uniform = torch.rand(among or len(logits), 1, generator=generator).to(logits.device)[ours]
    below = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).squeeze(1)
    return below.clamp(max=logits.shape[1] - 1)


def check_asked(
    prompts: Sequence[Sequence[int]], samples: int, max_new_tokens: int, temperature: float
) -> None:
    """Raises ValueError for what nothing can be sampled from."""
    try:
        rows = [torch.as_tensor(prompt, dtype=torch.long) for prompt in prompts]
    except (TypeError, ValueError, RuntimeError):  # texts, or lists where ids should be
        rows = []
    sound = rows and all(row.ndim == 1 and len(row) for row in rows)
    numbers = {"samples": samples, "max_new_tokens": max_new_tokens}
    if not sound or any(whole_number(name, n, 0) < 1 for name, n in numbers.items()):
        raise ValueError(
            "Give prompts, each a list of at least one token's id (stream, decode and speculate "
            "take one), and samples and max_new_tokens of at least 1."
        )
    if real_number("temperature", temperature) != 0 and not COLDEST <= temperature < math.inf:
        raise ValueError(
            f"temperature is {temperature}; it is 0 (greedy) or a number from {COLDEST:g} on."
        )


def refuse_foreign(model: PreTrainedModel, ids: torch.Tensor) -> None:
    """Raises ValueError for a token that the model does not have."""
    known = model.config.get_text_config().vocab_size
    for token in (int(ids.min()), int(ids.max())):
        if not 0 <= token < known:
            raise ValueError(
                f"prompts or eos name token {token}, and this model has 0 to {known - 1}; is the "
                "tokenizer another model's?"
            )


def ends_of(eos: int | Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
    """The ids (any,) that end a completion, one that is a token first: it pads what has ended.

    Raises ValueError for none.
    """
    ends = torch.as_tensor([] if eos is None else eos, device=device).view(-1)
    if not len(ends):
        raise ValueError("eos is empty; give the id that ends a completion, or several (-1: none).")
    return torch.cat([ends[ends >= 0], ends[ends < 0]])


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos: int | Sequence[int],
    samples: int = 1,
    temperature: float = 1.0,
    banned: Sequence[int] = (),
    generator: torch.Generator | None = None,
    keep_logp: bool = False,
    team: Team = ALONE,
) -> Rollout:
    """Sample `samples` completions for each prompt (a list of token ids).

    `eos` is one id, or several of which any ends a completion. `temperature` 0 is greedy; `banned`
    tokens are never sampled; `generator` (on the CPU) makes a run repeatable; `keep_logp` keeps the
    tokens' log-probabilities, as they were when sampled. Each prompt goes through the model once,
    however many samples it gets, and what all prompts begin with once for all of them. The
    processes of a `team` share the completions, and each returns all of them.

    Raises CourseError for a model that cannot be sampled so, ValueError for what is out of range.
    """
    check_asked(prompts, samples, max_new_tokens, temperature)
    ends = ends_of(eos, model.device)
    batch = _Batch(model, prompts, (samples, max_new_tokens), ends, keep_logp)
    team = team.of(len(batch.ids))
    # Only in here, or no gradient could be had through what comes back.
    with torch.inference_mode(), sampling(model, way(model).experts):
        longest = batch.sample(temperature, banned, generator, team)
    ids = batch.ids[:, :longest]
    ended = torch.isin(ids, ends)
    lengths = torch.where(ended.any(1), ended.int().argmax(1) + 1, longest)
    logp = None if batch.logp is None else team.add(batch.logp)[:, :longest]
    asked = batch.prompt_ids[batch.rows], batch.prompt_mask[batch.rows]
    return Rollout(*asked, ids, ended.any(1), lengths, logp, batch.shared)


@torch.inference_mode()
def stream(
    model: PreTrainedModel,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    eos: int | Sequence[int],
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Yield the tokens of one completion as they are sampled, the EOS included.

    Between them the model is as it was, and may be used.
    """
    check_asked([prompt], 1, max_new_tokens, temperature)
    ends = ends_of(eos, model.device)
    ids, mask = pad_left([prompt], max(0, int(ends[0])), model.device)
    found = way(model)
    buffer = found.buffer(ids.shape[1] + max_new_tokens, model.device)
    with sampling(model, found.experts):
        logits = _prefill(model, ids, mask, buffer)
    for position in range(len(prompt), len(prompt) + max_new_tokens):
        token = pick(logits, temperature, generator)
        yield int(token)
        if bool(torch.isin(token, ends)):
            return
        with sampling(model, found.experts):
            logits = next_logits(model, token[:, None], mask.new_tensor([[position]]), buffer)


def _prefill(
    model: PreTrainedModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    buffer: KVBuffer,
    shared: int = 0,
) -> torch.Tensor:
    """Run the prompts and return the logits (prompts, vocabulary) for what comes next.

    Their first `shared` tokens are run in one row, whose keys and values then stand for all.
    """
    refuse_foreign(model, ids)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    if shared:
        next_logits(model, ids[:1, :shared], positions[:1, :shared], buffer)
        buffer.select(torch.zeros(len(ids), dtype=torch.long, device=ids.device))
    if not bool(mask.all()):
        room = mask.new_ones(len(mask), buffer.capacity - mask.shape[1])
        buffer.visible = torch.cat([mask, room], 1).bool()
    logits = next_logits(model, ids[:, shared:], positions[:, shared:], buffer)
    refuse_nan(model, logits)
    return logits


class _Batch:
    """What is sampled together: `rows` (completions,) says whose prompt each has.

    `ids` (completions, tokens), which holds ends, and `logp`, where it is kept, are filled in.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        shape: tuple[int, int],  # samples of each prompt, tokens
        ends: torch.Tensor,
        keep_logp: bool,
    ) -> None:
        self.model, self.ends = model, ends
        end, device, (samples, tokens) = int(ends[0]), model.device, shape
        self.shared = shared_beginning(prompts)
        asked = pad_left(prompts, max(0, end), device, self.shared)
        self.prompt_ids, self.prompt_mask = asked
        self.rows = torch.arange(len(prompts), device=device).repeat_interleave(samples)
        self.ids = self.rows.new_full((len(self.rows), tokens), end)
        self.logp = torch.zeros(self.ids.shape, device=device) if keep_logp else None

    def sample(
        self,
        temperature: float,
        banned: Sequence[int],
        generator: torch.Generator | None,
        team: Team,
    ) -> int:
        """The token loop: pick, append, drop what has finished; returns how many were needed."""
        most = self.ids.shape[1]
        rows = torch.arange(len(self.ids), device=self.ids.device)  # of `ids`, still sampled
        ours = team.ours(rows)  # by this process; the others' tokens are heard of
        asked, prompt = self.rows[ours].unique(return_inverse=True)
        buffer = way(self.model).buffer(self.prompt_ids.shape[1] + most, self.model.device)
        given = self.prompt_ids[asked], self.prompt_mask[asked]
        logits = _prefill(self.model, *given, buffer, self.shared)
        buffer.select(prompt)
        logits = logits[prompt]
        positions = self.prompt_mask.sum(1)[self.rows]
        running = torch.ones_like(rows, dtype=torch.bool)
        for step in range(most):
            logits[:, list(banned)] = -torch.inf
            picked = pick(logits, temperature, generator, ours, len(rows))
            token = torch.where(running, team.whole(picked, ours, len(rows)), self.ends[0])
            self.ids[rows, step] = token
            if self.logp is not None:
                scores = (logits.float() / (temperature or 1.0)).log_softmax(-1)
                chosen = scores.gather(1, token[ours, None]).squeeze(1)
                self.logp[rows[ours], step] = chosen * running[ours]
            running = running & ~torch.isin(token, self.ends)
            if step + 1 == most or not running.any():
                break
            if running.float().mean() < _DROP_BELOW:
                buffer.select(running[ours].nonzero().squeeze(1))
                rows, positions, token = rows[running], positions[running], token[running]
                running, ours = running[running], team.ours(rows)
            new, at = token[ours, None], positions[ours, None]
            logits = next_logits(self.model, new, at, buffer) if len(new) else logits[:0]
            positions = positions + 1
        return step + 1
