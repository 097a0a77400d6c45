"""Local inference: one interface to transformers, Ollama and llama.cpp.

`available()` lists what can answer, `best()` opens the first of it, and `engine.stream(messages)`
gives the answer piece by piece and then says how it went. It is always said who answers.
"""

from course_lib.local.engines.base import Engine, Request, Stream, Summary
from course_lib.local.engines.catalogue import Option, available, best, students

__all__ = ["Engine", "Option", "Request", "Stream", "Summary", "available", "best", "students"]
