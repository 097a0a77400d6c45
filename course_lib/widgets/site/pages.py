"""The pages that are made from the library: front page, ledgers, claims, API reference."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import course_lib
from course_lib.facts import findings as found_findings
from course_lib.facts.ledger import course_ledger
from course_lib.facts.model import Fact
from course_lib.rl import experiments
from course_lib.show import svg
from course_lib.show.theme import escape
from course_lib.widgets import tours as guided

_QUESTIONS = {
    "Why a “global AI cost reset”?": "notebooks/01_cost_reset",
    "What is different in R1’s training?": "notebooks/03_r1_zero",
    "What does MoE mean?": "notebooks/02_mixture_of_experts",
    "What are distilled models?": "notebooks/05_distillation",
    "What hardware for deepseek-r1:7b?": "notebooks/06_local_inference",
    "What does self-hosting keep in?": "notebooks/07_your_data_your_limits",
}
_READING = (
    "The course as it was saved after its last run: you read it, nothing runs and nothing is "
    "fetched. To change a number or solve an exercise, open the notebooks in JupyterLab."
)
START = ".venv/bin/jupyter lab notebooks/00_start_here.ipynb"
"""The first command, as the README has it."""


@dataclass(frozen=True)
class Page:
    """A document: where it lies, without its ending, its title and its name in lists."""

    name: str
    title: str
    short: str


def front(groups: Sequence[tuple[str, list[Page]]], book: bool = False) -> str:
    """The front page: what will grow, the live model, the six questions, the first command."""
    lines = ["# Inside R1", "Build a small DeepSeek-R1 on a laptop, and watch its reasoning grow."]
    if not book:
        lines += [_html("\n".join([_first_screen(), ""]))]
    lines += ["## Six questions"]
    lines += [_listed(f"[{asked}]({page}.ipynb)" for asked, page in _QUESTIONS.items())]
    lines += ["## Start", "In a terminal, in the course’s folder, once it is installed (README):"]
    lines += [f"```bash\n{START}\n```", _READING]
    for name, pages in groups:
        toc = "\n".join(f"{page.short} <{page.name}>" for page in pages)
        lines += [f"```{{toctree}}\n:caption: {name}\n:hidden:\n\n{toc}\n```"]
    return "\n\n".join(lines) + "\n"


def _first_screen() -> str:
    """What grows, and the way to the live model, side by side."""
    record = experiments.load_record("outcome")
    seeds = len(record["runs"])
    words = (
        f"R1-Zero in miniature, the mean of {seeds} recorded runs of {record['steps']} steps: "
        "rewarded for right answers only, it comes to think longer and to be right more often."
    )
    return (
        f'<div class="first"><figure>{svg.as_images(_growth(record))}<figcaption>{escape(words)}'
        '</figcaption></figure><div><p class="go"><a href="live.html">Watch it think, here in '
        "your browser</a></p><p>The base and its R1-Zero, a million parameters each, answer a "
        "puzzle of yours: every token, every expert, and a step of GRPO by hand. Nothing to "
        "install, nothing leaves the page.</p></div></div>"
    )


def _growth(record: dict) -> str:
    """Reward and thinking over the steps, each as a share of its largest value's scale."""
    runs = list(record["runs"].values())
    steps = runs[0]["step"]

    def mean(name: str) -> list[float]:
        return [sum(run[name][i] for run in runs) / len(runs) for i in range(len(steps))]

    series = {
        "right answers, of 10": [10 * value for value in mean("reward")],
        "thinking tokens": mean("thinking_tokens"),
    }
    return svg.lines("What grows in training", steps, series, "step")


def live() -> str:
    """What a book, and the site's search, have of the live page; on the web it is that page."""
    return (
        "# Watch it think\n\nOn the course's site this is a page in which the base, R1-Zero and a "
        "distill answer a puzzle of yours, a token at a time: the likeliest tokens with their "
        "probabilities, the experts of every token and how they were chosen, its attention, the "
        "verifier's verdict, and a step of GRPO on sixteen answers, by hand.\n"
    )


