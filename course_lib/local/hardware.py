"""The machines of the lesson: this one, measured, and those that people have, from the ledger.

Memory is in bytes; makers' "24 GB" of a graphics card are GiB. Bandwidth is bytes a second between
memory and processor, which is what bounds the speed of a batch of one: published for the presets,
measured for this machine. Not all of a memory is free: `reserve` is what the system, the screen and
the driver keep, and a Mac lends its graphics processor only a part of its memory.
"""

import math
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from course_lib import facts, runtime
from course_lib.errors import real_number
from course_lib.local.memory import CUDA_CONTEXT, GB, GIB, METAL_CONTEXT

CARD_RESERVE = int(0.8 * GIB)  # of a card: a "24 GB" one reports 23.6 GiB and has 23.2 free
SYSTEM_RESERVE = 3 * GIB  # of a computer's memory: its system, a browser, JupyterLab
HOST = (32 * GIB, 60e9)  # the computer around a card, assumed: memory and its bandwidth
_METAL_SMALL = 36 * GIB  # up to here Metal lends two thirds of the memory, above it three quarters
_PROBE = 1 << 27  # bytes a core; larger than the cache of a small machine
_PIECE = 1 << 21  # bytes read at a time
_ANY_CARD = re.compile(r"NVIDIA|GEFORCE|RTX|PCIE|SXM\d*|HBM\w*|\d+GB")  # in names of many cards


@dataclass(frozen=True)
class Machine:
    """A machine that could hold a model: `memory` in bytes, and the `kind` of that memory.

    `cards` are the bytes of each graphics card, `reserve` what is not free on each of them. The
    memory of the processor is `host` with `host_reserve`. `sold` says where a machine cannot
    simply be bought. Raises ValueError for a bandwidth that is not above 0.
    """

    name: str
    memory: int
    kind: str
    cards: tuple[int, ...] = ()
    bandwidth: float = 50e9
    host: int = 0
    host_bandwidth: float = HOST[1]
    reserve: int = CARD_RESERVE
    host_reserve: int = SYSTEM_RESERVE
    sold: str = ""

    def __post_init__(self) -> None:
        for name in ("bandwidth", "host_bandwidth"):
            if not 0 < real_number(name, getattr(self, name)) < math.inf:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; it must be above 0 bytes a second."
                )

    @property
    def host_free(self) -> int:
        """Bytes of the processor's memory that a model may take."""
        return max(0, (self.host or self.memory) - self.host_reserve)

    @property
    def context_bytes(self) -> int:
        """What CUDA or Metal takes on each card before a model does."""
        return METAL_CONTEXT if self.kind == "unified memory" else CUDA_CONTEXT

    @property
    def lent(self) -> int:
        """Bytes that a model may take where it is fast: on the cards, or in the one memory."""
        if not self.cards:
            return self.host_free
        return sum(card - self.reserve - self.context_bytes for card in self.cards)


def on_processor(name: str, memory: int, bandwidth: float, **more: Any) -> Machine:
    """A computer without a graphics card."""
    return Machine(
        name, memory, "memory", bandwidth=bandwidth, host=memory, host_bandwidth=bandwidth, **more
    )


def with_cards(name: str, card: int, bandwidth: float, count: int = 1, **more: Any) -> Machine:
    """`count` equal graphics cards of `card` bytes in a computer like `HOST`."""
    return Machine(
        name, count * card, "graphics memory", (card,) * count, bandwidth, HOST[0], HOST[1], **more
    )


def mac(name: str, memory: int, bandwidth: float, **more: Any) -> Machine:
    """A Mac: one memory, of which Metal's working set is two thirds or, in large ones, more.

    Apple's `recommendedMaxWorkingSetSize`: 10,922 MiB of 16 GiB, 21,845 of 32, 49,152 of 64.
    """
    lent = memory * 2 // 3 if memory <= _METAL_SMALL else memory * 3 // 4
    return Machine(
        name, memory, "unified memory", (lent,), bandwidth, memory - lent, bandwidth,
        reserve=0, host_reserve=0, **more,
    )  # fmt: skip


