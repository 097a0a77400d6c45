"""Every notebook, opened in JupyterLab in Chromium and run with *Run All*, as a learner does."""

import os
import shutil
import time

import pytest

from course_lib.widgets import tours
from course_lib.widgets.question import RUNNING
from tests import gallery

from . import lab

pytestmark = pytest.mark.slow

LATE = (
    *("02_mixture_of_experts", "02b_how_v3_is_built", "03_r1_zero", "03c_what_made_it_grow"),
    *("03d_bug_lab", "05_distillation", "08_checklist"),
)
"""By then nbval has trained in them, in another process; the checklist looks back at them."""

NOTEBOOKS = sorted(
    (path.name for path in lab.ROOT.glob("notebooks/*.ipynb")),
    key=lambda name: (name.removesuffix(".ipynb") in LATE, name),
)
TRAINED_HERE = ("hacked",)
"""Runs of lesson 3 that are never taken over, so that one is seen while it goes on."""

PICTURES = bool(os.environ.get("COURSE_PICTURES"))
LOOKS = ((1366, "dark"), (1920, "light"), (1366, "light"))
"""A laptop's width and a projector's, in CSS pixels, with a theme."""

WIDGETS = ".ir1-frame"
OUTPUTS = ".jp-OutputArea-child:has(.ir1-frame)"
"""Every widget of the course is a frame; an output area holds one, or the several of a question."""

# A control, and the keys that move it away from where it is, whichever end it may be at.
KEYS = (
    (".noUi-handle", ("ArrowRight", "ArrowLeft")),
    ("select", ("Space ArrowDown Enter", "Space ArrowUp Enter")),
    ("input[type=number]", ("ArrowUp", "ArrowDown")),
    ("input[type=checkbox]", ("Space",)),
    ("input[type=radio]", ("Space", "ArrowDown")),
    ("input[type=text]", ("7 Enter",)),
    ("textarea", ("7 Tab",)),
)

TOPS = """viewer => [...viewer.querySelectorAll('.ir1-at-fold, .ir1-at-step')].map(
  control => Math.round(control.getBoundingClientRect().top))"""
"""How high the controls of the trace viewer stand, which are one row on a wide page."""

OUTLINE = "element => getComputedStyle(element).outlineStyle"

PATIENCE = (1, 4, 15)
"""Seconds for which a change is waited for, and again where none came: a machine may be busy."""

FED_BY_A_RUN = {"LiveRun"}
"""Widgets that have no control: a run moves them."""

VISITED: set[str] = set()
MISSED: set[str] = set()
MOVED: set[str] = set()


@pytest.fixture(scope="module", params=NOTEBOOKS)
def ran(request, profile, address, served, shared):
    """One notebook after *Run All* and a change of width: (name, page, state).

    Where `COURSE_PICTURES` is set it is looked at in each of `LOOKS`, and pictures are taken.
    """
    stem = request.param.removesuffix(".ipynb")
    take_over(stem, shared, served / "runs")
    with lab.notebook(profile, address, f"notebooks/{request.param}") as opened:
        state = opened.run_all()
        for width, theme in LOOKS if PICTURES else ():
            opened.theme(theme)
            opened.resize(width)
            opened.screenshots(lab.ARTEFACTS / f"{stem}-{theme}-{width}", width)
        for width, _ in LOOKS[1:]:
            opened.resize(width)
        VISITED.add(request.param)
        yield request.param, opened, state


def take_over(stem, shared, runs, patience=600):
    """Copy to `runs` what nbval has trained in that notebook, if it has begun it in this session.

    The lesson then shows runs that it finds, as at a learner's second visit; nbval was the first.
    """
    begun, ended = (shared / f"notebooks-{stem}.{what}" for what in ("begun", "ended"))
    end = time.monotonic() + patience
    while begun.exists() and not ended.exists() and time.monotonic() < end:
        time.sleep(0.5)
    MISSED.update([stem] * (stem in LATE and not ended.exists()))
    if MISSED or not ended.exists():  # a run may rest on one of the lessons before
        return
    first, last = begun.stat().st_mtime, ended.stat().st_mtime
    for folder in (lab.ROOT / "runs").glob("*/"):
        written = max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])
        if folder.name not in TRAINED_HERE and first <= written <= last:
            shutil.copytree(folder, runs / folder.name, dirs_exist_ok=True)


