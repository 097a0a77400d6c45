"""The lab on distillation: its data, its measures, its records, and every experiment in small."""

import copy
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from course_lib.distill import bench as benches
from course_lib.distill import distill_lab, experiments, fight, lost, soft_labels, trace_sft
from course_lib.distill.bench import Bench
from course_lib.distill.distill_lab import EXPERIMENTS
from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.task import chat, puzzles, traces

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
    small = {
        "qwen2 32x1": {"family": "qwen2", "hidden": 32, "layers": 1},
        "llama 16x1": {"family": "llama", "hidden": 16, "layers": 1},
    }
    monkeypatch.setattr(benches, "PRETRAINED", 2)
    for module in (benches, experiments):
        monkeypatch.setattr(module, "STUDENTS", small)
        monkeypatch.setattr(module, "COUNTS", (2, 4))
    return Bench(models.shipped("mini-v3-base"), tmp_path, 0, TINY)


def test_a_right_answer_with_wrong_working_or_none_is_lucky():
    texts = [HONEST, SLIP, FALSE_CHECK, " - + +", " + + +"]
    shares = [benches.lucky([PUZZLE], [text]) for text in texts]
    assert shares == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert benches.lucky([PUZZLE] * 5, texts) == 0.75  # of the right ones


def test_step_errors_are_a_share_of_all_steps():
    assert benches.step_errors([PUZZLE] * 2, [HONEST, SLIP]) == 2 / 9  # of six and three
    assert benches.step_errors([PUZZLE], [" - + +"]) == 0.0


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

    monkeypatch.setattr(benches, "answers", four_signs)
    found = benches.other_lengths(None, None, 4, 0)
    assert asked == [(3, 96)] * 4 + [(5, 192)] * 4
    assert found == {
        "three_digits": 0.0, "five_digits": 0.75, "five_digits_signs": 0.75,
        "five_digits_step_errors": 0.0,
    }  # fmt: skip


def test_students_of_one_comparison_have_read_as_much(bench):
    """Bases pretrained by different amounts would confound size with reading."""
    read = {}
    for name in benches.STUDENTS:
        log = bench.base(name).parent / "metrics.jsonl"
        read[name] = len(log.read_text().splitlines())
    assert len(read) == 2 and len(set(read.values())) == 1
    assert bench.base(benches.SHIPPED) == models.shipped("qwen2-base")


def test_a_trace_without_its_thought_is_the_bare_answer(tokenizer):
    ids = tokenizer.encode(HONEST, add_special_tokens=False)
    bare = benches.without_thinking(trace_sft.Trace([1], ids), tokenizer)
    assert models.decode(tokenizer, [bare.completion]) == [" - + +"] and bare.prompt == [1]
    assert benches.without_thinking(bare, tokenizer) == bare


def test_the_kinds_of_data_differ_as_they_are_named(bench, monkeypatch):
    monkeypatch.setattr(benches, "COUNTS", (2, 100))
    kinds = benches.datasets(bench.answers, bench.tokenizer)
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
    monkeypatch.setattr(benches, "measure", lambda *_: figures)
    record = distill_lab.run(name, bench, "a test")
    assert record == json.loads((bench.out / f"distill-{name}.json").read_text())
    count = {"sizes": 1 + 2 * 3, "quality": 5, "soft": 4}[name]
    assert len(record["rows"]) == count and record["seeds"] == [0]
    assert all(row["seed"] == 0 and row["accuracy"] == 0.1235 for row in record["rows"])
    assert distill_lab.load_record(name, bench.out) == record
    assert distill_lab.run(name, bench, "a test") == record  # nothing is run again
    words = distill_lab.table(record, ["data"], {"accuracy": ".1%"})
    assert len(str(words).splitlines()) >= 3 and "1 seed:" in distill_lab.said(record)
    again = {**record, "command": f"{record['command']} --seeds 1"}  # said there already
    assert distill_lab.said(again) == distill_lab.said(record)


def test_every_way_that_reads_the_teachers_text_is_billed_for_it(bench, monkeypatch):
    """A clock that only the teacher's sampling moves: the first way must not pay for all."""
    seconds, ask = [0.0], bench.ask

    def dear(n):
        seconds[0] += 6.0
        return ask(n)

    monkeypatch.setattr(bench, "ask", dear)
    monkeypatch.setattr(experiments, "processor_seconds", lambda: seconds[0])
    monkeypatch.setattr(benches, "measure", lambda *_: {})
    spent = {row["data"]: row["cpu_seconds"] for row in experiments.soft(bench)}
    assert list(spent) == list(experiments.SOFT)
    assert list(spent.values()) == [6.0, 6.0, 6.0, 0.0]


def test_the_search_tries_each_way_at_each_rate_on_seeds_of_its_own(bench, monkeypatch):
    monkeypatch.setattr(experiments, "SOFT", {"traces, as DeepSeek": None})
    rows = list(experiments.soft_rates(bench))
    assert [row["rate"] for row in rows] == list(experiments.SOFT_RATES)
    assert EXPERIMENTS["soft-rates"].first == EXPERIMENTS["fight-rates"].first == 10


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


def small_fight():
    return replace(
        fight.FIGHT, steps=2, puzzles=2, samples=8, evaluate_every=1, evaluate_puzzles=8,
        max_new_tokens=32,
    )  # fmt: skip


