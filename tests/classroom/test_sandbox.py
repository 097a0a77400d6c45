"""What the operating system keeps from a submission, in each kind of sandbox that there is here."""

import contextlib
import mmap
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from handed_in import GAP, QUICK, RATIO, graded, outcomes, put, seen

from course_lib.classroom import grade
from course_lib.classroom.checks import guard, remote, sandbox, use
from course_lib.errors import CourseError
from course_lib.runtime import LIBRARY

REQUIRED = os.environ.get("COURSE_SANDBOX") == "require"
KINDS = [one for one in sandbox._candidates([]) if sandbox._works(one)]
EACH = pytest.mark.parametrize("inside", KINDS, ids=lambda one: f"{one.name}-{one.root}")


def test_there_is_a_sandbox_where_one_is_required():
    assert KINDS or not REQUIRED


REFUSED = "OSError PermissionError"
REACHED = {
    "os.path.exists({folder!r})": "False",
    "os.path.exists({home!r} + '/.profile')": "False",
    "[one for one in os.listdir('/tmp') if one not in ('work', 'home')]": "[]",
    "open({library!r} + '/__init__.py', 'w')": REFUSED,
    "os.rename({library!r}, '/tmp/gone')": REFUSED,
    "open('/anything', 'w')": REFUSED,
    "open('/dev/anything', 'w')": REFUSED,
    "open('/etc/anything', 'w')": REFUSED,
    "open('/proc/sys/kernel/core_pattern', 'w')": REFUSED,
    "open('/proc/sysrq-trigger', 'w')": f"{REFUSED} FileNotFoundError",
    "socket.create_connection(('192.0.2.1', 80), 2)": REFUSED,
    "socket.create_connection(('127.0.0.1', {port}), 2)": "ConnectionRefusedError OSError",
    # no way to a machine's host; what no table of sockets counts; UDP is counted
    "[libc.socket(*one) < 0 for one in ((40, 1, 0), (2, 1, 262), (2, 2, 136), (2, 2, 17))]": (
        "[True, True, True, False]"
    ),
    "os.memfd_create('room')": "PermissionError",
    "libc.shmget(0, 10**6, 0o1777)": "-1",
    "libc.semget(0, 1, 0o600), libc.msgget(0, 0o600)": "(-1, -1)",
    "socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)": REFUSED,
    "socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)": REFUSED,
    "socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)": "None",
    "socket.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 3)": "None",  # 7 too
    "libc.unshare(0x10000000)": "-1",
    "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)": "-1",
    "libc.ptrace(16, os.getppid(), 0, 0)": "-1",
    "len(os.sched_getaffinity(0))": "1",
    "os.sched_setaffinity(0, range(64))": REFUSED,
    "os.kill({pid}, 0)": "ProcessLookupError",
    "len([one for one in os.listdir('/proc') if one.isdigit()]) < 5": "True",
    "open('/proc/self/status').read().split('CapEff:')[1].split()[0].strip('0')": "",
    "open('/proc/self/oom_score_adj').read().strip()": "1000",
    "sorted(set(os.environ) & {{'SECRET', 'SSH_AUTH_SOCK'}})": "[]",
}


@EACH
def test_what_a_cell_can_reach(inside, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "of the class")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        names = {
            "folder": str(tmp_path), "home": str(Path.home()), "library": str(LIBRARY),
            "pid": os.getpid(), "port": listener.getsockname()[1],
        }  # fmt: skip
        found = seen(tmp_path, *(one.format(**names) for one in REACHED), inside=inside)
    wrong = {
        expression: got
        for (expression, right), got in zip(REACHED.items(), found, strict=True)
        if got != right and got not in right.split()
    }
    assert not wrong


@EACH
def test_a_submission_within_a_folder_that_python_needs_is_hidden(inside, tmp_path, monkeypatch):
    folder = Path(sys.prefix) / "handed-in-for-a-test"
    folder.mkdir()
    try:
        (folder / "alice.ipynb").write_text("answers")
        like = (inside.name, inside.root)
        hiding = next(o for o in sandbox._candidates([folder]) if (o.name, o.root) == like)
        look = f"os.path.exists('{folder}/alice.ipynb')"
        assert seen(tmp_path, look, inside=inside) == ["True"]
        assert seen(tmp_path, look, inside=hiding) == ["False"]
    finally:
        shutil.rmtree(folder)


