"""The command line: help, results as JSON, and one sentence for what goes wrong."""

import contextlib
import json
import re
import subprocess
import sys

import pytest

from course_lib.__main__ import main, parser
from course_lib.errors import CourseError
from course_lib.limits import retrieval
from course_lib.local import engines
from course_lib.model import checkpoints, models
from course_lib.pipeline import pipeline
from course_lib.rl import experiments, zero

COMMANDS = [
    name
    for action in parser()._subparsers._actions
    if hasattr(action, "choices") and action.choices
    for name in action.choices
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_the_package_and_the_help_load_without_torch():
    code = (
        "import sys, course_lib, course_lib.__main__ as m; m.parser().format_help();"
        "heavy = {'torch', 'transformers', 'pandas', 'plotly'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_evaluate_prints_one_json_object(capsys):
    folder = str(models.shipped("mini-v3-base"))
    assert main(["evaluate", "--model", folder, "--puzzles", "64"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["puzzles"] == 64 and 0 <= found["accuracy"] <= 0.4
    assert {"thinking_tokens", "attempts"} <= found.keys()
    few = ["--tokens", "1", "--temperature", "0"]
    assert main(["evaluate", "--model", folder, "--puzzles", "8", *few]) == 0
    assert json.loads(capsys.readouterr().out)["thinking_tokens"] == 1  # all there is room for


def test_an_adapter_alone_has_no_type_to_choose(capsys):
    with pytest.raises(SystemExit):
        main(["export-gguf", "--model", "x", "--out", "y", "--adapter", "--type", "q8_0"])
    assert "not allowed with" in capsys.readouterr().err


def test_ask_shows_the_thought_and_the_verdict(capsys):
    folder = str(models.shipped("mini-v3-base"))
    assert main(["ask", "--model", folder, "7 ? 3 ? 5 ? 2 = 11"]) == 0
    assert "right" in (out := capsys.readouterr().out) or "wrong" in out or "worth 0" in out


def test_what_a_server_says_of_a_failure_does_not_steer_the_terminal(monkeypatch, capsys):
    def fail(*_, **__):
        raise CourseError("It failed (\x1b[2J\ud83d).\nAsk again.")

    monkeypatch.setattr(engines, "named", fail)
    assert main(["ask", "--model", "m", "Why?"]) == 1
    assert capsys.readouterr().err == "It failed ( [2J ).\nAsk again.\n"


def test_ask_says_when_a_puzzle_has_no_solution(capsys):
    folder = str(models.shipped("mini-v3-base"))
    assert main(["ask", "--model", folder, "7 ? 3 ? 5 ? 2 = 9"]) == 0
    assert "No choice" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "--model", "MODEL", "what ? is = love", "--temperature", "-1"],
        ["ask", "--model", "MODEL", "7 ? 3 = "],
        ["ask", "--model", "nowhere", "7 ? 3 = 4"],
        ["evaluate", "--model", "."],
        ["evaluate", "--model", "MODEL", "--puzzles", "2", "--temperature", "1e-9"],
        ["evaluate", "--model", "MODEL", "--puzzles", "2", "--think", "--temperature", "0"],
        ["evaluate", "--model", "MODEL", "--puzzles", "2", "--think", "--tokens", "8"],
        ["zero", "--out", "OUT", "--base", "nowhere"],
        ["distill", "--out", "OUT", "--teacher", "nowhere"],
        ["findings", "nope"],
        ["facts", "nope"],
        ["distill-lab", "soft", "--out", "OUT", "--seeds", "1", "--skip", "1"],
    ],
)
def test_what_goes_wrong_is_one_sentence_and_a_status(arguments, capsys, tmp_path):
    given = {"MODEL": str(models.shipped("mini-v3-base")), "OUT": str(tmp_path / "out")}
    assert main([given.get(a, a) for a in arguments]) != 0
    error = capsys.readouterr().err.strip()
    assert error and "\n" not in error and "Traceback" not in error
    assert not (tmp_path / "out" / "run.json").exists()  # the folder is free for what was meant


@pytest.mark.parametrize(
    "arguments",
    [
        ["zero", "--out", "OUT", "--seed", "-1"],
        ["zero", "--out", "OUT", "--seed", str(2**62)],
        ["pretrain", "--out", "OUT", "--steps", "0"],
        ["evaluate", "--model", "MODEL", "--puzzles", "many"],
        ["ask", "--seed", str(2**63), "7 ? 3 = 4"],
        ["mtp", "--out", "OUT", "--puzzles", "0"],
        ["distill-lab", "fight", "--out", "OUT", "--skip", "-1"],
        ["distill-lab", "soft", "--out", "OUT", "--seeds", "0"],
        ["experiment", "kl", "--out", "OUT", "--steps", "0"],
        ["experiment", "kl", "--out", "OUT", "--seeds", "0"],
        ["moe-race", "--out", "OUT", "--seeds", "0"],
        ["many-tries", "--out", "OUT", "--samples", "0"],
    ],
)
def test_a_number_that_is_none_is_told_before_a_folder_is_taken(arguments, capsys, tmp_path):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "out") if one == "OUT" else one for one in arguments])
    said = capsys.readouterr().err
    assert "it takes a whole number from" in said and f"up to {2**40}" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [["zero"], ["pipeline"], ["grade", "."], ["class"], ["teach"], ["colab", "--address", "x"],
     ["mtp"], ["many-tries"], ["moe-race"], ["answers"], ["real-model"], ["distill-lab", "soft"],
     ["experiment", "kl"], ["site"], ["distill", "--teacher", "x"], ["pretrain"]],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("out", ["a-file/out", "a-file", "n" * 300])
