"""The lab on distillation: its data, its measures, its records, and every experiment in small."""

import copy
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from course_lib.distill import distill_lab, soft_labels, trace_sft
from course_lib.distill.distill_lab import EXPERIMENTS, Bench, Student
from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.task import puzzles, traces

PUZZLE = puzzles.parse("7 ? 3 ? 5 ? 2 = 11")  # - + +
HONEST = "<think> +3=10 +5=15 +2=17 no -3=4 +5=9 +2=11 yes</think> - + +"
SLIP = "<think> -3=5 +5=9 +2=11 yes</think> - + +"
FALSE_CHECK = "<think> +3=10 +5=15 +2=17 yes -3=4 +5=9 +2=11 yes</think> - + +"
TINY = trace_sft.DistillConfig(
    traces=48, steps=2, tokens=512, warmup=1, evaluate_puzzles=8, max_new_tokens=48
)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """The base as a teacher that is seldom right, and students that have read almost nothing."""
    small = {"qwen2 32x1": Student("qwen2", 32, 1), "llama 16x1": Student("llama", 16, 1)}
    monkeypatch.setattr(distill_lab, "STUDENTS", small)
    monkeypatch.setattr(distill_lab, "PRETRAINED", 2)
    monkeypatch.setattr(distill_lab, "COUNTS", (2, 4))
    return Bench(models.shipped("mini-v3-base"), tmp_path, 0, TINY)


def test_a_right_answer_with_wrong_working_or_none_is_lucky():
    texts = [HONEST, SLIP, FALSE_CHECK, " - + +", " + + +"]
    shares = [distill_lab.lucky([PUZZLE], [text]) for text in texts]
    assert shares == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert distill_lab.lucky([PUZZLE] * 5, texts) == 0.75  # of the right ones


def test_step_errors_are_a_share_of_all_steps():
    assert distill_lab.step_errors([PUZZLE] * 2, [HONEST, SLIP]) == 2 / 9  # of six and three
    assert distill_lab.step_errors([PUZZLE], [" - + +"]) == 0.0


def test_other_lengths_are_asked_with_their_own_digits(bench, monkeypatch):
    """A model that always answers with four signs has the right number for five digits only."""
    asked = []

    def four_signs(model, tokenizer, items, most, seed):
        asked.extend((len(p.numbers), most) for p in items)
        signs = [puzzles.solutions(p)[0] if len(p.numbers) == 5 else "++++" for p in items]
        texts = [puzzles.format_answer(s) for s in signs]
        texts[0] = " + + +"
        rewards = [puzzles.reward(*pair) for pair in zip(items, texts, strict=True)]
        return SimpleNamespace(texts=texts, rewards=torch.tensor(rewards))

    monkeypatch.setattr(distill_lab, "_answers", four_signs)
    found = distill_lab.other_lengths(None, None, 4, 0)
    assert asked == [(3, 96)] * 4 + [(5, 192)] * 4
    assert found == {
        "three_digits": 0.0, "five_digits": 0.75, "five_digits_signs": 0.75,
        "five_digits_step_errors": 0.0,
    }  # fmt: skip


def test_students_of_one_comparison_have_read_as_much(bench):
    """Bases pretrained by different amounts would confound size with reading."""
    read = {}
    for name in distill_lab.STUDENTS:
        log = bench.base(name).parent / "metrics.jsonl"
        read[name] = len(log.read_text().splitlines())
    assert len(read) == 2 and len(set(read.values())) == 1
    assert bench.base(distill_lab.SHIPPED) == models.shipped("qwen2-base")


def test_a_trace_without_its_thought_is_the_bare_answer(tokenizer):
    ids = tokenizer.encode(HONEST, add_special_tokens=False)
    bare = distill_lab.without_thinking(trace_sft.Trace([1], ids), tokenizer)
    assert models.decode(tokenizer, [bare.completion]) == [" - + +"] and bare.prompt == [1]
    assert distill_lab.without_thinking(bare, tokenizer) == bare