def test_it_runs_without_errors(ran):
    _, _, state = ran
    assert state["errors"] == []
    assert state["waiting"] == 0, "cells were left that had not run"


def test_every_widget_is_drawn(ran):
    _, opened, state = ran
    failed = opened.page.get_by_text("Error displaying widget").count()
    loading = opened.page.get_by_text("Loading widget...").count()
    assert failed == loading == 0
    assert opened.page.locator(OUTPUTS).count() == state["widgets"]
    # What follows moves widgets whose scripts were late; where none is, `told` is needed no more.
    assert opened.late or not state["widgets"], "anywidget no longer gives up on a late script"


def test_live_widgets_hide_their_twins(ran):
    _, opened, _ = ran
    twins = opened.page.locator("[id^=twin-]")
    assert all(not twins.nth(i).is_visible() for i in range(twins.count()))


def test_each_widget_changes_by_keyboard_alone(ran):
    name, opened, _ = ran
    widgets = opened.page.locator(WIDGETS)
    still = []
    for i in range(widgets.count()):
        widget = widgets.nth(i)
        kind = kind_of(widget)
        if kind in FED_BY_A_RUN:
            continue
        moved = any(moves(opened.page, widget, seconds) for seconds in PATIENCE)
        if moved and (kind != "Way" or answers(opened.page, widget)):
            MOVED.add(kind)
        else:
            still.append(f"{i}: {kind}")
    assert still == [], f"widgets of {name} that stay as they are whatever key is pressed"


def kind_of(widget):
    """The class of a live widget, from the mark that it bears in the page."""
    marks = widget.get_attribute("class").split()
    return next(m for m in marks if m.startswith("ir1-of-")).removeprefix("ir1-of-")


def words(widget):
    """What a widget says; the explorer's own line is in its script."""
    return widget.locator(".live-status, .ir1-status").first.inner_text()


def picture(widget):
    """What a widget shows beside its words: the picture is the last of its HTML parts."""
    return widget.locator(".widget-html").last.inner_html()


def changes(page, look, before, seconds, most=120):
    """Whether what `look()` gives is none of `before`; told by the kernel's rest, not by a clock.

    No is said once the kernel has been idle for so many seconds, however long it has worked.
    """
    end, rest = time.monotonic() + most, time.monotonic() + seconds
    while look() in before:
        now = time.monotonic()
        if page.evaluate(lab.IS_BUSY):
            rest = now + seconds
        if now > min(rest, end):
            return False
        page.wait_for_timeout(50)
    return True


def moves(page, widget, seconds):
    """Whether some control of `widget`, focused and given a key, changes the words and the picture,
    each within so many seconds of the kernel's rest.

    A question shows its verdict only once the answer is checked, and a prediction and one's own
    words have no picture: there the words must change.
    """
    kind = kind_of(widget)
    if kind == "Explorer":
        return explores(page, widget)
    pictured = kind not in ("Way", "Guess", "OwnWords")
    said, drawn = words(widget), picture(widget)
    for selector, keys in KEYS:
        controls = widget.locator(selector)
        for index in range(controls.count()):
            for key in keys:
                controls.nth(index).focus()
                for stroke in key.split():
                    page.keyboard.press(stroke)
                if changes(page, lambda: words(widget), [said], seconds) and (
                    not pictured or changes(page, lambda: picture(widget), [drawn], seconds)
                ):
                    return True
    return False


def explores(page, widget):
    """Whether another model is chosen by an arrow key, answers at Enter, and is the one that spoke.

    JupyterLab would take the keys for its own, were it not told to leave them.
    """
    chosen = widget.locator(".live select").first
    before = chosen.evaluate("list => list.selectedIndex")
    chosen.focus()
    page.keyboard.press("ArrowDown")
    name = chosen.evaluate("list => list.selectedOptions[0].text.split(':')[0]")
    widget.locator(".live-main").focus()
    page.keyboard.press("Enter")
    spoke = widget.locator(f".live-status:has-text('{name}, ')")
    spoke.wait_for(timeout=60_000)
    return chosen.evaluate("list => list.selectedIndex") == before + 1


