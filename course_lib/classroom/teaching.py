"""`python -m course_lib teach`: what a teacher takes into the room, made from the course itself.

For each plan of `plans.toml` a script by the minute, with cell numbers and expected answers; an
answer key; a handout for the class; slides from the lessons' pictures. Numbers come from the
executed notebooks and the ledger, so nothing here can grow old by itself. Pages fetch nothing from
any server; the handout is printed to PDF where a Chromium is there.
"""

import argparse
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import plotly

from course_lib.checklist.quiz import Ask, Choice, Number, Order, say
from course_lib.classroom import form
from course_lib.classroom.checks import catalogue
from course_lib.classroom.lessons_read import Section, sections
from course_lib.classroom.pages import page, written
from course_lib.errors import CourseError
from course_lib.runtime import ROOT, new_folder
from course_lib.show import printing

_LESSONS = (
    "01_cost_reset", "02_mixture_of_experts", "03a_rl_from_zero", "03_r1_zero",
    "03c_what_made_it_grow", "04_r1_pipeline", "05_distillation", "06_local_inference",
    "09_a_real_language_model", "07_your_data_your_limits",
)  # fmt: skip
_DRAWS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
_PICTURES = 3  # of a lesson, on the slides


@dataclass(frozen=True)
class Answered:
    """A question of the form with what is right, and why."""

    name: str
    title: str
    prompt: str
    right: str
    why: str


@cache
def plans() -> dict[str, Any]:
    """The plans and the gallery of failures, as written in `plans.toml`."""
    text = (Path(__file__).parent / "plans.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def of_step(step: dict[str, Any]) -> list[Section]:
    """The sections that a step goes through. Raises CourseError for one that is not there."""
    found = {one.heading.split()[0].rstrip("."): one for one in sections(step["notebook"])}
    missing = [name for name in step["sections"] if name.rstrip(".") not in found]
    if missing:
        raise CourseError(f"{step['notebook']} has no section {', '.join(missing)}.")
    return [found[name.rstrip(".")] for name in step["sections"]]


def minutes(step: dict[str, Any], parts: Sequence[Section]) -> list[int]:
    """At which minute each section begins: a step's time divided by cells and predictions."""
    begin, end = step["minutes"]
    weights = [1 + len(part.cells) + 3 * len(part.predictions) for part in parts]
    before = [sum(weights[:place]) for place in range(len(parts))]
    return [begin + round((end - begin) * one / sum(weights)) for one in before]


def clock(plan: dict[str, Any], minute: int) -> str:
    """A minute as it is read in the room: of the plan, or of a day that begins at an hour."""
    if "begins" not in plan:
        return str(minute)
    day, since = divmod(minute, plan["a_day"])
    hour, rest = divmod(plan["begins"] + since, 60)
    return f"day {day + 1}, {hour}:{rest:02}"


def answered(phase: str) -> list[Answered]:
    """The questions of a phase with what is right."""
    found = []
    for name, way in form.asked(phase).items():
        question = form.checklist()[name.partition(".")[0]]
        state = question.state()
        right, why = _right(way, state)
        found.append(Answered(name, question.title, way.prompt, right, why))
    return found


def _right(way: Ask, state: Any) -> tuple[str, str]:
    if isinstance(way, Number):
        return f"{way.right(state):.4g} {way.unit}", say(way.reply, state)
    if isinstance(way, Choice):
        option = way.options[way.right(state)]
        return option.text, say(option.reply, state)
    assert isinstance(way, Order)
    return "; ".join(way.items[key] for key in way.right(state)), say(way.reply, state)


def pages() -> dict[str, str]:
    """Every page by its file name."""
    told = plans()
    common = {"failures": told["failure"], "install_fails": told["install_fails"]}
    made = {}
    for plan in told["plan"]:
        steps = [
            (step, _timed(plan, step), [catalogue.get(name) for name in step.get("exercises", ())])
            for step in plan["step"]
        ]
        script = page("script", plan=plan, steps=steps, at=partial(clock, plan), **common)
        made[f"script_{plan['name']}.html"] = script
    lessons = [(name, [one for one in sections(name) if one.predictions]) for name in _LESSONS]
    phases = {phase: answered(phase) for phase in form.PHASES}
    groups = [(lesson, catalogue.of_lesson(lesson)) for lesson in catalogue.LESSONS]
    made["answer_key.html"] = page("key", lessons=lessons, phases=phases, groups=groups)
    by_title = groupby(phases["before"], attrgetter("title"))
    made["handout.html"] = page("handout", answers={title: list(some) for title, some in by_title})
    made["slides.html"] = page("slides", lessons=[_slides(name) for name in _LESSONS])
    return made


def _timed(plan: dict[str, Any], step: dict[str, Any]) -> list[tuple[str, Section]]:
    parts = of_step(step)
    times = minutes(step, parts)
    return [(clock(plan, time), part) for time, part in zip(times, parts, strict=True)]


def _slides(notebook: str) -> tuple[str, str, list[tuple[str, str, str]]]:
    """A lesson's file, its title, and (section, figure as JSON, words) of its first figures."""
    parts = sections(notebook)
    drawn = [(part.heading, *figure) for part in parts for figure in part.figures]
    return notebook, parts[0].heading, drawn[:_PICTURES]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Raises CourseError where it cannot write."""
    parser = argparse.ArgumentParser(prog="python -m course_lib teach", description=__doc__)
    parser.add_argument("--out", type=new_folder, required=True, help="folder for the pages")
    args = parser.parse_args(argv)
    if not (ROOT / "notebooks").is_dir():
        raise CourseError(
            f"There are no notebooks in {ROOT}, and this reads them: the package alone lacks them. "
            "Give the command in the course's own folder."
        )
    # The slides' figures are live, without a network.
    draws = {_DRAWS.name: _DRAWS.read_text(encoding="utf-8")}
    *made, _ = written(pages() | draws, args.out)
    handout = args.out / "handout.html"
    if printing.to_pdf(handout, handout.with_suffix(".pdf")):
        made.append(handout.with_suffix(".pdf"))
    else:
        print("No Chromium here to print handout.pdf with: print handout.html from a browser.")
    print(f"Written: {', '.join(path.as_posix() for path in made)}.")
    return 0
