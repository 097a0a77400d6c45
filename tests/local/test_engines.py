"""The engines: one answer from all three, DeepSeek's defaults, and everything that can go wrong.

The model is a student with random weights, so its answers are nonsense but must be equal. Real
weights, SmolLM2-135M, are in `test_smollm2.py`.
"""

import json
import shutil
import socket

import httpx
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from ollama_standin import StandIn
from transformers import AutoModelForCausalLM

from course_lib.errors import CourseError
from course_lib.limits import dataflow
from course_lib.local import engines
from course_lib.local.engines import catalogue, download
from course_lib.local.engines.base import Stream, Tags, force_thinking
from course_lib.local.engines.wire import Wire
from course_lib.local.engines.with_llama_cpp import LlamaCppEngine
from course_lib.local.engines.with_ollama import OllamaEngine
from course_lib.local.engines.with_transformers import StopFilter, TransformersEngine, pick
from course_lib.local.export import export_gguf
from course_lib.model import models
from course_lib.task.traces import parse_trace


def ask(text):
    return [{"role": "user", "content": text}]


QUESTION = ask("7 ? 3 ? 5 ? 2 = 9")


def make_student(folder, family="qwen2"):
    """A student whose weights are random but large enough for varied, decided answers."""
    torch.manual_seed(1)
    tokenizer = models.build_tokenizer()
    model = AutoModelForCausalLM.from_config(models.student_config(tokenizer, family))
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 or name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    models.save(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return make_student(tmp_path_factory.mktemp("models") / "student")


@pytest.fixture(scope="module")
def gguf_file(student):
    export_gguf(student, student.parent / "student.gguf")
    return student.parent / "student.gguf"


@pytest.fixture(scope="module")
def in_transformers(student):
    return TransformersEngine(student)


@pytest.fixture(scope="module")
def in_llama_cpp(gguf_file):
    engine = LlamaCppEngine(gguf_file)
    yield engine
    engine.close()


@pytest.fixture
def standin(in_llama_cpp):
    with StandIn(in_llama_cpp, "student:latest") as server:
        yield server


@pytest.fixture
def in_ollama(standin):
    return OllamaEngine("student:latest", standin.address)


@pytest.fixture(params=["transformers", "llama.cpp", "Ollama"])
def engine(request):
    names = {"transformers": "in_transformers", "llama.cpp": "in_llama_cpp", "Ollama": "in_ollama"}
    return request.getfixturevalue(names[request.param])


def test_all_three_engines_give_one_answer(in_transformers, in_llama_cpp, in_ollama):
    for question in ("7 ? 3 ? 5 ? 2 = 9", "1 ? 1 = 2", "What is the capital of France?"):
        answers = [
            "".join(one.stream(ask(question), max_tokens=24, temperature=0)).rstrip("\ufffd")
            for one in (in_transformers, in_llama_cpp, in_ollama)
        ]
        assert answers[0] and answers[0] == answers[1] == answers[2]


def test_the_stream_ends_with_counts_and_timings(engine):
    stream = engine.stream(QUESTION, max_tokens=9, temperature=0)
    assert stream.summary is None
    pieces = list(stream)
    summary = stream.summary
    assert stream.text == "".join(pieces) and 1 < len(pieces) <= 10
    assert (summary.engine, summary.model) == (engine.kind, engine.model)
    assert summary.prompt_tokens == 12
    assert summary.completion_tokens == 9 and summary.finish == "length"
    assert summary.prompt_seconds > 0 and summary.seconds > 0
    assert summary.speed == pytest.approx(9 / summary.seconds)
    assert engine.model in summary.text() and engine.kind in str(engine)


def test_a_prompt_that_llama_cpp_knows_is_not_said_to_be_read_again(in_llama_cpp):
    """Else the second time seems to be read a hundred times as fast."""
    for question in ("1 ? 1 = 2", "7 ? 3 ? 5 ? 2 = 9", "7 ? 3 ? 5 ? 2 = 9"):
        stream = in_llama_cpp.stream(ask(question), max_tokens=2, temperature=0)
        "".join(stream)
    summary = stream.summary
    assert summary.prompt_tokens == 12 and summary.known == 11
    assert summary.prompt_speed == pytest.approx(1 / summary.prompt_seconds)
    assert ": 1 of 12 tokens read at " in summary.text()


def test_one_token_has_no_speed(in_llama_cpp):
    """It comes with the prompt: llama.cpp gives a microsecond for it, so it was 1000000/s."""
    stream = in_llama_cpp.stream(QUESTION, max_tokens=1)
    list(stream)
    assert stream.summary.completion_tokens == 1 and stream.summary.speed == 0
    assert "1 written, ended by length" in stream.summary.text()


def test_stop_texts_end_the_answer(engine):
    whole = "".join(engine.stream(QUESTION, max_tokens=20, temperature=0, stop=None))
    stop = whole[5:8]
    stream = engine.stream(QUESTION, max_tokens=20, temperature=0, stop=[stop])
    assert "".join(stream) == whole[: whole.index(stop)]
    assert stream.summary.finish == "stop"


@pytest.mark.parametrize("name", ["in_transformers", "in_llama_cpp"])
def test_a_seed_makes_sampling_repeatable(name, request):
    engine = request.getfixturevalue(name)
    drawn = ["".join(engine.stream(QUESTION, temperature=2, top_p=1, seed=s)) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_transformers_ends_at_the_end_token(in_transformers):
    """At every end token of the vocabulary: here each token is made one in turn."""
    whole = in_transformers.stream(QUESTION, max_tokens=6, temperature=0)
    text = "".join(whole)
    prompt = in_transformers._tokenizer.apply_chat_template(
        QUESTION, tokenize=False, add_generation_prompt=True
    )
    first = in_transformers._tokenizer.encode(prompt + text)[12:][0]
    in_transformers._ends.add(first)
    try:
        stream = in_transformers.stream(QUESTION, max_tokens=6, temperature=0)
        assert "".join(stream) == "" and stream.summary.finish == "stop"
        assert stream.summary.completion_tokens == 1
    finally:
        in_transformers._ends.discard(first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": []}, "prompt is empty"),
        ({"messages": ask("  \n")}, "prompt is empty"),
        ({"messages": [{"role": "system", "content": "x"}]}, "prompt is empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "A message has a role"),
        ({"messages": ask("a caf\udce9")}, "no text in UTF-8"),
        ({"messages": [{"role": "user"}]}, "A message has a role"),
        ({"messages": "Why is the sky blue?"}, "A message has a role"),
        ({"messages": QUESTION[0]}, "A message has a role"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 37.5}, "max_tokens is 37.5"),  # never reached, it ended no answer
        ({"seed": 0.5}, "seed is 0.5"),
        ({"seed": -1}, "seed is -1"),  # which means any to llama.cpp
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": 1e-320}, "temperature is 1e-320"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": "0.6"}, "temperature is '0.6'; it must be a number"),
        ({"top_p": None}, "top_p is None"),
        ({"top_p": 0}, "top_p is 0"),
        ({"stop": [""]}, "stop is a list of texts"),
        ({"stop": "yes"}, "stop is a list of texts"),
        ({"messages": ask("one two " * 200)}, "context holds 256; shorten"),
    ],
)
def test_bad_requests_get_one_sentence(in_llama_cpp, in_transformers, standin, change, message):
    for one in (
        in_transformers,
        in_llama_cpp,
        OllamaEngine("student:latest", standin.address, context=256),
    ):
        request = {"messages": QUESTION} | change
        with pytest.raises(CourseError, match=message):
            one.stream(request.pop("messages"), **request)