def test_the_fight_gives_both_sides_equal_updates_and_tokens(bench):
    alone, distilled = fight.fight(bench, small_fight())
    assert [r["data"] for r in (alone, distilled)] == ["GRPO from its base", "distillation"]
    assert alone["updates"] == distilled["updates"] == [0, 1, 2]
    budget = alone["sampled"][-1]
    assert alone["sampled"][0] == 0 < budget
    assert budget - 48 <= distilled["sampled"][-1] <= budget
    # A second budget is as large as the first, whichever way it is spent.
    twice, after = fight.second_budget(bench, small_fight())
    assert twice["updates"][-1] == 4 and after["updates"] == [0, 1, 2]
    assert 2 * budget - 48 <= twice["sampled"][-1] <= 2 * budget
    assert after["accuracy"][0] == distilled["accuracy"][-1]
    for row in (alone, distilled, twice, after):
        assert row["rate"] == fight.BEST.get(row["data"], fight.BEST["distillation"])
        assert 0 <= row["trained"][-1] <= row["sampled"][-1] and row["sampled"][-1] > 0


def test_every_rate_of_every_side_is_searched(bench):
    rows = list(fight.rates(bench, small_fight()))
    found = {}
    for row in rows:
        found.setdefault(row["data"], []).append(row["rate"])
        assert row["updates"] == 2
    assert {side: tuple(rates) for side, rates in found.items()} == fight.RATES


def test_groups_of_equal_rewards_are_sampled_and_teach_nothing():
    rewards = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    rollout = SimpleNamespace(lengths=torch.tensor([3, 4, 50, 60]))
    learner = object.__new__(fight.Counting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fight.zero.Learner, "update", lambda *_: {"loss": 0.5})
        found = learner.update(SimpleNamespace(rewards=rewards, rollout=rollout))
    assert found == {"loss": 0.5, "sampled": 117, "trained": 7}


def test_a_budget_buys_what_it_pays_for(bench):
    costs = [len(a.trace.completion) for a in bench.answers]
    assert len(fight._buy(bench, sum(costs[:7]))) == 7
    assert len(fight._buy(bench, sum(costs[:7]) - 1)) == 6
    budget = 3 * sum(costs)  # the puzzles run out, and more are asked
    paid = sum(len(a.trace.completion) for a in fight._buy(bench, budget))
    assert budget - TINY.max_new_tokens < paid <= budget


def test_a_record_is_cut_to_some_rows():
    rows = [{"data": "a", "seed": 0}, {"data": "b", "seed": 0}]
    found = distill_lab.where({"name": "quality", "rows": rows}, data="b", seed=0)
    assert found == {"name": "quality", "rows": rows[1:]}
    assert not distill_lab.where(found, data="b", seed=1)["rows"]


def test_a_record_with_other_settings_is_refused_and_another_machine_is_said(bench, monkeypatch):
    plain = distill_lab.Experiment("?", lambda bench: iter([{"data": "a", "accuracy": 0.5}]))
    monkeypatch.setitem(EXPERIMENTS, "sizes", plain)
    distill_lab.run("sizes", bench, "one machine")
    found = distill_lab.run("sizes", replace(bench, seed=1), "another")
    assert found["machine"] == "one machine; from seed 1 on: another"
    other = replace(bench, seed=2, config=replace(TINY, steps=3))
    with pytest.raises(CourseError, match="made with other settings"):
        distill_lab.run("sizes", other, "another")
    assert distill_lab.load_record("sizes", bench.out) == found


def test_what_is_lost_is_measured_of_the_base_too(bench):
    rows = list(lost.lost(bench))
    assert [row["data"] for row in rows] == ["nothing yet", "traces", "traces and conversation"]
    for row in rows:
        assert 0 <= row["chat_right"] <= 1
        assert all(row[f"loss, {kind}"] > 0 for kind in lost.KINDS)
    talk = lost.conversation(bench.tokenizer, 40, 0)
    texts = models.decode(bench.tokenizer, [trace.completion for trace in talk])
    asked = {tuple(models.chat_ids(bench.tokenizer, c.prompt)): c for c in chat.prompts()}
    assert all(chat.is_right(asked[tuple(t.prompt)], x) for t, x in zip(talk, texts, strict=True))


def test_an_unknown_name_or_a_missing_record_is_one_sentence(tmp_path):
    with pytest.raises(CourseError, match="there are sizes, quality"):
        distill_lab.main(["nothing", "--out", str(tmp_path)])
    for name in ("guesses", "real-star"):
        with pytest.raises(CourseError, match=f"{name} asks no teacher of yours"):
            distill_lab.main([name, "--out", str(tmp_path), "--teacher", "x"])
    with pytest.raises(CourseError, match="distill-lab soft"):
        distill_lab.load_record("soft", tmp_path)


# --- soft labels ----------------------------------------------------------------------------------


def test_a_student_that_is_its_teacher_has_nothing_to_learn(bench):
    batch = next(trace_sft.batches([a.trace for a in bench.answers], 512, 0, 0))
    same = soft_labels.divergence(bench.expert, bench.expert, batch, 0.5)
    assert float(same.detach()) == pytest.approx(0.0, abs=1e-5)
    student, _ = models.load(bench.base(benches.SHIPPED))
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


def test_the_rates_of_the_fight_are_the_best_of_its_recorded_search():
    search = distill_lab.load_record("fight-rates")
    found = distill_lab.over_seeds(search, "accuracy", "data", "rate")
    for side, tried in fight.RATES.items():
        right = {rate: sum(found[side, rate]) for rate in tried}
        assert max(right, key=right.get) == fight.BEST[side]
    record = distill_lab.load_record("fight")
    assert not set(record["seeds"]) & set(search["seeds"])
    assert {row["data"]: row["rate"] for row in record["rows"]} == {
        side: fight.BEST[side] for side in ("GRPO from its base", "distillation")
    }
