"""Every attack that was tried on the grader, and more: none changes anything but its own result."""

import hashlib
import json
import os
import re
import time
import tracemalloc
from dataclasses import asdict, replace

import numpy as np
import pytest
from handed_in import ASKED, GAP, QUICK, RATIO, graded, outcomes, put

from course_lib.classroom import grade
from course_lib.classroom.checks import catalogue, exercise, remote, sandbox, values, wire
from course_lib.classroom.checks.callers import Failure, LocalCaller
from course_lib.classroom.checks.judge import Outcome, Verdict, judge
from course_lib.classroom.grade import grade_one
from course_lib.classroom.grade_files import collect
from course_lib.classroom.grade_report import write_report
from course_lib.classroom.grade_results import Grade
from course_lib.runtime import LIBRARY

PIPES = "import os\npipes = [n for n in range(3, 40) if os.path.exists('/proc/self/fd/%d' % n)]\n"
FOLDER = "d = os.open('{folder}', os.O_RDONLY)\n"
# Row by row of the record. {folder} is the class, {out} the report, {pid} the grader.
TRIED = {
    "switches_the_fence_off": (
        "import course_lib.classroom.checks.guard as g, os\ng._REFUSED = g._PATHS = ()\n"
        "g._WRITING = 0\nos.kill(os.getppid(), 9)\nos.kill({pid}, 9)"
    ),
    "shell": "import os\nos.system('rm -rf {folder} {out}; echo taken > {folder}/alice.ipynb')",
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', {port})).send(b'taken')",
    "library": (
        "import course_lib.classroom.checks.judge as j, os\nos.chmod(j.__file__, 0o666)\n"
        "open(j.__file__, 'w').write('judge = None')"
    ),
    "survivor": (
        "import subprocess\nsubprocess.Popen(['sh', '-c', 'while :; do "
        "echo taken > {out}/grades.csv; echo taken > {folder}/alice.ipynb; sleep 0.1; done'])"
    ),
    "holds_the_pipe": "import subprocess\nsubprocess.Popen(['sleep', '93'], close_fds=False)",
    "reads_by_descriptor": (
        "import os, json\n" + FOLDER + "f = os.open('alice.ipynb', os.O_RDONLY, dir_fd=d)\n"
        "[exec(''.join(c['source'])) for c in json.loads(os.read(f, 10**7))['cells']]"
    ),
    "writes_by_descriptor": (
        "import os\n" + FOLDER + "f = os.open('alice.ipynb', os.O_WRONLY, dir_fd=d)\n"
        "os.write(f, b'taken')"
    ),
    "replaces_by_descriptor": (
        "import os\n" + FOLDER + "os.unlink('alice.ipynb', dir_fd=d)\n"
        "os.mkdir('alice.ipynb', dir_fd=d)"
    ),
    "realpath": "import os\nos.path.realpath = lambda path: '{out}'\nopen('{out}/grades.csv', 'w')",
    "closures": (
        "import gc, types\nfor f in gc.get_objects():\n"
        "    if isinstance(f, types.FunctionType) and f.__name__ in ('hook', '_limit', 'close'):\n"
        "        f.__code__ = (lambda *a, **k: None).__code__\nopen('{folder}/alice.ipynb', 'w')"
    ),
    "sqlite": "import sqlite3\nsqlite3.connect('{folder}/alice.ipynb').execute('create table t')",
    "proc_mem": "open('/proc/{pid}/mem', 'rb+').write(b'taken')",
    "fifo": "import os\nos.mkfifo('{folder}/fifo')",
    "c_system": "import ctypes\nctypes.pythonapi.system(b'echo taken > {folder}/alice.ipynb')",
    "null_source": None,
    "surrogates": "raise ValueError('\\udce9')",
    "surrogate_repr": (
        "class Odd:\n    def __repr__(self): return '\\ud800'\nprice_ratio = Odd()\n"
        "class Error(Exception): __str__ = Odd.__repr__\nError.__name__ = '\\ud800'\nraise Error"
    ),
    "html_error": "raise ValueError('<script>alert(1)</script>=1+1')",
    "prints": "while True: print('x' * 10**6)",
    "ends": "import os\nos._exit(0)",
    "exits": "raise SystemExit",
    "deep": "def f(): f()\nimport sys\nsys.setrecursionlimit(10**9)\nf()",
    "crash": "import ctypes\nctypes.string_at(0)",
    "stops_itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "stops_reading": "import os\nos.close(0)\n" + PIPES + "for n in pipes: os.close(n)",
    "clears_the_limits": (
        "import resource\nresource.setrlimit(resource.RLIMIT_DATA, (-1, -1))"
    ),
    "patches_json": "import json\njson.dumps = lambda *a, **k: 'x' * 10**7",
    "patches_ids": (
        "import course_lib.classroom.checks.worker as w\nw._answer = lambda r, n: {{'id': 'no'}}"
    ),
    "signals": (
        "import signal, os\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n" + PIPES
        + "while True:\n    for n in pipes:\n        try: os.write(n, b'{{\"id\": \"no\"}}\\n')\n"
        "        except OSError: pass"
    ),
    "endless_line": PIPES
    + "while True:\n    for n in pipes:\n        try: os.write(n, b'x' * 10**5)\n"
    "        except OSError: pass",
    "forged_notes": (
        "import json\n" + PIPES + "for i in range(40_000):\n    for n in pipes:\n"
        "        try: os.write(n, json.dumps({{'note': f'<b>{{i}}' * 100}}).encode() + b'\\n')\n"
        "        except OSError: pass"
    ),
    "forged_cells": (
        "import json\n" + PIPES + "for i in range(10**9):\n    for n in pipes:\n"
        "        try: os.write(n, json.dumps({{'cell': i % 99}}).encode() + b'\\n')\n"
        "        except OSError: pass"
    ),
    "forged_array": (
        "import course_lib.classroom.checks.wire as w\n"
        "w.dumps = lambda v: '{{\"array\": [1], \"dtype\": \"S2000000000\", \"shape\": [1]}}'"
    ),
    "forged_shape": (
        "import course_lib.classroom.checks.wire as w\n"
        "w.dumps = lambda v: '{{\"array\": [], \"dtype\": \"int8\", \"shape\": [0, 10000000000]}}'"
    ),
    "forged_keys": (
        "import course_lib.classroom.checks.wire as w\n"
        "keys = ','.join(str(i * (2**61 - 1)) for i in range(40_000))\n"
        "w.dumps = lambda v: '{{\"set\": [' + keys + ']}}'"
    ),
    "threads_on": (
        "import threading\ndef work():\n    while True: pass\n"
        "for _ in range(8): threading.Thread(target=work, daemon=True).start()"
    ),
    "at_exit": "import atexit, time\natexit.register(time.sleep, 1000)",
}  # fmt: skip


