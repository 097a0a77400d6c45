"""A model's own logits, whatever its architecture: what sampling and training agree on.

Architectures differ in what lies between the last hidden state and the logits (Gemma caps them,
Granite and Cohere scale them) and in what their attention asks for. Nothing of that is written
here again. Each model is tried once, on a few tokens, against its own plain forward pass: where the
fast way gives the same it is taken, and where nothing does the model is refused by name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import DynamicCache, PreTrainedModel

from course_lib.errors import CourseError
from course_lib.model.kv_buffer import KVBuffer
from course_lib.model.latent_buffer import LatentBuffer, serves

_TRIED = 12  # tokens of the trial: longer than the windows of small test models
_CLOSE = {torch.float64: 1e-5, torch.float32: 1e-3}  # total variation; half precision: 0.05


_WORTH = 8  # tokens that prompts must share before it pays to read them apart
_SAVED = 64  # tokens that must be saved before it pays in training, where that goes back as well

_HEADS = ("final_logit_softcapping", "logits_scaling", "logit_scale", "lm_head_multiplier")
"""Settings by which an architecture's head is more than a matrix. While a model's logits are small,
a trial does not show a cap, so they are asked for by name as well."""


@dataclass(frozen=True)
class Way:
    """How a model is run: its buffer and experts for sampling, if hidden states go through
    `lm_head`, and if a text may be read in pieces, with transformers' cache between them."""

    buffer: type[KVBuffer]
    experts: str | None
    plain_head: bool
    pieces: bool


_ways: WeakKeyDictionary[PreTrainedModel, tuple[object, Way]] = WeakKeyDictionary()


def way(model: PreTrainedModel) -> Way:
    """How `model` is run, found out at the first call. Raises CourseError, by name, for none."""
    kind = model.dtype, model.device  # a model may be put into another precision
    if model not in _ways or _ways[model][0] != kind:
        _ways[model] = kind, _find_way(model)
    return _ways[model][1]


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """The model in evaluation mode; afterwards each of its modules is as it was."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def sampling(model: PreTrainedModel, experts: str | None = None) -> Iterator[None]:
    """The model in evaluation mode, with the attention of `kv_buffer` and those experts.

    Both are as they were at the end of the block, which may stand in another one.
    """
    config: Any = model.config
    before = config._attn_implementation, getattr(config, "_experts_implementation", None)
    try:
        _choose(config, "kv_buffer", experts or before[1])
        with nullcontext() if before[0] == "kv_buffer" else _evaluating(model):
            yield
    finally:
        _choose(config, *before)


def _choose(config: Any, attention: str, experts: str | None) -> None:
    """Set what differs: setting is slow, and a streamed token does it twice."""
    if config._attn_implementation != attention:
        config._attn_implementation = attention
    if getattr(config, "_experts_implementation", None) != experts:
        config._experts_implementation = experts


def next_logits(
    model: PreTrainedModel, ids: torch.Tensor, positions: torch.Tensor, buffer: KVBuffer
) -> torch.Tensor:
    """Put `ids` (rows, tokens) behind what is in the buffer; the logits (rows, vocabulary) of the
    last of them, by the model's own forward pass. Both stand within `sampling`."""
    out = model(
        input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=1, **buffer.inputs()
    )
    buffer.filled += ids.shape[1]
    return out.logits[:, -1]


