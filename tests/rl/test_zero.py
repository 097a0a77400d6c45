"""R1-Zero's loop on models small enough to train in a moment: its promises, one by one."""

import copy
import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2Tokenizer, LlamaConfig

from course_lib.errors import CourseError
from course_lib.model import checkpoints, models, rollout
from course_lib.model.rollout import Rollout
from course_lib.rl import grpo, learner, zero
from course_lib.rl.zero import PUZZLES, Learner, Task, ZeroConfig
from course_lib.task import puzzles
from tests.rl.lettered import TASK, lettered

TINY = ZeroConfig(
    steps=5,
    puzzles=2,
    samples=4,
    max_new_tokens=8,
    evaluate_every=3,
    evaluate_puzzles=4,
    checkpoint_every=2,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, base):
    """The log and the last weights of a run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole")
    list(zero.run(out, TINY, base=base, task=TASK))
    return log(out), weights(out)


def log(out):
    """A run's log without the clock."""
    lines = checkpoints.read_log(out / "metrics.jsonl")
    return [{k: v for k, v in line.items() if "seconds" not in k} for line in lines]


def weights(out):
    return models.load(out / "checkpoint")[0].state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- the run --------------------------------------------------------------------------------------


def test_a_run_logs_every_step_and_ends_with_a_checkpoint(whole, base):
    lines, end = whole
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4, 5]
    wanted = {"reward", "thinking_tokens", "attempts", "entropy", "grad_norm", "informative"}
    assert all(wanted <= line.keys() for line in lines[1:])
    assert [line["step"] for line in lines if "accuracy" in line] == [0, 3, 5]
    assert not same(end, models.load(base)[0].state_dict())


@pytest.mark.parametrize("stop", [0, 1, 2, 3, 5])
def test_a_run_stopped_after_any_step_goes_on_to_the_same_curve(tmp_path, base, whole, stop):
    run = zero.run(tmp_path, TINY, base=base, task=TASK)
    while next(run)["step"] < stop:
        pass
    run.close()
    list(zero.run(tmp_path, TINY, base=base, task=TASK))
    assert log(tmp_path) == whole[0] and same(weights(tmp_path), whole[1])


KILLED = """
import os, signal, sys
from course_lib.model import checkpoints
from tests.rl.test_zero import TASK, TINY, zero
step, where = int(sys.argv[3]), sys.argv[4]
def die(): os.kill(os.getpid(), signal.SIGKILL)
if where == "in a save":
    plain, count = checkpoints.save_file, [0]
    def save_file(*given):
        plain(*given)
        count[0] += 1
        if count[0] == step: die()
    checkpoints.save_file = save_file
for line in zero.run(sys.argv[1], TINY, base=sys.argv[2], task=TASK):
    if where == "after a step" and line["step"] == step: die()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(("step", "where"), [(3, "after a step"), (2, "in a save")])
def test_a_run_killed_by_force_goes_on_to_the_same_curve(tmp_path, base, whole, step, where):
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(base), str(step), where]
    killed = subprocess.run(command, capture_output=True, timeout=600, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    list(zero.run(tmp_path, TINY, base=base, task=TASK))
    assert log(tmp_path) == whole[0] and same(weights(tmp_path), whole[1])


def test_a_finished_run_is_left_as_it_is(tmp_path, base):
    config = replace(TINY, steps=1)
    assert len(list(zero.run(tmp_path, config, base=base, task=TASK))) == 2
    before = log(tmp_path)
    assert list(zero.run(tmp_path, config, base=base, task=TASK)) == []
    assert log(tmp_path) == before


def test_seeds_differ_and_repeat(tmp_path, base, whole):
    again = tmp_path / "again"
    list(zero.run(again, TINY, base=base, task=TASK))
    assert log(again) == whole[0]
    other = tmp_path / "other"
    list(zero.run(other, replace(TINY, seed=1), base=base, task=TASK))
    assert log(other) != whole[0]


def test_a_folder_of_another_run_is_refused(tmp_path, base):
    list(zero.run(tmp_path, replace(TINY, steps=1), base=base, task=TASK))
    with pytest.raises(CourseError, match=r"other settings \(learning_rate\)"):
        next(zero.run(tmp_path, replace(TINY, learning_rate=1.0), base=base, task=TASK))


def test_a_damaged_checkpoint_is_said_to_be(tmp_path, base):
    list(zero.run(tmp_path, replace(TINY, steps=1), base=base, task=TASK))
    (tmp_path / "checkpoint" / "trainer.safetensors").write_bytes(b"nothing")
    with pytest.raises(CourseError, match="damaged"):
        next(zero.run(tmp_path, replace(TINY, steps=1), base=base, task=TASK))


# --- rewards that fail ----------------------------------------------------------------------------


def failing(value):
    """A task whose reward is `value` (or raises it) at the second step's puzzles."""
    bad = set(map(str, puzzles.sample(TINY.puzzles, 2)))

    def reward(puzzle, completion):
        if str(puzzle) not in bad:
            return lettered(puzzle, completion)
        if isinstance(value, Exception):
            raise value
        return value

    return replace(PUZZLES, reward=reward)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "1", KeyError("gone")])
