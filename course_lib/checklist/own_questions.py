"""Ways of answering that are about what the learner has: their run, their distill, their machine.

Three of them are predictions of a run that takes place when the guess has been made. They are
asked at the end of the course, where there is something of the learner's own to ask about; the
model that comes with the course stands in for a distill that has not been made yet.
"""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from course_lib.checklist import live_checks, quiz
from course_lib.checklist.evidence import Evidence, Student
from course_lib.checklist.quiz import Ask, Choice, Number, Option, Prediction, State, States
from course_lib.facts import value
from course_lib.limits.dataflow import LOOPBACK, Recording
from course_lib.local import memory
from course_lib.model import accounting
from course_lib.moe.architectures import CONFIGS, OLLAMA_TAGS

FOR_THE_SYSTEM = 2 * memory.GIB
"""Bytes that we leave to the operating system and a browser when asking what fits."""

GUESSING = 100 / 2**3
"""Percent right by guessing: a puzzle of four digits has three signs to choose."""

BUSY = 3.0
"""How many times faster or slower a machine may be than when the learner measured it."""

LEAST_THINKING = 0.1
"""Mean tokens of thinking in an answer; below it a ratio says nothing."""


def of(question: str, now: Evidence, states: States) -> list[Ask]:
    """What a question asks about the learner's own things, as far as they are there."""
    return [ask for make in _OWN.get(question, ()) if (ask := make(now, states))]


@cache
def words_of(name: str) -> Mapping[str, Any]:
    """The words of `data/NAME.toml`."""
    path = Path(__file__).parent / "data" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _number(name: str, right: Callable[[State], float], known: Mapping[str, Any]) -> Number:
    """The question `name` of `own.toml`, `known` filled in, with those slips that have a number."""
    words = {**words_of("own")[name], **known}
    slips = [
        quiz.Slip(quiz.fixed(words[one["value"]]), one["mistake"], one["reply"])
        for one in words["slips"]
        if one["value"] in words
    ]
    given = {key: words[key] for key in ("tolerance", "near", "factor") if key in words}
    prompt, reply = (words[part].format_map(known) for part in ("prompt", "reply"))
    return Number(name, prompt, words["unit"], right, reply, slips=slips, **given)


def own_bill(now: Evidence, _: States) -> Prediction | None:
    """How many times dearer an answer became while reasoning grew; None without a run.

    Nor is there a ratio to ask for where the run began with hardly any thinking at all.
    """
    run = now.run
    if run is None or run.thinking[0] < LEAST_THINKING:
        return None
    ratio = run.thinking[1] / run.thinking[0]
    better = run.accuracy[1] / run.accuracy[0] if run.accuracy[0] else ratio
    price = value("api.r1_launch.output")
    known = {"before": run.thinking[0], "price": price, "steps": run.steps}
    known |= {"better": better, "price_ratio": 1}
    ask = _number("own_bill", lambda s: s["ratio"], known)
    return Prediction(ask, lambda: {"ratio": ratio}, lambda _: f"Your run: {run}.")


def own_growth(now: Evidence, _: States) -> Prediction | None:
    """What the learner's own R1-Zero came to; None without a run."""
    run = now.run
    if run is None:
        return None
    first, last = run.accuracy
    known = {"first": first, "first_percent": 100 * first, "steps": run.steps}
    ask = _number("own_growth", lambda s: s["accuracy"], known)
    return Prediction(ask, lambda: {"accuracy": 100 * last}, lambda _: f"Your run: {run}.")


def own_distill(now: Evidence, states: States) -> Prediction | None:
    """How much of its teacher a distill has kept: it is put to the test there and then."""
    if now.student is None or now.config is None:
        return None
    size, teacher = map(_trained, (now.student.config, now.config))
    known = {"whose": _whose(now.student), "size": size, "share": 100 * size / teacher}
    known |= {"teacher": teacher, "puzzles": live_checks.PUZZLES, "guessing": GUESSING}
    return Prediction(
        _number("own_distill", lambda s: 100 * s["right"], known),
        lambda: {"right": live_checks.accuracy(_student(states))},
        lambda s: f"It got {s['right']:.1%} of them right, just now.",
    )


def _whose(student: Student) -> str:
    return "Your own distill" if student.own else "The distill that comes with the course"


def _trained(config: Mapping) -> int:
    """Parameters that are trained by gradients: all but the router's bias."""
    count = accounting.count_parameters(config)
    return count.total - count.parts.get("router bias", 0)


def _student(states: States) -> Path:
    """The folder of the student as it is now, at the time of the check."""
    return states()["evidence"].student.folder


def ceiling(now: Evidence, _: States) -> Number | None:
    """The speed that this machine's memory allows; None where it has not been measured."""
    if not now.bandwidth:
        return None
    config = CONFIGS["R1-Distill-Qwen-7B"]
    context = int(value("ollama.context.under_24_gib"))
    held = memory.weights_bytes(config, "q4_k_m") / memory.GB

    def most(quantisation: str, bandwidth: float = now.bandwidth) -> float:
        return memory.ceiling_tokens_per_second(config, quantisation, context, bandwidth)

    known = {"reads": now.bandwidth / 1e9, "held": held, "most": most("q4_k_m")}
    known |= {name: most(name) for name in ("bf16", "fp8")}
    return _number("ceiling", lambda s: most("q4_k_m", s["evidence"].bandwidth), known)


