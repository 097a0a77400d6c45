"""Grading a class: hostile submissions change nobody else, and verdicts are the learner's own."""

import csv
import json

import pytest
from bank import verdict
from classroom import HOSTILE, make, submission

from course_lib.classroom.checks import catalogue, sources, wire
from course_lib.classroom.checks.judge import Outcome
from course_lib.classroom.checks.remote import Limits
from course_lib.classroom.grade import collect, grade_class, grade_one, main
from course_lib.classroom.grade_report import common_mistakes
from course_lib.errors import CourseError

LESSON = "01_cost_reset"
NAMES = [one.name for one in catalogue.of_lesson(LESSON)]
QUICK = Limits(cell=2, check=2, total=40)
FORGETS_THINKING = {"(thinking + answer)": "answer"}


def grade_text(folder, text, limits=QUICK):
    (folder / "one.ipynb").write_text(text)
    (submitted,) = collect(folder)
    return grade_one(submitted, catalogue.of_lesson(LESSON), limits)


def test_a_class_with_hostile_submissions_is_graded_right(tmp_path):
    """Hostile cells stand in otherwise solved notebooks: all of those are right all the same."""
    folder = tmp_path / "class"
    folder.mkdir()
    kinds = make(folder, LESSON, len(HOSTILE) + 3, [{}, FORGETS_THINKING, {"empty": True}])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    grades = {one.student: one for one in grade_class(folder, jobs=3, limits=QUICK)}
    for student, kind in kinds.items():
        if kind in HOSTILE:
            assert grades[student].right == len(NAMES), grades[student]
    # A forged reply is dropped, and where nobody else is to be seen there is nobody to read.
    silent = {"forges_replies", "rewrites_others", "reads_others"}
    for student, kind in kinds.items():
        told = kind in HOSTILE and kind not in silent
        notes = [one for one in grades[student].notes if "the course's solutions/" not in one]
        assert bool(notes) == told, (student, notes)
    assert sorted(grades[one].right for one, kind in kinds.items() if kind not in HOSTILE) == [
        0, len(NAMES) - 1, len(NAMES)
    ]  # fmt: skip
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("body", "headline"),
    [
        ("while True:\n        pass", "a loop may never end"),
        ("import os\n    os._exit(0)", "ended Python"),
        ("return [score] * 30_000", "not as expected"),
        ("return 10**400", "not as expected"),
        ("return 10**5000", "was expected"),
        ("raise SystemExit('done')", "SystemExit"),
        ("raise RecursionError", "RecursionError"),
        ("return type('Odd', (), {'__repr__': lambda self: 1 / 0})()", "Odd"),
    ],
)
def test_a_hostile_function_loses_its_own_exercise_only(tmp_path, body, headline):
    hostile = f"def standard_error(score, problems):\n    {body}\n"
    text = json.loads(submission(LESSON))
    checked = 'check("costs.standard_error"'  # what went to it was right, and so would stay right
    text["cells"] = [one for one in text["cells"] if checked not in "".join(one["source"])]
    code = next(one for one in text["cells"] if one["cell_type"] == "code")
    text["cells"].append(code | {"source": hostile})
    grade = grade_text(tmp_path, json.dumps(text))
    found = {one.exercise: one for one in grade.verdicts}
    assert headline.lower() in found.pop("costs.standard_error").message.lower()
    assert {one.outcome for one in found.values()} == {Outcome.RIGHT}


def test_cells_may_be_added_moved_and_deleted(tmp_path):
    text = json.loads(submission(LESSON))
    code = [one for one in text["cells"] if one["cell_type"] == "code"]
    text["cells"] = [code[0], *reversed([one for one in code[1:] if "check(" not in one["source"]])]
    text["cells"].append(code[0] | {"source": "%matplotlib inline\n!ls\nprint('more')"})
    assert grade_text(tmp_path, json.dumps(text)).right == len(NAMES)


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("costs.per_answer", ("(thinking + answer)", "answer")),
        ("costs.per_answer", ("price_out\n", "price_typo\n")),
        ("costs.standard_error", ("** 0.5", "")),
        ("costs.standard_error", ("100 * (", "1j * (")),
        ("costs.gap_in_problems", ("return (score_a", "(score_a")),
        ("costs.ratio", ("60 / 2.19", "2.19 / 60")),
    ],
)
def test_verdict_is_the_same_as_in_the_students_own_notebook(tmp_path, name, edit):
    old, new = edit
    assert old in sources.solution_of(catalogue.get(name))
    own = verdict(name, edit)
    grade = grade_text(tmp_path, submission(LESSON, edits={old: new}))
    graded = {one.exercise: one for one in grade.verdicts}[name]
    assert own.outcome is not Outcome.RIGHT
    assert (graded.outcome, graded.headline) == (own.outcome, own.headline)
    pairs = zip(graded.details, own.details, strict=True)
    assert all(a == b for a, b in pairs if not a.startswith("your code"))


