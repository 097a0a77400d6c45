"""The plumbing of the lesson on local inference."""

import pytest

from course_lib.local import local_lab, memory
from course_lib.local.engines.base import Engine, Stream, Summary
from course_lib.moe.architectures import CONFIGS
from course_lib.task.puzzles import Puzzle

PUZZLE = Puzzle((7, 3, 5, 2), 7)  # + - + is right


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("<think> +3=10 +5=15 -2=13 no +3=10 -5=5 +2=7 yes</think> + - +", "learn"),
        ("<think> +3=10 -5=5 +2=7 yes</think> + - +", None),  # nothing was tried twice
        ("<think> -3=4 -5=-1 -2=-3 no -3=4 -5=-1 -2=-3 no +3=10 -5=5 +2=7 yes</think> + - +", None),
        ("<think> +3=10 +5=15 -2=13 no -3=4 -5=-1 -2=-3 no</think> + - +", None),  # a guess
        ("<think> +3=11 -5=6 +2=8 no</think> + - +", "audit"),
        ("<think> +3=10 -5=5 +2=7 no</think> + - +", "audit"),
        ("<think> +3=11 -5=6 +2=8 no</think> - - -", "debug"),
        (" - - -", None),
        (" 2 +3=11 -5=6 +2=8 no</think> - - -", None),  # no thought was opened
        ("<think> +3=11 -5=6 +2=8 no - - -", None),  # nor closed
    ],
)
def test_cases(text, use):
    found = local_lab.cases([(PUZZLE, text)])
    assert [name for name, cases in found.items() if cases] == ([use] if use else [])


def test_accuracy_is_the_share_of_right_answers():
    assert local_lab.accuracy([(PUZZLE, " + - +"), (PUZZLE, " - - -")]) == 0.5


def test_the_pages_table():
    rows = {row["tag"]: row for row in local_lab.page_table()}
    assert list(rows) == [f"deepseek-r1:{size}" for size in ("7b", "14b", "32b", "70b")]
    row = rows["deepseek-r1:32b"]
    assert (row["page asks, GB"], row["page names"]) == (32, "RTX 4090, 24 GB")
    need = memory.estimate(CONFIGS["R1-Distill-Qwen-32B"], "q4_k_m", 16_384)
    assert row["needed, GiB"] == round(need.total / memory.GIB, 1) < 24
    assert 16_000 < row["longest context on that card"] < 24_000


class Fixed(Engine):
    """Answers every question with three tokens in half a second."""

    kind, model, context = "fixed", "student", 100

    def _stream(self, request):
        self.most = request.max_tokens
        summary = Summary("fixed", "student", "stop", 10, 3, 0.25, 0.5, known=2)
        return Stream(iter(["a", "b", summary]))


def test_speed_adds_up_all_answers_but_the_first():
    engine = Fixed()
    got = local_lab.speed(engine, ["q", "r"], max_tokens=7)
    assert engine.most == 7
    assert (got.prompt_tokens, got.completion_tokens) == (20, 6)
    assert (got.prompt_speed, got.speed) == (32, 6)  # of each prompt two tokens were known


def test_speed_counts_nothing_for_an_engine_that_sums_nothing_up(monkeypatch):
    monkeypatch.setattr(Fixed, "_stream", lambda *_: Stream(iter(["a", "b"])))
    got = local_lab.speed(Fixed(), ["q"])
    assert (got.model, got.completion_tokens, got.speed) == ("student", 0, 0)
