"""`ask` on the command line: what it is given reaches the engine, and its sentences fit it."""

import logging

import pytest
from test_engines import alone, gguf_file, in_llama_cpp, standin, student  # noqa: F401

from course_lib.errors import CourseError
from course_lib.local import ask, engines
from course_lib.local.engines import with_ollama
from course_lib.local.engines.with_transformers import TransformersEngine


def test_without_a_model_the_ollama_that_is_named_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(engines, "best", lambda **given: asked.append(given) or engines.students)
    monkeypatch.setattr(ask, "listed", lambda host: None)
    with pytest.raises(AttributeError):
        ask.main(["--ollama", "http://localhost:7", "Why?"])
    assert asked == [{"ollama": "http://localhost:7"}]


def test_an_ollama_whose_address_is_none_is_not_passed_over(alone):  # noqa: F811
    with pytest.raises(CourseError, match=r"'ftp://gpu-server:11434' is no address of a server"):
        ask.main(["--ollama", "ftp://gpu-server:11434", "hello"])


def test_an_ollama_that_does_not_answer_is_told_and_nobody_answers_for_it(alone):  # noqa: F811
    dead = alone.removeprefix("http://")
    for asked in (dead, alone):
        with pytest.raises(CourseError, match=rf"Nothing answers at {alone}; start Ollama there"):
            ask.main(["--ollama", asked, "hello"])


def test_an_address_of_ollama_may_do_without_its_scheme(standin):  # noqa: F811
    near = standin.address.removeprefix("http://")
    assert with_ollama.installed(near) and with_ollama.OllamaEngine("student:latest", near)


def test_what_only_ollama_listens_to_is_refused_of_another_engine(student):  # noqa: F811
    for option in ("--ollama", "--send-to"):
        with pytest.raises(CourseError, match="is not Ollama's; leave out --ollama and --send-to"):
            ask.main(["--model", str(student), option, "localhost:7", "7 ? 3 = 4"])


def test_the_context_and_the_host_reach_the_engine(monkeypatch):
    asked = []
    monkeypatch.setattr(engines, "named", lambda *given, **more: asked.append((given, more)))
    with pytest.raises(AttributeError):
        ask.main(["--model", "m:1b", "--context", "99", "--send-to", "a.example", "Why?"])
    assert asked == [
        (("m:1b",), {"ollama": ask.ADDRESS, "context": 99, "send_to": "a.example"}),
    ]
    with pytest.raises(CourseError, match="for a model that you name"):
        ask.main(["--context", "99", "Why?"])


@pytest.mark.parametrize("which", ["student", "gguf_file"])
def test_a_model_of_puzzles_says_so_when_asked_in_words(which, request, capsys):
    path = str(request.getfixturevalue(which))
    assert ask.main(["--model", path, "--max-tokens", "3", "Why is the sky blue?"]) == 0
    assert "knows no words" in capsys.readouterr().out
    assert ask.main(["--model", path, "--max-tokens", "3", "7 ? 3 ? 5 ? 2 = 11"]) == 0
    assert "knows no words" not in capsys.readouterr().out


def test_a_context_is_taken_and_a_prompt_beyond_it_is_one_sentence(student, caplog):  # noqa: F811
    engine = engines.named(str(student), context=8)
    assert engine.context == 8
    caplog.set_level(logging.WARNING)
    with pytest.raises(CourseError, match=r"the context holds 8; shorten .*`--context N`"):
        engine.stream([{"role": "user", "content": "7 ? 3 ? 5 ? 2 = 11"}])
    with pytest.raises(CourseError, match="context is 0 tokens"):
        engines.named(str(student), context=0)
    whole = TransformersEngine(student)
    with pytest.raises(CourseError, match="the context holds"):
        whole.stream([{"role": "user", "content": "1 ? " * 20_000}])
    assert not [one for one in caplog.records if "Token indices" in one.getMessage()]


def test_what_looks_like_a_path_and_is_none_is_called_so(standin, alone):  # noqa: F811
    with pytest.raises(CourseError, match=r"no file or folder 'models/r1', and Ollama has no"):
        engines.named("models/r1", ollama=standin.address)
    with pytest.raises(CourseError, match="is no folder with a model"):
        engines.named("C:\\models\\r1", ollama=alone)
    with pytest.raises(CourseError, match=r"^Ollama has no model 'other'.*If ollama.com has it"):
        engines.named("other", ollama=standin.address)


class Speaker:
    """An engine and its stream in one: it says pieces and counts them."""

    vocabulary, prefilled, summary = 9999, False, None

    def __init__(self, pieces):
        self.pieces, self.text, self.said = pieces, "", 0

    def stream(self, messages, **options):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        pass

    def close(self):
        pass

    def __iter__(self):
        for piece in self.pieces:
            self.text, self.said = self.text + piece, self.said + 1
            yield piece


@pytest.fixture
def says(monkeypatch, capsys):
    """(pieces) -> how many of them `ask` took, and what it printed."""

    def asked(pieces):
        speaker = Speaker(pieces)
        monkeypatch.setattr(engines, "named", lambda *given, **more: speaker)
        assert ask.main(["--model", "m:1b", "Why?"]) == 0
        return speaker.said, capsys.readouterr().out

    return asked


@pytest.mark.parametrize("words", [4, 30, 90])
def test_an_answer_that_goes_round_in_a_circle_is_stopped(says, words):
    said, printed = says(f" {number}=0" for _ in range(10_000) for number in range(words))
    assert said < 800 and "goes round in a circle" in printed


def test_what_would_steer_the_terminal_is_not_printed(says):
    _, printed = says(["\x1b[2J\x1b]0;", "mine\x07 a\tb\n", "\x9b1m\u202ec\r\nd"])
    assert " [2J ]0;mine  a\tb\n 1m c \nd" in printed


def test_one_that_goes_on_is_heard_to_its_end(says):
    sums = [f" {a}+{b}={a + b}" for a in range(30) for b in range(30)]
    for pieces in (sums, ["-"] * 151, ["0, "] * 300, [*sums[:50], *["| --- "] * 40, *sums]):
        said, printed = says(pieces)
        assert said == len(pieces) and "circle" not in printed
