"""The question widget: checks, keeps, recalls, and says it all in words."""

import pytest

from course_lib.checklist import progress
from course_lib.checklist.quiz import Choice, Number, Option, Order, Outcome, Prediction, Question
from course_lib.errors import CourseError
from course_lib.widgets import base, question

PRICE = {"price": 2}
NUMBER = Number("cost", "How much is <it>?", "USD", lambda s: s["price"], lambda s: "Yes.")
CHOICE = Choice("why", "Why?", {"a": Option("A", "Yes."), "b": Option("B", "No.")}, lambda s: "a")
ORDER = Order("order", "Order?", {"x": "X", "y": "Y"}, lambda s: "xy", "Yes.")
RUNS = Prediction(NUMBER, lambda: {"price": 5}, lambda s: "It ran.")
COST = Question("q", "Cost", (NUMBER, CHOICE, ORDER, RUNS), lambda: PRICE, "Try the widget.")


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("INSIDE_R1_HOME", str(tmp_path))
    monkeypatch.setattr(base, "_STATES", {})


def test_each_way_of_answering_has_labelled_controls_for_the_keyboard():
    for way in COST.ways:
        for control in question.Way(COST, way)._controls.values():
            assert control.description
            assert control.tooltip


def test_an_answer_is_judged_kept_and_said():
    asked = question.Way(COST, NUMBER)
    assert asked.text() == "No answer yet."
    asked.set(answer="2")
    assert asked.text() == "Your answer: 2. Not checked yet."
    assert asked.check().outcome == Outcome.RIGHT
    assert asked.text() == "Right: Yes."
    kept = progress.load().entry("after", "q.cost")
    assert (kept["outcome"], kept["answer"]) == ("right", {"answer": "2"})


def test_the_button_checks_and_the_page_changes():
    asked = question.Way(COST, CHOICE)
    (check,) = base._buttons(asked.widget.children)
    asked._controls["answer"].value = "b"
    check.click()
    assert "Not right" in asked._picture.value and "Try the widget." in asked._picture.value
    assert asked._status.text == "Not right: No."


def test_a_changed_answer_takes_the_verdict_away():
    asked = question.Way(COST, CHOICE)
    asked.set(answer="b")
    asked.check()
    asked.set(answer="a")
    assert asked.verdict is None and asked.picture() == ""


def test_the_verdict_is_computed_anew_from_the_state_at_each_check(monkeypatch):
    asked = question.Way(COST, NUMBER)
    asked.set(answer="2")
    assert asked.check().outcome == Outcome.RIGHT
    monkeypatch.setitem(PRICE, "price", 4)
    assert asked.check().outcome == Outcome.WRONG


def test_orders_and_predictions_are_judged_too():
    ordered = question.Way(COST, ORDER)
    assert {control.label for control in ordered._controls.values()} == {"(open)"}
    assert ordered.check().outcome == Outcome.BLANK
    ordered.set(place_1="x", place_2="y")
    assert ordered.check().outcome == Outcome.RIGHT
    runs = question.Way(COST, RUNS)
    runs.set(answer="5")
    assert runs.check().reply == "It ran. Yes."


def test_while_a_prediction_runs_the_words_say_so():
    heard = []
    run = Prediction(NUMBER, lambda: heard.append(status.text) or {"price": 5}, lambda s: "Ran.")
    asked = question.Way(Question("q", "Cost", (run,)), run)
    assert asked.widget
    status = asked._status
    asked.set(answer="5")
    asked.check()
    assert heard == ["Running it now; this takes some seconds."]
    assert status.text == "Right: Ran. Yes."


def test_a_run_that_cannot_take_place_is_said_and_counts_as_no_answer():
    def broken():
        raise CourseError("The model is damaged; distil again.")

    run = Prediction(NUMBER, broken, lambda s: "Ran.")
    asked = question.Way(Question("q", "Cost", (run,)), run)
    asked.set(answer="5")
    assert asked.check().outcome == Outcome.BLANK
    assert "The model is damaged" in asked.text()


def test_ways_for_the_end_are_not_in_the_pre_test(monkeypatch):
    shown = []
    monkeypatch.setattr(question, "display", shown.append)
    cost = Question("q", "Cost", (NUMBER, CHOICE, ORDER), lambda: PRICE, later=("order",))
    question.show(cost, "before")
    question.show(cost, "after")
    titles = [way.title for topic in shown for way in topic.ways]
    assert titles[:2] == ["Cost (1 of 2)", "Cost (2 of 2)"] and titles[-1] == "Cost (3 of 3)"
    assert len(titles) == 5


