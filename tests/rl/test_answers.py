"""The record of what is answered to one puzzle: counted right, and refused where it is spoilt."""

import json

import pytest

from course_lib import records
from course_lib.errors import CourseError
from course_lib.rl import answers


def test_answers_are_counted_under_their_signs():
    found = answers.counted("0077.3", gaps=3)
    assert len(found) == 8 + 1 and sum(found.values()) == 6
    assert found["+ + +"] == found["- - -"] == 2 and found["+ - -"] == found[answers.NONE] == 1


SPOILT = {
    "a moment is missing": lambda record: record["moments"].__delitem__(slice(1, None)),
    "a sample is missing": lambda record: record["moments"][0]["answers"].update({"+ + +": 0}),
    "a way that is none": lambda record: record["moments"][1]["answers"].update({"<b>": 0}),
    "no puzzle": lambda record: record.update(puzzle="<script>"),
    "no log": lambda record: record.update(lines=[]),
    "counts that are text": lambda record: record["moments"][0].update(answers="many"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_record_is_refused_with_the_command(spoil, tmp_path):
    record = answers.load_record()
    assert "answers --steps" in records.said(record)
    spoil(record)
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(record))
    with pytest.raises(CourseError, match="course_lib answers"):
        answers.load_record(path)


def test_steps_that_are_no_multiple_are_refused(tmp_path):
    with pytest.raises(CourseError, match="multiple"):
        answers.main(["--steps", "5", "--every", "2", "--out", str(tmp_path)])


@pytest.mark.slow
def test_the_command_leaves_a_record_that_can_be_played(tmp_path):
    given = ["--steps", "2", "--every", "1", "--samples", "4", "--out", str(tmp_path)]
    assert answers.main(given) == 0
    record = answers.load_record(tmp_path / "answers.json")
    assert [moment["step"] for moment in record["moments"]] == [0, 1, 2]
    assert [line["step"] for line in record["lines"]] == [0, 1, 2]