def test_a_folder_that_cannot_be_written_is_told_before_the_work(command, out, capsys, tmp_path):
    (tmp_path / "a-file").touch()
    with pytest.raises(SystemExit) as stop:
        main([*command, "--out", str(tmp_path / out)])
    assert stop.value.code == 2
    assert "nothing can be written in" in capsys.readouterr().err


@pytest.mark.parametrize("blank", ["", " "])
def test_an_empty_folder_name_is_not_the_folder_one_stands_in(blank, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["zero", "--out", blank, "--steps", "1"])
    assert f"nothing can be written in {blank!r}" in capsys.readouterr().err
    assert (
        main(["export-gguf", "--model", str(models.shipped("mini-r1-distill")), "--out", blank])
        == 1
    )
    assert "name the GGUF file" in capsys.readouterr().err and not list(tmp_path.iterdir())


LONG = "n" * 5000


@pytest.mark.parametrize(
    "command",
    [
        ["ask", "--model", LONG, "hi"],
        ["evaluate", "--model", LONG],
        ["export-gguf", "--model", LONG, "--out", "x.gguf"],
        ["zero", "--base", LONG, "--steps", "1", "--out", "o"],
        ["pipeline", "--tiny", "--zero", LONG, "--out", "o"],
        ["grade", LONG, "--out", "o"],
        ["class", LONG, "--out", "o"],
    ],
    ids=lambda command: command[0],
)
def test_a_name_that_no_disk_can_hold_is_none_that_is_there(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 1
    said = capsys.readouterr().err
    assert re.search(r"is no folder|There is no|is not a folder", said)


def test_an_address_that_is_none_is_told(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["site", "--out", str(tmp_path / "site"), "--repository-url", "someone/r1"])
    assert "an address begins with https://" in capsys.readouterr().err


PLACES = {
    "a model of one's own": lambda: models.newest(LONG, "mini-r1-zero"),
    "a model to save": lambda: models.save(None, None, LONG),
    "a log": lambda: checkpoints.read_log(LONG),
    "a run": lambda: zero.follow(LONG, zero.ZeroConfig(steps=0)),
    "a pipeline": lambda: next(pipeline.run(LONG)),
    "a record": lambda: experiments.is_recorded("kl", LONG),
    "documents": lambda: retrieval.read_corpus(LONG),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_no_disk_can_hold_is_no_error_of_the_disk_in_python(place):
    """It is a name of nothing, or one sentence says that nothing can be written there."""
    with contextlib.suppress(CourseError):
        assert PLACES[place]() in ([], False, models.shipped("mini-r1-zero"))


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_who_reads_the_first_line_only_sees_no_error():
    command = f"{sys.executable} -m course_lib facts | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.stdout.count("\n") == 1 and done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_without_any_output_to_write_to_there_is_no_error():
    """As a scheduler may start it, with its output closed."""
    command = f"{sys.executable} -m course_lib facts v3. >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def test_too_little_memory_is_said_before_anything_is_done(capsys, tmp_path, monkeypatch):

    monkeypatch.setattr("course_lib.runtime.memory", lambda: (10**9, 10**8))
    assert main(["zero", "--out", str(tmp_path / "out")]) == 1
    assert "memory" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


TORCH_IS_FULL = "err == 0. DefaultCPUAllocator: can't allocate memory"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left"), 1),
        (MemoryError(), 1),
        (RuntimeError(TORCH_IS_FULL), 1),
    ],
)
def test_interruptions_and_full_disks_end_in_a_sentence(error, status, capsys, monkeypatch):
    from course_lib.local import preflight

    def fail(*_):
        raise error

    monkeypatch.setattr(preflight, "require_memory", fail)
    assert main(["zero", "--out", "x"]) == status
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("words", ["4608 requested and 296 written", [("a", "b", "No space")] * 99])
def test_a_disk_that_is_full_in_other_words_is_told_as_one(words, capsys, monkeypatch):
    def fail(*_):
        raise OSError(words)  # as numpy and shutil do

    monkeypatch.setattr("course_lib.local.export.export_gguf", fail)
    assert main(["export-gguf", "--model", "x", "--out", "y"]) == 1
    said = capsys.readouterr().err
    assert "is there room on the disk?" in said and len(said) < 300


def test_a_site_with_services_and_no_repository_is_refused_before_the_work(tmp_path, capsys):
    assert main(["site", "--out", str(tmp_path / "s"), "--colab-url", "https://a.example"]) == 1
    assert capsys.readouterr().err.startswith("--repository-url is missing")
