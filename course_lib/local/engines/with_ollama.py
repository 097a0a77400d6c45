"""The Ollama engine: a model in a running Ollama server, by its protocol of JSON lines.

Written after Ollama's API (https://docs.ollama.com/api) of August 2026. Two things it does not do
by itself: it never asks a model that lives elsewhere (Ollama lists models of its cloud beside those
on this machine), and it asks Ollama to refuse a prompt or to stop an answer that does not fit the
context, where Ollama would drop the oldest tokens, the question among them, and go on.
"""

import math
from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

from course_lib.errors import CourseError
from course_lib.local.engines import base
from course_lib.local.engines.wire import PATIENCE, Refusal, Wire, host_of, number_in, objects_in
from course_lib.task.traces import OPEN

ADDRESS = "http://localhost:11434"
CLOUD = "ollama.com"
_HINT = "start Ollama there (`ollama serve`) or choose another engine"
_LONGEST_TOKEN = 16  # bytes; longer ones are blanks and dashes, which no question is made of
_COUNTS = ("prompt_eval_count", "eval_count", "prompt_eval_duration", "eval_duration")


class Tag(NamedTuple):
    """A model that Ollama lists: its name, its bytes, and the host it lives on, "" for here."""

    name: str
    size: int
    elsewhere: str = ""


class OllamaEngine(base.Engine):
    """A model that Ollama has."""

    kind = "Ollama"

    def __init__(
        self,
        model: str,
        host: str = ADDRESS,
        context: int | None = None,
        *,
        send_to: str = "",
        patience: float = PATIENCE,
    ) -> None:
        """Look `model` up. Raises CourseError if nothing listens at `host` or it is not there.

        A model that lives elsewhere is refused unless `send_to` names the host that it lives on.
        """
        self.model, self.context = model, context or base.CONTEXT
        self._wire = wire(host, patience)
        self._confirmed = send_to.lower()
        self._confirm(_elsewhere(model, {}))  # by its name, before a word is said about it
        try:
            shown = self._wire.ask("/api/show", {"model": model})
        except Refusal as refusal:
            raise self._unknown(refusal, host) from refusal
        self._confirm(_elsewhere(model, shown))
        capabilities = shown.get("capabilities")
        self._thinks = isinstance(capabilities, list) and "thinking" in capabilities

    def _confirm(self, elsewhere: str, sent: str = "Nothing was sent.") -> None:
        if elsewhere and elsewhere != self._confirmed:
            raise CourseError(
                f"{self.model} does not run here: Ollama would send every word to {elsewhere}. "
                f"{sent} To do so all the same, say `--send-to {elsewhere}` (in Python "
                f"send_to={elsewhere!r}); to turn such models off, start Ollama with "
                "OLLAMA_NO_CLOUD=1."
            )

    def _unknown(self, refusal: Refusal, host: str) -> CourseError:
        if refusal.status != 404:
            return refusal
        here = ", ".join(tag.name for tag in installed(host)) or "none"
        no_file = f"There is no file or folder {self.model!r}, and "
        return CourseError(
            f"{no_file if looks_like_a_path(self.model) else ''}Ollama has no model "
            f"{self.model!r}; it has: {here}. If {CLOUD} has it, `ollama pull {self.model}` "
            "fetches it."
        )

    def _stream(self, request: base.Request) -> base.Stream:
        messages = base.without_thoughts(request.messages)
        least = sum(least_tokens(message["content"]) for message in messages)
        options: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,  # older servers add 1.1, which long working suffers from
            "num_ctx": self.context,
            "num_predict": base.room(least, self.context, request.max_tokens),
            "stop": list(request.stop),
        }
        if request.seed is not None:
            options["seed"] = request.seed
        forced = base.is_deepseek(self.model) and not self._thinks
        if forced:
            messages.append({"role": "assistant", "content": f"{OPEN}\n"})
        body = {"model": self.model, "messages": messages, "stream": True, "options": options}
        body |= {"truncate": False, "shift": False}  # refuse and stop: drop nothing in silence
        if self._thinks:
            body["think"] = True
        return base.Stream(self._answer(body, least), prefilled=forced)

    def _answer(self, body: dict[str, Any], least: int) -> base.Pieces:
        """The text as other engines give it: Ollama sends a thought without its tags."""
        clock, tags = base.Clock(), base.Tags()
        for part in self._wire.objects("/api/chat", body, body["options"]["num_predict"]):
            self._confirm(_elsewhere("", part), "It has the question; nothing more is sent.")
            message = part.get("message") or {}
            both = self._text(message, "thinking"), self._text(message, "content")
            done = part.get("done") is True
            yield tags.join(*both, last=done)
            if done:
                yield self._summary(part, clock, least)
                return
        raise self._wire.fault("broke off in the middle of its answer")

    def _text(self, message: Any, name: str) -> str:
        found = message.get(name) if isinstance(message, dict) else 0
        if found is not None and not isinstance(found, str):
            raise self._wire.fault(f"sent a message whose {name} is no text")
        return found or ""

    def _summary(self, part: dict[str, Any], clock: base.Clock, least: int) -> base.Summary:
        read, written, reading, writing = (number_in(part.get(name)) for name in _COUNTS)
        reason = part.get("done_reason")
        finish = reason if isinstance(reason, str) and reason else "stop"
        spent = reading / 1e9, writing / 1e9 if writing else sum(clock.seconds())
        cut = max(0, least - read) if read else 0
        return base.Summary(self.kind, self.model, finish, read, written, *spent, cut=cut)

    def close(self) -> None:
        """Close the connection; Ollama keeps the model in memory for some minutes."""
        self._wire.close()


def wire(host: str, patience: float, connecting: float = 2.0) -> Wire:
    """A connection to the Ollama server at `host`, which may do without its `http://`."""
    return Wire("Ollama", _whole(host), hint=_HINT, patience=patience, connecting=connecting)


def _whole(host: str) -> str:
    return host if "://" in host else f"http://{host}"


def listed(host: str) -> object:
    """What the Ollama server at `host` says that it has. Raises CourseError where none answers."""
    with closing(wire(host, patience=3, connecting=0.5)) as connection:
        return connection.ask("/api/tags").get("models")


def installed(host: str = ADDRESS) -> Sequence[Tag]:
    """Each model that the Ollama server at `host` lists; none where nothing sound answers.

    Raises CourseError for a `host` that is no address.
    """
    host_of(_whole(host))
    try:
        models = listed(host)
    except CourseError:
        return []
    named = [(one.get("model") or one.get("name"), one) for one in objects_in(models)]
    return [
        Tag(name, number_in(one.get("size")), _elsewhere(name, one))
        for name, one in named
        if isinstance(name, str) and name
    ]


def looks_like_a_path(model: str) -> bool:
    """Whether a name may have been meant for a file or a folder."""
    return "/" in model or "\\" in model


def least_tokens(text: str) -> int:
    """A count that the tokens of `text` do not fall below, from its bytes, in any language.

    A token does not reach over a blank between words, and holds a few bytes; `_LONGEST_TOKEN` of
    them is more than words, numbers, Chinese or JSON come to.
    """
    return sum(math.ceil(len(word.encode()) / _LONGEST_TOKEN) for word in text.split())


def _elsewhere(name: str, told: dict[str, Any]) -> str:
    """The host a model lives on where that is not this machine, from its name or what is told."""
    host, model = told.get("remote_host"), told.get("remote_model")
    if host or model:
        return str(host or CLOUD).split("://")[-1].split("/")[0].lower()
    return CLOUD if name.strip().lower().endswith((":cloud", "-cloud")) else ""
