"""The experiments on size, data and soft labels: for one seed, the rows that answer a question."""

from collections.abc import Iterator
from dataclasses import replace

from transformers import PreTrainedModel

from course_lib.distill import soft_labels, trace_sft
from course_lib.distill.bench import COUNTS, SHIPPED, STUDENTS, Bench, Row, datasets
from course_lib.distill.trace_sft import DistillConfig
from course_lib.model import models
from course_lib.rl import zero
from course_lib.runtime import processor_seconds


def sizes(bench: Bench) -> Iterator[Row]:
    """The teacher, then each student after each number of right traces, updates being equal."""
    yield bench.row(bench.expert, student="teacher", data="rewards", traces=0)
    right = [a.trace for a in bench.answers if a.right]
    for name in STUDENTS:
        base, _ = models.load(bench.base(name))
        yield bench.row(base, student=name, data="nothing yet", traces=0)
        for count in COUNTS:
            taught = bench.taught(name, right[:count])
            yield bench.row(taught, student=name, data="right", traces=min(count, len(right)))


def quality(bench: Bench) -> Iterator[Row]:
    """One student after each kind of data, updates being equal."""
    for name, learnt in datasets(bench.answers, bench.tokenizer).items():
        taught = bench.taught(SHIPPED, learnt)
        yield bench.row(taught, student=SHIPPED, data=name, traces=len(learnt))


SOFT: dict[str, tuple[str, float] | None] = {
    "traces, as DeepSeek": None,
    "forward KL, teacher's text": ("off", 0.0),
    "beta 0.5, teacher's text": ("off", 0.5),
    "reverse KL, student's text": ("on", 1.0),
}
"""How a student is taught in `soft`: on whose text (off or on the policy), and with which beta."""

SOFT_RATES = (1e-3, 2e-3, 4e-3)
"""The learning rates that were tried for each way of teaching."""

SOFT_BEST: dict[str, float] = dict.fromkeys(SOFT, 2e-3)
"""One rate for all: for no way was another of the three more than a point better (`soft-rates`)."""


def soft(bench: Bench) -> Iterator[Row]:
    """One student by traces alone and by soft labels, with half of the updates for each."""
    began = processor_seconds()
    len(bench.answers)  # sampled once; each way that reads them is billed for it
    sampling = processor_seconds() - began
    for name, rate in SOFT_BEST.items():
        began = processor_seconds()
        student, steps = _softly(bench, name, rate)
        spent = processor_seconds() - began
        how = SOFT[name]
        spent += 0.0 if how and how[0] == "on" else sampling
        about = {"updates": steps, "rate": rate, "cpu_seconds": spent}
        yield bench.row(student, student=SHIPPED, data=name, **about)


def soft_rates(bench: Bench) -> Iterator[Row]:
    """The search: each way of teaching at each rate, and the share right at its end."""
    n = bench.config.evaluate_puzzles
    for name in SOFT:
        for rate in SOFT_RATES:
            student, _ = _softly(bench, name, rate)
            found = zero.evaluate(student, bench.tokenizer, n=n, seed=bench.seed)
            yield {"data": name, "rate": rate, "accuracy": found["accuracy"]}


def _softly(bench: Bench, name: str, rate: float) -> tuple[PreTrainedModel, int]:
    """A student taught in one of the ways of `SOFT`, and the number of updates."""
    half: DistillConfig = replace(
        bench.config,
        seed=bench.seed,
        steps=max(1, bench.config.steps // 2),
        learning_rate=rate,
    )
    right = [a.trace for a in bench.answers if a.right]
    pad = bench.tokenizer.eos_token_id
    student, _ = models.load(bench.base(SHIPPED))
    how = SOFT[name]
    if how is None:
        run = trace_sft.finetune(student, right, half, pad)
    elif how[0] == "off":
        run = soft_labels.off_policy(student, bench.expert, right, half, pad, beta=how[1])
    else:
        run = soft_labels.on_policy(student, bench.expert, bench.tokenizer, half, beta=how[1])
    return student, len(list(run))
