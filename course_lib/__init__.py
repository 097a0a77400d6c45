"""Inside R1: the library behind the notebooks.

Importing the package is cheap. A folder is a room, a module is one idea and is imported by name,
for example ``from course_lib.task import puzzles``; torch and transformers load with the modules
that need them. Imports go one way, from the first room to the last: `ROOMS`.
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

ROOMS = (
    "task",
    "show",
    "model",
    "moe",
    "rl",
    "facts",
    "cost",
    "local",
    "limits",
    "distill",
    "pipeline",
    "checklist",
    "classroom",
    "widgets",
)
"""The rooms from the bottom up: each may import what stands before it, and the ground floor, which
is errors, runtime and records."""


def __getattr__(name: str) -> ModuleType:
    """`from course_lib import notebook`: how notebooks began before there were rooms."""
    if name == "notebook":
        return import_module("course_lib.show.notebook")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
