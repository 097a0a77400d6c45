"""A learner's browser on a hub, without the browser: login, server, notebook, kernel, by HTTP and
websocket as JupyterLab does it."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import websocket

ROOT = Path(__file__).parents[2]
PASSWORD = "on-a-monday"
LESSON = ROOT / "notebooks" / "03_r1_zero.ipynb"
PATIENCE = 300


@dataclass
class Told:
    """What came of a learner's session: seconds by step, and what was printed."""

    seconds: dict[str, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    checked: str = ""
    threads: str = ""
    folder: str = ""
    parent: str = ""


def proxy() -> str | None:
    """The hub's proxy, installed from npm when it is not there yet."""
    if found := shutil.which("configurable-http-proxy"):
        return found
    folder = Path(__file__).parent
    program = folder / "node_modules" / ".bin" / "configurable-http-proxy"
    if not program.exists() and shutil.which("npm"):
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*command, "--ignore-scripts"], cwd=folder, timeout=180, capture_output=True
            )
    return str(program) if program.exists() else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(config: Path, folder: Path, proxy: str) -> Iterator[str]:
    """A hub with `config` and its state in `folder`; yields its address."""
    where = f"http://127.0.0.1:{free_port()}"
    own = {"CLASS_FOLDER": str(folder), "CLASS_PASSWORD": PASSWORD, "CLASS_ADDRESS": where}
    own |= {"PYTHONPATH": str(ROOT), "CONFIGPROXY_AUTH_TOKEN": uuid.uuid4().hex}
    left = ("INSIDE_R1_HOME", "INSIDE_R1_THREADS", "PYTEST_XDIST_WORKER")
    env = {name: value for name, value in os.environ.items() if name not in left} | own
    env["PATH"] = os.pathsep.join((str(Path(proxy).parent), env["PATH"]))
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    command += [f"--JupyterHub.hub_port={free_port()}"]
    command += [f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{free_port()}"]
    command += ["--Spawner.env_keep=" + str(["PATH", "PYTHONPATH", "LANG", "VIRTUAL_ENV"])]
    with (folder / "hub.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
        try:
            wait_for(lambda: httpx.get(f"{where}/hub/health").status_code == 200, process)
            if sys.platform == "linux":  # what all kernels are copies of
                wait_for((folder / "kernels").exists, process)
            yield where
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(question, process=None) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (process is None or process.poll() is None):
        with contextlib.suppress(httpx.HTTPError):
            if question():
                return
        time.sleep(0.3)
    raise TimeoutError("the hub did not answer in time: its log is hub.log in its folder")


def login(client: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
    client.get("/hub/login")
    xsrf = client.cookies.get("_xsrf", path="/hub/")
    form = {"username": name, "password": password, "_xsrf": xsrf}
    return client.post("/hub/login", data=form)


def begin(client: httpx.Client, name: str) -> None:
    """Log in and have the server started; what the browser then shows is JupyterLab."""
    login(client, name).raise_for_status()
    client.get(f"/hub/spawn/{name}")

    def is_lab() -> bool:
        """The address leads to a page that says to wait, and in the end to JupyterLab."""
        page = client.get(f"/user/{name}/lab")
        return page.status_code == 200 and page.url.path == f"/user/{name}/lab"

    wait_for(is_lab)


def end(client: httpx.Client, name: str) -> None:
    """Stop the server, as *File, Hub control panel, Stop* does."""
    head = {
        "X-XSRFToken": client.cookies.get("_xsrf", path="/hub/"),
        "Referer": str(client.base_url),
    }
    client.delete(f"/hub/api/users/{name}/server", headers=head).raise_for_status()

    def stopped() -> bool:
        user = client.get(f"/hub/api/users/{name}", headers=head).json()
        return not user.get("server") and not user.get("pending")

    wait_for(stopped)


def cells(notebook: Path, count: int) -> list[str]:
    """The first code cells of a notebook."""
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]
    return code[:count]


_CHECK = """from course_lib.classroom.checks import check
check("grpo.by_hand", [1.5, -0.5, -0.5, -0.5])"""
_LOOK = "import os, torch\nprint(torch.get_num_threads(), os.getppid(), os.getcwd())"


def learn(where: str, name: str, count: int = 5, more=(), watch=lambda what: None) -> Told:
    """Log in as `name`, open lesson 3, run its first cells, an exercise's check, and `more`.

    `watch` is called with the name of each step that is done.
    """
    told, began = Told(), time.monotonic()

    def mark(what: str) -> None:
        told.seconds[what] = round(time.monotonic() - began, 1)
        watch(what)

    with httpx.Client(base_url=where, follow_redirects=True, timeout=PATIENCE) as client:
        begin(client, name)
        mark("server")
        kernel = session(client, name)
        for number, source in enumerate(cells(LESSON, count), 1):
            told.errors += kernel.run(source)[1]
            mark(f"cell {number}")
        told.checked, errors = kernel.run(_CHECK)
        mark("check")
        told.errors += errors
        told.threads, told.parent, told.folder = kernel.run(_LOOK)[0].split()
        for what, source in more:
            told.errors += kernel.run(source)[1]
            mark(what)
        kernel.socket.close()
        end(client, name)
    return told


@dataclass
class Kernel:
    """A kernel's channels, through the proxy."""

    socket: websocket.WebSocket
    ident: str
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    def send(self, code: str) -> str:
        """Have a cell run; the message's name."""
        ident = uuid.uuid4().hex
        head = {"msg_id": ident, "msg_type": "execute_request", "session": self.session}
        head |= {"username": "", "version": "5.3", "date": "2026-11-26T00:00:00Z"}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        message = {"header": head, "parent_header": {}, "metadata": {}, "content": content}
        self.socket.send(json.dumps(message | {"channel": "shell", "buffers": []}))
        return ident

    def run(self, code: str) -> tuple[str, list[str]]:
        """What a cell printed or displayed as text, and its errors."""
        ident = self.send(code)
        said, errors = "", []
        while True:
            got = json.loads(self.socket.recv())
            if got["parent_header"].get("msg_id") != ident:
                continue
            kind, content = got["msg_type"], got["content"]
            if kind == "stream" and content["name"] == "stdout":
                said += content["text"]
            elif kind in ("display_data", "execute_result"):
                said += content["data"].get("text/plain", "") + "\n"
            elif kind == "error":
                errors.append(f"{content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                return said, errors

    def hear(self, state: str) -> None:
        """Wait until the server says that the kernel is in that state."""
        while json.loads(self.socket.recv())["content"].get("execution_state") != state:
            pass


def session(client: httpx.Client, name: str) -> Kernel:
    """Open lesson 3 with a kernel of its own and connect to it."""
    base = f"/user/{name}"
    path = f"inside-r1/notebooks/{LESSON.name}"
    wanted = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
    head = {"X-XSRFToken": client.cookies.get("_xsrf", path=f"{base}/")}
    made = client.post(f"{base}/api/sessions", json=wanted, headers=head)
    made.raise_for_status()
    return connect(client, name, made.json()["kernel"]["id"])


def connect(client: httpx.Client, name: str, ident: str) -> Kernel:
    """The channels of a kernel that runs; a browser does the same when its connection was lost."""
    base = f"/user/{name}"
    address = str(client.base_url.join(f"{base}/api/kernels/{ident}/channels"))
    jar = "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.cookies.jar
                    if cookie.path in ("/", f"{base}/"))  # fmt: skip
    connected = websocket.create_connection(
        address.replace("http", "ws", 1), timeout=PATIENCE, cookie=jar,
        origin=str(client.base_url).rstrip("/"),
    )  # fmt: skip
    return Kernel(connected, ident)
