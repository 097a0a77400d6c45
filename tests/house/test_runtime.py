"""The learner's runs are in one folder, from wherever the course is used."""

import os

import pytest

from course_lib import runtime
from course_lib.errors import CourseError


def test_a_notebook_and_the_command_line_mean_the_same_folder(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    from_the_top = runtime.runs().resolve()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert runtime.runs().resolve() == from_the_top == (tmp_path / "runs").resolve()
    assert not runtime.runs().is_absolute()


def test_elsewhere_it_is_beside_the_reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runtime.runs().resolve() == (tmp_path / "runs").resolve()


_OF_THREADS = ("INSIDE_R1_THREADS", "OMP_NUM_THREADS", "CPU_LIMIT", "PYTEST_XDIST_WORKER")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with many idle cores and an empty environment; (cores, **variables) sets it up."""

    def of(cores, cpu_max="", **variables):
        for name in _OF_THREADS:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
        monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
        (tmp_path / "cpu.max").write_text(cpu_max)
        monkeypatch.setattr(runtime, "_GROUPS", tmp_path)
        monkeypatch.setattr(runtime, "_look", None)
        return runtime.free_cores()

    return of


def test_threads_follow_what_the_process_may_use(machine):
    assert machine(64) == 4
    assert machine(1) == 1  # affinity: one core of many
    assert machine(64, "200000 100000") == 2  # a container with two cores
    assert machine(64, "50000 100000") == 1  # with half a core
    assert machine(64, "max 100000") == 4
    assert machine(64, "nonsense") == 4


def test_threads_of_an_administrator_are_kept_and_ones_own_come_first(machine):
    assert machine(64, OMP_NUM_THREADS="1") == 1
    assert machine(64, OMP_NUM_THREADS="3,2") == 3
    assert machine(2, OMP_NUM_THREADS="32") == 2
    assert machine(64, OMP_NUM_THREADS="many") == 4
    assert machine(64, INSIDE_R1_THREADS="6", OMP_NUM_THREADS="1") == 6
    assert machine(64, PYTEST_XDIST_WORKER="gw0") == 1
    assert machine(64, INSIDE_R1_THREADS="0") == 4
    assert machine(64, INSIDE_R1_THREADS=" ") == 4
    for wrong in ("many", "-1", "2.5"):
        with pytest.raises(CourseError, match=f"THREADS is '{wrong}'; it is a whole number"):
            machine(64, INSIDE_R1_THREADS=wrong)


def test_fewer_cores_are_free_on_a_busy_machine(machine, monkeypatch):
    """At first by the machine's load, then by what the cores did since the last look."""
    assert machine(4, OMP_NUM_THREADS="3") == 3
    clock, spare = [100.0], [0.0]
    monkeypatch.setattr(os, "getloadavg", lambda: (3.1, 0, 0), raising=False)
    monkeypatch.setattr(runtime, "_look", None)
    monkeypatch.setattr(runtime.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(runtime, "_spare_seconds", lambda: spare[0])
    monkeypatch.delenv("OMP_NUM_THREADS")

    def later(seconds, cores):
        clock[0], spare[0] = clock[0] + seconds, spare[0] + seconds * cores
        return runtime.free_cores()

    assert runtime.free_cores() == 1
    assert later(0.5, 4) == 1  # too soon to tell
    assert later(1.0, 4) == 4
    assert later(2.0, 1.9) == 2
    assert later(2.0, 0.1) == 1


def test_what_this_process_and_its_children_use_is_no_other_programs(monkeypatch):
    before = runtime._spare_seconds(), runtime.processor_seconds()
    for _ in range(2_000_000):
        pass
    used = runtime.processor_seconds() - before[1]
    assert used > 0.01 and runtime._spare_seconds() - before[0] >= used * 0.9
