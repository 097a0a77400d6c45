"""What a process and all that it has started use together, as Linux' /proc tells it."""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

MOST_PROCESSES = 60
MOST_FILES = 10_000  # files and folders
_MOST_MAPS = 2_000_000  # characters; torch's are a tenth
_SIZES = r"^(RssAnon|RssShmem|VmSwap|VmPTE|VmSize):\s+(\d+)"  # VmPTE: the tables of its pages
_DATAGRAM = re.compile(r"^\w+: \w+ \w+ \w+ 0002 ", re.MULTILINE)  # of the local ones
# What waits to be sent and to be read, in a table of the system's sockets.
_QUEUES = re.compile(r"^ *\d+: \S+ \S+ \w+ (\w+):(\w+) ", re.MULTILINE)
# Memory without a file that is mapped in common, where pages stay that their process has let go.
_SHARED = re.compile(
    r"^(\w+)-(\w+) ...s (\w+) (\S+ \d+) +/(?:dev/zero \(deleted\)|memfd:|SYSV)", re.MULTILINE
)


def use(pid: int) -> tuple[int, int, int | None]:
    """Bytes of memory, processes, and files in memory of a process and all below it.

    Files are None where no process shows the sandbox from within. Of too many processes only the
    number is told, for it must be told soon.
    """
    if not os.path.isdir("/proc/self/task"):  # no Linux, hence no sandbox but a container
        return 0, 0, None
    tree, own, seen = [pid], 0, 0
    shared: dict[str, int] = {}
    for one in tree:
        with contextlib.suppress(OSError, ValueError):
            for below in Path(f"/proc/{one}/task").glob("*/children"):
                tree += map(int, below.read_text(encoding="utf-8").split())
        if len(tree) > MOST_PROCESSES:
            return 0, len(tree), None
    for one in tree:
        with contextlib.suppress(OSError, ValueError):
            sizes, mapped = _memory(one)
            own += sum(sizes.get(name, 0) for name in ("RssAnon", "VmSwap", "VmPTE"))
            own += sizes.get("VmSize", 0) if mapped is None else 0  # it hides what it maps
            seen += sizes.get("RssShmem", 0)
            for inode, size in (mapped or {}).items():
                shared[inode] = max(shared.get(inode, 0), size)
    return own + max(seen, sum(shared.values())) + _sockets(tree), len(tree), _files(tree)


def _memory(pid: int) -> tuple[dict[str, int], dict[str, int] | None]:
    """What a process uses, and its shared memory by inode, in bytes; None if that cannot be read.

    Any of its threads tells, but one that has ended does not: the first one may have.
    """
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            status = (thread / "status").read_text(encoding="utf-8")
            found = re.findall(_SIZES, status, re.MULTILINE)
            if found:
                sizes = {name: 1024 * int(size) for name, size in found}
                try:
                    with (thread / "maps").open(encoding="utf-8", errors="replace") as file:
                        maps = file.read(_MOST_MAPS + 1)
                except PermissionError:
                    return sizes, None
                return sizes, _mapped(maps) if len(maps) <= _MOST_MAPS else None
    return {}, {}


def _mapped(maps: str) -> dict[str, int]:
    """Bytes of such memory by inode, up to the end of what is mapped."""
    sizes: dict[str, int] = {}
    for begin, end, offset, inode in _SHARED.findall(maps):
        size = int(offset, 16) + int(end, 16) - int(begin, 16)
        sizes[inode] = max(sizes.get(inode, 0), size)
    return sizes


def _sockets(tree: Sequence[int]) -> int:
    """Bytes that the kernel may keep for the sockets of a sandbox, seen through its first process.

    One that is local counts with all the room that it has, for it shows nothing of what waits; one
    for datagrams with that of all that may wait in it, for who sent them may be gone.
    """
    for one in tree:
        with contextlib.suppress(OSError):
            if not os.path.samefile(f"/proc/{one}/ns/net", "/proc/self/ns/net"):
                return _kept(Path(f"/proc/{one}/net"))
    return 0


def _kept(net: Path) -> int:
    room = int(_text(Path("/proc/sys/net/core/wmem_default")) or 2**18)
    waiting = 1 + int(_text(Path("/proc/sys/net/unix/max_dgram_qlen")) or 10)
    local = _text(net / "unix")
    kept = room * (max(local.count("\n") - 1, 0) + waiting * len(_DATAGRAM.findall(local)))
    for name, counts in (("tcp", "sockstat"), ("tcp6", "sockstat6"), ("udp", ""), ("udp6", "")):
        # TCP's tables take long to read, even those without an entry.
        if not counts or re.search(r"^TCP6?: inuse [1-9]", _text(net / counts), re.MULTILINE):
            both = _QUEUES.findall(_text(net / name))
            kept += sum(int(size, 16) for queues in both for size in queues)
    return kept


def _text(path: Path) -> str:
    """What a table of the kernel says; "" where there is none, as on a system without IPv6."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _files(tree: Sequence[int]) -> int | None:
    """Files in the memory of a sandbox, seen through the last of its processes that shows it."""
    for one in reversed(tree):
        with contextlib.suppress(OSError):
            inside = f"/proc/{one}/root"
            if not os.path.samefile(inside, "/"):
                return files_under(inside)
    return None


def files_under(root: str) -> int:
    """Files and folders in the memory of the sandbox whose root is the folder `root`."""
    both = [os.statvfs(f"{root}/{place}") for place in ("tmp", "dev/shm")]
    return sum(found.f_files - found.f_ffree for found in both)