# What eats: memory of one process, of many, files in memory, names of files, shared memory, threads
EATERS = {
    "heap": "heap = []\nwhile True:\n    heap.append(bytearray(b'x') * 10**7)",
    "many": "import os\nfor _ in range(8): os.fork()\nheap = b'x' * 4 * 10**8\nwhile True: pass",
    "shared": (
        "import mmap\nheap = []\nwhile True:\n    heap.append(mmap.mmap(-1, 10**8))\n"
        "    for i in range(0, 10**8, 4096): heap[-1][i] = 1"
    ),
    "shared_and_let_go": (
        "import mmap, time\nheap = mmap.mmap(-1, 6 << 30)\nfor at in range(0, 6 << 30, 1 << 24):\n"
        "    heap[at:at + (1 << 24)] = bytes(b'x') * (1 << 24)\n"
        "    heap.madvise(mmap.MADV_DONTNEED, at, 1 << 24)\ntime.sleep(9)"
    ),
    "files": (
        "import os\nfor n in range(10**6):\n    with open(f'/tmp/{n}', 'wb') as out:\n"
        "        out.write(bytes(10**7))"
    ),
    "names": "for n in range(10**9):\n    open(f'/tmp/{n}', 'w').close()",
    "names_behind_the_dead": (
        "import ctypes, os, time\nfor n in range(10**9):\n    open(f'/tmp/{n}', 'w').close()\n"
        "    if n < 5 and not os.fork(): os._exit(0)"
    ),
    "forks": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "threads": (
        "import threading, time\nwhile True:\n"
        "    threading.Thread(target=time.sleep, args=(99,)).start()"
    ),
}


@EACH
@pytest.mark.parametrize("eater", EATERS)
def test_memory_processes_and_files_are_bounded(inside, eater, tmp_path):
    limits = replace(QUICK, cell=20, total=120, memory=10**9)  # a busy machine starts slowly
    held = [_held()]
    done = threading.Event()

    def look():
        while not done.wait(0.1):
            held.append(_held())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        grade = graded(tmp_path, EATERS[eater], RATIO, limits=limits, inside=inside)
    finally:
        done.set()
        watcher.join()
    assert grade.right == 1 and grade.notes
    assert max(held) - held[0] < 3.5 * 10**9


@EACH
@pytest.mark.parametrize("names", [12_000, 10**9])
def test_the_cell_that_made_the_files_is_left_out_though_nobody_looked(
    inside, names, tmp_path, monkeypatch
):
    monkeypatch.setattr(remote, "_LOOK", 5.0)  # as on a busy machine
    eater = f"for n in range({names}):\n    open(f'/tmp/{{n}}', 'w').close()"
    limits = replace(QUICK, cell=20, total=120)
    grade = graded(tmp_path, "1", eater, "2", RATIO, limits=limits, inside=inside)
    assert grade.right == 1
    assert grade.notes == ("Cell 2 was left out: it made more than 10,000 files.",)


def _held() -> int:
    """Bytes of what this test has started, pages in common counted once, and of the kernel's own.

    Other tests' processes beside it are left out: a browser starts and ends with a gigabyte.
    """
    texts = [Path("/proc/meminfo").read_text(encoding="utf-8")]
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError):
            texts.append(Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="utf-8"))
    sizes = r"^(?:Shmem|Slab|KernelStack|PageTables|Pss_Anon):\s+(\d+)"
    found = re.findall(sizes, "\n".join(texts), re.MULTILINE)
    return 1024 * sum(map(int, found))


def test_what_a_process_holds_is_seen():
    hold = "heap = b'x' * 2 * 10**9\nprint(1, flush=True)\ninput()"
    before = _held()
    with subprocess.Popen([sys.executable, "-c", hold], stdin=-1, stdout=-1, text=True) as one:
        one.stdout.readline()
        grown = _held() - before
        one.communicate("\n")
    assert 1.5 * 10**9 < grown < 3 * 10**9


@EACH
def test_a_pipe_that_is_not_ready_is_no_fork_refused(inside, tmp_path):
    empty = "import os\nreader, _ = os.pipe()\nos.set_blocking(reader, False)\nos.read(reader, 1)"
    grade = graded(tmp_path, f"{RATIO}\n{empty}", inside=inside)
    assert grade.right == 1 and "BlockingIOError" in grade.notes[0], "what stood above it is kept"


@EACH
def test_nothing_outlives_a_submission(inside, tmp_path):
    survivor = (
        "import subprocess, os\n"
        "subprocess.Popen(['sh', '-c', 'sleep 54321 & exec sleep 54321'], start_new_session=True)\n"
    )
    assert graded(tmp_path, survivor + RATIO, inside=inside).right == 1
    _until(lambda: not _running("54321"))