def test_a_step_whose_reward_fails_is_skipped_and_reported(tmp_path, base, value):
    config = replace(TINY, steps=3)
    lines = list(zero.run(tmp_path, config, base=base, task=failing(value)))
    assert [line["step"] for line in lines if "skipped" in line] == [2]
    assert str(puzzles.sample(TINY.puzzles, 2)[0]) in lines[2]["skipped"]
    assert "reward" in lines[1] and "reward" in lines[3]
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[2])["skipped"]


def test_a_reward_that_always_fails_ends_the_run_with_a_word_on_what_to_do(tmp_path, base):
    task = replace(PUZZLES, reward=lambda puzzle, completion: None)
    with pytest.raises(CourseError, match=r"5 steps in a row .* None"):
        list(zero.run(tmp_path, replace(TINY, steps=20), base=base, task=task))


def failing_loss(at):
    """A loss that is NaN, though its gradient is a number, from the given call of a run on."""
    calls = []

    def loss(logp, old_logp, advantages, mask):
        calls.append(len(mask))
        good = grpo.policy_loss(logp, old_logp, advantages, mask)[0]
        spoilt = len(mask) > 4 and sum(n > 4 for n in calls) in at  # the contract's trials have 4
        return good + math.nan if spoilt else good, {"clip_fraction": math.nan if spoilt else 0.0}

    return loss


EIGHT = Task(draw=lambda n, seed: list(range(n)), prompt=str, reward=lambda item, text: len(text))


@pytest.mark.parametrize("at", [{2}, set(range(1, 99))])
def test_a_step_whose_loss_is_no_number_is_skipped_and_reported(tmp_path, base, at):
    config = replace(TINY, steps=9 if len(at) > 1 else 3, samples=8, checkpoint_every=1)
    run = zero.run(tmp_path, config, base=base, task=EIGHT, loss=failing_loss(at))
    if len(at) > 1:
        with pytest.raises(CourseError, match=r"5 steps in a row were skipped\. The loss was nan"):
            list(run)
        assert same(weights(tmp_path), models.load(base)[0].state_dict())
        return
    kept = []
    for line in run:
        kept.append(weights(tmp_path) if line["step"] else None)
        assert ("skipped" in line) == (line["step"] == 2)
    assert same(kept[1], kept[2]) and not same(kept[2], kept[3])


def test_a_log_is_strict_json(tmp_path):
    log = checkpoints.Log(tmp_path / "metrics.jsonl", 9)
    zero._record(log, {"step": 1, "mine": math.nan, "other": -math.inf, "reward": 1.0})
    said = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(said, parse_constant=pytest.fail)["mine"] is None and "Inf" not in said


