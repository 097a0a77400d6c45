"""A text where a number belongs, as a form or a file gives it, is one sentence."""

import numpy as np
import pytest
import torch

from course_lib.cost import costs, scores
from course_lib.distill import soft_labels
from course_lib.distill.real import star
from course_lib.errors import CourseError
from course_lib.local import hardware, memory, placement
from course_lib.local.engines import Request
from course_lib.model import accounting, logprobs, lora, models, pretrain, rollout, router
from course_lib.moe import parallel
from course_lib.moe.architectures import CONFIGS
from course_lib.pipeline import preference, stages
from course_lib.rl import grpo, ppo, zero
from course_lib.task import rewards

CONFIG = CONFIGS["R1-Distill-Qwen-1.5B"]
MACHINE = costs.Machine(1, 1, 1)
QUESTION = [{"role": "user", "content": "Why?"}]
TWO = torch.zeros(1, 2)
ONES = torch.ones(1, 2)
TOKENIZER = models.build_tokenizer()
CALLS = {
    "input": lambda text: costs.Price(text, 0, 0),
    "question": lambda text: costs.Answer(text, 0, 0),
    "cached": lambda text: costs.Answer(0, 0, 0, text),
    "years": lambda text: costs.Machine(1, 1, 1, text),
    "utilisation": lambda text: costs.own_cost_per_million(MACHINE, text, 0),
    "hours": lambda text: costs.rent(1, text, 1),
    "percent": lambda text: scores.interval(text, 30),
    "problems": lambda text: scores.interval(50, text),
    "bandwidth": lambda text: hardware.Machine("m", 1, "cpu", bandwidth=text),
    "bandwidth ": lambda text: memory.ceiling_tokens_per_second(CONFIG, "BF16", 1, text),
    "bytes_per_value": lambda text: memory.kv_cache_bytes(CONFIG, 1, bytes_per_value=text),
    "bytes_per_parameter": lambda text: accounting.resident_bytes(CONFIG, text),
    "temperature": lambda text: rollout.check_asked([[1]], 1, 1, text),
    "max_new_tokens": lambda text: rollout.check_asked([[1]], 1, text, 1.0),
    "temperature ": lambda text: logprobs.token_logprobs(TWO, torch.zeros(1).long(), text),
    "temperature  ": lambda text: Request(QUESTION, temperature=text),
    "top_p": lambda text: Request(QUESTION, top_p=text),
    "rank": lambda text: lora.Lora(rank=text),
    "alpha": lambda text: lora.Lora(alpha=text),
    "beta": lambda text: soft_labels.generalized_jsd(TWO, TWO, beta=text),
    "beta ": lambda text: preference.dpo_loss(TWO, TWO, TWO, TWO, beta=text),
    "eps": lambda text: grpo.group_advantages(TWO, eps=text),
    "kl": lambda text: grpo.policy_loss(TWO, TWO, ONES[0, :1], ONES, kl=text),
    "max_length": lambda text: grpo.token_weights(ONES, "constant", text),
    "gamma": lambda text: ppo.gae(TWO, TWO, ONES, gamma=text),
    "step": lambda text: router.balance_bias(TWO, ONES, text),
    "zero_steps": lambda text: stages.PipelineConfig(zero_steps=text),
    "chat_share": lambda text: stages.PipelineConfig(chat_share=text),
    "clip": lambda text: ppo.value_loss(TWO, TWO, TWO, ONES, text),
    "cap": lambda text: grpo.truncated_weights(TWO, TWO, ONES, text),
    "factor": lambda text: parallel.dropped(ONES[0], text),
    "rate": lambda text: pretrain.make_optimizer(torch.nn.Linear(2, 2), text, 0.0),
    "decay": lambda text: pretrain.make_optimizer(torch.nn.Linear(2, 2), 0.1, text),
    "share_of_bandwidth": lambda text: placement.Plan(MACHINE, 1, 1, 1, ()).seconds(1, text),
    "accuracy": lambda text: rewards.RuleReward(accuracy=text),
    "seed": lambda text: star.StarConfig(seed=text),
    "learning_rate": lambda text: star.StarConfig(learning_rate=text),
    "evaluate_puzzles": lambda text: zero.ZeroConfig(evaluate_puzzles=text),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("text", ["1", "0.7", None])
def test_a_text_for_a_number_is_one_sentence_that_names_it(name, text):
    with pytest.raises((CourseError, ValueError), match=name.strip()) as told:
        CALLS[name](text)
    assert f" is {text!r}; " in str(told.value)


LISTS = {
    "clip": lambda text: zero.ZeroConfig(clip=text),
    "betas": lambda text: zero.ZeroConfig(betas=text),
    "banned": lambda text: zero.ZeroConfig(banned=text),
    "banned ": lambda text: zero.banned_ids(TOKENIZER, text),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("text", ["12", " no"])
def test_a_text_for_a_list_is_not_the_list_of_its_signs(name, text):
    with pytest.raises((CourseError, ValueError), match=rf"{name.strip()} (is )?{text!r}"):
        LISTS[name](text)


def test_numbers_of_torch_and_numpy_are_numbers():
    rollout.check_asked([[1]], torch.tensor(2), np.array(4), torch.tensor(0.5))
    assert Request(QUESTION, temperature=torch.tensor(0.5), top_p=np.array(0.5)).temperature == 0.5
    with pytest.raises(ValueError, match=r"samples is 1\.5"):
        rollout.check_asked([[1]], torch.tensor(1.5), 1, 1.0)
    with pytest.raises(CourseError, match="must be a number"):
        Request(QUESTION, temperature=10**400)
    with pytest.raises(CourseError, match="rank of 1 or more"):
        lora.Lora(rank=-1)
