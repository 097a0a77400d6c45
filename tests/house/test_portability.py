"""Other machines, injected: no home, a full disk, a read-only course, a small container, a plain
console, a CUDA build's address space, files that Windows holds fast. The lesson goes on."""

import ast
import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import course_lib
from course_lib import runtime
from course_lib.errors import CourseError

GIB = 2**30
LIBRARY = Path(course_lib.__file__).parent
SETTINGS = (
    "HOME", "USERPROFILE", "XDG_DATA_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "INSIDE_R1_HOME",
    "INSIDE_R1_CACHE", "INSIDE_R1_RUNS", "MEM_LIMIT", "CPU_LIMIT", "JPY_PARENT_PID",
)  # fmt: skip


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No setting at all, and no user of that name: as in a container under a foreign number."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    if sys.platform != "win32":

        def nobody(uid):
            raise KeyError(f"getpwuid(): uid not found: {uid}")

        monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr(runtime, "_GROUPS", tmp_path / "no-container")
    runtime._for_now.cache_clear()
    return monkeypatch


def learner(code, folder, **environment):
    """What a learner's Python prints, in `folder`, as a user to whom permissions apply."""
    head = "import os, sys, IPython.display\nIPython.display.display = lambda *_, **__: None\n"
    head += "from course_lib import runtime\nfrom course_lib.show import notebook\n"
    head += "runtime.writable = lambda _: True; notebook.setup()  # root's Python, read as root\n"
    head += "import importlib; importlib.reload(runtime)\n"
    head += "if getattr(os, 'geteuid', int)() == 0: os.setegid(65534); os.seteuid(65534)\n"
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", head + code], cwd=folder, env=kept | environment,
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def classroom():
    """A course to read only, and a home: folders that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        (top / "course" / "notebooks").mkdir(parents=True)
        (top / "home").mkdir(mode=0o777)
        for folder, mode in ((top, 0o755), (top / "home", 0o777)):
            folder.chmod(mode)
        for folder in (top / "course" / "notebooks", top / "course"):
            folder.chmod(0o555)
        yield top
        (top / "course").chmod(0o755)


# A person's things.


def test_without_a_home_a_check_judges_and_says_once_what_is_not_kept(bare, capsys):
    from course_lib.checklist import progress

    bare.setattr(progress, "_waiting", {})
    bare.setattr(progress, "_said", set())
    said = [progress.record(name, "right") for name in ("a", "b")]
    assert "set INSIDE_R1_HOME" in said[0] and said[1] == ""
    assert progress.load().outcomes() == {"a": "right", "b": "right"}


def test_every_setting_has_its_place_and_an_empty_one_is_none(bare, tmp_path):
    bare.setenv("INSIDE_R1_HOME", str(tmp_path / "own"))
    assert runtime.home() == tmp_path / "own" and runtime.not_kept() == ""
    bare.setenv("INSIDE_R1_RUNS", str(tmp_path / "runs"))
    bare.setenv("INSIDE_R1_CACHE", str(tmp_path / "cache"))
    assert (runtime.runs(), runtime.cache_folder()) == (tmp_path / "runs", tmp_path / "cache")
    bare.setenv("INSIDE_R1_HOME", " ")
    bare.setenv("HOME", str(tmp_path))
    bare.setenv("USERPROFILE", str(tmp_path))
    assert tmp_path in runtime.home().parents
    bare.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert runtime.home().is_absolute()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users by number")
def test_root_leaves_nothing_in_somebody_elses_home(bare, tmp_path):
    bare.setenv("HOME", str(tmp_path))
    bare.setattr(os, "geteuid", lambda: 0)
    owner = os.stat_result((0o40755, 0, 0, 1, 1000, 1000, 0, 0, 0, 0))
    stat = Path.stat
    bare.setattr(Path, "stat", lambda self, **o: owner if self == tmp_path else stat(self, **o))
    assert tmp_path not in runtime.home().parents
    assert "somebody else's" in runtime.not_kept()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_costs_the_lesson_nothing(bare, tmp_path, code):
    from course_lib.checklist import predictions, progress

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    bare.setenv("INSIDE_R1_HOME", str(tmp_path))
    bare.setattr(progress, "_waiting", {})
    bare.setattr(progress.tempfile, "mkstemp", refuse)
    assert os.strerror(code) in progress.record("a", "right")
    assert os.strerror(code) in predictions.keep("01.interval", "How wide?", "10")
    assert predictions.kept("01.interval") == "10"
    assert progress.load().outcomes() == {"a": "right"}


def test_a_course_that_is_read_only_serves_a_class(classroom):
    code = "notebook.setup()\nprint(os.getcwd(), runtime.runs().resolve(), sep='\\n')\n"
    code += "open('mine.txt', 'w').close()"
    mine = classroom / "home" / "inside-r1"
    where = {"INSIDE_R1_HOME": str(mine)}
    said = learner(code, classroom / "course" / "notebooks", **where).splitlines()
    assert said[0].startswith("The course is here to read only") and str(mine) in said[0]
    assert [Path(line).resolve() for line in said[-2:]] == [
        (mine / "notebooks").resolve(),
        (mine / "runs").resolve(),
    ]
    assert (mine / "notebooks" / "mine.txt").exists()


def test_a_course_and_a_home_that_are_read_only_still_give_the_lesson(classroom):
    where = {"INSIDE_R1_HOME": str(classroom / "course" / "home")}
    said = learner("notebook.setup()\nopen('mine.txt', 'w')", classroom / "course", **where)
    assert "only as long as this program lasts" in said


def test_a_course_of_ones_own_is_worked_in_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runtime.work_here() == "" and Path.cwd() == tmp_path


# Containers.


def test_memory_is_what_the_container_and_the_hub_allow(bare, tmp_path):
    import psutil

    total = psutil.virtual_memory().total
    assert runtime.memory()[0] == total
    bare.setattr(runtime, "_GROUPS", tmp_path)
    new = {"memory.max": total // 2, "memory.current": 300, "memory.stat": "inactive_file 100"}
    old = {"limit_in_bytes": total // 4, "usage_in_bytes": 0, "stat": "total_inactive_file 9"}
    for name, value in new.items():
        (tmp_path / name).write_text(f"{value}\n")
    assert next(iter(runtime._memory_limits())) == (total // 2, 200)
    assert runtime.memory()[0] == total // 2
    (tmp_path / "memory").mkdir()
    for name, value in old.items():
        (tmp_path / "memory" / f"memory.{name}").write_text(f"{value}\n")
    assert runtime.memory()[0] == total // 4
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")
    assert runtime.memory()[0] == total
    bare.setenv("MEM_LIMIT", str(GIB))
    assert runtime.memory()[0] == GIB and 0 <= runtime.memory()[1] < GIB
    bare.setenv("MEM_LIMIT", "1G")  # JupyterHub writes bytes; another's words are not ours
    assert runtime.memory()[0] == total


def test_preflight_and_a_long_run_go_by_the_containers_memory(bare, tmp_path):
    from course_lib.local import preflight

    bare.setenv("INSIDE_R1_HOME", str(tmp_path))
    bare.setenv("MEM_LIMIT", str(GIB))
    assert preflight.look().memory == GIB
    with pytest.raises(CourseError, match="are free and this run wants"):
        preflight.require_memory()
    report = preflight.report(preflight.look(), 1.0)
    assert "of 1.1 GB" in report and str(tmp_path) in report and "too little free" in report


def test_cores_are_what_the_container_and_the_hub_allow(bare, tmp_path):
    bare.setattr(os, "cpu_count", lambda: 64)
    bare.setattr(os, "sched_getaffinity", lambda _: set(range(32)), raising=False)
    assert runtime.allowed_cores() == 32
    bare.setattr(runtime, "_GROUPS", tmp_path)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("400000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert runtime.allowed_cores() == 4
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert runtime.allowed_cores() == 32
    bare.setenv("CPU_LIMIT", "0.5")
    assert runtime.allowed_cores() == 1
    bare.setenv("CPU_LIMIT", "nan")
    assert runtime.allowed_cores() == 32


# Windows, macOS, a CUDA build.


@pytest.mark.skipif(sys.platform != "linux", reason="Linux shows what is mapped")
def test_a_loaded_model_holds_no_file_of_its_folder(tmp_path):
    import torch

    from course_lib.model import checkpoints, models

    model, tokenizer = models.load(models.shipped("mini-v3-base"))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss.backward()
    optimizer.step()
    checkpoints.save(tmp_path / "run", model, tokenizer, optimizer, {"step": 1})
    again, tokenizer = models.load(tmp_path / "run")
    state = torch.optim.AdamW(again.parameters())
    checkpoints.load_state(tmp_path / "run", again, state)
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    tied = again.get_input_embeddings().weight is again.get_output_embeddings().weight
    assert tied == again.config.tie_word_embeddings


def test_a_folder_that_another_program_holds_is_left_whole(tmp_path, monkeypatch):
    from course_lib.model import models

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept").write_text("before")
    rename = Path.rename

    def held(self, target):
        if self.name == ".run.new":
            raise PermissionError(13, "The process cannot access the file", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", held)
    with (
        pytest.raises(CourseError, match="close that and try again"),
        models.replacing(tmp_path / "run") as aside,
    ):
        (aside / "new").touch()
    assert (tmp_path / "run" / "kept").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits")
def test_each_limit_is_tried_on_its_own_and_a_cuda_build_has_room():
    code = """if True:
    import json, resource
    from course_lib.classroom.checks import guard
    asked, put = {}, resource.setrlimit
    def refuse(which, pair):
        asked[which] = pair[0]
        if which == resource.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")  # as macOS says
        put(which, pair)
    resource.setrlimit = refuse
    guard._limit(3 << 30, 1 << 20, 60, 0)
    names = {n: getattr(resource, "RLIMIT_" + n) for n in ("AS", "CORE", "FSIZE", "CPU")}
    print(json.dumps({n: [asked.get(v), resource.getrlimit(v)[0]] for n, v in names.items()}))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["AS"][0] >= 12 * GIB  # a CUDA build reserves 3.2 GiB of addresses at import
    assert found["CORE"] == [0, 0] and found["FSIZE"] == [2**20] * 2 and found["CPU"][1] == 120


