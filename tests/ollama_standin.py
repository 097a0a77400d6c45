"""A stand-in for Ollama's server: the part of its protocol that the course uses, before llama.cpp.

GET /api/tags, POST /api/show and POST /api/chat, the last as lines of JSON in a chunked response,
with the names and types of Ollama's published API (`tests/local/ollama_api.json`). A prompt that is
longer than the context is refused where the request forbids to shift, and is cut where it does not.
`elsewhere` lists one more model, which lives on that host. `mishap` makes it fail on purpose:
"cut" breaks the connection in the middle of an answer, "silent" ends it without the final line,
"error" sends an error line.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from course_lib.local.engines import Engine


class StandIn:
    """Use as a context manager; `address` is where it listens, `asked` the last chat request."""

    def __init__(
        self, engine: Engine, model: str, *, thinks: bool = False, elsewhere: str = ""
    ) -> None:
        self.engine, self.model, self.thinks, self.elsewhere = engine, model, thinks, elsewhere
        self.mishap = ""
        self.requests: list[str] = []
        self.asked: dict[str, Any] = {}
        handler = type("Handler", (_Handler,), {"standin": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.mishap = "gone"  # for connections that are still open
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def lines(self) -> Iterator[dict[str, Any]]:
        """The answer to the last chat request, line by line, as it is made."""
        options = self.asked["options"]
        if self.thinks:
            yield self._line({"content": "", "thinking": "I should add. "})
            yield self._line({"content": "", "thinking": "Done."})
        stream = self.engine.stream(
            [message for message in self.asked["messages"] if message["role"] != "assistant"],
            max_tokens=options["num_predict"],
            temperature=options["temperature"],
            top_p=options["top_p"],
            stop=options["stop"],
        )
        with stream:
            for piece in stream:
                yield self._line({"content": piece})
        yield self._line({"content": ""}) | {
            "done": True,
            "done_reason": stream.summary.finish,
            "total_duration": 2,
            "load_duration": 1,
            "prompt_eval_count": stream.summary.prompt_tokens,
            "prompt_eval_duration": round(stream.summary.prompt_seconds * 1e9),
            "eval_count": stream.summary.completion_tokens,
            "eval_duration": round(stream.summary.seconds * 1e9),
        }

    def _line(self, message: dict[str, str]) -> dict[str, Any]:
        return {
            "model": self.model,
            "created_at": "2026-11-26T00:00:00.0Z",
            "message": {"role": "assistant", **message},
            "done": False,
        }

    def tags(self) -> list[dict[str, Any]]:
        """What is listed: the model, and one that lives elsewhere."""
        digest = {"digest": "0" * 64, "modified_at": "2026-11-26T00:00:00Z"}
        details = {"format": "gguf", "family": "qwen2", "quantization_level": "F32"}
        here = {"name": self.model, "model": self.model, "size": 1_234_567, **digest}
        far = {"name": "far:671b", "model": "far:671b", "size": 400, **digest}
        far |= {"remote_host": self.elsewhere, "remote_model": "far:671b"}
        return [here | {"details": details}, *([far] if self.elsewhere else [])]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: StandIn

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.standin.requests.append(self.path)
        self._reply(200, {"models": self.standin.tags()})

    def do_POST(self) -> None:
        if self.standin.mishap == "gone":
            self.close_connection = True
            return
        text = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(text)
        self.standin.requests.append(f"{self.path} {text.decode()}")
        far = next((one for one in self.standin.tags() if one["model"] == asked["model"]), None)
        if far is None:
            self._reply(404, {"error": f"model '{asked['model']}' not found"})
        elif self.path == "/api/show":
            capabilities = ["completion"] + ["thinking"] * self.standin.thinks
            shown = {"capabilities": capabilities, "model_info": {}, "details": {}}
            remote = {name: value for name, value in far.items() if name.startswith("remote_")}
            self._reply(200, shown | remote)
        elif self._too_long(asked):
            self._reply(400, {"error": "the prompt is longer than the context length"})
        else:
            self.standin.asked = asked
            self._stream()

    def _too_long(self, asked: dict[str, Any]) -> bool:
        """About: four bytes a token; and only where nothing may be dropped."""
        size = sum(len(message["content"].encode()) for message in asked["messages"])
        return asked.get("shift") is False and size // 4 > asked["options"]["num_ctx"]

    def _reply(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        lines = self.standin.lines()
        if self.standin.mishap:
            lines = itertools.islice(lines, 3)
        if self.standin.mishap == "error":
            lines = itertools.chain(lines, [{"error": "an internal error was met"}])
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(OSError):  # nobody listens any more: the engine's stream is closed too
            for line in lines:
                data = json.dumps(line).encode() + b"\n"
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            if self.standin.mishap == "cut":
                self.close_connection = True
                return
            self.wfile.write(b"0\r\n\r\n")
