"""Kernels that share what they import: one process loads torch and transformers, and is forked.

The hub keeps this running as a service. A user's kernelspec starts `kernel.py`, which asks here for
a copy of this process; signals to it are given on, and the end of either is the end of both. What
is loaded is hardly ever written to, so the machine holds it once for the whole class, and nobody
waits for it. All kernels are the same system user: nothing for a hub that keeps its people apart.
"""

import atexit
import contextlib
import gc
import importlib
import json
import multiprocessing.process
import os
import selectors
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOADED = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "hypothesis.strategies",
    "nbformat",
    "scipy.special",
    "scipy.stats",
    "torch",
    "transformers.models.deepseek_v3.modeling_deepseek_v3",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.llama.modeling_llama",
    "transformers.tokenization_utils_tokenizers",
)
"""What a lesson imports that is large and starts no thread."""

LOOK_FOR_A_NOTEBOOK = ("ipywidgets", "plotly", "tqdm.auto", "tqdm.autonotebook", "tqdm.notebook")
"""What finds out at its import where it is shown: each kernel imports it itself."""

_LARGEST = 1 << 20  # bytes of a request; an environment is a few thousand
_PATIENCE = 10  # seconds for a request to come whole


@dataclass
class Kernel:
    """A copy of this process: its number, what tells that it has ended, and who asked for it."""

    process: int
    ended: int
    asked: socket.socket


def main(argv: list[str]) -> None:
    """Load, then listen on the socket that `argv` names; be the kernel in each copy."""
    if sys.path[0] in ("", os.getcwd()):  # as ipykernel's launcher does: a kernel has its own
        del sys.path[0]
    load()
    gc.collect()
    gc.freeze()  # a later collection would write to every page, and so copy it
    path = Path(argv[0])
    path.unlink(missing_ok=True)
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # how a hub ends it; a shell's `&` ignores it
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(path))
        listening.listen(64)
        serve(listening)


def load() -> None:
    """Import what is shared, and forget what others of it have imported that is not to be."""
    for name in LOADED:
        importlib.import_module(name)
    for name in list(sys.modules):
        if f"{name}.".startswith(tuple(f"{one}." for one in LOOK_FOR_A_NOTEBOOK)):
            del sys.modules[name]


def serve(listening: socket.socket) -> None:
    """Begin a kernel for whoever asks, and hand on to it what its asker says; never returns."""
    watch = selectors.DefaultSelector()
    watch.register(listening, selectors.EVENT_READ)
    while True:
        for key, _ in watch.select():
            if key.fileobj is listening:
                _begin(listening.accept()[0], watch)
            elif key.fd == key.data.ended:
                _forget(key.data, watch)
            elif key.data.asked.fileno() >= 0:
                _hand_on(key.data, watch)


def _begin(asked: socket.socket, watch: selectors.BaseSelector) -> None:
    """Fork; the copy never comes back from here."""
    asked.settimeout(_PATIENCE)
    streams: list[int] = []
    try:
        task = received(asked, streams)
        process = os.fork()
    except (OSError, ValueError):  # no request, or no room for another process
        asked.close()
        for stream in streams:
            os.close(stream)
        return
    if process == 0:
        asked.close()
        for key in list(watch.get_map().values()):  # what others wait for must end with them
            key.fileobj.close() if isinstance(key.fileobj, socket.socket) else os.close(key.fd)
        watch.close()
        become_kernel(task, streams)
    with contextlib.suppress(OSError):
        os.setpgid(process, process)  # here too, so that a signal finds it from now on
        asked.sendall(b"k")
    for stream in streams:
        os.close(stream)
    kernel = Kernel(process, os.pidfd_open(process), asked)
    watch.register(asked, selectors.EVENT_READ, kernel)
    watch.register(kernel.ended, selectors.EVENT_READ, kernel)


def _forget(kernel: Kernel, watch: selectors.BaseSelector) -> None:
    """A kernel has ended: so does who asked for it, as the connection does."""
    os.waitpid(kernel.process, 0)
    watch.unregister(kernel.ended)
    os.close(kernel.ended)
    if kernel.asked.fileno() >= 0:
        watch.unregister(kernel.asked)
        kernel.asked.close()


def _hand_on(kernel: Kernel, watch: selectors.BaseSelector) -> None:
    """A signal for a kernel and what it has started; the last one when its asker has ended."""
    try:
        said = kernel.asked.recv(1)
    except OSError:
        said = b""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(kernel.process, said[0] if said else signal.SIGKILL)
    if not said:
        watch.unregister(kernel.asked)
        kernel.asked.close()


def received(asked: socket.socket, streams: list[int]) -> dict[str, Any]:
    """What a kernel is started with (environment, folder, arguments); its three go to `streams`.

    Raises ValueError for anything else.
    """
    head, found, _, _ = socket.recv_fds(asked, 4, 3)
    streams += found
    length = int.from_bytes(head, "big")
    if len(streams) != 3 or length > _LARGEST:
        raise ValueError("this is no request for a kernel")
    with asked.makefile("rb") as reader:
        return json.loads(reader.read(length))


def become_kernel(task: dict[str, Any], streams: list[int]) -> None:
    """Take over what `kernel.py` was started with, and run the kernel; never returns."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(task["environment"])
    os.chdir(task["folder"])
    # Where processes that are no forks look for modules; it was noted before.
    vars(multiprocessing.process)["ORIGINAL_DIR"] = os.getcwd()
    os.umask(0o022)
    import numpy as np
    from ipykernel.kernelapp import IPKernelApp

    np.random.seed()  # Python's own generator is given a new seed at a fork, this one is not
    ends_with = f"--IPKernelApp.parent_handle={os.getppid()}"
    with contextlib.suppress(SystemExit):  # an error goes on, and ends the copy with its traceback
        IPKernelApp.launch_instance([*task["arguments"], ends_with])
    # As `multiprocessing` ends what it has forked, threads and what was left for the end first:
    # taking down what is shared, as Python does at its own end, would copy every page of it.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
