"""Thought and answer apart, from a whole text or a stream.

Servers read `<think>` alike: the thought ends at the first `</think>` (Ollama's reader, vLLM's
`deepseek_r1`). Here a tag that is quoted as code is not that end, as long as another one is.
"""

import re
from dataclasses import dataclass, replace

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class Trace:
    """A completion taken apart. Nothing is stripped, so that the parts add up to the text.

    `opened` and `closed` say whether the tags stand in the text itself: a prefilled thought, whose
    opening tag was part of the prompt, has `opened` False.
    """

    thinking: str
    answer: str
    opened: bool
    closed: bool


# A line that begins or ends a code block, also in a list, in a quotation or after words: one run of
# three or more backticks or tildes, and what stands before and after it.
_FENCE = re.compile(r"([^`~]*)(`{3,}|~{3,})([^`~]*)")
_LEAD = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?")
_CLOSING = re.compile(r"`</think>`|</think>")
_QUOTED = f"`{OPEN}`"


@dataclass
class _Reading:
    """Where the parts of a text lie, as far as its lines have been read.

    Of the places of `</think>` only the first of each kind matters: if it leaves no answer, no
    later one does.
    """

    prefilled: bool
    at: int = 0  # where the next line begins
    start: int | None = None  # where the thought begins; None as long as only blanks were seen
    opened: bool = False
    fence: str = ""  # of the code block that is open
    outside: int | None = None  # the first tag that is no code,
    inside: int | None = None  # in the code block that is open,
    quoted: int | None = None  # in a code block that has ended
    last: int = 0  # the end of the last line that is not blank

    def read(self, line: str) -> None:
        """Take the next line, without its line end."""
        begin = self.at
        self.at += len(line) + 1
        if line.strip():
            self.last = begin + len(line.rstrip())
        if self.start is None and line.strip():
            offset = self._find_start(line)
            self.start, line, begin = begin + offset, line[offset:], begin + offset
        if (
            self.start is not None
            and (self.opened or self.prefilled)
            and (not self._leaves_answer(self.outside))
        ):
            self._read_thought(line, begin)

    def _leaves_answer(self, tag: int | None) -> bool:
        return tag is not None and tag + len(CLOSE) < self.last

    def _find_start(self, line: str) -> int:
        indent = len(line) - len(line.removeprefix("\ufeff").lstrip())  # Notepad's mark
        self.opened = line.startswith(OPEN, indent)
        return indent + len(OPEN) if self.opened else 0

    def _read_thought(self, line: str, begin: int) -> None:
        self._read_fence(line.partition(CLOSE)[0])
        for tag in _CLOSING.finditer(line):
            place = begin + tag.start()
            if tag[0] == CLOSE and self.fence:
                self.inside = place if self.inside is None else self.inside
            elif tag[0] == CLOSE:
                self.outside = place if self.outside is None else self.outside

    def _read_fence(self, line: str) -> None:
        """Open or close a code block, where the line does so."""
        found = _FENCE.fullmatch(line)
        if found is None:
            return
        before, fence, info = found.groups()
        if not self.fence:
            self.fence = fence
        elif _LEAD.fullmatch(before) and fence.startswith(self.fence):
            if not info.strip():
                self.fence, self.quoted = "", self.inside if self.quoted is None else self.quoted
            elif self.outside is None:
                # A block cannot begin within a block: the one before was never closed, and what
                # stands in it is no code.
                self.fence, self.outside = fence, self.inside
            self.inside = None

    def _close(self) -> int | None:
        """Where the thought ends: the first tag that is no code and leaves an answer.

        Where a block never ends it is a tag in that block, or in any (which block it is that lacks
        its end is not known). Else it is the first tag that is no code.
        """
        unsure = [self.inside, self.quoted] if self.fence else []
        leaving = [tag for tag in (self.outside, *unsure) if self._leaves_answer(tag)]
        return next((tag for tag in (*leaving, self.outside, self.inside) if tag is not None), None)

    def split(self, text: str) -> Trace:
        """Cut the text that was read."""
        if not (self.opened or self.prefilled):
            return Trace("", text, False, False)
        start = self.start if self.opened and self.start is not None else 0
        close = self._close()
        if close is None:
            return Trace(text[start:], "", self.opened, False)
        return Trace(text[start:close], text[close + len(CLOSE) :], self.opened, True)


class TraceReader:
    """`parse_trace` for a stream: `feed` the pieces as they come and look at `trace` at any time.

    However the text was cut into pieces, `trace` is that of the text so far.
    """

    def __init__(self, *, prefilled: bool = False) -> None:
        self._reading = _Reading(prefilled)
        self._pieces: list[str] = []
        self._line: list[str] = []  # pieces of the line that has not ended yet

    def feed(self, piece: str) -> None:
        """Take the next piece of text."""
        self._pieces.append(piece)
        *ended, rest = piece.split("\n")
        for end in ended:
            self._reading.read("".join([*self._line, end]))
            self._line.clear()
        self._line.append(rest)

    @property
    def text(self) -> str:
        """All that was fed."""
        return "".join(self._pieces)

    @property
    def trace(self) -> Trace:
        """The trace of the text so far."""
        reading = replace(self._reading)
        reading.read("".join(self._line))
        return reading.split(self.text)


def parse_trace(text: str, *, prefilled: bool = False) -> Trace:
    """Take thought and answer apart.

    A thought starts with `<think>` at the beginning of the text, or at once where the prompt ended
    with that tag (`prefilled`). It ends at the first `</think>` that leaves an answer and is not
    code: not between backticks, and not in a code block. A block that is never closed is taken for
    text, so that the answer is found behind it. Tags in the answer are part of the answer, and
    without a thought the whole text is the answer.
    """
    reader = TraceReader(prefilled=prefilled)
    reader.feed(text)
    return reader.trace


def begins_inside(text: str) -> bool:
    """Whether a text that has come whole begins inside a thought: it has the end of one alone.

    A server may put `<think>` into the prompt without a word, and send thought and answer as one.
    Then a `</think>` that is no code ends what no `<think>` in the text began.
    """
    trace = parse_trace(text, prefilled=True)
    return trace.closed and not trace.opened and OPEN not in trace.thinking.replace(_QUOTED, "")
