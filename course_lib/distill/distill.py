"""Distillation as one run in one folder: traces, updates, student, card; it goes on when stopped.

What is kept: `traces.json` (what the teacher said that was right), `checkpoint` (the student on its
way), `metrics.jsonl` (a line a step), `model` (the finished student with its card) and `run.json`
(what the run is made of).
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib import records
from course_lib.distill import model_card, trace_sft
from course_lib.distill.trace_sft import DistillConfig, Trace
from course_lib.errors import CourseError
from course_lib.model import checkpoints, lora, models, pretrain
from course_lib.rl import zero
from course_lib.runtime import use_threads

TRACES = "traces.json"  # the file in a run's folder that holds what the teacher said that was right
_PARTS = ("checkpoint", "metrics.jsonl", "model", checkpoints.ABOUT, TRACES)

_EVERY = 20  # updates from one checkpoint to the next


def run(
    teacher: str | Path,
    out: str | Path,
    config: DistillConfig | None = None,
    *,
    base: str | Path | None = None,
    aside: bool = False,
) -> Iterator[dict[str, float]]:
    """Distil the model in folder `teacher` into the student base; yields one dict a step.

    The first has `traces` and `kept` (how many were right); each later one step, seconds and loss;
    the last one accuracy as well. The student is left in `out/model`, a Hugging Face folder. Stop
    it whenever you like, even by force: the same call gives the lines so far and goes on from the
    last checkpoint. What `out` holds of another run (other settings or models, or nothing that
    says them) is moved into `out/earlier-N` where `aside` is true. Raises CourseError for it
    otherwise, and for a run that has not ended.
    """
    config, out = config or DistillConfig(), Path(out)
    base = Path(base or models.shipped("qwen2-base"))
    use_threads()
    with checkpoints.alone(out):
        try:
            _claim(out, config, Path(teacher), base)
        except CourseError:
            if not aside:
                raise
            checkpoints.set_aside(out, _PARTS)
            _claim(out, config, Path(teacher), base)
        yield from _go_on(Path(teacher), base, out, config)


def _go_on(
    teacher: Path, base: Path, out: Path, config: DistillConfig
) -> Iterator[dict[str, float]]:
    """The lines so far, and then the steps that are still to be taken."""
    expert, tokenizer = models.load(teacher)
    folder = out / "checkpoint"
    resume = checkpoints.has_state(folder)
    student, other = models.load(folder if resume else base)
    optimizer = pretrain.make_optimizer(student, config.learning_rate, decay=0.0)
    start = checkpoints.load_state(folder, student, optimizer)["step"] if resume else 0
    began = time.perf_counter()
    # 1. Traces: the teacher's right answers, sampled once and kept.
    kept = _traces(out / TRACES, expert, tokenizer, other, config)
    learnt = trace_sft.fitting(kept, student.config.max_position_embeddings, drop=config.drop_long)
    log = checkpoints.Log(out / "metrics.jsonl", keep=start)
    if log.lines:
        began -= log.lines[-1]["seconds"]
        yield from list(log.lines)
    else:
        yield _note(log, began, step=0, traces=config.traces, kept=len(kept))
    # 2. Updates: the student learns to predict every token of them.
    eos = other.eos_token_id
    steps = trace_sft.finetune(student, learnt, config, eos, optimizer=optimizer, start=start)
    for step, loss in steps:
        found = measure(student, other, config) if step == config.steps else {}
        # The line first, then the checkpoint that counts it: no kill leaves a hole in the log.
        line = _note(log, began, step=step, loss=loss, **found)
        if step == config.steps:
            # 3. The student and its card.
            models.save(student, other, out / "model")
            model_card.write(out / "model", student, expert, asdict(config), log.lines)
        if step == config.steps or step % _EVERY == 0:
            checkpoints.save(folder, student, other, optimizer, {"step": step})
        yield line


def read_traces(path: Path) -> list[Trace]:
    """The traces that a run kept. Raises CourseError for a file that holds none."""
    read = records.read(path, "the same command in another folder", lambda r: r["kept"][0][1])
    return [Trace(prompt, completion) for prompt, completion in read["kept"]]


def measure(
    student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: DistillConfig
) -> dict[str, float]:
    """Accuracy and habits of a student on held-out puzzles, with the settings' room for answers."""
    return zero.evaluate(
        student,
        tokenizer,
        n=config.evaluate_puzzles,
        seed=config.seed,
        max_new_tokens=config.answer_tokens,
        temperature=config.answer_temperature,
    )


def _claim(out: Path, config: DistillConfig, teacher: Path, base: Path) -> None:
    """Say what the run is made of; refuse to go on with another's, or over an older student."""
    if (out / "model").exists() and not (out / checkpoints.ABOUT).is_file():
        raise CourseError(
            f"{out} holds a student from an earlier version, which does not say how it was made; "
            "give another --out, or delete the folder to start again."
        )
    weights = {}
    for name, folder in (("teacher", teacher), ("base", base)):
        if not lora.is_adapter(folder):
            models.refuse_what_is_no_model(folder)
        weights[name] = checkpoints.fingerprint(folder)
    checkpoints.claim(out, {**asdict(config), **weights})


def _traces(
    path: Path,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    students: PreTrainedTokenizerBase,
    config: DistillConfig,
) -> list[Trace]:
    """The right traces of those sampled: from the file, or sampled and written there.

    They are in the student's tokens: where its tokenizer is another, they cross over as text.
    """
    if path.is_file():
        return read_traces(path)
    found = trace_sft.right_ones(teacher, tokenizer, config)
    kept = trace_sft.across(found, tokenizer, students)
    if kept:
        records.write(path, {"kept": [(trace.prompt, trace.completion) for trace in kept]})
    return kept


def _note(log: checkpoints.Log, began: float, **figures: float) -> dict[str, float]:
    line = figures | {"seconds": time.perf_counter() - began}
    log.write(line)
    return line
