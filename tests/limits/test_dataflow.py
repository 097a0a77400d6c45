"""The recorder before real sockets, and the hosted request before a real client."""

import os
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama_standin import StandIn

from course_lib.errors import CourseError
from course_lib.limits import dataflow, socket_audit
from course_lib.limits.dataflow import LOOPBACK, OUTSIDE, SAME_MACHINE, Api, record
from course_lib.local.engines.with_llama_cpp import LlamaCppEngine
from course_lib.local.engines.with_ollama import OllamaEngine
from course_lib.local.engines.with_transformers import TransformersEngine
from course_lib.local.export import export_gguf
from course_lib.model.models import shipped
from course_lib.widgets.dataflow import HOSTED, DataFlowInspector

QUESTION = [{"role": "user", "content": "7 ? 3 ? 5 ? 2 = 9"}]


@pytest.fixture
def server():
    """A listening socket on loopback; the value is its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def kinds(flow):
    return [(event.kind, event.where) for event in flow.events]


def test_nothing_is_recorded_where_nothing_happens(server):
    with record() as flow:
        sum(range(10))
    socket.create_connection(("127.0.0.1", server)).close()
    assert flow.events == [] and flow.started == []
    assert flow.text() == "No socket was used and no name was looked up."
    assert flow.table().empty


def test_a_connection_is_seen_with_its_look_up_and_address(server):
    with record() as flow:
        socket.create_connection(("localhost", server)).close()
    assert kinds(flow)[0] == ("look-up", LOOPBACK)
    connect = next(event for event in flow.events if event.kind == "connect")
    assert (connect.port, connect.process) == (server, os.getpid())
    assert not flow.outside and "loopback" in flow.text()
    assert list(flow.table()["port"].dropna()).count(server) >= 1


def test_connect_ex_bind_and_datagrams_are_seen(server):
    with record() as flow:
        with socket.socket() as one:
            one.connect_ex(("127.0.0.1", server))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
            two.bind(("127.0.0.1", 0))
            two.sendto(b"x", ("127.0.0.1", server))
            two.sendmsg([b"x"], [], 0, ("127.0.0.1", server))
    assert [event.kind for event in flow.events] == ["connect", "bind", "send", "send"]


def test_what_would_leave_is_called_outside_even_if_it_fails():
    with record() as flow:
        with pytest.raises(OSError):
            socket.getaddrinfo("a-name-that-is-not.invalid", 80)
        with socket.socket() as one:
            one.settimeout(0)
            one.connect_ex(("192.0.2.1", 9))  # an address kept for examples: nobody is there
    assert kinds(flow)[:2] == [("look-up", OUTSIDE), ("connect", OUTSIDE)]
    assert "outside" in flow.text()


def test_a_connection_of_c_code_is_seen_in_the_systems_list(server):
    """The hook is silent here, as it is for C code: the socket is bound before the recording."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        with record() as flow:
            flow_hook, dataflow._active[:] = list(dataflow._active), []
            one.connect(("127.0.0.1", server))
            dataflow._active[:] = flow_hook
    assert kinds(flow) == [("connection", LOOPBACK)]
    assert flow.events[0].seen_by == dataflow.LIST


def test_connections_open_before_are_not_counted_as_new(server):
    with socket.create_connection(("127.0.0.1", server)), record() as flow:
        pass
    assert flow.events == []
    assert server in {event.port for event in flow.already_open}


def test_a_child_of_python_reports(server):
    code = f"import socket; socket.create_connection(('127.0.0.1', {server}))"
    with record() as flow:
        subprocess.run([sys.executable, "-c", code], check=True)
    children = {event.process for event in flow.events}
    assert ("connect", LOOPBACK) in kinds(flow)
    assert children == flow.reporting and os.getpid() not in children
    assert len(flow.started) == 1 and "of Python, 1 reported" in flow.text()


@pytest.mark.parametrize(
    ("event", "args", "program"),
    [
        ("os.posix_spawn", ("/opt/my tools/run it", [], {}), "run it"),
        ("subprocess.Popen", ("/opt/my tools/run", ["run", "a b"], None, None), "run"),
        ("subprocess.Popen", (None, ["/opt/my tools/run", "x"], None, None), "run"),
        ("subprocess.Popen", (None, '"/opt/my tools/run" x', None, None), "run"),
        ("os.system", ("'/opt/my tools/run' x",), "run"),
        ("os.system", (b"/bin/ls -l",), "ls"),
        ("os.system", ("",), ""),
        ("os.exec", (b"/bin/ls", [], None), "ls"),
    ],
)
def test_a_program_is_named_without_its_folder(event, args, program):
    assert dataflow._command(event, args) == program


