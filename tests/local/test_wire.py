"""Broken and hostile servers: one sentence, within a stated time, and nothing sent elsewhere."""

import contextlib
import functools
import json
import os
import re
import socket
import threading
import time

import httpx
import numpy as np
import pytest

from course_lib.errors import CourseError
from course_lib.local import engines
from course_lib.local.engines import with_ollama, with_openai
from course_lib.local.engines.wire import LONGEST_LINE, Wire, host_of, on_this_machine
from course_lib.local.engines.with_ollama import OllamaEngine, installed
from course_lib.local.engines.with_openai import OpenAIEngine
from course_lib.task.traces import parse_trace

QUESTION = [{"role": "user", "content": "secret of my firm"}]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
LINE = json.dumps({"model": "m", "message": {"role": "assistant", "content": "a"}, "done": False})
EVENT = "data: " + json.dumps({"choices": [{"delta": {"content": "a"}}]})
PATIENCE = 1.0


def for_ever(piece, pause=0.0):
    while True:
        yield piece
        time.sleep(pause)


ANSWERS = {  # what stands in the place of an answer, as pieces of bytes
    "garbage": lambda: [OK, os.urandom(5000) + b"\n"],
    "no HTTP at all": lambda: [b"220 smtp ready\r\n"],
    "nothing": lambda: [],
    "5": lambda: [OK, b"5\n"],
    "null": lambda: [OK, b"null\n"],
    "a list": lambda: [OK, b"[1]\n"],
    "deep arrays": lambda: [OK, b"[" * 200_000 + b"]" * 200_000 + b"\n"],
    "a deep message": lambda: [OK, b'{"message":' + b"[" * 100_000 + b"\n"],
    "odd types": lambda: [OK, b'{"message": 5, "choices": 7, "data": 8, "models": 9}\n'],
    "a text that is none": lambda: [
        OK,
        b'{"message":{"content":[1]},"choices":[{"delta":{"content":[1]}}]}\n',
    ],
    "cut": lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", LINE.encode() + b"\n"],
    "cut within a line": lambda: [OK, LINE.encode()[:30]],
    "an error": lambda: [OK, b'{"error": "out of memory"}\n'],
    "a redirection": lambda: [
        b"HTTP/1.1 307 T\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"
    ],
    "a refusal": lambda: [b"HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\nbad"],
    "an endless stream": lambda: [OK] + [(LINE + "\n" + EVENT + "\n\n").encode() * 50] * 200_000,
    "endless empty lines": lambda: [OK] + [b"\n" * 5000] * 200_000,
    "a line of 300 MB": lambda: [OK] + [b"x" * (1 << 20)] * 300,
    "silence": lambda: [OK, None],
    "a drip": lambda: [OK, *(b"x" for _ in range(600))],
    "dripping headers": lambda: [b"HTTP/1.1 200 OK\r\n", *(b"x" for _ in range(600))],
}
GOOD = {
    "GET /v1/models": b'{"data": [{"id": "m"}]}',
    "POST /api/show": b'{"capabilities": ["completion"]}',
}
OBJECTS = ("odd types", "a text that is none")  # a look-up may be answered so
DRIPS = ("a drip", "dripping headers")


class Hostile:
    """A raw server that keeps what it is asked; `good`: it answers the opening requests well."""

    def __init__(self, answer, good=True):
        self.answer, self.good, self.asked, self.stopped = answer, good, [], threading.Event()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                threading.Thread(target=self.reply, args=(connection,), daemon=True).start()

    def reply(self, connection):
        with connection, contextlib.suppress(OSError):
            head = connection.recv(65536).decode("latin-1")
            size = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            while size and len(head.partition("\r\n\r\n")[2]) < int(size[1]):
                more = connection.recv(65536).decode("latin-1")
                if not more:
                    return
                head += more  # closing with a part unread would reset the connection
            self.asked.append(head)
            opening = " ".join(head.split()[:2])
            if self.good and opening in GOOD:
                connection.sendall(OK + GOOD[opening])
                return
            for piece in ANSWERS[self.answer]():
                if piece is None:
                    self.stopped.wait(30)
                    return
                connection.sendall(piece)
                if self.answer in DRIPS:
                    time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.listening.close()


def ask_ollama(address):
    engine = OllamaEngine("m", address, patience=PATIENCE, context=2048)
    return engine.stream(QUESTION, max_tokens=100)


def ask_server(address):
    return OpenAIEngine(address, patience=PATIENCE).stream(QUESTION, max_tokens=100)