def test_the_kinds_of_data_differ_as_they_are_named(bench, monkeypatch):
    monkeypatch.setattr(distill_lab, "COUNTS", (2, 100))
    kinds = distill_lab.datasets(bench.answers, bench.tokenizer)
    right = sum(a.right for a in bench.answers)
    assert 0 < right < 24
    assert [len(k) for k in kinds.values()] == [right, 48, 48 - right, right, right]
    texts = {
        name: models.decode(bench.tokenizer, [t.completion for t in k]) for name, k in kinds.items()
    }
    asked = {
        tuple(models.chat_ids(bench.tokenizer, str(a.puzzle))): a.puzzle for a in bench.answers
    }
    for name, wanted in (("right", 1.0), ("wrong answers", 0.0)):
        pairs = zip(kinds[name], texts[name], strict=True)
        assert {puzzles.reward(asked[tuple(t.prompt)], text) for t, text in pairs} == {wanted}
    assert not any(traces.OPEN in text for text in texts["answers only"])


def test_measures_are_shares_and_the_examples_are_real(bench):
    row = bench.row(bench.expert, student="teacher")
    shares = (
        "accuracy", "lucky", "step_errors", "three_digits", "five_digits", "five_digits_signs",
        "five_digits_step_errors",
    )  # fmt: skip
    for name in shares:
        assert 0 <= row[name] <= 1
    assert row["bytes"] == 4 * row["parameters"] and row["tokens_per_second"] > 0
    assert len(row["examples"]) == 3
    assert all(puzzles.solutions(puzzles.parse(prompt)) for prompt in row["examples"])


@pytest.mark.parametrize("name", ["sizes", "quality", "soft"])
def test_every_experiment_runs_and_its_record_is_whole(bench, name, monkeypatch):
    figures = {"accuracy": 0.12345, "examples": {"p": "t"}}
    monkeypatch.setattr(distill_lab, "measure", lambda *_: figures)
    record = distill_lab.run(name, bench, "a test")
    assert record == json.loads((bench.out / f"distill-{name}.json").read_text())
    count = {"sizes": 1 + 2 * 3, "quality": 5, "soft": 4}[name]
    assert len(record["rows"]) == count and record["seeds"] == [0]
    assert all(row["seed"] == 0 and row["accuracy"] == 0.1235 for row in record["rows"])
    assert distill_lab.load_record(name, bench.out) == record
    assert distill_lab.run(name, bench, "a test") == record  # nothing is run again
    words = distill_lab.table(record, ["data"], {"accuracy": ".1%"})
    assert len(words.splitlines()) >= 2 and "1 seed:" in distill_lab.said(record)


def test_a_seed_that_was_cut_short_is_run_anew_and_others_are_kept(bench, monkeypatch):
    rows = [{"data": "a", "accuracy": 0.25}, {"data": "b", "accuracy": 0.5}]
    calls = []

    def some(bench):
        for row in rows:
            calls.append(bench.seed)
            if len(calls) == 4:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setitem(EXPERIMENTS, "sizes", distill_lab.Experiment("?", some))
    distill_lab.run("sizes", bench, "m")
    with pytest.raises(KeyboardInterrupt):
        distill_lab.run("sizes", replace(bench, seed=1), "m")
    record = distill_lab.run("sizes", replace(bench, seed=1), "m")
    assert [(r["seed"], r["data"]) for r in record["rows"]] == [
        (0, "a"), (0, "b"), (1, "a"), (1, "b"),
    ]  # fmt: skip
    assert record["seeds"] == [0, 1]
    assert distill_lab.over_seeds(record, "accuracy", "data") == {
        ("a",): [0.25, 0.25], ("b",): [0.5, 0.5],
    }  # fmt: skip


