"""The llama.cpp engine: a GGUF file, run by llama.cpp's own server inside this process.

The server listens on this machine only (127.0.0.1, a port of its own choice).
"""

from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.local.engines import base
from course_lib.local.engines.wire import Wire
from course_lib.local.gguf_header import require_whole
from course_lib.runtime import use_threads


class LlamaCppEngine(base.Engine):
    """A GGUF file in llama.cpp."""

    kind = "llama.cpp"

    def __init__(
        self,
        path: str | Path,
        name: str | None = None,
        context: int | None = None,
        adapter: str | Path | None = None,
    ):
        """Load the file, and put the adapter in the GGUF file `adapter` on it.

        Raises CourseError where one is damaged, incomplete or too large.
        """
        path = Path(path)
        if adapter is not None:
            require_whole(Path(adapter))
        header = require_whole(path)
        base.refuse_too_large(path.name, header.file_bytes)
        self.model = name or path.name
        architecture = header.metadata.get("general.architecture", "")
        self.context = min(
            context or base.CONTEXT, header.told(f"{architecture}.context_length", base.CONTEXT)
        )
        self.vocabulary = len(header.told("tokenizer.ggml.tokens", []))
        whole = any(tensor.type == "F32" and len(tensor.shape) > 1 for tensor in header.tensors)
        self._server = _start(path, self.context, whole, adapter)
        self.address = str(self._server.listening_address)
        self._wire = Wire("llama.cpp", self.address, again="open it again")

    def _stream(self, request: base.Request) -> base.Stream:
        messages = [dict(message) for message in request.messages]
        rendered = str(self._wire.ask("/apply-template", {"messages": messages}).get("prompt"))
        prompt, prefilled = base.force_thinking(rendered, self.model)
        text = {"content": prompt, "add_special": True, "parse_special": True}
        ids = self._wire.ask("/tokenize", text)["tokens"]
        most = base.room(len(ids), self.context, request.max_tokens)
        body = {
            "prompt": ids,
            "n_predict": most,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": 0,  # llama.cpp's own defaults would narrow the choice further
            "min_p": 0,
            "repeat_penalty": 1.0,
            "stop": list(request.stop),
            "seed": -1 if request.seed is None else request.seed,
            "stream": True,
        }
        return base.Stream(self._answer(body, len(ids)), prefilled=prefilled)

    def _answer(self, body: dict[str, Any], prompt_tokens: int) -> base.Pieces:
        for event in self._wire.objects("/completion", body, body["n_predict"]):
            try:
                piece, ends = str(event["content"]), event["stop"]
                summary = self._summary(event, prompt_tokens) if ends else None
            except (KeyError, TypeError) as error:
                raise self._wire.fault("broke off in the middle of its answer") from error
            yield piece
            if summary is not None:
                yield summary
                return
        raise self._wire.fault("broke off in the middle of its answer")

    def _summary(self, event: dict[str, Any], prompt_tokens: int) -> base.Summary:
        timings, written = event["timings"], event["tokens_predicted"]
        finish = "length" if event["stop_type"] == "limit" else "stop"
        known = prompt_tokens - timings["prompt_n"]
        spent = timings["prompt_ms"] / 1000, timings["predicted_ms"] / 1000
        return base.Summary(
            self.kind, self.model, finish, prompt_tokens, written, *spent, known=known
        )

    def close(self) -> None:
        """Stop the server and free the model."""
        self._wire.close()
        self._server = None


def _start(path: Path, context: int, exact: bool, adapter: str | Path | None) -> Any:
    """`exact` keeps the cache in float32 too, for files whose weights are."""
    import xllamacpp  # 100 MB of program: loaded when wanted

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {path.name}  # else its whole path is told to whoever asks
    params.n_ctx = context
    if adapter is not None:
        info = xllamacpp.CommonAdapterLoraInfo()
        info.path, info.scale = str(adapter), 1.0
        params.lora_adapters = [info]
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = use_threads()
    if exact:
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.warmup = False
    params.verbosity = -1
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise CourseError(
            f"llama.cpp cannot load {path.name}; it may be of a kind or version it does not know, "
            "or need more memory than there is."
        ) from error