def answers(page, widget):
    """Whether *Check my answer*, pressed by keyboard, shows a verdict in words and as a card."""
    before = [words(widget), RUNNING]
    widget.locator("button").first.focus()
    page.keyboard.press("Enter")
    judged = changes(page, lambda: words(widget), before, seconds=60)
    return judged and changes(page, lambda: "ir1-card" in picture(widget), [False], PATIENCE[1])


def test_a_tour_is_walked_and_left_by_keyboard_alone(ran):
    name, opened, _ = ran
    if name != "06_local_inference.ipynb":
        pytest.skip("the trace viewer's tour is walked, in its own lesson")
    walk_and_leave_the_tour(opened.page)


def walk_and_leave_the_tour(page):
    """Go through the tour of the first trace viewer of a page, by keyboard."""
    viewer = page.locator(".ir1-of-TraceViewer").first
    tour, place = viewer.locator(".ir1-tour"), viewer.locator(".ir1-tour-place")
    steps = tours.TOURS["TraceViewer"]
    tour.locator("button").focus()
    page.keyboard.press("Enter")
    for number, step in enumerate(steps, 1):
        place.filter(has_text=f"step {number} of {len(steps)}").wait_for()
        assert tour.evaluate("card => card === document.activeElement"), "the card has the focus"
        framed = viewer.locator(f".{tours.mark(step.at)}")
        assert framed.evaluate(OUTLINE) == "solid" or step.part, "what the step names is framed"
        assert len(set(viewer.evaluate(TOPS))) == 1, "the card parts no row of controls"
        if step.ask:
            page.keyboard.press("Tab")  # the first of the options
            page.keyboard.press("Enter")
        else:
            tour.get_by_role("button", name="Show me").focus()
            page.keyboard.press("Enter")  # goes to the element, which is framed
            page.keyboard.press({"fold": "Space", "step": "ArrowRight"}[step.at])
    place.filter(has_text="done").wait_for()
    page.keyboard.press("Escape")
    tour.get_by_role("button", name="Tour (").wait_for()


def test_axe_finds_no_serious_fault(ran, axe):
    if not axe:
        pytest.skip("axe-core could not be installed from npm")
    name, opened, _ = ran
    for theme in lab.THEMES:
        opened.theme(theme)
        found = lab.faults(opened.page, axe, lab.NOTEBOOK, recoloured=theme == "dark")
        assert found == [], f"{name} in the {theme} theme"


def test_the_page_has_no_errors_of_its_own(ran):
    _, opened, _ = ran  # after both themes, two widths and every key
    assert opened.console == []


def test_a_run_is_shown_while_it_runs(ran):
    _, opened, _ = ran
    live = opened.page.locator(".ir1-of-LiveRun:has(img[alt])")
    if not live.count():
        pytest.skip("this notebook shows no run")
    assert "After step" in live.first.inner_text() and live.first.locator("img[alt]").count() == 6
    MOVED.add("LiveRun")


def test_the_checklist_asks_about_the_run_of_lesson_3_and_the_distill_of_lesson_5(ran):
    name, opened, _ = ran
    if name != "08_checklist.ipynb":
        pytest.skip("not the checklist")
    if not {"03_r1_zero.ipynb", "05_distillation.ipynb"} <= VISITED:
        pytest.skip("lessons 3 and 5 were not run before it")
    asked = " ".join(opened.page.locator(".ir1-of-Way").all_inner_texts())
    assert "Your own R1-Zero began" in asked and "Your own distill has" in asked
    report = opened.page.locator(".ir1-report").inner_text()
    assert "own R1-Zero" in report and "Right now: " in report


def test_every_widget_of_the_course_was_moved():
    if set(NOTEBOOKS) != VISITED:
        pytest.skip("not all notebooks were run")
    every = {kind.__name__ for kind in gallery.classes()}
    assert every - MOVED == set(), "widgets that no notebook shows, or that no key moves"
