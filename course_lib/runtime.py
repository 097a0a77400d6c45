"""Where the course runs: its folders, torch's threads and device, decided here and nowhere else.

Settings of the environment: `INSIDE_R1_THREADS` (torch threads), `OMP_NUM_THREADS` (an
administrator's limit on them), `INSIDE_R1_HOME` (a learner's progress).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LIBRARY = Path(__file__).resolve().parent
ROOT = LIBRARY.parent
"""The course's folder, with `notebooks` and `exercises` in it (where it runs from a checkout)."""

ASSETS = LIBRARY / "assets"
"""Models, records and texts that come with the course."""

_MOST_THREADS = 4  # more gain nothing at our sizes

_decided: int | None = None


def runs() -> Path:
    """Where a learner's runs are kept: the folder `runs` beside `notebooks`; it need not exist yet.

    It is `runs` from the course's folder and `../runs` from a notebook's.
    """
    here = Path.cwd()
    in_notebooks = not (here / "notebooks").is_dir() and (here.parent / "notebooks").is_dir()
    return Path("../runs") if in_notebooks else Path("runs")


def allowed_cores() -> int:
    """How many cores this process may use: by its affinity and its container's quota, at least 1.

    A container's quota is read as Linux writes it (cgroup v2's `cpu.max`, "quota period").
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no container, or one without a quota ("max")
    return max(1, cores)


def threads_for(cores: int, load: float) -> int:
    """How many torch threads suit a machine with `cores` cores, `load` of them busy.

    Two threads on two busy cores are several times slower than one, because each waits for the
    other at every operation; so only idle cores count.
    """
    return max(1, min(_MOST_THREADS, round(cores - load)))


def use_threads() -> int:
    """Set torch's thread count once per process and return it.

    `INSIDE_R1_THREADS` overrides the choice, `OMP_NUM_THREADS` limits it; pytest-xdist workers get
    one thread each.
    """
    import torch

    global _decided
    if _decided is None:
        _decided = _wanted_threads()
        torch.set_num_threads(_decided)
    return _decided


def _wanted_threads() -> int:
    own, administrators = (_count(n) for n in ("INSIDE_R1_THREADS", "OMP_NUM_THREADS"))
    if own or "PYTEST_XDIST_WORKER" in os.environ:
        return own or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    wanted = threads_for(allowed_cores(), load)
    return min(wanted, administrators) if administrators else wanted


def _count(name: str) -> int:
    """The whole number above 0 in a variable of the environment, or 0 where there is none."""
    text = os.environ.get(name, "").split(",")[0].strip()
    return int(text) if text.isascii() and text.isdigit() else 0


def device() -> torch.device:
    """The GPU where CUDA finds one, else the CPU (Apple's MPS is left out: its sums differ)."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
