"""A run of R1-Zero while it runs: small pictures and one sentence that grow with each step."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets as ipw
from IPython.display import DisplayHandle, display

from course_lib.model import checkpoints
from course_lib.rl.zero_plots import PANELS, growth_words, values
from course_lib.show import svg
from course_lib.widgets import tours
from course_lib.widgets.base import Widget, show_live

_HIGHEST = {"thinking_tokens": 60.0, "attempts": 8.0}  # the others reach from 0 to 1


class LiveRun(Widget):
    """Put it on the page first, then give it each line that `zero.run` yields.

        picture = LiveRun(steps=60, folder="../runs/zero")
        display(picture)
        for line in zero.run("../runs/zero", config):
            picture.add(line)

    It starts with what the folder's log already holds. Unlike the other widgets it has no controls
    and needs no reply from the page, so one output is drawn again and again (at most once in
    `every` seconds, and wherever accuracy was measured), and what is saved is its last state.
    """

    def __init__(
        self,
        key: str = "",
        *,
        steps: int,
        folder: str | Path | None = None,
        every: float = 1.0,
        title: str = "R1-Zero, live",
    ) -> None:
        super().__init__(key)
        self.title = title
        self.steps = steps
        self.every = every
        self.lines: list[Mapping[str, Any]] = []
        if folder is not None:
            self.lines += checkpoints.read_log(Path(folder) / "metrics.jsonl")
        self._handle: DisplayHandle | None = None
        self._drawn = -math.inf

    def add(self, line: Mapping[str, Any]) -> None:
        """Take the next step's line; lines of that step and after it are replaced."""
        self.lines = [x for x in self.lines if x["step"] < line["step"]] + [line]
        due = time.monotonic() - self._drawn >= self.every
        if due or "accuracy" in line or line["step"] >= self.steps:
            self.refresh()

    def refresh(self) -> None:
        """Draw the page's copy again."""
        if self._handle is not None:
            self._handle.update(self._bundle(), raw=True)
            self._drawn = time.monotonic()

    def picture(self) -> str:
        """The pictures, two in a row where there is room; a bar of progress above them."""
        panels = "".join(
            f'<div style="flex:1 1 40%;min-width:min(100%,280px)">{self._panel(name)}</div>'
            for name in PANELS
        )
        done = self._step()
        bar = (
            f'<progress max="{self.steps}" value="{done}" aria-label="Steps done" '
            f'style="width:100%;max-width:40em"></progress> step {done} of {self.steps}'
        )
        row = "display:flex;flex-wrap:wrap;gap:8px;max-width:1100px"
        inside = f'<div class="ir1-at-picture" style="{row}">{panels}</div>'
        return f'<p>{bar}</p><div class="of-{self._twin_id()}">{inside}</div>'

    def text(self) -> str:
        """The first and the last value of each picture."""
        if not self.lines:
            return "Nothing has been measured yet."
        return f"After step {self._step()} of {self.steps}. {growth_words(self.lines)}"

    def _step(self) -> int:
        return int(self.lines[-1]["step"]) if self.lines else 0

    def _panel(self, name: str) -> str:
        steps, numbers = values(self.lines, name)
        if not steps:
            return ""
        top = max([_HIGHEST.get(name, 1.0), *numbers])
        series = {PANELS[name]: numbers}
        return svg.lines(PANELS[name], steps, series, "step", y_range=(0.0, top))

    def _bundle(self) -> dict[str, str]:
        return {"text/html": self.static_html(), "text/plain": f"{self.title}. {self.text()}"}

    def _build(self) -> ipw.VBox:
        """The tour alone: a live widget's picture waits while a cell runs, the page's copy not."""
        tour = tours.offer("LiveRun", {}, f".of-{self._twin_id()}")
        return ipw.VBox(tour, _dom_classes=["ir1-frame", self._mark()])

    def _ipython_display_(self) -> None:
        show_live(self.widget, f"A tour of {self.title}", "", "")
        self._handle = display(self._bundle(), raw=True, display_id=True)