@pytest.mark.parametrize("ask", [ask_ollama, ask_server])
@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_broken_server_ends_in_one_sentence_in_time(ask, answer, good):
    began = time.monotonic()
    with Hostile(answer, good) as server:
        stream = None
        with pytest.raises(CourseError) as caught:
            stream = ask(server.address)
            list(stream)
        assert time.monotonic() - began < PATIENCE + 60  # on a busy machine, too
        assert len(str(caught.value)) < 700 and "\n" not in str(caught.value)
        if stream is not None:
            assert set(stream.text) <= {"a"} and stream.summary is None
        assert not any("secret" in one for one in server.asked) or good or answer in OBJECTS


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_broken_server_hides_no_other_engine(answer):
    with Hostile(answer, good=False) as server:
        began = time.monotonic()
        assert installed(server.address) == []
        assert time.monotonic() - began < 60


def test_a_line_has_an_end_and_a_wire_serves_again_after_it():
    with Hostile("a line of 300 MB") as server:
        wire = Wire("it", server.address)
        with pytest.raises(CourseError, match=f"a line of more than {LONGEST_LINE:,} bytes"):
            list(wire.lines("/x", {}))
        assert wire.ask("/v1/models") == {"data": [{"id": "m"}]}


def test_a_wire_serves_again_after_headers_that_never_ended():
    with Hostile("dripping headers") as server:
        wire = Wire("it", server.address, patience=0.3)
        with pytest.raises(CourseError, match=r"nothing whole for 0\.3 seconds"):
            wire.ask("/x", {})
        assert wire.ask("/v1/models") == {"data": [{"id": "m"}]}


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("http://localhost:11434", True), ("http://127.0.0.1", True), ("http://[::1]:1", True),
        ("http://127.9.9.9:1", True), ("http://[::ffff:127.0.0.1]", True),
        ("http://LOCALHOST.:1", True), ("http://localhost.evil.example", False),
        ("http://192.168.0.2:8000", False), ("http://0.0.0.0:1", False),
        ("https://a.example", False),
        ("http://127.0.0.1@evil.example", False), ("http://user@127.0.0.1:1", True),
    ],
)  # fmt: skip
def test_what_lies_on_this_machine(address, near):
    assert on_this_machine(address) is near


@pytest.mark.parametrize(
    "address", ["", "localhost:11434", "ftp://a", "http://", "http://[", "x" * 999]
)
def test_what_is_no_address(address):
    with pytest.raises(CourseError, match="is no address of a server"):
        host_of(address)


def test_a_key_goes_encrypted_or_stays_here():
    Wire("it", "http://127.0.0.1:1", key="k")
    Wire("it", "https://a.example", key="k")
    with pytest.raises(CourseError, match="is not sent unencrypted"):
        Wire("it", "http://a.example", key="k")
    with pytest.raises(CourseError, match="printable ASCII"):
        Wire("it", "https://a.example", key="k\n")
    with pytest.raises(CourseError, match="is not sent unencrypted"):
        Wire("it", "http://me:secret@a.example")


def authorizations(monkeypatch):
    """What a server in place of the network is told of who asks."""
    seen = []

    def reply(request):
        seen.append(request.headers["Authorization"])
        return httpx.Response(200, json={"data": [{"id": "m"}]})

    wire = functools.partial(Wire, transport=httpx.MockTransport(reply))
    monkeypatch.setattr(with_openai, "Wire", wire)
    return seen


def test_a_password_in_an_address_is_sent_and_never_shown(monkeypatch):
    seen = authorizations(monkeypatch)
    engine = OpenAIEngine("http://me:secret@127.0.0.1:1/v1")
    assert seen == ["Basic bWU6c2VjcmV0"]
    assert str(engine) == "m in a server at 127.0.0.1:1"
    monkeypatch.undo()
    with pytest.raises(CourseError, match=r"Nothing answers at http://127\.0\.0\.1:1;"):
        OpenAIEngine("http://me:secret@127.0.0.1:1")
    with pytest.raises(CourseError, match=r"'https://\.\.\.@a\.example' is no address"):
        OpenAIEngine("https://me:sec/ret@a.example")


