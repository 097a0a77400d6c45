"""Processes that train as one: `torchrun --nproc-per-node 2 -m course_lib zero --out DIR`.

Each holds the weights and all that is decided by (tokens, rewards, advantages) and works on every
`size`-th row of it. What they find is added up, with zeros for what is another's, so a run is the
same by any number of processes and by none, but for rounding: gradients are summed in another
order. Numbers alone are sent (by gloo), never objects. On several machines OUT must be on a disk
that all of them see.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from course_lib.errors import CourseError

Ours = Tensor | slice
"""Which rows are this process's."""


@dataclass(frozen=True)
class Team:
    """One of `size` processes. With a `size` of 1, which is `ALONE`, everything stays as it is."""

    rank: int = 0
    size: int = 1
    parent: int = 0  # torchrun itself, without which no worker stays

    @property
    def lead(self) -> bool:
        """Whether this process is the one that writes and shows."""
        return self.rank == 0

    def of(self, count: int) -> "Team":
        """The team for `count` rows; where some would have none, every process does them all."""
        return self if count >= self.size else ALONE

    def ours(self, rows: Tensor) -> Ours:
        """Where among the numbers `rows` (any,) those stand that this process works on."""
        return rows % self.size == self.rank if self.size > 1 else slice(None)

    def whole(self, part: Tensor, ours: Ours, count: int) -> Tensor:
        """All `count` rows, of which every process has found a `part`."""
        if self.size == 1:
            return part
        found = part.new_zeros(count, *part.shape[1:])
        found[ours] = part
        return self.add(found)

    def add(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place; they wait for each other here."""
        if self.size > 1:
            try:
                if os.getppid() != self.parent:
                    raise RuntimeError("torchrun was killed")
                dist.all_reduce(values)
            except RuntimeError as error:
                raise CourseError(
                    "Another process of this run has ended, so this one ends too; what it said is "
                    "above."
                ) from error
        return values

    def add_figures(self, figures: dict[str, float]) -> dict[str, float]:
        """The sum of each figure."""
        values = torch.tensor(list(figures.values()), dtype=torch.float64)
        return dict(zip(figures, self.add(values).tolist(), strict=True))

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """The sum of each gradient; a parameter that had none anywhere has none still."""
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        having = self.add(torch.tensor([float(p.grad is not None) for p in trained]))
        for p, anywhere in zip(trained, having.tolist(), strict=True):
            if anywhere:
                p.grad = self.add(torch.zeros_like(p) if p.grad is None else p.grad)

    def as_lead(self, values: Tensor) -> Tensor:
        """The lead's numbers: another kind of processor may round what is decided by otherwise."""
        return self.add(values if self.lead else torch.zeros_like(values))

    @contextmanager
    def lead_first(self) -> Iterator[None]:
        """What stands inside is done by the lead, and then by the others."""
        if not self.lead:
            self.add(torch.zeros(1))
        yield
        if self.lead:
            self.add(torch.zeros(1))

    def refuse_unlike(self, text: str, needed: str) -> None:
        """Raises CourseError, saying what is `needed`, where not all have the same text."""
        if self.size == 1:
            return
        own = int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)
        everyone = torch.zeros(self.size, dtype=torch.int64)
        everyone[self.rank] = own
        if bool((self.add(everyone) != own).any()):
            raise CourseError(f"The processes of this run are not alike: {needed}.")


ALONE = Team()


def join() -> Team:
    """This process's place among those that `torchrun` began; ALONE where it was not."""
    if not dist.is_torchelastic_launched() or os.environ.get("WORLD_SIZE", "1") == "1":
        return ALONE
    if not dist.is_initialized():  # and until the process ends: torch cannot begin one twice
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        try:
            dist.init_process_group("gloo", timeout=timedelta(minutes=10))
        except (ValueError, KeyError, RuntimeError) as error:
            raise CourseError(
                "torchrun's variables are set here, and its other processes were not found. To run "
                "alone, unset TORCHELASTIC_RUN_ID."
            ) from error
    return Team(dist.get_rank(), dist.get_world_size(), os.getppid())