@pytest.mark.parametrize(
    "bad",
    [
        {"level": "tokens"}, {"std": "both"}, {"reduce": "mean"}, {"old_from": "me"},
        {"kl_estimator": "k4"}, {"sampler": "float16"}, {"temperature": -0.5}, {"kl": math.nan},
        {"kl": math.inf}, {"clip": (0.2,)}, {"clip": (0.2, -1)}, {"clip": 0.2}, {"samples": 0},
        {"truncate": -1.0}, {"overlong": 200}, {"truncate": 2.0, "old_from": "sampler"},
        {"temperature": 1e-9}, {"betas": (1.0, 0.5)}, {"betas": (0.9, 0.9, 0.9)}, {"steps": 2.5},
        {"samples": 2.5}, {"seed": 2**62}, {"evaluate_puzzles": -1}, {"banned": "<think>"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_in_a_sentence(bad):
    name = next(iter(bad))
    with pytest.raises(CourseError, match=f"^{name} is .*; allowed (is|are) "):
        ZeroConfig(**bad)


def test_numbers_of_numpy_are_the_same_settings_as_pythons_own(tmp_path, base):
    """`for seed in np.arange(5)` ended in a TypeError, some at the first checkpoint only."""
    numpys = {"seed": np.int64(3), "steps": np.int32(1), "evaluate_puzzles": np.int64(4),
              "learning_rate": np.float32(0.5),
              "clip": [np.float32(0.25), np.int64(1)]}  # fmt: skip
    ours = {"seed": 3, "steps": 2, "evaluate_puzzles": 4, "learning_rate": 0.5,
            "clip": (0.25, 1)}  # fmt: skip
    task = replace(TASK, describe=lambda item, text: {"size": np.float32(len(text))})
    for settings, last in ((numpys, 1), (ours, 2)):
        lines = list(zero.run(tmp_path, replace(TINY, **settings), base=base, task=task))
        assert lines[-1]["step"] == last and type(lines[-1]["size"]) is float


def test_what_samples_alone_may_do_what_training_may_not(tmp_path, base):
    assert ZeroConfig(samples=1, temperature=0.0).samples == 1
    for name, value in {"samples": 1, "temperature": 0.0}.items():
        config = replace(TINY, **{name: value})
        with pytest.raises(CourseError, match=f"{name} is {value:g}; "):
            next(zero.run(tmp_path / name, config, base=base, task=TASK))


@pytest.mark.parametrize("value", [1, True, 0.5])
def test_the_reward_may_be_a_number_of_any_kind(value):
    task = replace(PUZZLES, reward=lambda puzzle, completion: value)
    assert zero.judge(task, puzzles.sample(1, 0)[0], "") == float(value)


# --- the update -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def experience(base):
    """Rollouts of an untrained model: a third of the groups are all right or all wrong."""
    model, tokenizer = models.load(base)
    config = replace(TINY, puzzles=6)
    generator = torch.Generator().manual_seed(0)
    found = zero.collect(model, tokenizer, TASK, puzzles.sample(6, 0), config, generator)
    found.rewards[0], found.rewards[1] = 1.0, 0.0
    found.rewards[2:, 0], found.rewards[2:, 1] = 1.0, 0.0
    return found


def gradients(base, experience, config, by_hand=False):
    """The gradient of one update, through `Learner` or written out in one piece over all rows."""
    model, tokenizer = models.load(base)
    if not by_hand:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        reference = copy.deepcopy(model) if config.kl else None
        Learner(model, optimizer, config, tokenizer.eos_token_id, reference).update(experience)
        return {name: p.grad for name, p in model.named_parameters()}
    sampled = experience.rollout
    mask = grpo.completion_mask(sampled.ids, tokenizer.eos_token_id)
    logp, _ = zero.completion_logprobs(model, sampled, mask, config.temperature)
    advantages = grpo.group_advantages(experience.rewards, std=config.std).flatten()
    loss, _ = grpo.policy_loss(
        logp, logp.detach(), advantages, mask, reduce=config.reduce,
        max_length=config.max_new_tokens,
    )  # fmt: skip
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters()}


WIDE = replace(TINY, gradient_norm=math.inf)


@pytest.mark.parametrize("reduce", ["sequence", "constant", "token"])
@pytest.mark.parametrize("std", ["sample", "none"])
def test_leaving_out_uninformative_groups_changes_no_gradient(base, experience, reduce, std):
    config = replace(WIDE, reduce=reduce, std=std)
    ours = gradients(base, experience, config)
    whole = gradients(base, experience, config, by_hand=True)
    for name in whole:
        torch.testing.assert_close(ours[name], whole[name], rtol=1e-5, atol=1e-6)
    assert max(float(g.abs().max()) for g in whole.values()) > 1e-4


@pytest.mark.parametrize("reduce", ["sequence", "constant", "token"])
def test_the_size_of_the_chunks_changes_no_gradient(base, experience, reduce, monkeypatch):
    config = replace(WIDE, reduce=reduce)
    whole = gradients(base, experience, config)
    monkeypatch.setattr(learner, "tokens_at_once", lambda model: 40)
    parts = gradients(base, experience, config)
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-5, atol=1e-6)


def mean_of_those_with_advantage(logp, old_logp, advantages, mask):
    """A learner's loss that divides by what the whole batch has."""
    alive = mask & (advantages != 0)[:, None]
    return -((logp - old_logp).exp() * advantages[:, None])[alive].mean()


def whitened(logp, old_logp, advantages, mask):
    return grpo.policy_loss(logp, old_logp, advantages / advantages.std(), mask)[0]


@pytest.mark.parametrize("loss", [mean_of_those_with_advantage, whitened])
@pytest.mark.parametrize("dead", [2, 5, 6])
def test_a_loss_of_the_whole_batch_is_given_all_of_it(base, experience, loss, dead, monkeypatch):
    monkeypatch.setattr(learner, "tokens_at_once", lambda model: 40)
    model, tokenizer = models.load(base)
    rewards = experience.rewards.clone()
    rewards[:dead] = 1.0
    sgd = torch.optim.SGD(model.parameters(), lr=0.0)
    ours = Learner(model, sgd, WIDE, tokenizer.eos_token_id, loss=loss)
    told = ours.update(replace_rewards(experience, rewards))
    if dead == 6:
        assert told["grad_norm"] == 0.0
        return
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    sampled = experience.rollout
    mask = grpo.completion_mask(sampled.ids, tokenizer.eos_token_id)
    logp, _ = zero.completion_logprobs(model, sampled, mask, 1.0)
    gains = grpo.group_advantages(rewards, std="none").flatten()
    model.zero_grad()
    loss(logp, logp.detach(), gains, mask).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, rtol=1e-4, atol=1e-6)


