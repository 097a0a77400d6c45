"""Reads Python's audit events about sockets; only the standard library, for child processes too.

A child Python process that is started while `course_lib.limits.dataflow` records loads this file by
its path, before any code of its own runs, and appends what it does to a file of JSON lines.
"""

import ipaddress
import json
import os
import sys
from typing import Any

LOOPBACK, SAME_MACHINE, OUTSIDE = WHERE = ("loopback", "this machine", "outside")
"""Where an address lies: 127.0.0.1 and its like, a socket file or the kernel, anywhere else."""

_KINDS = {
    "socket.connect": "connect",
    "socket.bind": "bind",
    "socket.sendto": "send",
    "socket.sendmsg": "send",
}
_LOOKUPS = {
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
}
STARTS = ("subprocess.Popen", "os.posix_spawn", "os.system", "os.exec", "os.fork", "os.forkpty")


def place(host: object) -> str:
    """Where `host`, a name or an address, lies. What is not known to stay here is `outside`.

    No host at all is the machine itself. 0.0.0.0 and :: listen to everybody, so they are outside.
    """
    if host is None or host in ("", b""):
        return LOOPBACK
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if name.lower().rstrip(".") == "localhost":
        return LOOPBACK
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return OUTSIDE
    mapped = getattr(address, "ipv4_mapped", None) or address
    return LOOPBACK if mapped.is_loopback else OUTSIDE


def read_event(event: str, args: tuple[Any, ...]) -> dict[str, Any] | None:
    """One audit event as a dict (kind, address, port, where), or None where it is not of ours."""
    if event in _LOOKUPS:
        host = args[0][0] if isinstance(args[0], tuple) else args[0]
        return _entry("look-up", host, None, place(host))
    if event not in _KINDS:
        return None
    address = args[1] if len(args) > 1 else None
    if isinstance(address, tuple) and len(address) > 1 and isinstance(address[0], str | bytes):
        # To bind to "" is to listen to everybody, and not to nobody.
        where = OUTSIDE if event == "socket.bind" and not address[0] else place(address[0])
        return _entry(_KINDS[event], address[0] or "*", address[1], where)
    if address is None:
        return None  # a send on a connected socket: its connection has been recorded
    return _entry(_KINDS[event], address, None, SAME_MACHINE)


def _entry(kind: str, host: object, port: object, where: str) -> dict[str, Any]:
    name = host.decode("utf-8", "replace") if isinstance(host, bytes) else str(host)
    number = port if isinstance(port, int) else None
    return {"kind": kind, "address": name, "port": number, "where": where}


def append(path: str, entry: dict[str, Any]) -> None:
    """Add a line to the file that the recording process reads; a file that is gone is no error."""
    line = json.dumps({**entry, "process": os.getpid()}) + "\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
    except OSError:
        return
    os.write(handle, line.encode())
    os.close(handle)


def record_child(path: str) -> None:
    """Record this process from now on into the file at `path`; called by `sitecustomize`."""
    append(path, {"kind": "reporting", "address": sys.argv[0] if hasattr(sys, "argv") else ""})

    def hook(event: str, args: tuple[Any, ...]) -> None:
        entry = read_event(event, args) if event.startswith("socket.") else None
        if entry:
            append(path, entry)

    sys.addaudithook(hook)
