"""A run of distillation in its folder: it goes on when killed, and never over another's work."""

import itertools
import json
import shutil
from dataclasses import replace

import pytest

from course_lib.distill import distill, trace_sft
from course_lib.errors import CourseError
from course_lib.model import checkpoints, models

TEACHER = models.shipped("mini-v3-base")
SMALL = trace_sft.DistillConfig(traces=48, steps=5, tokens=256, warmup=1, evaluate_puzzles=4)


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """A checkpoint after every second update."""
    monkeypatch.setattr(distill, "_EVERY", 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody stopped, and its lines."""
    out = tmp_path_factory.mktemp("whole")
    return out, list(distill.run(TEACHER, out, SMALL))


def without_time(lines):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 5])
def test_a_run_that_is_killed_goes_on_to_the_same_student(whole, tmp_path, lines):
    out, said = whole
    run = distill.run(TEACHER, tmp_path, SMALL)
    for _ in range(lines):
        next(run)
    run.close()
    again = list(distill.run(TEACHER, tmp_path, SMALL))
    assert without_time(again) == without_time(said)
    assert [line["step"] for line in checkpoints.read_log(tmp_path / "metrics.jsonl")] == [
        0, 1, 2, 3, 4, 5,
    ]  # fmt: skip
    name = "model/model.safetensors"
    assert (tmp_path / name).read_bytes() == (out / name).read_bytes()
    assert all(a["seconds"] <= b["seconds"] for a, b in itertools.pairwise(again))


def test_a_killed_run_does_not_ask_its_teacher_again(tmp_path, monkeypatch):
    next(distill.run(TEACHER, tmp_path, SMALL))
    monkeypatch.setattr(trace_sft, "gather", lambda *_, **__: pytest.fail("asked again"))
    assert len(list(distill.run(TEACHER, tmp_path, SMALL))) == 6


def test_a_finished_run_says_its_lines_again_and_touches_nothing(whole):
    out, said = whole
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert list(distill.run(TEACHER, out, SMALL)) == said
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "named"), [({"seed": 5, "steps": 2}, "seed, steps"), ({"tokens": 99}, "tokens")]
)
def test_other_settings_are_refused_and_the_log_stays(whole, changes, named):
    out, _ = whole
    before = (out / "metrics.jsonl").read_bytes(), (out / "model/model.safetensors").read_bytes()
    with pytest.raises(CourseError, match=rf"other settings \({named}\)"):
        next(distill.run(TEACHER, out, replace(SMALL, **changes)))
    after = (out / "metrics.jsonl").read_bytes(), (out / "model/model.safetensors").read_bytes()
    assert before == after


def test_another_teacher_or_base_is_another_run(whole):
    out, _ = whole
    with pytest.raises(CourseError, match=r"\(teacher\)"):
        next(distill.run(models.shipped("mini-r1-zero"), out, SMALL))
    with pytest.raises(CourseError, match=r"\(base\)"):
        next(distill.run(TEACHER, out, SMALL, base=models.shipped("mini-r1-distill")))


def test_a_run_by_another_teacher_can_be_set_aside_and_is_kept(whole, tmp_path, capsys):
    out = shutil.copytree(whole[0], tmp_path / "out")
    first = next(distill.run(models.shipped("mini-r1-zero"), out, SMALL, aside=True))
    assert first["traces"] and f"{out.as_posix()}/earlier-1" in capsys.readouterr().out
    left = {path.name for path in (out / "earlier-1").iterdir()}
    assert left == {"checkpoint", "metrics.jsonl", "model", "run.json", "traces.json"}
    assert not (out / "model").exists()


def test_a_student_of_unknown_making_is_not_written_over(whole, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(CourseError, match="does not say how it was made"):
        next(distill.run(TEACHER, tmp_path, SMALL))


@pytest.mark.parametrize("name", ["run.json", "traces.json"])
def test_a_damaged_file_of_a_run_is_one_sentence(tmp_path, name):
    next(distill.run(TEACHER, tmp_path, SMALL))
    (tmp_path / name).write_text(json.dumps([1])[:-1])
    with pytest.raises(CourseError, match=f"{name} holds no"):
        next(distill.run(TEACHER, tmp_path, SMALL))


def test_two_runs_in_one_folder_at_once_are_refused(tmp_path):
    first = distill.run(TEACHER, tmp_path, SMALL)
    next(first)
    with pytest.raises(CourseError, match="in use by a run that has not ended"):
        next(distill.run(TEACHER, tmp_path, SMALL))
    first.close()
    assert len(list(distill.run(TEACHER, tmp_path, SMALL))) == 6
