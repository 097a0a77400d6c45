"""Every notebook, opened in JupyterLab in Chromium and run with *Run All*."""

import pytest

from . import lab

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted(path.name for path in lab.ROOT.glob("notebooks/*.ipynb"))

# Every widget of the course has a line that speaks its state; its output area holds one.
WIDGETS = ".jp-OutputArea-child:has(.ir1-status)"

# A control, and the keys that move it away from where it is, whichever end it may be at.
KEYS = (
    (".noUi-handle", ("ArrowRight", "ArrowLeft")),
    ("select", ("Space ArrowDown Enter", "Space ArrowUp Enter")),
    ("input[type=number]", ("ArrowUp", "ArrowDown")),
    ("input[type=checkbox]", ("Space",)),
    ("input[type=radio]", ("Space", "ArrowDown")),
    ("input[type=text]", ("7",)),
)


@pytest.fixture(scope="module", params=NOTEBOOKS)
def ran(request, engine, address):
    """One notebook after *Run All*, with its pictures taken: (name, opened page, state)."""
    with lab.notebook(engine, address, request.param) as opened:
        state = opened.run_all()
        stem = request.param.removesuffix(".ipynb")
        for width, theme in ((1280, "dark"), (1920, "light"), (1280, "light")):
            opened.theme(theme)
            opened.screenshots(lab.ARTEFACTS / f"{stem}-{theme}-{width}", width)
        yield request.param, opened, state


def test_it_runs_without_errors(ran):
    _, opened, state = ran
    assert state["errors"] == []
    assert state["waiting"] == 0, "cells were left that had not run"
    assert opened.console == []


def test_every_widget_is_drawn(ran):
    _, opened, state = ran
    failed = opened.page.get_by_text("Error displaying widget").count()
    loading = opened.page.get_by_text("Loading widget...").count()
    assert failed == loading == 0
    assert opened.page.locator(WIDGETS).count() == state["widgets"]


def test_live_widgets_hide_their_twins(ran):
    _, opened, _ = ran
    twins = opened.page.locator("[id^=twin-]")
    assert all(not twins.nth(i).is_visible() for i in range(twins.count()))


def test_each_widget_changes_by_keyboard_alone(ran):
    _, opened, _ = ran
    widgets = opened.page.locator(WIDGETS)
    still = [i for i in range(widgets.count()) if not moves(opened.page, widgets.nth(i))]
    assert still == [], "widgets (counted from 0) whose words stay whatever key is pressed"


def said(widget):
    """A widget's words and picture."""
    return widget.locator(".ir1-status").all_inner_texts(), widget.inner_html()


def moves(page, widget):
    """Whether some control of `widget`, focused and given a key, changes words and picture."""
    before, drawn = said(widget)
    for selector, keys in KEYS:
        controls = widget.locator(selector)
        for index in range(controls.count()):
            for key in keys:
                controls.nth(index).focus()
                for stroke in key.split():
                    page.keyboard.press(stroke)
                page.wait_for_timeout(700)
                words, picture = said(widget)
                if words != before and picture != drawn:
                    return True
    return False


def test_a_question_is_answered_by_keyboard_alone(ran):
    name, opened, _ = ran
    radios = opened.page.locator(f"{WIDGETS}:has(input[type=radio])")
    if name != "08_checklist.ipynb":
        pytest.skip("this notebook does not ask the checklist's questions")
    widget = radios.first
    widget.locator("input[type=radio]").first.focus()
    opened.page.keyboard.press("Space")
    opened.page.wait_for_timeout(700)
    assert "Not checked yet" in said(widget)[0][0]
    widget.locator("button").first.focus()
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_timeout(1000)
    assert said(widget)[0][0].startswith(("Right", "Not right", "A known misunderstanding"))


def test_axe_finds_no_serious_fault(ran, axe):
    if not axe:
        pytest.skip("axe-core could not be installed from npm")
    name, opened, _ = ran
    for theme in lab.THEMES:
        opened.theme(theme)
        assert lab.faults(opened.page, axe) == [], f"{name} in the {theme} theme"
