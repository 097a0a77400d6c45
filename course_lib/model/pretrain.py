"""Pretraining the mini-V3: from random weights to a base that *can* reason and seldom does.

Three stages, as one schedule: easy sums, then puzzles worked out, then mostly bare guesses; the end
of the schedule is gone through twice. The loss is the next piece's cross-entropy, on completions
only (the digits of a prompt are chance). Experts are balanced by the bias alone (Wang et al.,
2408.15664; DeepSeek-V3, 2412.19437): no auxiliary loss. transformers does not train that bias, so
the loop here does.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from course_lib.errors import CourseError, real_number, refuse_below
from course_lib.model import checkpoints, models
from course_lib.model.router import balance_bias
from course_lib.model.router import load as expert_load
from course_lib.model.sft import sft_loss
from course_lib.runtime import device, use_threads
from course_lib.task import corpus


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that decides a pretraining run; two equal configurations give equal bases."""

    seed: int = 0
    steps: int = 7500
    tokens: int = 2048  # a batch
    learning_rate: float = 3e-3
    warmup: int = 100
    first_round: float = 0.8  # share of the steps after which the schedule is gone through again
    constant: float = 0.35  # share of the steps at the full rate; then it falls linearly to 0
    weight_decay: float = 0.05
    bias_speed: float = 0.002
    verdict_weight: float = 3.0
    easy_until: float = 0.4  # share of the steps over which drills give way to puzzles
    seldom_from: float = 0.9  # share of the steps after which guesses are bare
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        least = dict.fromkeys(asdict(self), 0)
        counts = ("steps", "tokens", "warmup", "checkpoint_every")
        refuse_below(self, least | dict.fromkeys(counts, 1))


def done(config: PretrainConfig, step: int) -> float:
    """How far the schedule is at `step`, from 0 to 1.

    It is gone through twice: as if the run ended with the first round, and then, from where a run
    of all steps would be by then, to its end.
    """
    first = round(config.first_round * config.steps)
    return step / first if step < first else step / config.steps


def learning_rate(config: PretrainConfig, step: int) -> float:
    """Linear warm-up, a plateau, and a linear fall to 0; in the second round the end of it."""
    at = done(config, step)
    fall = 1.0 if at < config.constant else (1 - at) / (1 - config.constant)
    return config.learning_rate * min(1.0, (step + 1) / config.warmup) * fall


def mix(config: PretrainConfig, step: int) -> corpus.Mix:
    """What is read at `step`."""
    at = done(config, step)
    if at >= config.seldom_from:
        return corpus.SELDOM
    worked = at / config.easy_until if at < config.easy_until else 1.0
    return corpus.between(corpus.EASY, corpus.WORKED, worked)


@dataclass(frozen=True)
class Batch:
    """Token ids (documents, tokens), padded on the right, and the loss weight of each."""

    ids: torch.Tensor
    weights: torch.Tensor

    @property
    def real(self) -> torch.Tensor:
        """(documents, tokens), true up to a document's last token, false on its padding.

        The end-of-text token is in use for both, so the ids alone do not tell; a document's last
        token always has a weight, and padding never has.
        """
        return self.weights.flip(-1).cumsum(-1).flip(-1) > 0


def piece_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The id of every piece a document may hold: the course's tokens and single characters."""
    characters = [chr(c) for c in range(33, 127)]
    return models.token_ids(tokenizer) | models.ids_of(tokenizer, characters)


def encode(document: corpus.Document, ids: dict[str, int]) -> tuple[list[int], list[float]]:
    """A document as token ids with their loss weights (0 for the prompt)."""
    prompt = [ids[models.BOS], ids[models.USER], *(ids[p] for p in document.prompt)]
    prompt.append(ids[models.ASSISTANT])
    completion = [*(ids[p] for p in document.completion), ids[models.EOS]]
    return prompt + completion, [0.0] * len(prompt) + [*document.weights, 1.0]


def collate(rows: list[tuple[list[int], list[float]]], pad: int) -> Batch:
    """Rows of ids and weights as one batch; padding weighs nothing."""
    ids = [torch.tensor(row) for row, _ in rows]
    weights = [torch.tensor(weight, dtype=torch.float32) for _, weight in rows]
    return Batch(
        pad_sequence(ids, batch_first=True, padding_value=pad),
        pad_sequence(weights, batch_first=True),
    )


def batches(config: PretrainConfig, ids: dict[str, int], start: int = 0) -> Iterator[Batch]:
    """Batches of about `config.tokens` tokens from step `start` on, like lengths together.

    A chunk of documents depends on the seed and the step only, so a resumed run reads the same.
    """
    per_chunk, step = 20, start - start % 20
    while True:
        rng = np.random.default_rng((config.seed, step))
        rows, read = [], 0
        while read < 1.1 * per_chunk * config.tokens:  # a batch holds fewer tokens than its size
            documents = corpus.documents(rng, 200, mix(config, step), config.verdict_weight)
            rows += [encode(d, ids) for d in documents]
            read = sum(len(row) for row, _ in rows)
        chunk = cut(sorted(rows, key=lambda row: len(row[0])), config.tokens, ids[models.EOS])
        for i in rng.permutation(len(chunk))[:per_chunk]:
            if step >= start:
                yield chunk[i]
            step += 1


def cut(rows: list[tuple[list[int], list[float]]], tokens: int, pad: int) -> list[Batch]:
    out: list[Batch] = []
    current: list[tuple[list[int], list[float]]] = []
    for row in rows:  # shortest first, so the newest row decides how wide the batch is
        if current and (len(current) + 1) * len(row[0]) > tokens:
            out.append(collate(current, pad))
            current = []
        current.append(row)
    return [*out, collate(current, pad)]