def _running(word: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if word in process.cmdline():
                found.append(process.pid)
    return found


@EACH
def test_a_killed_grader_leaves_no_worker(inside, tmp_path):
    put(tmp_path / "class" / "mallory.ipynb", "import os\nos.system('sleep 65432')", RATIO)
    kind = KINDS.index(inside)
    code = textwrap.dedent(f"""
        from pathlib import Path
        from course_lib.classroom.checks import sandbox
        kinds = [one for one in sandbox._candidates([]) if sandbox._works(one)]
        sandbox.find = lambda hidden: kinds[{kind}]
        from course_lib.classroom import grade
        grade.main(["class", "--out", "report"])
    """)
    grader = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    _until(lambda: _running("65432"))
    grader.kill()
    grader.wait()
    _until(lambda: not _running("65432"))


def _until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.skipif(os.geteuid() != 0, reason="is such a user already")
def test_an_ordinary_user_has_the_same(tmp_path):
    """In an outer sandbox that gives the test another user, with Python where that may read it."""
    put(tmp_path / "class" / "lea.ipynb", "import os\nassert os.getuid() != 1", RATIO, GAP)
    prefixes = {Path(sys.base_prefix), Path(sys.prefix)}
    shown = [w for p in prefixes for w in _bind(p) if p.is_relative_to(Path.home())]
    code = (
        "from pathlib import Path\nfrom course_lib.classroom.checks import sandbox\n"
        "from course_lib.classroom import grade\ngiven = Path('/tmp/class')\n"
        "kinds = [one for one in sandbox._candidates([]) if sandbox._works(one)]\n"
        "print([one.name for one in kinds])\nassert not any(one.root for one in kinds)\n"
        "for kind in kinds:\n    sandbox.find = lambda hidden: kind\n"
        "    print([one.right for one in grade.grade_class(given, lessons=['01_cost_reset'])])\n"
    )
    home = ["--perms", "0755", "--tmpfs", str(Path.home())]
    done = subprocess.run(
        ["bwrap", "--dev-bind", "/", "/", *home, *shown, "--perms", "1777", "--tmpfs", "/tmp",
         "--ro-bind", str(tmp_path / "class"), "/tmp/class",
         "--cap-add", "ALL", "setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups",
         sys.executable, "-c", code],
        env=os.environ | {"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}, cwd="/",
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "['bwrap', 'unshare']\n[2]\n[2]\n", done.stderr


def _bind(path: Path) -> list[str]:
    above = [
        word for one in reversed(path.parents) for word in ("--perms", "0755", "--dir", str(one))
    ]
    return [*above[4:], "--ro-bind", str(path), str(path)]


def test_without_a_sandbox_the_command_says_so_and_asks_for_trust(tmp_path, monkeypatch, capsys):
    put(tmp_path / "class" / "lea.ipynb", RATIO, GAP)
    monkeypatch.setattr(sandbox, "_candidates", lambda hidden: iter(()))
    sandbox.find.cache_clear()
    arguments = [str(tmp_path / "class"), "--out", str(tmp_path / "report"), "--jobs", "1"]
    with pytest.raises(CourseError, match=r"no sandbox.*bubblewrap.*--trust"):
        grade.main(arguments)
    assert not (tmp_path / "report").exists()
    assert grade.main([*arguments, "--trust", "--lesson", "01_cost_reset"]) == 0
    assert "lea: 2 of" in capsys.readouterr().out


def test_shared_memory_counts_once_per_inode_and_what_hides_counts_whole(tmp_path):
    line = "7f0000000000-7f0000{:x} rw-s {:08x} 00:01 {}    {}\n"
    maps = line.format(0x1000000, 0, 11, "/dev/zero (deleted)") * 2
    maps += line.format(0x1000000, 0x1000, 12, "/memfd:room (deleted)")
    maps += line.format(0x1000000, 0, 13, "/SYSV00000000 (deleted)")
    maps += line.format(0x1000000, 0, 14, "/usr/lib/libc.so")
    maps += line.replace("rw-s", "rw-p").format(0x1000000, 0, 15, "/dev/zero (deleted)")
    size = 0x7F0001000000 - 0x7F0000000000
    assert use._mapped(maps.replace("7f00001000000", "7f0001000000")) == {
        "00:01 11": size, "00:01 12": size + 0x1000, "00:01 13": size
    }  # fmt: skip
    with mmap.mmap(-1, 10**8) as room:
        room[:4096] = bytes(4096)
        assert use.use(os.getpid())[0] > 10**8


def test_the_tables_of_pages_count_where_the_pages_themselves_are_none():
    size = 2**31
    before = use.use(os.getpid())[0]
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ) as room:
        room.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, size, 2**21):
            room[at]
        assert use.use(os.getpid())[0] - before > 1000 * 4096


ROOM = int(Path("/proc/sys/net/core/wmem_default").read_text())


def test_what_the_kernel_keeps_for_sockets_counts():
    before, net = use._kept(Path("/proc/self/net")), Path("/proc/self/net")
    with contextlib.ExitStack() as held:
        for _ in range(50):
            for one in socket.socketpair():
                held.enter_context(one)
        local = use._kept(net)
        assert local - before > 50 * ROOM, "other programs' sockets may go meanwhile"
        receiver = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        receiver.bind(f"\0{os.getpid()}")
        with contextlib.suppress(BlockingIOError):
            while True:  # those who sent are gone, and what they sent waits
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                    sender.setblocking(False)
                    sender.sendto(bytes(10**5), receiver.getsockname())
        waits = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
        waiting = use._kept(net)
        assert waiting - local > waits * ROOM
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        for _ in range(10):
            sender = held.enter_context(socket.create_connection(listener.getsockname()))
            held.enter_context(listener.accept()[0])
            sender.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sender.send(bytes(10**6))
        assert use._kept(net) - waiting > 5 * 10**6


@EACH
def test_sockets_count_to_the_sandbox_in_which_they_are(inside, tmp_path):
    code = (
        "import socket\ninput()\nheld = [socket.socketpair() for _ in range(60)]\nprint(1)\ninput()"
    )
    environment = sandbox.environment(inside) | {"PYTHONUNBUFFERED": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(
        inside.command(code), env=environment, cwd=tmp_path, bufsize=0, **pipes
    ) as child:
        try:
            child.stdin.write(b"\n")
            child.stdout.readline()
            counted = use._sockets([child.pid, *_below(child.pid)])
        finally:
            child.kill()
    assert 120 * ROOM <= counted < 160 * ROOM
    assert use._sockets([os.getpid()]) == 0, "without a sandbox they are the whole machine's"


def _below(pid: int) -> list[int]:
    return [one.pid for one in psutil.Process(pid).children(recursive=True)]


def test_memory_counts_behind_a_first_thread_that_has_ended():
    leave = {"x86_64": 60, "aarch64": 93}.get(os.uname().machine)
    code = (
        "import ctypes, threading, time\nheap = bytearray(b'x') * 10**8\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        f"ctypes.CDLL(None).syscall({leave}, 0)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as child:
        try:
            _until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
            assert use.use(child.pid)[0] > 10**8
        finally:
            child.kill()


def test_two_at_a_time_have_a_core_each():
    cores = remote._Cores()
    taken = [cores.take() for _ in cores.taken]
    assert sorted(taken) == sorted(os.sched_getaffinity(0))
    again = cores.take()
    cores.give_back(again)
    assert again in taken and max(cores.taken.values()) == 1
    assert remote.memory_for(1) <= 3 * 2**30 and remote.memory_for(1000) == 2**30


def test_a_limit_that_a_system_refuses_leaves_the_others(monkeypatch):
    """macOS refuses RLIMIT_AS, and knows no RLIMIT_MSGQUEUE."""
    set_ones = []

    def setrlimit(which, bounds):
        if which == resource.RLIMIT_AS:
            raise ValueError("current limit exceeds maximum limit")
        set_ones.append(which)

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    monkeypatch.delattr(resource, "RLIMIT_MSGQUEUE")
    guard._limit(10**9, 10**6, 60, 0)
    assert {resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU} <= set(set_ones)


def test_address_space_that_is_only_reserved_costs_nothing(tmp_path):
    """As a CUDA build of torch does when it is imported: several GB, mapped and not written."""
    reserve = (
        "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.mmap.restype = ctypes.c_void_p\n"
        "size = ctypes.c_size_t(6 * 2**30)\n"
        "assert libc.mmap(None, size, 0, 0x4022, -1, 0) != 2**64 - 1\n"
    )
    grade = graded(tmp_path, reserve + GAP, RATIO, limits=replace(QUICK, memory=2**30))
    assert outcomes(grade) == ["right", "right"] and not grade.notes


def test_the_container_has_no_network_no_rights_and_a_limit_on_everything():
    words = " ".join(sandbox._container("podman"))
    for part in ("network none", "read-only", "cap-drop ALL", "pids-limit", "memory"):
        assert f"--{part}" in words
