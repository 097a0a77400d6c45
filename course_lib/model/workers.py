"""Both cores: one piece of work done by this process and by copies of it that end with the work.

A copy is a fork, so it has the model and the reader's own functions without anything being sent,
and it lives for one rollout or one update: a kill, an interrupt or a lost copy leaves nothing
behind. Shares are cut from a fixed order and sums are made in it, so the number of workers changes
no result but by rounding, where a product of under 16 rows adds up in another order.

They work where `INSIDE_R1_COPIES=1` asks for it. Otherwise torch's threads do, which were faster on
two idle cores (0.88 s a step against 1.05 s and 1.23 s by one; tests/benchmarks/bench_cores.py),
and whose number may change last digits.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn, TypeVar

import torch
from torch import nn

from course_lib.runtime import free_cores

Part = TypeVar("Part")
Result = TypeVar("Result")
Figures = dict[str, float]

_LARGEST = 20_000_000  # parameters; the products of larger models are work enough for threads
_DIE_WITH_PARENT = 1  # Linux's PR_SET_PDEATHSIG


@dataclass
class Team:
    """Who works on a piece of work, as one of them sees it; number 0 is the one that asked."""

    number: int = 0
    size: int = 1
    links: list[Connection] = field(default_factory=list)  # to the copies; a copy's only one to 0

    def share(self, count: int) -> slice:
        """Which of `count` things in a row are this worker's."""
        return slice(count * self.number // self.size, count * (self.number + 1) // self.size)

    def meet(self) -> None:
        """Wait until all have come here. Raises EOFError or OSError where one has ended."""
        self.gather(None)
        for link in self.links:
            link.recv_bytes() if self.number else link.send_bytes(b".")

    def gather(self, told: Any) -> list[Any]:
        """What everybody tells (what JSON can hold), in order, for number 0; others get their own.

        Raises EOFError or OSError where one has ended.
        """
        if self.number:
            self.links[0].send_bytes(json.dumps(told).encode())
            return [told]
        return [told, *(json.loads(link.recv_bytes()) for link in self.links)]


def number(model: Any, pieces: int) -> int:
    """How many workers suit `pieces` pieces of work on `model`: what is free now, at least 1.

    More than one only where it was asked for and a process can be copied safely (Linux), for small
    models on the CPU.
    """
    if os.environ.get("INSIDE_R1_COPIES") != "1":
        return 1
    if sys.platform != "linux" or model.device.type != "cpu" or pieces < 2:
        return 1
    if sum(p.numel() for p in model.parameters()) > _LARGEST:
        return 1
    return max(1, min(free_cores(), pieces))


def zeros(
    shape: Sequence[int], device: torch.device, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """A tensor of zeros that the copies to come write into as well, where it is on the CPU."""
    size = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or not size:
        return torch.zeros(*shape, dtype=dtype, device=device)
    return torch.frombuffer(mmap.mmap(-1, size), dtype=dtype).view(*shape)


def together(size: int, work: Callable[[Team], Result]) -> Result:
    """What `work` gives here, while `size - 1` copies of this process do it as well.

    Copies give what they write into `zeros` or hand to the team. Where one cannot be made or is
    lost, the work is done again by this process alone, so it must be such that it can be.
    """
    if size > 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _with_copies(size, work)
        except (EOFError, OSError):
            pass
        finally:
            torch.set_num_threads(threads)
    return work(Team())


def _with_copies(size: int, work: Callable[[Team], Result]) -> Result:
    team, copies = Team(0, size), list[int]()
    try:
        for rank in range(1, size):
            here, there = Pipe()
            team.links.append(here)
            with warnings.catch_warnings(action="ignore"):  # other threads are not needed there
                copy = os.fork()
            if copy == 0:
                _work_and_end(Team(rank, size, [there]), team.links, work)
            copies.append(copy)
            there.close()
        return work(team)
    finally:
        for link in team.links:
            link.close()
        for copy in copies:  # it has given all that was wanted of it, or nobody wants it any more
            os.kill(copy, signal.SIGKILL)
            os.waitpid(copy, 0)


def _work_and_end(team: Team, others: list[Connection], work: Callable[[Team], object]) -> NoReturn:
    """A copy's life: an interrupt is its parent's affair, and when that ends so does it."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        for link in others:
            link.close()
        with contextlib.suppress(BaseException):  # its parent does the work again, and meets it
            work(team)
    finally:
        os._exit(0)  # no cleaning up: all of this belongs to the parent


def gradients(
    model: nn.Module, parts: Sequence[Part], one_pass: Callable[[Part], Figures], size: int
) -> list[Figures]:
    """`one_pass` for every part: their gradients, summed in order, and what each pass told.

    `one_pass` runs forward and backward, and whatever else it leaves behind is lost in a copy.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    sizes = [p.numel() for p in weights]
    kept = zeros((len(parts), sum(sizes)) if size > 1 else (0, 0), weights[0].device)

    def work(team: Team) -> list[Figures]:
        model.zero_grad()
        told, mine = [], team.share(len(parts))
        for i in range(mine.start, mine.stop):
            told.append(one_pass(parts[i]))
            if team.number:
                found = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in weights]
                kept[i] = torch.cat([g.flatten() for g in found])
                model.zero_grad()
        told = [figures for several in team.gather(told) for figures in several]
        for more in kept[mine.stop :] if team.number == 0 else ():
            _add(weights, more.split(sizes))
        return told

    return together(size, work)


def _add(weights: Sequence[nn.Parameter], more: Sequence[torch.Tensor]) -> None:
    for p, gradient in zip(weights, more, strict=True):
        if p.grad is not None:
            p.grad += gradient.view_as(p)
        elif gradient.any():
            p.grad = gradient.view_as(p).clone()
