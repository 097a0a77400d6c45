"""The operating system's fence around a submission: what it sees, and how it is begun.

Inside there is Python with its libraries, this library (all of it to read only), a folder in memory
to write to, and nothing else: no network, no home, no other submission, no report, no process but
its own. When the grader goes, all of it goes. `find` tries bubblewrap, then `unshare` of
util-linux, then a container engine, each by running Python in it.
"""

import os
import platform
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.runtime import ASSETS, LIBRARY

IMAGE = "inside-r1"
"""The container image: Python with the course's requirements, made as the teacher's guide says."""
ROOM = 256 * 2**20
"""Bytes that a submission may keep in files, all of them in memory."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store")
_SETTINGS = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/fonts",
    "/etc/localtime", "/etc/mime.types", "/etc/ssl/certs",
)  # fmt: skip
_SET = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1",
    "PIP_NO_INDEX": "1", "HF_HUB_OFFLINE": "1", "USER": "student", "LOGNAME": "student",
    "PLOTLY_RENDERER": "plotly_mimetype", "MPLBACKEND": "Agg",
}  # fmt: skip
_LONGEST = "400"  # seconds after which a container ends, should the grader be gone
_NONE = (
    "There is no sandbox here: neither bubblewrap nor unshare nor a container engine with the "
    f"image {IMAGE!r} works. On Debian and Ubuntu `apt install bubblewrap` gives one; on Windows "
    "and macOS use WSL 2 or a container engine (notebooks/TEACHING.md says how). What is handed in "
    "would run as you, with your files and your network. If you trust everyone who handed "
    "something in, give the command again with --trust."
)


@dataclass(frozen=True)
class Sandbox:
    """A way to run a program: what stands before it on the command line.

    `root`: it begins as root of the sandbox. `alone`: its user's number is nobody else's.
    """

    name: str
    before: tuple[str, ...] = ()
    python: str = sys.executable
    library: str = str(LIBRARY.parent)
    root: bool = False
    alone: bool = False

    def command(self, code: str) -> list[str]:
        """The command line that runs `code` in it; the current folder is not on Python's path."""
        return [*self.before, self.python, "-P", "-c", code]


TRUSTED = Sandbox("none")


@cache
def find(hidden: tuple[Path, ...]) -> Sandbox:
    """The first sandbox that works here. `hidden`: what must not be seen, wherever it lies.

    Raises CourseError, with what to do about it, if there is none.
    """
    for sandbox in _candidates([path.resolve() for path in hidden]):
        if _works(sandbox):
            return sandbox
    raise CourseError(_NONE)


