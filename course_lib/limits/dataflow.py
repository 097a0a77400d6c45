"""Where data goes: what this process and its children ask of the network, and what they would send.

    with dataflow.record() as flow:
        "".join(engine.stream(messages))
    flow.text()       # in words
    flow.table()      # one row an event

What is seen, and how:

- in this process, and in Python processes that it starts: every connect, bind and sendto and every
  look-up of a name that goes through Python's `socket` module, by an audit hook, before it happens;
- in this process and in children of any kind: the connections that the operating system lists at
  the moments of `flow.look()`, which is called when a recording ends. Those that were open when it
  began are in `flow.already_open`: what goes over them is not seen.

What is not seen: a connection by C code that opens and closes between two looks; children that
were started with an environment of their own or with `python -I`, `-E` or `-S` (the looks still
see theirs); processes that were running before, such as an Ollama server; and look-ups by C code.
An audit hook is a witness and no wall. To be certain, pull the plug: everything here works then.

`hosted_request` builds what the same question would send to a hosted service, and sends nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from course_lib.limits import socket_audit
from course_lib.limits.socket_audit import LOOPBACK, OUTSIDE, SAME_MACHINE, WHERE

if TYPE_CHECKING:
    import pandas as pd

    from course_lib.local.engines.base import Engine, Messages

__all__ = [
    "DEEPSEEK_API",
    "LOOPBACK",
    "OUTSIDE",
    "SAME_MACHINE",
    "WHERE",
    "Api",
    "Event",
    "Recording",
    "hosted_request",
    "record",
]

HOOK, LIST = "audit hook", "system's list"


@dataclass(frozen=True)
class Api:
    """A hosted service that speaks OpenAI's protocol: its address, and the model's name there."""

    name: str
    url: str
    model: str


DEEPSEEK_API = Api("DeepSeek's API", "https://api.deepseek.com/chat/completions", "deepseek-flash")
NO_KEY = "YOUR-KEY-NAMES-YOU"
"""Stands where a key would: every request carries it, and it ties them all to one account."""


@dataclass(frozen=True)
class Event:
    """One thing asked of the network. `where` is one of `WHERE`, `seen_by` is HOOK or LIST."""

    kind: str  # "connect", "bind", "send", "look-up"; from the list: "connection", "listening"
    address: str
    port: int | None
    where: str
    process: int
    seen_by: str = HOOK

    def text(self) -> str:
        """One line for a reader."""
        port = "" if self.port is None else f" port {self.port}"
        return f"{self.kind} {self.address}{port} ({self.where}, process {self.process})"


@dataclass
class Recording:
    """What has been recorded. `started` are commands of children, `reporting` Python children."""

    events: list[Event] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    reporting: set[int] = field(default_factory=set)
    already_open: set[Event] = field(default_factory=set)
    _file: str = ""
    _owner: int = field(default_factory=os.getpid)

    @property
    def outside(self) -> list[Event]:
        """The events that reach, or can be reached from, beyond this machine."""
        return [event for event in self.events if event.where == OUTSIDE]

    def look(self) -> None:
        """Take up what the operating system lists now for this process and all its children."""
        new = _listed(self._owner) - self.already_open
        self.events.extend(sorted(new - set(self.events), key=Event.text))

    def counts(self) -> dict[str, int]:
        """How many events there are of each of `WHERE`."""
        found = Counter(event.where for event in self.events)
        return {where: found[where] for where in WHERE}

    def table(self) -> pd.DataFrame:
        """One row an event: kind, address, port, where, seen by."""
        import pandas as pd

        columns = ["kind", "address", "port", "where", "seen_by"]
        frame = pd.DataFrame(map(vars, self.events), columns=columns, dtype=object)
        return frame.rename(columns={"seen_by": "seen by"})

    def text(self) -> str:
        """What was recorded, in words."""
        if not self.events:
            said = "No socket was used and no name was looked up."
        else:
            parts = [f"{number} {where}" for where, number in self.counts().items() if number]
            some = "event" if len(self.events) == 1 else "events"
            said = f"{len(self.events)} {some}: {', '.join(parts)}."
        if beyond := [event.text() for event in self.already_open if event.where == OUTSIDE]:
            said += f" Open before, and not watched: {'; '.join(sorted(beyond))}."
        if self.started:
            said += (
                f" Child processes started: {', '.join(self.started)}; of Python, "
                f"{len(self.reporting)} reported."
            )
        return said

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Take one audit event; in a forked child it goes into the file instead."""
        own = os.getpid() == self._owner
        if event in socket_audit.STARTS:
            if own and not _within_popen(event):
                self.started.append(_command(event, args))
            return
        entry = socket_audit.read_event(event, args)
        if entry and own:
            self.events.append(Event(**entry, process=self._owner))
        elif entry:
            socket_audit.append(self._file, entry)

    def _read_children(self) -> None:
        for line in Path(self._file).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["kind"] == "reporting":
                self.reporting.add(entry["process"])
            else:
                self.events.append(Event(**entry))


