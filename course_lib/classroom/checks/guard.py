"""What a submission's process takes from itself before its first cell: another user's name, limits,
and calls into the kernel that no notebook needs.

The operating system keeps all of it, and none of it can be taken back from inside. Files, network
and other processes are kept out by the sandbox around it (`course_lib.classroom.checks.sandbox`).
"""

import contextlib
import ctypes
import errno
import os
import platform
import secrets
import signal
import struct
from pathlib import Path

_MOST_THREADS = 64  # and as many again as there are cores, for libraries start one for each
_MOST_OPEN = 160
_NAMES_APART = 0x7E020000  # CLONE_NEW*: namespaces inside the sandbox
_TOO_NEW = 0x40000000  # x86's third set of calls
_LAST_PROTOCOL = 17  # UDP; what comes after it stands in no table that is counted
_LAST_FAMILY = 10  # sockets: local and internet; no kernel crypto, no way to a machine's host
_ALLOW, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
_OF_SOCKETS, _ROOM = 1, (7, 8, 32, 33)  # SOL_SOCKET; SO_SNDBUF, SO_RCVBUF, and both with FORCE
_SAME_EVERYWHERE = (*range(425, 434), 442, 447)  # io_uring, mounts, memfd
# The machine's mark, clone, socket, setsockopt, seccomp, clone3, and what is refused: memory that
# no limit counts (memfd_create, shmget, semget, msgget), other cores than its own
# (sched_setaffinity), mounts and namespaces, other processes' memory, kernel keys, bpf.
_CALLS = {
    "x86_64": (0xC000003E, 56, 41, 54, 317, 435, (
        319, 29, 64, 68, 203, 165, 166, 155, 161, 272, 308, 101, 310, 311, 248, 249, 250, 321, 298,
        323, 304,
    )),
    "aarch64": (0xC00000B7, 220, 198, 208, 277, 435, (
        279, 194, 190, 186, 122, 40, 39, 41, 51, 97, 268, 117, 270, 271, 217, 218, 219, 280, 241,
        282, 265,
    )),
}  # fmt: skip


def close(
    memory: int, file_size: int, seconds: float, *, drop: bool, alone: bool, core: int | None = None
) -> None:
    """Bound this process and all it starts, in bytes and seconds of processor, and to one `core`.

    `drop`: it is root of its sandbox and stops being so. `alone`: no other process has its user's
    number. What a platform does not know it does not limit; each limit is tried on its own.
    """
    with contextlib.suppress(OSError):
        # Where memory ends, this goes first.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if drop:  # a number that nobody else has, so that its processes are counted by themselves
        user = 2_000_000 + secrets.randbelow(1_000_000)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    with contextlib.suppress(AttributeError, OSError):
        if core is not None:
            os.sched_setaffinity(0, {core})  # whatever it starts takes no time from its neighbours
    _limit(memory, file_size, seconds, _MOST_THREADS + (os.cpu_count() or 1) if alone else 0)
    if platform.system() == "Linux" and platform.machine() in _CALLS:
        _refuse_calls(*_CALLS[platform.machine()])


def _limit(memory: int, file_size: int, seconds: float, threads: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    # DATA counts what is written to and not what is only reserved, as a CUDA build of torch does.
    wanted = {
        "DATA": memory, "AS": 8 * memory, "FSIZE": file_size, "NOFILE": _MOST_OPEN, "CORE": 0,
        "CPU": int(seconds) + 60, "MEMLOCK": 2**20, "MSGQUEUE": 2**16,
    }  # fmt: skip
    if threads:
        wanted["NPROC"] = threads
    for name, value in wanted.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            limit = getattr(resource, f"RLIMIT_{name}")
            _, most = resource.getrlimit(limit)
            least = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(limit, (least, least))


def in_use() -> int:
    """Bytes that count against the limit on memory; 0 where that is not known."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmData:")[1].split()[0]) * 1024
    return 0


def processes() -> int:
    """How many there are in this sandbox; 0 where that is not known."""
    with contextlib.suppress(OSError):
        return sum(name.isdigit() for name in os.listdir("/proc"))
    return 0


def _refuse_calls(
    mark: int, clone: int, socket: int, setsockopt: int, seccomp: int, clone3: int, no: tuple
) -> None:
    """A seccomp filter over all threads, as Linux' seccomp(2) describes it."""
    steps = _program(mark, clone, socket, setsockopt, clone3, no)
    filtered = b"".join(struct.pack("HBBI", *one) for one in steps)
    held = ctypes.create_string_buffer(filtered)
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(filtered) // 8, ctypes.addressof(held))
    )
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(1, signal.SIGKILL, 0, 0, 0)  # ends with what began it
    library.prctl(38, 1, 0, 0, 0)  # no new privileges
    library.syscall(seccomp, 1, 1, program)  # a filter, for all threads


def _program(
    mark: int, clone: int, socket: int, setsockopt: int, clone3: int, no: tuple[int, ...]
) -> list[tuple[int, int, int, int]]:
    load, equal, least, above, bits, end = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06
    steps = [
        (load, 0, 0, 4), (equal, 1, 0, mark), (end, 0, 0, _REFUSE),
        (load, 0, 0, 0), (least, 0, 1, _TOO_NEW), (end, 0, 0, _REFUSE),
        (equal, 0, 1, clone3), (end, 0, 0, _UNKNOWN),  # libraries then take clone
    ]  # fmt: skip
    for call in (*no, *_SAME_EVERYWHERE):
        steps += [(equal, 0, 1, call), (end, 0, 0, _REFUSE)]
    steps += [
        (equal, 0, 4, clone), (load, 0, 0, 16), (bits, 0, 1, _NAMES_APART), (end, 0, 0, _REFUSE),
        (end, 0, 0, _ALLOW),
        # socket(family, type, protocol)
        (equal, 0, 7, socket), (load, 0, 0, 16), (above, 0, 1, _LAST_FAMILY), (end, 0, 0, _REFUSE),
        (load, 0, 0, 32), (above, 0, 1, _LAST_PROTOCOL), (end, 0, 0, _REFUSE), (end, 0, 0, _ALLOW),
    ]  # fmt: skip
    # Of setsockopt(socket, level, option, ...) only more room in the kernel is refused.
    steps += [
        (equal, 1, 0, setsockopt), (end, 0, 0, _ALLOW),
        (load, 0, 0, 24), (equal, 1, 0, _OF_SOCKETS), (end, 0, 0, _ALLOW), (load, 0, 0, 32),
    ]  # fmt: skip
    for option in _ROOM:
        steps += [(equal, 0, 1, option), (end, 0, 0, _REFUSE)]
    return [*steps, (end, 0, 0, _ALLOW)]
