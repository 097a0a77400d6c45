"""The report a learner keeps: six questions before and after, with their own numbers and plots.

`build` gathers, `to_html` and `to_markdown` write it out, `save` puts both in a folder. The HTML
is one file without scripts or content from anywhere else and reads in light and dark.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from course_lib.errors import CourseError
from course_lib.look import escape
from course_lib.progress import Progress
from course_lib.quiz import Outcome, Question, overall

_WORDS = {
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
    """One way of answering one question: outcomes before and after, and the last reply."""

    prompt: str
    before: Outcome
    after: Outcome
    reply: str


@dataclass(frozen=True)
class Part:
    """One question: its title, its rows, and the overall outcomes before and after."""

    title: str
    rows: tuple[Row, ...]

    @property
    def before(self) -> Outcome:
        """The outcome of the question as a whole in the pre-test."""
        return overall([row.before for row in self.rows])

    @property
    def after(self) -> Outcome:
        """The outcome of the question as a whole at the end."""
        return overall([row.after for row in self.rows])


@dataclass(frozen=True)
class Report:
    """Questions, what was explored (title, picture, words), and when and on what machine."""

    parts: tuple[Part, ...]
    explored: tuple[tuple[str, str, str], ...]
    when: str
    machine: str


def build(
    questions: Sequence[Question], progress: Progress, explored: Sequence[Explored] = ()
) -> Report:
    """Gather the report from the progress and from widgets as the learner has set them."""
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores"
    seen = tuple((item.title, item.picture(), item.text()) for item in explored)
    return Report(tuple(_part(question, progress) for question in questions), seen, now, machine)


def _part(question: Question, progress: Progress) -> Part:
    rows = []
    for way in question.ways:
        name = f"{question.name}.{way.name}"
        before, after = (progress.entry(phase, name) for phase in ("before", "after"))
        reply = str(after.get("reply", before.get("reply", "")))
        rows.append(Row(way.prompt, _outcome(before), _outcome(after), reply))
    return Part(question.title, tuple(rows))


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
    """The report as Markdown: pictures are given in words."""
    lines = ["# Inside R1: what I know now", "", f"{report.when}. {report.machine}.", ""]
    lines += [summary(report), "", "| Question | Before | Now |", "|---|---|---|"]
    for part in report.parts:
        cells = (part.title, _WORDS[part.before], _WORDS[part.after])
        lines.append(f"| {' | '.join(_plain(cell) for cell in cells)} |")
    for part in report.parts:
        lines += ["", f"## {_plain(part.title)}", ""]
        for row in part.rows:
            lines.append(f"- **{_plain(row.prompt)}** {_change(row)} {_plain(row.reply)}".rstrip())
    if report.explored:
        lines += ["", "## What I explored", ""]
        lines += [f"- **{_plain(t)}**: {_plain(words)}" for t, _, words in report.explored]
    return "\n".join(lines) + "\n"


def _change(row: Row) -> str:
    return f"Before: {_WORDS[row.before]}; now: {_WORDS[row.after]}."


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
    table = "".join(
        f'<tr><th scope="row">{escape(part.title)}</th><td>{_mark(part.before)}</td>'
        f"<td>{_mark(part.after)}</td></tr>"
        for part in report.parts
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Inside R1: what I know now</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>Inside R1: what I know now</h1><p>{escape(report.when)}. "
        f"{escape(report.machine)}.</p><p>{escape(summary(report))}</p>"
        "<table><caption>The six questions, before and now</caption><thead><tr>"
        '<th scope="col">Question</th><th scope="col">Before</th><th scope="col">Now</th>'
        f"</tr></thead><tbody>{table}</tbody></table>"
        f"{''.join(map(_section, report.parts))}{_explored(report)}</main></body></html>\n"
    )


def _mark(outcome: Outcome) -> str:
    return f'<span aria-hidden="true">{_SIGNS[outcome]}</span> {_WORDS[outcome]}'


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
    """Write `report.html` and `report.md` into `folder`, whole or not at all, and return them.

    Raises CourseError where the folder cannot be written.
    """
    pages = {"report.html": to_html(report), "report.md": to_markdown(report)}
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
