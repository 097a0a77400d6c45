"""A small reward model: a score for a reply, learnt from which of two replies is preferred.

It is the base with one number as its output (`DeepseekV3ForSequenceClassification`), trained with
Bradley and Terry's loss. DeepSeek's helpfulness model judged only the final summary, so the thought
is cut off before this one reads. What it has not been trained on it scores all the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from course_lib import records
from course_lib.errors import CourseError
from course_lib.model import models, pretrain, sft
from course_lib.pipeline import preference
from course_lib.runtime import device
from course_lib.task.chat import Pair
from course_lib.task.traces import CLOSE

_SCALE = "scale.json"


@dataclass
class RewardModel:
    """Scores replies; `mean` and `spread` make the replies it was trained on mean 0, deviation 1.

    Scores are kept, since a policy says the same thing many times.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    mean: float = 0.0
    spread: float = 1.0
    _known: dict[tuple[str, str], float] = field(default_factory=dict)

    def score(self, prompt: str, reply: str) -> float:
        """The standardised score of one reply, judged without its thought."""
        key = prompt, reply.rpartition(CLOSE)[2]
        if key not in self._known:
            with torch.inference_mode():
                raw = float(scores(self.model, self.tokenizer, [key])[0])
            self._known[key] = (raw - self.mean) / self.spread
        return self._known[key]

    def save(self, folder: str | Path) -> None:
        """Write the model, its tokenizer and its scale as one folder."""
        with models.replacing(folder) as aside:
            self.model.save_pretrained(aside)
            self.tokenizer.save_pretrained(aside)
            records.write(aside / _SCALE, {"mean": self.mean, "spread": self.spread})


def from_folder(folder: str | Path) -> RewardModel:
    """Load what `RewardModel.save` wrote. Raises CourseError if that cannot be read."""
    folder = Path(folder)
    try:
        scale = records.loaded(folder / _SCALE)
        mean, spread = float(scale["mean"]), float(scale["spread"])
        if not math.isfinite(mean) or not 0 < spread < math.inf:
            raise ValueError("its scale is none")
        model, tokenizer = models.read(folder, kind=AutoModelForSequenceClassification)
    except (OSError, ValueError, LookupError, TypeError, CourseError) as error:
        raise CourseError(
            f"The reward model in {folder} cannot be read; delete the folder and make it again."
        ) from error
    return RewardModel(model, tokenizer, mean, spread)


def scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, replies: Sequence[tuple[str, str]]
) -> torch.Tensor:
    """Raw scores (replies,) of (prompt, reply) pairs, read off the end-of-sentence token."""
    prompts = [models.chat_ids(tokenizer, prompt) for prompt, _ in replies]
    ends = [tokenizer.encode(reply, add_special_tokens=False) for _, reply in replies]
    eos = tokenizer.eos_token_id
    ids, mask = sft.collate(prompts, [[*end, eos] for end in ends], eos)
    hidden = model.model(ids.to(model.device), use_cache=False)[0]  # (replies, tokens, width)
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
    head: Any = model.score
    return head(hidden[torch.arange(len(last)), last.to(model.device)]).squeeze(1)


def train(
    base: str | Path,
    pairs: Sequence[Pair],
    *,
    steps: int = 60,
    batch: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> tuple[RewardModel, list[dict[str, float]]]:
    """Train a reward model from the language model in folder `base` on preference pairs.

    Returns it and a log of one dict a step: loss, accuracy (share of the batch's pairs in the right
    order) and margin. Raises CourseError for no pairs.
    """
    if not pairs:
        raise CourseError(
            "There is not one preference pair: the replies to each prompt are all equally good, or "
            "there are none. Sample more replies to each prompt."
        )
    language_model, tokenizer = models.load(base)
    language_model.config.num_labels = 1
    with torch.random.fork_rng(devices=[]):  # the learner's own draws go on as if without
        torch.default_generator.manual_seed(seed)  # the new output layer starts at random
        model = AutoModelForSequenceClassification.from_config(language_model.config)
    model.to(device())
    model.model.load_state_dict(language_model.model.state_dict())
    optimizer = pretrain.make_optimizer(model, learning_rate, decay=0.01)
    rng = np.random.default_rng(seed)
    log = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        chosen = [pairs[i] for i in rng.integers(len(pairs), size=batch)]
        log.append(_update(model, tokenizer, optimizer, chosen))
    return _standardised(model.eval(), tokenizer, pairs), log


def _update(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    optimizer: torch.optim.Optimizer,
    pairs: Sequence[Pair],
) -> dict[str, float]:
    # 1. Score both replies of each pair: (pairs,) twice.
    better = scores(model, tokenizer, [(p.prompt, p.chosen) for p in pairs])
    worse = scores(model, tokenizer, [(p.prompt, p.rejected) for p in pairs])
    # 2. How surprising are the preferences under these scores?
    loss, stats = preference.reward_model_loss(better, worse)
    # 3. One update that makes them less so.
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {"loss": float(loss.detach()), **stats}


def _standardised(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]
) -> RewardModel:
    replies = sorted({(p.prompt, text) for p in pairs for text in (p.chosen, p.rejected)})
    with torch.inference_mode():
        raw = scores(model, tokenizer, replies)
    return RewardModel(model, tokenizer, float(raw.mean()), float(raw.std(correction=0)) or 1.0)
