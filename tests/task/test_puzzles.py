"""The puzzle and its verifier: exact on right answers, deaf to everything else."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.task import puzzles
from course_lib.task.puzzles import Puzzle

EXAMPLE = Puzzle((7, 3, 5, 2), 11)  # 7 - 3 + 5 + 2


def test_the_same_arguments_give_the_same_puzzles_and_no_digits_are_in_both_splits():
    assert puzzles.sample(50, 3) == puzzles.sample(50, 3) != puzzles.sample(50, 4)
    train = {p.numbers for p in puzzles.sample(5000, 0, "train")}
    test = {p.numbers for p in puzzles.sample(2000, 0, "test")}
    assert not train & test


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_every_puzzle_has_exactly_one_solution_and_no_negative_target(size):
    drawn = puzzles.sample(40, 0, size=size)
    assert len(set(drawn)) == len(drawn)
    for p in drawn:
        assert len(p.numbers) == size and p.target >= 0
        brute = [
            s
            for s in itertools.product((1, -1), repeat=size - 1)
            if p.numbers[0] + sum(a * b for a, b in zip(s, p.numbers[1:], strict=True)) == p.target
        ]
        assert len(brute) == len(puzzles.solutions(p)) == 1


@pytest.mark.parametrize(
    ("arguments", "word"), [((-1, 0), "-1"), ((1, 0, "dev"), "split"), ((1, 0, "Train"), "split")]
)
def test_sample_refuses_what_makes_no_sense(arguments, word):
    with pytest.raises(ValueError, match=word):
        puzzles.sample(*arguments)


def test_asking_for_more_puzzles_than_there_are_repeats_some():
    assert len(puzzles.sample(40_000, 0)) == 40_000


@given(st.lists(st.integers(1, 9), min_size=2, max_size=8), st.integers(0, 99))
def test_a_puzzle_reads_back_from_its_text(numbers, target):
    puzzle = Puzzle(tuple(numbers), target)
    assert puzzles.parse(str(puzzle)) == puzzle
    assert puzzles.parse(str(puzzle).replace(" ", "")) == puzzle


@pytest.mark.parametrize(
    "text",
    [
        "\uff17\uff1f\uff13\uff1d\uff11\uff10",
        "7\u00a0? 3\u2009=\u300010",
        "\ufeff7 ?\u200b3 = 10",
    ],
)
def test_a_puzzle_as_an_asian_keyboard_or_a_web_page_writes_it_is_read(text):
    assert puzzles.parse(text) == Puzzle((7, 3), 10)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7 ? 3",
        "7 + 3 = 10",
        "0 ? 3 = 3",
        "77 ? 3 = 3",
        "7 ? 3 = -4",
        "7 ? 3 = 4 ?",
        "٧ ? 3 = 4",
        "7 ? 3 = 4²",
        "7 ? ② = 9",
    ],
)
def test_what_is_no_puzzle_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="like '7"):
        puzzles.parse(text)


@given(st.text(max_size=300))
def test_parsing_any_text_gives_a_puzzle_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert isinstance(puzzles.parse(text), Puzzle)


@pytest.mark.parametrize(
    "completion",
    [
        " - + +",
        "-++",
        "- + +\n",
        "<think></think> - + +",
        "<think> -3=4 +5=9 +2=11 yes</think> - + +",
        "\n<think>\nanything, even 7 ? 3\n</think>\n\n- + +",
        "<think>x</think>\r\n\r\n- + +\t",
        " -3=4 yes</think> - + +",  # the opening tag was part of the prompt
        f"<think>{'let me see ' * 30_000}</think> - + +",  # a distill thinks for long
    ],
)
def test_a_right_answer_is_worth_one(completion):
    assert puzzles.reward(EXAMPLE, completion) == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "",
        " ",
        "<think>",
        "<think> - + +",
        "<think></think>",
        " + + +",
        " - +",
        " - + + +",
        " - + + - + +",
        " - + +</think> - + +</think>",
        " - + + <think></think> - + +",
        "<think></think> - + + </think>",
        "<think><think></think> - + +",
        "<think></think><think> - + +",
        " 11",
        " - + + = 11",
        "7 - 3 + 5 + 2",
        " − + +",
        " ﹣ ＋ ＋",
        " -\u00a0+ +",
        " -\t+ +",
        " -\r\n+ +",
        "\ufeff- + +",
        "\x0b- + +",
        " - + +.",
        "- + +\x00",
        " - + +" + " " * 1_000_000,
        "-" * 1_000_000,
        "<think>" * 100_000 + " - + +",
    ],
)
def test_what_is_not_exactly_the_right_answer_is_worth_nothing(completion):
    assert puzzles.reward(EXAMPLE, completion) == 0.0


@given(st.text(max_size=400))
def test_any_text_is_worth_one_or_nothing(text):
    assert puzzles.reward(EXAMPLE, text) in (0.0, 1.0)


@given(st.text(alphabet="+- <think>/\n0123=", max_size=60))
def test_text_of_the_right_letters_is_worth_one_only_with_the_solution_at_its_end(text):
    if puzzles.reward(EXAMPLE, text) == 1.0:
        assert text.rpartition("</think>")[2].replace(" ", "").replace("\n", "") == "-++"


def test_exactly_one_of_the_eight_answers_is_right():
    choices = map(puzzles.format_answer, itertools.product("+-", repeat=3))
    assert sum(puzzles.reward(EXAMPLE, choice) for choice in choices) == 1.0


def test_the_prompt_holds_the_puzzle_and_not_its_solution():
    assert puzzles.prompt(EXAMPLE) == "7 ? 3 ? 5 ? 2 = 11"
