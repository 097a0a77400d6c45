"""The report a learner keeps: six questions before and after, with their own numbers and plots.

`build` gathers, `to_html` and `to_markdown` write it out, `save` puts both in a folder, and
`inside` gives the answers to a notebook. The HTML is one file without scripts or content from
anywhere else and reads in light and dark; the Markdown has its pictures beside it, as SVG files.
"""

import os
import platform
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Protocol

from course_lib import facts
from course_lib.checklist import predictions
from course_lib.checklist.progress import Progress
from course_lib.checklist.quiz import (
    Ask,
    Choice,
    Number,
    Order,
    Outcome,
    Prediction,
    Question,
    overall,
)
from course_lib.errors import CourseError
from course_lib.show import svg
from course_lib.show.theme import NO_MATHS, escape

READ_NEXT = {
    "How it was done, in its makers' words": "r1.aime_2024.pass_at_1",
    "What it was built on": "v3.stated.total",
    "Whether a trace says what a model thinks": "faithfulness.r1_hints",
}
"""What to read when every question is right: why -> a key of the ledger whose source it is."""

WORDS = {
    Outcome.BLANK: "not answered",
    Outcome.WRONG: "not right",
    Outcome.MISUNDERSTOOD: "a misunderstanding",
    Outcome.CLOSE: "close",
    Outcome.RIGHT: "right",
}
_SIGNS = {
    Outcome.BLANK: "…",
    Outcome.WRONG: "✗",
    Outcome.MISUNDERSTOOD: "≠",
    Outcome.CLOSE: "≈",
    Outcome.RIGHT: "✓",
}


class Explored(Protocol):
    """What a widget gives to the report: its title, its picture (HTML) and its state in words."""

    title: str

    def picture(self) -> str:
        """The picture as HTML."""

    def text(self) -> str:
        """What it shows, in words."""


@dataclass(frozen=True)
class Row:
    """One way of answering one question: what was given before and after, and the last reply.

    `before` is None for a way that is asked at the end only. `first` is the prompt before the
    course, where it was another.
    """

    prompt: str
    before: Outcome | None
    after: Outcome
    reply: str
    given: tuple[str, str] = ("", "")
    first: str = ""


@dataclass(frozen=True)
class Part:
    """One question: its title, its rows, and the overall outcomes before and after."""

    title: str
    rows: tuple[Row, ...]

    @property
    def before(self) -> Outcome:
        """The outcome of the question as a whole in the pre-test, as far as it was asked there."""
        return overall(self.outcomes("before"))

    @property
    def after(self) -> Outcome:
        """The outcome of the question as a whole at the end."""
        return overall(self.outcomes("after"))

    def outcomes(self, phase: str) -> list[Outcome]:
        """The outcomes of the ways that were asked in a phase, `before` or `after`."""
        found = [getattr(row, phase) for row in self.rows]
        return [outcome for outcome in found if outcome is not None]


@dataclass(frozen=True)
class Report:
    """Questions, own numbers, what was explored (title, picture, words), when, where, and whose.

    `sections` are lists under a title: own words, predictions, exercises, what to read next.
    """

    parts: tuple[Part, ...]
    explored: tuple[tuple[str, str, str], ...]
    when: str
    machine: str
    numbers: tuple[tuple[str, str], ...] = ()
    name: str = ""
    sections: tuple[tuple[str, tuple[str, ...]], ...] = ()


def build(
    questions: Sequence[Question],
    progress: Progress,
    explored: Sequence[Explored] = (),
    numbers: Mapping[str, str] | None = None,
    exercises: str = "",
) -> Report:
    """Gather the report from the progress and from widgets as the learner has set them.

    `numbers` are the learner's own, by what they are of, as `evidence.described` gives them;
    `exercises` are lines on how far they are, as `progress_cli.text` gives them.
    """
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores"
    seen = tuple((item.title, item.picture(), item.text()) for item in explored)
    parts = tuple(part(question, progress) for question in questions)
    sections = (
        ("In my own words", tuple(_own_words(questions, progress))),
        ("What I predicted", tuple(_predicted(progress))),
        ("Exercises", tuple(exercises.splitlines())),
        ("What to read next", tuple(_next(questions, parts))),
    )
    filled = tuple(section for section in sections if section[1])
    own = tuple((numbers or {}).items())
    return Report(parts, seen, now, machine, own, _words(progress, "name"), filled)


def _words(progress: Progress, name: str) -> str:
    """What the learner wrote under a name, on one line and no longer than a page."""
    return " ".join(str(progress.entry("words", name).get("text", "")).split())[:3000]