def test_chunks_hold_every_row_once_and_stay_small(experience):
    rows = torch.arange(len(experience.texts))
    parts = list(zero.chunks(experience.rollout, rows, tokens=60))
    assert sorted(torch.cat(parts).tolist()) == rows.tolist() and len(parts) > 1
    width = experience.rollout.prompt_ids.shape[1]
    for part in parts:
        longest = int(experience.rollout.lengths[part].max())
        assert len(part) == 1 or len(part) * (width + longest) <= 60


def test_a_set_ends_where_padding_would_cost_more_than_another_pass(experience):
    lengths = torch.tensor([40, 4, 12] * 20)
    sampled = replace(experience.rollout, lengths=lengths)
    rows = torch.arange(60)
    assert len(list(zero.chunks(sampled, rows, tokens=10_000))) == 1
    parts = list(zero.chunks(sampled, rows, tokens=10_000, padding=256))
    assert sorted(torch.cat(parts).tolist()) == rows.tolist()
    padding = [int((lengths[part].max() - lengths[part]).sum()) for part in parts]
    assert padding == [160, 0]  # 4s and 12s together, 40s alone


def test_what_all_prompts_share_is_counted_once(experience):
    rows = torch.arange(len(experience.texts))
    shared = replace(experience.rollout, shared=experience.rollout.prompt_ids.shape[1] - 1)
    count = [len(list(zero.chunks(one, rows, 60))) for one in (shared, experience.rollout)]
    assert count[0] < count[1]


def test_a_wide_vocabulary_leaves_room_for_fewer_tokens_in_a_pass():
    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
    narrow, wide = (
        learner.tokens_at_once(SimpleNamespace(config=LlamaConfig(vocab_size=n, **sizes)))
        for n in (535, 49_152)
    )
    assert 256 <= wide < 0.7 * narrow
    assert wide * 49_152 * 4 * 5 < 0.5e9  # of logits and all that is made of them