def own_speed(now: Evidence, states: States) -> Prediction | None:
    """How fast the learner's distill writes here: it is timed there and then."""
    if now.student is None:
        return None
    read = accounting.count_parameters(now.student.config).total * 4
    name = _whose(now.student)
    known = {"whose": name[0].lower() + name[1:], "read": read / 1e6, "factor": BUSY}
    known |= {"memory": now.bandwidth / read} if now.bandwidth else {}
    return Prediction(
        _number("own_speed", lambda s: s["speed"].speed, known),
        lambda: {"speed": live_checks.speed(_student(states))},
        lambda s: f"Just now: {s['speed'].text()}.",
    )


def audit(now: Evidence, states: States) -> Prediction | None:
    """What is asked of the network while the learner's distill answers: it is watched doing so."""
    if now.student is None:
        return None
    options = {
        "nothing": Option("Nothing at all", _found),
        "here": Option("Connections within this machine only", _found),
        "out": Option("At least one look-up or connection beyond this machine", _found),
    }
    ask = Choice(
        "audit",
        f"{_whose(now.student)} is about to be loaded and to answer a puzzle, watched by the "
        "recorder of lesson 7. What will it ask of the network?",
        options,
        lambda s: reach(s["flow"]),
        as_listed=True,
    )
    return Prediction(
        ask,
        lambda: {"flow": live_checks.audit(_student(states))},
        lambda s: f"Just now: {s['flow'].text()}",
    )


_OWN: dict[str, tuple[Callable[[Evidence, States], Ask | None], ...]] = {
    "cost": (own_bill,),
    "training": (own_growth,),
    "distills": (own_distill,),
    "local": (ceiling, own_speed),
    "data": (audit,),
}


def reach(flow: Recording) -> str:
    """How far what was recorded went: 'nothing', 'here' or 'out'."""
    if flow.outside:
        return "out"
    return "here" if flow.events else "nothing"


def _found(state: State) -> str:
    flow = state["flow"]
    if flow.outside:
        beyond = "; ".join(event.text() for event in flow.outside[:3])
        return f"It went beyond this machine: {beyond}. Find out which program does this."
    if flow.events:
        return f"It stayed on this machine ({LOOPBACK} and the like)."
    return "The weights are in a file and the arithmetic is done here: there is nobody to ask."


def needed_gib(tag: str, context: int) -> float:
    """GiB for an Ollama tag's model in Q4_K_M with a cache for `context` tokens, and overhead."""
    return memory.estimate(CONFIGS[OLLAMA_TAGS[tag]], "q4_k_m", context).total / memory.GIB


def room_in(machine: Evidence) -> float:
    """GiB for a model: what the system leaves of the memory, or a graphics card's where larger."""
    return max(machine.memory - FOR_THE_SYSTEM, machine.graphics, 0) / memory.GIB


def largest_that_fits(machine: Evidence, context: int) -> str:
    """The largest tag that fits into a machine's room; 'none' if not even the smallest does."""
    room = room_in(machine)
    fitting = [tag for tag in OLLAMA_TAGS if needed_gib(tag, context) <= room]
    return max(fitting, key=lambda tag: needed_gib(tag, context), default="none")


def fits(context: int, now: Evidence) -> Choice:
    """Which is the largest distill that this machine holds with a context of so many tokens."""
    options = {
        tag: Option(f"{tag} ({name})", partial(_fit_reply, tag, context))
        for tag, name in OLLAMA_TAGS.items()
    }
    smallest = min(OLLAMA_TAGS, key=lambda tag: needed_gib(tag, context))
    options["none"] = Option("None of them", partial(_fit_reply, smallest, context))
    own = f" and a graphics card with {now.graphics / memory.GIB:.1f} GiB of its own"
    card = own if now.graphics else ""
    return Choice(
        "fits",
        f"This machine has {now.memory / memory.GIB:.1f} GiB of memory{card}. Leave "
        f"{FOR_THE_SYSTEM // memory.GIB} GiB of memory to the system and take a context of "
        f"{context:,} tokens. Which is the largest model that fits, even if it runs slowly?",
        options,
        lambda s: largest_that_fits(s["evidence"], context),
        as_listed=True,
    )


def _fit_reply(tag: str, context: int, state: State) -> str:
    room, needed = room_in(state["evidence"]), needed_gib(tag, context)
    fits = "it fits" if needed <= room else "it does not fit"
    best = largest_that_fits(state["evidence"], context)
    more = "" if needed > room or best == tag else ", and it is not the largest that does"
    return f"{tag} needs {needed:.1f} GiB and there are {room:.1f}: {fits}{more}."