def test_a_stream_can_be_closed_and_the_engine_used_again(engine):
    stream = engine.stream(QUESTION, max_tokens=50, temperature=0)
    first = next(stream)
    stream.close()
    assert list(stream) == [] and stream.text == first
    assert next(engine.stream(QUESTION, max_tokens=5, temperature=0)) == first


# --- DeepSeek's recommended use -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "model", "expected"),
    [
        ("<Assistant>", "deepseek-r1:7b", ("<Assistant><think>\n", True)),
        ("<Assistant>", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", ("<Assistant><think>\n", True)),
        ("<Assistant><think>\n", "deepseek-r1:7b", ("<Assistant><think>\n", True)),
        ("<Assistant><think>\n", "student", ("<Assistant><think>\n", True)),
        ("<Assistant>", "student", ("<Assistant>", False)),
        ("<Assistant>", "deepseek-v3", ("<Assistant>", False)),
    ],
)
def test_thinking_is_forced_for_deepseeks_models_only(prompt, model, expected):
    assert force_thinking(prompt, model) == expected


@pytest.mark.parametrize("kind", [TransformersEngine, LlamaCppEngine])
def test_a_forced_thought_reads_as_a_prefilled_one(kind, student, gguf_file):
    path = student if kind is TransformersEngine else gguf_file
    plain, forced = kind(path, "student"), kind(path, "DeepSeek-R1-Distill-Qwen-0B")
    one = plain.stream(QUESTION, max_tokens=5, temperature=0)
    two = forced.stream(QUESTION, max_tokens=5, temperature=0)
    assert (one.prefilled, two.prefilled) == (False, True)
    assert "".join(one) != "".join(two)
    assert two.summary.prompt_tokens == one.summary.prompt_tokens + 2
    assert parse_trace(two.text, prefilled=two.prefilled).thinking == two.text
    plain.close()
    forced.close()


