"""Trace reading: hand-written cases, streams cut anywhere, and any text at all."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.task import traces
from course_lib.task.puzzles import Puzzle
from course_lib.task.traces import (
    CLOSE,
    OPEN,
    TraceReader,
    begins_inside,
    count,
    find_loop,
    label_steps,
    parse_trace,
)

PUZZLE = Puzzle((7, 3, 5, 2), 9)
GOOD = "<think> +3=10 +5=15 -2=13 no +3=10 -5=5 +2=7 no -3=4 +5=9 +2=11 no</think> + - +"

TAGS = [OPEN, CLOSE, "</", "think>", "`", "```", "```py\n", "```\n"]
WORDS = ["\n", " ", "x", "é", "=", " no", " yes", " +3=10", " -five=five", "Wait, ", "so. "]
PIECES = st.sampled_from(TAGS + WORDS)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join))


@pytest.mark.parametrize(
    ("text", "prefilled", "expected"),
    [
        ("<think>a b</think>c", False, ("a b", "c", True, True)),
        ("\n <think>\na\n</think>\n\nc", False, ("\na\n", "\n\nc", True, True)),
        ("a b</think>c", True, ("a b", "c", False, True)),
        ("<think>a</think>c", True, ("a", "c", True, True)),
        ("<think>a b", False, ("a b", "", True, False)),
        ("a b", True, ("a b", "", False, False)),
        ("a b", False, ("", "a b", False, False)),
        ("", False, ("", "", False, False)),
        ("", True, ("", "", False, False)),
        ("\n\n", True, ("\n\n", "", False, False)),
        ("<think></think>", False, ("", "", True, True)),
        ("<think>\n\n</think>c", False, ("\n\n", "c", True, True)),
        ("<think>a</think>b <think>c</think>d", False, ("a", "b <think>c</think>d", True, True)),
        ("the tag </think> is text", False, ("", "the tag </think> is text", False, False)),
        ("Sure. <think>a</think>b", False, ("", "Sure. <think>a</think>b", False, False)),
        (
            "<think>write `</think>` last</think>b",
            False,
            ("write `</think>` last", "b", True, True),
        ),
        (
            "<think>\n```\nx </think> y\n```\nok</think>b",
            False,
            ("\n```\nx </think> y\n```\nok", "b", True, True),
        ),
        ("<think>\n```\n</think>\n```\nb", False, ("\n```\n</think>\n```\nb", "", True, False)),
        ("<think>\n```py\nx\n</think>\nb", False, ("\n```py\nx\n", "\nb", True, True)),
        (
            "<think>\n```py\nx\n</think>\n```py\nz\n",
            False,
            ("\n```py\nx\n", "\n```py\nz\n", True, True),
        ),
        ("<think>a</think>```\n</think>\n```", False, ("a", "```\n</think>\n```", True, True)),
        ("<think>a</think>", False, ("a", "", True, True)),
        ("<think>想一下</think>答案是42。", False, ("想一下", "答案是42。", True, True)),
        ("<think>\n```\nx\n</think>", False, ("\n```\nx\n", "", True, True)),
        ("\ufeff<think>\r\na</think>b", False, ("\r\na", "b", True, True)),
    ],
)
def test_parse_trace(text, prefilled, expected):
    trace = parse_trace(text, prefilled=prefilled)
    assert (trace.thinking, trace.answer, trace.opened, trace.closed) == expected


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("a b\n</think>\n\nc", True),
        ("a b</think>", True),
        ("I write `<think>` and `</think>`.\n</think>\n\nc", True),
        ("```\n</think>\n```\nSo.\n</think>\n\nc", True),
        ("a</think>b <think>c</think>d", True),
        ("a b", False),
        ("", False),
        ("<think>a</think>b", False),
        ("\n <think>a", False),
        ("Sure. <think>a</think>b", False),
        ("It ends with `</think>`.", False),
        ("So:\n```\na\n</think>\nb\n```\nThat is all.", False),
    ],
)
def test_a_closing_tag_alone_shows_that_the_text_begins_inside_a_thought(text, inside):
    assert begins_inside(text) is inside


F = "```"
ANSWER = f"\n\nUse this:\n\n{F}python\nprint(6 * 7)\n{F}\n\nIt prints 42."


@pytest.mark.parametrize("answer", [ANSWER, "42", "\n<tool>calculate: 6 * 7</tool>", "\n答案 42"])
@pytest.mark.parametrize(
    "thought",
    [
        "\nEasy: 42.\n",
        f"\nTry it:\n{F}python\nprint(6 * 7)\nthat is 42.\n",  # never closed
        f"\n{F}python\nprint(1)\n{F}\nAgain:\n{F}python\nprint(6 * 7)\nthat is 42.\n",
        f"\n1. {F}python\n   print(6 * 7)\n   {F}\n\nGood.\n",  # in a list
        f"\n- {F}\n  x\n  {F}\n- {F}py\n  y\n  {F}\n",
        f"\n> {F}py\n> y\n> {F}\n",  # in a quotation
        f"\nCode:{F}python\nprint(6 * 7)\n{F}\nGood.\n",  # after words
        f"\n{F}cpp vector<int>\nint x;\n{F}\nGood.\n",
        "\n~~~\nx\n~~~\nGood.\n",
        f"\n{F}`\n{F}\nx\n{F}`\nGood.\n",  # four backticks around three
        f"\n{F}xml\n<think>a</think>\n{F}\nSo.\n",  # quoted in a block that ends
        f"\nuse {F}x{F} and `</think>` so\n",
        f"\n<tool>calculate: 1</tool> gives 1\n{F}json\n",
    ],
)
def test_the_answer_is_found_behind_any_code_in_the_thought(thought, answer):
    for text, prefilled in (
        (f"<think>{thought}{CLOSE}{answer}", False),
        (f"{thought}{CLOSE}{answer}", True),
    ):
        trace = parse_trace(text, prefilled=prefilled)
        assert (trace.thinking, trace.answer) == (thought, answer)


@pytest.mark.parametrize("piece", [f"{F}py\n{CLOSE}\n", f"{CLOSE}\n", f"{F}\n{CLOSE}\n", "<!--", F])
def test_reading_takes_linear_time(piece):
    """Counted in lines of Python run, which no busy machine changes."""

    def lines(n):
        ran = 0

        def count(frame, event, arg):
            nonlocal ran
            ran += event == "line"
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            parse_trace("<think>" + piece * n)
        finally:
            sys.settrace(before)
        return ran

    assert lines(800) < 2.5 * lines(400)


@given(TEXTS, st.booleans(), st.data())
def test_a_stream_gives_the_trace_of_the_text_so_far(text, prefilled, data):
    reader = TraceReader(prefilled=prefilled)
    at = 0
    while at < len(text):
        size = data.draw(st.integers(1, 9))
        reader.feed(text[at : at + size])
        at += size
        assert reader.trace == parse_trace(text[:at], prefilled=prefilled)
    assert reader.text == text


@given(TEXTS, st.booleans())
def test_nothing_is_lost(text, prefilled):
    trace = parse_trace(text, prefilled=prefilled)
    rebuilt = trace.thinking + CLOSE * trace.closed + trace.answer
    lead = text[: len(text) - len(rebuilt)]
    assert text == lead + rebuilt
    assert lead.strip() == (OPEN if trace.opened else "")


def test_counts_of_a_good_trace():
    got = count(GOOD, Puzzle((7, 3, 5, 2), 99))
    assert (got.attempts, got.rejections, got.repeats, got.steps) == (3, 3, 0, 9)
    assert (got.wrong_steps, got.wrong_verdicts, got.mixing, got.copied) == (0, 0, False, None)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (" + - +", {"attempts": 0, "steps": 0, "copied": None}),
        ("<think> +3=10 -5=5 +2=7 yes</think> + - +", {"attempts": 1, "copied": True}),
        ("<think> +3=10 -5=5 +2=7 yes</think> + - -", {"copied": False, "wrong_verdicts": 0}),
        ("<think> +3=10 -5=5 +2=7 yes</think>", {"copied": None, "attempts": 1}),
        (" +3=10 -5=5 +2=7 no</think> + - +", {"attempts": 1, "rejections": 1, "copied": None}),
        ("<think> +3=10 -5=5 +2=7 no +3=10 -5=5 +2=7 yes", {"repeats": 1, "wrong_verdicts": 1}),
        ("<think> +three=ten -five=five +two=seven yes", {"word_steps": 3, "mixing": False}),
        ("<think> +three=ten -5=5 +2=7 yes", {"word_steps": 1, "digit_steps": 2, "mixing": True}),
        ("<think> +three=10 -5=five", {"mixed_steps": 2, "steps": 2, "attempts": 0}),
        ("<think> -3=4 -5=-1 -2=-3 no", {"wrong_steps": 0, "steps": 3}),
        ("<think> -three=four -five=-one -two=-three no", {"wrong_steps": 0, "word_steps": 3}),
        ("<think> +3=11 -5=6 +2=8 no", {"wrong_steps": 1}),  # what follows the slip is right
        ("<think> +4=11 -5=6 +2=8 no", {"wrong_steps": 1}),  # right sum, wrong digit
        ("<think> +3=10 -5=5 +2=7 +3=10 -5=5 +2=7 no", {"attempts": 2, "rejections": 1}),
        ("<think> +3=10 no", {"attempts": 1, "rejections": 1, "wrong_verdicts": 0}),
        ("<think> +3=10 yes", {"attempts": 1, "wrong_verdicts": 1, "copied": None}),
        ("<think> +3=10 huh -5=5 +2=7 no", {"attempts": 1, "steps": 3, "wrong_steps": 2}),
        ("<think> no yes</think> + - +", {"attempts": 0, "rejections": 0, "wrong_verdicts": 0}),
        ("<think> no</think> +3=10 -5=5 +2=7 no", {"attempts": 0, "steps": 0}),
        ("<think> +3=100000 =3 +=4 +33=4 + 3=10", {"steps": 0}),
        ("<think> +3=10 -5=5 +2=7yes", {"steps": 2, "attempts": 0}),
        ("<think> +3=10 -5=5 +2=7 notyet", {"steps": 3, "rejections": 0, "attempts": 1}),
    ],
)
def test_counts(completion, expected):
    got = count(completion, Puzzle((7, 3, 5, 2), 7))
    assert {name: getattr(got, name) for name in expected} == expected


def test_digits_and_words_are_counted_alike():
    digits = "<think> +3=10 +5=15 -2=13 no -3=4 -5=-1 +2=1 no"
    words = "<think> +three=ten +five=fifteen -two=thirteen no -three=four -five=-one +two=one no"
    first, second = count(digits, PUZZLE), count(words, PUZZLE)
    assert (first.digit_steps, first.word_steps) == (6, 0)
    assert (second.digit_steps, second.word_steps) == (0, 6)
    for name in ("attempts", "rejections", "repeats", "wrong_steps", "wrong_verdicts"):
        assert getattr(first, name) == getattr(second, name)


def test_labels_of_a_course_trace():
    puzzle = Puzzle((7, 3, 5, 2), 7)
    text = "<think> +3=10 +5=16 -2=13 no +3=10 -5=5 +2=7 no</think> + - +"
    found = [(text[s.start : s.end], s.labels, s.right) for s in label_steps(text, puzzle)]
    assert found == [
        ("+3=10 +5=16 -2=13", ("attempt",), False),
        ("no", ("check", "backtracking"), True),
        ("+3=10 -5=5 +2=7", ("attempt",), True),
        ("no", ("check", "backtracking"), False),
        ("+ - +", ("conclusion",), True),
    ]
    notes = [step.note for step in label_steps(text, puzzle)]
    assert notes[0] == "+5=16: 10 + 5 is 15"
    assert notes[3] == "the total as written is 7, the target 7"


@pytest.mark.parametrize(
    ("completion", "note"),
    [
        ("<think> +4=11", "+4=11: the puzzle's next digit is 3"),
        ("<think> -three=five", "-three=five: 7 - 3 is 4"),
        ("<think> +3=10 -5=5 +2=7 no +3=10 -5=5 +2=7 no", "tried before"),
        ("<think></think> + + +", "does not reach the target"),
        *((text, "is not exactly one answer") for text in ("7 - 3 + 5 + 2 = 11", "- + + - + +")),
    ],
)
def test_notes_say_what_is_wrong(completion, note):
    assert note in [step.note for step in label_steps(completion, PUZZLE)]


def test_labels_of_natural_language():
    text = (
        "<think>\nSuppose x is 3.5 apples. Wait, that's wrong.\nLet me check: 3 + 4 = 7. "
        "Seven is odd. Therefore the total is 7.\n</think>\n\nIt is 7."
    )
    found = [(text[s.start : s.end], s.labels) for s in label_steps(text)]
    assert found == [
        ("Suppose x is 3.5 apples.", ("attempt",)),
        ("Wait, that's wrong.", ("backtracking",)),
        ("Let me check: 3 + 4 = 7.", ("check",)),
        ("Seven is odd.", ()),
        ("Therefore the total is 7.", ("conclusion",)),
        ("It is 7.", ("conclusion",)),
    ]


@pytest.mark.parametrize("sentence", ["The waiter came.", "A dry entry.", "Henceforth so."])
def test_cues_are_whole_words(sentence):
    [step] = label_steps(sentence)
    assert step.labels == ()


@pytest.mark.parametrize(
    ("sentence", "label"),
    [("That\u2019s wrong.", "backtracking"), ("It doesn\u2019t fit.", "backtracking"),
     ("Let\u2019s say so.", "attempt")],
)  # fmt: skip
def test_cues_have_either_apostrophe(sentence, label):
    [step] = label_steps(sentence)
    assert step.labels == (label,)


@given(TEXTS, st.booleans(), st.booleans())
def test_any_text_is_labelled_in_order_without_overlaps(text, prefilled, with_puzzle):
    steps = label_steps(text, PUZZLE if with_puzzle else None, prefilled=prefilled)
    at = 0
    for step in steps:
        assert at <= step.start < step.end <= len(text)
        assert set(step.labels) <= set(traces.LABELS)
        at = step.end


@given(TEXTS)
def test_any_text_can_be_counted(text):
    got = count(text, PUZZLE)
    assert got.steps == got.digit_steps + got.word_steps + got.mixed_steps
    assert got.wrong_steps <= got.steps and got.rejections <= got.attempts <= got.steps


@pytest.mark.parametrize(
    ("text", "unit", "times"),
    [
        ("Let me see. " + "I think so. But is it? " * 4, "I think so. But is it? ", 4),
        ("ok " + "!" * 80, "!", 80),
        ("<think>" + " +3=10 -5=5 +2=7 no" * 4, " +3=10 -5=5 +2=7 no", 4),
    ],
)
def test_loops_are_found(text, unit, times):
    loop = find_loop(text)
    assert loop is not None
    assert (loop.times, len(loop.unit)) == (times, len(unit))
    assert text.endswith(loop.unit * loop.times)


@pytest.mark.parametrize(
    "text",
    ["", GOOD, "no no no no no", "I think so. But is it? " * 4 + "Yes, it is.", "abc" * 19],
)
def test_no_loop_where_there_is_none(text):
    assert find_loop(text) is None


@given(st.text(alphabet="ab ", max_size=200))
def test_a_found_loop_is_there(text):
    loop = find_loop(text)
    if loop is not None:
        assert loop.times >= 3 and text.endswith(loop.unit * loop.times)


@pytest.mark.parametrize(
    "unit", ["a", ".", OPEN, CLOSE, "`", "```\n", "a.", " +3=10", "wait ", "=-", "\n", '"', "\\"]
)
def test_long_hostile_text_is_read(unit):
    """Quadratic reading of these would take minutes."""
    text = OPEN + unit * (300_000 // len(unit))
    parse_trace(text)
    count(text, PUZZLE)
    label_steps(text, PUZZLE)
    label_steps(text)
    find_loop(text)
