"""A prediction as a widget: asked, kept, compared, and silent where nobody types."""

import pytest

from course_lib.checklist import progress
from course_lib.widgets import base
from course_lib.widgets.predict import predict


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_R1_HOME", str(tmp_path))
    monkeypatch.setattr(base, "_STATES", {})


def test_without_a_front_end_the_run_goes_on(capsys):
    predict("t.a", "How many?", unit="s").compare(3)
    assert capsys.readouterr().out == "You predicted nothing; it came to 3 s.\n"
    assert progress.load().sections == {}


def test_a_typed_prediction_is_kept_at_once_and_compared_later(capsys):
    asked = predict("t.a", "How many?", unit="s")
    asked.set(answer="4")
    assert "You predict: 4 s" in asked.text()
    assert progress.load().entry("predictions", "t.a")["answer"] == "4"
    asked.compare(4.1)
    assert "near" in capsys.readouterr().out
    assert progress.load().entry("predictions", "t.a")["outcome"] == "right"


def test_it_is_there_again_in_another_session(monkeypatch):
    predict("t.a", "Which?", ["one", "two"]).set(answer="two")
    monkeypatch.setattr(base, "_STATES", {})
    assert predict("t.a", "Which?", ["one", "two"]).state["answer"] == "two"
    assert predict("t.a", "Which?", ["three", "four"]).state["answer"] is None


def test_the_twin_asks_too():
    asked = predict("t.a", "How <many>?", unit="s")
    assert "How &lt;many&gt;?" in asked.static_html() and "A number (s)." in asked.static_html()
    chosen = predict("t.b", "Which?", ["a < b", "neither"])
    assert "a &lt; b · neither" in chosen.static_html(), (
        "without a kernel they are seen nowhere else"
    )
    chosen.set(answer="neither")
    assert "You predict: neither" in chosen.static_html()


@pytest.mark.parametrize("how", [{}, {"options": ["one"]}, {"options": ["a", "b"], "unit": "s"}])
def test_what_asks_for_nothing_or_for_both_is_refused(how):
    with pytest.raises(ValueError, match="two options or more"):
        predict("t.a", "What?", **how)


def test_only_an_option_can_come():
    with pytest.raises(ValueError, match="none of the options one, two"):
        predict("t.a", "Which?", ["one", "two"]).compare("three")