def test_what_ollama_is_asked(standin, in_ollama):
    list(in_ollama.stream(QUESTION, max_tokens=3))
    asked = standin.asked
    assert asked["messages"] == QUESTION  # no system prompt, nothing forced
    assert (asked["options"]["temperature"], asked["options"]["top_p"]) == (0.6, 0.95)
    assert asked["options"]["num_ctx"] == 16_384 and asked["options"]["num_predict"] == 3
    assert "think" not in asked or asked["think"] is None


def test_ollamas_deepseek_without_thinking_support_is_made_to_think(in_llama_cpp):
    with StandIn(in_llama_cpp, "deepseek-r1:1.5b") as server:
        stream = OllamaEngine("deepseek-r1:1.5b", server.address).stream(QUESTION, max_tokens=3)
        list(stream)
        assert stream.prefilled
        assert server.asked["messages"][-1] == {"role": "assistant", "content": "<think>\n"}


def test_a_thought_that_ollama_sends_apart_gets_its_tags_back(in_llama_cpp):
    with StandIn(in_llama_cpp, "deepseek-r1:1.5b", thinks=True) as server:
        stream = OllamaEngine("deepseek-r1:1.5b", server.address).stream(QUESTION, max_tokens=3)
        trace = parse_trace("".join(stream))
        assert server.asked["think"] is True and not stream.prefilled
        assert server.asked["messages"] == QUESTION
    assert trace.thinking.strip() == "I should add. Done."
    assert trace.closed and trace.answer.strip()


# --- what can go wrong ----------------------------------------------------------------------------


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_nothing_listens():
    host = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(CourseError, match=f"Nothing answers at {host}; start Ollama"):
        OllamaEngine("deepseek-r1:1.5b", host)


def test_a_model_that_ollama_does_not_have(standin):
    with pytest.raises(CourseError, match=r"no model 'other'; it has: student:latest\. If ollama"):
        OllamaEngine("other", standin.address)


@pytest.mark.parametrize("mishap", ["cut", "silent", "error"])
def test_a_stream_cut_in_the_middle_keeps_what_came(standin, in_ollama, mishap):
    standin.mishap = mishap
    stream = in_ollama.stream(QUESTION, max_tokens=20, temperature=0)
    with pytest.raises(CourseError, match="Ollama") as caught:
        list(stream)
    assert stream.text and stream.summary is None
    assert ("internal error" in str(caught.value)) == (mishap == "error")


def test_ollama_dies_between_opening_and_asking(in_llama_cpp):
    with StandIn(in_llama_cpp, "student:latest") as server:
        engine = OllamaEngine("student:latest", server.address)
    with pytest.raises(CourseError, match=r"Nothing answers|broke off"):
        list(engine.stream(QUESTION))


class Dying(httpx.SyncByteStream):
    """What arrives of llama.cpp's answer: two events, then `end`; an exception is raised."""

    def __init__(self, end):
        self.end = end

    def __iter__(self):
        for word in ("one ", "two "):
            yield b"data: " + json.dumps({"content": word, "stop": False}).encode() + b"\n\n"
        if isinstance(self.end, Exception):
            raise self.end
        yield self.end


