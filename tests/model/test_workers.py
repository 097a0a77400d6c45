"""Work is shared with copies of the process: the same results, and nothing left behind."""

import os
import signal
import sys
import time

import psutil
import pytest
import torch
from torch import nn

from course_lib import runtime
from course_lib.model import models, rollout, workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux")


@pytest.fixture(autouse=True)
def copies(monkeypatch):
    monkeypatch.setenv("INSIDE_R1_COPIES", "1")


@pytest.fixture
def cores(monkeypatch):
    """Say how many cores are free."""
    return lambda count: monkeypatch.setattr(workers, "free_cores", lambda: count)


def test_completions_are_the_same_whoever_samples_them(cores):
    model, tokenizer = models.load(models.shipped("mini-v3-base"))
    prompts = [models.chat_ids(tokenizer, text) for text in ("7 ? 3 = 4", "7 ? 3 ? 5 ? 2 = 11")]

    def drawn(count, temperature):
        cores(count)
        return rollout.generate(
            model, prompts, samples=48, max_new_tokens=12, eos=tokenizer.eos_token_id,
            temperature=temperature, banned=[300], keep_logp=True,
            generator=torch.Generator().manual_seed(3),
        )  # fmt: skip

    for temperature in (1.0, 0.0):
        alone = drawn(1, temperature)
        assert temperature == 0 or len({tuple(row) for row in alone.ids.tolist()}) > 10
        for count in (2, 3):
            shared = drawn(count, temperature)
            assert torch.equal(shared.ids, alone.ids)
            assert torch.equal(shared.lengths, alone.lengths)
            torch.testing.assert_close(shared.logp, alone.logp, atol=1e-5, rtol=0)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.used, self.unused = nn.Linear(5, 3), nn.Linear(2, 2)


def passes(count, size, spoil=lambda i: None):
    """Gradient and figures of `count` parts by `size` workers; `spoil` is called in each pass."""
    model, notes = Model(), []

    def one_pass(i):
        spoil(i)
        notes.append(i)
        loss = model.used(torch.full((2, 5), 0.1 + i)).square().sum()
        loss.backward()
        return {"loss": float(loss.detach()), "part": float(i)}

    told = workers.gradients(model, range(count), one_pass, size)
    assert model.unused.weight.grad is None  # or the optimiser would move what had no part in it
    return told, model.used.weight.grad, notes


def test_gradients_are_added_in_order_bit_by_bit():
    told, gradient, _ = passes(7, 1)
    assert [figures["part"] for figures in told] == list(range(7))
    for size in (2, 3, 7):
        theirs, other, notes = passes(7, size)
        assert theirs == told and torch.equal(other, gradient)
        assert notes == list(range(7 // size))  # the rest was done elsewhere


@pytest.mark.parametrize(
    "end", [lambda: os._exit(1), lambda: 1 / 0, lambda: os.kill(os.getpid(), 9)]
)
def test_a_lost_copy_costs_time_and_nothing_else(end):
    told, gradient, _ = passes(4, 1)
    parent = os.getpid()
    theirs, other, notes = passes(4, 2, lambda i: os.getpid() == parent or end())
    assert theirs == told and torch.equal(other, gradient)
    assert notes == [0, 1, 0, 1, 2, 3]


def test_where_a_process_cannot_be_copied_it_works_alone(monkeypatch):
    def refused():
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    assert workers.together(3, lambda team: team.size) == 1


def test_a_fault_is_the_readers_to_see_and_leaves_no_copy():
    def faulty(i):
        raise ValueError("my own fault")

    before = psutil.Process().children()
    with pytest.raises(ValueError, match="my own fault"):
        passes(4, 2, faulty)
    assert psutil.Process().children() == before


def test_torch_keeps_its_threads():
    before = torch.get_num_threads()
    assert workers.together(2, lambda team: torch.get_num_threads()) == 1
    assert torch.get_num_threads() == before


def program(computes, told):
    """Work that takes a minute, which says into the pipe `told` who is at it."""

    def work(team):
        os.write(told, b"%d\n" % os.getpid())
        end = time.monotonic() + 60
        while computes and team.number and time.monotonic() < end:
            pass
        time.sleep(0 if team.number else 60)
        team.meet()

    try:
        os.setsid()
        workers.together(2, work)
    finally:
        os._exit(0)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("computes", [False, True])
def test_an_interrupt_and_a_kill_leave_no_worker(sent, computes):
    told, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        program(computes, tell)
    with os.fdopen(told) as lines:
        pids = {int(lines.readline()) for _ in range(2)}
    assert parent in pids and len(pids) == 2
    # Jupyter interrupts all processes of a kernel; a kill is for the one.
    os.killpg(parent, sent) if sent == signal.SIGINT else os.kill(parent, sent)
    os.close(tell)
    os.waitpid(parent, 0)
    end = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_how_many_work_is_what_is_free_and_what_the_work_is_worth(cores, monkeypatch):
    model = nn.Linear(2, 2)
    model.device = torch.device("cpu")
    cores(4)
    assert [workers.number(model, pieces) for pieces in (0, 1, 3, 9)] == [1, 1, 3, 4]
    cores(1)
    assert workers.number(model, 9) == 1
    cores(4)
    monkeypatch.setattr(workers, "_LARGEST", 3)  # a larger model leaves the cores to torch
    assert workers.number(model, 9) == 1
    monkeypatch.undo()
    monkeypatch.setattr(workers, "free_cores", lambda: 4)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert workers.number(model, 9) == 1
    assert runtime.free_cores() >= 1