@pytest.mark.skipif(sys.platform != "linux", reason="posix_spawn as Linux has it")
def test_a_child_is_counted_once_however_python_starts_it():
    from course_lib.limits import dataflow

    with dataflow.record() as flow:
        subprocess.run([sys.executable, "-c", ""], close_fds=False)  # by posix_spawn
        subprocess.run([sys.executable, "-c", ""])
        os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ), 0)
    assert len(flow.started) == 3 and len(flow.reporting) == 3


# Consoles and text files.


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_a_command_speaks_to_a_console_with_few_signs(encoding, tmp_path):
    settings = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "INSIDE_R1_HOME": str(tmp_path)}
    code = "import sys; from course_lib import __main__ as m\n"
    code += "m.ELSEWHERE = {'x': ('local.ask', '')}\n"
    code += "import course_lib.local.ask as a; a.main = lambda _: print('✓ ≤ 5 ＝ \\U0001f600')\n"
    code += "sys.exit(m.main(['x']))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=os.environ | settings
    )
    assert done.returncode == 0, done.stderr
    assert b"5" in done.stdout


def test_a_table_for_a_spreadsheet_begins_with_the_mark_of_utf_8(tmp_path):
    from course_lib.classroom import grade_report, grade_results

    table, _ = grade_report.write_report([grade_results.Grade("Zoë 李", ())], tmp_path)
    assert table.read_bytes().startswith(b"\xef\xbb\xbf")


def without_encoding(tree):
    """Calls that read or write text in whatever encoding the machine happens to have."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        words = {word.arg for word in node.keywords}
        modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
        binary = any(isinstance(mode, str) and "b" in mode and len(mode) < 4 for mode in modes)
        text = (name, len(node.args)) in (("read_text", 0), ("write_text", 1)) or (
            name in ("open", "fdopen") and (isinstance(node.func, ast.Name) or modes)
        )
        if text and not binary and "encoding" not in words:
            yield node.lineno, name


def test_text_is_utf_8_whatever_the_machine_thinks():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in LIBRARY.rglob("*.py")}
    assert not {path: lines for path, tree in trees.items() if (lines := [*without_encoding(tree)])}


def test_text_without_an_encoding_would_be_seen():
    bad = ["p.read_text()", "open('x')", "p.write_text(t)", "p.open('a')", "os.fdopen(h, 'w')"]
    good = ["p.read_text(encoding='utf-8')", "open('x', 'rb')", "p.open('wb')", "Image.open(x)"]
    assert all(list(without_encoding(ast.parse(one))) for one in bad)
    assert not any(list(without_encoding(ast.parse(one))) for one in good)
