"""The machines of the lesson: this one, measured, and those that the page names.

Memory is in bytes; makers' "24 GB" of a graphics card are GiB. Bandwidth is bytes a second between
memory and processor, which is what bounds the speed of a batch of one.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass

import numpy as np
import psutil

from course_lib import facts
from course_lib.local.memory import GIB

_PROBE = 1 << 26  # bytes; larger than any cache of a small machine


@dataclass(frozen=True)
class Machine:
    """A machine that could hold a model: `memory` in bytes, and the `kind` of that memory."""

    name: str
    memory: int
    kind: str


def here() -> list[Machine]:
    """This machine's memory, and the memory of every graphics card that torch or NVIDIA knows.

    The course installs torch's small build, which knows no graphics card; NVIDIA's driver does.
    """
    import torch

    found = [Machine("this machine", psutil.virtual_memory().total, "memory")]
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    known = [Machine(card.name, card.total_memory, "graphics memory") for card in cards]
    return found + (known or _cards_of_the_driver())


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


def presets() -> list[Machine]:
    """The graphics cards of the page's table, and two of its largest, from the ledger."""
    rows = {"RTX 3080": "rtx_3080", "RTX 4080": "rtx_4080", "RTX 4090": "rtx_4090"}
    cards = {name: int(facts.value(f"gpu.{key}.memory")) for name, key in rows.items()}
    cards["two RTX 4090"] = 2 * cards["RTX 4090"]
    cards["A100"] = int(facts.value("gpu.a100.memory"))
    cards["Mac with M3 Ultra"] = int(facts.value("gpu.m3_ultra.memory_most"))
    return [
        Machine(f"{name}, {size} GB", size * GIB, "graphics memory") for name, size in cards.items()
    ]


def bandwidth(seconds: float = 0.3) -> float:
    """Bytes a second that one thread reads from memory, the best of some readings."""
    data = np.ones(_PROBE // 8)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        data.sum()
        best = min(best, time.perf_counter() - began)
    return _PROBE / best
