"""What a teacher needs of a lesson, read from its notebook: sections, cells, predictions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from course_lib.runtime import ROOT

_ASKED = re.compile(r"(\w+)\s*=\s*predict\(\s*\"([\w.]+)\",\s*(\"(?:[^\"\\]|\\.)*\")", re.DOTALL)
_COMPARED = re.compile(r"(\w+)\.compare\(")
_CAME = re.compile(r"it came to (.+?)(?:\.\s|\.$|$)", re.MULTILINE)


@dataclass
class Predicted:
    """A prediction that a lesson asks for: in which cell, its words, and what came of it."""

    cell: int | None
    prompt: str
    came: str = ""


@dataclass
class Section:
    """A section of a notebook: its heading, the numbers of its code cells, its predictions."""

    heading: str
    cells: list[int] = field(default_factory=list)
    predictions: list[Predicted] = field(default_factory=list)

    @property
    def range(self) -> str:
        """ "[5] to [9]", as JupyterLab shows the numbers."""
        if not self.cells:
            return "no code"
        first, last = self.cells[0], self.cells[-1]
        return f"[{first}]" if first == last else f"[{first}] to [{last}]"


@cache
def sections(notebook: str, folder: Path = ROOT / "notebooks") -> list[Section]:
    """The sections of a lesson in order, the first of them what stands before any heading."""
    cells = json.loads((folder / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    found = [Section("")]
    asked: dict[str, Predicted] = {}
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            _read_text(source, found)
        elif cell["cell_type"] == "code":
            _read_code(cell, source, found[-1], asked)
    return found


def _read_text(source: str, found: list[Section]) -> None:
    """Headings of the second level begin a section; words tell predictions without a widget."""
    for block in re.split(r"\n\s*\n", source):
        if heading := re.match(r"## (.+)", block):
            found.append(Section(heading[1].strip()))
        elif block.startswith("**Predict"):
            prompt = re.sub(r"^\*\*Predict\.?\*\*\.?", "", block).strip()
            found[-1].predictions.append(Predicted(None, _flat(prompt)))
        elif block.startswith("**You should see") and found[-1].predictions:
            last = found[-1].predictions[-1]
            last.came = last.came or _flat(re.sub(r"^\*\*[^*]*\*\*", "", block).strip(" .:"))


def _read_code(
    cell: dict[str, Any], source: str, section: Section, asked: dict[str, Predicted]
) -> None:
    number = cell.get("execution_count")
    if isinstance(number, int):
        section.cells.append(number)
    for variable, _, prompt in _ASKED.findall(source):
        one = Predicted(number, json.loads(prompt))
        if section.predictions and section.predictions[-1].cell is None:
            section.predictions[-1] = one  # the words above it announce this one
        else:
            section.predictions.append(one)
        asked[variable] = one
    came = _CAME.findall(_printed(cell))
    for variable, said in zip(_COMPARED.findall(source), came, strict=False):
        if variable in asked:
            asked[variable].came = said


def _printed(cell: dict[str, Any]) -> str:
    return "".join(
        "".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"
    )


def _flat(text: str) -> str:
    return " ".join(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).split())
