"""The mini-R1 in a notebook: the page's explorer on checkpoints of the learner's own."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as ipw
import traitlets
from markupsafe import Markup

from course_lib.errors import CourseError
from course_lib.show import tables
from course_lib.task import puzzles
from course_lib.widgets.base import Widget
from course_lib.widgets.live import export, greedy, script


class _Page(anywidget.AnyWidget):
    """What the browser gets: the script, its style, and for each model a header and its weights."""

    _esm = script.as_module("widget.js")
    _css = script.HERE / "live.css"
    models: "traitlets.List[Any]" = traitlets.List().tag(sync=True)
    puzzle = traitlets.Unicode().tag(sync=True)


class Explorer(Widget):
    """Watch models answer, a token at a time, and take any token apart; up to some MB a model.

    `folders` is label -> model folder, for example `{"Before": models.shipped("mini-v3-base"),
    "After": run.checkpoint}`; `puzzle` the one it opens with. Its twin has each model's likeliest
    answer. Raises CourseError for no folder, for one that holds no such model (see `export.pack`),
    and for what is no puzzle.
    """

    title = "Watch it think"

    def __init__(
        self, folders: Mapping[str, str | Path], puzzle: str = "7 ? 3 ? 5 ? 2 = 11"
    ) -> None:
        if not folders:
            raise CourseError("The explorer needs a model: give {label: folder} with one or more.")
        try:
            self.puzzle = puzzles.parse(puzzle)
        except ValueError as error:
            raise CourseError(str(error)) from error
        self.folders = {label: Path(folder) for label, folder in folders.items()}
        self._packed = {label: export.pack(path, label) for label, path in self.folders.items()}
        super().__init__("-".join(folders))

    def extras(self) -> list[ipw.Widget]:
        """The explorer itself."""
        offers = []
        for label, (header, weights) in self._packed.items():
            about = f"{header['parameters'] / 1e6:.1f} million parameters"
            offer = {"label": label, "about": about, "header": header, "weights": weights}
            offers.append(offer)
        return [_Page(models=offers, puzzle=str(self.puzzle))]

    def picture(self) -> str:
        """Each model's likeliest answer, as a table."""
        rows = [
            (found.label, Markup("<code>{}</code>").format(found.text), found.verdict)
            for found in self.answers
        ]
        caption = f"The likeliest answers to {self.puzzle}"
        return tables.html(caption, ("model", "answer", "verdict"), rows)

    def text(self) -> str:
        """Each model's likeliest answer, in words."""
        said = [
            f"{one.label} takes {one.tokens} token{'s' * (one.tokens != 1)} and is {one.verdict}"
            for one in self.answers
        ]
        return f"{self.puzzle}: {'; '.join(said)}."

    @cached_property
    def answers(self) -> list[greedy.Greedy]:
        """What each model answers when it always takes its likeliest token."""
        return greedy.answers(self.folders, self.puzzle)