def _own_words(questions: Sequence[Question], progress: Progress) -> Iterator[str]:
    for question in questions:
        if said := _words(progress, question.name):
            yield f"{question.title} {said}"


def _predicted(progress: Progress) -> Iterator[str]:
    for entry in progress.sections.get(predictions.SECTION, {}).values():
        if entry.get("reply"):
            yield f"{entry.get('prompt', '')} {entry['reply']}"


def _next(questions: Sequence[Question], parts: Sequence[Part]) -> Iterator[str]:
    """Where to go for each question that is not right yet; then the papers themselves."""
    for question, part in zip(questions, parts, strict=True):
        if part.after is not Outcome.RIGHT and question.explore:
            yield f"{question.title} {question.explore}"
    for why, key in READ_NEXT.items():
        source = facts.fact(key).source
        yield f"{why}: {source.title}, {source.address.removeprefix('https://')}"


def part(question: Question, progress: Progress) -> Part:
    """How one question was answered before and after, by what a progress holds."""
    rows = []
    for way in question.ways:
        name = f"{question.name}.{way.name}"
        before, after = (progress.entry(phase, name) for phase in ("before", "after"))
        reply = str(after.get("reply", before.get("reply", "")))
        first = None if way.name in question.later else _outcome(before)
        form = question.first.get(way.name, way)
        given = (_given(form, before), _given(way, after))
        other = "" if form.prompt == way.prompt or first is None else form.prompt
        rows.append(Row(way.prompt, first, _outcome(after), reply, given, other))
    return Part(question.title, tuple(rows))


def _given(way: Ask, entry: Mapping) -> str:
    """The answer that an entry holds, as the learner saw it; "" if there is none."""
    ask = way.ask if isinstance(way, Prediction) else way
    answer = entry.get("answer")
    if not isinstance(answer, Mapping):
        return ""
    names = dict(ask.items) if isinstance(ask, Order) else {}
    if isinstance(ask, Choice):
        names = {key: option.text for key, option in ask.options.items()}
    said = [names.get(str(value), str(value)) for value in answer.values() if value]
    if isinstance(ask, Number) and said and not re.search(r"[^\W\d_]|%", said[0]):
        said[-1] += f" {ask.unit}"  # a unit that was typed is said once
    return "; ".join(said)


def _outcome(entry: dict) -> Outcome:
    known = {str(outcome) for outcome in Outcome}
    return Outcome(entry["outcome"]) if entry.get("outcome") in known else Outcome.BLANK


def summary(report: Report) -> str:
    """How many questions were right before and after, in one sentence."""
    before, after = (
        sum(getattr(part, phase) is Outcome.RIGHT for part in report.parts)
        for phase in ("before", "after")
    )
    return f"Right before: {before} of {len(report.parts)}. Right now: {after}."


def to_markdown(report: Report) -> str:
    """The report as Markdown; its pictures are the files that `pictures` names."""
    lines = [f"# {_plain(_title(report))}", "", f"{report.when}. {report.machine}.", ""]
    lines += [summary(report), "", "| Question | Before | Now |", "|---|---|---|"]
    for part in report.parts:
        cells = (part.title, _standing(part, "before"), _standing(part, "after"))
        lines.append(f"| {' | '.join(_plain(cell) for cell in cells)} |")
    if report.numbers:
        lines += ["", "## My own numbers", ""]
        lines += [f"- {_plain(name)}: {_plain(said)}" for name, said in report.numbers]
    for title, said in report.sections:
        lines += ["", f"## {_plain(title)}", "", *(f"- {_plain(line)}" for line in said)]
    for part in report.parts:
        lines += ["", f"## {_plain(part.title)}", ""]
        for row in part.rows:
            change = _plain(_change(row))
            lines.append(f"- **{_plain(row.prompt)}** {change} {_plain(row.reply)}".rstrip())
    if report.explored:
        lines += ["", "## What I explored", ""]
    for place, (title, picture, words) in enumerate(report.explored, 1):
        lines += [f"### {_plain(title)}", "", _plain(words), ""]
        for name, (alt, _) in zip(_names(place), svg.pictures(picture), strict=False):
            lines += [f"![{_plain(alt)}]({name})", ""]
    return "\n".join(lines).rstrip() + "\n"


def _names(place: int) -> Iterator[str]:
    """File names of the pictures of the widget at `place`."""
    return (f"report-{place}-{number}.svg" for number in count(1))


