"""One of each widget of the course, as the notebooks make them, for tests and benchmarks."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable

from course_lib import widgets
from course_lib.checklist.evidence import ASSETS, Evidence, Run, Student, read_config
from course_lib.widgets.base import Widget

THOUGHT = "<think> +3=10 +5=16 -2=14 no +3=10 -5=5 +2=7 yes</think> + - +"


def classes() -> set[type[Widget]]:
    """Every class of widget in `course_lib.widgets`."""
    for module in pkgutil.walk_packages(widgets.__path__, "course_lib.widgets."):
        importlib.import_module(module.name)

    def below(kind: type[Widget]) -> set[type[Widget]]:
        found = {kind} if kind.__module__.startswith("course_lib") else set()
        return found.union(*map(below, kind.__subclasses__()))

    return {kind for kind in below(Widget) - {Widget} if not inspect.isabstract(kind)}


def evidence() -> Evidence:
    """A learner who has a run, a distill and a machine."""
    folder = ASSETS / "mini-r1-distill"
    student = Student(folder, read_config(folder, ("qwen2",)), own=True)
    run = Run(ASSETS / "none", 60, (0.12, 0.84), (1.0, 24.0))
    return Evidence(24 << 30, read_config(ASSETS / "mini-v3-base"), run, student, 0, 20e9)


def lines() -> list[dict[str, float]]:
    """The log of a run that grows."""
    return [
        {
            "step": step,
            "reward": step / 70,
            "thinking_tokens": 1 + step / 2,
            "attempts": step / 20,
            **({"accuracy": 0.12 + step / 80} if step % 10 == 0 else {}),
        }
        for step in range(61)
    ]


def _way(question: str, name: str) -> Widget:
    from course_lib.checklist.questions import checklist
    from course_lib.widgets.question import Way

    asked = checklist(evidence())[question]
    return Way(asked, next(way for way in asked.ways if way.name == name))


def _words() -> Widget:
    from course_lib.checklist.questions import checklist
    from course_lib.widgets.question import OwnWords

    return OwnWords(checklist(evidence()).values())


def _flow() -> Widget:
    from course_lib.limits import dataflow
    from course_lib.widgets.dataflow import DataFlowInspector

    local = dataflow.Event("connect", "127.0.0.1", 11434, dataflow.LOOPBACK, 1)
    out = dataflow.Event("look-up", "example.org", 443, dataflow.OUTSIDE, 1)
    quiet, loud = dataflow.Recording([local]), dataflow.Recording([local, out])
    asked = [{"role": "user", "content": "7 ? 3 ? 5 ? 2 = 11"}]
    request = dataflow.hosted_request(dataflow.DEEPSEEK_API, asked)
    return DataFlowInspector({"here": quiet, "an engine that phones": loud}, request)


def _microscope() -> Widget:
    import torch

    from course_lib.rl.microscope import dissect
    from course_lib.widgets.microscope import TokenMicroscope

    logp = torch.linspace(-2, -0.1, 32).view(2, 16)
    mask = torch.ones(2, 16, dtype=torch.bool)
    anatomy = dissect(
        logp, logp - 0.1, torch.tensor([1.0, -1.0]), mask, ref_logp=logp - 0.2, kl=0.1
    )
    return TokenMicroscope(anatomy, [[f"t{i}" for i in range(16)]] * 2, [1.0, 0.0], [1.0, -1.0])


def _live() -> Widget:
    from course_lib.widgets.live_run import LiveRun

    made = LiveRun(steps=60)
    for line in lines():
        made.add(line)
    return made


def _film() -> Widget:
    import torch

    from course_lib.moe.training import Run
    from course_lib.widgets.films import LoadFilm

    loads = torch.linspace(0, 2, 320).view(20, 2, 8)
    return LoadFilm([Run("none", [1.0] * 20, loads, 1.0), Run("bias", [1.0] * 20, 2 - loads, 1.0)])


def _answers() -> Widget:
    from course_lib.rl import answers
    from course_lib.widgets.films import AnswersFilm

    return AnswersFilm(answers.load_record())


def _growth() -> Widget:
    from course_lib.widgets.films import GrowthFilm

    return GrowthFilm(lines())


def _viewer() -> Widget:
    from course_lib.task.puzzles import Puzzle
    from course_lib.widgets.trace_viewer import TraceViewer

    return TraceViewer(THOUGHT, Puzzle((7, 3, 5, 2), 7), budget=96)


def _explorer() -> Widget:
    from course_lib.model import models
    from course_lib.widgets.live.explorer import Explorer

    names = {"Before": "mini-v3-base", "After": "mini-r1-zero"}
    return Explorer({label: models.shipped(name) for label, name in names.items()})


def _plain(module: str, kind: str, /, **given) -> Callable[[], Widget]:
    return lambda: getattr(importlib.import_module(f"course_lib.widgets.{module}"), kind)(**given)


MAKERS: dict[str, Callable[[], Widget]] = {
    "CostPerAnswer": _plain("costs", "CostPerAnswer"),
    "OwnMachine": _plain("costs", "OwnMachine"),
    "BenchmarkExplorer": _plain("benchmarks", "BenchmarkExplorer"),
    "Router": _plain("router", "Router"),
    "StageExplorer": _plain("stages", "StageExplorer"),
    "DistillExplorer": _plain("distills", "DistillExplorer"),
    "ClaimsBrowser": _plain("claims", "ClaimsBrowser"),
    "WillItRun": _plain("will_it_run", "WillItRun", measured=("student in llama.cpp", 812.0)),
    "DataFlowInspector": _flow,
    "TokenMicroscope": _microscope,
    "TraceViewer": _viewer,
    "Explorer": _explorer,
    "LoadFilm": _film,
    "AnswersFilm": _answers,
    "GrowthFilm": _growth,
    "LiveRun": _live,
    "Way (choice)": lambda: _way("cost", "news"),
    "Way (number)": lambda: _way("cost", "cents"),
    "Way (order)": lambda: _way("training", "stages"),
    "Way (prediction)": lambda: _way("training", "own_growth"),
    "Guess (number)": _plain("predict", "Guess", name="g.n", prompt="How many?", unit="tokens"),
    "Guess (choice)": _plain("predict", "Guess", name="g.c", prompt="Why?", options=["a", "b"]),
    "OwnWords": _words,
}
"""Name of the class, with what tells several of one class apart -> how to make one."""
