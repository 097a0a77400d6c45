"""Films of a training: to play, to stop, or to move by hand."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import ipywidgets as ipw
import traitlets

from course_lib.errors import CourseError
from course_lib.moe.training import Run
from course_lib.rl import zero_plots
from course_lib.rl.answers import NONE
from course_lib.show import svg
from course_lib.widgets.base import Widget, choice, slider

WINDOW = 5  # steps that a picture takes together


class _Play(anywidget.AnyWidget):
    """One button with a name (ipywidgets' own have none): Play, and Stop while it runs."""

    _esm = """
    export default { render({ model, el }) {
      const button = document.createElement("button");
      let timer = null;
      const say = () => { button.textContent = timer ? "Stop" : "Play the training"; };
      const stop = () => { clearInterval(timer); timer = null; say(); };
      const go = () => {
        if (model.get("value") >= model.get("high")) return stop();
        model.set("value", model.get("value") + model.get("by"));
        model.save_changes();
      };
      button.type = "button";
      button.className = "jupyter-button";
      button.onclick = () => {
        if (timer) return stop();
        if (model.get("value") >= model.get("high")) model.set("value", model.get("low"));
        timer = setInterval(go, model.get("every"));
        say();
      };
      say();
      el.append(button);
      return stop;
    } };
    """
    value = traitlets.Int().tag(sync=True)
    low = traitlets.Int().tag(sync=True)
    high = traitlets.Int().tag(sync=True)
    by = traitlets.Int(1).tag(sync=True)
    every = traitlets.Int(150).tag(sync=True)  # milliseconds


class Film(Widget, ABC):
    """A picture for every moment of a training, from step `steps[0]` to `steps[-1]`.

    Nothing moves until Play is pressed. Who has asked the system for less motion gets no Play; the
    slider shows the same pictures. The still, for print, is the first moment beside the last.
    """

    steps: range
    stills = 2  # pictures of the twin; one where the last holds the first

    @abstractmethod
    def frame(self, step: int) -> list[str]:
        """The pictures of a moment, on scales that stay."""

    @abstractmethod
    def said(self, step: int) -> str:
        """The same in words."""

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """The moment."""
        low, high = self.steps[0], self.steps[-1]
        return {"step": slider("Training step", low, high, low, step=self.steps.step)}

    def lead(self) -> str:
        """The rule that takes Play away where less motion is wanted."""
        return "<style>@media (prefers-reduced-motion: reduce) {.ir1-play {display: none}}</style>"

    def extras(self) -> list[ipw.Widget]:
        """Play and stop, tied to the slider in the page."""
        step = self._controls["step"]
        ends = {"value": step.value, "low": step.min, "high": step.max, "by": step.step}
        every = max(150, 6000 // len(self.steps))
        play = _Play(**ends, every=every, _dom_classes=["ir1-play"])
        self._link = ipw.jslink((play, "value"), (step, "value"))
        return [play]

    def picture(self) -> str:
        """The moment's pictures side by side."""
        return svg.beside(self.frame(self.state["step"]))

    def text(self) -> str:
        """The moment in words."""
        return self.said(self.state["step"])

    def still(self) -> tuple[str, str]:
        """The first moment and the last."""
        ends = self.steps[0], self.steps[-1]
        shown = [one for step in ends[-self.stills :] for one in self.frame(step)]
        return svg.beside(shown), " ".join(self.said(step) for step in ends)


class LoadFilm(Film):
    """Loads of `runs` (`moe.training.Run`) in one layer at a moment; 1 is an even share."""

    title = "What every expert gets, over training"

    def __init__(self, runs: Sequence[Run], key: str = "", **first: Any) -> None:
        self.runs = list(runs)
        self.most = max(float(run.loads.max()) for run in self.runs)
        self.steps = range(WINDOW, min(len(run.loads) for run in self.runs) + 1)
        super().__init__(key, **first)

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """The moment, and the layer."""
        layers = self.runs[0].loads.shape[1]
        named = {f"layer {i + 1}": i for i in range(layers)}
        return super().controls() | {"layer": choice("Layer", named)}

    def loads(self, step: int) -> dict[str, list[float]]:
        """Each run's loads in the steps up to the moment, largest first."""
        layer = self.state["layer"]
        return {
            run.name: sorted(run.loads[step - WINDOW : step, layer].mean(0).tolist(), reverse=True)
            for run in self.runs
        }

    def frame(self, step: int) -> list[str]:
        """For each run a bar for every expert, busiest first."""
        return [
            svg.bars(
                f"{name}, step {step}: load over an even share",
                {f"{i + 1}.": load for i, load in enumerate(loads)},
                most=self.most,
                width=svg.NARROW,
            )
            for name, loads in self.loads(step).items()
        ]

    def said(self, step: int) -> str:
        """The busiest, the idlest and how many are nearly idle, for each run."""
        said = [
            f"{name}: busiest {loads[0]:.2f} times an even share, idlest {loads[-1]:.2f}, "
            f"{sum(load < 0.1 for load in loads)} of {len(loads)} below a tenth"
            for name, loads in self.loads(step).items()
        ]
        return f"At step {step}. {'; '.join(said)}."


class GrowthFilm(Film):
    """Right answers and thinking of a run of R1-Zero, growing step by step: its log's `lines`.

    Raises CourseError for a log in which no step was taken.
    """

    title = "Right answers and thought, step by step"
    stills = 1
    names = ("reward", "thinking_tokens")

    def __init__(self, lines: zero_plots.Lines, key: str = "", **first: Any) -> None:
        taken, _ = zero_plots.values(lines, "reward")
        if not taken:
            raise CourseError("This run has taken no step yet, so there is nothing to play.")
        self.lines = list(lines)
        self.steps = range(taken[0], lines[-1]["step"] + 1)
        super().__init__(key, **first)

    def _values(self, name: str, step: int) -> tuple[list[int], list[float]]:
        until = [line for line in self.lines if line["step"] <= step]
        steps, numbers = zero_plots.values(until, name)
        return steps, zero_plots.smooth(numbers)

    def frame(self, step: int) -> list[str]:
        """The two curves up to the moment, as means over five steps."""
        shown = []
        for name in self.names:
            top = max(1.0, *self._values(name, self.steps[-1])[1])
            scales = (0.0, top), (0, self.steps[-1])
            steps, numbers = self._values(name, step)
            title = zero_plots.PANELS[name]
            series = {title: numbers}
            shown.append(svg.lines(title, steps, series, "step", "", *scales, svg.NARROW))
        return shown

    def said(self, step: int) -> str:
        """Both values, and accuracy where it was last measured."""
        reward, thinking = (self._values(name, step)[1][-1] for name in self.names)
        tried = [line for line in self.lines if "accuracy" in line and line["step"] <= step]
        said = f"At step {step}, {reward:.0%} of the training answers are right, after "
        said += f"{thinking:.1f} tokens of thinking."
        if not tried:
            return said
        last = tried[-1]
        return f"{said} On held-out puzzles it was {last['accuracy']:.0%} at step {last['step']}."


class AnswersFilm(Film):
    """What is answered to one puzzle while a model is trained: a record of `rl.answers`."""

    title = "The answers to one puzzle, over training"

    def __init__(self, record: Mapping[str, Any], key: str = "", **first: Any) -> None:
        self.record = record
        self.at = {moment["step"]: moment["answers"] for moment in record["moments"]}
        steps = list(self.at)
        apart = steps[1] - steps[0] if len(steps) > 1 else 1
        self.steps = range(steps[0], steps[-1] + 1, apart)
        super().__init__(key, **first)

    def moment(self, step: int) -> int:
        """The last one recorded until a step: what is typed beside the slider may be between."""
        return max(at for at in self.at if at <= step)

    def shares(self, step: int) -> dict[str, int]:
        """Each answer's share at a moment, in percent; the right one is marked."""
        right = self.record["solution"]
        return {
            f"{way}{' (right)' if way == right else ''}": round(
                100 * count / self.record["samples"]
            )
            for way, count in self.at[self.moment(step)].items()
        }

    def frame(self, step: int) -> list[str]:
        """A bar for each way to set the signs, and one for no answer."""
        title = f"{self.record['puzzle']}, answers at step {self.moment(step)}"
        return [svg.bars(title, self.shares(step), "%", most=100, width=svg.NARROW)]

    def said(self, step: int) -> str:
        """The right answer's share, the most frequent wrong one's, and how many are none."""
        shares = self.shares(step)
        right = next(name for name in shares if name.endswith("(right)"))
        wrong = max((n for n in shares if n not in (right, NONE)), key=shares.__getitem__)
        return (
            f"At step {self.moment(step)} of {self.record['samples']} answers {shares[right]}% are "
            f"right ({self.record['solution']}); the most frequent wrong one is {wrong}, "
            f"{shares[wrong]}%; {shares[NONE]}% are none."
        )
