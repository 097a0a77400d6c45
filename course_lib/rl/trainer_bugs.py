"""Eight ways in which real trainers went wrong without an error, each on the mini-R1 in seconds.

The loop is that of `zero`, cut to its four stages; a bug changes one place of it: same puzzles,
same seed, same settings. (One place may do two things: the ratio of products also weighs an answer
by its length.) The cases stand in `trainer_bugs.toml`: what is wrong, what to look at, and the
public reports. None of this is in the trainer that the course uses.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.errors import CourseError
from course_lib.model import lora, models, rollout, sft
from course_lib.model.rollout import Rollout
from course_lib.rl.experience import Experience, collect, evaluate, summarise
from course_lib.rl.learner import Learner, chunks
from course_lib.rl.settings import PUZZLES, ZeroConfig
from course_lib.task import corpus, puzzles

LAB = ZeroConfig(steps=16, puzzles=12, samples=8, max_new_tokens=64, learning_rate=6e-4)
"""A run of the lab: a tenth of a real one, at twice its rate, so that it takes seconds."""

MICRO_BATCH = 768  # tokens of a forward pass, so that there are several a step

ADAPTER = lora.Lora(16, 64.0, ("q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"))

END = "~"  # stands for a chat format's own end token, new to the base


@dataclass(frozen=True)
class Bug:
    """One bug: what is wrong and right, how it shows, why, and where it was met.

    `watch` are the figures of the log to draw; `control` changes `LAB`, with the bug and without.
    """

    name: str
    wrong: str
    right: str
    symptom: str
    reason: str
    test: str
    links: list[str]
    watch: list[str]
    control: dict[str, Any] = field(default_factory=dict)


def _bug(case: dict[str, Any]) -> Bug:
    texts = {name: " ".join(case[name].split()) for name in ("symptom", "reason", "test")}
    return Bug(**{**case, **texts})


_CASES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["bug"]
BUGS: dict[str, Bug] = {case["name"]: _bug(case) for case in _CASES}
PATIENTS = dict(
    A="entropy divided twice", B="groups mixed", C="adapter not alone", D="last micro-batch"
)
"""Bugs to be named by their curves: a cell that runs one does not say which it is."""

Line = dict[str, float]


def run(
    bug: str = "",
    *,
    like: str = "",
    seed: int = 0,
    steps: int = 0,
    micro_batch: int = MICRO_BATCH,
) -> list[Line]:
    """A run of the lab with a bug of `BUGS`, or, with none, the right one: a dict a step.

    `like` names the bug whose settings a right run is to have; `micro_batch` is the tokens of one
    forward pass. Raises CourseError for a name that is none.
    """
    for name in (bug, like):
        if name and name not in BUGS:
            raise CourseError(f"There is no bug {name!r}; there are {', '.join(BUGS)}.")
    case = BUGS.get(bug or like)
    config = replace(LAB, seed=seed, **(case.control if case else {}))
    config = replace(config, steps=steps or config.steps)
    if (bug or like) == "pad is end":
        return list(_learn_to_end(config, seen=bug != "pad is end"))
    return list(_train(bug, config, micro_batch, adapted=(bug or like) == "adapter not alone"))


def _train(bug: str, config: ZeroConfig, micro_batch: int, adapted: bool) -> Iterator[Line]:
    """The four stages, step by step; what the last line adds is measured after the run."""
    model, tokenizer = models.load(models.shipped("mini-v3-base"))
    if bug == "no template":
        tokenizer.chat_template = None  # a prompt is then plain text, as when a string is passed
    if adapted:
        lora.add(model, ADAPTER)
        if bug == "adapter not alone":
            model.requires_grad_(True)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=config.learning_rate, betas=config.betas, weight_decay=0.0
    )
    learner = Buggy(model, optimizer, config, tokenizer.eos_token_id, chunk_tokens=micro_batch)
    learner.bug = bug
    for step in range(1, config.steps + 1):
        for group in learner.optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - (step - 1) / config.steps)
        # 1 rollout and 2 reward: (groups * samples) completions, (groups, samples) rewards
        found = _collect(learner, tokenizer, step)
        line = {
            "step": float(step),
            "reward": float(found.rewards.mean()),
            "finished": float(found.rollout.finished.float().mean()),
            **summarise(found, PUZZLES, tokenizer),
            # 3 advantage and 4 update
            **learner.update(found),
            "informative": learner.informative,
            "lean": learner.lean,
        }
        if adapted and step == config.steps:
            line |= _saved(model, tokenizer)
        yield line


def _collect(learner: "Buggy", tokenizer: PreTrainedTokenizerBase, step: int) -> Experience:
    config = learner.config
    seed = config.seed * 1_000_003 + step
    items = PUZZLES.draw(config.puzzles, seed)
    # Where every completion of a group draws the same numbers it is one completion.
    alike = learner.bug == "one seed"
    asked = replace(config, samples=1) if alike else config
    generator = torch.Generator().manual_seed(seed)
    found = collect(learner.model, tokenizer, PUZZLES, items, asked, generator)
    found = _repeat(found, config.samples) if alike else found
    found.seed = seed
    return found


def _repeat(found: Experience, times: int) -> Experience:
    rows = torch.arange(len(found.texts)).repeat_interleave(times)
    return Experience(
        found.rollout.take(rows),
        [found.items[row] for row in rows],
        [found.texts[row] for row in rows],
        found.rewards.repeat_interleave(times, 1),
    )


class Buggy(Learner):
    """The course's learner with one of its places changed; without a bug it is the learner."""

    bug = ""
    informative = 0.0  # the share of groups, as they are read, whose rewards differ
    lean = 0.0  # how far a prompt's mean advantage is from 0, on average

    def _advantages(self, rewards: Tensor) -> Tensor:
        mixed = self.bug == "groups mixed"
        # (groups, samples), or read as if completions lay sample after sample
        read = rewards.flatten().view(rewards.shape[::-1]).T if mixed else rewards
        self.informative = float((read != read[:, :1]).any(1).float().mean())
        found = super()._advantages(read.contiguous()).view(read.shape)
        found = found.T.reshape(rewards.shape) if mixed else found
        self.lean = float(found.mean(1).abs().mean())
        return found.flatten()

    def _loss(
        self, logp: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, part: Rollout
    ) -> tuple[Tensor, dict[str, float]]:
        if self.bug == "ratio of products":
            # A sequence's ratio is a geometric mean; times the length it is the tokens' product.
            length = mask.sum(1, keepdim=True)
            logp, old = logp * length, old * length
        loss, told = super()._loss(logp, old, advantages, mask, part)
        self.newest = float(loss.detach())
        return loss, told

    def _options(self, part: Rollout, mask: Tensor) -> dict[str, Any]:
        options = super()._options(part, mask)
        return options | ({"level": "sequence"} if self.bug == "ratio of products" else {})

    def _one_update(
        self, sampled: Rollout, advantages: Tensor, batch: Tensor, old: Any
    ) -> dict[str, float]:
        told = super()._one_update(sampled, advantages, batch, old)
        rows = self._kept(batch, advantages)
        told["micro_batches"] = float(len(list(chunks(sampled, rows, self.chunk_tokens))))
        if self.bug == "last micro-batch":
            told["loss"] = self.newest
        if self.bug == "entropy divided twice":
            told["entropy"] /= told["micro_batches"]
        return told


