"""The report a learner keeps: six questions before and after, with their own numbers and plots.

`build` gathers, `to_html` and `to_markdown` write it out, `save` puts both in a folder, and
`inside` gives the answers to a notebook. The HTML is one file without scripts or content from
anywhere else and reads in light and dark; the Markdown has its pictures beside it, as SVG files.
"""

import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course_lib import facts, records
from course_lib.checklist import predictions, quiz
from course_lib.checklist.progress import Progress
from course_lib.checklist.quiz import Ask, Choice, Number, Order, Outcome, Prediction, Question
from course_lib.errors import CourseError
from course_lib.show import pages, svg
from course_lib.show.theme import NO_MATHS

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

    @property
    def change(self) -> str:
        """The outcomes and what was given, before and now, in a sentence."""
        before, after = (f" ({given})" if given else "" for given in self.given)
        first = "not asked" if self.before is None else f"{WORDS[self.before]}{before}"
        other = f" (it was asked as: {self.first})" if self.first else ""
        return f"Before: {first}{other}; now: {WORDS[self.after]}{after}."


@dataclass(frozen=True)
class Part:
    """One question: its title, its rows, and the overall outcomes before and after."""

    title: str
    rows: tuple[Row, ...]

    @property
    def before(self) -> Outcome:
        """The outcome of the question as a whole in the pre-test, as far as it was asked there."""
        return quiz.overall(self.outcomes("before"))

    @property
    def after(self) -> Outcome:
        """The outcome of the question as a whole at the end."""
        return quiz.overall(self.outcomes("after"))

    def outcomes(self, phase: str) -> list[Outcome]:
        """The outcomes of the ways that were asked in a phase, `before` or `after`."""
        found = [getattr(row, phase) for row in self.rows]
        return [outcome for outcome in found if outcome is not None]

    def standing(self, phase: str) -> str:
        """How it stands as a whole, and how many of its ways are right if not all are."""
        outcomes, whole = self.outcomes(phase), getattr(self, phase)
        right = outcomes.count(Outcome.RIGHT)
        if whole is Outcome.RIGHT or not right:
            return WORDS[whole]
        word = "not complete" if whole is Outcome.BLANK else WORDS[whole]
        return f"{word} ({right} of {len(outcomes)} right)"


@dataclass(frozen=True)
class Report:
    """Questions, own numbers, what was explored (title, picture, words), when, where, and whose.

    `sections` are lists under a title: own words, predictions, exercises, what to read next.
    """

    parts: Sequence[Part]
    explored: Sequence[tuple[str, str, str]]
    when: str
    machine: str
    numbers: Mapping[str, str]
    name: str
    sections: Mapping[str, Sequence[str]]

    @property
    def title(self) -> str:
        """What stands over it."""
        return f"Inside R1: what {self.name + ' knows' if self.name else 'I know'} now"


def build(
    questions: Sequence[Question],
    progress: Progress,
    explored: Sequence[Any] = (),
    numbers: Mapping[str, str] | None = None,
    exercises: str = "",
) -> Report:
    """Gather the report from the progress and from widgets as the learner has set them.

    Of each widget in `explored` the report has title, `picture()` (HTML) and `text()`.
    `numbers` are the learner's own, by what they are of, as `evidence.described` gives them;
    `exercises` are lines on how far they are, as `progress_cli.text` gives them.
    """
    parts = [part(question, progress) for question in questions]
    sections = {
        "In my own words": list(_own_words(questions, progress)),
        "What I predicted": list(_predicted(progress)),
        "Exercises": exercises.splitlines(),
        "What to read next": list(_next(questions, parts)),
    }
    return Report(
        parts,
        [(item.title, item.picture(), item.text()) for item in explored],
        datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores",
        numbers or {},
        _words(progress, "name"),
        {title: said for title, said in sections.items() if said},
    )


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
    names = ask.items if isinstance(ask, Order) else {}
    if isinstance(ask, Choice):
        names = {key: option.text for key, option in ask.options.items()}
    said = [names.get(str(value), str(value)) for value in answer.values() if value]
    if isinstance(ask, Number) and said and not re.search(r"[^\W\d_]|%", said[0]):
        said[-1] += f" {ask.unit}"  # a unit that was typed is said once
    return "; ".join(said)


def _outcome(entry: dict) -> Outcome:
    return Outcome(entry["outcome"]) if entry.get("outcome") in set(Outcome) else Outcome.BLANK


def summary(report: Report) -> str:
    """How many questions were right before and after, in one sentence."""
    before, after = (
        sum(getattr(part, phase) is Outcome.RIGHT for part in report.parts)
        for phase in ("before", "after")
    )
    return f"Right before: {before} of {len(report.parts)}. Right now: {after}."


def to_markdown(report: Report) -> str:
    """The report as Markdown; its pictures are the files that `pictures` names."""
    return _page("report.md", report, filters={"plain": pages.cell}, shown=_shown(report))


def pictures(report: Report) -> dict[str, str]:
    """The pictures of what was explored as SVG files: name -> text."""
    return {name: text for *_, files in _shown(report) for name, _, text in files}


def _shown(report: Report) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """Of what was explored title, words, and of its pictures file name, alt text and SVG."""
    return [
        (
            title,
            words,
            [
                (f"report-{place}-{number}.svg", alt, text)
                for number, (alt, text) in enumerate(svg.pictures(picture), 1)
            ],
        )
        for place, (title, picture, words) in enumerate(report.explored, 1)
    ]


def to_html(report: Report) -> str:
    """The report as one HTML page, with the pictures."""
    return _page("report.html", report) + "\n"


def inside(report: Report) -> str:
    """The report for a cell of the notebook that has the pictures already: all but these, as HTML.

    The cells of its tables say their alignment, for JupyterLab has another one.
    """
    html = re.sub(r"<(t[hd])\b", r'<\1 style="text-align:left"', _page("answers.html", report))
    return f'<div class="ir1-report {NO_MATHS}">{html}</div>'


def _page(name: str, report: Report, **more: Any) -> str:
    template = Path(__file__).with_name(f"{name}.j2")
    return pages.render(template, report=report, summary=summary(report), signs=quiz.SIGNS, **more)


def save(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write `report.html` and `report.md` into `folder`, each whole or not at all; return them.

    The Markdown's pictures go beside it. Raises CourseError where the folder cannot be written.
    """
    files = {"report.html": to_html(report), "report.md": to_markdown(report)}
    try:
        for name, text in (files | pictures(report)).items():
            records.write_text(folder / name, text)
    except OSError as error:
        raise CourseError(f"The report cannot be written to {folder}: {error.strerror}.") from error
    return folder / "report.html", folder / "report.md"
