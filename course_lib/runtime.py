"""Where the arithmetic runs: torch's threads and device, decided here and nowhere else."""

from __future__ import annotations

import os

import torch

_decided: int | None = None


def threads_for(cores: int, load: float) -> int:
    """How many torch threads suit a machine with `cores` cores, `load` of them busy.

    Two threads on two busy cores are several times slower than one, because each waits for the
    other at every operation; so only idle cores count. More than four gain nothing at our sizes.
    """
    return max(1, min(4, round(cores - load)))


def use_threads() -> int:
    """Set torch's thread count once per process and return it.

    `INSIDE_R1_THREADS` overrides the choice; pytest-xdist workers get one thread each.
    """
    global _decided
    if _decided is None:
        wanted = os.environ.get("INSIDE_R1_THREADS", "")
        if wanted.isdigit() and int(wanted) > 0:
            _decided = int(wanted)
        elif "PYTEST_XDIST_WORKER" in os.environ:
            _decided = 1
        else:
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            _decided = threads_for(os.cpu_count() or 1, load)
        torch.set_num_threads(_decided)
    return _decided


def device() -> torch.device:
    """The GPU where CUDA finds one, else the CPU (Apple's MPS is left out: its sums differ)."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
