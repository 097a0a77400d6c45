"""Kernels forked from one process: they are kernels like any other, and none outlives its asker."""

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pidfd is Linux's")

if sys.platform == "linux":
    from jupyter_client import KernelManager

    from course_lib.classroom.hub import kernel, warm
    from course_lib.runtime import ASSETS

LIGHT = """import multiprocessing, sys
from course_lib.classroom.hub import warm
warm.LOADED = ("ipykernel.kernelapp", "ipykernel.ipkernel")
warm.main(sys.argv[1:])"""


PATIENCE = 600  # seconds; a machine that is busy with other work is slow


def until(question, patience=PATIENCE):
    end = time.monotonic() + patience
    while not question():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The process that is forked, without the libraries that take long to load."""
    path = tmp_path_factory.mktemp("k") / "kernels"
    with subprocess.Popen([sys.executable, "-c", LIGHT, str(path)]) as process:
        until(path.exists)
        yield path, process
        process.kill()


@pytest.fixture(scope="module")
def begun(service):
    """A kernel by its kernelspec, as JupyterLab begins it, and a client that is connected."""
    own = {"JUPYTER_PATH": str(ASSETS / "classroom" / "hub"), kernel.SOCKET: str(service[0])}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", own["JUPYTER_PATH"])
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=service[0].parent, env=os.environ | own | {"A_USERS_OWN": "here"})
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=PATIENCE)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def said(client, code):
    out = []

    def hear(message):
        content = message["content"]
        out.append(content.get("text", content.get("ename", "")))

    client.execute_interactive(code, output_hook=hear, timeout=PATIENCE)
    return "".join(out)


def test_a_kernel_has_its_users_environment_and_a_folder_of_its_own(begun, service):
    code = "import os\nprint(os.getppid(), os.environ['A_USERS_OWN'], os.getcwd())"
    told = said(begun[1], code).split()
    assert told == [str(service[1].pid), "here", str(service[0].parent)]


def test_a_process_that_is_no_fork_finds_what_lies_beside_the_notebook(begun):
    """Python's own way from 3.14 on."""
    code = (
        "open('thrice.py', 'w').write('def f(x): return 3 * x')\nimport thrice\n"
        "from concurrent.futures import ProcessPoolExecutor as Pool\n"
        "from multiprocessing import get_context\n"
        "with Pool(1, get_context('spawn')) as pool: print(*pool.map(thrice.f, [14]))"
    )
    assert said(begun[1], code).split()[-1] == "42"


def test_a_cell_is_interrupted_and_the_kernel_goes_on(begun):
    manager, client = begun
    threading.Timer(1, manager.interrupt_kernel).start()
    code = "import time; mine = 1\nwhile True: time.sleep(0.1)"
    assert "KeyboardInterrupt" in said(client, code)
    assert "1\n" in said(client, "print(mine)")


def test_two_kernels_draw_other_numbers(begun):
    manager, client = begun
    draw = "import random, numpy; print(random.random(), numpy.random.rand())"
    first = said(client, draw)
    manager.restart_kernel(now=True)
    client.wait_for_ready(timeout=PATIENCE)
    assert not set(first.split()) & set(said(client, draw).split())


def test_a_kernel_that_is_shut_down_runs_what_was_to_be_run_at_its_end(begun, tmp_path):
    manager, client = begun
    left, thread = tmp_path / "left", tmp_path / "thread"
    said(client, f"import atexit, pathlib; atexit.register(pathlib.Path({str(left)!r}).touch)")
    late = f"threading.Timer(1, pathlib.Path({str(thread)!r}).touch).start()"
    said(client, f"import threading; {late}")
    client.shutdown()
    until(lambda: not manager.is_alive())
    assert left.exists() and thread.exists()
    manager.restart_kernel(now=True)
    client.wait_for_ready(timeout=PATIENCE)


def test_the_end_of_either_is_the_end_of_both(begun):
    manager, client = begun
    number = int(said(client, "import os; print(os.getpid())"))
    os.kill(number, 9)
    until(lambda: not manager.is_alive())
    manager.restart_kernel(now=True)
    client.wait_for_ready(timeout=PATIENCE)
    number = int(said(client, "import os; print(os.getpid())"))
    child = int(said(client, "import subprocess; print(subprocess.Popen(['sleep', '99']).pid)"))
    manager.shutdown_kernel(now=True)
    until(lambda: not psutil.pid_exists(number))
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


def test_a_kernel_that_cannot_begin_says_why(service, tmp_path):
    path, process = service
    own = os.environ | {kernel.SOCKET: str(path)}
    command = [sys.executable, "-m", "course_lib.classroom.hub.kernel", "--ip=256.0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, env=own, cwd=tmp_path)
    assert "ZMQError" in done.stderr, done.stderr
    assert process.poll() is None


def test_a_server_that_is_killed_leaves_no_kernel_behind(service, tmp_path):
    path, process = service
    own = {"JUPYTER_PATH": str(ASSETS / "classroom" / "hub"), kernel.SOCKET: str(path)}
    code = "from jupyter_client import KernelManager as K; K().start_kernel(); input()"
    others = set(psutil.Process(process.pid).children())

    def kernels():
        return set(psutil.Process(process.pid).children()) - others

    server = [sys.executable, "-c", code]
    with subprocess.Popen(server, stdin=subprocess.PIPE, cwd=tmp_path, env=os.environ | own) as one:
        until(kernels)
        one.kill()
    until(lambda: not kernels())


@pytest.mark.parametrize(
    "sent", [b"", b"\0\0\0\2{}", b"\xff\xff\xff\xff", b"GET / HTTP/1.0\r\n\r\n"]
)
def test_what_is_no_request_ends_nothing(service, sent):
    path, process = service
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert process.poll() is None
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("fault", ["no more processes", "cut short"])
def test_a_kernel_that_cannot_be_forked_costs_no_other_and_no_stream(monkeypatch, fault):
    def full():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(warm.os, "fork", full)
    here, there = socket.socketpair()
    with here, selectors.DefaultSelector() as watch:
        data = b'{"environment": {}' + (b"}" if fault == "no more processes" else b"")
        hears, stream = os.pipe()
        socket.send_fds(here, [len(data).to_bytes(4, "big")], [stream] * 3)
        os.close(stream)
        here.sendall(data)
        here.shutdown(socket.SHUT_WR)
        warm._begin(there, watch)
        os.set_blocking(hears, False)
        assert os.read(hears, 1) == b""  # the end: nobody holds a stream open
        os.close(hears)
        assert here.recv(1) == b""
        assert not watch.get_map()


def test_where_nobody_listens_a_kernel_begins_by_itself(tmp_path, monkeypatch):
    became = []
    monkeypatch.setattr(
        kernel.os, "execv", lambda program, command: became.append(command) or 1 / 0
    )
    for named in (None, str(tmp_path / "gone"), "x" * 300):
        monkeypatch.delenv(kernel.SOCKET, raising=False)
        if named:
            monkeypatch.setenv(kernel.SOCKET, named)
        with pytest.raises(ZeroDivisionError):  # execv never comes back
            kernel.main(["-f", "c.json"])
    assert became == [[sys.executable, "-m", "ipykernel_launcher", "-f", "c.json"]] * 3


@pytest.mark.slow
def test_what_is_loaded_starts_no_thread_and_looks_for_no_notebook():
    code = "import os, sys\nfrom course_lib.classroom.hub import warm\nwarm.load()\n"
    code += "found = set(warm.LOOK_FOR_A_NOTEBOOK) & set(sys.modules)\n"
    code += "print(len(os.listdir('/proc/self/task')), *found)"
    own = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr
