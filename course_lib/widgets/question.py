"""A question as a widget: answer it in one of several ways, check it, read why.

from course_lib.checklist import questions
from course_lib.widgets import question
question.show(questions.checklist()["cost"])   # in the checklist; phase="before": the pre-test
"""

from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets as ipw
from IPython.display import display

from course_lib.checklist import progress, quiz
from course_lib.checklist.quiz import Choice, Number, Order, Outcome, Prediction, Question, Verdict
from course_lib.errors import CourseError
from course_lib.show.theme import card, escape, paragraphs
from course_lib.widgets import base

PHASES = ("before", "after")
RUNNING = "Running it now; this takes some seconds."
_WIDE = "min(100%, 60em)"

_WORDS = {
    Outcome.BLANK: "Not answered yet",
    Outcome.WRONG: "Not right",
    Outcome.MISUNDERSTOOD: "A known misunderstanding",
    Outcome.CLOSE: "Close",
    Outcome.RIGHT: "Right",
}


class Way(base.Widget):
    """One way of answering: controls, a button, and the verdict in words.

    The answer and the verdict are kept in the learner's progress and shown again when the cell is
    run again. Raises ValueError for a phase other than `before` and `after`, and for a way that is
    not asked in it.
    """

    beside = True
    column = "40em"

    def __init__(self, question: Question, way: quiz.Ask, phase: str = "after") -> None:
        if phase not in PHASES:
            raise ValueError(f"unknown phase {phase!r}: use before or after")
        self.question, self.way, self.phase = question, way, phase
        self.ask = way.ask if isinstance(way, Prediction) else way
        asked = [other.name for other in question.asked(phase)]
        self.title = f"{question.title} ({asked.index(way.name) + 1} of {len(asked)})"
        self.name = f"{question.name}.{way.name}"
        self.verdict: Verdict | None = None
        self._notice = ""
        self.checked: Callable[[], object] = lambda: None
        super().__init__(f"{phase}-{self.name}")
        self._show_again()

    def controls(self) -> dict[str, ipw.ValueWidget]:
        if isinstance(self.ask, Choice):
            return {"answer": base.radio("Your answer", self.ask.shown())}
        if isinstance(self.ask, Number):
            return {"answer": base.line(f"Your number ({self.ask.unit})")}
        options = {"(open)": "", **{text: key for key, text in self.ask.items.items()}}
        places = {}
        for n in range(1, len(self.ask.items) + 1):
            places[f"place_{n}"] = base.choice(f"Place {n}", options)
            places[f"place_{n}"].layout.width = _WIDE
        return places

    def given(self) -> str:
        """The answer, else what there is to choose from: without a kernel it is seen only here."""
        if any(self.state.values()):
            return super().given()
        if isinstance(self.ask, Choice):
            return f"One of: {' · '.join(self.ask.shown())}"
        if isinstance(self.ask, Number):
            return f"A number ({self.ask.unit})."
        return f"To be put in order: {' · '.join(self.ask.items.values())}"

    def extras(self) -> list[ipw.Widget]:
        label = "Predict, then run" if isinstance(self.way, Prediction) else "Check my answer"
        return [base.row(base.button(label, self.check))]

    def check(self) -> Verdict:
        """Judge the answer as it stands, keep it in the progress, and show the verdict.

        A prediction's run comes first and takes some seconds; the words say so meanwhile.
        """
        if isinstance(self.way, Prediction) and self._live is not None:
            self._status.text = RUNNING
        given = list(self.state.values())
        answer: Any = given if isinstance(self.way, Order) else given[0]
        try:
            self.verdict = self.way.judge(answer, self.question.state())
        except CourseError as error:  # a prediction's run met a damaged model, for instance
            self.verdict = Verdict(Outcome.BLANK, str(error))
        self._notice = self._keep(self.verdict)
        self.refresh()
        self.checked()
        return self.verdict

    def _keep(self, verdict: Verdict) -> str:
        """Put a verdict into the progress; returns what there is to say about it.

        Of the answers before the course the first counts: its reply has said what is right.
        """
        first = progress.load().entry("before", self.name).get("outcome", Outcome.BLANK)
        if self.phase == "before" and first != Outcome.BLANK:
            return "Your first answer is the one that is kept as your answer before the course."
        kept = {"answer": self.state, "reply": verdict.reply, "prompt": self.way.prompt}
        return progress.record(self.name, verdict.outcome, self.phase, **kept)

    def lead(self) -> str:
        """The question, as a card."""
        return card("question", self.way.prompt, "")

    def picture(self) -> str:
        """The verdict as a card, once there is one."""
        if self.verdict is None:
            return ""
        outcome, explore = self.verdict.outcome, self.question.explore
        kind, more = ("note", "") if outcome is Outcome.RIGHT else ("warning", explore)
        said = map(paragraphs, (self.verdict.reply, self._notice, more))
        return card(kind, f"{quiz.SIGNS[outcome]} {_WORDS[outcome]}", "".join(said))

    def text(self) -> str:
        """The answer given and, once checked, the verdict."""
        if self.verdict is None:
            given = [str(getattr(c, "label", c.value)) for c in self._controls.values() if c.value]
            said = f"Your answer: {', '.join(given)}. Not checked yet."
            return said if given else "No answer yet."
        return f"{_WORDS[self.verdict.outcome]}: {self.verdict.reply} {self._notice}".strip()

    def _changed(self) -> None:
        if self._read() != self.state:
            self.verdict = None
        super()._changed()
        self.checked()

    def _show_again(self) -> None:
        """Show again what was answered and said before, if the answer is still that one."""
        entry = progress.load().entry(self.phase, self.name)
        if not isinstance(entry.get("answer"), dict):
            return
        self._recall(entry["answer"])
        if self.state == entry["answer"] and entry["outcome"] in set(Outcome):
            self.verdict = Verdict(Outcome(entry["outcome"]), str(entry.get("reply", "")))


class Topic:
    """All ways of answering a question as one card, which says how many are checked and right."""

    def __init__(self, question: Question, phase: str = "after") -> None:
        self.question = question
        self.ways = [Way(question, way, phase) for way in question.asked(phase)]
        self._head = ipw.HTML(self.progress())
        for way in self.ways:
            way.checked = self._show_progress

    def progress(self) -> str:
        """The question's title, a bar, and the counts in words, as HTML."""
        found = [way.verdict.outcome for way in self.ways if way.verdict]
        checked = sum(outcome is not Outcome.BLANK for outcome in found)
        bar = f'<progress max="{len(self.ways)}" value="{checked}" aria-label="Checked"></progress>'
        said = f"{checked} of {len(self.ways)} checked, {found.count(Outcome.RIGHT)} right"
        return f"<p><strong>{escape(self.question.title)}</strong> {bar} {said}</p>"

    def _show_progress(self) -> None:
        self._head.value = self.progress()

    def _ipython_display_(self) -> None:
        parts = [self._head, *(way.widget for way in self.ways)]
        box = ipw.VBox(parts, _dom_classes=["ir1-topic"])
        twins = "".join(way.twin() for way in self.ways)
        said = " ".join(f"{way.title}. {way.text()}" for way in self.ways)
        base.show_live(box, self.question.title, twins, said)


def show(question: Question, phase: str = "after") -> None:
    """Display all ways of answering a question, as one card, with their twins."""
    display(Topic(question, phase))


class OwnWords(base.Widget):
    """A name, and a few sentences on each question, for the report; kept as soon as typed."""

    title = "In my own words"

    def __init__(self, questions: Iterable[Question]) -> None:
        self.questions = list(questions)
        super().__init__()
        kept = progress.load()
        self._recall({n: str(kept.entry("words", n).get("text", "")) for n in self.state})

    def controls(self) -> dict[str, ipw.ValueWidget]:
        name = base.line("Name on the report (or nothing)", continuous_update=False)
        long: dict[str, Any] = {"continuous_update": False, "layout": {"width": _WIDE}}
        texts = {one.name: base.line(one.title, ipw.Textarea, **long) for one in self.questions}
        return {"name": name, **texts}

    def text(self) -> str:
        written = sum(bool(said.strip()) for name, said in self.state.items() if name != "name")
        return f"{written} of {len(self.questions)} in your own words. {self._notice}".strip()

    _notice = ""

    def _changed(self) -> None:
        before = self.state
        for name, said in self._read().items():
            if said != before[name]:
                self._notice = progress.record(name, "written", "words", text=said)
        super()._changed()