def kept_logits(
    model: Any,
    ids: torch.Tensor,
    keep: torch.Tensor,
    *,
    begun: Sequence[int] = (),
    **inputs: torch.Tensor,
) -> torch.Tensor:
    """The logits (kept, vocabulary) at the positions of `ids` (rows, tokens) where `keep` is true.

    Only those go through the output layer where that is all that the model's head is. `begun` are
    numbers of tokens, ascending, behind which rows may part ways: what some have alike up to there
    is read once for all of them (with one draw of dropout, where a model has it), and nothing of it
    may be kept. Logits in half precision come back as float32, for the sums that are made of them.
    Raises ValueError where something is kept before the last of `begun`.
    """
    if begun and bool(keep[:, : begun[-1]].any()):
        raise ValueError("keep is true before the last of begun; logits are kept behind it alone.")
    found = way(model)
    # Gradient checkpointing drops the cache that lies between pieces.
    whole = not found.pieces or model.is_activation_checkpointing
    ends = [] if whole else _worth(ids, begun)
    if not found.plain_head:
        logits = model(input_ids=ids, use_cache=False, **inputs).logits[keep]
    elif ends:
        logits = model.lm_head(_in_pieces(model, ids, ends, inputs)[keep[:, ends[-1] :]])
    else:
        logits = model.lm_head(model.model(ids, use_cache=False, **inputs)[0][keep])
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _worth(ids: torch.Tensor, begun: Sequence[int]) -> list[int]:
    """Those of the places `begun` up to which enough is alike to be read apart."""
    ends = [0]
    for end in filter(None, begun):
        again = len(ids) - len(ids[:, :end].unique(dim=0))  # rows that begin like another
        if again * (end - ends[-1]) >= _SAVED:
            ends.append(end)
    return ends[1:]