@pytest.mark.parametrize(
    "end",
    [
        httpx.ReadError("the line went dead"),
        httpx.ReadTimeout("nothing for long"),
        b"",  # the connection is closed without a last event
        b'data: {"content": "thr',  # an event that is cut
        b"data: 7\n\n",
        b'data: {"stop": false}\n\n',
        b'data: {"content": "", "stop": true}\n\n',  # no counts
    ],
)
def test_llama_cpp_dies_in_the_middle_and_what_came_is_kept(gguf_file, in_llama_cpp, end):
    def handle(request):
        if request.url.path == "/completion":
            return httpx.Response(200, stream=Dying(end))
        return httpx.Response(200, json={"prompt": "p", "tokens": [1, 2]})

    living = in_llama_cpp._wire
    dying = httpx.MockTransport(handle)
    in_llama_cpp._wire = Wire(
        "llama.cpp", "http://127.0.0.1", again="open it again", transport=dying
    )
    try:
        stream = in_llama_cpp.stream(QUESTION)
        with pytest.raises(CourseError, match=r"llama\.cpp at .*; what had come is kept; open it"):
            list(stream)
    finally:
        in_llama_cpp._wire = living
    assert stream.text == "one two " and stream.summary is None


def test_an_engine_that_was_closed_says_so_in_a_sentence(gguf_file):
    engine = LlamaCppEngine(gguf_file)
    engine.close()
    with pytest.raises(CourseError, match="open it again"):
        list(engine.stream(QUESTION))


def test_a_truncated_gguf(gguf_file, tmp_path):
    content = gguf_file.read_bytes()
    short = tmp_path / "short.gguf"
    short.write_bytes(content[:-5000])
    with pytest.raises(CourseError, match=r"short\.gguf is cut short: .* of .* bytes"):
        LlamaCppEngine(short)
    short.write_bytes(content[:100])
    with pytest.raises(CourseError, match="ends within its header"):
        LlamaCppEngine(short)
    short.write_bytes(b"PK\x03\x04" * 1000)
    with pytest.raises(CourseError, match="not a GGUF file"):
        LlamaCppEngine(short)


def test_a_gguf_that_llama_cpp_refuses(gguf_file, tmp_path):
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf_file.read_bytes().replace(b"qwen2", b"qwenX"))
    with pytest.raises(CourseError, match=r"llama\.cpp cannot load other\.gguf"):
        LlamaCppEngine(other)


def test_a_folder_with_a_pickle(student, tmp_path):
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text((student / "config.json").read_text())
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n.")
    with pytest.raises(CourseError, match=r"no \.safetensors file"):
        TransformersEngine(folder)


@pytest.mark.parametrize("kind", [TransformersEngine, LlamaCppEngine])
def test_no_memory(kind, student, gguf_file, monkeypatch):
    monkeypatch.setattr("course_lib.runtime.memory", lambda: (10**10, 1000))
    with pytest.raises(CourseError, match=r"GB of memory and 0\.0 GB are free"):
        kind(student if kind is TransformersEngine else gguf_file)


# --- pieces ---------------------------------------------------------------------------------------


def test_pick_keeps_to_the_nucleus():
    logits = torch.log(torch.tensor([0.1, 0.5, 0.05, 0.35]))
    generator = torch.Generator().manual_seed(0)

    def drawn(top_p):
        return {int(pick(logits, 1.0, top_p, generator)) for _ in range(300)}

    assert drawn(0.4) == {1}
    assert drawn(0.8) == {1, 3}
    assert drawn(0.9) == {0, 1, 3}
    assert drawn(1.0) == {0, 1, 2, 3}
    assert int(pick(logits, 0, 1.0, generator)) == 1


