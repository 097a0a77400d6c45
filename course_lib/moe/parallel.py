"""How a model too large for one machine is trained: pipelines of stages, experts on many nodes.

A pipeline's schedule is played through: each device takes the first task that can begin. F is a
forward pass of a micro-batch through a stage, B the backward pass for what came in, W the one for
the weights; without a split B and W are one. Communication takes no time here. The schedule from
both ends follows the idea of DualPipe (arXiv 2412.19437, section 3.2) and not its exact order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.errors import real_number
from course_lib.model import router


class Task(NamedTuple):
    """A piece of work: its kind, its pipeline's direction, its micro-batch and its stage."""

    kind: str
    way: int
    batch: int
    stage: int


@dataclass
class Schedule:
    """What each device did, unit of time by unit of time; None is idle."""

    devices: int
    rows: list[list[Task | None]] = field(default_factory=list)  # [time][device]

    @property
    def bubble(self) -> float:
        """The share of all devices' time that is idle."""
        return self.idle / (len(self.rows) * self.devices)

    @property
    def idle(self) -> int:
        """Units of time, over all devices, without work."""
        return sum(task is None for row in self.rows for task in row)


def schedule(
    stages: int, micro_batches: int, *, split: bool = False, both_ends: bool = False
) -> Schedule:
    """Play a pipeline through. `split` lets W wait; with `both_ends` half of the micro-batches
    come in at the last stage, and every device holds two stages.

    Raises ValueError for an odd number of micro-batches from both ends, or fewer than one of each.
    """
    if stages < 1 or micro_batches < 1 or (both_ends and micro_batches % 2):
        raise ValueError("give at least one stage and one micro-batch; from both ends an even one.")
    ways = (0, 1) if both_ends else (0,)
    batches = micro_batches // len(ways)
    total = 3 * stages * batches * len(ways)
    done: dict[Task, int] = {}  # when each task that was begun has ended
    plan, busy = Schedule(stages), [0] * stages
    while len(done) < total or any(end > len(plan.rows) for end in busy):
        now, row = len(plan.rows), list[Task | None]([None] * stages)
        for device in range(stages):
            if busy[device] > now:  # a whole backward pass goes on
                row[device] = plan.rows[-1][device]
                continue
            wanted = _ready(device, stages, batches, ways, done, now, split)
            if wanted is not None:
                whole = wanted.kind == "B" and not split
                row[device], busy[device] = wanted, now + 1 + whole
                done[wanted] = busy[device]
                if whole:
                    done[wanted._replace(kind="W")] = busy[device]
        plan.rows.append(row)
    return plan


def _ready(
    device: int,
    stages: int,
    batches: int,
    ways: tuple[int, ...],
    done: dict[Task, int],
    now: int,
    split: bool,
) -> Task | None:
    """The first task that can begin on a device: backward, then forward, then what may wait."""
    room = stages + (1 if len(ways) > 1 else -device)  # forward passes kept until their backward
    for kind in ("B", "F", "W") if split else ("B", "F"):
        for way in ways:
            stage = device if way == 0 else stages - 1 - device
            batch = sum((kind, way, b, stage) in done for b in range(batches))  # in order
            if batch == batches:
                continue
            task = Task(kind, way, batch, stage)
            if kind == "F" and _open(device, stages, batches, ways, done) >= room:
                continue
            if all(done.get(need, now + 1) <= now for need in _needs(task, stages)):
                return task
    return None


def _open(
    device: int, stages: int, batches: int, ways: tuple[int, ...], done: dict[Task, int]
) -> int:
    """How many forward passes a device has begun whose backward pass it has not."""
    places = [(w, device if w == 0 else stages - 1 - device) for w in ways]
    return sum(
        (Task("F", w, b, s) in done) - (Task("B", w, b, s) in done)
        for w, s in places
        for b in range(batches)
    )


def _needs(task: Task, stages: int) -> Iterator[Task]:
    """What must be done before a task."""
    if task.kind == "F" and task.stage > 0:
        yield task._replace(stage=task.stage - 1)
    if task.kind == "B":
        yield task._replace(kind="F")
        if task.stage < stages - 1:
            yield task._replace(stage=task.stage + 1)
    if task.kind == "W":
        yield task._replace(kind="B")


def nodes_of(experts: Tensor, total: int, nodes: int) -> Tensor:
    """Whether each token has an expert on each node: (tokens, nodes), boolean.

    `experts` is (tokens, top_k); the experts lie on the nodes in equal groups, in order. Raises
    ValueError where they cannot, and for numbers of no expert.
    """
    if nodes < 1 or total % nodes:
        raise ValueError(f"{total} experts do not lie in equal groups on {nodes} nodes.")
    router.load(experts, total)  # refuses what is no expert
    places = experts // (total // nodes)
    return torch.zeros(len(experts), nodes, dtype=torch.bool).scatter(1, places, True)


def traffic(experts: Tensor, total: int, nodes: int, home: Tensor) -> Tensor:
    """Who talks to whom: how many tokens of each node are sent to each other, (nodes, nodes).

    `home` is (tokens,), the node on which each token is. What stays at home is not sent.
    """
    there = nodes_of(experts, total, nodes).float()
    sent = torch.nn.functional.one_hot(home, nodes).float().T @ there
    return sent.fill_diagonal_(0)


def dropped(load: Tensor, factor: float) -> float:
    """The share of choices that are lost where an expert takes at most `factor` even shares.

    `load` is (experts,), how many choices each expert has got. V3 sets no such limit. Raises
    ValueError for no choices or a factor below 0.
    """
    if not load.sum() > 0 or not real_number("factor", factor) >= 0:
        raise ValueError(
            f"load sums to {float(load.sum()):g} and factor is {factor}; allowed are a load above "
            "0 and a factor of at least 0."
        )
    limit = factor * load.double().mean()
    return float((load - limit).clamp(min=0).sum() / load.sum())


def sequence_losses(logits: Tensor, experts: Tensor, lengths: list[int]) -> Tensor:
    """`router.auxiliary_loss` of each sequence on its own, (sequences,): V3's loss before
    alpha where neither bias nor groups change the choice.

    `logits` (tokens, experts) and `experts` (tokens, top_k) hold the sequences one after another;
    raises ValueError where `lengths` are not theirs.
    """
    if sum(lengths) != len(logits) or len(logits) != len(experts):
        raise ValueError(
            f"lengths sum to {sum(lengths)}; logits has {len(logits)} tokens and experts "
            f"{len(experts)}; allowed is the same number."
        )
    parts = zip(logits.split(lengths), experts.split(lengths), strict=True)
    return torch.stack([router.auxiliary_loss(one, chosen) for one, chosen in parts])
