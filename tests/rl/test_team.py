"""Processes that train as one: a run by several is the run by one, but for rounding.

Most of it is tried with threads in place of processes, which cost no start; the same run by
`torchrun` itself is the last test.
"""

import copy
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.model import models, rollout, team
from course_lib.rl import zero
from course_lib.rl.dapo import DynamicSampling
from course_lib.rl.ppo import PPOLearner
from course_lib.rl.zero import ZeroConfig
from tests.rl.lettered import TASK, lettered
from tests.rl.test_zero import log

TINY = ZeroConfig(
    steps=3, puzzles=3, samples=5, max_new_tokens=8, evaluate_every=2, evaluate_puzzles=5,
    checkpoint_every=2,
)  # fmt: skip
ROUNDING = 1e-5  # relative; measured: 2e-7 at most


@dataclass
class Room:
    """Where threads meet to add up."""

    size: int
    slots: dict[int, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self):
        self.meet = threading.Barrier(self.size, timeout=60)


@dataclass(frozen=True)
class Member(team.Team):
    """A thread that stands for a process."""

    room: Room | None = None

    def add(self, values):
        self.room.slots[self.rank] = values.clone()
        self.room.meet.wait()
        total = sum(self.room.slots[rank] for rank in range(self.size))
        self.room.meet.wait()
        return values.copy_(total)


def together(size, work):
    """What `work(member)` gives in each of `size` threads; the first error that is no waiting."""
    room = Room(size)

    def one(rank):
        try:
            return work(Member(rank, size, room=room))
        except BaseException:
            room.meet.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        jobs = [pool.submit(one, rank) for rank in range(size)]
    errors = [job.exception() for job in jobs if job.exception()]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError))
    return [job.result() for job in jobs]


@pytest.fixture
def threads(monkeypatch):
    """`threads(size, out, config, ...)` runs zero.run by so many; the lines that each yields."""
    own, turn, load = threading.local(), threading.Lock(), models.load

    def loaded(folder):
        with turn:  # transformers makes one model at a time
            return load(folder)

    monkeypatch.setattr(team, "join", lambda: getattr(own, "member", team.ALONE))
    monkeypatch.setattr(models, "load", loaded)

    def run(size, out, config, **options):
        def work(member):
            own.member = member
            mine = config(member.rank) if callable(config) else config
            return list(zero.run(out, mine, **options))

        return together(size, work)

    return run


# --- sampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("family", ["mini_v3", "llama"])
def test_rows_sampled_in_shares_are_the_rows_sampled_together(random_models, family, size):
    model, prompts = random_models[family], [[5, 6, 7], [8, 9], [3, 4, 5, 6]]
    ends = list(range(0, model.config.vocab_size, 5))  # so that rows end early and are dropped

    def sample(member, one=model):
        return rollout.generate(
            one, prompts, samples=4, max_new_tokens=12, eos=ends, keep_logp=True, team=member,
            generator=torch.Generator().manual_seed(3),
        )  # fmt: skip

    copies = [copy.deepcopy(model) for _ in range(size)]
    whole = sample(team.ALONE)
    assert len(whole.lengths.unique()) > 2
    for found in together(size, lambda member: sample(member, copies[member.rank])):
        assert torch.equal(found.ids, whole.ids) and torch.equal(found.lengths, whole.lengths)
        assert torch.equal(found.finished, whole.finished)
        assert torch.equal(found.prompt_ids, whole.prompt_ids)
        assert torch.allclose(found.logp, whole.logp, atol=1e-5)


def test_picks_of_some_rows_are_the_picks_among_all():
    logits = torch.randn(40, 9, generator=torch.Generator().manual_seed(0))
    ours = torch.arange(40) % 3 == 1
    one, other = (torch.Generator().manual_seed(1) for _ in range(2))
    for _ in range(2):
        among = rollout.pick(logits, 1.0, one)
        assert torch.equal(rollout.pick(logits[ours], 1.0, other, ours, 40), among[ours])


def test_all_have_the_leads_numbers_and_the_sum_of_gradients():
    def work(member):
        both, mine, none = (torch.nn.Parameter(torch.ones(2)) for _ in range(3))
        both.grad = torch.ones(2)
        mine.grad = None if member.rank else torch.full((2,), 5.0)
        member.add_gradients([both, mine, none])
        led = member.as_lead(torch.tensor([member.rank + 7.0]))
        return both.grad.tolist(), mine.grad.tolist(), none.grad, led.tolist()

    assert together(2, work) == [([2.0, 2.0], [5.0, 5.0], None, [7.0])] * 2