@given(
    st.lists(st.text("abc", max_size=6), max_size=6),
    st.lists(st.text("abc", min_size=1), max_size=3),
)
@example(["xab1"], ["ab1", "b"])
def test_stop_filter_is_the_same_however_the_text_is_cut(pieces, stops):
    filter_, text = StopFilter(tuple(stops)), "".join(pieces)
    shown = ""
    for piece in pieces:
        shown += filter_.feed(piece)
        if filter_.stopped:
            break
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    first = min(ends, default=None)
    assert filter_.stopped == bool(ends)
    shown += filter_.rest()
    if first is None:
        assert shown == text
    else:
        longest = max(len(stop) for stop in stops if text[:first].endswith(stop))
        assert shown == text[: first - longest]


@given(st.lists(st.sampled_from(["\ud83d", "\ude00", "\ud83d\ude00", "a", ""]), max_size=8))
@example(["\ud83d", "\ude00"])
def test_halves_of_a_sign_in_two_pieces_become_the_sign(pieces):
    stream = Stream(iter(pieces))
    said = "".join(stream)
    both = "".join(pieces).encode("utf-16-le", "surrogatepass")
    assert said == stream.text == both.decode("utf-16-le", "replace")
    said.encode()


@given(
    st.lists(st.tuples(st.sampled_from(["thought", "content"]), st.text("</think> a", max_size=9)))
)
@example([("thought", "The tag </think> ends it."), ("content", "Four.")])
@example([("thought", "The tag </th"), ("thought", "ink> ends it. <"), ("content", "4")])
def test_a_thought_sent_apart_stays_apart_whatever_is_in_it(parts):
    tags = Tags()
    parts = sorted(parts, reverse=True)  # thoughts come first
    said = [tags.join(**({"thought": "", "content": ""} | {kind: text})) for kind, text in parts]
    thought, content = (
        "".join(text for kind, text in parts if kind == one) for one in ("thought", "content")
    )
    if thought and content:
        trace = parse_trace("".join(said))
        assert trace.answer == f"\n\n{content}"
        assert trace.thinking == f"\n{thought.replace('</think>', '`</think>`')}\n"
    said.append(tags.join("", "", last=True))
    assert len("".join(said)) >= len(thought + content)


