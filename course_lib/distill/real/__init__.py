"""Lesson 9, a real language model: SmolLM2-135M learns to reason from mini-R1-Zero's traces.

Read `language_model` (the model, from its file to a folder, and what is refused before anything is
loaded), `recipe` (the settings that work), `run` (distillation and then RL in one folder, as
`python -m course_lib real-model` does, and what is taken away) and `arms` (the fair comparison).
Then `kept` (what is lost and what is kept), `stories` (a task in
words, with its verifier) and `star` (the circle on words). The adapter itself is `model.lora`, the
fine-tuning `trace_sft`.

May import: rl, local, facts and everything below them, and lesson 5's modules.
"""
