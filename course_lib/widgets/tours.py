"""Guided tours: a card that names one element, asks for an action or a prediction, and goes on.

The steps are data, `tours.toml`: for each class of widget five to eight. `base` gives a widget
that has a tour its button. What is done is seen by the widget's own traits: the value of a control,
the press of a button. `tour.js` draws the card and marks the element.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ipywidgets as ipw
import traitlets

from course_lib.widgets.told import HEAR, Told

HERE = Path(__file__).parent
HELD = "(It is so already: change it, and change it back.)"
END = "That was the tour. Now play: nothing can break."


@dataclass(frozen=True)
class Step:
    """One step: `say` is its idea, then either `do` (an action) or `ask` (a prediction).

    `at` names the element: a control, a button by its label, `picture` or `words`; `part` is a CSS
    selector within it. An action is done when the controls of `until` have these values (a text
    such as ">= 3" compares), or, without `until`, at any change or press of `at`; then `seen` is
    said. A prediction is done when one of `options` is chosen; `why` follows, after whether it was
    `right` (some have no right answer: the page shows it). Raises ValueError for half a step.
    """

    at: str
    say: str
    part: str = ""
    do: str = ""
    until: Mapping[str, Any] = field(default_factory=dict)
    seen: str = ""
    ask: str = ""
    options: tuple[str, ...] = ()
    right: str = ""
    why: str = ""

    def __post_init__(self) -> None:
        acts = bool(self.do and self.seen and not self.ask)
        asks = bool(self.ask and self.why and len(self.options) > 1 and not self.do)
        if not (acts or asks) or self.right not in (*self.options, ""):
            raise ValueError(f"{self.say!r}: give do and seen, or ask, options and why")

    def reply(self, answer: str) -> str:
        """What is said to a prediction."""
        verdict = "Right." if answer == self.right else f"Not quite: {self.right}."
        return f"{verdict} {self.why}" if self.right else self.why


_TABLE = tomllib.loads((HERE / "tours.toml").read_text(encoding="utf-8"))
# The steps of every class that has a tour; no docstring, else the library's page lists them all.
TOURS = {name: tuple(Step(**given) for given in steps) for name, steps in _TABLE.items()}


class Tour(Told):
    """The button "Tour", and the card while it is on.

    `place` is 0 before the tour, then the step's number, and one more at the end. The page asks to
    begin and to leave, and says which option was chosen; the `card` is all that it is told. `scope`
    is a CSS selector of the widget, and `reset` puts its controls back as a tour begins. Raises
    ValueError where a step names an element that is not there.
    """

    _esm = HEAR + (HERE / "tour.js").read_text(encoding="utf-8")
    _css = HERE / "tour.css"
    place = traitlets.Int(0)

    def __init__(
        self,
        steps: tuple[Step, ...],
        targets: Mapping[str, ipw.DOMWidget],
        scope: str,
        reset: Callable[[], object] = lambda: None,
    ) -> None:
        unknown = {n for step in steps for n in (step.at, *step.until)} - {*targets, "picture"}
        if unknown:
            raise ValueError(f"the tour names what is not there: {', '.join(sorted(unknown))}")
        self.steps, self._scope, self._targets, self._reset = steps, scope, targets, reset
        self._reply, self._resetting = "", False
        self.card = self._drawn()
        super().__init__(json.dumps(self.card))
        for name, target in targets.items():
            target.add_class(mark(name))
            if isinstance(target, ipw.Button):
                target.on_click(lambda _, name=name: self._acted(name))
            elif isinstance(target, ipw.ValueWidget):
                target.observe(lambda _, name=name: self._acted(name), "value")
        self.observe(self._moved, "place")
        self.on_msg(lambda _, said, __: self._asked(**said))

    @property
    def step(self) -> Step | None:
        """The step that is on, if one is."""
        return self.steps[self.place - 1] if 0 < self.place <= len(self.steps) else None

    def _acted(self, name: str) -> None:
        """A control was moved, or a button pressed."""
        step = None if self._resetting else self.step
        if step and step.do and name in (step.until or [step.at]) and self._holds(step):
            self._go_on(step.seen)

    def _asked(self, place: int | None = None, option: str = "") -> None:
        """The page asks to be at a place, or an option was chosen there."""
        if place is not None:
            self.place = place
        elif self.step and option in self.step.options:
            self._go_on(self.step.reply(option))

    def _go_on(self, reply: str) -> None:
        self._reply = reply
        self.place += 1

    def _holds(self, step: Step) -> bool:
        return all(_meets(self._targets[name].value, wanted) for name, wanted in step.until.items())

    def _moved(self, _: object = None) -> None:
        """Say the step that is on now, and whether what it asks for is so already."""
        if self.place == 1:
            self._resetting = True
            self._reset()
            self._resetting = False
        self.card, self._reply = self._drawn(), ""
        self.text = json.dumps(self.card)

    def _drawn(self) -> dict[str, Any]:
        """What the page draws: the step that is on, and what was replied to the one before."""
        step, end = self.step, END if self.place else ""
        told = {"place": self.place, "of": len(self.steps), "reply": self._reply}
        if not step:
            return {**told, "say": end, "task": "", "options": [], "at": ""}
        held = f" {HELD}" if step.until and self._holds(step) else ""
        task = f"{step.do or step.ask}{held}"
        asked = {"say": step.say, "task": task, "options": list(step.options)}
        return {**told, **asked, "at": self._selector(step)}

    def _selector(self, step: Step) -> str:
        parts = (part.strip() for part in step.part.split(","))
        return ", ".join(f"{self._scope} .{mark(step.at)} {part}".strip() for part in parts)


def offer(name: str, *given: Any) -> list[Tour]:
    """The tour of the class `name`, made with what `Tour` takes; [] if it has none."""
    return [Tour(TOURS[name], *given)] if name in TOURS else []


def mark(name: str) -> str:
    """The HTML class of an element that a step can name."""
    return "ir1-at-" + re.sub(r"\W+", "-", name.lower())


def _meets(value: Any, wanted: Any) -> bool:
    """Whether a control's value is the one wanted, or on the side of it that is wanted."""
    if isinstance(wanted, str) and wanted[:2] in (">=", "<="):
        bound = float(wanted[2:])
        return value >= bound if wanted[0] == ">" else value <= bound
    return bool(value == wanted)