def here(measured: float | None = None) -> list[Machine]:
    """This machine's memory, and the memory of every graphics card that torch or NVIDIA knows.

    The reserve of this machine is what is taken now. The course installs torch's small build, which
    knows no graphics card; NVIDIA's driver does. `measured` is a bandwidth already measured.
    """
    import torch

    total, free = runtime.memory()
    speed = measured or bandwidth()
    taken = total - free
    own = on_processor("this machine", total, speed, host_reserve=taken)
    properties = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    known = [Machine(card.name, card.total_memory, "graphics memory") for card in properties]
    cards = known or _cards_of_the_driver()
    around: dict[str, Any] = {"host": total, "host_reserve": taken, "host_bandwidth": speed}
    # a card that the ledger does not know is taken for the slowest of those that it knows
    around["bandwidth"] = min(one.bandwidth for one in presets() if one.kind == "graphics memory")
    return [own, *(replace(one, cards=(one.memory,), **around | _published(one)) for one in cards)]


def _published(card: Machine) -> dict[str, Any]:
    """The published bandwidth of a card that the ledger knows by its whole name and its memory.

    A "Laptop GPU", a "Ti" or half the memory make another card, with another bandwidth.
    """
    known = [
        one.bandwidth
        for one in presets()
        if _own_words(one.name.partition(",")[0]) == _own_words(card.name)
        and abs(card.memory - one.memory) <= one.memory / 10
    ]
    return {"bandwidth": known[0]} if known else {}


def _own_words(name: str) -> list[str]:
    """The words of a card's name by which it is told from others."""
    return [word for word in re.findall(r"\w+", name.upper()) if not _ANY_CARD.fullmatch(word)]


def _cards_of_the_driver() -> list[Machine]:
    """What `nvidia-smi` lists, a line "name, MiB" a card; nothing where it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [line.rpartition(",") for line in said.stdout.splitlines()]
    return [
        Machine(name.strip(), int(size) << 20, "graphics memory")
        for name, _, size in lines
        if size.strip().isdigit()
    ]


_MAKERS: dict[str, Callable[..., Machine]] = {"pc": on_processor, "card": with_cards, "mac": mac}


def presets() -> list[Machine]:
    """Machines that people have in 2026, from the ledger's tables of machines, smallest first."""
    found: list[Machine] = []
    for kind, make in _MAKERS.items():
        table = facts.table(f"machine.{kind}", labels=False)
        for row in table.itertuples():
            sold = "" if row.sold in (None, "yes") else str(row.sold)
            size, speed = int(row.memory_gb) * GIB, float(row.bandwidth_gbs) * GB
            found.append(make(f"{row.name}, {row.memory_gb} GB", size, speed, sold=sold))
            if kind == "card" and row.pair == "yes":
                name = f"two {row.name}, {2 * int(row.memory_gb)} GB"
                found.append(with_cards(name, size, speed, 2, sold=sold))
    return found


def bandwidth(seconds: float = 0.3) -> float:
    """Bytes a second that all cores together read from memory, as far as they are let.

    Every core reads piece after piece of its own; the quick tenth of the pieces counts, since
    other programs interrupt the rest on a busy machine.
    """
    count = runtime.allowed_cores()
    with ThreadPoolExecutor(count) as pool:  # numpy lets go of the interpreter while it adds
        return sum(pool.map(_reading, [seconds] * count))


def _reading(seconds: float) -> float:
    pieces = np.ones((_PROBE // _PIECE, _PIECE // 8))
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or not times:
        for piece in pieces:
            began = time.perf_counter()
            piece.sum()
            times.append(time.perf_counter() - began)
    return _PIECE / float(np.quantile(times, 0.1))
