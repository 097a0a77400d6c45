"""Lesson 6, local inference: will it run here, and then run it.

Read `weights` and `memory` (bytes of weights, cache and buffers; which type
gives a tensor which format is `mixtures.toml`), `hardware` (machines and their
bandwidth), `placement` (what goes where, and how fast), `quant`, `gguf_header` and `export` (GGUF
files), `engines` (transformers, Ollama, llama.cpp and any OpenAI-compatible server behind one
interface; `wire` is how a server is talked to), `ask`, `trace_html`, `local_lab` (the lesson's
measurements), `preflight` (lesson 0) and `install`, which stands alone.

It has over 2,000 lines because it talks to four programs that may be missing, old or hostile.

May import: facts and everything below it.
"""
