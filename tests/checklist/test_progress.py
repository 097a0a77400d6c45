"""Progress: kept, counted, safe from damage, exported, deleted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.checklist import progress
from course_lib.errors import CourseError


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("INSIDE_R1_HOME", str(tmp_path / "mine"))
    monkeypatch.setattr(progress, "_waiting", {})


def damaged():
    return list(progress.home().glob("progress-damaged-*"))


def test_nothing_is_recorded_and_nothing_written_at_first():
    assert progress.load() == progress.Progress()
    assert not progress.home().exists()


def test_what_is_recorded_is_there_again():
    assert progress.record("grpo.loss", "right") == ""
    progress.record("cost.ratio", "close", section="before", answer="27")
    kept = progress.load()
    assert kept.outcomes() == {"grpo.loss": "right"}
    assert kept.entry("before", "cost.ratio")["answer"] == "27"
    assert kept.entry("before", "gone") == {}


def test_tries_are_counted_and_the_last_outcome_counts():
    progress.record("a", "wrong")
    progress.record("a", "right")
    entry = progress.load().entry("exercises", "a")
    assert (entry["tries"], entry["outcome"]) == (2, "right")
    assert entry["when"].endswith("+00:00")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 2, "sections": {}}',
        '{"version": 1}',
        '{"version": 1, "sections": {"a": []}}',
        '{"version": 1, "sections": {"a": {"b": {}}}}',
        '{"version": 1, "sections": {"a": {"b": {"outcome": 1}}}}',
        '{"version": 1, "sections": {"a": {"b": {"outcome": "\\ud800"}}}}',
        "[" * 100_000,
        "\ud800".encode("utf-8", "surrogatepass"),
    ],
)
def test_a_damaged_file_is_kept_aside_and_said(content):
    progress.home().mkdir()
    raw = content if isinstance(content, bytes) else content.encode()
    progress.file().write_bytes(raw)
    kept = progress.load()
    assert kept.sections == {}
    assert "damaged" in kept.notice
    assert [path.read_bytes() for path in damaged()] == [raw]
    assert str(damaged()[0]) in kept.notice


ENTRY = {"outcome": "right"}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"version": 7},
        {"version": None},
        {"sections": {"exercises": {"a": {"outcome": "right"}, "b": 3, "c": {"outcome": None}}}},
        {"sections": {"exercises": {"a": {"outcome": "right"}}, "before": "none"}},
        {"sections": {"exercises": {"a": {"outcome": "right"}}, "\ud800": {"b": ENTRY}}},
        {"sections": {"exercises": {"a": {"outcome": "right"}}, "\ud800": {}}},
        {"sections": {"exercises": {"a": {"outcome": "right"}}, "\ud800": {}}, "version": 7},
        {"version": "\ud800"},
    ],
)
def test_what_can_be_read_of_another_file_goes_on_and_the_rest_is_kept_aside(spoilt):
    data = {"version": 1, "sections": {"exercises": {"a": {"outcome": "right"}}}} | spoilt
    progress.home().mkdir()
    progress.file().write_text(json.dumps(data))
    kept = progress.load()
    assert kept.outcomes() == {"a": "right"} and str(damaged()[0]) in kept.notice
    assert json.loads(damaged()[0].read_text()) == data
    assert progress.load() == progress.Progress(kept.sections)  # said once
    kept.notice.encode()
    assert progress.record("z", "right") == ""


def test_notepads_mark_costs_nothing():
    progress.record("a", "right")
    progress.file().write_bytes(b"\xef\xbb\xbf" + progress.file().read_bytes())
    assert progress.load().outcomes() == {"a": "right"} and not progress.load().notice


@pytest.mark.parametrize(("name", "odd"), [("tries", "many"), ("tries", -1), ("when", [3])])
def test_an_odd_count_or_time_costs_no_outcome(name, odd):
    progress.home().mkdir()
    entry = {"outcome": "right", "tries": 3, "when": "today"} | {name: odd}
    progress.file().write_text(json.dumps({"version": 1, "sections": {"exercises": {"a": entry}}}))
    assert progress.record("a", "wrong") == ""
    assert progress.load().outcomes() == {"a": "right"}


def test_the_best_outcome_of_an_exercise_stays_with_its_time():
    progress.record("a", "wrong")
    progress.record("a", "not attempted")
    assert progress.load().outcomes() == {"a": "wrong"}
    progress.record("a", "right")
    data = json.loads(progress.file().read_text())
    data["sections"]["exercises"]["a"]["when"] = "then"
    progress.file().write_text(json.dumps(data))
    for outcome in ("not attempted", "wrong", "known mistake", "right"):
        progress.record("a", outcome)
    entry = progress.load().entry("exercises", "a")
    assert (entry["outcome"], entry["when"], entry["tries"]) == ("right", "then", 7)


def test_recording_over_a_damaged_file_says_so_and_goes_on():
    progress.home().mkdir()
    progress.file().write_text("{")
    assert "damaged" in progress.record("a", "right")
    assert progress.load().outcomes() == {"a": "right"}


def test_a_huge_file_is_not_read(monkeypatch):
    monkeypatch.setattr(progress, "LARGEST", 10)
    progress.record("a", "right")
    assert "too large" in progress.load().notice


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_any_json_is_either_progress_or_set_aside(data):
    progress.home().mkdir(exist_ok=True)
    progress.file().write_text(json.dumps({"version": 1, "sections": data}))
    kept = progress.load()
    assert kept.sections == data or kept.notice
    kept.outcomes()


def test_a_failed_write_leaves_the_old_progress_and_no_litter(monkeypatch):
    progress.record("a", "right")
    before = progress.file().read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as while_full:
        while_full.setattr(progress.os, "replace", full)
        assert "No space left" in progress.record("b", "right")
    assert progress.file().read_text() == before
    names = {path.name for path in progress.home().iterdir()}
    assert names - {"progress.lock"} == {"progress.json"}
    assert progress.load().outcomes() == {"a": "right", "b": "right"}  # as long as we live
    progress.record("c", "right")
    assert json.loads(progress.file().read_text())["sections"]["exercises"].keys() == set("abc")


def test_a_home_that_cannot_be_made_is_said(monkeypatch, tmp_path):
    (tmp_path / "plain").write_text("")
    monkeypatch.setenv("INSIDE_R1_HOME", str(tmp_path / "plain" / "sub"))
    assert "could not be kept" in progress.record("a", "right")


def test_a_lock_left_by_a_dead_writer_holds_nobody():
    progress.home().mkdir()
    (progress.home() / "progress.lock").touch()
    assert progress.record("a", "right") == ""


def test_a_writer_that_hangs_holds_nobody_for_long(monkeypatch):
    monkeypatch.setattr(progress._lock.__wrapped__, "__defaults__", (0.05,))
    progress.home().mkdir()
    with FileLock(progress.home() / "progress.lock"):
        assert progress.record("a", "right") == ""


def test_writers_at_the_same_time_lose_nothing():
    code = "import sys; from course_lib.checklist import progress\n"
    code += "for i in range(20): progress.record(f'{sys.argv[1]}-{i}', 'right')"
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(progress.load().outcomes()) == 60


def test_export_copies_and_delete_removes(tmp_path):
    with pytest.raises(CourseError, match="no progress"):
        progress.export(tmp_path / "copy.json")
    progress.record("a", "right")
    copy = progress.export(tmp_path / "copy.json")
    assert json.loads(copy.read_text())["sections"]["exercises"]["a"]["outcome"] == "right"
    with pytest.raises(CourseError, match="could not be copied"):
        progress.export(tmp_path / "no" / "such" / "copy.json")
    assert progress.delete() is True
    assert progress.delete() is False
    assert progress.load() == progress.Progress()


@pytest.mark.parametrize(
    ("platform", "part"), [("linux", "share"), ("darwin", "Library"), ("win32", "Local")]
)
def test_the_place_is_the_systems_own(monkeypatch, platform, part):
    for name in ("INSIDE_R1_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", platform)
    place = progress.home()
    assert place.name == "inside-r1"
    assert part in place.parts
    assert Path.home() in place.parents
    assert os.fspath(progress.file()).endswith("progress.json")
