"""The report is written as it goes, loses nothing, and is harmless to whoever opens it."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from handed_in import GAP, QUICK, RATIO, STUB, put

from course_lib.classroom import grade, grade_results
from course_lib.classroom.checks import catalogue
from course_lib.classroom.checks.judge import Outcome, Verdict
from course_lib.classroom.grade_report import write_report
from course_lib.classroom.grade_results import Grade
from course_lib.errors import CourseError

GAP_LACKS = "costs.gap_in_problems: not attempted. No notebook has gap_in_problems."
LESSON = ["--lesson", "01_cost_reset", "--jobs", "1"]


def rows(folder) -> list[list[str]]:
    with (folder / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def run(*arguments: object) -> int:
    return grade.main([*map(str, arguments), *LESSON])


@pytest.mark.parametrize(
    "name",
    [
        "=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "'=1", '"=1"', "a;=1",
        "a\t=1", "a\n=1", "＝1", "a;  +1", "|calc", "<script>alert(1)</script>", "</td></table>",
        "a&b", "\u202egnp", "\ud800", "\x1b[31m", "{{ 7 * 7 }}", "{% raw %}", "x" * 10_000,
    ],
)  # fmt: skip
def test_names_and_messages_are_harmless(name, tmp_path):
    verdict = Verdict("costs.ratio", Outcome.ERROR, name, (name,))
    table, page = write_report([Grade(name, (verdict,), (name,))], tmp_path, [name])
    data = table.read_bytes().decode("utf-8-sig")
    assert table.read_bytes().startswith(b"\xef\xbb\xbf")
    for cell in (one for row in rows(tmp_path) for one in row):
        for part in re.split(r"[;\t\r\n]", cell):
            assert not re.match(r"[\s\"]*[=+\-@|＝]", part), cell
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html and html.count("</table>") == 1 and "49" not in html
    assert len(html) < 40_000 and len(data) < 40_000


def test_who_handed_in_nothing_that_can_be_graded_is_told_so_and_not_0_of_0(tmp_path, capsys):
    put(tmp_path / "class" / "alice.ipynb", RATIO)
    (tmp_path / "class" / "bob.ipynb").write_bytes(b"")
    put(tmp_path / "class" / "carla" / "01.ipynb.txt", RATIO)
    assert grade.main([str(tmp_path / "class"), "--out", str(tmp_path / "report")]) == 0
    said = capsys.readouterr().out
    assert "alice: 1 of 5 right" in said and "bob: bob.ipynb cannot be read: it is empty." in said
    assert ["alice", "costs.gap_in_problems", "not attempted", GAP_LACKS] in rows(
        tmp_path / "report"
    )
    assert "carla: No notebook" in said and "rename it to .ipynb): 01.ipynb.txt." in said
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<td>not graded</td>" in page and "0 of 0" not in page + said


def test_a_second_run_grades_only_what_is_new(tmp_path, capsys, monkeypatch):
    folder, out = tmp_path / "class", tmp_path / "report"
    put(folder / "alice.ipynb", RATIO)
    put(folder / "bob.ipynb", GAP)
    assert run(folder, "--out", out) == 0
    first = rows(out)
    put(folder / "bob.ipynb", GAP + RATIO)
    put(folder / "carl.ipynb", RATIO)
    capsys.readouterr()
    assert run(folder, "--out", out) == 0
    said = capsys.readouterr().out
    assert "bob: 2" in said and "carl: 1" in said and "alice" not in said
    second = rows(out)
    assert [row for row in second if row[0] == "alice"] == [r for r in first if r[0] == "alice"]
    assert {row[0] for row in second[1:]} == {"alice", "bob", "carl"}
    assert run(folder, "--out", out, "--again") == 0
    assert "alice: 1" in capsys.readouterr().out


def test_what_one_hands_in_changes_nobody_elses_result(tmp_path, capsys):
    folder, out = tmp_path / "class", tmp_path / "report"
    words = [str(folder), "--out", str(out), "--jobs", "1"]
    put(folder / "alice.ipynb", RATIO, "# check('memory.by_hand')")
    assert grade.main(words) == 0
    every = len(catalogue.of_lesson("01_cost_reset"))
    assert f"alice: 1 of {every} right" in capsys.readouterr().out
    put(folder / "carol.ipynb", "memory_gb = ...\ncheck('memory.by_hand', memory_gb)")
    put(folder / "dora.ipynb", "def f(): pass")
    assert grade.main(words) == 0
    said = capsys.readouterr().out
    assert "Lessons: 01_cost_reset, 06_local_inference\n" in said and "alice" not in said
    assert f"carol: 0 of {len(catalogue.of_lesson('06_local_inference'))} right" in said
    found = rows(out)
    assert len([row for row in found if row[0] == "alice"]) == every
    assert ["--lesson grades" in row[3] for row in found if row[0] == "dora"] == [True]
    page = (out / "report.html").read_text(encoding="utf-8")
    lines = [part.split("</tr>")[0] for part in page.split("<tr>")[1:]]
    assert {line.count("<th") + line.count("<td") for line in lines} == {lines[0].count("<th")}
    assert page.count("not attempted</summary>") == len(
        [r for r in found if r[2] == "not attempted"]
    )


def test_parts_are_put_together(tmp_path, capsys):
    folder, out = tmp_path / "class", tmp_path / "report"
    for name in "abc":
        put(folder / f"{name}.ipynb", RATIO)
    for part in (1, 2):
        assert run(folder, "--out", out, "--part", f"{part}/2") == 0
    assert not (out / "grades.csv").exists()
    capsys.readouterr()
    assert run(folder, "--out", out) == 0
    assert "right" not in capsys.readouterr().out
    assert {row[0] for row in rows(out)[1:]} == {"a", "b", "c"}
    for wrong in ("0/2", "3/2", "x", "1/0", "1.5/2", "-1/2"):
        with pytest.raises(CourseError, match="K/N"):
            run(folder, "--out", out, f"--part={wrong}")


@pytest.fixture
def heard():
    """Ctrl-C is heard by what is started, also where a shell's `&` began the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_keeps_what_is_there_and_goes_on(how, tmp_path):
    folder, out = tmp_path / "class", tmp_path / "report"
    put(folder / "alice.ipynb", RATIO)
    put(folder / "bob.ipynb", "import time\ntime.sleep(50)\n" + RATIO)
    words = [sys.executable, "-m", "course_lib", "grade", str(folder), "--out", str(out), *LESSON]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "Lessons: 01_cost_reset\n"
    assert running.stdout.readline().startswith("alice: 1 of")
    time.sleep(1)
    started = time.monotonic()
    running.send_signal(how)
    _, errors = running.communicate(timeout=120)
    assert time.monotonic() - started < 40  # of bob's fifty
    if how != signal.SIGKILL:
        assert running.returncode == 130 and "Traceback" not in errors
        assert "1 of 2 are graded" in errors and "same command" in errors
        assert {row[0] for row in rows(out)[1:]} == {"alice"}
    put(folder / "bob.ipynb", RATIO)
    again = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "alice" not in again.stdout and "bob: 1" in again.stdout
    assert {row[0] for row in rows(out)[1:]} == {"alice", "bob"}


