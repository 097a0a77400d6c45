"""What the engines' interface costs, and whether the viewer keeps up with a stream.

    python tests/benchmarks/bench_engines.py

Prints seconds per token of transformers' own `generate` and of the engine for the same greedy
answer, and tokens a second that the trace viewer takes. Run it on an idle machine.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from course_lib.local import engines, export
from course_lib.local.engines.base import Engine, Messages, Stream
from course_lib.local.engines.with_llama_cpp import LlamaCppEngine
from course_lib.local.engines.with_transformers import TransformersEngine
from course_lib.task import puzzles
from course_lib.widgets.trace_viewer import TraceViewer

TOKENS, ROUNDS = 128, 5


def best(act) -> float:
    """The least seconds of some rounds."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return min(times) / TOKENS


def overhead(engine: Engine, asked: Messages) -> float:
    """Seconds per token beyond what the engine itself says it took."""
    began = time.perf_counter()
    stream = engine.stream(asked, max_tokens=TOKENS, temperature=1)
    count = sum(1 for _ in stream)
    taken = time.perf_counter() - began
    return (taken - stream.summary.seconds - stream.summary.prompt_seconds) / count


def main() -> None:
    folder = engines.students()[0]
    engine = TransformersEngine(folder)
    asked = [{"role": "user", "content": str(puzzles.sample(1, 0)[0])}]
    engine._ends = {-1}  # no end token: every answer has all its tokens
    model, tokenizer = engine._model, engine._tokenizer
    ids = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=False
    )

    def generate() -> None:
        with torch.inference_mode():
            model.generate(ids, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False)

    def through_interface() -> None:
        list(engine.stream(asked, max_tokens=TOKENS, temperature=0))

    print(f"transformers' generate: {1000 * best(generate):.2f} ms per token")
    print(f"transformers engine:    {1000 * best(through_interface):.2f} ms per token")
    with tempfile.TemporaryDirectory() as work:
        export.export_gguf(folder, Path(work) / "m.gguf")
        other = LlamaCppEngine(Path(work) / "m.gguf")
        outside = min(overhead(other, asked) for _ in range(ROUNDS))
        print(f"llama.cpp engine:       {1000 * outside:.2f} ms per token on top of its own")
        other.close()
    viewer = TraceViewer(key="bench")
    assert viewer.widget is not None
    pieces = [" +3=10", " -5=5", " +2=7", " no"] * 500
    began = time.perf_counter()
    viewer.follow(Stream(iter(pieces)))
    print(f"trace viewer:           {len(pieces) / (time.perf_counter() - began):,.0f} tokens/s")


if __name__ == "__main__":
    main()
