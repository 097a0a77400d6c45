"""What a hub needs for this course, whatever starts its servers: one place for all variants."""

import contextlib
import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from course_lib.classroom.hub.kernel import SOCKET
from course_lib.errors import CourseError
from course_lib.runtime import ASSETS, QUIET

LOOPBACK = "http://127.0.0.1:8000"
"""Where a hub listens unless told otherwise: for this machine only."""

SECONDS = 180
"""How long a server may take to start: thirty at once are slow."""

IDLE_KERNEL, IDLE_SERVER = 1800, 3600
"""Seconds after which a kernel, then a server, that does nothing is ended; files stay."""

MEMORY, CORES = "2G", 1.0
"""What a user may take where a spawner enforces it (systemd, Docker and Kubernetes do)."""

ENVIRONMENT = {
    "INSIDE_R1_THREADS": "1",  # two threads on two busy cores are several times slower than one
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",  # glibc keeps less of what is freed
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",  # nobody downloads a model thirty times
    "PYTHONDONTWRITEBYTECODE": "1",  # the course is there to read only
}
_PASSED_ON = ("INSIDE_R1_HOME", "INSIDE_R1_CACHE")
_LONGEST_SOCKET = 100  # characters of a path that a socket may have


def apply(c: Any, culler: bool = True) -> None:
    """Set what every variant shares on JupyterHub's configuration `c`; some bring a `culler`."""
    c.Spawner.cmd = [sys.executable, "-m", "course_lib.classroom.hub"]
    c.Spawner.args = [
        f"--MappingKernelManager.cull_idle_timeout={IDLE_KERNEL}",
        "--MappingKernelManager.cull_connected=True",
        "--MappingKernelManager.cull_interval=120",
    ]
    c.Spawner.notebook_dir = "~"
    c.Spawner.default_url = "/lab/tree/inside-r1/notebooks/00_start_here.ipynb"
    c.Spawner.start_timeout = c.Spawner.http_timeout = SECONDS
    c.Spawner.mem_limit, c.Spawner.cpu_limit = MEMORY, CORES
    given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    c.Spawner.environment = ENVIRONMENT | given
    c.JupyterHub.concurrent_spawn_limit = 10
    if culler:
        _end_idle_servers(c)


def share_imports(c: Any, folder: Path) -> None:
    """Have kernels forked from one process that has loaded torch (`warm.py`; socket in `folder`).

    For a hub whose servers all run as one system user, on Linux; elsewhere nothing is done.
    """
    path = str(folder / "kernels")
    if sys.platform != "linux" or len(path) > _LONGEST_SOCKET:
        return
    warm = [sys.executable, "-m", "course_lib.classroom.hub.warm", path]
    environment = ENVIRONMENT | QUIET
    c.JupyterHub.services.append({"name": "kernels", "command": warm, "environment": environment})
    specs = str(ASSETS / "classroom" / "hub")
    c.Spawner.environment = {**c.Spawner.environment, SOCKET: path, "JUPYTER_PATH": specs}


def address(given: str) -> str:
    """The address at which a hub listens. Raises CourseError where it is none, or where the hub
    would not find itself: on all interfaces it looks for its proxy by the machine's name.
    """
    try:
        parts = urlsplit(given)
        host, is_one = parts.hostname or "", parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:  # a port or brackets that are none
        host, is_one = "", False
    if not is_one or not parts.netloc:
        raise CourseError(
            f"CLASS_ADDRESS is {given!r}; allowed is http://HOST:PORT, such as {LOOPBACK} for this "
            "machine alone or http://:8000 for all that reach it."
        )
    if _is_everywhere(host):
        _find(socket.gethostname())
    return given


def _is_everywhere(host: str) -> bool:
    """Whether a host stands for all interfaces of the machine."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified
    return host in ("", "*", "0")


def _find(name: str) -> None:
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        raise CourseError(
            f"This machine is called {name}, and nothing says where that is. As root: "
            f"echo '127.0.1.1 {name}' >> /etc/hosts; or name one address of it, such as "
            "CLASS_ADDRESS=http://192.168.1.20:8000 (hostname -I lists them)."
        ) from error


def _end_idle_servers(c: Any) -> None:
    command = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={IDLE_SERVER}"]
    c.JupyterHub.services = [{"name": "culler", "command": command}]
    scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    c.JupyterHub.load_roles = [{"name": "culler", "services": ["culler"], "scopes": scopes}]