class Server:
    """A server of OpenAI's protocol in place of the network: it sends `deltas` and keeps the body.

    With a `limit` it counts the prompt and its template, and refuses as vLLM does what would not
    fit beside it.
    """

    def __init__(self, monkeypatch, deltas, limit=None, raw=None, context=None):
        self.deltas, self.limit, self.raw, self.body = deltas, limit, raw, {}
        self.models = ["m"]
        transport = httpx.MockTransport(self.reply)
        monkeypatch.setattr(with_openai, "Wire", functools.partial(Wire, transport=transport))
        self.engine = OpenAIEngine("http://127.0.0.1:1", context=context)

    def reply(self, request):
        if request.url.path == "/v1/models":
            data = [{"id": name, "max_model_len": self.limit} for name in self.models]
            return httpx.Response(200, json={"data": data})
        self.body = json.loads(request.content)
        prompt = 20 + sum(len(one["content"].split()) for one in self.body["messages"])
        if self.limit and prompt + self.body.get("max_tokens", 1) > self.limit:
            message = f"maximum context length is {self.limit} tokens and the prompt has {prompt}"
            return httpx.Response(400, json={"error": {"message": message}})
        ends = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        events = [{"choices": [{"delta": one}], "error": None} for one in self.deltas]
        said = "".join(f"data: {json.dumps(one)}\n\n" for one in [*events, ends])
        return httpx.Response(200, content=self.raw or f"\ufeff{said}data: [DONE]\n\n".encode())

    def ask(self, **options):
        stream = self.engine.stream(QUESTION, **options)
        return "".join(stream), stream


def test_a_key_copied_with_a_blank_or_a_line_end_is_the_key(monkeypatch):
    """httpx refused it in a sentence with the key in it."""
    seen = authorizations(monkeypatch)
    monkeypatch.setenv(with_openai.KEY_VARIABLE, " sk-secret \n")
    OpenAIEngine("http://127.0.0.1:1")
    assert seen == ["Bearer sk-secret"]


def test_without_a_number_the_server_fills_its_context(monkeypatch):
    """vLLM refuses what it would have to cut, and nobody but it has counted the prompt."""
    server = Server(monkeypatch, [{"content": "Four."}], limit=100)
    assert server.engine.context == 100
    assert server.ask()[0] == "Four." and "max_tokens" not in server.body
    assert server.ask(max_tokens=50)[0] == "Four." and server.body["max_tokens"] == 50
    with pytest.raises(CourseError, match="refuses: maximum context length is 100"):
        server.ask(max_tokens=90)
    with pytest.raises(CourseError, match="the context holds 100; shorten"):
        server.engine.stream([{"role": "user", "content": "word " * 100}])


def test_a_server_is_heard_no_longer_than_the_context_that_was_asked_for(monkeypatch):
    server = Server(monkeypatch, [{"content": "a"}] * 300, limit=1000, context=100)
    text, stream = server.ask()
    assert "max_tokens" not in server.body
    assert len(text) == 100 - 4 and stream.summary.finish == "length"


def test_a_server_that_does_not_tell_its_context_is_told_where_to_end(monkeypatch):
    """Else mlx_lm.server would end after 512 tokens."""
    server = Server(monkeypatch, [{"content": "a"}])
    assert server.ask()[0] == "a" and server.body["max_tokens"] == server.engine.context - 4


def test_numbers_of_numpy_are_sent_as_pythons(monkeypatch):
    """As in `for seed in np.arange(3)`: JSON knows no other."""
    server = Server(monkeypatch, [{"content": "4"}])
    server.ask(max_tokens=np.int64(5), seed=np.int64(3), temperature=np.float32(0.5))
    assert [server.body[name] for name in ("max_tokens", "seed", "temperature")] == [5, 3, 0.5]


def test_an_error_of_null_is_none_and_a_byte_order_mark_is_dropped(monkeypatch):
    text, stream = Server(monkeypatch, [{"content": "a"}, {"content": "b"}]).ask()
    assert text == "ab" and stream.summary.finish == "stop"
    failed = Server(monkeypatch, [], raw=b'data: {"error": "out of memory"}\n\n')
    with pytest.raises(CourseError, match=r"failed \(out of memory\)"):
        failed.ask()


def test_a_thought_whose_opening_tag_is_in_the_template_is_one(monkeypatch):
    thought = "I could ask <tool>calculate: 1+1</tool>"
    deltas = [{"content": f"{thought}\n</thi"}, {"content": "nk>\n\nThe answer is 4."}]
    text, stream = Server(monkeypatch, deltas).ask()
    assert stream.prefilled
    assert parse_trace(text, prefilled=True).answer == "\n\nThe answer is 4."
    apart = [{"reasoning": "</think> ends it <"}, {"content": "Use </think>."}]
    text, stream = Server(monkeypatch, apart).ask()
    assert not stream.prefilled
    assert parse_trace(text).thinking == "\n`</think>` ends it <\n"
    assert parse_trace(text).answer == "\n\nUse </think>."
    text, _ = Server(monkeypatch, [{"reasoning": "1 <"}]).ask()
    assert text == "<think>\n1 <"


