"""Every attack that was tried on the grader, and more: none changes anything but its own result."""

import hashlib
import json
import os
import time
from dataclasses import replace

import pytest
from handed_in import ASKED, GAP, QUICK, RATIO, graded, outcomes, put

from course_lib.classroom.checks import wire
from course_lib.classroom.grade import grade_class, grade_one
from course_lib.classroom.grade_files import collect
from course_lib.classroom.grade_report import write_report
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


@pytest.mark.parametrize("name", TRIED)
def test_an_attack_changes_nothing_outside(name, school):
    folder, out = school
    _attack(folder, out, name)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}, _library()
    submissions = collect(folder)
    started = time.monotonic()
    alice, mallory = [grade_one(one, ASKED, QUICK, seed=1) for one in submissions]
    assert outcomes(alice) == ["right", "right"] and not alice.notes
    assert time.monotonic() - started < QUICK.total + 20
    time.sleep(0.3)  # for what might live on
    after = {path.name: path.read_bytes() for path in folder.iterdir()}, _library()
    assert after == before
    assert (out / "grades.csv").read_text() == "earlier" and len(list(out.iterdir())) == 1
    assert len(mallory.notes) <= 30 and all(len(note) < 1000 for note in mallory.notes)
    for path in write_report([alice, mallory], out):
        assert path.stat().st_size < 100_000
        assert b"<script>" not in path.read_bytes() or path.suffix == ".csv"


@pytest.mark.slow
def test_a_class_of_attackers_costs_alice_nothing(school):
    folder, out = school
    for name in TRIED:
        _attack(folder, out, name)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}, _library()
    grades = grade_class(folder, lessons=["01_cost_reset"], jobs=2, limits=QUICK)
    assert len(grades) == len(TRIED) + 1
    (alice,) = [one for one in grades if one.student == "alice"]
    assert alice.right == 2 and not alice.notes
    assert before == ({path.name: path.read_bytes() for path in folder.iterdir()}, _library())


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
