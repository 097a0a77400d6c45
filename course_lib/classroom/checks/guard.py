"""What a submission's process may not do, enforced from inside it: a fence, not a prison.

Limits of the operating system bound memory and the size of files. An audit hook refuses writing
outside the process's own folder, starting or killing processes, and the network. Python code cannot
take the hook away; code that calls into C by a way of its own can get around it. The grader
therefore trusts nothing that lives in this process (see `course_lib.classroom.grade`). Reading is
free but for other students' files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_REFUSED = (
    "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn",
    "os.kill", "os.killpg", "os.startfile", "socket.connect", "socket.bind", "socket.sendto",
    "socket.getaddrinfo", "ctypes.dlopen", "resource.setrlimit", "resource.prlimit",
    "signal.pthread_kill",
)  # fmt: skip
_PATHS = (
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.chflags", "shutil.",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MOST_FILES = 200


def limit_resources(memory: int, file_size: int) -> None:
    """Bound this process's memory and the size of a file it writes, in bytes (POSIX only)."""
    try:
        import resource
    except ImportError:
        return
    for name, value in (("AS", memory), ("FSIZE", file_size), ("CORE", 0)):
        limit = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(limit, (value, value))


def fence(folder: Path, closed: Sequence[str] = ()) -> None:
    """From now on refuse, with PermissionError, what the module's text lists.

    `closed` are the beginnings of paths that may not be read either, unless they are in `folder`.
    """
    beginnings = tuple(os.path.realpath(one) for one in closed)
    sys.addaudithook(_hook(os.path.realpath(folder), beginnings))


def _hook(folder: str, closed: tuple[str, ...]) -> Callable[[str, tuple[object, ...]], None]:
    opened = 0

    def real(path: object) -> str:
        return os.path.realpath(os.fsdecode(path))

    def inside(path: object) -> bool:
        if isinstance(path, int):
            return True  # a descriptor: whatever it is was opened before
        return real(path) == os.devnull or real(path).startswith(folder + os.sep)

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal opened
        if event == "open":
            path, _, flags = args
            if not (isinstance(flags, int) and flags & _WRITING):
                if closed and not inside(path) and real(path).startswith(closed):
                    raise PermissionError(f"reading another student's file: {path}")
                return
            opened += 1
            if not inside(path):
                raise PermissionError(f"writing outside the submission's folder: {path}")
            if opened > _MOST_FILES:
                raise PermissionError(f"more than {_MOST_FILES} files opened for writing")
        elif event.startswith(_REFUSED):
            raise PermissionError(f"{event} is not allowed in a graded submission")
        elif event.startswith(_PATHS):
            paths = [path for path in args if isinstance(path, str | bytes | os.PathLike)]
            if not all(map(inside, paths)):
                raise PermissionError(f"{event} outside the submission's folder")

    return hook
