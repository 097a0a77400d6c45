"""What a teacher needs of a lesson, read from its notebook: sections, predictions, figures."""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from course_lib.runtime import ROOT

_PLOTLY = "application/vnd.plotly.v1+json"
_ASKED = re.compile(r"(\w+)\s*=\s*predict\(\s*\"([\w.]+)\",\s*(\"(?:[^\"\\]|\\.)*\")", re.DOTALL)
_FOLD = re.compile(r"<details><summary>((?:What you|You) should see)</summary>\s*(?:… )?")
_SEEN = re.compile(r"(?:- )?\*\*(?:What you|You) should see\W*\*\*[.:\s]*(.+)", re.DOTALL)
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
    """A section of a notebook: its heading, how it opens, the numbers of its code cells, its
    predictions, its figures as (JSON, words), and what it says there is to see."""

    heading: str
    opening: str = ""
    cells: list[int] = field(default_factory=list)
    predictions: list[Predicted] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    @property
    def points(self) -> list[str]:
        """What to say about it, in the lesson's own words."""
        return self.seen or [self.opening] * bool(self.opening)

    @property
    def range(self) -> str:
        """ "[5] to [9]", as JupyterLab shows the numbers."""
        if not self.cells:
            return "no code"
        first, last = self.cells[0], self.cells[-1]
        return f"[{first}]" if first == last else f"[{first}] to [{last}]"


@cache
def sections(notebook: str, folder: Path = ROOT / "notebooks") -> list[Section]:
    """The sections of a lesson in order, the first of them its title and what stands below it."""
    cells = json.loads((folder / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    found = [Section("".join(cells[0]["source"]).splitlines()[0].lstrip("# "))]
    asked: dict[str, Predicted] = {}
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            _read_text(source, found)
        elif cell["cell_type"] == "code":
            _read_code(cell, source, found[-1], asked)
            _read_figures(cell["outputs"], found[-1])
    return found


def _read_text(source: str, found: list[Section]) -> None:
    """Headings of the second level begin a section; words tell predictions without a widget."""
    source = _FOLD.sub(r"**\1** ", source)
    for block in re.split(r"\n\s*\n", source):
        if heading := re.match(r"## (.+)", block):
            found.append(Section(heading[1].strip()))
        elif block.startswith("**Predict"):
            prompt = re.sub(r"^\*\*Predict\.?\*\*\.?", "", block).strip()
            found[-1].predictions.append(Predicted(None, _flat(prompt)))
        elif seen := _SEEN.match(block):
            _should_see(_flat(seen[1]), found[-1])
        elif not found[-1].opening and re.match(r"[A-Z*`]", block):
            found[-1].opening = first_sentences(_flat(block))


def _should_see(told: str, section: Section) -> None:
    """What there is to see is a point to make, and the answer to a prediction that has no other."""
    if section.predictions:
        last = section.predictions[-1]
        last.came = last.came or told.strip(" .:")
    begins = "You should see" + ":" * (not told.startswith("that ")) + " "
    begins = begins if told[:1].islower() else ""
    section.seen.append(begins + first_sentences(told))


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


def _read_figures(outputs: list[dict[str, Any]], section: Section) -> None:
    """Each figure with the words that are printed after it; one without words is left out."""
    drawn = ""
    for output in outputs:
        if _PLOTLY in output.get("data", {}):
            drawn = json.dumps(output["data"][_PLOTLY]).replace("<", "\\u003c")
        elif drawn and output["output_type"] == "stream":
            section.figures.append((drawn, " ".join("".join(output["text"]).split())[:500]))
            drawn = ""


def _printed(cell: dict[str, Any]) -> str:
    return "".join(
        "".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"
    )


def _flat(text: str) -> str:
    """Words without comments, links, emphasis and how long a section takes."""
    bare = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    bare = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", bare)
    bare = re.sub(r"\*Core path[^*]*\*", "", bare)
    bare = re.sub(r"\*\*|`|\*(?=\w[^*]*\*)|(?<=[\w.,?!])\*(?!\w)", "", bare)
    return " ".join(bare.split())


def first_sentences(text: str, longest: int = 240) -> str:
    """As many whole sentences of `text` as are short enough to be said; at least one."""
    sentences = re.split(r"(?<=[.?!:)]) (?=[A-Z0-9])", text)
    while len(sentences) > 1 and sentences[-1].endswith(":"):  # it announces what is not said
        sentences.pop()
    kept = sentences[0]
    for one in sentences[1:]:
        if len(kept) + len(one) >= longest:
            break
        kept += f" {one}"
    return kept