def pictures(report: Report) -> dict[str, str]:
    """The pictures of what was explored as SVG files: name -> text."""
    return {
        name: text
        for place, (_, picture, _) in enumerate(report.explored, 1)
        for name, (_, text) in zip(_names(place), svg.pictures(picture), strict=False)
    }


def _change(row: Row) -> str:
    before, after = (f" ({given})" if given else "" for given in row.given)
    first = "not asked" if row.before is None else f"{WORDS[row.before]}{before}"
    other = f" (it was asked as: {row.first})" if row.first else ""
    return f"Before: {first}{other}; now: {WORDS[row.after]}{after}."


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    line = " ".join(text.split())
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#$" else char for char in line)


_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { border: 1px solid; padding: 0.3rem 0.6rem; }
th { text-align: left; } svg { max-width: 100%; }
"""


def to_html(report: Report) -> str:
    """The report as one HTML page, with the pictures."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(_title(report))}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(_title(report))}</h1>{_answers(report)}{_explored(report)}"
        "</main></body></html>\n"
    )


def inside(report: Report) -> str:
    """The report for a cell of the notebook that has the pictures already: all but these, as HTML.

    The cells of its tables say their alignment, for JupyterLab has another one.
    """
    html = re.sub(r"<(t[hd])\b", r'<\1 style="text-align:left"', _answers(report))
    return f'<div class="ir1-report {NO_MATHS}">{html}</div>'


def _answers(report: Report) -> str:
    table = "".join(
        f'<tr><th scope="row">{escape(part.title)}</th><td>{_mark(part, "before")}</td>'
        f"<td>{_mark(part, 'after')}</td></tr>"
        for part in report.parts
    )
    return (
        f"<p>{escape(report.when)}. {escape(report.machine)}.</p><p>{escape(summary(report))}</p>"
        "<table><caption>The six questions, before and now</caption>"
        '<thead><tr><th scope="col">Question</th><th scope="col">Before</th>'
        f'<th scope="col">Now</th></tr></thead><tbody>{table}</tbody></table>'
        f"{_numbers(report)}{_lists(report)}{''.join(map(_section, report.parts))}"
    )


def _title(report: Report) -> str:
    return f"Inside R1: what {report.name + ' knows' if report.name else 'I know'} now"


def _lists(report: Report) -> str:
    return "".join(
        f"<h2>{escape(title)}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in said)}</ul>"
        for title, said in report.sections
    )


def _numbers(report: Report) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(said)}</td></tr>'
        for name, said in report.numbers
    )
    head = "<caption>What the verdicts were computed from</caption>"
    return f"<h2>My own numbers</h2><table>{head}{rows}</table>" if rows else ""


def _standing(part: Part, phase: str) -> str:
    """How a question stands as a whole, and how many of its ways are right if not all are."""
    outcomes, whole = part.outcomes(phase), getattr(part, phase)
    right = outcomes.count(Outcome.RIGHT)
    if whole is Outcome.RIGHT or not right:
        return WORDS[whole]
    word = "not complete" if whole is Outcome.BLANK else WORDS[whole]
    return f"{word} ({right} of {len(outcomes)} right)"


def _mark(part: Part, phase: str) -> str:
    sign = _SIGNS[getattr(part, phase)]
    return f'<span aria-hidden="true">{sign}</span> {_standing(part, phase)}'


def _section(part: Part) -> str:
    rows = "".join(
        f"<li><p><strong>{escape(row.prompt)}</strong></p>"
        f"<p>{escape(_change(row))} {escape(row.reply)}</p></li>"
        for row in part.rows
    )
    return f"<h2>{escape(part.title)}</h2><ul>{rows}</ul>"


def _explored(report: Report) -> str:
    parts = "".join(
        f"<h3>{escape(title)}</h3>{picture}<p>{escape(words)}</p>"
        for title, picture, words in report.explored
    )
    return f"<h2>What I explored</h2>{parts}" if parts else ""


def save(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write `report.html` and `report.md` into `folder`, each whole or not at all; return them.

    The Markdown's pictures go beside it. Raises CourseError where the folder cannot be written.
    """
    pages = {"report.html": to_html(report), "report.md": to_markdown(report)}
    pages |= pictures(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            with tempfile.NamedTemporaryFile(
                "w", dir=folder, encoding="utf-8", suffix=".new", delete=False
            ) as out:
                out.write(text)
            os.replace(out.name, folder / name)
    except OSError as error:
        raise CourseError(f"The report cannot be written to {folder}: {error.strerror}.") from error
    return folder / "report.html", folder / "report.md"