def _in_pieces(
    model: Any, ids: torch.Tensor, ends: Sequence[int], inputs: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Hidden states (rows, tokens behind the last of `ends`, width): a beginning is read once.

    Its keys and values are spread over the rows that have it, and the gradient of all of them comes
    back by these. Of the `inputs`, a mask is for all tokens so far and positions for the new ones.
    """
    cache = DynamicCache(config=model.config)
    told = torch.stack([ids, *inputs.values()], 2)  # the same token may be padding elsewhere
    held = torch.zeros_like(ids[:, 0])  # which row of the cache each row goes on from

    def read(new: torch.Tensor, start: int) -> torch.Tensor:
        given = dict(zip(inputs, new.unbind(2)[1:], strict=True))
        if "position_ids" in given:
            given["position_ids"] = given["position_ids"][:, start:]
        return model.model(new[:, start:, 0], past_key_values=cache, use_cache=True, **given)[0]

    for start, end in pairwise([0, *ends]):
        alike, number = told[:, :end].unique(dim=0, return_inverse=True)
        if start:
            cache.batch_select_indices(held.new_empty(len(alike)).scatter(0, number, held))
        read(alike, start)
        held = number
    cache.batch_select_indices(held)
    return read(told, ends[-1])


def shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """With how many tokens all prompts begin alike, their last ones left out; 0 for a few only."""
    if len(prompts) < 2:
        return 0
    ordered = sorted(map(list, prompts))  # as in a dictionary: the ends are those most unlike
    first, last = ordered[0], ordered[-1]
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    alike = min(sum(1 for _ in pairs), min(map(len, prompts)) - 1)
    return alike if alike >= _WORTH else 0


@torch.no_grad()
def _find_way(model: PreTrainedModel) -> Way:
    vocabulary = model.config.get_text_config().vocab_size
    ids = (torch.arange(_TRIED, device=model.device) * 7 + 3) % vocabulary
    with _evaluating(model):
        plain = _own_logits(model, ids)
        head = _is_plain(model, ids[None], plain)
        pieces = head and _goes_on(model, ids, plain)
    bound = _CLOSE.get(plain.dtype, 0.05)
    reason = "it gives other probabilities there than its own forward pass"
    latent: list[tuple[type[KVBuffer], str | None]] = [(LatentBuffer, "dense")]
    for buffer, experts in (latent * serves(model)) + [(KVBuffer, "dense"), (KVBuffer, None)]:
        try:
            if _distance(_sampled(model, ids[None], buffer, experts), plain[-1]) < bound:
                return Way(buffer, experts, head, pieces)
        except CourseError as error:
            reason = str(error)
        except Exception as error:  # whatever another library raises for what it does not know
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
    raise CourseError(
        f"{type(model).__name__} ({model.config.model_type}) cannot be sampled here: {reason}. "
        "Use a decoder such as Llama, Qwen, Gemma, Mistral or DeepSeek, or its own `generate`."
    )


def _own_logits(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """What a model says of `ids` (tokens,) left to itself: the logits (tokens, vocabulary)."""
    try:
        logits = model(input_ids=ids[None], use_cache=False).logits[0]
    except torch.OutOfMemoryError:  # another precision is no cure for that
        raise
    except RuntimeError as error:
        reason = str(error).strip().split("\n")[0][:120]
        raise CourseError(
            f"{type(model).__name__} in {model.dtype} fails in its own forward pass ({reason}). "
            "Try it in float32, `model.float()`: some of torch's products know no other precision "
            "but that and the half ones."
        ) from error
    refuse_nan(model, logits)
    return logits


def refuse_nan(model: PreTrainedModel, logits: torch.Tensor) -> None:
    """Raises CourseError for logits that are no numbers: tokens would be drawn from them too."""
    if bool(logits.isnan().any()):
        raise CourseError(
            f"The logits of this {type(model).__name__} are NaN: its training went astray (load an "
            "earlier checkpoint), or half precision is too narrow for it (`model.float()`)."
        )


def _sampled(
    model: PreTrainedModel, ids: torch.Tensor, kind: type[KVBuffer], experts: str | None
) -> torch.Tensor:
    """The last logits when all tokens but three go in at once and the rest one by one.

    Raises CourseError where a layer has attention that the buffer does not serve.
    """
    buffer = kind(_TRIED, model.device)
    positions = torch.arange(_TRIED, device=model.device)[None]
    first = _TRIED - 3
    with sampling(model, experts):
        logits = next_logits(model, ids[:, :first], positions[:, :first], buffer)
        for at in range(first, _TRIED):
            one = slice(at, at + 1)
            logits = next_logits(model, ids[:, one], positions[:, one], buffer)
    _require_every_layer(model.config.get_text_config(), buffer)
    return logits[0]


def _require_every_layer(config: Any, buffer: KVBuffer) -> None:
    """Every layer wrote its keys, and those with a window said so: a few tokens cannot show it."""
    count = config.num_hidden_layers
    kinds = getattr(config, "layer_types", None) or []
    strange = set(kinds) - {"full_attention", "sliding_attention"}
    if strange:
        raise CourseError(f"it has layers of the kind {', '.join(sorted(strange))}")
    if len(buffer.windows) != count:
        found = len(buffer.windows)
        raise CourseError(f"{found} layers use transformers' attention, where {count} are declared")
    sliding = [i for i, kind in enumerate(kinds) if kind == "sliding_attention"]
    if not kinds and getattr(config, "sliding_window", None):
        sliding = list(range(count)) if getattr(config, "use_sliding_window", True) else []
    if any(buffer.windows[i] is None for i in sliding):
        raise CourseError("it has a sliding window that its attention is not told of")


def _is_plain(model: Any, ids: torch.Tensor, logits: torch.Tensor) -> bool:
    if not (hasattr(model, "model") and hasattr(model, "lm_head")):
        return False
    config = model.config.get_text_config()
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in _HEADS):
        return False
    try:
        ours = model.lm_head(model.model(ids, use_cache=False)[0])[0]
    except Exception:  # the parts have other meanings there
        return False
    return _alike(ours, logits)


def _goes_on(model: Any, ids: torch.Tensor, logits: torch.Tensor) -> bool:
    """Two texts that part ways late, read in three pieces: whether the first is as by itself."""
    texts = torch.stack([ids, ids])
    texts[1, -1] = ids[0]
    try:
        ours = model.lm_head(_in_pieces(model, texts, (5, len(ids) - 3), {}))[0]
    except Exception:  # it has no such cache
        return False
    return _alike(ours, logits[-3:])


def _alike(ours: torch.Tensor, logits: torch.Tensor) -> bool:
    return ours.shape == logits.shape and torch.allclose(
        ours.float(), logits.float(), atol=1e-3 * float(logits.abs().max())
    )


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest total variation between two sets of next-token distributions."""
    apart = (a.double().softmax(-1) - b.double().softmax(-1)).abs().sum(-1) / 2
    return float(apart.max()) if bool(torch.isfinite(apart).all()) else float("inf")
