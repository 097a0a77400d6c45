"""The fair comparison on a real model: traces, rewards, answers without thoughts; RL on top.

All arms of a seed begin with the same fresh adapter, and are measured on the same held-out puzzles
at the same temperature. Distillation and the answers without thoughts read equally many tokens.
"""

import filecmp
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib import records
from course_lib.distill import distill, fight, trace_sft
from course_lib.distill.bench import Bench, Row, answers
from course_lib.distill.real import language_model, run
from course_lib.distill.trace_sft import DistillConfig, Trace
from course_lib.model import checkpoints, lora, models
from course_lib.rl import zero
from course_lib.rl.settings import PUZZLES, ZeroConfig
from course_lib.task import puzzles
from course_lib.task.traces import CLOSE

BEFORE, DISTILLED, ANSWERS, ALONE = "nothing yet", "distillation", "answers only", "RL alone"
BOTH = "distillation, then RL"

_SHOWN = 4  # examples in a row
_UNWATCHED = replace(PUZZLES, held_out=None)  # the arms are measured at their ends, all alike


def arms(bench: Bench) -> Iterator[Row]:
    """Every arm with the bench's seed: what it reaches, and the tokens that it took.

    `read` are the tokens that went through the model for a gradient, prompts included, `learnt`
    those in the loss, `sampled` those that RL wrote. What is finished in `out` is not done again.
    """
    folder, start, distil, rl = begin(bench)
    before = _row(folder, BEFORE, lambda: _measured(start, distil))
    yield before
    yield _row(folder, DISTILLED, lambda: _distilled(folder, start, distil))
    yield _row(folder, ANSWERS, lambda: _answers_only(folder, start, distil))
    alone = folder / "RL-alone"
    yield _row(folder, ALONE, lambda: _reinforced(alone, start, rl, distil, before))


def on_top(bench: Bench) -> Iterator[Row]:
    """RL after distillation, beside the distillation that it goes on from: pairs by seed."""
    folder, start, distil, rl = begin(bench)
    taught = _row(folder, DISTILLED, lambda: _distilled(folder, start, distil))
    yield taught
    base = folder / "distil" / "model"
    yield _row(folder, BOTH, lambda: _reinforced(folder / "RL-after", base, rl, distil, taught))


def begin(
    bench: Bench, plan: run.Plan | None = None, name: str = "real"
) -> tuple[Path, Path, DistillConfig, ZeroConfig]:
    """A run's folder with the bench's seed, its fresh adapter, and the settings of both stages."""
    plan = plan or run.Plan(bench.seed)
    folder, yes = bench.out / f"{name}-{bench.seed}", language_model.here()
    start = language_model.start(folder / "start", None, plan.adapter, seed=bench.seed, yes=yes)
    return folder, start, *plan.stages()


def _row(folder: Path, arm: str, make: Callable[[], Row]) -> Row:
    """An arm's row: from its file, or made and written there."""
    path = folder / f"{arm}.json"
    if path.is_file():
        return records.read(path, "the same command in another folder")
    row = {"arm": arm, **make()}
    records.write(path, row)
    return row


def _measured(folder: Path, config: DistillConfig) -> Row:
    """Accuracy, habits and some answers of the model in a folder."""
    model, tokenizer = models.load(folder)
    found = distill.measure(model, tokenizer, config)
    return {**found, "examples": _examples(model, tokenizer, config)}


def _distilled(folder: Path, start: Path, config: DistillConfig) -> Row:
    """What a run of distillation says of its student at its end, and some answers."""
    for _ in distill.run(models.shipped(run.TEACHER), folder / "distil", config, base=start):
        pass
    last = checkpoints.read_log(folder / "distil" / "metrics.jsonl")[-1]
    figures = {name: value for name, value in last.items() if name not in ("step", "loss")}
    shown = _examples(*models.load(folder / "distil" / "model"), config)
    return {"updates": last["step"], **_spent(folder, config), **figures, "examples": shown}


def _examples(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: DistillConfig
) -> list[dict[str, Any]]:
    items = puzzles.sample(_SHOWN, config.seed, "test")
    told = answers(
        model, tokenizer, items, config.answer_tokens, 1, temperature=config.answer_temperature
    )
    return [
        {"puzzle": str(item), "text": text, "reward": puzzles.reward(item, text)}
        for item, text in zip(items, told.texts, strict=True)
    ]


def _spent(folder: Path, config: DistillConfig, learnt: Sequence[Trace] | None = None) -> Row:
    """What a fine-tuning reads and learns: tokens of its batches, with and without the prompts."""
    traces = distill.read_traces(folder / "distil" / distill.TRACES) if learnt is None else learnt
    read = trace_sft.batches(traces, config.tokens, config.seed, 0)
    taken = list(islice(read, config.steps))
    return {
        "traces": len(traces),
        "read": sum(batch.ids.numel() for batch in taken),
        "learnt": sum(int(batch.weights.sum()) for batch in taken),
    }


def _answers_only(folder: Path, start: Path, config: DistillConfig) -> Row:
    """The same traces with the thoughts cut out, as many updates of as many tokens."""
    out = folder / "answers"
    model, tokenizer = models.load(out if lora.is_adapter(out) else start)
    traces = distill.read_traces(folder / "distil" / distill.TRACES)
    bare = [without_thinking(trace, tokenizer) for trace in traces]
    if not lora.is_adapter(out):
        for _ in trace_sft.finetune(model, bare, config, tokenizer.eos_token_id):
            pass
        models.save(model, tokenizer, out)
    return {**_spent(folder, config, bare), **_measured(out, config)}


def without_thinking(trace: Trace, tokenizer: PreTrainedTokenizerBase) -> Trace:
    """The trace with its thought cut out, whatever tokens the tags are made of."""
    text = models.decode(tokenizer, [trace.completion])[0].rpartition(CLOSE)[2]
    ids = tokenizer.encode(text, add_special_tokens=False)
    return Trace(trace.prompt, [*ids, tokenizer.eos_token_id])


def _reinforced(out: Path, base: Path, rl: ZeroConfig, config: DistillConfig, before: Row) -> Row:
    """GRPO from the adapter in `base`; where nothing was learnt, the figures are those before."""
    for _ in zero.run(out, rl, base=base, task=_UNWATCHED, method=fight.Counting):
        pass
    lines = [x for x in checkpoints.read_log(out / "metrics.jsonl") if x["step"]]
    still = filecmp.cmp(base / lora.WEIGHTS, out / "checkpoint" / lora.WEIGHTS, shallow=False)
    told = {
        "updates": len(lines),
        "sampled": sum(x["sampled"] for x in lines),
        "learnt": sum(x["trained"] for x in lines),
        "reward": [x["reward"] for x in lines],
        "grad_norm": [x["grad_norm"] for x in lines],
        "informative": [x["informative"] for x in lines],
        "unchanged": still,
    }
    same = {name: value for name, value in before.items() if name != "arm"}
    return {**told, **(same if still else _measured(out / "checkpoint", config))}
