"""Runs a command in a network of its own, in which there is nothing but loopback. Linux only.

unshare -rn python tests/without_network.py COMMAND ...
"""

import os
import shutil
import socket
import struct
import subprocess
import sys

ALONE = ["unshare", "-rn", sys.executable, __file__]
"""What stands before a command that shall have no network."""

_SET_FLAGS, _UP = 0x8914, 1  # SIOCSIFFLAGS and IFF_UP of Linux's netdevice(7)


def possible() -> bool:
    """Whether the system lets us make a network of our own."""
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run([*ALONE, "true"], capture_output=True, timeout=60).returncode
    )


if __name__ == "__main__":
    import fcntl  # not on Windows, where this file is only asked whether it is possible

    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
    os.execvp(sys.argv[1], sys.argv[1:])