def test_an_answer_that_a_server_sends_whole_is_not_lost(monkeypatch):
    """Some servers do not know `stream`; others repeat the whole beside each piece of it."""
    whole = {"message": {"content": "Four."}, "finish_reason": "stop"}
    server = Server(monkeypatch, [], raw=json.dumps({"choices": [whole]}).encode())
    assert server.ask()[0] == "Four."
    server.raw = json.dumps({"choices": [whole | {"delta": None}]}, indent=2).encode()
    assert server.ask()[0] == "Four."
    server.raw = (
        b"data: " + json.dumps({"choices": [{"delta": {"content": "4"}, **whole}]}).encode()
    )
    text, stream = server.ask()
    assert text == "4" and "0 tokens read" not in stream.summary.text()  # it told no number


def test_one_of_several_models_is_named_behind_the_url(monkeypatch):
    server = Server(monkeypatch, [{"content": "a"}])
    server.models = ["m", "org/n:7b"]
    with pytest.raises(CourseError, match=r"m, org/n:7b\. Name one .*http://127\.0\.0\.1:1#NAME"):
        engines.named("http://127.0.0.1:1/v1")
    server.engine = engines.named("http://127.0.0.1:1/v1#org/n:7b")
    assert server.ask()[0] == "a" and server.body["model"] == "org/n:7b"
    with pytest.raises(CourseError, match="has these models"):
        engines.named("http://127.0.0.1:1#other")


@pytest.mark.parametrize(
    ("details", "said"),
    [({"cached_tokens": 9}, "1 of 10 tokens"), ({"cached_tokens": 99}, "0 of 10"), ([9], ": 10 ")],
)
def test_what_a_server_knew_of_a_prompt_is_not_said_to_be_read(monkeypatch, details, said):
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": details}
    whole = {"delta": {"content": "4"}, "finish_reason": "length"}
    raw = b"data: " + json.dumps({"choices": [whole], "usage": usage}).encode()
    _, stream = Server(monkeypatch, [], raw=raw).ask()
    assert said in stream.summary.text()
    # all came in one piece: how long the prompt alone took is not known
    assert stream.summary.prompt_speed == 0 and "read, 1 written" in stream.summary.text()


def test_an_answer_that_has_ended_is_counted_though_the_server_hangs_up(monkeypatch):
    def dying(*deltas):
        for delta in deltas:
            yield b"data: " + json.dumps({"choices": [delta]}).encode() + b"\n\n"
        raise httpx.ReadError("the line went dead")

    piece = {"delta": {"content": "4"}}
    server = Server(monkeypatch, [], raw=dying(piece, {"delta": {}, "finish_reason": "stop"}))
    text, stream = server.ask()
    assert text == "4" and stream.summary.finish == "stop" and stream.summary.completion_tokens == 1
    server.raw = dying(piece)
    with pytest.raises(CourseError, match="broke off"):
        server.ask()


def test_a_last_piece_that_is_no_text_and_a_failure_after_a_null_are_told(monkeypatch):
    odd = {"message": {"content": [{"type": "text"}]}, "finish_reason": "stop"}
    server = Server(monkeypatch, [], raw=json.dumps({"choices": [odd]}).encode())
    with pytest.raises(CourseError, match="no text"):
        server.ask()
    open_still = {"delta": {"content": "a"}, "finish_reason": "null"}
    raw = b"data: " + json.dumps({"choices": [open_still]}).encode() + b"\n\n"
    with pytest.raises(CourseError, match="out of memory"):
        Server(monkeypatch, [], raw=raw + b'data: {"error": "out of memory"}\n\n').ask()


def test_empty_pieces_while_a_model_thinks_and_a_remark_beside_its_words_are_borne(monkeypatch):
    pieces = [*[{"content": ""}] * 85, {"content": "b"}]
    assert Server(monkeypatch, pieces).ask(max_tokens=16)[0] == "b"
    whole = {"delta": {"content": "a"}, "finish_reason": "stop"}
    raw = b"data: " + json.dumps({"choices": [whole], "detail": ""}).encode()
    assert Server(monkeypatch, [], raw=raw).ask()[0] == "a"


FAILURES = (
    b'event: error\ndata: {"message": "out of memory"}\n\n',
    b"event: error\ndata: out of memory\n\n",
    b'data: {"object": "error", "message": "out of memory", "code": 500}\n\n',
    b'data: {"detail": "out of memory"}\n\n',
    b'{"detail": "out of memory"}',
    b'error: {"code": 500, "message": "out of memory"}\n\n',
)