def test_a_grandchild_and_a_fork_report(server):
    inner = f"import socket; socket.create_connection(('127.0.0.1', {server}))"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with record() as flow:
        subprocess.run([sys.executable, "-c", outer], check=True)
        child = os.fork()
        if not child:
            socket.create_connection(("127.0.0.1", server))
            os._exit(0)
        os.waitpid(child, 0)
    assert kinds(flow).count(("connect", LOOPBACK)) == 2
    assert len(flow.reporting) == 2 and "a fork" in flow.started


def test_a_child_without_our_environment_is_seen_to_start_and_not_to_report(server):
    with record() as flow:
        subprocess.run([sys.executable, "-I", "-c", "pass"], check=True)
    assert len(flow.started) == 1 and not flow.reporting
    assert "of Python, 0 reported" in flow.text()


def test_a_child_that_is_not_watched_is_found_by_a_look(server):
    code = (
        f"import socket, sys; c = socket.create_connection(('127.0.0.1', {server}));"
        "print('up', flush=True); sys.stdin.read()"
    )
    with record() as flow:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-I", "-c", code], **pipes) as child:
            child.stdout.readline()
            flow.look()
            child.stdin.close()
    assert [(e.kind, e.port, e.process) for e in flow.events] == [("connection", server, child.pid)]


def test_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    with pytest.raises(ZeroDivisionError), record():
        assert os.environ["PYTHONPATH"].endswith(f"{os.pathsep}mine")
        _ = 1 / 0
    assert os.environ["PYTHONPATH"] == "mine"
    monkeypatch.delenv("PYTHONPATH")
    with record():
        pass
    assert "PYTHONPATH" not in os.environ and not dataflow._active


def test_a_hidden_sitecustomize_still_runs(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['MINE'] = 'yes'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with record() as flow:
        command = [sys.executable, "-c", "import os; print(os.environ['MINE'])"]
        done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("yes\n", "") and len(flow.reporting) == 1


def test_two_recordings_at_once_hear_the_same(server):
    with record() as outer:
        with record() as inner:
            socket.create_connection(("127.0.0.1", server)).close()
        assert kinds(inner) == kinds(outer)


def test_other_threads_are_heard(server):
    with record() as flow:
        thread = threading.Thread(target=socket.create_connection, args=(("127.0.0.1", server),))
        thread.start()
        thread.join()
    assert ("connect", LOOPBACK) in kinds(flow)


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("127.0.0.1", LOOPBACK),
        ("127.8.9.10", LOOPBACK),
        ("::1", LOOPBACK),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("LocalHost", LOOPBACK),
        ("localhost.", LOOPBACK),
        (b"localhost", LOOPBACK),
        (None, LOOPBACK),
        ("::ffff:192.0.2.1", OUTSIDE),
        ("192.168.1.20", OUTSIDE),
        ("10.0.0.1", OUTSIDE),
        ("0.0.0.0", OUTSIDE),
        ("fe80::1%eth0", OUTSIDE),
        ("localhost.example.com", OUTSIDE),
        ("127.0.0.1.example.com", OUTSIDE),
    ],
)
def test_where_an_address_lies(host, where):
    assert socket_audit.place(host) == where


@given(st.text() | st.binary())
def test_only_known_addresses_are_loopback(host):
    assert socket_audit.place(host) in (LOOPBACK, OUTSIDE)


def test_listening_to_everybody_is_outside():
    bind = socket_audit.read_event("socket.bind", (None, ("", 80)))
    assert bind == {"kind": "bind", "address": "*", "port": 80, "where": OUTSIDE}
    unix = socket_audit.read_event("socket.connect", (None, "/run/x.sock"))
    assert unix["where"] == SAME_MACHINE
    assert socket_audit.read_event("socket.sendmsg", (None, None)) is None
    assert socket_audit.read_event("socket.__new__", (None, 2, 1, 0)) is None


# --- local engines --------------------------------------------------------------------------------


def test_transformers_in_this_process_uses_no_network_at_all():
    with record() as flow:
        engine = TransformersEngine(shipped("qwen2-base"))
        answer = "".join(engine.stream(QUESTION, max_tokens=12, temperature=0))
    assert answer
    assert flow.events == [] and flow.started == []


