"""A trace as HTML: every step marked by what it does, wrong steps struck, in words and in colour.

Nothing is said by colour alone: each kind of step has its own line under the text and its name as
a tooltip, and a step that is wrong says why.
"""

from collections import Counter

from course_lib.show.theme import PALETTE, escape
from course_lib.task.puzzles import Puzzle
from course_lib.task.traces import LABELS, Step, find_loop, label_steps, parse_trace

_LINES = {
    "attempt": ("ocean", "solid"),
    "check": ("teal", "double"),
    "backtracking": ("orange", "wavy"),
    "conclusion": ("violet", "dashed"),
}


def render(
    text: str,
    puzzle: Puzzle | None = None,
    *,
    prefilled: bool = False,
    fold: bool = False,
    focus: int | None = None,
) -> str:
    """The trace as HTML. `fold` hides the thinking; `focus` numbers the step to point at, from 1.

    All text is escaped: a trace is a stranger's words.
    """
    start = 0
    if fold:
        trace = parse_trace(text, prefilled=prefilled)
        start = len(text) - len(trace.answer) if trace.opened or prefilled else 0
    steps = label_steps(text, puzzle, prefilled=prefilled)
    parts = ["<em>[thinking folded]</em>"] if start else []
    at = start
    for number, step in enumerate(steps, 1):
        if step.start >= start:
            parts += [escape(text[at : step.start]), _mark(text, step, number == focus)]
            at = step.end
    parts.append(escape(text[at:]))
    body = "".join(parts)
    return f'<div style="white-space:pre-wrap;font-family:monospace;line-height:2">{body}</div>'


def _mark(text: str, step: Step, focused: bool) -> str:
    words = escape(text[step.start : step.end])
    if not step.labels:
        return words
    colour, line = _LINES[step.labels[-1]]
    style = f"text-decoration:underline {line} {PALETTE[colour]} 2px;text-underline-offset:4px"
    if focused:
        style += f";outline:2px solid {PALETTE['violet']}"
    said = " and ".join(step.labels) + (f": {step.note}" if step.note else "")
    wrong = f" <strong>✗ {escape(step.note)}</strong>" if step.right is False else ""
    return f'<span style="{style}" title="{escape(said)}">{words}</span>{wrong}'


def describe(
    text: str,
    puzzle: Puzzle | None = None,
    *,
    prefilled: bool = False,
    tokens: int | None = None,
    budget: int | None = None,
) -> str:
    """The counts of a trace in words, its tokens beside the budget, and a warning of a loop."""
    steps = label_steps(text, puzzle, prefilled=prefilled)
    counts = Counter(label for step in steps for label in step.labels)
    said = [", ".join(f"{name}: {counts[name]}" for name in LABELS) + "."]
    wrong = [step for step in steps if step.right is False]
    if wrong:
        said.append(f"{len(wrong)} of them wrong, first: {wrong[0].note}.")
    if tokens is not None and budget:
        said.append(f"{tokens} of {budget} tokens used.")
    if loop := find_loop(text):
        said.append(f"It is in a loop: the end was said {loop.times} times over.")
    trace = parse_trace(text, prefilled=prefilled)
    if (trace.opened or prefilled) and not trace.closed:
        said.append("The thought has not ended.")
    return " ".join(said)