def test_tensors_travel(tmp_path):
    (tmp_path / "one.ipynb").write_text(submission("03_r1_zero"))
    grades = grade_class(tmp_path, jobs=1)
    assert grades[0].right == len(catalogue.of_lesson("03_r1_zero")), grades[0]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}', "[" * 100_000, '{"cells": []}'])
def test_a_broken_notebook_is_told_and_not_attempted(tmp_path, content):
    grade = grade_text(tmp_path, content)
    assert {one.outcome for one in grade.verdicts} == {Outcome.NOT_ATTEMPTED} and grade.notes


def test_report_and_command(tmp_path, capsys):
    folder = tmp_path / "class"
    (folder / "=Mallory<b>").mkdir(parents=True)
    (folder / "=Mallory<b>" / "work.ipynb").write_text(submission(LESSON, edits=FORGETS_THINKING))
    (folder / "notes.txt").write_text("not a submission")
    assert main([str(folder), "--out", str(tmp_path / "report"), "--jobs", "1"]) == 0
    assert f"{len(NAMES) - 1} of {len(NAMES)} right" in capsys.readouterr().out
    rows = list(csv.reader((tmp_path / "report" / "grades.csv").open()))
    assert [row[1] for row in rows[1:]] == NAMES
    assert all(row[0] == "'=Mallory<b>" for row in rows[1:])
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<b>" not in page and "thinking is free" in page


def test_common_mistakes_come_most_frequent_first(tmp_path):
    wrong = [FORGETS_THINKING, FORGETS_THINKING, {"** 0.5": ""}]
    for number, edits in enumerate(wrong):
        (tmp_path / f"s{number}.ipynb").write_text(submission(LESSON, edits=edits))
    found = common_mistakes(grade_class(tmp_path, jobs=1, limits=QUICK))
    assert [(count, name) for count, name, _ in found] == [
        (2, "costs.per_answer"), (1, "costs.standard_error")
    ]  # fmt: skip


def test_nothing_to_grade_is_one_clear_sentence(tmp_path):
    with pytest.raises(CourseError, match="not a folder"):
        collect(tmp_path / "missing")
    with pytest.raises(CourseError, match="no notebooks"):
        collect(tmp_path)
    (tmp_path / "ada.zip").write_bytes(b"PK")
    (tmp_path / "bob.ipynb").write_text("{")
    with pytest.raises(CourseError, match=r"asks for\. ada.zip is an archive.* bob.ipynb cannot"):
        grade_class(tmp_path)


def test_a_lesson_named_twice_is_graded_once(tmp_path):
    (tmp_path / "one.ipynb").write_text(submission(LESSON))
    (grade,) = grade_class(tmp_path, lessons=[LESSON, LESSON], jobs=1, limits=QUICK)
    assert [one.exercise for one in grade.verdicts] == NAMES


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -2.5, "text", [1, (2, "a")], {2: 0.5, "k": None}, {1, 2}, (), float("inf")],
)
def test_wire_gives_back_what_went_in(value):
    back = wire.loads(wire.dumps(value))
    assert back == value and type(back) is type(value)


def test_wire_refuses_nothing_and_trusts_nothing():
    assert repr(wire.loads(wire.dumps([object]))[0]).startswith("<class")
    nested = []
    for _ in range(100_000):
        nested = [nested]
    wire.loads(wire.dumps(nested))
    for text in ("", "nonsense", '{"odd": [1]}', '{"array": [1], "dtype": "float64"}', "{}"):
        with pytest.raises(ValueError):
            wire.loads(text)