_FIRST_WORD = re.compile(r"""\s*(?:(["'])(?P<quoted>.+?)\1|(?P<bare>\S+))""")
_active: list[Recording] = []
_installed = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _active and (event.startswith("socket.") or event in socket_audit.STARTS):
        for recording in _active:
            recording._hear(event, args)


@contextmanager
def record() -> Iterator[Recording]:
    """Record while the block runs; see the module's text for what is seen and what is not.

    Audit hooks cannot be taken away again, so there is one for the life of the process, which does
    nothing outside such a block. For children, PYTHONPATH is lengthened during the block.
    """
    global _installed
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    folder = tempfile.mkdtemp(prefix="dataflow-")
    recording = Recording(_file=os.path.join(folder, "children.jsonl"))
    recording.already_open = _listed(recording._owner)
    with _hook_in_children(folder, recording._file):
        _active.append(recording)
        try:
            yield recording
        finally:
            _active.remove(recording)
            recording._read_children()
            recording.look()
            shutil.rmtree(folder, ignore_errors=True)


_CHILD = """import importlib.machinery, importlib.util, sys
spec = importlib.util.spec_from_file_location("socket_audit", {audit!r})
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)
audit.record_child({file!r})
sys.path.remove({folder!r})
hidden = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
if hidden:  # a sitecustomize that this one stands before
    hidden.loader.exec_module(importlib.util.module_from_spec(hidden))
"""


@contextmanager
def _hook_in_children(folder: str, file: str) -> Iterator[None]:
    """While it lasts, Python processes that are started run `socket_audit.record_child` first."""
    Path(file).touch()
    text = _CHILD.format(audit=socket_audit.__file__, file=file, folder=folder)
    Path(folder, "sitecustomize.py").write_text(text, encoding="utf-8")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, before]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _within_popen(event: str) -> bool:
    """Whether this is `subprocess.Popen` starting, by posix_spawn, what it has announced before."""
    frame = sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return event == "os.posix_spawn" and frame.f_globals.get("__name__") == "subprocess"


def _command(event: str, args: tuple[Any, ...]) -> str:
    """The program of a child that is being started, without its folder.

    It is a path, which may hold blanks, or the first word of a line that a shell reads, as
    `os.system` gets it, and on Windows `Popen` where no program is named.
    """
    if event.startswith("os.fork"):
        return "a fork"
    program, is_line = args[0], event == "os.system"
    if event == "subprocess.Popen" and program is None:
        is_line = isinstance(args[1], str)
        program = args[1] if is_line else args[1][0]
    whole = os.fsdecode(program)
    first = _FIRST_WORD.match(whole) if is_line else None
    return os.path.basename(first["quoted"] or first["bare"] if first else whole)


def _listed(owner: int) -> set[Event]:
    """The internet connections of a process and its children that the system lists now."""
    found: set[Event] = set()
    with suppress(psutil.Error):
        process = psutil.Process(owner)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                found.update(_connections(one))
    return found


def _connections(process: psutil.Process) -> Iterator[Event]:
    """A process's connections by their far end; sockets without one by where they listen."""
    for connection in process.net_connections(kind="inet"):
        address = connection.raddr or connection.laddr
        if address:
            kind = "connection" if connection.raddr else "listening"
            where = socket_audit.place(address.ip)
            yield Event(kind, address.ip, address.port, where, process.pid, seen_by=LIST)


def hosted_request(engine_or_api: Engine | Api, messages: Messages, key: str = NO_KEY) -> bytes:
    """Every byte that `messages` would send to a hosted service over HTTP/1.1. Nothing is sent.

    An engine stands for its model at DeepSeek's address. The bytes are those that httpx and h11,
    which the OpenAI package uses too, would write, with the headers of this machine's versions;
    a vendor's own package adds headers of its own, and TLS wraps it all for the journey. Not in
    the bytes, and visible to the network: your address, the name looked up, sizes and times.
    Raises CourseError for messages no engine would take, ValueError for an address that is no URL
    or a key that is no header text.
    """
    import h11
    import httpx

    from course_lib.local.engines.base import TEMPERATURE, Request

    if isinstance(engine_or_api, Api):
        api = engine_or_api
    else:
        api = Api(str(engine_or_api), DEEPSEEK_API.url, engine_or_api.model)
    asked = [dict(message) for message in Request(messages).messages]
    body = {"model": api.model, "messages": asked, "temperature": TEMPERATURE, "stream": True}
    headers = {"Authorization": f"Bearer {key}"}
    try:
        if not api.url.startswith(("https://", "http://")):
            raise httpx.InvalidURL(api.url)
        with httpx.Client() as client:
            request = client.build_request("POST", api.url, json=body, headers=headers)
        target, fields = request.url.raw_path, request.headers.raw
        head = h11.Request(method="POST", target=target, headers=fields)
    except (httpx.InvalidURL, h11.LocalProtocolError, UnicodeError):
        raise ValueError(
            f"{api.url!r:.80} must be an address that begins with https://, and a key is of "
            "printable ASCII characters, without blanks at its ends."
        ) from None
    wire = h11.Connection(h11.CLIENT)
    data = h11.Data(data=request.content)
    return b"".join(wire.send(part) for part in (head, data, h11.EndOfMessage()))
