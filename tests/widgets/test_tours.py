"""Every tour can be walked to its end by what it asks for, and what it says is so."""

from dataclasses import replace

import ipywidgets as ipw
import pytest
from bs4 import BeautifulSoup

from course_lib.widgets import base, tours
from course_lib.widgets.site import pages
from tests import gallery


@pytest.fixture(autouse=True)
def no_memory(monkeypatch):
    monkeypatch.setattr(base, "_STATES", {})


@pytest.fixture(params=tours.TOURS)
def toured(request):
    return gallery.MAKERS[request.param]()


def tour_of(widget):
    return next(part for part in widget.widget.children if isinstance(part, tours.Tour))


def found(widget, selector):
    """The elements of the widget's picture that a step's selector finds."""
    inside = f'<div class="ir1-at-picture">{widget.picture()}</div>'
    return BeautifulSoup(
        f'<div class="of-{widget._twin_id()}">{inside}</div>', "html.parser"
    ).select(selector)


def other(control):
    """Another value that a control can take."""
    if isinstance(control, ipw.Dropdown):
        return next(value for _, value in control.options if value != control.value)
    if isinstance(control, ipw.Checkbox):
        return not control.value
    by = max(1, control.step)
    return control.value + by if control.value < control.max else control.min


def reach(wanted):
    return float(wanted[2:]) if isinstance(wanted, str) and wanted[:2] in (">=", "<=") else wanted


def say(tour, **said):
    """What the page says to the kernel."""
    tour._handle_custom_msg(said, [])


def act(tour, answer=None):
    """Do what the step asks for, as a hand in the page does."""
    step = tour.step
    if step.ask:
        say(tour, option=answer or step.right or step.options[0])
    elif step.until:
        for name, wanted in step.until.items():
            if tour._targets[name].value == reach(wanted):  # it holds already: away, and back
                tour._targets[name].value = other(tour._targets[name])
            tour._targets[name].value = reach(wanted)
    elif isinstance(tour._targets[step.at], ipw.Button):
        tour._targets[step.at].click()
    else:
        tour._targets[step.at].value = other(tour._targets[step.at])


def walk(widget):
    """Every step's number and selector, the tour walked to its end."""
    tour = tour_of(widget)
    tour.place = 1
    for number, step in enumerate(tour.steps, 1):
        assert tour.step is step and tour.card["say"] == step.say
        if step.at == "picture":
            assert found(widget, tour.card["at"]), f"step {number}: nothing is {step.part!r}"
        act(tour)
        assert tour.place == number + 1, f"step {number} does not go on"
        assert (step.seen or step.why) in tour.card["reply"]
        yield number
    assert tour.card["say"] == tours.END and tour.step is None


def test_six_widgets_have_tours_of_five_to_eight_steps():
    assert set(tours.TOURS) == {
        "Router",
        "TokenMicroscope",
        "LiveRun",
        "WillItRun",
        "StageExplorer",
        "TraceViewer",
    }
    for name in tours.TOURS:
        assert 5 <= len(tours.TOURS[name]) <= 8
        longest = max(len(step.say.split()) for step in tours.TOURS[name])
        assert longest <= 25, f"{name}: one idea a step"


def test_every_tour_is_walked_to_its_end_by_actions(toured):
    assert list(walk(toured))[-1] == len(tour_of(toured).steps)


def test_a_tour_is_left_and_begun_again(toured):
    tour = tour_of(toured)
    say(tour, place=1)
    act(tour)
    say(tour, place=0)
    assert tour.step is None and tour.card["say"] == tour.card["reply"] == ""
    assert list(walk(toured))[-1] == len(tour.steps)


