"""Where a model goes on a machine, what of it fits, and how fast it can be then.

llama.cpp deals a model out by layers, in order, over the cards by their free memory, and the output
matrix last; each layer takes its part of the cache along. The table of token embeddings stays with
the processor. What does not fit on the cards stays with it too (`-ngl` says how many layers go).
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from course_lib.errors import real_number
from course_lib.local import memory
from course_lib.local.hardware import Machine
from course_lib.local.weights import stored_bytes, weight_tensors
from course_lib.model.accounting import Config

TYPICAL = 0.65
"""The share of a machine's bandwidth that is used: the middle of what published speeds reach."""


@dataclass
class Share:
    """What one place holds, in bytes, beside what is free there; `touched` is read for a token."""

    place: str
    free: int
    bandwidth: float
    weights: int = 0
    touched: float = 0
    cache: int = 0
    buffers: int = 0

    @property
    def needed(self) -> int:
        return self.weights + self.cache + self.buffers

    @property
    def fits(self) -> bool:
        return self.needed <= self.free or not self.weights + self.cache


@dataclass(frozen=True)
class Plan:
    """How a model is spread: `layers` of `of` on the cards (all, where there is one memory)."""

    machine: Machine
    context: int
    layers: int
    of: int
    shares: tuple[Share, ...]

    @property
    def fits(self) -> bool:
        """Whether everything finds its place, be it in part with the processor."""
        return all(share.fits for share in self.shares)

    @property
    def whole(self) -> bool:
        """Whether it fits with every layer where it is fast."""
        return self.fits and self.layers == self.of

    @property
    def missing(self) -> int:
        """Bytes that find no place; 0 where everything does."""
        return sum(max(0, one.needed - one.free) for one in self.shares if not one.fits)

    def seconds(self, tokens: int, share_of_bandwidth: float = TYPICAL) -> float:
        """Seconds to write `tokens` from an empty context, each after reading all it needs once."""
        values = [
            (one.touched + one.cache * tokens / 2 / max(self.context, 1)) / one.bandwidth
            for one in self.shares
        ]
        return tokens * sum(values) / real_number("share_of_bandwidth", share_of_bandwidth)

    def speed(self, share_of_bandwidth: float = TYPICAL) -> float:
        """Tokens a second at half of the context; of an empty one, at its first token."""
        tokens = max(1, self.context)
        return tokens / self.seconds(tokens, share_of_bandwidth)


def plan(
    config: Config,
    quantisation: str,
    context: int,
    machine: Machine,
    *,
    cache_type: str = "f16",
    slots: int = 1,
    flash: bool = True,
    compressed: bool = True,
    whole_only: bool = False,
) -> Plan:
    """Place as many layers on the machine's cards as fit there, for `slots` contexts of `context`.

    With `whole_only` all of them go there, fit or not, and so they do where no share of them fits.
    `flash` is flash attention, which engines use where the machine can; `compressed` is R1's cache
    as latents. Raises ValueError for an unknown quantisation or type of cache, for less than one
    slot, and for a context below 0.
    """
    per_value = memory.CACHE_TYPES.get(cache_type.lower())
    if per_value is None or slots < 1:
        raise ValueError(
            f"the cache is {cache_type!r} in {slots} slots; allowed are "
            f"{', '.join(memory.CACHE_TYPES)} and one slot or more."
        )
    if str(quantisation).lower() not in memory.QUANTISATIONS:
        memory.weights_bytes(config, quantisation)  # says what is allowed
    tokens = slots * memory.cells(context)
    cache = memory.kv_cache_bytes(config, tokens, bytes_per_value=per_value, compressed=compressed)
    table, items = _items(json.dumps(dict(config), default=str), quantisation.lower())
    copies = 4 if len(machine.cards) > 1 else 1
    buffers = memory.compute_bytes(config, tokens, flash=flash, copies=copies)
    layers = len(items) if machine.cards else 0
    per_layer = cache // config["num_hidden_layers"]
    shares = _deal(machine, table, items, layers, per_layer, buffers)
    enough = sum(one.free for one in shares) >= sum(one.needed for one in shares)
    while enough and layers and not whole_only and not all(share.fits for share in shares):
        layers -= 1
        shares = _deal(machine, table, items, layers, per_layer, buffers)
    return Plan(machine, context, layers if machine.cards else len(items), len(items), shares)


class _Item(NamedTuple):
    """A layer, or the output matrix: bytes of weights, and of these read for a token."""

    weights: int
    touched: float


@lru_cache(maxsize=256)
def _items(written: str, quantisation: str) -> tuple[int, list[_Item]]:
    """The embedding's bytes, and the layers and the output in their order.

    `written` is a config as JSON, which can be looked up whatever lists and objects are in it.
    """
    config: Config = json.loads(written)
    layers = config["num_hidden_layers"]
    sizes, touched = [0] * (layers + 1), [0.0] * (layers + 1)
    table = 0
    for weight in weight_tensors(config):
        size = stored_bytes(weight, config, quantisation)
        if weight.name == "token_embd":
            table = size
            if not config.get("tie_word_embeddings", False):
                continue  # else its copy is the output matrix
        at = layers if weight.name in ("token_embd", "output", "output_norm") else weight.layer
        sizes[at] += size
        # of routed experts a token goes through the chosen ones alone
        chosen = config["num_experts_per_tok"] / weight.copies if weight.copies > 1 else 1.0
        touched[at] += size * chosen
    return table, [_Item(*one) for one in zip(sizes, touched, strict=True)]


def _deal(
    machine: Machine, table: int, items: list[_Item], layers: int, cache: int, buffers: int
) -> tuple[Share, ...]:
    """The shares of every place, with the last `layers` of the items on the cards."""
    processor, *cards = _places(machine)
    processor.weights += table
    lent = sum(one.free for one in cards) or 1  # cards may lend nothing
    ends = [end / lent for end in accumulate(one.free for one in cards)]
    first = len(items) - layers
    for number, item in enumerate(items):
        at = processor
        if number >= first:
            at = cards[min(bisect_right(ends, (number - first) / layers), len(cards) - 1)]
        at.weights += item.weights
        at.touched += item.touched
        at.cache += cache if number < len(items) - 1 else 0
    processor.buffers = buffers if layers < len(items) else 0
    for card in cards:
        card.buffers = machine.context_bytes + (buffers if card.weights else 0)
    return (processor, *cards)


def _places(machine: Machine) -> Iterator[Share]:
    """The processor's memory, then each card."""
    yield Share("processor", machine.host_free, machine.host_bandwidth)
    for number, card in enumerate(machine.cards):
        name = f"card {number + 1}" if len(machine.cards) > 1 else machine.kind
        yield Share(name, max(0, card - machine.reserve), machine.bandwidth)


def longest_context(
    config: Config, quantisation: str, machine: Machine, *, cache_type: str = "f16", slots: int = 1
) -> int:
    """Tokens, in steps of 256, that fit with every layer where it is fast; 0 if none do."""
    limit = config.get("max_position_embeddings") or 1 << 17

    def too_long(context: int) -> bool:
        made = plan(config, quantisation, context, machine, cache_type=cache_type, slots=slots)
        return not made.whole

    return 256 * bisect_left(range(256, limit + 1, 256), True, key=too_long)
