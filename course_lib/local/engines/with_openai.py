"""Any server with OpenAI's protocol, by its URL: vLLM, SGLang, llama.cpp's own, LM Studio and more.

This is how a company runs one model for many: the server keeps the weights once, puts the requests
of all who ask into one batch, and asks for a key. The interface here stays the same.
"""

import os
from typing import Any
from urllib.parse import urlsplit

from course_lib.errors import CourseError
from course_lib.local.engines import base
from course_lib.local.engines.wire import PATIENCE, Wire, number_in, objects_in
from course_lib.local.engines.with_ollama import least_tokens

KEY_VARIABLE = "INSIDE_R1_SERVER_KEY"
_HINT = "ask whoever runs the server, or choose another engine"
_THOUGHT = ("reasoning_content", "reasoning")  # what llama.cpp and SGLang, and what vLLM call it


class OpenAIEngine(base.Engine):
    """A model behind an OpenAI-compatible server at `url`, with or without its `/v1`.

    Where a server has several models, `#NAME` behind its URL is one of them, as `model` is.
    """

    kind = "a server"

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        key: str | None = None,
        context: int | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Take `model`, or the only one that the server has. The key is `key` or the environment's.

        Raises CourseError where nothing answers, the key is refused, or the model must be named.
        """
        url, _, chosen = url.partition("#")
        address = url.rstrip("/").removesuffix("/v1")
        secret = (os.environ.get(KEY_VARIABLE, "") if key is None else key).strip()
        self._wire = Wire("the server", address, hint=_HINT, key=secret, patience=patience)
        self.kind = f"a server at {urlsplit(self._wire.address).netloc}"
        found = self._chosen(objects_in(self._wire.ask("/v1/models").get("data")), model or chosen)
        self.model = str(found.get("id", ""))
        self._limit = number_in(found.get("max_model_len"))  # vLLM and SGLang say it
        self.context = context or self._limit or base.CONTEXT

    def _chosen(self, models: list[dict[str, Any]], model: str) -> dict[str, Any]:
        wanted = [one for one in models if not model or one.get("id") == model]
        if len(wanted) == 1:
            return wanted[0]
        names = ", ".join(str(one.get("id")) for one in models[:20]) or "none"
        raise CourseError(
            f"{self._wire.address} has these models: {names}. Name one of them behind the URL: "
            f"{self._wire.address}#NAME."
        )

    def _stream(self, request: base.Request) -> base.Stream:
        messages = base.without_thoughts(request.messages)
        least = sum(least_tokens(message["content"]) for message in messages)
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        most = base.room(least, self.context, request.max_tokens)
        if request.max_tokens is not None or not self._limit:
            body["max_tokens"] = most
        # Else the server fills its context: it alone has counted the prompt, and refuses a number
        # that does not fit beside it. Those that say no limit do not, but may end early by default
        # (mlx_lm.server after 512 tokens).
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body["seed"] = request.seed
        return base.Stream(self._answer(body, most))

    def _answer(self, body: dict[str, Any], most: int) -> base.Pieces:
        clock, tags, finish, pieces = base.Clock(), base.Tags(), "", 0
        usage: dict[str, Any] = {}
        try:
            for event in self._wire.objects("/v1/chat/completions", body, most):
                usage = event.get("usage") or usage
                choice = next(iter(objects_in(event.get("choices"))), {})
                # a server that does not stream sends the answer as one whole message
                thought, content = self._pieces(choice.get("delta") or choice.get("message"))
                said = choice.get("finish_reason")
                finish = str(said) if said and said != "null" else finish
                pieces += bool(thought or content)
                if pieces == 1 and not finish:
                    clock.first_token()
                if pieces > most and "max_tokens" not in body:
                    finish = "length"  # the server's context is larger than the one asked for
                    break
                yield tags.join(thought, content, last=bool(finish))
        except CourseError:
            if not finish:  # else the answer is whole; only what counts its tokens may be missing
                raise
        if not finish:
            raise self._wire.fault("broke off in the middle of its answer")
        yield self._summary(finish, usage, pieces, clock)

    def _pieces(self, delta: object) -> tuple[str, str]:
        """The thought and the content in a delta, either of them mostly empty."""
        found = delta if isinstance(delta, dict) else {}
        thought = next((found[name] for name in _THOUGHT if found.get(name)), "")
        content = found.get("content") or ""
        if not (isinstance(thought, str) and isinstance(content, str)):
            raise self._wire.fault("sent a piece that is no text")
        return thought, content

    def _summary(self, finish: str, usage: Any, pieces: int, clock: base.Clock) -> base.Summary:
        counts = usage if isinstance(usage, dict) else {}
        read, written = (number_in(counts.get(f"{one}_tokens")) for one in ("prompt", "completion"))
        details = counts.get("prompt_tokens_details")
        known = number_in(details.get("cached_tokens")) if isinstance(details, dict) else 0
        written, spent = written or pieces, clock.seconds()
        return base.Summary(
            self.kind, self.model, finish, read, written, *spent, known=min(known, read)
        )

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()
