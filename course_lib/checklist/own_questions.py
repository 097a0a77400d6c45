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

from course_lib.checklist import live_checks
from course_lib.checklist.evidence import Evidence, Run, Student
from course_lib.checklist.quiz import (
    Ask,
    Choice,
    Number,
    Option,
    Prediction,
    Slip,
    State,
    States,
    fixed,
)
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


def of(question: str, now: Evidence, states: States) -> tuple[Ask, ...]:
    """What a question asks about the learner's own things, as far as they are there."""
    made: dict[str, tuple[Ask, ...]] = {
        "cost": own_bill(now),
        "training": own_growth(now),
        "distills": own_distill(now, states),
        "local": (*ceiling(now), *own_speed(now, states)),
        "data": audit(now, states),
    }
    return made.get(question, ())


def story(run: Run) -> str:
    """What a run of R1-Zero came to, in a sentence."""
    return (
        f"Your run: from {run.accuracy[0]:.0%} to {run.accuracy[1]:.0%} right, from "
        f"{run.thinking[0]:.1f} to {run.thinking[1]:.1f} tokens of thinking."
    )


@cache
def words_of(name: str) -> Mapping[str, Any]:
    """The words of `data/NAME.toml`."""
    path = Path(__file__).parent / "data" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _number(
    name: str, right: Callable[[State], float], slips: Mapping[str, float], **known: Any
) -> Number:
    """The question `name` of `own.toml`, `known` filled in, with those slips that have a number."""
    words = words_of("own")[name]
    made = [
        Slip(fixed(slips[one["value"]]), one["mistake"], one["reply"])
        for one in words["slips"]
        if one["value"] in slips
    ]
    given = {key: words[key] for key in ("tolerance", "near") if key in words}
    prompt, reply = (words[part].format_map(known) for part in ("prompt", "reply"))
    factor = known.get("factor", 1.0)
    return Number(name, prompt, words["unit"], right, reply, slips=made, factor=factor, **given)


def own_bill(now: Evidence) -> tuple[Prediction, ...]:
    """How many times dearer an answer became while reasoning grew; nothing without a run.

    Nor is there a ratio to ask for where the run began with hardly any thinking at all.
    """
    run = now.run
    if run is None or run.thinking[0] < LEAST_THINKING:
        return ()
    ratio, price = run.thinking[1] / run.thinking[0], value("api.r1_launch.output")
    slips = {"price": 1, "better": run.accuracy[1] / run.accuracy[0] if run.accuracy[0] else ratio}
    known = {"before": run.thinking[0], "price": price, "steps": run.steps}
    ask = _number("own_bill", lambda s: s["ratio"], slips, **known)
    return (Prediction(ask, lambda: {"ratio": ratio}, lambda _: story(run)),)


def own_growth(now: Evidence) -> tuple[Prediction, ...]:
    """What the learner's own R1-Zero came to; nothing without a run."""
    run = now.run
    if run is None:
        return ()
    first, last = run.accuracy
    slips = {"first": 100 * first}
    ask = _number("own_growth", lambda s: s["accuracy"], slips, first=first, steps=run.steps)
    return (Prediction(ask, lambda: {"accuracy": 100 * last}, lambda _: story(run)),)


def own_distill(now: Evidence, states: States) -> tuple[Prediction, ...]:
    """How much of its teacher a distill has kept: it is put to the test there and then."""
    if now.student is None or now.config is None:
        return ()
    size, teacher = map(_trained, (now.student.config, now.config))
    share = 100 * size / teacher
    slips = {"share": share, "guessing": GUESSING}
    known = {"size": size, "share": share, "teacher": teacher, "puzzles": live_checks.PUZZLES}
    whose = _whose(now.student)
    ask = _number("own_distill", lambda s: 100 * s["right"], slips, whose=whose, **known)

    def run() -> State:
        return {"right": live_checks.accuracy(_student(states))}

    return (Prediction(ask, run, lambda s: f"It got {s['right']:.1%} of them right, just now."),)


def _whose(student: Student) -> str:
    return "Your own distill" if student.own else "The distill that comes with the course"


def _trained(config: Mapping) -> int:
    """Parameters that are trained by gradients: all but the router's bias."""
    count = accounting.count_parameters(config)
    return count.total - count.parts.get("router bias", 0)


def _student(states: States) -> Path:
    """The folder of the student as it is now, at the time of the check."""
    return states()["evidence"].student.folder


def ceiling(now: Evidence) -> tuple[Number, ...]:
    """The speed that this machine's memory allows; nothing where it has not been measured."""
    if not now.bandwidth:
        return ()
    config = CONFIGS["R1-Distill-Qwen-7B"]
    context = int(value("ollama.context.under_24_gib"))
    held = memory.weights_bytes(config, "q4_k_m") / memory.GB

    def most(quantisation: str, bandwidth: float = now.bandwidth) -> float:
        return memory.ceiling_tokens_per_second(config, quantisation, context, bandwidth)

    slips = {name: most(name) for name in ("bf16", "fp8")}
    known = {"reads": now.bandwidth / 1e9, "held": held, "most": most("q4_k_m")}
    right = partial(most, "q4_k_m")
    return (_number("ceiling", lambda s: right(s["evidence"].bandwidth), slips, **known),)


def own_speed(now: Evidence, states: States) -> tuple[Prediction, ...]:
    """How fast the learner's distill writes here: it is timed there and then."""
    if now.student is None:
        return ()
    read = accounting.count_parameters(now.student.config).total * 4
    slips = {"memory": now.bandwidth / read} if now.bandwidth else {}
    name = _whose(now.student)
    known = {"whose": name[0].lower() + name[1:], "read": read / 1e6, "factor": BUSY}
    ask = _number("own_speed", lambda s: s["speed"].speed, slips, **known)

    def run() -> State:
        return {"speed": live_checks.speed(_student(states))}

    return (Prediction(ask, run, lambda s: f"Just now: {s['speed'].text()}."),)


def audit(now: Evidence, states: States) -> tuple[Prediction, ...]:
    """What is asked of the network while the learner's distill answers: it is watched doing so."""
    if now.student is None:
        return ()
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

    def run() -> State:
        return {"flow": live_checks.audit(_student(states))}

    return (Prediction(ask, run, lambda s: f"Just now: {s['flow'].text()}"),)


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


# --- what fits ------------------------------------------------------------------------------------


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
        tag: Option(f"{tag} ({OLLAMA_TAGS[tag]})", _fit_reply(tag, context)) for tag in OLLAMA_TAGS
    }
    smallest = min(OLLAMA_TAGS, key=lambda tag: needed_gib(tag, context))
    options["none"] = Option("None of them", _fit_reply(smallest, context))
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


def _fit_reply(tag: str, context: int) -> Callable[[State], str]:
    def reply(state: State) -> str:
        room = room_in(state["evidence"])
        needed = needed_gib(tag, context)
        fits = "it fits" if needed <= room else "it does not fit"
        best = largest_that_fits(state["evidence"], context)
        more = "" if needed > room or best == tag else ", and it is not the largest that does"
        return f"{tag} needs {needed:.1f} GiB and there are {room:.1f}: {fits}{more}."

    return reply
