"""The progress command: counts, what is next, minutes left, export and deletion."""

import pytest

from course_lib.checklist import progress
from course_lib.classroom.checks import catalogue, progress_cli


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_R1_HOME", str(tmp_path))


def test_nothing_done_yet(capsys):
    assert progress_cli.main([]) == 0
    out = capsys.readouterr().out
    total = sum(one.minutes for one in catalogue.exercises().values())
    assert "01_cost_reset                0 of 5 right" in out
    assert "Next: costs.ratio" in out
    assert f"about {total // 60} h {total % 60} min" in out


def test_only_right_counts_and_next_is_the_first_that_is_not(capsys):
    progress.record("costs.ratio", "right")
    progress.record("costs.per_answer", "known mistake")
    progress_cli.main(["--all"])
    out = capsys.readouterr().out
    assert "1 of 5 right" in out and "Next: costs.per_answer" in out
    assert "known mistake        costs.per_answer" in out


def test_all_done():
    outcomes = dict.fromkeys(catalogue.exercises(), "right")
    assert "All exercises are done." in progress_cli.text(outcomes)


def test_export_and_delete(tmp_path, capsys):
    progress.record("costs.ratio", "right")
    progress_cli.main(["--export", str(tmp_path / "mine.json"), "--delete"])
    assert "costs.ratio" in (tmp_path / "mine.json").read_text()
    assert progress.load().outcomes() == {}
    with pytest.raises(SystemExit):
        progress_cli.main(["--all", "--delete"])
    assert "give it alone" in capsys.readouterr().err
    progress_cli.main(["--delete"])
    assert "nothing to delete" in capsys.readouterr().out
