"""HTTP to a model server, as one would talk to a stranger: bounded in bytes, in time and in place.

What a server says is read with care: a line is at most `LONGEST_LINE` bytes, an answer to a short
question at most `LONGEST_REPLY`; a line must be whole `PATIENCE` seconds after the one before it;
redirections are not followed; and whatever is wrong becomes one CourseError. Servers on this
machine are asked directly, past any proxy that the environment names.
"""

import codecs
import ipaddress
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx

from course_lib.errors import CourseError

LONGEST_LINE = 1 << 20
LONGEST_REPLY = 1 << 24
PATIENCE = 600.0  # seconds without a line; a slow machine may read a long prompt for minutes
_SLACK = 64  # objects beyond one a token: the last one, and those that only end a thought
_LINE = 4096  # bytes of an object, on average
_FIELDS = (b"data", b"error", b"event", b"id", b"retry", b"")  # of an event; b"" begins a comment
_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost"}


def host_of(address: str) -> str:
    """The host in an address such as `http://localhost:11434`; CourseError where there is none."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        shown = re.sub("//.*@", "//...@", address)[:80]  # without a password that has a / in it
        raise CourseError(
            f"{shown!r} is no address of a server; it looks like http://localhost:11434 (in a "
            "password %2F stands for /)."
        )
    return host


def on_this_machine(address: str) -> bool:
    """Whether an address is this machine's loopback, which no network card ever sees."""
    host = host_of(address)
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().rstrip(".") in _NAMES
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