def environment(sandbox: Sandbox) -> dict[str, str]:
    """The environment of a sandbox: nothing of the teacher's own but the language."""
    names = ("LANG", "LC_ALL", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    path = os.pathsep.join((str(Path(sandbox.python).parent), os.environ.get("PATH", os.defpath)))
    return kept | _SET | {"PATH": path, "PYTHONPATH": sandbox.library}


def _works(sandbox: Sandbox) -> bool:
    """Whether Python, this library and a cell's libraries start in it, as the user they run as."""
    code = "from course_lib.classroom.checks.worker import probe; probe()"
    try:
        done = subprocess.run(
            [*sandbox.command(code), "root" if sandbox.root else ""], env=environment(sandbox),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip().endswith(b"ready")


def _candidates(hidden: list[Path]) -> Iterator[Sandbox]:
    if platform.system() == "Linux":
        shown, covered = _seen(), _covered(hidden)
        root = os.geteuid() == 0
        release = tuple(int(part) for part in platform.release().split(".")[:2] if part.isdigit())
        alone = root or release >= (5, 14)  # since then a user namespace counts its own processes
        for name, begin in (("bwrap", _bubblewrap), ("unshare", _unshare)):
            if shutil.which(name) and shutil.which("setpriv"):
                yield Sandbox(name, begin(shown, covered, root), root=root, alone=alone)
        if root and shutil.which("bwrap"):  # where Python is for root alone to read
            yield Sandbox("bwrap", _bubblewrap(shown, covered, False))
    for engine in ("podman", "docker"):
        if shutil.which(engine):
            yield Sandbox(engine, _container(engine), "python3", "/course", alone=True)


def _seen() -> list[Path]:
    """Folders that Python needs, those of the system aside; outer ones first."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1]}
    packages = {Path(path) for path in sys.path if path.endswith(("site-packages", "-packages"))}
    user = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    found |= packages | {LIBRARY} | ({Path(user)} if user else set())
    kept = [path for path in found if path.is_dir() and len(path.parts) > 2]
    outer = [path for path in kept if not any(path.is_relative_to(one) for one in _SYSTEM)]
    return sorted(outer, key=lambda path: len(path.parts))


def _covered(hidden: list[Path]) -> list[Path]:
    """The hidden folders that lie within something that is seen."""
    seen = [*_seen(), *map(Path, _SYSTEM)]
    return [path for path in hidden if any(path.is_relative_to(one) for one in seen)]


def _bubblewrap(shown: list[Path], covered: list[Path], drops: bool) -> tuple[str, ...]:
    words = ["bwrap", "--die-with-parent", "--new-session", "--hostname", "class"]
    if drops:  # a number of its own needs no user namespace, only the right to take it
        words += [f"--unshare-{name}" for name in ("ipc", "pid", "net", "uts", "cgroup-try")]
        words += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        words += ["--unshare-all", "--cap-drop", "ALL"]
    size = ["--size", str(ROOM), "--perms", "1777", "--tmpfs"]
    words += ["--proc", "/proc", "--dev", "/dev", *size, "/dev/shm", *size, "/tmp"]
    for name in ("sys", "sysrq-trigger", "irq", "bus"):  # a root without rights may write to these
        words += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for path in map(Path, _SYSTEM):
        linked = ["--symlink", os.readlink(path), str(path)] if path.is_symlink() else None
        words += linked or ["--ro-bind-try", str(path), str(path)]
    for path in (*map(Path, _SETTINGS), *shown):
        for above in reversed(path.parents[:-1]):  # not only for root to enter
            words += ["--perms", "0755", "--dir", str(above)]
        words += ["--ro-bind-try", str(path), str(path)]
    for path in covered:
        if path.is_dir():
            words += ["--size", "4096", "--perms", "0000", "--tmpfs", str(path)]
    return (*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--")


def _unshare(shown: list[Path], covered: list[Path], drops: bool) -> tuple[str, ...]:
    """The same by util-linux: a shell lays out the new root and goes there with few rights."""
    own = () if drops else ("--user", "--map-root-user")
    script = (ASSETS / "classroom" / "sandbox.sh").read_text(encoding="utf-8")
    rights = "-all,+setuid,+setgid" if drops else "-all"
    return (
        "unshare", "--mount", "--net", "--ipc", "--uts", *own, "setpriv", "--pdeathsig", "KILL",
        "unshare", "--pid", "--fork", "--kill-child", "sh", "-euc", script, str(ROOM), rights,
        *_SYSTEM, *_SETTINGS, *map(str, shown), "", *map(str, covered), "--",
    )  # fmt: skip


def _container(engine: str) -> tuple[str, ...]:
    given = (f"--env={name}={value}" for name, value in (_SET | {"PYTHONPATH": "/course"}).items())
    return (
        engine, "run", "--rm", "--interactive", "--init", "--network", "none", "--read-only",
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65534:65534",
        "--pids-limit", "128", "--memory", "3g", "--workdir", "/tmp",
        "--tmpfs", f"/tmp:rw,mode=1777,size={ROOM}", "--shm-size", str(ROOM), *given,
        "--volume", f"{LIBRARY}:/course/course_lib:ro", IMAGE, "timeout", "-s", "KILL", _LONGEST,
    )  # fmt: skip
