"""Lesson 6, local inference: will it run here, and then run it.

Read `memory` (bytes of weights and cache), `hardware` (machines and their bandwidth), `quant`,
`gguf_header` and `export` (GGUF files), `engines` (transformers, Ollama and llama.cpp behind one
interface), `trace_html`, `local_lab` (the lesson's measurements) and `preflight` (lesson 0).

May import: facts and everything below it.
"""
