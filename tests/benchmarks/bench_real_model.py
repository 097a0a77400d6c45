"""Teaching SmolLM2 and sampling from it: this library against peft with TRL, and `generate`.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/bench_real_model.py [--steps 4] [--puzzles 8] [--json FILE]

Both learn the same traces, four a batch, with the same adapter (rank 8 on all linear layers), and
answer the same puzzles with it. What is counted is the processor's time, so that other programs
spoil it less; the first update warms up and is left out, and the figures are medians. TRL pads
every batch and sends every position through the output layer; `generate` copies its cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, logging

from course_lib import runtime
from course_lib.distill import trace_sft
from course_lib.distill.real import language_model, recipe
from course_lib.distill.trace_sft import Trace
from course_lib.model import models, rollout
from course_lib.task import puzzles

_BATCH = 4


def traces(tokenizer: Any, count: int) -> list[Trace]:
    """The teacher's traces in SmolLM2's tokens."""
    teacher, theirs = models.load(models.shipped("mini-r1-zero"))
    config = replace(recipe.DISTIL, traces=count, rounds=4)
    found = trace_sft.right_ones(teacher, theirs, config)
    return trace_sft.across(found, theirs, tokenizer)


def ours(start: Path, learnt: list[Trace], steps: int) -> dict[str, float]:
    """Seconds and learnt tokens a second of this library's updates."""
    model, tokenizer = models.load(start)
    eos = tokenizer.eos_token_id
    config = replace(recipe.DISTIL, steps=steps + 1)
    batches = trace_sft.batches(learnt, config.tokens, config.seed, eos)
    tokens = [int(batch.weights.sum()) for batch in islice(batches, steps + 1)]
    clock = [time.process_time()]
    for _ in trace_sft.finetune(model, learnt, config, eos):
        clock.append(time.process_time())
    return _figures(clock, tokens)


class _Clock(TrainerCallback):
    def __init__(self) -> None:
        self.times = [time.process_time()]

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.process_time())


def theirs(base: Path, learnt: list[Trace], steps: int) -> tuple[dict[str, float], Any]:
    """The same of TRL's SFTTrainer with peft's LoRA, and the model it leaves."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = models.load(base)
    rows = [{"input_ids": t.prompt + t.completion,
             "labels": [-100] * len(t.prompt) + t.completion}
            for t in learnt]  # fmt: skip
    settings = recipe.LORA
    with tempfile.TemporaryDirectory() as out:
        options = SFTConfig(
            output_dir=out, max_steps=steps + 1, per_device_train_batch_size=_BATCH,
            learning_rate=1e-3, warmup_steps=1, lr_scheduler_type="linear", report_to=[],
            save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True,
            gradient_checkpointing=False, max_length=None, bf16=False,
            dataset_kwargs={"skip_prepare_dataset": True}, remove_unused_columns=False,
            dataloader_pin_memory=False,
        )  # fmt: skip
        clock = _Clock()
        trainer = SFTTrainer(
            model, args=options, train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer, callbacks=[clock],
            peft_config=LoraConfig(
                r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.targets),
                task_type="CAUSAL_LM",
            ),
        )  # fmt: skip
        clock.times = [time.process_time()]
        trainer.train()
    mean = statistics.mean(len(t.completion) for t in learnt)
    return _figures(clock.times, [round(_BATCH * mean)] * (steps + 1)), trainer.model


def _figures(clock: list[float], tokens: list[int]) -> dict[str, float]:
    seconds = [b - a for a, b in pairwise(clock)][1:]
    speeds = [n / s for n, s in zip(tokens[1:], seconds, strict=True)]
    return {
        "seconds an update": statistics.median(seconds),
        "learnt tokens a second": statistics.median(speeds),
    }


def sampling(start: Path, other: Any, count: int, most: int) -> dict[str, float]:
    """Tokens a second of sampling, by this library and by `generate`, at temperature 0.7."""
    model, tokenizer = models.load(start)
    asked = [models.chat_ids(tokenizer, str(p)) for p in puzzles.sample(count, 0, "test")]
    eos = tokenizer.eos_token_id
    torch.manual_seed(0)
    began = time.process_time()
    found = rollout.generate(
        model, asked, max_new_tokens=most, eos=-1, temperature=0.7, generator=None
    )
    mine = time.process_time() - began
    ids, mask = rollout.pad_left(asked, eos)
    other.eval()
    began = time.process_time()
    with torch.inference_mode():
        told = other.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=most, min_new_tokens=most,
            do_sample=True, temperature=0.7, top_k=0, top_p=1.0, pad_token_id=eos,
        )  # fmt: skip
    their_seconds = time.process_time() - began
    return {
        "sampled tokens a second": found.ids.numel() / mine,
        "sampled tokens a second, generate": (told.shape[1] - ids.shape[1]) * count / their_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--puzzles", type=int, default=8)
    parser.add_argument("--most", type=int, default=48, help="tokens of an answer")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    threads = runtime.use_threads()
    base = language_model.folder(yes=True)
    with tempfile.TemporaryDirectory() as out:
        start = language_model.start(Path(out) / "a", None, recipe.LORA)
        learnt = traces(models.load(start)[1], 64)
        library = ours(start, learnt, args.steps)
        trl, model = theirs(base, learnt, args.steps)
        spoken = sampling(start, model, args.puzzles, args.most)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    found = {"threads": threads, "trained": trained, "library": library, "peft and TRL": trl}
    print(json.dumps(found | spoken, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found | spoken))


if __name__ == "__main__":
    main()