def tours() -> str:
    """The guided tours of the widgets in words: their steps, and what comes of each."""
    lines = [
        "# Guided tours",
        "Six widgets have a button *Tour*. It opens a card that names one element, asks you to "
        "predict or to do something, and goes on when you have. Escape leaves it. Here is what the "
        "cards say.",
    ]
    for name in guided.names():
        lines += [f"## {re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name).capitalize()}"]
        lines += [_listed(map(_toured, guided.steps(name)))]
    return "\n\n".join(lines) + "\n"


def _toured(step: guided.Step) -> str:
    said = f"{_plain(step.say)} **{_plain(step.do or step.ask)}**"
    if step.do:
        return f"{said} {_plain(step.seen)}"
    right = f"*{_plain(step.right)}.* " if step.right else ""
    return f"{said} ({_plain('; '.join(step.options))}) {right}{_plain(step.why)}"


def _html(html: str) -> str:
    return f"```{{raw}} html\n{html}\n```"


def _listed(items: Iterable[str]) -> str:
    return "\n".join(f"1. {item}" for item in items)


def claims(root: Path, book: bool = False) -> str:
    """The page of claims in the site's frame; in a book a table of its own."""
    title = "# The page, claim by claim"
    if book:
        known = [fact for fact in course_ledger().facts.values() if fact.claim]
        rows = [(_cell(fact.claim), fact.verdict, _cell(fact.note)) for fact in known]
        return f"{title}\n\n{_table(('claim', 'verdict', 'note'), rows)}\n"
    source = (root / "notebooks" / "claims.html").read_text(encoding="utf-8")
    style, body = re.findall(r"(<style>.*</style>).*<body>(.*)</body>", source, re.S)[0]
    body = re.sub("<h1>.*?</h1>", "", body, count=1)
    # The site has colours of its own; what filters the table is kept.
    style = re.sub(r":root\{[^}]*\}|body\{[^}]*\}", "", style)
    framed = _html(f'<div class="wide">{style}{body}</div>')
    return f"{title}\n\n{framed}\n"


def facts() -> str:
    """Every fact of the ledger with its source, under the ledger's themes."""
    themes: dict[str, list[Fact]] = defaultdict(list)
    for fact in course_ledger().facts.values():
        themes[fact.theme].append(fact)
    lines = [
        "# The ledger of facts",
        "Every number that the course says of the world, with its source.",
    ]
    heads = ("fact", "value", "source", "where", "read", "as of")
    for theme, known in sorted(themes.items()):
        lines += [f"## {theme.capitalize()}", _table(heads, map(_fact, known))]
    return "\n\n".join(lines) + "\n"


def _fact(fact: Fact) -> tuple[str, ...]:
    source = fact.source
    name = f"[{_cell(source.title)}]({source.address})" if source.address else _cell(source.title)
    about = f"{_cell(fact.about)} (`{fact.key}`)"
    return about, _cell(f"{fact.value} {fact.unit}"), name, _cell(fact.where), fact.read, fact.date


def findings() -> str:
    """Every comparison of the course, computed from its records as the site is built."""
    lines = [
        "# The ledger of findings",
        "Every sentence of the course that compares or names a cause, and what its records carry. "
        "`python -m course_lib findings` computes them again.",
    ]
    for found in found_findings.all():
        commands = "; ".join(f"`{command}`" for command in found.commands)
        lines += [
            f"## {found.key}",
            f"**{found.strength.capitalize()}.** {_plain(found.sentence)}",
            f"Found: {_plain(found.number)}. {_plain(found.unlike)}",
            f"Recorded by {commands}.",
        ]
    return "\n\n".join(lines) + "\n"


def room(name: str) -> str:
    """The reference of one room: what every module says of itself and of what it offers."""
    folder = Path(course_lib.__file__).parent / name
    modules = sorted(
        ".".join(path.relative_to(folder.parent.parent).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if path.stem not in ("__init__", "__main__")
    )
    parts = [f".. automodule:: course_lib.{name}\n"]
    for module in modules:
        parts += [f"{module}\n{'-' * len(module)}\n", f".. automodule:: {module}\n   :members:\n"]
    body = "\n".join(parts)
    return f"# course_lib.{name}\n\n````{{eval-rst}}\n{body}````\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(heads), " | ".join("---" for _ in heads), *map(" | ".join, rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _plain(text: str) -> str:
    """Text as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>#$|{}])", r"\\\1", text)


def _cell(text: str) -> str:
    return _plain(" ".join(text.split()))