class Wire:
    """A connection to the program `name` at `address`.

    `hint` says what to do where nothing answers, `again` where an answer breaks off.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        hint: str = "open it again",
        again: str = "ask again",
        key: str = "",
        patience: float = PATIENCE,
        connecting: float = 3.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name, self._hint, self._again = name, hint, again
        self.address = re.sub("//[^/]*@", "//", address)  # what is shown, without a password
        self._patience = patience
        near = on_this_machine(address)
        secret = key or self.address != address
        if secret and not near and not address.startswith("https:"):
            raise CourseError(f"The key for {name} is not sent unencrypted; use https://.")
        if not (key.isascii() and key.isprintable()):
            raise CourseError(f"The key for {name} must be of printable ASCII characters.")
        self._settings: dict[str, Any] = {
            "base_url": address,
            "trust_env": not near,
            "transport": transport,
            "timeout": httpx.Timeout(patience, connect=connecting),
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
        }
        self._client, self._gave_up = self._connect(), False

    def _connect(self) -> httpx.Client:
        try:
            return httpx.Client(**self._settings)
        except (ValueError, ImportError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise CourseError(  # a proxy that the environment names and httpx cannot use
                f"{self.name} at {self.address} cannot be asked ({_first_line(error)})."
            ) from error

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object that the server answers to a GET, or with a `body` to a POST."""
        with self._opened(path, body) as response:
            reply = b"".join(self._chunks(response, LONGEST_REPLY, lines=False))
            return self._sound(reply)

    def lines(self, path: str, body: dict[str, Any], most: int = 1 << 30) -> Iterator[bytes]:
        """The lines of a streamed answer of `most` bytes, bare of their ends and not empty.

        Closing the iterator closes the connection, which is how a server learns that nobody
        listens any more.
        """
        with self._opened(path, body) as response:
            held, ends = b"", b"\r"
            if "json" in response.headers.get("content-type", ""):
                ends = b"\n"  # within JSON a carriage return is a blank
            try:
                for chunk in self._chunks(response, most, lines=True):
                    *whole, held = (held + chunk).replace(ends, b"\n").split(b"\n")
                    if max(map(len, (*whole, held))) > LONGEST_LINE:
                        raise self.fault(f"sent a line of more than {LONGEST_LINE:,} bytes")
                    yield from filter(None, whole)
            except httpx.HTTPError:
                if held.endswith(b"}"):  # the last line was whole but for its end
                    yield held
                raise
            if held:
                yield held

    def objects(self, path: str, body: dict[str, Any], tokens: int) -> Iterator[dict[str, Any]]:
        """The JSON objects of a streamed answer, one a line or one an event of `data:`.

        A line that is a bracket alone begins a whole answer, printed over all the lines that
        follow. There is about one a token; a server that goes on beyond `tokens` of them is
        stopped.
        """
        most, found, kind = tokens + _SLACK, 0, b""
        lines = self.lines(path, body, most * _LINE)
        for number, line in enumerate(lines):
            if number == 0:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip() == b"{":
                line = b"\n".join([line, *lines])
            name, colon, data = map(bytes.strip, line.strip().partition(b":"))
            if name not in _FIELDS or not colon:
                name, data = b"data", line.strip()
            if data == b"[DONE]":
                return
            if name == b"event":
                kind = data
            if not data or name not in (b"data", b"error"):
                continue
            if b"error" in (name, kind):
                raise self.fault(f"failed ({_reason(data)})")
            found += 1
            if found > 3 * most:  # some send several a token, or empty ones while they think
                raise self.fault(f"went on beyond the {tokens:,} tokens asked for")
            yield self._sound(data)

    def _sound(self, text: bytes) -> dict[str, Any]:
        """The JSON object in `text`; CourseError for a failure and all else, however odd."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.fault("sent something that is no JSON, or broke off within it") from error
        if not isinstance(found, dict):
            raise self.fault(f"sent {_kind(found)} where its protocol has an object")
        if _failure(found) is not None:
            raise self.fault(f"failed ({_reason(text)})")
        return found

    def fault(self, what: str) -> CourseError:
        """One sentence about this server; what had come of an answer is kept by its stream."""
        return CourseError(
            f"{self.name} at {self.address} {what}; what had come is kept; {self._again}."
        )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    @contextmanager
    def _opened(self, path: str, body: dict[str, Any] | None) -> Iterator[httpx.Response]:
        """The response to a request, its headers read and found good."""
        method = "GET" if body is None else "POST"
        if self._gave_up:
            self._client, self._gave_up = self._connect(), False
        with self._explaining():
            # A read's own limit starts afresh with every byte; this one is for all the headers.
            late = threading.Timer(self._patience, self._give_up)
            late.daemon = True
            late.start()
            try:
                with self._client.stream(method, path, json=body) as response:
                    late.cancel()
                    self._check(response)
                    yield response
            finally:
                late.cancel()

    def _give_up(self) -> None:
        self._gave_up = True
        self._client.close()

    def _chunks(self, response: httpx.Response, most: int, *, lines: bool) -> Iterator[bytes]:
        """What arrives: at most `most` bytes, whole (of `lines`: each line) within the patience."""
        total, since = 0, time.monotonic()
        for chunk in response.iter_bytes():
            total += len(chunk)
            if total > most:
                raise self.fault(f"sent more than {most:,} bytes")
            if lines and (b"\n" in chunk or b"\r" in chunk):
                since = time.monotonic()
            elif time.monotonic() - since > self._patience:
                raise self.fault(f"sent nothing whole for {self._patience:g} seconds")
            yield chunk

    def _check(self, response: httpx.Response) -> None:
        if response.has_redirect_location:
            where = response.headers["location"][:80]
            raise self.fault(f"wants the question sent to {where!r} instead, which is not done")
        if response.status_code != httpx.codes.OK:
            reason = _reason(b"".join(self._chunks(response, LONGEST_LINE, lines=False)))
            if response.is_server_error:
                raise Refusal(f"{self.name} failed: {reason}; ask again.", response.status_code)
            raise Refusal(f"{self.name} refuses: {reason}.", response.status_code)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise CourseError(f"Nothing answers at {self.address}; {self._hint}.") from error
        except httpx.TimeoutException as error:
            raise self.fault(f"was silent for {self._patience:g} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            if self._gave_up:
                raise self.fault(f"sent nothing whole for {self._patience:g} seconds") from error
            raise self.fault(f"broke off ({_first_line(error)})") from error
        except RuntimeError as error:  # asked after it was closed
            if not self._client.is_closed:
                raise
            raise self.fault("was closed") from error


class Refusal(CourseError):
    """The server answered with a status that is not 200."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


def objects_in(value: object) -> list[dict[str, Any]]:
    """The objects in a list that a server sent; none where it sent something else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def number_in(value: object) -> int:
    """A count that a server sent; 0 where it sent something else, or more than can be."""
    sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**62
    return int(value) if sound else 0  # type: ignore[call-overload]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _kind(value: object) -> str:
    names = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _failure(found: object) -> object:
    """What an answer tells of a failure, as one server or another does; None where it does not."""
    told = found if isinstance(found, dict) else {}
    if "choices" in told and told.get("error") is None:
        return None
    names = ("message", "error", "detail") if told.get("object") == "error" else ("error", "detail")
    return next((told[name] for name in names if told.get(name) is not None), None)


def _reason(body: bytes) -> str:
    """What a server says of a refusal: a text, or an object with a message."""
    text = body.decode("utf-8", "replace").strip()
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        found = found if _failure(found) is None else _failure(found)
        text = str((found.get("message") or found) if isinstance(found, dict) else found)
    return " ".join(text.split())[:300].rstrip(".") or "no reason given"