def test_what_is_not_asked_for_does_not_go_on():
    widget = gallery.MAKERS["Router"]()
    tour = tour_of(widget)
    widget.set(bias_1=1.0)
    assert tour.place == 0
    tour.place = 2
    assert tours.HELD in tour.card["task"]
    widget.set(bias_1=0.0)
    tour.place = 1
    tour.place = 2
    widget.set(bias_2=1.0)
    say(tour, option="yes, by as much as the bias")
    assert tour.place == 2
    assert tours.HELD not in tour.card["task"]
    widget.set(bias_1=0.2)
    assert tour.place == 2
    widget.set(bias_1=0.9)
    assert tour.place == 3
    say(tour, option="yes, by as much as the bias")
    assert tour.card["reply"].startswith("Not quite: no, only the score counts.")


def test_an_element_that_does_not_exist_is_found_out():
    steps = tours.TOURS["Router"]
    with pytest.raises(ValueError, match="gone"):
        tours.Tour((replace(steps[1], at="gone"),), {}, "")
    with pytest.raises(ValueError, match="gone"):
        tours.Tour((replace(steps[1], until={"gone": 1}),), {"bias_1": ipw.IntSlider()}, "")
    widget = gallery.MAKERS["Router"]()
    tour_of(widget).steps = (replace(steps[0], part="td:nth-child(99)"), *steps[1:])
    with pytest.raises(AssertionError, match="step 1: nothing is"):
        list(walk(widget))


@pytest.mark.parametrize(
    "wrong",
    [
        {"do": "Press."},
        {"ask": "Which?", "why": "So."},
        {"ask": "Which?", "why": "So.", "options": ("a", "b"), "right": "c"},
        {"do": "Press.", "seen": "So.", "ask": "Which?", "why": "So.", "options": ("a", "b")},
        {},
    ],
)
def test_half_a_step_is_refused(wrong):
    with pytest.raises(ValueError, match="give do and seen"):
        tours.Step(at="picture", say="An idea.", **wrong)


def test_the_router_does_what_its_tour_says():
    widget = gallery.MAKERS["Router"]()
    steps = walk(widget)
    assert {line.expert for line in widget._table().chosen} == {0, 4}  # the highest logits
    next(steps), next(steps)
    assert 1 in {line.expert for line in widget._table().chosen}
    chosen = widget._table().chosen
    assert all(abs(x.weight - x.score / widget._table().total) < 1e-6 for x in chosen)
    before = widget._bias(), widget._loads()
    next(steps), next(steps)
    for old, new, load in zip(*before[:1], widget._bias(), before[1], strict=True):
        assert (new - old) * (1 - load) > 0 or new in (-1, 1)
    next(steps)
    assert "group lost" in widget.picture()
    next(steps)
    assert "With the bug" in widget.text()


def test_the_stages_are_what_their_tour_says():
    widget = gallery.MAKERS["StageExplorer"]()
    known = [widget.model("left") for _ in walk(widget)]
    assert known == [None, "dev1", "dev1", "dev2", "dev3", "dev3", "dev3"]
    assert widget.model("right") == "overuse"
    assert "language consistency" in found(widget, "tbody tr:nth-of-type(3)")[0].text


def test_weights_and_cache_grow_as_the_tour_of_will_it_run_says():
    widget = gallery.MAKERS["WillItRun"]()
    seen = []
    for _ in walk(widget):
        shares = widget.plan().shares
        seen.append([sum(getattr(s, part) for s in shares) for part in ("weights", "cache")])
    assert seen[4][0] > 3 * seen[3][0]
    assert seen[5][1] > seen[4][1] and seen[5][0] == seen[4][0]


def test_the_site_has_every_step_in_words():
    page = pages.tours()
    for name in tours.TOURS:
        for step in tours.TOURS[name]:
            for words in (step.say, step.do, step.seen, step.ask, step.right, step.why):
                assert pages.plain(words) in page


def test_the_page_of_the_library_does_not_list_the_steps_and_their_answers():
    analyzer = pytest.importorskip("sphinx.pycode").ModuleAnalyzer.for_module(tours.__name__)
    assert ("", "TOURS") not in analyzer.find_attr_docs()
