"""Where the course runs and where it keeps a person's things: decided here and nowhere else.

Settings of the environment, each with one default:

- `INSIDE_R1_HOME`: a person's own folder, with their progress (the system's folder for data);
- `INSIDE_R1_RUNS`: their runs (`runs` beside `notebooks`; in their own folder where the course is
  theirs to read only);
- `INSIDE_R1_CACHE`: downloads and conversions (the system's folder for caches);
- `INSIDE_R1_DEVICE`: where models live, `cpu` or `cuda` (the GPU where CUDA finds one);
- `INSIDE_R1_THREADS`: torch's threads (as many as there are free cores, up to four; their number
  may change a result's last digits);
- an administrator's `OMP_NUM_THREADS`, `CPU_LIMIT` and `MEM_LIMIT` (JupyterHub's) are kept to.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.errors import CourseError

if TYPE_CHECKING:
    import psutil
    import torch

LIBRARY = Path(__file__).resolve().parent
ROOT = LIBRARY.parent
"""The course's folder, with `notebooks` and `exercises` in it (where it runs from a checkout)."""

ASSETS = LIBRARY / "assets"
"""Models, records and texts that come with the course."""

QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_ASCII": " #",
    "TQDM_MININTERVAL": "1",
}
"""What our tools are told, so that what is printed is about the lesson."""

_MOST_THREADS = 4  # more gain nothing at our sizes
_GROUPS = Path("/sys/fs/cgroup")  # where Linux shows a container its limits
_NO_HOME = (
    "There is no home folder of your own here ({reason}), so your progress and runs last only as "
    "long as this program. To keep them, set INSIDE_R1_HOME to a folder that you may write to."
)

_ENDS = ", and that only as long as this program lasts"

_AGAIN = 1.0  # seconds until a look at the cores is out of date
_look: tuple[float, float, float] | None = None  # when, core-seconds to spare by then, free cores


def home() -> Path:
    """A person's own folder; it need not exist yet.

    Where the system names none that is theirs, it is a new one that ends with this program, and
    `not_kept` says so.
    """
    return _named("INSIDE_R1_HOME") or _systems("data") or _for_now()


def cache_folder() -> Path:
    """Where downloads and conversions are kept; it need not exist yet."""
    return _named("INSIDE_R1_CACHE") or _systems("cache") or _for_now() / "cache"


def runs() -> Path:
    """Where a person's runs are kept; it need not exist yet.

    `INSIDE_R1_RUNS`, or the folder `runs` beside `notebooks` (`runs` from the course's folder,
    `../runs` from a notebook's), or `runs` in `home()` where that cannot be written to.
    """
    here = Path.cwd()
    in_notebooks = not (here / "notebooks").is_dir() and (here.parent / "notebooks").is_dir()
    usual = Path("../runs") if in_notebooks else Path("runs")
    return _named("INSIDE_R1_RUNS") or (usual if writable(usual) else home() / "runs")


def not_kept() -> str:
    """A sentence where a person's things cannot be kept beyond this program, "" where they can."""
    if _named("INSIDE_R1_HOME") or _systems("data"):
        return ""
    return _NO_HOME.format(reason=_whose(_users_home()))


def work_here() -> str:
    """Make the current folder one that can be written to; a sentence where it had to be another.

    From a course that is there to read only, a lesson works in `notebooks` in `home()`, so that
    all it writes, its `../runs` too, is the person's own.
    """
    if writable(Path()):
        return ""
    own = home() / "notebooks"
    mine, until = (own, "") if writable(own) else (_for_now() / "notebooks", _ENDS)
    mine.mkdir(parents=True, exist_ok=True)
    os.chdir(mine)
    return f"The course is here to read only; what you make is kept in {mine.parent}{until}."


