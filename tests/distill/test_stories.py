"""Word problems and their verifier: exact on right answers, deaf to everything else."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.distill.real import stories
from course_lib.distill.real.stories import Story

EXAMPLE = Story("Mia has 7 stamps, finds 6 and gives 2 away. How many are left?", (7, 6, 2), "+-")


def test_the_same_arguments_give_the_same_stories():
    assert stories.sample(30, 3) == stories.sample(30, 3) != stories.sample(30, 4)
    assert stories.sample(30, 3) != stories.sample(30, 3, "test")


def test_no_name_thing_or_story_is_in_both_splits():
    told = {split: stories._told(split) for split in ("train", "test")}
    for part in ("names", "things"):
        assert not set(told["train"][part]) & set(told["test"][part])
    words = {split: {story for story, _ in told[split]["stories"]} for split in told}
    assert not words["train"] & words["test"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_story_tells_its_numbers_in_order_and_ends_in_a_question(split):
    for story in stories.sample(300, 1, split):
        assert tuple(map(int, re.findall(r"\d+", story.text))) == story.numbers
        assert story.text.endswith("?") and "{" not in story.text
        assert len(story.signs) == len(story.numbers) - 1 in (2, 3)
        assert min(story.totals) > 0 and max(story.totals) <= stories.HIGHEST
        assert len(story.totals) == len(story.numbers)
        assert stories.reward(story, " " + stories.worked(story)) == 1
        assert stories.steps(stories.worked(story)) == (len(story.signs), 0)
        assert stories.describe(story, stories.worked(story))["sound"] == 1


def test_by_hand():
    assert EXAMPLE.totals == [7, 13, 11]
    assert stories.worked(EXAMPLE) == "7 + 6 = 13. 13 - 2 = 11. Answer: 11"
    assert stories.steps("7 + 6 = 13. 13 - 2 = 12, or 7+6=13") == (3, 1)
    assert stories.steps("17 + 6 = 23.0, 17 + 6 = 1234567") == (0, 0), "no half of a number"
    assert stories.describe(EXAMPLE, "7 + 6 = 14. Answer: 11") == {
        "answers": 1, "steps": 1, "wrong_steps": 1, "sound": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "word"),
    [((-1, 0), "-1"), ((1, 0, "dev"), "split"), ((1, 0, "test", 3), "highest")],
)
def test_sample_refuses_what_makes_no_sense(arguments, word):
    with pytest.raises(ValueError, match=word):
        stories.sample(*arguments)


@given(st.integers(0, 999_999), st.text(st.characters(exclude_characters=":"), max_size=50))
def test_an_answer_reads_back(number, before):
    assert stories.answer(f"{before * 1_000} Answer: {number}") == number  # a long thought
    assert stories.answer(f"{before} Answer: {number}.\n") == number


HOSTILE = [
    "",
    "11",
    "The answer is 11",
    "Answer 11",
    "answer: 11",
    "Answer: 11 12",
    "Answer: 11 stamps",
    "Answer: 11 or 12",
    "Answer: 11. No, 12",
    "Answer: 12 Answer: 11",
    "Answer: 11 Answer: 11",
    "Answer: Answer: 11",
    "Answer: -11",
    "Answer: +11",
    "Answer: 11.0",
    "Answer: 1_1",
    "Answer: 011",
    "Answer: 1 1",
    "Answer: \u0661\u0661",
    "Answer: \uff11\uff11",
    "Answer:\t11",
    "Answer: 0x0b",
    "Answer: 1e1",
    "Answer: 11\x00",
    "Answer: 10+1",
    "Answer: " + "1" * 100_000,
    "Answer: 11" + " " * 100_000,
    "Answer: 11\nProblem: Tom has 3. Answer: 3",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_earn_nothing(text):
    assert stories.reward(EXAMPLE, text) == 0


@given(st.text(max_size=400))
def test_any_text_is_judged_without_an_error(text):
    assert stories.reward(EXAMPLE, text) in (0.0, 1.0)
    figures = stories.describe(EXAMPLE, text)
    assert 0 <= figures["wrong_steps"] <= figures["steps"]
    if stories.answer(text) is None:
        assert stories.reward(EXAMPLE, text) == 0


@given(st.integers(0, 400), st.integers(0, 400))
def test_only_the_number_itself_is_right(said, wanted):
    story = replace(EXAMPLE, numbers=(wanted, 1, 1), signs="+-")
    assert stories.reward(story, f"Answer: {said}") == float(said == wanted)


def test_the_examples_in_a_prompt_are_of_the_training_split_and_solved():
    (story,) = stories.sample(1, 0, "test")
    assert stories.turns(story) == [{"role": "user", "content": str(story)}]
    turns = stories.turns(story, shots=2)
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2 + ["user"]
    assert all(stories.answer(turn["content"]) for turn in turns[1::2])
    names = stories._told("test")["names"]
    assert not any(name in turn["content"] for turn in turns[:-1] for name in names)