def test_fewer_than_no_jobs_are_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        grade.main([str(tmp_path), "--jobs", "-1"])
    assert "it takes a whole number from 0 on" in capsys.readouterr().err


def test_a_card_that_was_changed_is_graded_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "LIBRARY", tmp_path)
    (tmp_path / "classroom" / "cards").mkdir(parents=True)
    versions = set()
    for name in ("judge.py", "cards/a.toml", "cards/b.toml"):
        (tmp_path / "classroom" / name).write_text("one")
        versions.add(grade._version())
    assert len(versions) == 3


def test_damaged_results_are_none(tmp_path):
    verdict = Verdict("costs.ratio", Outcome.RIGHT, "Right.", ("x",))
    kept = Grade("alice \ud800", (verdict,), ("note",), "key")
    path = tmp_path / "results.jsonl"
    path.write_text('{"student": "half')
    grade_results.keep(kept, path)
    with path.open("ab") as file:
        file.write(b'\n{}\n5\nnull\n\xff\xfe\n{"student": 1, "verdicts": 5}\n[[[')
        file.write(b'\n{"student": "a", "verdicts": [], "notes": [], "key": []}\n')
    assert grade_results.load(tmp_path) == {"key": kept}


@pytest.mark.parametrize(
    ("names", "times"),
    [
        (("results.jsonl", "results-1.jsonl"), (1.0, 2.0)),
        (("results-1.jsonl", "results.jsonl"), (1.0, 2.0)),
        (("results.jsonl", "results.jsonl"), (2.0, 1.0)),  # the clock was set back
    ],
)
def test_the_latest_result_counts_in_whichever_file(names, times, tmp_path, monkeypatch):
    monkeypatch.setattr(grade_results.time, "time", iter(times).__next__)
    for name, outcome in zip(names, (Outcome.ERROR, Outcome.RIGHT), strict=True):
        verdict = Verdict("costs.ratio", outcome, "")
        grade_results.keep(Grade("alice", (verdict,), (), "key"), tmp_path / name)
    assert grade_results.load(tmp_path)["key"].right == 1


def test_one_that_fails_the_grader_costs_one_result(tmp_path, monkeypatch, capsys):
    put(tmp_path / "class" / "alice.ipynb", RATIO)
    put(tmp_path / "class" / "bob.ipynb", RATIO)
    whole = grade.grade_one

    def failing(submission, *rest, **more):
        if submission.student == "alice":
            raise RuntimeError("a fault of ours")
        return whole(submission, *rest, **more)

    monkeypatch.setattr(grade, "grade_one", failing)
    assert run(tmp_path / "class", "--out", tmp_path / "report") == 0
    found = {row[0]: row[3] for row in rows(tmp_path / "report")[1:] if row[1] == "costs.ratio"}
    assert "a fault of ours" in found["alice"] and "That is the value" in found["bob"]


def test_a_console_of_few_characters_shows_every_name(tmp_path):
    put(tmp_path / "class" / "Żółć ☃.ipynb", RATIO)
    words = [sys.executable, "-m", "course_lib", "grade", "class", *LESSON]
    done = subprocess.run(
        words, cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "report")[1][0] == "Żółć ☃"


def test_limits_of_one_submission_do_not_wait_for_another(tmp_path):
    put(tmp_path / "a.ipynb", "while True: pass\n", STUB)
    put(tmp_path / "b.ipynb", RATIO)
    found = grade.grade_class(tmp_path, lessons=["01_cost_reset"], jobs=2, limits=QUICK)
    assert [one.right for one in found] == [0, 1]
    assert json.dumps([one.notes for one in found])
