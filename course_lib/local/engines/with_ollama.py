"""The Ollama engine: a model in a running Ollama server, through Ollama's own client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import ollama

from course_lib.errors import CourseError
from course_lib.local.engines.base import (
    CONTEXT,
    Clock,
    Engine,
    Request,
    Stream,
    Summary,
    is_deepseek,
    room,
)
from course_lib.task.traces import CLOSE, OPEN

ADDRESS = "http://localhost:11434"
_PATIENCE = httpx.Timeout(600, connect=2)


class OllamaEngine(Engine):
    """A model that Ollama has."""

    kind = "Ollama"

    def __init__(self, model: str, host: str = ADDRESS, context: int | None = None):
        """Look `model` up. Raises CourseError if nothing listens at `host` or it is not there."""
        self.model, self._host = model, host
        self.context = context or CONTEXT
        self._client = ollama.Client(host, timeout=_PATIENCE)
        with self._explaining():
            shown = self._client.show(model)
        self._thinks = "thinking" in (shown.capabilities or [])

    def _stream(self, request: Request) -> Stream:
        # Ollama cuts a long prompt without a word. A word takes at least a token, mostly.
        words = sum(len(message["content"].split()) for message in request.messages)
        options: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "num_ctx": self.context,
            "num_predict": room(words, self.context, request.max_tokens),
            "stop": list(request.stop),
        }
        if request.seed is not None:
            options["seed"] = request.seed
        messages = [dict(message) for message in request.messages]
        forced = is_deepseek(self.model) and not self._thinks
        if forced:
            messages.append({"role": "assistant", "content": f"{OPEN}\n"})
        return Stream(self._answer(messages, options), prefilled=forced)

    def _answer(
        self, messages: list[dict[str, str]], options: dict[str, Any]
    ) -> Iterator[str | Summary]:
        """The text as other engines give it: Ollama sends a thought without its tags."""
        clock, thinking = Clock(), False
        with self._explaining():
            for part in self._client.chat(
                self.model, messages, stream=True, options=options, think=self._thinks or None
            ):
                if part.message.thinking:
                    yield part.message.thinking if thinking else f"{OPEN}\n{part.message.thinking}"
                    thinking = True
                if part.message.content:
                    yield f"\n{CLOSE}\n\n" * thinking + part.message.content
                    thinking = False
                if part.done:
                    yield self._summary(part, clock)
                    return
        raise CourseError("Ollama broke off in the middle of its answer; what had come is kept.")

    def _summary(self, part: ollama.ChatResponse, clock: Clock) -> Summary:
        reading, writing = part.prompt_eval_duration, part.eval_duration
        return Summary(
            engine=self.kind,
            model=self.model,
            finish=part.done_reason or "stop",
            prompt_tokens=part.prompt_eval_count or 0,
            completion_tokens=part.eval_count or 0,
            prompt_seconds=(reading or 0) / 1e9,
            seconds=writing / 1e9 if writing else sum(clock.seconds()),
        )

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn the client's errors into sentences."""
        try:
            yield
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise CourseError(
                f"Nothing answers at {self._host}; start Ollama there (`ollama serve`) or choose "
                "another engine."
            ) from error
        except ollama.ResponseError as error:
            if error.status_code == 404:
                raise CourseError(self._unknown_model()) from error
            raise CourseError(f"Ollama refuses: {str(error.error).strip()[:300]}.") from error
        except (httpx.HTTPError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CourseError(
                f"Ollama broke off in the middle of its answer ({reason}); what had come is kept."
            ) from error

    def _unknown_model(self) -> str:
        here = ", ".join(name for name, _ in installed(self._host)) or "none"
        return (
            f"Ollama has no model {self.model!r}; it has: {here}. `ollama pull {self.model}` "
            "fetches it."
        )


def installed(host: str = ADDRESS) -> Sequence[tuple[str, int]]:
    """Name and bytes of each model in the Ollama server at `host`; none where nothing listens."""
    try:
        listed = ollama.Client(host, timeout=httpx.Timeout(5, connect=0.5)).list()
    except (ConnectionError, httpx.HTTPError, ollama.ResponseError, ValueError):
        return []
    return [(entry.model, int(entry.size or 0)) for entry in listed.models if entry.model]
