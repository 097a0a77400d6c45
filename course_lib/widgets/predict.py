"""A prediction before a run: typed or clicked, kept, and compared once the run is there.

    from course_lib.widgets.predict import predict
    wide = predict("01.interval", "How wide is it?", unit="points")   # a cell of its own:
    wide                                                              # type a number
    wide.compare(27.9)                                                # after the run

Without a front end nothing is typed, and `compare` says so and goes on.
"""

from collections.abc import Sequence

import ipywidgets as ipw

from course_lib.checklist import predictions
from course_lib.show.theme import card
from course_lib.widgets import base


class Guess(base.Widget):
    """The question, a box for a number in `unit` or one button for each of `options`.

    `name` is the prediction's name in the learner's progress, lesson first: "01.interval". Raises
    ValueError unless there is either a unit ("" for a bare number) or two options or more.
    """

    title = "Predict"

    def __init__(
        self, name: str, prompt: str, options: Sequence[str] = (), unit: str | None = None
    ) -> None:
        if (unit is not None) == bool(options) or len(options) == 1:
            raise ValueError("ask for a number, with its unit, or give two options or more")
        self.name, self.prompt, self.options, self.unit = name, prompt, list(options), unit or ""
        super().__init__(name)
        self._recall({"answer": predictions.kept(name)})

    def controls(self) -> dict[str, ipw.ValueWidget]:
        said = f"I predict ({self.unit})" if self.unit else "I predict"
        if self.options:
            return {"answer": base.radio(said, self.options)}
        return {"answer": base.line(said, continuous_update=False)}

    def lead(self) -> str:
        return card("question", self.prompt, "")

    def given(self) -> str:
        """What there is to choose from: without a kernel it is seen only here."""
        if self.options:
            return f"One of: {' · '.join(self.options)}."
        return f"A number ({self.unit})." if self.unit else "A number."

    def text(self) -> str:
        answer = self.state["answer"]
        if not answer:
            return "No prediction yet: make one before you see what comes next."
        return f"You predict: {answer} {self.unit}".strip() + ". Now run the next cell."

    def compare(self, came: float | str, near: float = predictions.NEAR) -> None:
        """Print what was predicted beside what came, and keep both.

        `came` is a number in the unit asked for, or one of the options; a number is called near
        within the share `near` of it. Raises ValueError for another option.
        """
        if self.options and came not in self.options:
            raise ValueError(f"{came!r} is none of the options {', '.join(self.options)}")
        answer = self.state["answer"] or ""
        verdict = predictions.compare(answer, came, self.unit, near)
        notice = predictions.keep(self.name, self.prompt, answer, verdict) if answer else ""
        print(f"{verdict.reply} {notice}".strip())

    def _changed(self) -> None:
        before = self.state
        super()._changed()
        if self.state != before and self.state["answer"]:
            predictions.keep(self.name, self.prompt, self.state["answer"])


predict = Guess