def _learn_to_end(config: ZeroConfig, seen: bool) -> Iterator[Line]:
    """Fine-tuning on worked answers that end with a token which the base never used to end with.

    Batches are padded with that token. `seen`: padding is told by place, and the end is learnt;
    otherwise by the token's number, and every end counts as padding.
    """
    model, tokenizer = models.load(models.shipped("mini-v3-base"))
    ids = models.token_ids(tokenizer) | models.ids_of(tokenizer, [END])
    asked = [models.chat_ids(tokenizer, str(puzzle)) for puzzle in puzzles.sample(16, 1, "test")]
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.0)
    for step in range(1, config.steps + 1):
        rng = np.random.default_rng((config.seed, step))
        drawn = puzzles.sample(32, config.seed * 1_000_003 + step)
        answers = [[*(ids[p] for p in corpus.worked(rng, puzzle)), ids[END]] for puzzle in drawn]
        prompts = [models.chat_ids(tokenizer, str(puzzle)) for puzzle in drawn]
        batch, learnt = sft.collate(prompts, answers, pad=ids[END])
        if not seen:
            learnt = learnt & (batch != ids[END])
        optimizer.zero_grad()
        loss = sft.sft_loss(model(batch).logits, batch, learnt)
        loss.backward()
        optimizer.step()
        sampled = rollout.generate(model, asked, max_new_tokens=64, eos=ids[END], temperature=0.0)
        ended = float(sampled.finished.float().mean())
        yield {
            "step": float(step),
            "loss": float(loss.detach()),
            "finished": ended,
            "tokens": float(sampled.lengths.float().mean()),
        }


def _saved(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Line:
    """Accuracy as trained, and when the adapter that would be saved is put on the base again."""
    fresh, _ = models.load(models.shipped("mini-v3-base"))
    lora.add(fresh, ADAPTER)
    saved = {name: tensor for name, tensor in model.state_dict().items() if "lora_" in name}
    fresh.load_state_dict(saved, strict=False)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {
        "accuracy": evaluate(model, tokenizer, n=256)["accuracy"],
        "accuracy_saved": evaluate(fresh, tokenizer, n=256)["accuracy"],
        "trained_share": trained / sum(p.numel() for p in model.parameters()),
    }
