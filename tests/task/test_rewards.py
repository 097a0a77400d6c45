"""The rule rewards, sifting and preferences: each rule at its edges, and on hostile text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.pipeline import rejection_sampling
from course_lib.pipeline.rejection_sampling import Sample
from course_lib.task import chat, corpus, puzzles, rewards, traces
from course_lib.task.numerals import word
from course_lib.task.puzzles import Puzzle

PUZZLE = puzzles.parse("7 ? 3 ? 5 ? 2 = 11")
RIGHT, WRONG = ("-", "+", "+"), ("+", "+", "+")


def attempt(signs, write=str, verdict=None, puzzle=PUZZLE):
    text, running = "", puzzle.numbers[0]
    for sign, n in zip(signs, puzzle.numbers[1:], strict=True):
        running += n if sign == "+" else -n
        text += f" {sign}{write(n)}={write(running)}"
    return f"{text} {verdict or ('yes' if running == puzzle.target else 'no')}"


def completion(*attempts, answer=RIGHT):
    return f"<think>{''.join(attempts)}</think>{puzzles.format_answer(answer)}"


GOOD = completion(attempt(WRONG), attempt(RIGHT))


def test_a_clean_thought_earns_everything():
    assert rewards.accuracy(PUZZLE, GOOD) == 1
    assert rewards.format_reward(PUZZLE, GOOD) == 1
    assert rewards.language_consistency(PUZZLE, GOOD) == 1
    assert rewards.readability(PUZZLE, GOOD) == 1
    assert rewards.RuleReward()(PUZZLE, GOOD) == 3
    assert rejection_sampling.faults(Sample(PUZZLE, GOOD)) == []


@pytest.mark.parametrize(
    "text",
    [
        " - + +",
        GOOD.replace("<think>", ""),
        GOOD.replace("</think>", ""),
        GOOD + " - + +</think> - + +",
        "<think>" + GOOD,
        completion(attempt(RIGHT), attempt(WRONG)),  # the last verdict is no
        completion(attempt(RIGHT) + " +3=10"),  # goes on after it
        completion(attempt(RIGHT), answer=("-", "+")),
        completion(attempt(RIGHT), answer=()),
        GOOD + ", glad to help",
        "<think></think> - + +",
        "",
    ],
)
def test_format_wants_one_closed_thought_found_right_and_then_an_answer(text):
    assert rewards.format_reward(PUZZLE, text) == 0


def test_format_does_not_judge_the_answer_or_the_working():
    assert rewards.format_reward(PUZZLE, completion(attempt(RIGHT), answer=WRONG)) == 1
    lie = completion(attempt(WRONG, verdict="yes"), answer=WRONG)
    assert rewards.format_reward(PUZZLE, lie) == 1


def test_consistency_counts_steps_wholly_in_the_notation():
    mixed = completion(" +3=ten +5=15 +two=seventeen no")
    assert rewards.language_consistency(PUZZLE, mixed) == pytest.approx(1 / 3)
    assert rewards.language_consistency(PUZZLE, mixed, "words") == pytest.approx(1 / 3)
    words = completion(attempt(RIGHT, word))
    assert rewards.language_consistency(PUZZLE, words) == 0
    assert rewards.language_consistency(PUZZLE, words, "words") == 1
    assert rewards.language_consistency(PUZZLE, " - + +") == 1  # nothing is out of place
    with pytest.raises(ValueError, match="digits and words"):
        rewards.language_consistency(PUZZLE, GOOD, "roman")


@pytest.mark.parametrize(
    "text",
    [
        completion(attempt(WRONG), attempt(WRONG), attempt(RIGHT)),  # made twice
        completion(" +3=ten +5=15 +2=17 no", attempt(RIGHT)),  # a step in two notations
        completion(" +3=10 no", attempt(RIGHT)),  # broken off
        completion(attempt(RIGHT), attempt(WRONG)),  # goes on after yes
        completion(attempt(WRONG).removesuffix(" no"), attempt(RIGHT)),  # no verdict
        completion(" well", attempt(RIGHT)),  # other text
        completion(attempt(RIGHT)).replace("</think>", ""),
        " - + +",
    ],
)
def test_what_does_not_read_easily(text):
    assert rewards.readability(PUZZLE, text) == 0


def test_readability_is_not_about_notation_or_rightness():
    assert rewards.readability(PUZZLE, completion(attempt(WRONG, word), attempt(RIGHT))) == 1
    assert rewards.readability(PUZZLE, completion(" +3=11 +5=16 +2=18 no", attempt(RIGHT))) == 1


def test_rule_reward_adds_up_with_its_weights():
    words = completion(attempt(RIGHT, word))
    assert rewards.RuleReward()(PUZZLE, words) == 2
    assert rewards.RuleReward(language=0)(PUZZLE, words) == 2
    assert rewards.RuleReward(notation="words")(PUZZLE, words) == 3
    assert rewards.RuleReward(accuracy=0.5, format=0.25)(PUZZLE, words) == 0.75


def test_habits_leave_out_what_cannot_be_measured():
    bare = rewards.habits(PUZZLE, " - + +")
    assert bare["accuracy"] == 1 and "consistency" not in bare and "wrong_steps" not in bare
    slip = completion(" +3=11 +5=16 +2=18 no", attempt(RIGHT))
    assert rewards.habits(PUZZLE, slip)["wrong_steps"] == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("piece", "end"), [(" +3=10", "</think> - + +"), (" +3=10", ""), (" +3=-10", "</think> - + +")]
)
def test_a_long_thought_without_a_verdict_is_judged_at_once(piece, end):
    """A search that begins again at each of its steps takes a minute, one that tries each step in
    two ways does not end in this world.
    """
    start = time.process_time()
    assert rewards.readability(PUZZLE, "<think>" + piece * 16_000 + end) == 0
    assert time.process_time() - start < 5


PIECES = ["<think>", "</think>", *corpus.POLITE, " yes", " no", " +3=10", " -3=4", " +five=ten"]
PIECES += ["+", " -", " + - +", " +2=", "=", "\n", "ﬀ", "`</think>`", "``` ", " -3=-9999999999"]
hostile = st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join))


@given(hostile)
def test_every_rule_takes_any_text(text):
    found = rewards.habits(PUZZLE, text)
    assert {found["accuracy"], found["format"], found["readability"]} <= {0.0, 1.0}
    assert 0 <= rewards.language_consistency(PUZZLE, text) <= 1
    if found["readability"]:
        assert traces.count(text, PUZZLE).steps == 3 * found["attempts"]
    rejection_sampling.faults(Sample(PUZZLE, text))


SOLVED = puzzles.sample(60, 3)
signs = st.sampled_from(corpus.signs_of(4))


@given(st.sampled_from(SOLVED), st.lists(st.tuples(signs, st.booleans()), max_size=9))
def test_rewriting_makes_any_tidy_right_thought_perfect(puzzle, tries):
    """Whatever the notations and repeats: after rewriting no fault is left, and signs stay."""
    (solution,) = puzzles.solutions(puzzle)
    tried = [(s, in_words) for s, in_words in tries if s != solution] + [(solution, False)]
    texts = [attempt(s, word if w else str, puzzle=puzzle) for s, w in tried]
    before = Sample(puzzle, completion(*texts, answer=solution))
    after = rejection_sampling.rewrite(before)
    assert rejection_sampling.faults(after) == []
    seen = list(dict.fromkeys(s for s, _ in tried))
    assert [run.signs for run in traces.read_attempts(after.completion, puzzle)] == seen
    assert (
        rewards.language_consistency(puzzle, rejection_sampling.rewrite(before, "words").completion)
        == 0
    )


def test_the_first_reason_counts_and_duplicates_are_of_what_was_kept():
    bad = Sample(PUZZLE, " + + +")
    words = Sample(PUZZLE, completion(attempt(RIGHT, word)))
    good = Sample(PUZZLE, GOOD)
    found = rejection_sampling.sift([bad, words, good, good, bad])
    assert found.kept == [good] and found.total == 5
    assert {k: v for k, v in found.rejected.items() if v} == {
        "wrong answer": 2,
        "mixed notation": 1,
        "duplicate": 1,
    }
    assert rejection_sampling.sift([words], rejection_sampling.COLD_START).kept == [words]
    for wrong in (["wrong anwser"], "format"):
        with pytest.raises(ValueError, match=r"reasons is .*; allowed are some of wrong answer, "):
            rejection_sampling.sift([words], wrong)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (completion(attempt(RIGHT), answer=WRONG), "wrong answer"),
        (" - + +", "format"),
        (completion(" +3=10 no", attempt(RIGHT)), "untidy"),
        (completion(" +3=11 +5=16 +2=18 no", attempt(RIGHT)), "wrong working"),
        (completion(attempt(WRONG, verdict="no"), attempt(RIGHT, verdict="yes")), None),
        (completion(attempt(RIGHT, verdict="no"), attempt(RIGHT)), "wrong working"),
        (completion(attempt(WRONG), attempt(WRONG), attempt(RIGHT)), "repeats"),
    ],
)
def test_faults(text, fault):
    assert rejection_sampling.faults(Sample(PUZZLE, text))[:1] == ([fault] if fault else [])


def test_a_filter_that_keeps_nothing_says_why():
    with pytest.raises(CourseError, match=r"0 of 2 kept; thrown away: wrong answer 2.*longer"):
        rejection_sampling.sift([Sample(PUZZLE, " + + +")] * 2)
    assert rejection_sampling.sift([]).kept == []


def test_samples_survive_the_file():
    sample = Sample(PUZZLE, GOOD)
    assert rejection_sampling.from_line(rejection_sampling.to_line(sample)) == sample
    for line in ({}, {"prompt": "7"}, {"prompt": "7 ? 3", "completion": ""}, [], None):
        with pytest.raises(ValueError):
            rejection_sampling.from_line(line)
    with pytest.raises(ValueError, match="digits and words"):
        rejection_sampling.rewrite(sample, "roman")


def test_conversation_prompts_are_right_and_all_there():
    pool = chat.prompts()
    assert len(pool) == len(set(pool)) == 74
    assert chat.Chat("write 12 in words", " twelve") in pool
    assert chat.Chat("write twelve in digits", " 12") in pool
    assert chat.sample(5, 1) == chat.sample(5, 1) != chat.sample(5, 2)


def test_preference_rule_and_its_pairs():
    item = chat.Chat("write 12 in words", " twelve")
    replies = [" twelve", " ten", " twelve, glad to help", " ten, glad to help", " twelve"]
    assert [chat.quality(item, reply) for reply in replies] == [1, 0, 2, 0, 1]
    pairs = {(pair.chosen, pair.rejected) for pair in chat.label(item, replies)}
    polite, curt = " twelve, glad to help", " twelve"
    wrong = (" ten", " ten, glad to help")
    assert pairs == {(polite, curt), *((better, w) for better in (polite, curt) for w in wrong)}
    assert chat.label(item, [" ten", " nine"]) == []


def test_examples_are_right_and_polite_as_often_as_asked():
    said = chat.examples(400, 0, polite=0.5)
    assert all(chat.is_right(item, reply) for item, reply in said)
    assert 0.4 < sum(reply.endswith(chat.POLITE) for _, reply in said) / 400 < 0.6


@given(st.text())
def test_nothing_but_the_right_reply_is_right(text):
    item = chat.Chat("write 12 in words", " twelve")
    assert chat.is_right(item, text) == (text in {" twelve", " twelve, glad to help"})


def test_puzzle_type_is_what_the_rules_take():
    short = Puzzle((4, 2), 6)
    text = "<think> +2=6 yes</think> +"
    assert rewards.RuleReward()(short, text) == 3