# --- a run ----------------------------------------------------------------------------------------

KINDS = {
    "usual": {},
    "reference": {"config": {"updates": 2, "kl": 0.01, "reference_every": 2}},
    "minibatches": {"config": {"minibatches": 2, "reduce": "token", "overlong": 4}},
    "sampler": {"config": {"old_from": "sampler", "std": "sample"}},
    "truncated": {"config": {"truncate": 2.0, "std": "sample"}},
    "dapo": {"method": DynamicSampling},
    "ppo": {"method": PPOLearner},
}


def options(kind, base):
    given = dict(KINDS[kind])
    return replace(TINY, **given.pop("config", {})), {"base": base, "task": TASK, **given}


def close(ours, theirs, rel=ROUNDING):
    """Whether two logs are the same but for rounding."""
    if len(ours) != len(theirs):
        return False
    return all(a == pytest.approx(b, rel=rel, abs=1e-6) for a, b in zip(ours, theirs, strict=True))


@pytest.fixture(scope="module")
def alone(tmp_path_factory, base):
    """`alone(kind)` is the log of a run by one process, which is made once."""

    @cache
    def made(kind):
        config, given = options(kind, base)
        out = tmp_path_factory.mktemp(kind)
        list(zero.run(out, config, **given))
        return log(out)

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_by_several_is_the_run_by_one(tmp_path, base, alone, threads, kind):
    config, given = options(kind, base)
    lines = threads(2, tmp_path, config, **given)
    assert close(log(tmp_path), alone(kind))
    assert [x["step"] for x in lines[0]] == [0, 1, 2, 3] == [x["step"] for x in lines[1]]
    seconds = [[x["cpu_seconds"] for x in yielded[1:]] for yielded in lines]
    assert seconds[0] == seconds[1]


def whole_mean(logp, old_logp, advantages, mask):
    """A loss whose mean is over what it is given, by a number that no share has."""
    ratio = (logp - old_logp).exp() * advantages[:, None]
    return -(ratio * mask).sum() / mask.sum().sqrt()


def test_a_loss_that_needs_all_rows_at_once_gets_them(tmp_path, base, threads):
    given = {"base": base, "task": TASK, "loss": whole_mean}
    list(zero.run(tmp_path / "1", TINY, **given))
    threads(3, tmp_path / "3", TINY, **given)
    assert close(log(tmp_path / "3"), log(tmp_path / "1"))


def test_more_processes_than_rows_do_all_of_them(tmp_path, base, threads):
    config = replace(TINY, steps=2, puzzles=1, samples=2)
    list(zero.run(tmp_path / "1", config, base=base, task=TASK))
    threads(3, tmp_path / "3", config, base=base, task=TASK)
    assert close(log(tmp_path / "3"), log(tmp_path / "1"))


