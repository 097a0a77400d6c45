"""Many tries: what a record holds, and the curves that are computed from it."""

import json

import pytest

from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.rl import many_tries, pass_at_k
from course_lib.task import puzzles

PUZZLE = puzzles.parse("7 ? 3 ? 5 ? 2 = 11")  # - + +
WORK = "<think> +3=10 +5=15 +2=17 no -3=4 +5=9 +2=11 yes</think> - + +"


@pytest.mark.parametrize(
    ("text", "worked"),
    [
        (WORK, True),
        (" - + +", False),  # right, and a guess
        (WORK.replace("5=9", "5=8"), False),  # a step is wrong
        (WORK.replace("11 yes", "11 no"), False),  # not said to be right
        (WORK.replace("> - + +", "> + + +"), False),  # another answer
        ("<think> -3=4 +5=9 yes</think> - + +", False),  # not finished
    ],
)
def test_an_answer_is_worked_out_where_right_working_leads_to_it(text, worked):
    assert many_tries.worked_out(PUZZLE, text) is worked


def made_up():
    """Two puzzles, four samples each: one right guess in four, and three of which one worked."""
    return {
        "right": [1, 3],
        "worked_out": [0, 1],
        "answers": ["4012", "222."],
        "tokens": [[4, 4, 4, 4], [20, 4, 4, 4]],
        "solution": ["4", "2"],
    }


def test_curves_of_a_record_counted_by_hand():
    drawn = made_up()
    assert many_tries.pass_curve(drawn, [1, 2, 4]) == pytest.approx([0.5, 0.75, 1.0])
    assert many_tries.pass_curve(drawn, [1, 4], "worked_out") == pytest.approx([0.125, 0.5])
    alone = [sum(pass_at_k.pass_at_k(4, n, 1) for n in drawn["right"]) / 2]
    assert many_tries.pass_curve(drawn, [1]) == pytest.approx(alone)
    # With 4 tokens a vote is one sample: 1 of 3 is right (the last vote is left out), and 1 of 2:
    # the sample of 20 tokens is a vote that fails.
    assert many_tries.vote_curve(drawn, [4])[0] == pytest.approx((1 / 3 + 2 / 3) / 2)


def test_the_command_leaves_a_record(tmp_path, monkeypatch, capsys):
    base = str(models.shipped("mini-v3-base"))
    argv = ["--base", base, "--zero", base, "--samples", "4", "--puzzles", "3",
            "--machine", "a desk", "--out", str(tmp_path)]  # fmt: skip
    assert many_tries.main(argv) == 0
    kept = many_tries.load_record(tmp_path)
    assert "base: " in capsys.readouterr().out
    assert kept["models"]["base"] == kept["models"]["R1-Zero"]  # the same model and seed
    drawn = kept["models"]["base"]
    assert [len(answers) for answers in drawn["answers"]] == [4, 4, 4]
    items = puzzles.sample(3, 0, "test")
    for item, answers, right, solution in zip(
        items, drawn["answers"], drawn["right"], drawn["solution"], strict=True
    ):
        assert answers.count(solution) == right
        signs = tuple("+-"[int(bit)] for bit in f"{int(solution, 16):03b}")
        assert puzzles.solutions(item) == [signs]
    said = many_tries.provenance(kept)
    assert "a desk" in said and "--samples 4 --puzzles 3 --seed 0" in said and "R1-Zero" in said


def test_a_missing_record_is_answered(tmp_path):
    with pytest.raises(CourseError, match="python -m course_lib many-tries --out DIR"):
        many_tries.load_record(tmp_path)


KEPT = many_tries.experiments.RECORDED / f"{many_tries.NAME}.json"


@pytest.mark.skipif(not KEPT.is_file(), reason="not recorded yet")
def test_what_is_recorded_is_whole():
    kept = many_tries.load_record()
    assert KEPT.stat().st_size < 500_000
    assert kept["samples"] >= max(many_tries.KS)
    for drawn in kept["models"].values():
        assert {len(column) for column in drawn.values()} == {kept["puzzles"]}
        assert {len(answers) for answers in drawn["answers"]} == {kept["samples"]}
    json.dumps(kept)
