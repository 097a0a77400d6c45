"""The explorer in a notebook holds the learner's checkpoints; its twin says what they do."""

import pytest

from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.task import puzzles
from course_lib.widgets import base
from course_lib.widgets.live import export, script
from course_lib.widgets.live.explorer import Explorer

BASE, ZERO = models.shipped("mini-v3-base"), models.shipped("mini-r1-zero")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(base, "_STATES", {})


@pytest.fixture(scope="module")
def explorer():
    return Explorer({"Before": BASE, "After": ZERO})


def test_the_browser_gets_each_model_whole(explorer):
    (page,) = explorer.extras()
    for offer, folder in zip(page.models, (BASE, ZERO), strict=True):
        header, weights = export.pack(folder, offer["label"])
        assert offer["header"] == header and offer["weights"] == weights
    assert page.puzzle == "7 ? 3 ? 5 ? 2 = 11"
    # The weights travel as bytes beside the message, not as text in it.
    state, _, buffers = _split(page.get_state())
    assert sum(map(len, buffers)) == sum(len(offer["weights"]) for offer in page.models)
    assert "weights" not in str(state["models"])


def _split(state):
    from ipywidgets.widgets.widget import _remove_buffers

    return _remove_buffers(state)


def test_its_twin_says_what_each_model_answers(explorer):
    puzzle = puzzles.parse("7 ? 3 ? 5 ? 2 = 11")
    before, after = explorer.answers
    assert not before.right and after.right == bool(puzzles.reward(puzzle, after.text)) is True
    twin = explorer.static_html()
    assert "&lt;think&gt;" in twin and "<think>" not in twin and "After" in explorer.text()


def test_a_name_is_never_taken_for_html():
    shown = Explorer({"<b>x</b>": BASE})
    assert "<b>x" not in shown.static_html() and "&lt;b&gt;x" in shown.static_html()


@pytest.mark.parametrize(
    ("folders", "puzzle", "said"),
    [
        ({}, "7 ? 3 = 4", "needs a model"),
        ({"x": "nowhere"}, "7 ? 3 = 4", "cannot be read"),
        ({"x": BASE}, "7 + 3 = 4", "is not a puzzle"),
    ],
)
def test_what_is_wrong_is_one_sentence(folders, puzzle, said):
    with pytest.raises(CourseError, match=said):
        Explorer(folders, puzzle)


def test_the_module_renders_and_has_no_html_of_its_own():
    module = script.as_module("widget.js")
    assert module.rstrip().endswith("export default { render };")
    assert "innerHTML" not in module and "eval(" not in module