def test_the_fight_gives_both_sides_equal_updates_and_tokens(bench):
    plan = replace(
        distill_lab.FIGHT, steps=2, puzzles=2, samples=8, evaluate_every=1, evaluate_puzzles=8,
        max_new_tokens=32,
    )  # fmt: skip
    alone, distilled, after = distill_lab.fight(bench, plan)
    assert [r["data"] for r in (alone, distilled, after)] == [
        "GRPO from its base", "distillation", "GRPO after distillation",
    ]  # fmt: skip
    assert alone["updates"] == distilled["updates"] == after["updates"] == [0, 1, 2]
    budget = alone["sampled"][-1]
    assert alone["sampled"][0] == 0 < budget
    assert budget - 48 <= distilled["sampled"][-1] <= budget


def test_a_budget_buys_what_it_pays_for(bench):
    costs = [len(a.trace.completion) for a in bench.answers]
    assert len(distill_lab._buy(bench, sum(costs[:7]))) == 7
    assert len(distill_lab._buy(bench, sum(costs[:7]) - 1)) == 6
    budget = 3 * sum(costs)  # the puzzles run out, and more are asked
    paid = sum(len(a.trace.completion) for a in distill_lab._buy(bench, budget))
    assert budget - TINY.max_new_tokens < paid <= budget


def test_a_record_is_cut_to_its_ends_and_to_some_rows():
    rows = [
        {"data": "a", "seed": 0, "accuracy": [0.1, 0.5]},
        {"data": "b", "seed": 0, "accuracy": [0.1, 0.9]},
    ]
    ends = distill_lab.at_the_end({"name": "fight", "rows": rows})
    assert [r["accuracy"] for r in ends["rows"]] == [0.5, 0.9] and ends["name"] == "fight"
    assert distill_lab.where(ends, data="b", seed=0)["rows"] == [rows[1] | {"accuracy": 0.9}]
    assert not distill_lab.where(ends, data="b", seed=1)["rows"]
    assert rows[0]["accuracy"] == [0.1, 0.5]


def test_an_unknown_name_or_a_missing_record_is_one_sentence(tmp_path):
    with pytest.raises(CourseError, match="there are sizes, quality"):
        distill_lab.main(["nothing", "--out", str(tmp_path)])
    with pytest.raises(CourseError, match="at least 1 seed"):
        distill_lab.main(["soft", "--seeds", "0", "--out", str(tmp_path)])
    with pytest.raises(CourseError, match="distill-lab soft"):
        distill_lab.load_record("soft", tmp_path)


# --- soft labels ----------------------------------------------------------------------------------


def test_a_student_that_is_its_teacher_has_nothing_to_learn(bench):
    batch = next(trace_sft.batches([a.trace for a in bench.answers], 512, 0, 0))
    same = soft_labels.divergence(bench.expert, bench.expert, batch, 0.5)
    assert float(same.detach()) == pytest.approx(0.0, abs=1e-5)
    student, _ = models.load(bench.base(distill_lab.SHIPPED))
    apart = soft_labels.divergence(student, bench.expert, batch, 0.5)
    assert float(apart.detach()) > 1e-3


def test_a_batch_of_everything_counts_each_completion_token_once(bench):
    traces_ = [a.trace for a in bench.answers[:8]]
    batch = soft_labels.whole_batch(traces_, bench.tokenizer)
    assert int((batch.weights > 0).sum()) == sum(len(t.completion) for t in traces_)
    assert batch.ids.shape[0] == 8


@pytest.mark.parametrize("how", ["off", "on"])
def test_soft_labels_bring_the_student_nearer(bench, random_models, how):
    student = copy.deepcopy(random_models["llama"])
    config = replace(TINY, steps=6, learning_rate=3e-3, max_new_tokens=8)
    if how == "off":
        read = [a.trace for a in bench.answers]
        pad = bench.tokenizer.eos_token_id
        run = soft_labels.off_policy(student, bench.expert, read, config, pad, beta=0.0)
    else:
        run = soft_labels.on_policy(
            student, bench.expert, bench.tokenizer, config, beta=1.0, samples=16
        )
    steps, losses = zip(*run, strict=True)
    assert steps == (1, 2, 3, 4, 5, 6)
    assert losses[-1] < losses[0]