def learn(base, experience, **changes):
    """The figures of `update` and the policy after it."""
    model, tokenizer = models.load(base)
    config = replace(TINY, **changes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    reference = models.load(base)[0] if config.kl else None
    ours = Learner(model, optimizer, config, tokenizer.eos_token_id, reference)
    return ours.update(experience), model


def test_one_update_never_clips_and_its_loss_is_0(base, experience):
    stats, _ = learn(base, experience, reduce="sequence")
    assert stats["clip_fraction"] == 0 and abs(stats["loss"]) < 1e-6 < stats["grad_norm"]


def test_further_updates_are_clipped_and_their_loss_falls(base, experience):
    stats, _ = learn(base, experience, reduce="sequence", updates=4)
    assert stats["clip_fraction"] > 0 and stats["loss"] < -1e-3


def test_a_model_in_double_precision_has_log_probabilities(random_models):
    """As it is wanted to hold a gradient against finite differences."""
    model = copy.deepcopy(random_models["qwen2"]).double()
    sampled = rollout.generate(model, [[5, 6, 7]], samples=2, max_new_tokens=4, eos=-1)
    logp, spread = zero.completion_logprobs(model, sampled, torch.ones(2, 4), 1.0)
    with torch.no_grad():
        logits = model(torch.cat([sampled.prompt_ids, sampled.ids], 1)).logits[:, 2:-1]
    exact = logits.log_softmax(-1).gather(-1, sampled.ids[..., None]).squeeze(-1)
    torch.testing.assert_close(logp.detach(), exact, rtol=1e-9, atol=1e-9)
    assert spread.dtype == torch.float64


def test_kl_holds_the_policy_to_its_reference(base, experience):
    ends = [learn(base, experience, updates=6, kl=kl)[1] for kl in (0.0, 10.0)]
    mask = grpo.completion_mask(experience.rollout.ids, models.build_tokenizer().eos_token_id)
    with torch.no_grad():
        start, free, held = (
            zero.completion_logprobs(model, experience.rollout, mask, 1.0)[0]
            for model in (models.load(base)[0], *ends)
        )
    assert 0 < (held - start).abs().sum() < (free - start).abs().sum()


def test_groups_without_a_lesson_leave_the_policy_alone(base, experience):
    dull = replace_rewards(experience, torch.ones_like(experience.rewards))
    stats, model = learn(base, dull)
    assert stats["grad_norm"] == 0 and same(model.state_dict(), models.load(base)[0].state_dict())


def replace_rewards(experience, rewards):
    return zero.Experience(experience.rollout, experience.items, experience.texts, rewards)


def test_a_gradient_that_is_not_finite_is_not_taken(base, experience, monkeypatch):
    monkeypatch.setattr(learner.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(math.nan))
    stats, model = learn(base, experience)
    assert math.isnan(stats["grad_norm"])
    assert same(model.state_dict(), models.load(base)[0].state_dict())


# --- sampling, banning, evaluating ----------------------------------------------------------------


def test_banned_tokens_are_neither_written_nor_likely(base):
    model, tokenizer = models.load(base)
    banned = tuple(models.vocabulary())
    config = replace(TINY, banned=banned)
    items, generator = puzzles.sample(4, 0), torch.Generator().manual_seed(0)
    found = zero.collect(model, tokenizer, TASK, items, config, generator)
    ids = zero.banned_ids(tokenizer, banned)
    assert not set(found.rollout.ids.flatten().tolist()) & set(ids)
    mask = grpo.completion_mask(found.rollout.ids, tokenizer.eos_token_id)
    free, _ = zero.completion_logprobs(model, found.rollout, mask, 1.0)
    held, _ = zero.completion_logprobs(model, found.rollout, mask, 1.0, ids)
    assert (held[mask] > free[mask]).all()  # what is left shares the whole probability


def test_only_tokens_can_be_banned(tokenizer):
    with pytest.raises(ValueError, match="no such token"):
        zero.banned_ids(tokenizer, ["no such token"])


def test_evaluate_is_by_what_is_right_and_not_by_what_is_rewarded(base):
    model, tokenizer = models.load(base)
    task = replace(PUZZLES, reward=lambda p, c: 7.0, right=lambda p, c: 0.25)
    found = zero.evaluate(model, tokenizer, n=4, task=task, max_new_tokens=4)
    assert found["accuracy"] == 0.25 and {"thinking_tokens", "attempts"} <= found.keys()
    again = zero.evaluate(model, tokenizer, n=4, task=task, max_new_tokens=4)
    assert found == again


def test_evaluate_needs_items_and_takes_given_ones(base):
    model, tokenizer = models.load(base)
    bare = Task(puzzles.sample, puzzles.prompt, lambda p, c: float(p.target == 3))
    with pytest.raises(ValueError, match="held_out"):
        zero.evaluate(model, tokenizer, task=bare)
    items = [puzzles.parse("1 ? 2 = 3"), puzzles.parse("1 ? 3 = 4")]
    found = zero.evaluate(model, tokenizer, task=bare, items=items, max_new_tokens=3)
    assert found["accuracy"] == 0.5


def test_held_out_puzzles_are_held_out():
    assert all(puzzles.is_test(p.numbers) for p in PUZZLES.held_out(50, 0))
    assert not any(puzzles.is_test(p.numbers) for p in PUZZLES.draw(50, 0))


def test_thinking_tokens_count_up_to_the_last_closing_tag():
    end, eos = 9, 0
    ids = torch.tensor(
        [[1, 2, end, 4, eos], [1, 2, eos, 0, 0], [1, 2, 3, 4, 5], [1, end, 2, end, 3]]
    )
    finished = torch.tensor([True, True, False, False])
    lengths = torch.tensor([5, 3, 5, 5])
    blank = torch.zeros(4, 1, dtype=torch.long)
    # a closed thought: 3; a bare answer: 0; a thought cut off: all 5; closed twice, then cut off: 4
    each = Rollout(blank, blank, ids, finished, lengths)
    assert zero.thinking_tokens(each, Spelling({"</think>": end})) == (3 + 0 + 5 + 4) / 4
    assert zero.thinking_tokens(each, Spelling({})) == (0 + 0 + 5 + 5) / 4  # never the tag


class Spelling:
    """A tokenizer that knows some tokens by name and writes each number as a letter or a text."""

    def __init__(self, vocabulary, pieces=None):
        self._vocabulary, self._pieces = vocabulary, pieces or {}

    def get_vocab(self):
        return self._vocabulary

    def batch_decode(self, rows):
        return ["".join(self._pieces.get(i, chr(97 + i)) for i in row) for row in rows]


def test_thinking_tokens_where_the_tag_is_spelt_with_several():
    ids = torch.tensor([[1, 5, 6, 7, 2], [5, 6, 7, 8, 3], [1, 2, 3, 4, 8]])
    blank = torch.zeros(3, 1, dtype=torch.long)
    each = Rollout(blank, blank, ids, torch.tensor([True, True, False]), torch.tensor([5, 5, 5]))
    spelt = Spelling({}, {5: "x</", 6: "think", 7: ">", 8: "</think> +"})
    assert zero.thinking_tokens(each, spelt) == pytest.approx((4 + 4 + 5) / 3)


# --- other models, tokenizers and rewards ---------------------------------------------------------


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A Llama with another tokenizer: GPT-2's class, its own words, no chat template."""
    folder = tmp_path_factory.mktemp("foreign")
    words = ["<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "Ġa"]
    tokenizer = GPT2Tokenizer({word: i for i, word in enumerate(words)}, [("Ġ", "a")])
    assert tokenizer.chat_template is None
    torch.manual_seed(0)
    config = models.student_config(tokenizer, "llama", hidden=16, layers=1)
    models.save(AutoModelForCausalLM.from_config(config), tokenizer, folder / "model")
    return folder / "model"


def test_any_model_any_tokenizer_any_reward(tmp_path, foreign):
    """Prompts of different lengths, and a reward that grows with the letter a."""
    prompts = ["hello", "a", "what is this", "abc"]
    task = Task(
        draw=lambda n, seed: [prompts[(seed + i) % 4] for i in range(n)],
        prompt=str,
        reward=lambda prompt, completion: completion.count("a") / 8,
    )
    config = ZeroConfig(
        steps=30, puzzles=4, samples=8, max_new_tokens=8, learning_rate=0.02, checkpoint_every=30
    )
    lines = list(zero.run(tmp_path, config, base=foreign, task=task))
    assert not any("accuracy" in line or "attempts" in line for line in lines)
    assert lines[-1]["reward"] > 3 * lines[1]["reward"]


def test_a_model_of_another_build_is_refused_by_name(tmp_path, foreign):
    _, tokenizer = models.load(foreign)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=8, n_layer=1, n_head=1)
    models.save(AutoModelForCausalLM.from_config(config), tokenizer, tmp_path / "gpt2")
    with pytest.raises(CourseError, match="GPT2LMHeadModel"):
        next(zero.run(tmp_path / "run", base=tmp_path / "gpt2"))


def test_a_tokenizer_without_an_end_is_refused(foreign):
    model, _ = models.load(foreign)
    with pytest.raises(CourseError, match="no EOS token"):
        zero._refuse_what_cannot_be_trained(foreign, model, SimpleNamespace(eos_token_id=None))
