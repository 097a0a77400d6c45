"""Evidence: what is read of a learner's runs, and what is not believed."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.checklist import evidence
from course_lib.moe.architectures import CONFIGS

LINES = [
    {"step": 0, "accuracy": 0.18, "test_thinking_tokens": 8.0, "test_attempts": 0.4},
    {"step": 1, "thinking_tokens": 9.0, "attempts": 0.5},
    {"step": 2, "accuracy": 0.76, "thinking_tokens": 33.0, "attempts": 4.0},
]


def write(folder, lines=LINES, raw=""):
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "metrics.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + raw, encoding="utf-8")
    return log


def config(folder, kind="R1", place="checkpoint"):
    (folder / place).mkdir(parents=True)
    text = json.dumps({**CONFIGS[kind], "mine": 1})
    (folder / place / "config.json").write_text(text)


def test_a_run_is_read_from_first_to_last(tmp_path):
    run = evidence.read_run(write(tmp_path))
    assert run == evidence.Run(tmp_path, 2, (0.18, 0.76), (8.0, 33.0))


def test_a_line_cut_short_and_lines_that_are_no_objects_are_left_out(tmp_path):
    run = evidence.read_run(write(tmp_path, raw='[1]\nnull\n{"step": 3, "accur'))
    assert run.steps == 2


@pytest.mark.parametrize("spoil", [
    lambda raw: b"\xef\xbb\xbf" + raw,
    lambda raw: raw.replace(b"\n", b"\n\n"),
    lambda raw: raw.replace(b"\n", b"\r\n"),
    lambda raw: raw + b'{"step": 3, "\xff',
    lambda raw: raw + b"[" * 100_000,
])  # fmt: skip
def test_a_mark_empty_lines_and_a_bad_byte_cost_no_run(tmp_path, spoil):
    log = write(tmp_path)
    log.write_bytes(spoil(log.read_bytes()))
    assert evidence.read_run(log) == evidence.Run(tmp_path, 2, (0.18, 0.76), (8.0, 33.0))


@pytest.mark.parametrize(
    "lines", [[], LINES[:1], LINES[1:], [{"step": 1, "loss": 2.0, "accuracy": 1.0}] * 3]
)
def test_a_log_without_two_measurements_of_an_r1_zero_run_is_none(tmp_path, lines):
    assert evidence.read_run(write(tmp_path, lines)) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1, 10**400, "0.9", None, [1]])
def test_figures_that_are_none_are_not_believed(tmp_path, bad):
    run = evidence.read_run(write(tmp_path, [*LINES, LINES[2] | {"accuracy": bad}]))
    assert run.accuracy == (0.18, 0.76)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_run_or_none(tmp_path, raw):
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(raw)
    assert evidence.read_run(log) is None or raw


def test_a_log_of_other_bytes_is_none(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(b"\xff\xfe" * 10)
    assert evidence.read_run(log) is None


def test_a_log_that_ends_in_a_read_error_is_none(tmp_path, monkeypatch):
    def broken_off(path):
        yield from LINES
        raise OSError("the drive is gone")

    monkeypatch.setattr(evidence.records, "lines", broken_off)
    assert evidence.read_run(write(tmp_path)) is None


def test_the_newest_readable_run_counts(tmp_path):
    for age, name in enumerate(("new", "old", "broken")):
        log = write(tmp_path / "runs" / name, LINES if name != "broken" else [])
        os.utime(log, (1000 - age, 1000 - age))
    os.utime(tmp_path / "runs" / "broken" / "metrics.jsonl", (2000, 2000))
    assert evidence.newest_run(tmp_path / "runs").folder.name == "new"


@pytest.mark.parametrize("names", ["abc", "cba", "bca"])
def test_of_runs_copied_at_one_time_the_last_by_name_counts(tmp_path, names):
    for name in names:
        os.utime(write(tmp_path / name), (1000, 1000))
    assert evidence.newest_run(tmp_path).folder.name == "c"


def test_no_runs_are_no_run(tmp_path):
    assert evidence.newest_run(tmp_path / "none") is None


def test_the_learners_own_model_comes_first(tmp_path):
    write(tmp_path / "zero")
    config(tmp_path / "zero")
    found = evidence.gather(tmp_path)
    assert found.config["mine"] == 1
    assert found.run.steps == 2
    assert found.memory > 0


def test_a_model_of_another_class_is_not_taken(tmp_path):
    config(tmp_path, "R1-Distill-Llama-8B")
    assert evidence.read_config(tmp_path / "checkpoint") is None
    assert evidence.read_config(tmp_path / "checkpoint", ("llama",))["mine"] == 1
    assert evidence.read_config(tmp_path) is None
    path = tmp_path / "checkpoint" / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert evidence.read_config(tmp_path / "checkpoint", ("llama",))["mine"] == 1
    for text in (
        b"\xff",
        b"[1]",
        b"[" * 100_000,
        b'{"model_type": "deepseek_v3"}',
        b'{"model_type": ["x"]}',
    ):
        (tmp_path / "config.json").write_bytes(text)
        assert evidence.read_config(tmp_path) is None


def test_the_rl_of_a_pipelines_later_stages_is_no_r1_zero(tmp_path):
    write(tmp_path / "pipeline" / "dev2")
    write(tmp_path / "pipeline" / "variants" / "rl_only")
    assert evidence.newest_run(tmp_path) is None
    write(tmp_path / "pipeline" / "zero")
    assert evidence.newest_run(tmp_path).folder.name == "zero"


def test_the_learners_own_distill_comes_before_the_courses(tmp_path):
    before = evidence.gather(tmp_path).student
    assert not before.own and before.config["model_type"] == "qwen2"
    config(tmp_path / "distill", "R1-Distill-Llama-8B", "model")
    after = evidence.gather(tmp_path).student
    assert after.own and after.folder == tmp_path / "distill" / "model"


def test_what_is_the_learners_own_is_said_with_its_numbers(tmp_path):
    write(tmp_path / "zero")
    config(tmp_path / "zero")
    said = evidence.described(evidence.gather(tmp_path))
    assert said["own R1-Zero"] == (
        "2 steps: from 18% to 76% right, from 8.0 to 33.0 tokens of thinking"
    )
    assert "671,026" in said["own mixture of experts"]
    assert "distill of the course" in said and "GB/s" in said["read from memory"]
    card = evidence.Evidence(8 << 30, graphics=6 << 30)
    assert evidence.described(card)["memory of its graphics card"] == "6.0 GiB"


def test_a_notebook_s_own_runs_are_looked_at_too(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    write(tmp_path / "notebooks" / "runs" / "zero")
    assert evidence.gather().run.folder.as_posix() == "runs/zero"
    write(tmp_path / "runs" / "zero")
    assert evidence.gather().run.folder.as_posix() == "../runs/zero"


@pytest.mark.parametrize("name", ["hacked", "collapse", "change-temperature-0.5", "my-reward-2"])
def test_a_run_in_which_one_thing_was_changed_is_no_r1_zero(tmp_path, name):
    write(tmp_path / "zero-mine")
    write(tmp_path / name)
    assert evidence.newest_run(tmp_path).folder.name == "zero-mine"