def test_a_cell_run_again_or_a_kernel_started_again_shows_answer_and_verdict(monkeypatch):
    asked = question.Way(COST, NUMBER)
    asked.set(answer="2")
    asked.check()
    assert question.Way(COST, NUMBER).text() == "Right: Yes."
    monkeypatch.setattr(base, "_STATES", {})
    again = question.Way(COST, NUMBER)
    assert again.state == {"answer": "2"}
    assert again.text() == "Right: Yes."


def test_an_answer_changed_since_the_check_comes_back_without_the_verdict():
    asked = question.Way(COST, NUMBER)
    asked.set(answer="3")
    asked.check()
    asked.set(answer="2")
    assert question.Way(COST, NUMBER).text() == "Your answer: 2. Not checked yet."


def test_before_and_after_are_kept_apart():
    before = question.Way(COST, NUMBER, "before")
    before.set(answer="3")
    before.check()
    assert question.Way(COST, NUMBER, "after").text() == "No answer yet."
    assert set(progress.load().sections) == {"before"}
    with pytest.raises(ValueError, match="before or after"):
        question.Way(COST, NUMBER, "during")


def test_of_the_answers_before_the_course_the_first_is_kept():
    asked = question.Way(COST, NUMBER, "before")
    assert asked.check().outcome == Outcome.BLANK
    for answer in ("3", "2"):
        asked.set(answer=answer)
        asked.check()
    assert asked.text().startswith("Right: Yes. Your first answer is the one that is kept")
    assert progress.load().entry("before", "q.cost")["answer"] == {"answer": "3"}
    after = question.Way(COST, NUMBER)
    for answer in ("3", "2"):
        after.set(answer=answer)
        after.check()
    assert progress.load().entry("after", "q.cost")["outcome"] == "right"


def test_a_damaged_entry_is_not_believed():
    progress.record("q.why", "splendid", "after", answer={"answer": "gone"})
    assert question.Way(COST, CHOICE).text() == "No answer yet."
    progress.record("q.cost", "right", "after", answer=["2"])
    assert question.Way(COST, NUMBER).text() == "No answer yet."


def test_progress_that_cannot_be_kept_is_said_beside_the_verdict(monkeypatch):
    monkeypatch.setattr(progress, "record", lambda *a, **k: "Not kept.")
    asked = question.Way(COST, NUMBER)
    asked.set(answer="2")
    asked.check()
    assert asked.text() == "Right: Yes. Not kept."


def test_the_twin_shows_question_answer_and_verdict_escaped():
    assert {"A", "B"} <= set(
        question.Way(COST, CHOICE).given().removeprefix("One of: ").split(" · ")
    )
    asked = question.Way(COST, NUMBER)
    assert "A number (USD)." in asked.static_html()
    asked.set(answer="2<i>")
    asked.check()
    twin = asked.static_html()
    assert "Cost (1 of 4)" in twin
    assert "How much is &lt;it&gt;?" in twin
    assert "2&lt;i&gt;" in twin and "<i>" not in twin
    assert "Right" in twin


def test_show_displays_every_way(monkeypatch):
    shown = []
    monkeypatch.setattr(question, "display", shown.append)
    question.show(COST, "before")
    (topic,) = shown
    assert [way.way.name for way in topic.ways] == ["cost", "why", "order", "cost"]
    assert all(way.phase == "before" for way in topic.ways)


def test_a_topic_says_how_many_are_checked_and_right(monkeypatch):
    shown = []
    monkeypatch.setattr(base, "display", lambda bundle, raw: shown.append(bundle))
    topic = question.Topic(COST)
    assert "0 of 4 checked, 0 right" in topic.progress()
    topic.ways[0].set(answer="2")
    topic.ways[0].check()
    topic.ways[1].set(answer="b")
    topic.ways[1].check()
    assert "2 of 4 checked, 1 right" in topic._head.value
    topic.ways[0].set(answer="3")
    assert "1 of 4 checked, 0 right" in topic._head.value
    topic._ipython_display_()
    live, twins = shown
    assert all(way.twin() in twins["text/html"] for way in topic.ways)
    assert "application/vnd.jupyter.widget-view+json" in live


def test_own_words_are_kept_as_they_are_typed_and_come_back(monkeypatch):
    asked = [Question("q", "Cost", [NUMBER])]
    words = question.OwnWords(asked)
    words.set(name="Ada", q="It thinks.")
    assert progress.load().entry("words", "q")["text"] == "It thinks."
    assert "1 of 1" in words.text()
    monkeypatch.setattr("course_lib.widgets.base._STATES", {})
    assert question.OwnWords(asked).state == {"name": "Ada", "q": "It thinks."}
