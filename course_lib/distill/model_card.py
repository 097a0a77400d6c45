"""A student's model card, written from its run: nothing in it is typed in by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

_TEXT = """---
library_name: transformers
pipeline_tag: text-generation
license: mit
---

# A distilled student of the mini-R1

A dense `{kind}` with {parameters:,} parameters ({share:.0%} of its teacher's {teacher:,}), in
float32. It thinks between `<think>` and `</think>` and then answers one kind of puzzle:
`7 ? 3 ? 5 ? 2 = 11` asks for the signs `- + +`.

## How it was made

Supervised fine-tuning on text, as DeepSeek made the R1 distills: {asked:,} puzzles of the training
split were put to the teacher, a `{teacher_kind}` trained by reinforcement learning, at temperature
{temperature:g}; the {kept:,} answers that the verifier found right were learnt in {steps:,} updates
of about {tokens:,} tokens (AdamW, learning rate {rate:g}, seed {seed}). No reward, no logits of the
teacher. The run took {seconds:.0f} s.

## What it does

On {puzzles:,} held-out puzzles, one answer each at temperature 1:

| figure | value |
|---|---|
| right answers | {accuracy:.1%} |
| thinking, tokens | {thinking_tokens:.1f} |
| attempts | {attempts:.2f} |
| attempts made before | {repeats:.2f} |
| wrong steps in the working | {wrong_steps:.2f} |

## What it does not

It knows nothing but these puzzles and a few greetings. Its working may be wrong where its answer is
right, so read a trace as a habit and not as a proof. Its context is {context} tokens.
"""


def write(
    folder: str | Path,
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    config: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
) -> str:
    """Write `folder/README.md` from a run's models, settings and log; returns its text.

    `lines` is the log of `distill.run`: the first has `kept`, the last the figures measured.
    """
    first, last = lines[0], lines[-1]
    sizes = [sum(p.numel() for p in model.parameters()) for model in (student, teacher)]
    text = _TEXT.format(
        kind=type(student).__name__,
        teacher_kind=type(teacher).__name__,
        parameters=sizes[0],
        teacher=sizes[1],
        share=sizes[0] / sizes[1],
        asked=config["traces"],
        tokens=config["tokens"],
        temperature=config["temperature"],
        rate=config["learning_rate"],
        seed=config["seed"],
        puzzles=config["evaluate_puzzles"],
        context=student.config.max_position_embeddings,
        **{**last, "kept": first["kept"], "steps": last["step"]},
    )
    (Path(folder) / "README.md").write_text(text, encoding="utf-8")
    return text