# --- what is available ----------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path, monkeypatch, student):
    """No Ollama, empty caches, and the student as the model that comes with the course."""
    monkeypatch.setenv("INSIDE_R1_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.utils._cache_manager.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv(catalogue.GGUF_VARIABLE, raising=False)
    monkeypatch.setattr(models, "ASSETS", student.parent)
    return f"http://127.0.0.1:{free_port()}"


def test_alone_there_are_downloads_and_the_courses_own(alone):
    options = engines.available(ollama=alone)
    assert [(option.model, option.state) for option in options] == [
        (download.DISTILL, "download"),
        (download.SMOLLM2, "download"),
        ("student", "here"),
    ]
    assert options[0].bytes == 2 * 1_777_088_000 and "3.55 GB" in options[0].text()
    assert "Apache-2.0" in options[1].text() and "download of about 16 s" in options[1].text()
    best = engines.best(ollama=alone)
    assert str(best) == "student in transformers"


def test_a_download_needs_a_yes_and_without_it_nobody_is_asked(alone):
    first, second = engines.available(ollama=alone)[:2]
    with dataflow.record() as flow:
        with pytest.raises(CourseError, match=r"Qwen-1\.5B is a download of 3,554 MB; say"):
            first.open()
        with pytest.raises(CourseError, match="download of 98 MB; say yes"):
            second.open()
    assert flow.events == [] and flow.started == []


def test_a_named_gguf_comes_before_downloads(alone, gguf_file, monkeypatch):
    monkeypatch.setenv(catalogue.GGUF_VARIABLE, str(gguf_file))
    assert engines.available(ollama=alone)[0].model == "student.gguf"
    best = engines.best(ollama=alone)
    assert str(best) == "student.gguf in llama.cpp"
    best.close()


def test_a_variable_that_is_set_to_nothing_names_no_gguf(alone, monkeypatch):
    monkeypatch.setenv(catalogue.GGUF_VARIABLE, "")
    assert engines.available(ollama=alone)[-1].model == "student"


def test_deepseeks_models_in_ollama_come_first_and_others_last(alone, in_llama_cpp):
    with StandIn(in_llama_cpp, "deepseek-r1:1.5b") as server:
        assert str(engines.best(ollama=server.address)) == "deepseek-r1:1.5b in Ollama"
    with StandIn(in_llama_cpp, "llama3:8b") as server:
        options = engines.available(ollama=server.address)
        assert options[-1].model == "llama3:8b"
        assert engines.best(ollama=server.address).model == "student"


def test_a_distill_in_the_hugging_face_cache_comes_first(alone, tmp_path, student):
    repository = tmp_path / "hub" / "models--deepseek-ai--DeepSeek-R1-Distill-Qwen-1.5B"
    snapshot = repository / "snapshots" / ("a" * 40)
    shutil.copytree(student, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    (repository / "blobs").mkdir()
    best = engines.best(ollama=alone)
    assert str(best) == "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B in transformers"
    assert best.stream(QUESTION, max_tokens=1).prefilled
    (snapshot / "model.safetensors").unlink()  # a download that was cut off
    assert engines.best(ollama=alone).model == "student"


def test_one_that_fails_is_passed_over_and_none_is_said_so(alone, tmp_path, monkeypatch):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    monkeypatch.setattr(catalogue, "_downloads", lambda: [catalogue._gguf(broken)])
    assert engines.best(ollama=alone).model == "student"
    monkeypatch.setattr(models, "ASSETS", tmp_path / "nothing")
    with pytest.raises(CourseError, match=r"No model can answer here\. broken\.gguf"):
        engines.best(ollama=alone)


@pytest.mark.parametrize("name", ["typo.gguf", "cut.gguf", "\0"])
def test_a_named_file_that_cannot_be_opened_is_an_error_and_no_other_model(
    alone, tmp_path, monkeypatch, name
):
    (tmp_path / "cut.gguf").write_bytes(b"GGUF")
    path = str(tmp_path / name)
    with pytest.raises(CourseError, match=r"There is no GGUF file|not a sound GGUF"):
        engines.best(ollama=alone, gguf=path)
    with pytest.raises(CourseError, match=r"There is no GGUF file|not a sound GGUF|is no folder"):
        engines.named(path, ollama=alone)
    if name != "\0":
        monkeypatch.setenv(catalogue.GGUF_VARIABLE, path)
        with pytest.raises(CourseError, match=r"There is no GGUF file|not a sound GGUF"):
            engines.best(ollama=alone)


def test_named_opens_what_is_named_and_nothing_else(alone, student, gguf_file, standin):
    opened = engines.named(str(gguf_file), ollama=alone)
    assert str(opened) == "student.gguf in llama.cpp"
    assert str(engines.named(str(student), ollama=alone)) == "student in transformers"
    assert str(engines.named("student:latest", ollama=standin.address)).endswith("in Ollama")
    server = engines.named(f"{opened._server.listening_address}/v1")
    assert "".join(server.stream(QUESTION, max_tokens=9, temperature=0))
    opened.close()
    with pytest.raises(CourseError, match="is no folder with a model, no GGUF file and no URL"):
        engines.named("student", ollama=alone)


def test_memory_and_disk_are_known_before_a_download(alone, monkeypatch):
    first = engines.available(ollama=alone)[0]
    assert first.memory == 2 * first.bytes  # kept in two bytes a weight, held in four
    monkeypatch.setattr("course_lib.runtime.memory", lambda: (10**10, 5_000_000_000))
    assert first.bytes < 5_000_000_000 and not first.fits
    with pytest.raises(CourseError, match=r"needs 7\.1 GB of memory.*nothing was downloaded"):
        first.open(yes=True)
    monkeypatch.setattr(download, "_free_disk", lambda folder: 10**8)
    with pytest.raises(CourseError, match=r"3,554 MB and the disk of .* has 100 MB free"):
        download.distill(size=first.bytes, yes=True)


def test_all_end_tokens_of_a_model_end_an_answer(student, tmp_path):
    """A generation_config with one end, a config with two, and the tokenizer's own."""
    folder = shutil.copytree(student, tmp_path / "ends")
    for name, ends in (("generation_config.json", 5), ("config.json", [6, 7])):
        path = folder / name
        told = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(told | {"eos_token_id": ends}))
    engine = TransformersEngine(folder)
    assert engine._ends == {5, 6, 7, engine._tokenizer.eos_token_id}
