"""A result that is made once: shown again for equal settings and an equal course alone."""

import os
from pathlib import Path

import pytest

from course_lib import records
from course_lib.classroom import grade_results
from course_lib.errors import CourseError


@pytest.fixture
def made(tmp_path, monkeypatch):
    """(settings) -> what `once` gives; `made.count` says how often it was made."""
    monkeypatch.setenv("INSIDE_R1_RUNS", str(tmp_path))

    def ask(**settings):
        return records.once("kind", settings, lambda: (ask.count.append(1), {"a": [0.1, 2]})[1])

    ask.count = []
    return ask


def test_it_is_made_once_and_said_to_be_kept(made, capsys, tmp_path):
    first, second = made(seed=0), made(seed=0)
    assert first == second == {"a": [0.1, 2]} and len(made.count) == 1
    (folder,) = tmp_path.iterdir()
    assert capsys.readouterr().out == f"Kept from before; to run it again, delete {folder}.\n"


def test_other_settings_and_another_course_make_it_anew(made, monkeypatch):
    made(seed=0), made(seed=1)
    monkeypatch.setattr(records, "_course", lambda: "another")
    made(seed=1)
    assert len(made.count) == 3


@pytest.mark.parametrize("spoilt", ["", "{}", "\n{}", '0\n{"a": 1}', "\x00\xff", "cut", "other"])
def test_a_spoilt_file_is_made_anew_and_mended(made, tmp_path, spoilt):
    made(seed=0)
    (file,) = tmp_path.rglob("kept.json")
    whole = file.read_text()
    file.write_text({"cut": whole[:-2], "other": whole.replace("0.1", "0.2")}.get(spoilt, spoilt))
    assert made(seed=0) == {"a": [0.1, 2]} and made(seed=0) == {"a": [0.1, 2]}
    assert len(made.count) == 2


def test_where_nothing_can_be_written_it_is_made_each_time(made, tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records, "write_text", full)
    assert made(seed=0) == made(seed=0) and len(made.count) == 2


def test_the_first_time_gives_what_the_second_will(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_R1_RUNS", str(tmp_path))
    first, second = (records.once("pair", {}, lambda: {"a": (1, 2)}) for _ in range(2))
    assert first == second == {"a": [1, 2]}


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(made, tmp_path):
    made(seed=0)
    (file,) = tmp_path.rglob("kept.json")
    file.unlink()
    file.mkdir()
    assert made(seed=0) == {"a": [0.1, 2]}
    assert list(file.parent.iterdir()) == [file]


def test_a_record_is_read_with_a_mark_and_refused_in_a_sentence_else(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert records.read(path, "again") == {"a": 1}
    for bad in (b"", b"[1]", b"\xff", b"[" * 100_000):
        path.write_bytes(bad)
        with pytest.raises(CourseError, match="holds no record; `again` makes one"):
            records.read(path, "again")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's full disk")
def test_a_full_disk_is_told_with_the_file_that_was_to_be_written(tmp_path):
    path = tmp_path / "record.json"
    path.with_suffix(f".{os.getpid()}.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*record\.json'"):
        records.write(path, {"a": 1})
    results = tmp_path / "results.jsonl"
    results.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*results\.jsonl'"):
        grade_results.keep(grade_results.Grade("Ada", ()), results)


def test_a_file_that_cannot_be_replaced_is_told_by_its_own_name(tmp_path):
    path = tmp_path / "record.json"
    path.mkdir()
    with pytest.raises(OSError) as told:
        records.write(path, {"a": 1})
    assert told.value.filename == str(path)