def writable(folder: Path) -> bool:
    """Whether a file can be written in `folder`, or, where it is missing, in the one above it.

    Tried and not asked: root, network disks and Windows answer a question wrongly.
    """
    there = next((one for one in (folder, *folder.absolute().parents) if one.is_dir()), folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False


def new_folder(text: str) -> Path:
    """What argparse reads a folder by that is written to at the end: refused before the work."""
    folder = Path(text)
    try:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        good = bool(text.strip()) and there.is_dir() and writable(there)  # "" is an unset $DIR
    except OSError:
        good = False
    if not good:
        raise ArgumentTypeError(f"nothing can be written in {text!r:.200}; name another folder")
    return folder


def _named(variable: str) -> Path | None:
    """The folder that a variable of the environment names; None for an empty one."""
    text = os.environ.get(variable, "").strip()
    return Path(os.path.expanduser(text)) if text else None  # Path's own fails without a home


def _systems(kind: str) -> Path | None:
    """The system's folder for a person's "data" or "cache", if they have a home of their own."""
    own = _users_home()
    if sys.platform == "win32":
        named, usual = os.environ.get("LOCALAPPDATA", ""), "AppData/Local"
    elif sys.platform == "darwin":
        named, usual = "", {"data": "Library/Application Support", "cache": "Library/Caches"}[kind]
    else:
        named = os.environ.get(f"XDG_{kind.upper()}_HOME", "")
        usual = {"data": ".local/share", "cache": ".cache"}[kind]
    base = Path(named) if Path(named).is_absolute() else own and own / usual
    return base / "inside-r1" if base and not _whose(own if own in base.parents else base) else None


def _users_home() -> Path | None:
    with contextlib.suppress(RuntimeError, KeyError):  # no HOME, and a user without a name
        found = Path.home()
        return found if found.is_absolute() else None
    return None


def _whose(folder: Path | None) -> str:
    """Why a home is not this person's to write to, "" if it is.

    Root in somebody's home (`sudo` keeps HOME) would leave files there that its owner cannot mend.
    """
    if folder is None:
        return "neither HOME nor the list of users names one"
    if not hasattr(os, "geteuid"):
        return ""
    with contextlib.suppress(OSError):
        owner = folder.stat().st_uid
        if os.geteuid() == 0 != owner:
            return f"{folder} is somebody else's"
    return ""


@cache
def _for_now() -> Path:
    """A folder for the life of this program."""
    return Path(tempfile.mkdtemp(prefix="inside-r1-"))


def allowed_cores() -> int:
    """How many cores this process may use, at least 1.

    By its affinity, its container's quota (cgroup v2 `cpu.max` or v1) and JupyterHub's `CPU_LIMIT`.
    """
    cores = float(len(_our_cores()))
    old = _GROUPS / "cpu"
    older = f"{_read(old / 'cpu.cfs_quota_us')} {_read(old / 'cpu.cfs_period_us')}"
    for said in (_read(_GROUPS / "cpu.max"), older):  # "quota period"; "max" and -1 are no quota
        quota, _, period = said.partition(" ")
        if _whole(quota) and _whole(period):
            cores = min(cores, _whole(quota) // _whole(period))
    with contextlib.suppress(ValueError):
        cores = min(cores, float(os.environ.get("CPU_LIMIT") or cores))
    return max(1, int(cores))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def memory() -> tuple[int, int]:
    """Bytes of memory that this process may use, and how many of them are free.

    The machine's, or less where a container (cgroup v2 or v1) or JupyterHub's `MEM_LIMIT` says so.
    """
    import psutil

    found = psutil.virtual_memory()
    total, free = found.total, found.available
    for limit, used in _memory_limits():
        if 0 < limit < found.total:
            total, free = min(total, limit), min(free, max(0, limit - used))
    return total, free


def _memory_limits() -> Iterator[tuple[int, int]]:
    """(limit, bytes used of it) of every limit that there is; files in the cache are not used."""
    import psutil

    old = _GROUPS / "memory"
    for limit, used, kept in (
        (_GROUPS / "memory.max", _GROUPS / "memory.current", _GROUPS / "memory.stat"),
        (old / "memory.limit_in_bytes", old / "memory.usage_in_bytes", old / "memory.stat"),
    ):
        pages = dict(line.split()[:2] for line in _read(kept).splitlines() if " " in line)
        cached = _whole(pages.get("inactive_file") or pages.get("total_inactive_file") or "")
        yield _whole(_read(limit)), max(0, _whole(_read(used)) - cached)
    if given := _whole(os.environ.get("MEM_LIMIT", "")):  # for the server and all its kernels
        # The server need not be a parent of its kernels: a hub's are forked by another process.
        server = _whole(os.environ.get("JPY_PARENT_PID", ""))
        with contextlib.suppress(psutil.Error):
            ours = {os.getpid(), server} - {0}
            tops = [psutil.Process(one) for one in ours if psutil.pid_exists(one)]
            tree = {one for top in tops for one in (top, *top.children(recursive=True))}
            yield given, sum(_resident(one) for one in tree)


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(Exception):  # it may have ended
        return int(process.memory_info().rss)
    return 0


def _whole(text: str) -> int:
    """The whole number above 0 that a text is, else 0."""
    return int(text) if text.isascii() and text.isdigit() else 0


def free_cores() -> int:
    """How many cores this process may keep busy now: idle ones and its own, from 1 to 4.

    What others use is looked up again when a second has passed. `INSIDE_R1_THREADS` overrides the
    choice, `OMP_NUM_THREADS` limits it; pytest-xdist workers get one core each.
    """
    given = (os.environ.get(name, "") for name in ("INSIDE_R1_THREADS", "OMP_NUM_THREADS"))
    own, administrators = (_whole(text.split(",")[0].strip()) for text in given)
    said = os.environ.get("INSIDE_R1_THREADS", "")
    if not own and said.strip("0 \t\r\n"):
        raise CourseError(f"INSIDE_R1_THREADS is {said!r}; it is a whole number, or not set.")
    if own or "PYTEST_XDIST_WORKER" in os.environ:
        return own or 1
    most = min(_MOST_THREADS, allowed_cores(), administrators or _MOST_THREADS)
    return max(1, min(most, round(_free_now())))


def use_threads() -> int:
    """Set torch's thread count to the cores that are free now, and return it.

    Two threads on two busy cores are several times slower than one, because each waits for the
    other at every operation; so a long piece of work asks again from time to time.
    """
    import torch

    threads = free_cores()
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return threads


def processor_seconds() -> float:
    """The processor's time that this process and those it has waited for have taken so far."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def _free_now() -> float:
    """Cores that were idle or ours since the last look; at the first, by the machine's load."""
    global _look
    now, spare = time.monotonic(), _spare_seconds()
    if _look and now - _look[0] < _AGAIN:
        return _look[2]
    if _look:
        free = (spare - _look[1]) / (now - _look[0])
    else:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        free = len(_our_cores()) - load
    _look = now, spare, free
    return free


def _spare_seconds() -> float:
    """Core-seconds, since some moment, in which the cores open to us were idle or worked for us."""
    import psutil

    times = dict(enumerate(psutil.cpu_times(percpu=True)))
    ours = [times[core] for core in _our_cores() if core in times]
    return sum(t.idle + getattr(t, "iowait", 0.0) for t in ours) + processor_seconds()


def _our_cores() -> set[int]:
    """The numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def device() -> torch.device:
    """The GPU where CUDA finds one, else the CPU (Apple's MPS is left out: its sums differ).

    `INSIDE_R1_DEVICE` overrides the choice. Raises CourseError for a device that is not there.
    """
    import torch

    chosen = os.environ.get("INSIDE_R1_DEVICE", "").strip()
    if not chosen:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(chosen)
        if found.type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("CUDA finds no GPU here")
    except RuntimeError as error:
        reason = str(error).strip().split("\n")[0][:120]
        raise CourseError(f"The device is {chosen!r} ({reason}); `cpu` always works.") from error
    return found