@pytest.mark.parametrize("raw", FAILURES)
def test_a_failure_is_told_in_whatever_form_a_server_has_for_it(monkeypatch, raw):
    with pytest.raises(CourseError, match=r"failed \(out of memory\)"):
        Server(monkeypatch, [], raw=raw).ask()


@pytest.mark.parametrize("status", [200, 422])
@pytest.mark.parametrize("told", [{"detail": "no room"}, {"object": "error", "message": "no room"}])
def test_a_failure_instead_of_a_short_answer_is_told_too(status, told):
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=told))
    with pytest.raises(CourseError, match=r"(failed \(|refuses: )no room"):
        Wire("it", "http://127.0.0.1:1", transport=transport).ask("/x")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_three_ways_and_comments_are_no_pieces(monkeypatch, end):
    events = [{"choices": [{"delta": {"content": "4"}}]}, {"choices": [{"finish_reason": "stop"}]}]
    data = [b"data: " + json.dumps(one).encode() + end * 2 for one in events]
    raw = b"retry: 9" + end * 2 + data[0] + (b": ping" + end * 2) * 500 + data[1]
    text, stream = Server(monkeypatch, [], raw=raw).ask(max_tokens=1)
    assert text == "4" and stream.summary.completion_tokens == 1


def ollama(monkeypatch, *pieces, breaks=False):
    """A stream of Ollama's, whose server sends these pieces and ends, or breaks off."""

    def sent():
        yield from pieces
        if breaks:
            raise httpx.ReadError("the line went dead")

    def reply(request):
        if request.url.path == "/api/show":
            return httpx.Response(200, json={})
        kind = {"Content-Type": "application/x-ndjson"}
        return httpx.Response(200, content=sent(), headers=kind)

    wire = functools.partial(Wire, transport=httpx.MockTransport(reply))
    monkeypatch.setattr(with_ollama, "Wire", wire)
    return OllamaEngine("m", "http://127.0.0.1:1").stream(QUESTION)


PIECE = LINE.encode()
LAST = json.dumps({"message": {"content": "b"}, "done": True, "eval_count": 2}).encode()


@pytest.mark.parametrize("breaks", [False, True])
def test_a_last_line_without_its_end_counts_though_the_server_hangs_up(monkeypatch, breaks):
    stream = ollama(monkeypatch, PIECE + b"\n", LAST, breaks=breaks)
    assert "".join(stream) == "ab" and stream.summary.completion_tokens == 2


def test_a_line_that_is_cut_is_told_as_one_and_what_had_come_is_kept(monkeypatch):
    for breaks in (False, True):
        stream = ollama(monkeypatch, PIECE + b"\n", PIECE, b"\n" + LAST[:30], breaks=breaks)
        with pytest.raises(CourseError, match=r"broke off.*what had come is kept; ask again"):
            list(stream)
        assert stream.text == "aa" and stream.summary is None


def test_a_carriage_return_within_a_line_of_json_does_not_end_it(monkeypatch):
    pieces = [one.replace(b", ", b",\r ") + b"\r\n" for one in (PIECE, LAST)]
    assert "".join(ollama(monkeypatch, *pieces)) == "ab"


PROXIES = ("http://127.0.0.1:%d", "socks5://127.0.0.1:%d", "nonsense:%d", "http://[%d")


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"])
def test_a_proxy_neither_gets_the_prompt_nor_stops_an_engine(monkeypatch, proxy, name):
    """A local server is asked directly, whatever the environment says of proxies."""
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    with Hostile("a refusal") as middle, Hostile("an error") as server:
        port = int(middle.address.rpartition(":")[2])
        monkeypatch.setenv(name, proxy % port if "%" in proxy else proxy)
        for ask in (ask_ollama, ask_server):
            with pytest.raises(CourseError, match=r"failed \(out of memory\)"):
                list(ask(server.address))
        assert middle.asked == []
        assert engines.available(ollama=server.address)


def test_a_proxy_that_cannot_be_used_is_one_sentence_for_a_server_elsewhere(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(CourseError, match=r"cannot be asked|Nothing answers"):
        OpenAIEngine("http://192.0.2.1:8000")


@pytest.mark.parametrize("answer", ["cut", "an error", "a refusal"])
def test_what_breaks_off_is_asked_again_and_nobody_is_told_to_start_ollama(answer):
    with Hostile(answer) as server, pytest.raises(CourseError, match="ask again") as caught:
        list(ask_ollama(server.address))
    assert "start Ollama" not in str(caught.value)
