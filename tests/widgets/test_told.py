"""Scripts are told nothing after they are made but by `told`: anywidget would drop it if late."""

import json

import anywidget
import ipywidgets as ipw
import pytest

from course_lib.widgets import base, tours
from course_lib.widgets.told import Told
from tests import gallery
from tests.widgets.test_tours import act, other, say, tour_of


@pytest.fixture
def sent(monkeypatch):
    """(class, traits) of what the kernel says to scripts that are there already."""
    found, made, make = [], [], anywidget.AnyWidget.__init__

    def making(script, *args, **traits):
        make(script, *args, **traits)
        made.append(script)

    def says(script, key=None):
        if any(script is one for one in made):
            found.append((type(script).__name__, key))

    monkeypatch.setattr(anywidget.AnyWidget, "__init__", making)
    monkeypatch.setattr(anywidget.AnyWidget, "send_state", says)
    monkeypatch.setattr(base, "_STATES", {})
    return found


@pytest.mark.parametrize("name", gallery.MAKERS)
def test_no_widget_says_anything_to_a_script_of_its_own(name, sent):
    widget = gallery.MAKERS[name]()
    assert widget.widget
    for control in widget._controls.values():
        if isinstance(control, ipw.Dropdown | ipw.Checkbox | ipw.IntSlider | ipw.FloatSlider):
            control.value = other(control)
    widget.reset()
    if type(widget).__name__ in tours.TOURS:
        tour = tour_of(widget)
        say(tour, place=1)
        while tour.step:
            act(tour)
    assert sent == []


def test_a_class_that_comes_later_and_a_changed_trait_are_seen_by_the_test_above(sent):
    told = Told("one")
    told.add_class("late")
    assert sent == [("Told", "_dom_classes")]


def test_what_is_told_goes_by_a_model_of_ipywidgets(sent, monkeypatch):
    said = []
    monkeypatch.setattr(ipw.HTML, "send_state", lambda line, key=None: said.append(line.value))
    told = Told("one", _dom_classes=["mark"])
    told.text = json.dumps({"quoted": "<b>$"})
    assert said == [told.text] == [told.line.value] and sent == []
    assert told.get_state()["line"] == f"IPY_MODEL_{told.line.model_id}"
    assert list(told.get_state()["_dom_classes"]) == ["mark"]