class BiasBalancer:
    """Nudges each router's bias after every batch: up for idle experts, down for busy ones.

    Padding is counted with the rest. Batches hold documents of like length, so it is 2 to 4 % of
    the tokens; the base that ships was made so, and counting otherwise would make another one.
    """

    def __init__(self, model: PreTrainedModel, speed: float) -> None:
        self.speed = speed
        self.gates: list[Any] = [
            m for m in model.modules() if hasattr(m, "e_score_correction_bias")
        ]
        self.loads = [torch.zeros(g.num_experts, device=model.device) for g in self.gates]
        for i, gate in enumerate(self.gates):
            gate.register_forward_hook(lambda _m, _in, out, i=i: self._count(i, out[2]))

    def _count(self, i: int, chosen: torch.Tensor) -> None:
        self.loads[i] += expert_load(chosen, len(self.loads[i]))

    @torch.no_grad()
    def step(self) -> float:
        """Update every bias, forget the counts, and return the largest load over its mean."""
        imbalance = [float(load.max() / load.mean().clamp(min=1e-9)) for load in self.loads]
        for gate, load in zip(self.gates, self.loads, strict=True):
            gate.e_score_correction_bias.copy_(
                balance_bias(gate.e_score_correction_bias, load, self.speed)
            )
            load.zero_()
        return max(imbalance, default=1.0)


def make_optimizer(model: nn.Module, rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW on what is not frozen; its weight decay spares vectors (norms, biases), as is usual."""
    trained = [p for p in model.parameters() if p.requires_grad]
    rate, decay = real_number("rate", rate), real_number("decay", decay)
    matrices = [p for p in trained if p.ndim > 1]
    vectors = [p for p in trained if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def run(
    out: str | Path,
    config: PretrainConfig | None = None,
    architecture: PretrainedConfig | None = None,
) -> Iterator[dict]:
    """Pretrain into `out/checkpoint`, yielding one dict a step: step, seconds, loss, imbalance.

    Goes on from `out/checkpoint` if there is one. Stop it whenever you like. Raises CourseError
    where `out` holds a run with other settings or another architecture, or one that has not ended.
    """
    config = config or PretrainConfig()
    use_threads()
    out = Path(out)
    architecture = architecture or models.mini_v3_config(models.build_tokenizer())
    with checkpoints.alone(out):
        _claim(out, config, architecture)
        yield from _go_on(out, config, architecture)


def _go_on(out: Path, config: PretrainConfig, architecture: PretrainedConfig) -> Iterator[dict]:
    """The steps that are still to be taken."""
    folder = out / "checkpoint"
    model, tokenizer, optimizer, state = _start(folder, config, architecture)
    log = checkpoints.Log(out / "metrics.jsonl", keep=state["step"])
    ids = piece_ids(tokenizer)
    balancer = BiasBalancer(model, config.bias_speed)
    stream = batches(config, ids, state["step"])
    began = time.perf_counter() - state["seconds"]
    model.train()
    for step in range(state["step"] + 1, config.steps + 1):
        use_threads()  # other programs come and go
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step - 1)
        loss = update(model, optimizer, next(stream))
        line = {"step": step, "seconds": time.perf_counter() - began, "loss": loss}
        line["imbalance"] = balancer.step()
        log.write(line)
        if step % config.checkpoint_every == 0 or step == config.steps:
            checkpoints.save(folder, model, tokenizer, optimizer, line)
        yield line


def _claim(out: Path, config: PretrainConfig, architecture: PretrainedConfig) -> None:
    """Refuse a folder that holds another run, or another kind of model from before runs said so."""
    shape = {
        k: getattr(architecture, k) for k in ("model_type", "hidden_size", "num_hidden_layers")
    }
    if checkpoints.has_state(out / "checkpoint"):
        there = models.load(out / "checkpoint")[0].config
        changed = sorted(k for k, v in shape.items() if getattr(there, k) != v)
        if changed:
            raise CourseError(
                f"{out} holds a {there.model_type} of another shape ({', '.join(changed)}); give "
                "another --out, or delete the folder to start again."
            )
    checkpoints.claim(out, {**asdict(config), **shape})


def _start(
    folder: Path, config: PretrainConfig, architecture: PretrainedConfig
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, torch.optim.AdamW, dict]:
    """The model, tokenizer, optimiser and state to begin with: fresh, or from a checkpoint."""
    if checkpoints.has_state(folder):
        model, tokenizer = models.load(folder)
        optimizer = make_optimizer(model, config.learning_rate, config.weight_decay)
        return model, tokenizer, optimizer, checkpoints.load_state(folder, model, optimizer)
    tokenizer = models.build_tokenizer()
    with torch.random.fork_rng(devices=[]):  # the learner's own draws go on as if without
        torch.default_generator.manual_seed(config.seed)
        model = AutoModelForCausalLM.from_config(architecture)
    model.to(device())
    optimizer = make_optimizer(model, config.learning_rate, config.weight_decay)
    return model, tokenizer, optimizer, {"step": 0, "seconds": 0.0, **asdict(config)}


def update(model: PreTrainedModel, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """One step of gradient descent; returns the loss."""
    batch = Batch(batch.ids.to(model.device), batch.weights.to(model.device))
    loss = sft_loss(model(batch.ids, use_cache=False).logits, batch.ids, batch.weights)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())
