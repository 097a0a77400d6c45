"""An engine without a model: a rule of a few lines answers. It says so wherever it is named.

It stands where a lesson needs behaviour that the course's small models do not have, such as asking
for a tool, and where a test must know the answer beforehand.
"""

import re
from collections.abc import Callable

from course_lib.local.engines.base import Clock, Engine, Messages, Pieces, Request, Stream, Summary

_PIECE = re.compile(r"\s*\S+\s*|\s+")


class RuleEngine(Engine):
    """`rule(messages)` gives the whole answer, which is streamed word by word."""

    kind = "a rule, no model"
    context = 1_000_000

    def __init__(self, rule: Callable[[Messages], str], name: str = "rule") -> None:
        self._rule, self.model = rule, name

    def _stream(self, request: Request) -> Stream:
        return Stream(self._answer(request))

    def _answer(self, request: Request) -> Pieces:
        clock, most = Clock(), request.max_tokens
        pieces = _PIECE.findall(self._rule(request.messages))
        clock.first_token()
        yield from pieces[:most]
        finish = "length" if most is not None and len(pieces) > most else "stop"
        asked = sum(len(message["content"].split()) for message in request.messages)
        said = len(pieces[:most])
        yield Summary(self.kind, self.model, finish, asked, said, *clock.seconds())
