"""Local inference: one interface to transformers, Ollama, llama.cpp, and a server of your own.

`available()` lists what can answer, `best()` opens the first of it and `named(what)` what you name;
`engine.stream(messages)` gives the answer piece by piece and then says how it went. It is always
said who answers.
"""

from course_lib.local.engines.base import Engine, Request, Stream, Summary
from course_lib.local.engines.catalogue import Option, available, best, named, students

__all__ = [
    "Engine",
    "Option",
    "Request",
    "Stream",
    "Summary",
    "available",
    "best",
    "named",
    "students",
]