MUTANTS = {
    "gradients": (team.Team, "add_gradients", lambda self, parameters: None),
    "random numbers": (
        rollout,
        "pick",
        lambda logits, temperature, generator, ours, among, pick=rollout.pick: pick(
            logits, temperature, generator
        ),
    ),
    "figures": (team.Team, "add_figures", lambda self, figures: figures),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_team_that_does_not_share_something_would_be_seen(
    tmp_path, base, alone, threads, monkeypatch, mutant
):
    usual = alone("usual")
    monkeypatch.setattr(*MUTANTS[mutant])
    threads(2, tmp_path, TINY, base=base, task=TASK)
    assert not close(log(tmp_path), usual, rel=10 * ROUNDING)


def test_a_run_goes_on_by_another_number_of_processes(tmp_path, base, alone, threads):
    config, given = options("reference", base)
    list(zero.run(tmp_path, config, until=1, **given))
    threads(2, tmp_path, config, until=2, **given)
    threads(3, tmp_path, config, **given)
    assert close(log(tmp_path), alone("reference"))


def test_a_run_begun_by_several_goes_on_by_one(tmp_path, base, alone, threads):
    threads(2, tmp_path, TINY, base=base, task=TASK, until=1)
    list(zero.run(tmp_path, TINY, base=base, task=TASK))
    assert close(log(tmp_path), alone("usual"))


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_reward_that_fails_in_one_process_skips_the_step_in_all(tmp_path, base, threads):
    def picky(puzzle, completion):
        if len(completion) % 7 == 6:
            raise ZeroDivisionError
        return lettered(puzzle, completion)

    task = replace(TASK, reward=picky, right=lettered)
    config = replace(TINY, steps=4, puzzles=2, samples=2)
    list(zero.run(tmp_path / "1", config, base=base, task=task))
    threads(2, tmp_path / "2", config, base=base, task=task)
    logs = [log(tmp_path / name) for name in ("2", "1")]
    skipped = [[line.pop("skipped", None) for line in lines] for lines in logs]
    assert skipped[0] == skipped[1]
    assert any(skipped[0]) and not all(skipped[0][1:])
    assert close(*logs)


@pytest.mark.parametrize(("size", "samples"), [(2, TINY.samples), (3, 2)])  # as few as 2 rows
def test_a_reward_that_fails_only_once_skips_the_step_in_all(
    tmp_path, base, threads, size, samples
):
    failed = []

    def flaky(puzzle, completion):
        if not failed:
            failed.append(True)
            raise OSError("service down")
        return lettered(puzzle, completion)

    task = replace(TASK, reward=flaky, right=lettered)
    config = replace(TINY, steps=2, puzzles=1 if samples == 2 else TINY.puzzles, samples=samples)
    lines = threads(size, tmp_path, config, base=base, task=task)
    said = sorted(mine[1]["skipped"] for mine in lines)
    assert all("failed in another process" in words for words in said[:-1])
    assert "service down" in said[-1] and "The reward of" in said[-1]
    assert all("skipped" not in mine[2] for mine in lines)


def test_processes_that_draw_other_items_are_refused(tmp_path, base, threads):
    def draw(count, seed):
        return TASK.draw(count, seed + team.join().rank)

    with pytest.raises(CourseError, match="depend on its seed alone"):
        threads(2, tmp_path, TINY, base=base, task=replace(TASK, draw=draw))


def test_processes_that_were_not_begun_alike_are_refused(tmp_path, base, threads):
    with pytest.raises(CourseError, match="must be the same for all"):
        threads(2, tmp_path, lambda rank: replace(TINY, steps=3 + rank), base=base, task=TASK)


def test_one_that_ends_ends_all_in_a_sentence(monkeypatch):
    def closed(values):
        raise RuntimeError("Connection closed by peer")

    said = pytest.raises(CourseError, match="so this one ends too")
    monkeypatch.setattr(team.dist, "all_reduce", closed)
    with said:
        team.Team(0, 2, os.getppid()).add(torch.zeros(1))
    monkeypatch.setattr(team.dist, "all_reduce", lambda values: None)
    team.Team(0, 2, os.getppid()).add(torch.zeros(1))
    with said:
        team.Team(0, 2, parent=-1).add(torch.zeros(1))  # torchrun itself was killed


def test_nothing_but_torchrun_makes_a_team(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert team.join() is team.ALONE
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert team.join() is team.ALONE


# --- torchrun -------------------------------------------------------------------------------------

WORKER = """
import json, os, sys
from course_lib import __main__, runtime
from tests.rl.test_team import TASK, TINY, zero
out, base = sys.argv[1:]
assert runtime.free_cores() == 1  # torchrun sets OMP_NUM_THREADS
found = list(zero.run(out + "/run", TINY, base=base, task=TASK))
assert [line["step"] for line in found] == [0, 1, 2, 3]
sys.exit(__main__.main(["zero", "--out", out + "/cli", "--base", base, "--steps", "1"]))
"""


@pytest.mark.slow
def test_torchrun_makes_the_same_run(tmp_path, base, alone):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(script), str(tmp_path), str(base)]
    unset = ("OMP_NUM_THREADS", "INSIDE_R1_THREADS", "PYTEST_XDIST_WORKER")
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env["PYTHONPATH"] = os.pathsep.join([os.getcwd(), env.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    assert close(log(tmp_path / "run"), alone("usual"))
    assert json.loads(done.stdout)["step"] == 1  # one process speaks
