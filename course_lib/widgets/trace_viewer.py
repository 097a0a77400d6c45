"""The trace viewer: a trace coloured, counted, folded, walked through, and followed as it comes."""

import time
from typing import Any

import ipywidgets as ipw

from course_lib.local.engines.base import Stream
from course_lib.local.trace_html import describe, render
from course_lib.task.puzzles import Puzzle
from course_lib.task.traces import Step, label_steps
from course_lib.widgets.base import Widget, slider, tick

_PAUSE = 0.1  # seconds between drawings: a stream of any speed is drawn ten times a second


class TraceViewer(Widget):
    """Shows the trace `text`; with a `puzzle` the course's working is read exactly.

    `follow(stream)` shows an engine's answer as it comes. `prefilled` says that the prompt had
    opened the thought, as some of R1's templates do; `budget` is the most tokens there are.
    """

    title = "Trace viewer"

    def __init__(
        self,
        text: str = "",
        puzzle: Puzzle | None = None,
        *,
        key: str = "",
        prefilled: bool = False,
        budget: int | None = None,
        **first: Any,
    ) -> None:
        self.trace, self.puzzle, self.prefilled, self.budget = text, puzzle, prefilled, budget
        self.tokens: int | None = None
        super().__init__(key, **first)

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """Fold the thinking away; jump to a step (0 points at none)."""
        steps = max(1, len(self.steps()))
        return {"fold": tick("Hide the thinking"), "step": slider("Jump to step", 0, steps, 0)}

    def steps(self) -> list[Step]:
        """The steps of the trace so far."""
        return label_steps(self.trace, self.puzzle, prefilled=self.prefilled)

    def follow(self, stream: Stream) -> str:
        """Show the answer as it comes, ten times a second; returns its text."""
        self.prefilled, drawn = stream.prefilled, 0.0
        for count, _ in enumerate(stream, 1):
            self.tokens = count
            if time.perf_counter() - drawn > _PAUSE:
                self.trace = stream.text
                self.refresh()
                drawn = time.perf_counter()
        self.trace, self.prefilled = stream.text, stream.prefilled  # known now, if not before
        if stream.summary:
            self.tokens = stream.summary.completion_tokens
        self._controls["step"].max = max(1, len(self.steps()))
        self.refresh()
        return self.trace

    def picture(self) -> str:
        """The trace with its steps marked."""
        if not self.trace:
            return "<p>Nothing has come yet.</p>"
        how = {"fold": self.state["fold"], "focus": self.state["step"]}
        return render(self.trace, self.puzzle, prefilled=self.prefilled, **how)

    def text(self) -> str:
        """The counts, and what the chosen step is."""
        spent = {"tokens": self.tokens, "budget": self.budget}
        counted = describe(self.trace, self.puzzle, prefilled=self.prefilled, **spent)
        steps = self.steps()
        if not 0 < self.state["step"] <= len(steps):
            return counted
        step = steps[self.state["step"] - 1]
        kinds = " and ".join(step.labels) or "working"
        said = f"Step {self.state['step']} of {len(steps)} ({kinds}): "
        return f"{counted} {said}{self.trace[step.start : step.end]} {step.note}".rstrip()
