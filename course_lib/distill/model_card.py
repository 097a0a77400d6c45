"""A student's model card, written from its run: nothing in it is typed in by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from course_lib.model import lora, models

_FIGURES = """| figure | value |
|---|---|
| right answers | {accuracy:.1%} |
| thinking, tokens | {thinking_tokens:.1f} |
| attempts | {attempts:.2f} |
| attempts made before | {repeats:.2f} |
| wrong steps in the working | {wrong_steps:.2f} |"""

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

{figures}

## What it does not

It was taught these puzzles and nothing else, and may have forgotten what its base could say
besides. Its working may be wrong where its answer is right, so read a trace as a habit and not as
a proof. Its context is {context} tokens.
"""

_ADAPTER = """---
base_model: {base}
library_name: peft
pipeline_tag: text-generation
license: apache-2.0
---

# An adapter by which a language model reasons about puzzles

LoRA of rank {rank} on {layers} linear layers of `{base}`: {trained:,} numbers beside
{parameters:,} that stay as they were. With it the model thinks between `<think>` and `</think>`
and answers one kind of puzzle: `7 ? 3 ? 5 ? 2 = 11` asks for the signs `- + +`. Switched off, it
is the model it was.

## How it was made

Supervised fine-tuning on text: {asked:,} puzzles of the training split were put to the teacher, a
`{teacher_kind}` with {teacher:,} parameters that learnt by reinforcement alone, up to {rounds}
times each at temperature {temperature:g}; {kept:,} answers were right, tidy and in digits, and
{steps:,} updates of about {tokens:,} tokens drew on them (AdamW, learning rate {rate:g}, seed
{seed}). Teacher and student have different tokenizers, so the traces crossed as text. The run took
{seconds:.0f} s.

## What it does

On {puzzles:,} held-out puzzles, one answer each at temperature {answer_temperature:g}, of {room}
tokens at most, and the base as the course reads it (SmolLM2 from a file of 4-bit weights):

{figures}

## What it does not

It learnt from puzzles alone, and what else the base could do may suffer while it is on. Its working
may be wrong where its answer is right, so read a trace as a habit and not as a proof.
"""


def write(
    folder: str | Path,
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    config: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
) -> None:
    """Write `folder/README.md` from a run's models, settings and log.

    `lines` is the log of `distill.run`: the first has `kept`, the last the figures measured.
    """
    first, last = lines[0], lines[-1]
    adapter = lora.has(student)
    text = (_ADAPTER if adapter else _TEXT).format(
        **(_of_adapter(student) if adapter else _of_student(student, teacher)),
        teacher_kind=type(teacher).__name__,
        teacher=models.parameters(teacher),
        asked=config["traces"],
        rate=config["learning_rate"],
        puzzles=config["evaluate_puzzles"],
        room=config["answer_tokens"],
        figures=_FIGURES.format(**last),
        **{**config, **last, "kept": first["kept"], "steps": last["step"]},
    )
    (Path(folder) / "README.md").write_text(text, encoding="utf-8")


def _of_student(student: PreTrainedModel, teacher: PreTrainedModel) -> dict[str, Any]:
    size = models.parameters(student)
    return {
        "kind": type(student).__name__,
        "parameters": size,
        "share": size / models.parameters(teacher),
        "context": student.config.max_position_embeddings,
    }


def _of_adapter(student: PreTrainedModel) -> dict[str, Any]:
    layers = list(lora.layers(student).values())
    trained = sum(p.numel() for p in lora.parameters(student))
    return {
        "base": layers[0].settings.base,
        "rank": layers[0].settings.rank,
        "layers": len(layers),
        "trained": trained,
        "parameters": models.parameters(student) - trained,
    }
