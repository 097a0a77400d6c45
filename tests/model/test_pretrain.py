"""A run of pretraining in its folder: it goes on when killed, and only as what it began as."""

from dataclasses import replace

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.model import checkpoints, models, pretrain

TINY = pretrain.PretrainConfig(steps=4, tokens=128, checkpoint_every=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("seed", -1), ("warmup", 0), ("learning_rate", float("nan")), ("tokens", "9"),
     ("weight_decay", float("inf")), ("checkpoint_every", 0)],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(name, value):
    with pytest.raises(CourseError, match=f"{name} is {value!r}; allowed is [01] or more"):
        replace(TINY, **{name: value})


@pytest.fixture(scope="module")
def shapes(tokenizer):
    """Two families, as small as they come."""
    return {
        family: models.student_config(tokenizer, family, hidden=16, layers=1)
        for family in ("qwen2", "llama")
    }


@pytest.fixture
def killed(shapes, tmp_path):
    """A folder in which a run was killed after its third update."""
    run = pretrain.run(tmp_path, TINY, shapes["qwen2"])
    for _ in range(3):
        next(run)
    run.close()
    return tmp_path


def test_drills_can_give_way_at_once():
    at_once = pretrain.PretrainConfig(easy_until=0.0)
    assert pretrain.mix(at_once, 0) == pretrain.mix(pretrain.PretrainConfig(easy_until=0.1), 4000)


def test_a_run_leaves_the_learners_draws_alone(shapes, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    next(pretrain.run(tmp_path, TINY, shapes["qwen2"]))
    assert torch.equal(torch.rand(3), expected)


def test_a_killed_run_goes_on_and_its_log_has_no_hole(killed, shapes):
    assert [line["step"] for line in pretrain.run(killed, TINY, shapes["qwen2"])] == [3, 4]
    log = checkpoints.read_log(killed / "metrics.jsonl")
    assert [line["step"] for line in log] == [1, 2, 3, 4]


def test_another_family_in_the_same_folder_is_refused(killed, shapes):
    log = (killed / "metrics.jsonl").read_bytes()
    with pytest.raises(CourseError, match=r"holds a qwen2 of another shape \(model_type"):
        next(pretrain.run(killed, TINY, shapes["llama"]))
    (killed / checkpoints.ABOUT).unlink()  # as runs were kept before they said what they are
    with pytest.raises(CourseError, match=r"holds a qwen2 of another shape \(model_type"):
        next(pretrain.run(killed, TINY, shapes["llama"]))
    assert (killed / "metrics.jsonl").read_bytes() == log


def test_other_settings_are_refused_by_name(killed, shapes):
    with pytest.raises(CourseError, match=r"other settings \(seed, steps\)"):
        next(pretrain.run(killed, replace(TINY, seed=5, steps=9), shapes["qwen2"]))


@pytest.mark.parametrize(
    ("raw", "steps"),
    [
        (b'{"step": 1}\n\n  \n{"step": 2}\n', [1, 2]),
        (b'\xef\xbb\xbf{"step": 1}\r\n{"step": 2}\r\n', [1, 2]),
        (b'{"step": 1}\n{"step": 2, "\xff": 1}\n{"step": 3', [1, 2]),
        (b'{"step": 1}\n' + b"[" * 100_000, [1]),
        (b'{"step": 1}\n[1]\n{"step": 2}', [1]),
        (b'{"step": 1}\n{"step": null}\n{"step": 2}', [1]),
        (b"", []),
    ],
)
def test_a_log_is_read_up_to_the_first_line_that_is_none(tmp_path, raw, steps):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(raw)
    assert [line["step"] for line in checkpoints.read_log(path)] == steps
    assert [line["step"] for line in checkpoints.Log(path, keep=9).lines] == steps
    assert len(path.read_text().splitlines()) == len(steps)  # none is lost by going on


def test_a_log_that_cannot_be_read_is_told_in_a_sentence(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')

    def refused(*given, **named):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refused)
    with pytest.raises(CourseError, match=r"metrics.jsonl cannot be read \(Permission denied\)"):
        checkpoints.read_log(path)


@pytest.mark.parametrize("word", ["[" * 100_000, "[1]", ""])
def test_a_folder_whose_word_is_none_is_refused_in_a_sentence(tmp_path, word):
    (tmp_path / checkpoints.ABOUT).write_text(word)
    with pytest.raises(CourseError, match="holds no settings of a run"):
        checkpoints.claim(tmp_path, {"seed": 1})


def test_a_setting_of_a_newer_version_is_named_and_said_to_be_one(tmp_path):
    checkpoints.claim(tmp_path, {"seed": 1, "warmup": 3}, "pipeline.json")
    with pytest.raises(CourseError, match=r"pipeline.json has.*\(warmup\): a newer one began"):
        checkpoints.claim(tmp_path, {"seed": 1}, "pipeline.json")


def test_weights_are_told_apart_by_their_bytes(killed, tmp_path_factory):
    here = checkpoints.fingerprint(killed / "checkpoint")
    assert here == checkpoints.fingerprint(killed / "checkpoint")
    assert here != checkpoints.fingerprint(models.shipped("qwen2-base"))
    assert checkpoints.fingerprint(tmp_path_factory.mktemp("empty")) != here
