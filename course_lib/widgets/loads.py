"""The load of every expert over a training: a film to play, to stop, or to move by hand."""

from __future__ import annotations

from collections.abc import Sequence

import anywidget
import ipywidgets as ipw
import traitlets

from course_lib.moe.training import Run
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
        model.set("value", model.get("value") + 1);
        model.save_changes();
      };
      button.type = "button";
      button.className = "jupyter-button";
      button.onclick = () => {
        if (timer) return stop();
        if (model.get("value") >= model.get("high")) model.set("value", model.get("low"));
        timer = setInterval(go, 150);
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


class LoadFilm(Widget):
    """Loads of `runs` (`moe.training.Run`), of one layer, at one moment: bars, 1 is an even share.

    Nothing moves until Play is pressed. Who has asked the system for less motion gets no Play; the
    slider shows the same pictures.
    """

    title = "What every expert gets, over training"

    def __init__(self, runs: Sequence[Run], key: str = "", **first: object) -> None:
        self.runs = list(runs)
        self.most = max(float(run.loads.max()) for run in self.runs)
        super().__init__(key, **first)

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """The moment, and the layer."""
        steps = min(len(run.loads) for run in self.runs)
        layers = self.runs[0].loads.shape[1]
        return {
            "step": slider("Training step", WINDOW, steps, WINDOW),
            "layer": choice("Layer", {f"layer {i + 1}": i for i in range(layers)}),
        }

    def lead(self) -> str:
        """The rule that takes Play away where less motion is wanted."""
        return "<style>@media (prefers-reduced-motion: reduce) {.ir1-play {display: none}}</style>"

    def extras(self) -> list[ipw.Widget]:
        """Play and stop, tied to the slider in the page."""
        step = self._controls["step"]
        play = _Play(value=step.value, low=step.min, high=step.max)
        play.add_class("ir1-play")
        self._link = ipw.jslink((play, "value"), (step, "value"))
        return [play]

    def loads(self) -> dict[str, list[float]]:
        """Each run's loads in the steps up to the moment, largest first."""
        step, layer = self.state["step"], self.state["layer"]
        return {
            run.name: sorted(run.loads[step - WINDOW : step, layer].mean(0).tolist(), reverse=True)
            for run in self.runs
        }

    def picture(self) -> str:
        """For each run a bar for every expert, busiest first, on one scale throughout."""
        shown = (
            svg.bars(
                f"{name}: load over an even share",
                {f"{i + 1}.": load for i, load in enumerate(loads)},
                most=self.most,
            )
            for name, loads in self.loads().items()
        )
        side = "".join(f'<div style="flex:1 1 20em">{one}</div>' for one in shown)
        return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{side}</div>'

    def text(self) -> str:
        """The busiest, the idlest and how many are nearly idle, for each run."""
        said = [
            f"{name}: busiest {loads[0]:.2f} times an even share, idlest {loads[-1]:.2f}, "
            f"{sum(load < 0.1 for load in loads)} of {len(loads)} below a tenth"
            for name, loads in self.loads().items()
        ]
        return f"At step {self.state['step']}. {'; '.join(said)}."
