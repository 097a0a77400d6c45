"""A stand-in for Ollama's server: the part of its protocol that the course uses, before llama.cpp.

GET /api/tags, POST /api/show and POST /api/chat, the last as lines of JSON in a chunked response.
`mishap` makes it fail on purpose: "cut" breaks the connection in the middle of an answer, "silent"
ends it without the final line, "error" sends an error line.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from course_lib.local.engines import Engine


class StandIn:
    """Use as a context manager; `address` is where it listens, `asked` the last chat request."""

    def __init__(self, engine: Engine, model: str, *, thinks: bool = False) -> None:
        self.engine, self.model, self.thinks = engine, model, thinks
        self.mishap = ""
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

    def lines(self) -> list[dict[str, Any]]:
        """The answer to the last chat request, line by line."""
        options = self.asked["options"]
        stream = self.engine.stream(
            [message for message in self.asked["messages"] if message["role"] != "assistant"],
            max_tokens=options["num_predict"],
            temperature=options["temperature"],
            top_p=options["top_p"],
            stop=options["stop"],
        )
        lines = [self._line({"content": piece}) for piece in stream]
        if self.thinks:
            lines.insert(0, self._line({"content": "", "thinking": "I should add. "}))
            lines.insert(1, self._line({"content": "", "thinking": "Done."}))
        done = {
            "done": True,
            "done_reason": stream.summary.finish,
            "prompt_eval_count": stream.summary.prompt_tokens,
            "prompt_eval_duration": round(stream.summary.prompt_seconds * 1e9),
            "eval_count": stream.summary.completion_tokens,
            "eval_duration": round(stream.summary.seconds * 1e9),
        }
        return [*lines, self._line({"content": ""}) | done]

    def _line(self, message: dict[str, str]) -> dict[str, Any]:
        return {"model": self.model, "message": {"role": "assistant", **message}, "done": False}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: StandIn

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._reply(200, {"models": [{"model": self.standin.model, "size": 1_234_567}]})

    def do_POST(self) -> None:
        if self.standin.mishap == "gone":
            self.close_connection = True
            return
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["model"] != self.standin.model:
            self._reply(404, {"error": f"model '{asked['model']}' not found"})
        elif self.path == "/api/show":
            capabilities = ["completion"] + ["thinking"] * self.standin.thinks
            self._reply(200, {"capabilities": capabilities, "model_info": {}})
        else:
            self.standin.asked = asked
            self._stream()

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
            lines = lines[:3]
        if self.standin.mishap == "error":
            lines.append({"error": "an internal error was met"})
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            data = json.dumps(line).encode() + b"\n"
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        if self.standin.mishap == "cut":
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")
