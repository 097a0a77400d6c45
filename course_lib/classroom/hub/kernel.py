"""A kernel by way of `warm.py`: asks for a copy of the process that has everything loaded.

It is what JupyterLab sees of that kernel: it hands on signals, ends when the kernel does, and ends
the kernel when its server has gone. Where nobody listens (the hub has just started, or is of
another kind) it becomes a kernel itself.
"""

import contextlib
import json
import os
import signal
import socket
import sys

SOCKET = "INSIDE_R1_KERNELS"
"""The variable that names the socket on which `warm.py` listens."""

_LOOK = 2.0  # seconds between two looks at whether the server is still there


def main(argv: list[str]) -> None:
    """`argv` is what ipykernel's own launcher takes."""
    try:
        asked = socket.socket(socket.AF_UNIX)
        asked.connect(os.environ[SOCKET])
        begin(asked, argv)
    except (OSError, KeyError, AttributeError):
        os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", *argv])
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda number, _: asked.send(bytes([number])))
    server = os.getppid()
    asked.settimeout(_LOOK)
    while os.getppid() == server:  # a server that is stopped or killed ends no kernel by itself
        with contextlib.suppress(TimeoutError):
            asked.recv(1)  # nothing is ever said: the kernel has ended
            return


def begin(asked: socket.socket, argv: list[str]) -> None:
    """Have a kernel begun. Raises OSError where none was."""
    task = {"environment": dict(os.environ), "folder": os.getcwd(), "arguments": argv}
    data = json.dumps(task).encode()
    socket.send_fds(asked, [len(data).to_bytes(4, "big")], [0, 1, 2])
    asked.sendall(data)
    if not asked.recv(1):
        raise ConnectionError("no kernel was begun")


if __name__ == "__main__":
    main(sys.argv[1:])
