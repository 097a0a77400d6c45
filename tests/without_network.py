"""Runs a command in a network of its own, in which there is nothing but loopback. Linux only.

unshare -rn python tests/without_network.py COMMAND ...
"""

import fcntl
import os
import socket
import struct
import sys

_SET_FLAGS, _UP = 0x8914, 1  # SIOCSIFFLAGS and IFF_UP of Linux's netdevice(7)

if __name__ == "__main__":
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
    os.execvp(sys.argv[1], sys.argv[1:])