@pytest.fixture
def school(tmp_path):
    folder, out = tmp_path / "class", tmp_path / "report"
    put(folder / "alice.ipynb", RATIO, GAP)
    out.mkdir()
    (out / "grades.csv").write_text("earlier")
    return folder, out


def _library() -> str:
    found = hashlib.sha256()
    for path in sorted(LIBRARY.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _attack(folder, out, name: str, port: int = 9) -> None:
    attack = TRIED[name]
    if attack is not None:
        attack = attack.format(folder=folder, out=out, pid=os.getpid(), port=port)
    put(folder / f"m_{name}.ipynb", attack, RATIO, GAP, 5, True, None)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A class of alice and every attacker, graded: grades and seconds by student, and whether all
    files outside are as they were."""
    folder, out = (tmp_path_factory.mktemp(name) for name in ("class", "report"))
    put(folder / "alice.ipynb", RATIO, GAP)
    (out / "grades.csv").write_text("earlier")
    for name in TRIED:
        _attack(folder, out, name)

    def seen():
        files = [path for place in (folder, out) for path in place.iterdir()]
        return {path: path.is_file() and path.read_bytes() for path in files}, _library()

    seconds = {}

    def timed(submission, *given, **options):
        started = time.monotonic()
        try:
            return grade_one(submission, *given, **options)
        finally:
            seconds[submission.student] = time.monotonic() - started

    before = seen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grade, "grade_one", timed)
        grades = grade.grade_class(folder, lessons=["01_cost_reset"], jobs=3, limits=QUICK)
    time.sleep(0.3)  # for what might live on
    return {grade.student: grade for grade in grades}, seconds, before == seen()


@pytest.mark.slow
def test_a_class_of_attackers_costs_alice_nothing_and_changes_nothing_outside(attacked):
    grades, _, unchanged = attacked
    assert len(grades) == len(TRIED) + 1
    assert grades["alice"].right == 2 and not grades["alice"].notes
    assert unchanged


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_an_attack_takes_no_longer_than_it_may_and_makes_no_long_report(name, attacked, tmp_path):
    grades, seconds, _ = attacked
    mallory = grades[f"m_{name}"]
    assert seconds[mallory.student] < QUICK.total + 20
    assert len(mallory.notes) <= 30 and all(len(note) < 1000 for note in mallory.notes)
    for path in write_report([grades["alice"], mallory], tmp_path):
        assert path.stat().st_size < 100_000
        assert b"<script>" not in path.read_bytes() or path.suffix == ".csv"


def test_a_neighbours_answers_are_not_to_be_had(school):
    folder, _ = school
    steal = TRIED["reads_by_descriptor"].format(folder=folder)
    put(folder / "mallory.ipynb", steal + "\nprice_ratio\ngap_in_problems\n")
    mallory = next(one for one in collect(folder) if one.student == "mallory")
    assert grade_one(mallory, ASKED, QUICK).right == 0


@pytest.mark.parametrize(
    "body",
    [
        "while True: print('x')",
        "import signal; signal.signal(14, signal.SIG_IGN)\n    while True: pass",
        "sum(__import__('itertools').count())",
        "import os; os.kill(os.getpid(), 19)",
        "import sys; sys.exit()",
        "return 'x' * 10**8",
        "return [[0] * 10**6] * 10",
        "a = []; a.append(a); return a",
        "return {(): [range(10**9)]}",
        "return type('T' * 10**6, (), {'__repr__': lambda s: '\\ud800' * 10**6})()",
        "return type('T', (float,), {'__eq__': lambda s, o: True, '__abs__': lambda s: 0})(9)",
        "return memoryview(bytes(10**8))",
    ],
)
def test_a_hostile_function_costs_its_own_exercise_only(body, tmp_path):
    hostile = f"def gap_in_problems(a, b, n):\n    {body}\n"
    found = outcomes(graded(tmp_path, hostile, RATIO, limits=replace(QUICK, total=60)))
    assert found[0] == "right" and found[1] != "right"


@pytest.mark.parametrize(
    "text",
    [
        '{"array": [1], "dtype": "S2000000000", "shape": [1]}',
        '{"array": [1], "dtype": "U500000000", "shape": [1]}',
        '{"array": [1], "dtype": "object", "shape": [1]}',
        '{"array": [1], "dtype": "float64", "shape": [1000000000000]}',
        '{"array": [1e30], "dtype": "int64", "shape": [1]}',
        '{"array": [[1], [1, 2]], "dtype": "float64", "shape": [2]}',
        '{"array": {"a": 1}, "dtype": "float64", "shape": [1]}',
        '{"array": [1], "dtype": ["float64"], "shape": [1]}',
        '{"array": [1], "dtype": {}, "shape": null}',
        json.dumps({"set": [n * (2**61 - 1) for n in range(9_000)]}),
        json.dumps({"dict": [[n * (2**61 - 1), 0] for n in range(9_000)]}),
        '{"array": [], "dtype": "int8", "shape": [25000000, 0]}',
        '{"array": [], "dtype": "int8", "shape": [0, 1000, 1000]}',
        '{"array": [1], "dtype": "int8", "shape": [true]}',
        '{"array": [1], "dtype": "int8", "shape": -1}',
        '{"array": [1], "dtype": "int8", "shape": [-1]}',
        '{"array": [1], "dtype": "int8", "shape": [1, 1, 1, 1, 1, 1, 1, 1, 1]}',
        json.dumps({"list": [0] * 200_001}), json.dumps([{"list": []}]),
        json.dumps({"list": [{"other": "", "type": "a"}] * 1_001}),
        '{"dict": 5}', '{"dict": [[[], 1]]}', '{"set": [[1]]}', '{"set": 5}', '{"list": 5}',
        '{"other": "x", "type": "a\\u0000b"}', '{"other": "x"}', '{"a": 1, "b": 2}', "{}",
        "[" * 10**5, "1" * 5000, '"' + "x" * 2_000_000 + '"', "NaN1", None, 5, ["list"],
    ],
)  # fmt: skip
def test_a_forged_value_is_no_value(text):
    started = time.process_time()
    with pytest.raises(ValueError):
        wire.loads(text)
    assert time.process_time() - started < 1


def test_a_foreign_values_name_and_text_are_cut():
    found = wire.loads(json.dumps({"other": "x" * 400_000, "type": "T" * 400_000}))
    assert len(type(found).__name__) == 40 and len(repr(found)) == 400


class Forged:
    """A caller that gives right values, with what else it was made with."""

    is_empty, printed = False, ""

    def __init__(self, give, left=10.0):
        self.give, self.left = give, left

    def go_on(self):
        """Nothing ends it."""

    def __call__(self, one):
        return self.give(one)


GAPS = next(one for one in ASKED if one.symbol == "gap_in_problems")


@pytest.mark.parametrize("seconds", [0.6, 1.1])
def test_a_table_of_the_cases_by_hand_is_not_right(seconds):
    """It sleeps on the last of them, so that more than half of the time is over."""
    known = {repr((one.args, one.kwargs)): exercise.inputs(GAPS)[n].expected
             for n, one in enumerate(GAPS.cases)}  # fmt: skip
    last = list(known)[-1]

    def table(*args, **kwargs):
        key = repr((args, kwargs))
        time.sleep(seconds if key == last else 0)
        return known.get(key, 0)

    found = judge(GAPS, LocalCaller(table, seconds=1))
    assert found.outcome is not Outcome.RIGHT
    assert ("too slow to be tried on enough" in found.headline) == (seconds > 1)


def test_what_is_slow_and_right_on_enough_inputs_is_right():
    calls: list = []

    def slow(one):
        calls.append(one)
        caller.left = 10.0 if len(calls) < len(GAPS.cases) else 0.1
        return one.expected

    caller = Forged(slow)
    assert judge(GAPS, caller).outcome is Outcome.RIGHT
    assert len(calls) == len(GAPS.cases) + 20


LOSSES = [one for one in catalogue.exercises().values() if one.gradients]


@pytest.mark.parametrize("one", LOSSES, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "forged",
    [[], (), {}, None, 5, "x", ["x"] * 9, [[]] * 9, np.zeros(3), np.zeros((2, 2)), "lists"],
    ids=repr,
)  # fmt: skip
def test_forged_gradients_are_not_right(one, forged):
    def give(case):
        got = forged
        if isinstance(forged, str) and forged == "lists":
            got = [["9" * 50_000] * 3 for _ in one.gradients]
        if isinstance(got, list):
            got = got[: len(one.gradients)]
        return case.expected, got

    assert judge(one, Forged(give)).outcome is Outcome.MISTAKE


def test_long_strings_where_numbers_are_due_cost_no_room():
    texts = ["x" * 50_000] + [""] * 50_000
    tracemalloc.start()
    assert "not an array of numbers" in (values.difference(texts, np.zeros(3), 0, 0) or "")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    assert values.difference([1, 2.0, True, np.float64(3)], np.array([1, 2, 1, 3]), 0, 0) is None


@pytest.mark.parametrize("ends", ["stopped", "late"])
def test_the_judges_own_work_ends_with_the_time_and_with_the_grader(ends, tmp_path):
    process = remote.Process([], {}, QUICK, sandbox.TRUSTED)
    caller = remote.RemoteCaller(process, GAPS)
    tried = []

    def wrong(*_, **__):  # a mistake's variant: here it costs time
        tried.append(1)
        if ends == "stopped":
            process.stop.set()
        process.ends = -100.0
        return 0

    caller.process = process
    slow = replace(GAPS, mistakes=(exercise.Mistake("m", wrong),) * 3)
    answer = Forged(lambda one: -1)
    answer.go_on = caller.go_on
    if ends == "stopped":
        with pytest.raises(remote.Stopped):
            judge(slow, answer)
    else:
        found = judge(slow, answer)
        assert found.outcome is Outcome.ERROR and "used up" in found.headline
        assert process.notes == ["It was not run: the submission's 40 seconds are used up."]
    assert len(tried) == 1


def test_notebooks_that_stop_themselves_share_the_submissions_time(tmp_path):
    for number in range(4):
        put(tmp_path / "mallory" / f"{number}.ipynb", TRIED["stops_itself"], RATIO)
    started = time.monotonic()
    found = grade_one(collect(tmp_path)[0], ASKED[:1], replace(QUICK, total=6))
    assert time.monotonic() - started < 6 + remote._GRACE + 5
    assert found.verdicts[0].outcome is not Outcome.RIGHT
    assert sum("not run: the submission's 6 seconds are used up" in one for one in found.notes) == 3


def test_all_replies_to_an_exercise_have_a_longest_size():
    caller = remote.RemoteCaller(remote.Process([], {}, QUICK, sandbox.TRUSTED), GAPS)
    reply = {"got": json.dumps("x" * 900_000)}
    for _ in range(8):
        caller._read(reply)
    with pytest.raises(Failure):
        caller._read(reply)


def test_a_verdict_is_short_and_steers_no_screen():
    odd = "\x1b]0;taken\x07\x9b31m\r" + "x" * 10**6
    found = Verdict("a", Outcome.ERROR, odd, (odd,) * 100)
    assert len(json.dumps(asdict(found))) < 30_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", found.message)


def test_control_characters_stay_out_of_the_report(tmp_path):
    note = "\x1b[2Jtaken\x9b\x00"
    table, page = write_report([Grade("a", (), (note,))], tmp_path, [note])
    for path in (table, page):
        assert not re.search(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]", path.read_text(encoding="utf-8"))
