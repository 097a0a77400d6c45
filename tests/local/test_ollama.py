"""Ollama as it is today: its cloud, its context, its published API; a real one where one runs."""

import json
import threading
import time
from pathlib import Path

import ollama
import pytest
from ollama_standin import StandIn
from test_engines import QUESTION, ask, gguf_file, in_llama_cpp, student  # noqa: F401

from course_lib.errors import CourseError
from course_lib.limits import dataflow
from course_lib.local import engines
from course_lib.local.engines.base import Stream, Summary
from course_lib.local.engines.catalogue import ELSEWHERE
from course_lib.local.engines.with_ollama import OllamaEngine, installed, least_tokens

API = json.loads((Path(__file__).parent / "ollama_api.json").read_text())["schemas"]
FAR = "ollama.com"


# --- nothing leaves by accident -------------------------------------------------------------------


@pytest.fixture
def with_cloud(in_llama_cpp):  # noqa: F811
    with StandIn(in_llama_cpp, "student:latest", elsewhere=f"https://{FAR}:443") as server:
        yield server


def test_a_cloud_model_is_shown_as_elsewhere_and_never_chosen(with_cloud):
    options = engines.available(ollama=with_cloud.address)
    far = [option for option in options if option.state == ELSEWHERE]
    assert [option.model for option in far] == ["far:671b"] and options[-1] is far[0]
    assert f"elsewhere, at {FAR}:443; never chosen" in far[0].text()
    engine = engines.best(ollama=with_cloud.address)
    assert engine.model != "far:671b"
    with pytest.raises(CourseError, match=r"does not run here.*Nothing was sent"):
        far[0].open(yes=True)


@pytest.mark.parametrize("name", ["far:671b", "g:120b-cloud", "x:cloud", "X:Cloud ", "a-cloud"])
def test_a_cloud_model_is_sent_no_word_without_being_confirmed(with_cloud, name):
    with pytest.raises(CourseError, match=r"would send every word to ollama.com"):
        OllamaEngine(name, with_cloud.address)
    assert not any("/api/chat" in one for one in with_cloud.requests)


def test_named_and_confirmed_it_is_asked(with_cloud):
    engine = OllamaEngine("far:671b", with_cloud.address, send_to=f"{FAR}:443")
    assert "".join(engine.stream(QUESTION, max_tokens=4, temperature=0))
    with pytest.raises(CourseError, match="does not run here"):
        OllamaEngine("far:671b", with_cloud.address, send_to="another.example")


def test_an_answer_that_turns_out_to_come_from_elsewhere_is_stopped(with_cloud, monkeypatch):
    engine = OllamaEngine("student:latest", with_cloud.address)
    line = with_cloud._line
    monkeypatch.setattr(
        with_cloud, "_line", lambda m: line(m) | {"remote_host": "https://a.example"}
    )
    with pytest.raises(CourseError, match=r"send every word to a\.example") as told:
        list(engine.stream(QUESTION, max_tokens=4))
    assert "It has the question" in str(told.value) and "Nothing was sent" not in str(told.value)


