"""What every engine is: it answers messages piece by piece and then says how it went."""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

from course_lib import runtime
from course_lib.errors import COLDEST, CourseError, real_number
from course_lib.task.traces import CLOSE, OPEN, begins_inside

Messages = Sequence[Mapping[str, str]]

# DeepSeek's recommendations for R1 and its distills: https://github.com/deepseek-ai/DeepSeek-R1
TEMPERATURE, TOP_P = 0.6, 0.95
CONTEXT = 16_384  # with Ollama's own default, 4,096, a long thought pushes its question out

_ROLES = ("system", "user", "assistant")
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a sign, or a byte that was no UTF-8
_LEADING = re.compile("[\ud800-\udbff]\\Z")  # the first half of a sign whose second may follow
_DEEPSEEK = re.compile(r"deepseek[-_]?r1", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """What is asked for; `max_tokens` None means as many as the context holds."""

    messages: Messages
    max_tokens: int | None = None
    temperature: float = TEMPERATURE
    top_p: float = TOP_P
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        self._check_messages()
        for name, lowest in (("max_tokens", 1), ("seed", 0)):
            found = getattr(self, name)
            if found is None:
                continue
            if not (isinstance(found, Integral) and int(found) >= lowest):
                raise CourseError(f"{name} is {found!r}; it is a whole number from {lowest}.")
            object.__setattr__(self, name, int(found))  # JSON has no place for numpy's
        for name in ("temperature", "top_p"):
            found = getattr(self, name)
            try:
                object.__setattr__(self, name, float(real_number(name, found)))
            except (ValueError, TypeError, OverflowError) as error:
                raise CourseError(f"{name} is {found!r:.80}; it must be a number.") from error
        if self.temperature != 0 and not COLDEST <= self.temperature <= 5:
            raise CourseError(
                f"temperature is {self.temperature}; allowed are 0 (greedy) and {COLDEST:g} to 5."
            )
        if not 0 < self.top_p <= 1:
            raise CourseError(f"top_p is {self.top_p}; allowed is above 0 up to 1.")
        if isinstance(self.stop, str) or not all(self.stop):
            raise CourseError("stop is a list of texts, none of them empty.")

    def _check_messages(self) -> None:
        for message in self.messages:
            told = message if isinstance(message, Mapping) else {}  # a text is a list of signs
            if told.get("role") not in _ROLES or not isinstance(told.get("content"), str):
                raise CourseError(
                    f"A message has a role ({', '.join(_ROLES)}) and a content that is text, as "
                    "in [{'role': 'user', 'content': 'Hello'}]."
                )
            if _SURROGATE.search(message["content"]):
                raise CourseError(
                    "A message holds bytes that are no text in UTF-8, or half a sign; write it "
                    "again."
                )
        last = self.messages[-1] if self.messages else {"role": "user", "content": ""}
        if last["role"] != "user" or not last["content"].strip():
            raise CourseError("The prompt is empty; the last message must be a user's question.")


@dataclass(frozen=True)
class Summary:
    """How an answer went. Seconds are wall-clock: reading the prompt, then generating."""

    engine: str
    model: str
    finish: str  # "stop", or "length" where max_tokens or the context ended it
    prompt_tokens: int  # 0 where a server does not tell them
    completion_tokens: int
    prompt_seconds: float
    seconds: float
    cut: int = 0  # tokens of the prompt, at least, that the server did not read
    known: int = 0  # tokens of the prompt that it had read before, and did not read again

    @property
    def prompt_speed(self) -> float:
        """Tokens of the prompt read in a second; 0 where the time that it took is not known."""
        read = self.prompt_tokens - self.known
        return read / self.prompt_seconds if self.prompt_seconds > 0 else 0.0

    @property
    def speed(self) -> float:
        """Tokens generated in a second; 0 for one token, whose time is in the prompt's."""
        return self.completion_tokens / max(self.seconds, 1e-9) if self.completion_tokens > 1 else 0

    def text(self) -> str:
        """One line for a reader, which always says who answered."""
        cut = f"; the prompt was cut: at least {self.cut} more were sent" if self.cut else ""
        known = f"{self.prompt_tokens - self.known} of " if self.known else ""
        speed = f" at {self.prompt_speed:.0f}/s" if self.prompt_seconds > 0 else ""
        read = f"{known}{self.prompt_tokens} tokens read{speed}, " if self.prompt_tokens else ""
        speed = f" at {self.speed:.0f}/s" if self.speed else ""
        return (
            f"{self.model} in {self.engine}: {read}"
            f"{self.completion_tokens} written{speed}, ended by {self.finish}{cut}"
        )


Pieces = Iterator[str | Summary]
"""An answer as an engine makes it: its text, and the summary last."""


class Stream:
    """An answer as it comes: iterate over its pieces; `summary` is there when they have ended.

    In a `with` statement it is closed at the end, which stops the server's work too. Whatever
    happens, `text` holds what has come so far. `prefilled` says that the prompt ended with
    an opening tag, so that the text begins inside the thought (see `traces.parse_trace`); where a
    server made the prompt, that is known only when the text has come whole.
    """

    def __init__(self, pieces: Pieces, *, prefilled: bool = False) -> None:
        self._pieces = pieces
        self._received: list[str] = []
        self._half = ""  # of a sign that two pieces share
        self.prefilled = prefilled
        self.summary: Summary | None = None

    @property
    def text(self) -> str:
        """All pieces so far."""
        return "".join(self._received)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        for piece in self._pieces:
            if isinstance(piece, Summary):
                self.summary = piece
            elif piece and (whole := self._whole(piece)):
                return whole
        if self._half:
            return self._whole("", last=True)
        self.prefilled = self.prefilled or begins_inside(self.text)
        raise StopIteration

    def _whole(self, piece: str, *, last: bool = False) -> str:
        """Receive a piece, but for half a sign at its end: the next piece may have the other."""
        piece = self._half + piece
        self._half = "" if last or not _LEADING.search(piece) else piece[-1]
        piece = piece[: len(piece) - len(self._half)]
        if _SURROGATE.search(piece):  # two halves become a sign, one alone is none
            piece = piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if piece:
            self._received.append(piece)
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the answer, and the server's work on it; the engine is free for the next."""
        stop = getattr(self._pieces, "close", None)  # a plain iterator has nothing to stop
        if stop is not None:
            stop()


class Engine(ABC):
    """One model in one program. `kind` names the program, `model` who answers."""

    kind: str
    model: str
    context: int
    vocabulary: int = 0  # tokens that it knows; 0 where that is not told

    def stream(
        self,
        messages: Messages,
        *,
        max_tokens: int | None = None,
        temperature: float = TEMPERATURE,
        top_p: float = TOP_P,
        stop: Sequence[str] | None = (),
        seed: int | None = None,
    ) -> Stream:
        """Answer `messages`, a list of {"role", "content"} that ends with the user's.

        Temperature 0 is greedy. No system prompt is added. Raises CourseError for an empty prompt,
        a prompt longer than the context, or an engine that fails; the stream keeps what had come.
        """
        stops: Any = stop if isinstance(stop, str) else tuple(stop or ())  # a text is refused
        return self._stream(Request(messages, max_tokens, temperature, top_p, stops, seed))

    @abstractmethod
    def _stream(self, request: Request) -> Stream:
        """Start answering a request that has been checked."""

    def close(self) -> None:  # noqa: B027 - most engines hold nothing
        """Give back what the engine holds."""

    def __str__(self) -> str:
        return f"{self.model} in {self.kind}"


def without_thoughts(messages: Messages) -> list[dict[str, str]]:
    """The messages, earlier answers without their thoughts, as R1's chat template has it."""
    return [
        dict(one) | {"content": one["content"].rpartition(CLOSE)[2]}
        if one["role"] == "assistant"
        else dict(one)
        for one in messages
    ]


def is_deepseek(model: str) -> bool:
    """Whether this is DeepSeek's R1 or one of its distills, going by the name."""
    return bool(_DEEPSEEK.search(model))


def force_thinking(prompt: str, model: str) -> tuple[str, bool]:
    """The prompt with an opened thought where `model` is DeepSeek's and its template has none.

    Returns the prompt and whether it ends inside a thought. Early copies of the distills end their
    prompts at the assistant's token, and then now and then skip thinking altogether.
    """
    if prompt.rstrip().endswith(OPEN):
        return prompt, True
    if is_deepseek(model):
        return f"{prompt}{OPEN}\n", True
    return prompt, False


def refuse_too_large(name: str, needed: int) -> None:
    """Raise CourseError, before it is loaded, for a model larger than the free memory."""
    free = runtime.memory()[1]
    if needed > free:
        raise CourseError(
            f"{name} needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
            "choose a smaller model, or a stronger quantisation in Ollama or llama.cpp."
        )


def room(prompt_tokens: int, context: int, max_tokens: int | None) -> int:
    """How many tokens may be generated; CourseError if the prompt leaves no room."""
    if prompt_tokens >= context:
        raise CourseError(
            f"The prompt has {prompt_tokens} tokens and the context holds {context}; shorten the "
            "prompt or ask for more (`--context N`, in Python `context=N`)."
        )
    return min(max_tokens or context, context - prompt_tokens)


def overlap(text: str, word: str) -> int:
    """How many characters at the end of `text` are a beginning of `word`, and not all of it."""
    longest = min(len(text), len(word) - 1)
    return next((n for n in range(longest, 0, -1) if word.startswith(text[-n:])), 0)


class Tags:
    """Gives a thought that a server sends apart from the answer its tags back.

    A closing tag within the thought is written as code, so that it is not read as its end.
    """

    def __init__(self) -> None:
        self._open = False
        self._held = ""  # the end of the thought, as long as it may become a closing tag

    def join(self, thought: str, content: str, *, last: bool = False) -> str:
        """The next piece of the text, of a piece of the thought and one of the answer."""
        thought = (self._held + thought).replace(CLOSE, f"`{CLOSE}`")
        shown = len(thought) - (0 if content or last else overlap(thought, CLOSE))
        thought, self._held = thought[:shown], thought[shown:]
        text = thought if self._open or not thought else f"{OPEN}\n{thought}"
        self._open = self._open or bool(thought)
        if content:
            text += f"\n{CLOSE}\n\n" * self._open + content
            self._open = False
        return text


class Clock:
    """Time taken to read a prompt and to generate, for engines that do not measure it."""

    def __init__(self) -> None:
        self._start = self._first = time.perf_counter()

    def first_token(self) -> None:
        """The prompt has been read."""
        self._first = time.perf_counter()

    def seconds(self) -> tuple[float, float]:
        """Seconds for the prompt and for the rest."""
        return self._first - self._start, time.perf_counter() - self._first