def test_llama_cpp_and_an_ollama_server_are_reached_over_loopback_only(tmp_path):
    export_gguf(shipped("qwen2-base"), tmp_path / "model.gguf")
    with record() as flow:
        engine = LlamaCppEngine(tmp_path / "model.gguf")
        first = "".join(engine.stream(QUESTION, max_tokens=8, temperature=0))
        flow.look()
    seen = set(flow.events)
    with StandIn(engine, "course:latest") as standin, record() as through_ollama:
        ollama = OllamaEngine("course:latest", standin.address)
        second = "".join(ollama.stream(QUESTION, max_tokens=8, temperature=0))
    engine.close()
    assert first == second
    assert {e.where for e in seen} == {LOOPBACK} == {e.where for e in through_ollama.events}
    assert "connect" in {e.kind for e in through_ollama.events}
    # The server is C++: the audit hook cannot see it listen, the system's list does.
    assert any(e.kind == "listening" and e.seen_by == dataflow.LIST for e in seen)


# --- what a hosted service would be sent ----------------------------------------------------------


def caught_request(send):
    """The bytes that reach a loopback server when `send(address)` posts to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        client = threading.Thread(target=send, args=(f"http://127.0.0.1:{port}/chat",))
        client.start()
        connection, _ = listening.accept()
        data = connection.recv(1 << 20)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(1 << 20)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        connection.close()
        client.join()
    return port, head + b"\r\n\r\n" + body


def test_the_hosted_request_is_what_the_client_really_sends():
    def send(url):
        body = {
            "model": "m", "messages": [{"role": "user", "content": "Grüße"}],
            "temperature": 0.6, "stream": True,
        }  # fmt: skip
        httpx.post(url, json=body, headers={"Authorization": "Bearer secret"})

    port, sent = caught_request(send)
    api = Api("here", f"http://127.0.0.1:{port}/chat", "m")
    messages = [{"role": "user", "content": "Grüße"}]
    assert dataflow.hosted_request(api, messages, key="secret") == sent


def test_building_the_hosted_request_sends_nothing():
    with record() as flow:
        raw = dataflow.hosted_request(dataflow.DEEPSEEK_API, QUESTION)
    assert flow.events == []
    assert b"7 ? 3 ? 5 ? 2 = 9" in raw and b"api.deepseek.com" in raw
    assert dataflow.NO_KEY.encode() in raw


def test_an_engine_stands_for_its_model():
    engine = TransformersEngine(shipped("qwen2-base"))
    assert b'"model":"qwen2-base"' in dataflow.hosted_request(engine, QUESTION)


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="https://"):
        dataflow.hosted_request(Api("x", "ftp://x", "m"), QUESTION)
    with pytest.raises(ValueError, match="ASCII"):
        dataflow.hosted_request(dataflow.DEEPSEEK_API, QUESTION, key="a\r\nX: y")
    for key in ("", "k ", "ké"):  # h11 has errors of its own for the first two
        with pytest.raises(ValueError, match="ASCII"):
            dataflow.hosted_request(dataflow.DEEPSEEK_API, QUESTION, key=key)
    for url in ("https://", "https://[::1"):
        with pytest.raises(ValueError, match="must be an address"):
            dataflow.hosted_request(Api("x", url, "m"), QUESTION)
    with pytest.raises(CourseError):
        dataflow.hosted_request(dataflow.DEEPSEEK_API, [])


# --- the inspector --------------------------------------------------------------------------------


def inspector(**first):
    flow = dataflow.Recording()
    flow.events += [
        dataflow.Event("connect", "127.0.0.1", 80, LOOPBACK, 1),
        dataflow.Event("look-up", "<b>x", None, OUTSIDE, 1),
    ]
    recordings = {"quiet": dataflow.Recording(), "busy": flow}
    return DataFlowInspector(recordings, b"POST / HTTP/1.1\r\nK: v\r\n\r\n{<>}", **first)


def test_the_inspector_shows_the_chosen_recording():
    widget = inspector()
    widget.reset()
    assert "Nothing leaves" in widget.text() and "No events" in widget.picture()
    widget.set(of="busy")
    assert "1 of them leave" in widget.text()
    assert "127.0.0.1" in widget.picture() and "&lt;b&gt;x" in widget.picture()
    widget.set(outside=True)
    assert "<td>127.0.0.1" not in widget.picture() and "&lt;b&gt;x" in widget.static_html()


def test_the_inspector_shows_the_request_and_its_size():
    widget = inspector()
    widget.set(of=HOSTED)
    assert "{&lt;&gt;}" in widget.picture() and "29 bytes would leave" in widget.text()
    with pytest.raises(ValueError, match="nothing to inspect"):
        DataFlowInspector({})
