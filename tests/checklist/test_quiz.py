"""Questions: outcomes told apart, computed from the state, near misses and slips named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.checklist import quiz
from course_lib.checklist.quiz import (
    Choice,
    Mixup,
    Number,
    Option,
    Order,
    Outcome,
    Prediction,
    Slip,
    fixed,
)

COST = Number(
    "cost",
    "How much?",
    "USD",
    right=lambda state: state["price"] * 12,
    reply=lambda state: f"It is {state['price'] * 12}.",
    tolerance=0.05,
    near=0.25,
    slips=(Slip(lambda state: state["price"], "the price of a token", "Multiply."),),
)
WHY = Choice(
    "why",
    "Why?",
    {
        "a": Option("A", lambda state: f"Yes, {state['best']}."),
        "b": Option("B", "Think again.", "mistaking active for total"),
        "c": Option("C", "No."),
    },
    right=lambda state: state["best"],
)
STAGES = Order(
    "stages",
    "Order?",
    {"x": "X", "y": "Y", "z": "Z", "w": "W"},
    right=lambda state: state["order"],
    reply="Just so.",
    mixups=(Mixup("w", "x", "putting the last first", "The last is last."),),
)
ORDERED = {"order": ["x", "y", "z", "w"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12,000", 12000),
        (" 27x ", 27),
        ("$0.03", 0.03),
        ("5.3 %", 5.3),
        ("1e4", 10000),
        ("-3", -3),
        (".5", 0.5),
        ("about 1,234.5 tokens", 1234.5),
        ("−5", -5),
        ("–5", -5),
        ("16.2 GB", 16.2),
        ("１２，０００", 12000),
        ("－5", -5),
        ("", None),
        ("  ", None),
    ],
)
def test_numbers_are_read_as_people_type_them(text, value):
    assert quiz.read_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["many", "3 or 4", "1e999", "9" * 1000, "--", "1.2.3", "0,05", "1,5", "0,125", "1,2345",
     "3½", "½", "10²", "12k", "12 K", "1.5 million", "3 Billions", "2bn", "7B", "5 dozen", "5 mln",
     "3 lakh", "2 crores", "6 thousands"],
)  # fmt: skip
def test_what_is_not_one_number_is_said(text):
    with pytest.raises(ValueError, match="type"):
        quiz.read_number(text)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("15.1 gib", "GiB", 15.1),
        ("5 percent", "%", 5),
        ("28 %", "points", 28),
        ("5 %", "of a hundred", 5),
        ("2.6 ct", "US cents", 2.6),
        ("2.6 US cents", "US cents", 2.6),
        ("300 tokens per second", "tokens/s", 300),
        ("5.6 million", "million USD", 5.6),
        ("27x", "times", 27),
        ("512 B", "bytes", 512),
        ("17 per cent", "%", 17),
        ("５．３％", "%", 5.3),
        ("17 per-cent", "%", 17),
        ("17 Per cent points", "points", 17),
        ("27 t/s", "tokens/s", 27),
        ("27t/s", "tokens/s", 27),
        ("15.1 gibibytes", "GiB", 15.1),
    ],
)
def test_a_number_in_its_own_unit_is_read(text, unit, value):
    assert quiz.read_number(text, unit) == value


@pytest.mark.parametrize(
    ("text", "unit"),
    [("16.2 GB", "GiB"), ("15474MiB", "GiB"), ("$0.03", "US cents"), ("5 %", "problems"),
     ("20 tokens/min", "tokens/s"), ("1.5 kB", "bytes"),
     ("15.1 gigabytes", "GiB"), ("0.74 bits", "nats"), ("3 per cent", "US cents")],
)  # fmt: skip
def test_another_unit_is_said_and_judged_neither_right_nor_wrong(text, unit):
    asked = Number("n", "?", unit, fixed(15), "Yes.")
    verdict = asked.judge(text, {})
    assert verdict.outcome is Outcome.BLANK and f"type it in {unit}, not in" in verdict.reply
    assert Prediction(asked, lambda: pytest.fail("ran"), str).judge(text, {}) == verdict


@given(st.text())
def test_any_text_is_a_number_a_blank_or_a_value_error(text):
    try:
        value = quiz.read_number(text)
    except ValueError:
        return
    assert value is None or isinstance(value, float)


@given(st.floats(-1e12, 1e12))
def test_a_typed_float_is_read_back(number):
    assert quiz.read_number(repr(number)) == number


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("", Outcome.BLANK),
        (None, Outcome.BLANK),
        ("lots", Outcome.BLANK),
        ("24", Outcome.RIGHT),
        ("25.1", Outcome.RIGHT),
        ("25.3", Outcome.CLOSE),
        ("18.1", Outcome.CLOSE),
        ("17.9", Outcome.WRONG),
        ("30.1", Outcome.WRONG),
        ("2.05", Outcome.MISUNDERSTOOD),
    ],
)
def test_numbers_are_told_apart(answer, outcome):
    assert COST.judge(answer, {"price": 2}).outcome == outcome


def test_what_is_right_moves_with_the_state():
    assert COST.judge("24", {"price": 2}).outcome == Outcome.RIGHT
    assert COST.judge("24", {"price": 4}).outcome == Outcome.WRONG
    assert COST.judge("48", {"price": 4}).reply == "It is 48."


def test_replies_name_the_side_and_the_slip():
    assert "more than" in COST.judge("100", {"price": 2}).reply
    assert "less than" in COST.judge("10", {"price": 2}).reply
    assert COST.judge("2", {"price": 2}).reply == "This is the price of a token. Multiply."


def test_a_slip_that_happens_to_be_right_is_right():
    same = Number("n", "?", "", lambda s: 5, "ok", slips=(Slip(lambda s: 5, "a slip", "no"),))
    assert same.judge("5", {}).outcome == Outcome.RIGHT


@pytest.mark.parametrize(
    ("answer", "outcome", "reply"),
    [
        (None, Outcome.BLANK, "Choose"),
        ("a", Outcome.RIGHT, "Yes, a."),
        ("b", Outcome.MISUNDERSTOOD, "This is mistaking active for total. Think again."),
        ("c", Outcome.WRONG, "No."),
    ],
)
def test_choices_are_told_apart(answer, outcome, reply):
    verdict = WHY.judge(answer, {"best": "a"})
    assert verdict.outcome == outcome
    assert verdict.reply.startswith(reply)


def test_the_right_choice_moves_with_the_state_even_to_a_usual_mistake():
    assert WHY.judge("b", {"best": "b"}) == quiz.Verdict(Outcome.RIGHT, "Think again.")


def test_options_are_shown_in_an_order_of_their_own_unless_it_matters():
    options = {str(n): Option(f"text {n}", "") for n in range(9)}
    mixed = Choice("mixed", "?", options, lambda s: "0").shown()
    assert sorted(mixed.values()) == sorted(options)
    assert list(mixed.values()) != list(options)
    assert mixed == Choice("mixed", "?", options, lambda s: "0").shown()
    listed = Choice("mixed", "?", options, lambda s: "0", as_listed=True).shown()
    assert list(listed.values()) == list(options)


def test_no_such_option_is_an_error():
    with pytest.raises(ValueError, match="a, b, c"):
        WHY.judge("d", {"best": "a"})


@pytest.mark.parametrize(
    ("answer", "outcome", "reply"),
    [
        ("xyzw", Outcome.RIGHT, "Just so."),
        ("yxzw", Outcome.CLOSE, "Close: two neighbours are swapped, Y and X."),
        ("zyxw", Outcome.WRONG, "2 of 4"),
        ("yzxw", Outcome.WRONG, "3 of 4"),
        ("wxyz", Outcome.MISUNDERSTOOD, "This is putting the last first. The last is last."),
        ("xxyz", Outcome.BLANK, "Used more than once: X."),
        (["x", "y", "z", None], Outcome.BLANK, "Fill"),
        (["x", "", "z", "w"], Outcome.BLANK, "Fill"),
        ("xyz", Outcome.BLANK, "Fill"),
    ],
)
def test_orders_are_told_apart(answer, outcome, reply):
    verdict = STAGES.judge(answer, ORDERED)
    assert verdict.outcome == outcome
    assert verdict.reply.startswith(reply)


def test_a_prediction_runs_only_after_a_guess_and_is_judged_on_what_the_run_gave():
    runs = []
    guess = Number("n", "?", "%", lambda s: s["accuracy"], "As you said.", near=0.5)
    ask = Prediction(
        guess,
        lambda: runs.append(1) or {"accuracy": 80},
        lambda s: f"Your run: {s['accuracy']} %.",
    )
    assert ask.judge("", {}).outcome == Outcome.BLANK
    assert ask.judge("dunno", {}).outcome == Outcome.BLANK
    assert runs == []
    assert ask.judge("80", {}) == quiz.Verdict(Outcome.RIGHT, "Your run: 80 %. As you said.")
    assert ask.judge("60", {}).outcome == Outcome.CLOSE
    assert len(runs) == 2
    assert (ask.name, ask.prompt) == ("n", "?")


def test_a_choice_can_be_predicted_too():
    ask = Prediction(WHY, lambda: {"best": "c"}, lambda s: "Seen.")
    assert ask.judge(None, {}).outcome == Outcome.BLANK
    assert ask.judge("c", {}).outcome == Outcome.RIGHT


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], "blank"),
        (["right", "right"], "right"),
        (["right", "close"], "close"),
        (["blank", "close"], "blank"),
        (["wrong", "blank"], "wrong"),
        (["wrong", "misunderstanding"], "misunderstanding"),
    ],
)
def test_a_question_is_as_good_as_what_needs_attention_most(outcomes, expected):
    assert quiz.overall(outcomes) == expected


def test_the_nearest_slip_is_named():
    slips = (Slip(fixed(100), "the first", "One."), Slip(fixed(102), "the second", "Two."))
    asked = Number("n", "?", "s", fixed(500), "Yes.", slips=slips)
    assert "the second" in asked.judge("101.5", {}).reply
    assert "the first" in asked.judge("100.5", {}).reply


def test_within_a_factor_either_way_is_right():
    asked = Number("n", "?", "s", fixed(300), "Yes.", factor=3.0)
    assert asked.judge("110", {}).outcome is asked.judge("890", {}).outcome is Outcome.RIGHT
    assert asked.judge("90", {}).outcome is Outcome.WRONG
    assert asked.judge("-300", {}).outcome is Outcome.WRONG


def test_a_prediction_in_words_is_told_that_it_is_no_number():
    asked = Prediction(Number("n", "?", "s", fixed(3), "Yes."), lambda: pytest.fail("ran"), str)
    assert "cannot be read" in asked.judge("two", {}).reply
    assert "Predict first" in asked.judge("", {}).reply