def test_the_witness_sees_no_more_than_loopback(with_cloud, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    monkeypatch.setenv("ALL_PROXY", "http://192.0.2.1:3128")
    with dataflow.record() as flow:
        engine = OllamaEngine("student:latest", with_cloud.address)
        assert "".join(engine.stream(QUESTION, max_tokens=4, temperature=0))
    assert flow.events and not flow.outside


# --- the context ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["请总结下面这篇文章。" * 3000, "word " * 30_000, "x" * 90_000])
def test_a_prompt_that_cannot_fit_is_refused_before_it_is_sent(with_cloud, text):
    engine = OllamaEngine("student:latest", with_cloud.address, context=4096)
    with pytest.raises(CourseError, match="the context holds 4096; shorten"):
        engine.stream(ask(text))


def test_a_prompt_that_does_not_fit_is_refused_by_the_server_and_not_cut(with_cloud):
    engine = OllamaEngine("student:latest", with_cloud.address, context=4096)
    with pytest.raises(CourseError, match="Ollama refuses: the prompt is longer than the context"):
        list(engine.stream(ask('{"a":[1,2,3]},' * 3500)))


class Cutting:
    """An engine that reads ten tokens, whatever it is asked: an old server that cuts in silence."""

    def stream(self, messages, **_):
        return Stream(iter(["Fine.", Summary("x", "m", "stop", 10, 2, 0.1, 0.1)]))


def test_a_prompt_that_was_cut_is_told_afterwards():
    with StandIn(Cutting(), "old:latest") as server:
        stream = OllamaEngine("old:latest", server.address).stream(ask("one two three " * 30))
        assert "".join(stream) == "Fine."
    assert stream.summary.cut == 80
    assert "the prompt was cut: at least 80 more were sent" in stream.summary.text()


def test_what_is_asked_of_ollama(with_cloud):
    engine = OllamaEngine("student:latest", with_cloud.address)
    turns = [*ask("hello"), {"role": "assistant", "content": "<think>long</think>hi"}, *QUESTION]
    list(engine.stream(turns, max_tokens=3, seed=7))
    asked = with_cloud.asked
    assert asked["truncate"] is False and asked["shift"] is False
    assert asked["options"]["repeat_penalty"] == 1.0
    assert [one["content"] for one in asked["messages"]][1] == "hi"  # no earlier thought
    known = set(API["ModelOptions"]["properties"]) | {"repeat_penalty"}
    assert set(asked["options"]) <= known


@pytest.mark.parametrize(
    "text", ["", "a b c", "日本語", "x" * 160, "The quick brown fox jumps over the lazy dog. " * 20]
)
def test_the_bound_is_a_bound(text, tokenizer):
    assert least_tokens(text) <= len(tokenizer.encode(text)) and (least_tokens(text) or not text)


# --- stopping -------------------------------------------------------------------------------------


class Slow:
    """An engine with much to say, a word at a time; it notes how far it came."""

    said = 0

    def stream(self, messages, **_):
        def pieces():
            for self.said in range(1, 2000):
                time.sleep(0.005)
                yield "word "
            yield Summary("x", "m", "stop", 1, 2000, 0.1, 9.0)

        return Stream(pieces())


def test_a_client_that_stops_stops_the_servers_work():
    slow = Slow()
    with StandIn(slow, "m:latest") as server:
        engine = OllamaEngine("m:latest", server.address)
        with engine.stream(QUESTION) as stream:
            assert next(stream) == "word "
        until = time.monotonic() + 5
        while time.monotonic() < until:
            before = slow.said
            time.sleep(0.3)
            if slow.said == before:
                break
        assert slow.said < 1500


def test_llama_cpp_stops_working_when_the_client_does(in_llama_cpp):  # noqa: F811
    stream = in_llama_cpp.stream(QUESTION, temperature=2, top_p=1)
    next(stream)
    stream.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        slots = in_llama_cpp._wire._client.get("/slots").json()
        if not any(slot["is_processing"] for slot in slots):
            return
        time.sleep(0.05)
    pytest.fail("a slot is still at work")


# --- the published API ----------------------------------------------------------------------------


def misfits(value, schema, where=""):
    """Where `value` has names or types that `schema` does not."""
    kinds = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}
    kind = schema.get("type")
    if kind in kinds and not isinstance(value, kinds[kind]):
        return [f"{where}: {value!r} is no {kind}"]
    if isinstance(value, list):
        return [m for one in value for m in misfits(one, schema.get("items", {}), f"{where}[]")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    known = schema["properties"]
    unknown = [f"{where}.{name} is unknown" for name in value if name not in known]
    inner = [
        misfits(value[name], known[name], f"{where}.{name}") for name in value if name in known
    ]
    return unknown + [m for found in inner for m in found]


def test_the_stand_in_answers_as_ollamas_published_api(in_llama_cpp):  # noqa: F811
    last = API["ChatResponse"]["properties"]
    final = {"type": "object", "properties": API["ChatStreamEvent"]["properties"] | last}
    remote = {"remote_host": {"type": "string"}, "remote_model": {"type": "string"}}
    with StandIn(in_llama_cpp, "deepseek-r1:1.5b", thinks=True, elsewhere=FAR) as server:
        list(OllamaEngine("deepseek-r1:1.5b", server.address).stream(QUESTION, max_tokens=3))
        assert not misfits({"models": server.tags()}, API["ListResponse"])
        *lines, end = list(server.lines())
        assert lines and not any(misfits(line, API["ChatStreamEvent"]) for line in lines)
        assert not misfits(end, final) and end["done"] is True
        client = ollama.Client(server.address)
        assert [one.model for one in client.list().models] == ["deepseek-r1:1.5b", "far:671b"]
        assert client.show("deepseek-r1:1.5b").capabilities == ["completion", "thinking"]
        shown = {"capabilities": ["completion"], "model_info": {}, "details": {}}
        schema = {"properties": API["ShowResponse"]["properties"] | remote}
        assert not misfits(shown | {"remote_host": FAR}, schema)
        with pytest.raises(ollama.ResponseError, match="not found"):
            client.show("other")
    assert misfits({"models": [{"size": "big", "colour": 1}]}, API["ListResponse"])


@pytest.mark.slow
def test_a_real_ollama_answers_where_one_runs():
    """Not the stand-in: skipped, with the reason, where no server with a model is there."""
    here = sorted((tag for tag in installed() if not tag.elsewhere), key=lambda tag: tag.size)
    if not here:
        pytest.skip("no Ollama server with a model of its own listens at its usual address")
    engine = OllamaEngine(here[0].name, context=2048)
    with engine.stream(ask("Say yes."), max_tokens=64, temperature=0) as stream:
        text = "".join(stream)
    assert text and 1 <= stream.summary.completion_tokens <= 64 and stream.summary.cut == 0
    with pytest.raises(CourseError, match="context"):
        list(engine.stream(ask("one two three four " * 900)))
    with pytest.raises(CourseError, match="has no model 'no-such-model'"):
        OllamaEngine("no-such-model")


def test_two_ask_at_once(in_llama_cpp):  # noqa: F811
    """Closing one answer leaves another of the same engine alone."""
    one, two = (in_llama_cpp.stream(QUESTION, max_tokens=20, temperature=0) for _ in range(2))
    next(one)
    worker = threading.Thread(target=lambda: list(two))
    worker.start()
    one.close()
    worker.join(20)
    assert two.summary is not None and two.summary.completion_tokens == 20
