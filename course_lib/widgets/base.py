"""The family every widget belongs to.

A widget is a subclass of `Widget` that names its controls and draws two things from their values,
a picture and a sentence. It holds no arithmetic: that is pure functions in the room it belongs to.

    class TokenCost(Widget):
        title = "What an answer costs"

        def controls(self):
            return {
                "tokens": slider("Tokens in the answer", 100, 50_000, 12_000, step=100),
                "price": number("Price, USD per million tokens", 2.19, minimum=0),
            }

        def picture(self):
            return svg.bars("Cost of one answer", cost_of(**self.state), unit="USD")

        def text(self):
            return f"An answer of {self.state['tokens']:,} tokens costs ..."

    TokenCost()      # as the last line of a cell; or TokenCost("second", tokens=5000)

When a control moves, `state` (control name -> value) is new, and `picture()` and `text()` are drawn
again. The state belongs to the class and the `key`, so a cell run again shows what the reader had
set; `reset()` puts the first values back. A picture is HTML, mostly from `course_lib.show.svg`: it
changes in milliseconds, needs no JavaScript of its own and no `FigureWidget` with its 5 MB. Where
there is no kernel (GitHub, a printed page, a notebook opened again) the reader sees `static_html()`
in its place; both show the same picture and the same words.

Controls stand in `groups()`, as many columns as there is room for; a class with `beside` has its
picture next to them on a wide page. `frame.css` has the layout, `tours` the guided tours.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as ipw
import traitlets
from IPython.display import display

from course_lib.show.svg import as_images
from course_lib.show.theme import NO_MATHS, PAGE_COLOUR, TEXT_COLOUR, escape
from course_lib.widgets import tours
from course_lib.widgets.told import HEAR, Told

_STATES: dict[str, dict[str, Any]] = {}

_ROW = {"width": "min(100%, 43em)"}


def _labelled(label: str) -> dict[str, Any]:
    """How a control with its label beside it looks, and what it is called."""
    wide = {"description_width": "min(17em, 45%)"}
    return {"description": label, "tooltip": label, "style": wide, "layout": _ROW}


class Status(Told):
    """One line of text that screen readers speak when it changes.

    The element stays and its text changes: readers miss a live region that is itself replaced.
    When it comes into view it also gives the sliders beside it the names that ipywidgets leaves
    out: the handle, which is what takes the keys, is told its label.
    """

    _esm = f"""{HEAR}
    async function render({{ model, el }}) {{
      const line = document.createElement("p");
      line.setAttribute("role", "status");
      line.setAttribute("aria-live", "polite");
      line.className = "ir1-status";
      el.appendChild(line);
      const name = () => el.closest(".ir1-frame")?.querySelectorAll(".widget-slider").forEach(
        (slider) => slider.querySelector(".noUi-handle")?.setAttribute(
          "aria-label", slider.querySelector(".widget-label")?.textContent ?? "value"));
      const seen = new IntersectionObserver(name);
      seen.observe(line);
      const deafen = await hear(model, (words) => {{ line.textContent = words; }});
      return () => {{ seen.disconnect(); deafen(); }};
    }}
    export default {{ render }};
    """
    _css = Path(__file__).parent / "frame.css"


def slider(
    label: str, low: float, high: float, value: float, *, step: float = 1
) -> ipw.IntSlider | ipw.FloatSlider:
    """A slider with its label beside it: whole numbers if all four numbers are, else floats."""
    whole = all(isinstance(part, int) for part in (low, high, value, step))
    kind = ipw.IntSlider if whole else ipw.FloatSlider
    return kind(value, min=low, max=high, step=step, **_labelled(label))


def number(
    label: str, value: float, *, minimum: float = 0, maximum: float = 1e15
) -> ipw.BoundedFloatText:
    """A box for a number between `minimum` and `maximum`, with its label beside it."""
    return ipw.BoundedFloatText(value, min=minimum, max=maximum, **_labelled(label))


def choice(
    label: str, options: Sequence[Any] | Mapping[str, Any], value: Any = None
) -> ipw.Dropdown:
    """A drop-down list with its label beside it; `options` are values, or label -> value."""
    pairs = (
        list(options.items()) if isinstance(options, Mapping) else [(str(o), o) for o in options]
    )
    first = pairs[0][1] if value is None else value
    return ipw.Dropdown(options=pairs, value=first, **_labelled(label))


def tick(label: str, value: bool = False) -> ipw.Checkbox:
    """A box to tick, with its label."""
    return ipw.Checkbox(value, description=label, indent=False, layout=_ROW, tooltip=label)


def radio(label: str, options: Any) -> ipw.RadioButtons:
    """Buttons of which one is chosen, none at first; `options` are values, or label -> value."""
    return ipw.RadioButtons(
        options=options, value=None, description=label, tooltip=label, layout={"width": "auto"}
    )


def line(
    label: str, kind: type[ipw.Text | ipw.Textarea] = ipw.Text, **more: Any
) -> ipw.Text | ipw.Textarea:
    """A box for a line of text (or a `Textarea` for several), with its whole label beside it."""
    style = {"description_width": "initial"}
    return kind(description=label, tooltip=label, style=style, **more)


def button(label: str, act: Callable[[], object]) -> ipw.Button:
    """A button that calls `act()`; give it to `row` or to `Widget.extras`."""
    made = ipw.Button(description=label, tooltip=label, layout={"width": "max-content"})
    made.on_click(lambda _: act())
    return made


def row(*parts: ipw.Widget) -> ipw.HBox:
    """Controls side by side, wrapping on a narrow page."""
    return ipw.HBox(list(parts), layout={"flex_flow": "row wrap"})


def show_live(live: ipw.Widget, name: str, twin: str, said: str) -> None:
    """Display a live widget, and its twin, HTML and text, in an output of its own.

    Two outputs, because JupyterLab and nbconvert pick the widget from a bundle that has one even
    when they cannot draw it. The rule that hides the twin lives in the live widget.
    """
    bundle = live._repr_mimebundle_()
    display({**bundle, "text/plain": f"[{name}: live in JupyterLab]"}, raw=True)
    if twin:
        display({"text/html": twin, "text/plain": said}, raw=True)


class Widget:
    """Base of the course's widgets; see the module's docstring for how to write one.

    `key` tells two widgets of one class apart. Further keyword arguments are first values of the
    controls of those names. Raises ValueError for a name that is no control of this widget, and
    for a value that its control does not take.
    """

    title: str = ""
    beside: bool = False
    column: str = "22em"
    """Whether the picture stands beside the controls; the least width of a control."""

    def __init__(self, key: str = "", **first: Any) -> None:
        self.key = f"{type(self).__name__}-{key}" if key else type(self).__name__
        self._controls = self.controls()
        self._put(first, asked=True)
        self._first = self._read()
        self._put(_STATES.get(self.key, {}))
        self.state: dict[str, Any] = self._read()
        self._live: ipw.VBox | None = None

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """Name -> labelled control, made with `slider`, `number`, `choice`, `tick`. Override."""
        return {}

    def groups(self) -> dict[str, list[str]]:
        """Heading -> names of the controls that belong together. Override if there are several."""
        return {"": list(self._controls)}

    def lead(self) -> str:
        """HTML above the controls, for instance a card that says what to do. Override if needed."""
        return ""

    def extras(self) -> list[ipw.Widget]:
        """Further parts under the controls, for instance a `row` of buttons. Override if needed."""
        return []

    def picture(self) -> str:
        """The picture as HTML, from `self.state`. Override."""
        return ""

    def text(self) -> str:
        """What the picture shows, in words, from `self.state`. Override."""
        raise NotImplementedError(
            f"{type(self).__name__} must say its state in words: write text()"
        )

    def still(self) -> tuple[str, str]:
        """Picture and words of the twin. Override where one moment does not say enough."""
        return self.picture(), self.text()

    @property
    def widget(self) -> ipw.VBox:
        """The live widget (ipywidgets), made when first asked for."""
        if self._live is None:
            self._live = self._build()
        return self._live

    def set(self, **values: Any) -> None:
        """Move controls from code, as the reader's hand would. Raises ValueError as `__init__`."""
        before = self._read()
        try:
            self._put(values, asked=True)
        except ValueError:
            self._put(before)  # all or none
            raise
        self._changed()

    def reset(self) -> None:
        """Put the first values back and forget what was kept."""
        self._put(self._first)
        self._changed()

    def refresh(self) -> None:
        """Draw the picture and the words again, after something but a control has changed."""
        if self._live is not None:
            self._picture.value = self.picture()
            self._status.text = self.text()

    def given(self) -> str:
        """How the controls stand, for the twin. Override where they ask and do not set."""
        controls = self._controls.values()
        settings = "; ".join(f"{control.description}: {_shown(control)}" for control in controls)
        return f"Settings: {settings}" if settings else ""

    def static_html(self) -> str:
        """The twin: title, lead, settings, picture and words as HTML that needs no kernel."""
        head = f"<p><strong>{escape(self.title)}</strong></p>" if self.title else ""
        given = f"<p>{escape(self.given())}</p>" if self.given() else ""
        picture, words = self.still()
        return (
            f'<div class="ir1-twin {self._mark()} {NO_MATHS}" role="group" '
            f'aria-label="{escape(self.title or self.key)}" '
            f'style="background:{PAGE_COLOUR};color:{TEXT_COLOUR}">'
            f"{head}{self.lead()}{given}{as_images(picture)}<p>{escape(words)}</p></div>"
        )

    def _ipython_display_(self) -> None:
        """Show the live widget, and the twin in an output of its own that the live one hides."""
        name = self.title or self.key
        said = f"{name}{'' if name.endswith('?') else '.'} {self.still()[1]}"
        show_live(self.widget, name, self.twin(), said)

    def twin(self) -> str:
        """`static_html()` in the element that the live widget hides."""
        return f'<div id="{escape(self._twin_id())}">{self.static_html()}</div>'

    def _twin_id(self) -> str:
        return "twin-" + "".join(c if c.isalnum() else "-" for c in self.key)

    def _mark(self) -> str:
        """The HTML class by which a page, and a test of it, tells what kind of widget this is."""
        return f"ir1-of-{type(self).__name__}"

    def _build(self) -> ipw.VBox:
        hide = f"<style>#{self._twin_id()} {{ display: none; }}</style>"
        self._picture = ipw.HTML(self.picture())
        self._status = Status(self.text(), _dom_classes=[tours.mark("words")])
        for control in self._controls.values():
            control.observe(lambda _: self._changed(), names="value")
        head = ipw.HTML(f"{hide}<strong>{escape(self.title)}</strong>")
        lead = [ipw.HTML(self.lead())] if self.lead() else []
        extras = self.extras()
        steering = ipw.VBox([*lead, *self._groups(), *extras], _dom_classes=["ir1-controls"])
        shown = ipw.VBox([self._picture, self._status], _dom_classes=["ir1-shown"])
        side = "ir1-beside" if self.beside else "ir1-body"
        body = ipw.VBox([steering, shown], _dom_classes=[side])
        names = ["ir1-frame", self._mark(), f"of-{self._twin_id()}"]
        return ipw.VBox([head, *self._tour(extras), body], _dom_classes=names)

    def _groups(self) -> list[ipw.GridBox]:
        """The controls' groups, side by side where there is room."""
        made = []
        for heading, names in self.groups().items():
            # No more columns than controls: a tour's card, which spans them all, adds none.
            most = max(len(names), 1)
            share = f"calc((100% - {most - 1} * 1.5em) / {most})"
            columns = f"repeat(auto-fit, minmax(max(min(100%, {self.column}), {share}), 1fr))"
            title = [ipw.HTML(f"<strong>{escape(heading)}</strong>")] if heading else []
            inside = [*title, *(self._controls[name] for name in names)]
            look = {"_dom_classes": ["ir1-group" if heading else "ir1-plain"]}
            made.append(ipw.GridBox(inside, layout={"grid_template_columns": columns}, **look))
        return made

    def _tour(self, extras: Iterable[ipw.Widget]) -> list[tours.Tour]:
        """The guided tour of this class, if there is one."""
        targets = {**self._controls, "picture": self._picture, "words": self._status}
        targets |= {found.description: found for found in _buttons(extras)}
        return tours.offer(type(self).__name__, targets, f".of-{self._twin_id()}", self.reset)

    def _changed(self) -> None:
        new = self._read()
        if new == self.state:
            return
        self.state = new
        _STATES[self.key] = dict(new)
        self.refresh()

    def _read(self) -> dict[str, Any]:
        return {name: control.value for name, control in self._controls.items()}

    def _put(self, values: Mapping[str, Any], *, asked: bool = False) -> None:
        """Give controls values; a kept one that a control no longer takes leaves it as it is.

        One that was `asked` for raises ValueError: else the words would be about another.
        """
        unknown = sorted(set(values) - set(self._controls)) if asked else []
        if unknown:
            raise ValueError(
                f"{type(self).__name__} has no control named {', '.join(unknown)}: "
                f"its controls are {', '.join(self._controls) or 'none'}"
            )
        for name, value in values.items():
            control = self._controls.get(name)
            if control is None:
                continue
            good = value == value and not (value is None and isinstance(control, ipw.Dropdown))
            if good:
                with contextlib.suppress(traitlets.TraitError):
                    control.value = value
            if asked and not (good and control.value == value):  # a slider takes its nearest end
                raise ValueError(f"{name} cannot be {value!r:.60}{_allowed(control)}.")

    def _recall(self, kept: Mapping[str, Any]) -> None:
        """Show what was kept of an earlier session, unless the reader has set something here."""
        if self.state == self._first:
            self._put(kept)
            self.state = self._read()


def _allowed(control: ipw.ValueWidget) -> str:
    """What a control can be, where that is one of a few, or lies between two ends."""
    if hasattr(control, "max"):
        whole = ", whole" if isinstance(control.max, int) else ""
        return f"; allowed is {control.min:g} to {control.max:g}{whole}"
    options = getattr(control, "options", ())
    values = [repr(one[-1] if isinstance(one, tuple) else one) for one in options]
    return f"; allowed are {', '.join(values)}" if values else ""


def _buttons(parts: Iterable[ipw.Widget]) -> list[ipw.Button]:
    """The buttons among some parts and within them."""
    found: list[ipw.Button] = []
    for part in parts:
        found += [part] if isinstance(part, ipw.Button) else _buttons(getattr(part, "children", ()))
    return found


def _shown(control: ipw.ValueWidget) -> str:
    """A control's value as the reader sees it: for a list, the label chosen."""
    if isinstance(control, ipw.Checkbox):
        return "yes" if control.value else "no"
    if control.value is None or control.value == "":
        return "none yet"
    return str(getattr(control, "label", control.value))
