"""The pipeline at its smallest: every stage runs once, resumes, and refuses what it cannot do."""

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from course_lib import facts
from course_lib import records as files
from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.pipeline import pipeline, reward_model, stage_work, stages, variants
from course_lib.pipeline import stage_records as records
from course_lib.pipeline.stages import STAGES, TINY
from course_lib.task import chat, rewards
from course_lib.task.chat import Chat, Pair
from course_lib.task.puzzles import Puzzle, is_test

BASE = models.shipped("mini-v3-base")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole tiny pipeline, with its log lines."""
    out = tmp_path_factory.mktemp("pipeline")
    return out, list(pipeline.run(out, TINY))


def test_every_stage_runs_in_order_and_leaves_what_the_next_needs(finished):
    out, lines = finished
    assert [line["stage"] for line in lines if line.get("done")] == list(STAGES)
    assert all((out / stage.makes).exists() for stage in STAGES.values())
    names = list(STAGES)
    assert all(set(stage.needs) <= set(names[:i]) for i, stage in enumerate(STAGES.values()))


def test_the_table_has_every_model_and_figure(finished):
    out, _ = finished
    table = json.loads((out / "table.json").read_text())
    assert list(table["rows"]) == list(stages.MODELS)
    for row in table["rows"].values():
        assert {*stage_work.HABITS, "thinking_tokens", "chat_right", "preference"} <= {
            *row["figures"]
        }
        assert len(row["traces"]) == 6
    for stage in ("cold_start", "rejection"):
        counts = table[stage]
        assert counts["kept"] + sum(counts["rejected"].values()) == counts["sampled"]


def test_a_second_call_does_nothing_again(finished):
    out, _ = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    lines = list(pipeline.run(out, TINY))
    assert all(line["done"] and line["seconds"] == 0 for line in lines)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}


def test_a_stage_that_is_gone_is_made_again_and_equal(finished, tmp_path):
    out, _ = finished
    copy = tmp_path / "again"
    shutil.copytree(out, copy)
    shutil.rmtree(copy / "dev1")
    list(pipeline.run(copy, TINY, only=["dev1"]))
    name = "dev1/checkpoint/model.safetensors"
    assert (out / name).read_bytes() == (copy / name).read_bytes()


def test_cold_start_data_is_rewritten_and_rejection_data_is_clean(finished):
    out, _ = finished
    for name in ("cold_start", "rejection"):
        for sample in stages.read_samples(out / name / "samples.jsonl"):
            assert rewards.RuleReward()(sample.puzzle, sample.completion) == 3
            assert rewards.readability(sample.puzzle, sample.completion) == 1
    raw = stages.read_samples(out / "cold_start/answers.jsonl")
    assert len(raw) == TINY.cold_start_puzzles


@pytest.mark.parametrize(
    ("stage", "maker"), [("cold_start", "zero"), ("dev1", "cold_start"), ("r1", "dev3")]
)
def test_a_missing_input_says_which_command_makes_it(tmp_path, stage, maker):
    out = tmp_path / "my run"
    with pytest.raises(CourseError, match=rf"pipeline --out '{out}' --only {maker}`, .* --tiny"):
        list(pipeline.run(out, TINY, only=[stage]))


def test_unknown_stages_and_other_settings_are_refused(tmp_path):
    with pytest.raises(CourseError, match="no stage 'dev9'; the stages are zero, cold_start"):
        list(pipeline.run(tmp_path, TINY, only=["dev9"]))
    files.write(tmp_path / "pipeline.json", {"seed": 7})
    with pytest.raises(CourseError, match="other settings"):
        list(pipeline.run(tmp_path, TINY))


def test_damaged_settings_say_what_to_do(tmp_path):
    for text in ("{", "[1]", "3", "[]", '[["seed", 0]]', "[" * 99_999):
        (tmp_path / "pipeline.json").write_text(text)
        with pytest.raises(CourseError, match="is damaged; delete the folder"):
            list(pipeline.run(tmp_path, TINY))


def test_a_damaged_data_file_says_what_to_do(tmp_path):
    path = tmp_path / "samples.jsonl"
    for text in ('{"prompt": 3}', "[", '{"prompt": "1 ? 2 = 3"}', "[" * 99_999):
        path.write_text(text)
        with pytest.raises(CourseError, match="run its stage again"):
            stages.read_samples(path)
    path.write_text('\ufeff{"prompt": "1 ? 2 = 3", "completion": "7"}\n', encoding="utf-8")
    assert [sample.completion for sample in stages.read_samples(path)] == ["7"]


def test_an_earlier_zero_can_be_taken_over(finished, tmp_path):
    out, _ = finished
    pipeline.adopt_zero(tmp_path, out / "zero")
    assert pipeline.is_done(tmp_path, "zero", TINY)
    # One with fewer steps than a new one would have is taken as it is, too.
    assert pipeline.is_done(tmp_path, "zero", replace(TINY, zero_steps=9))
    assert not pipeline.is_done(out, "zero", replace(TINY, zero_steps=9))
    with pytest.raises(CourseError, match="course_lib zero --out"):
        pipeline.adopt_zero(tmp_path, out / "nowhere")
    pipeline.adopt_zero(tmp_path, out / "zero")  # the same command again
    for place, trained in ((tmp_path, out / "dev2"), (out, out / "zero")):
        with pytest.raises(CourseError, match="holds another R1-Zero"):
            pipeline.adopt_zero(place, trained)
    (tmp_path / "distil" / "checkpoint").mkdir(parents=True)
    (tmp_path / "distil" / "checkpoint" / "trainer.json").write_text('{"step": 1}')
    with pytest.raises(CourseError, match="another command's"):
        pipeline.adopt_zero(tmp_path / "new", tmp_path / "distil")
    (tmp_path / "begun" / "zero").mkdir(parents=True)
    (tmp_path / "begun" / "zero" / "run.json").touch()  # stopped before its first checkpoint
    with pytest.raises(CourseError, match="holds another R1-Zero"):
        pipeline.adopt_zero(tmp_path / "begun", out / "zero")


def is_held_out(puzzle):
    return is_test(puzzle.numbers)


class Likes:
    """A judge that likes politeness."""

    def score(self, prompt, reply):
        return float(reply.endswith(chat.POLITE))


def test_tasks_draw_their_share_and_judge_each_kind_its_own_way():
    puzzle, item = Puzzle((4, 2), 6), Chat("write 12 in words", " twelve")
    polite = " twelve, glad to help"
    mixed = stage_work.task(rewards.RuleReward(), Likes(), 0.25)
    kinds = [type(drawn) for drawn in mixed.draw(16, 0)]
    assert kinds.count(Chat) == 4 and kinds.count(Puzzle) == 12
    assert mixed.reward(item, polite) == 1 and mixed.reward(item, " twelve") == 0
    assert mixed.reward(puzzle, "<think> +2=6 yes</think> +") == 3
    assert mixed.prompt(item) == item.prompt and mixed.prompt(puzzle) == "4 ? 2 = 6"
    alone = stage_work.judged_task(Likes())
    assert alone.reward(puzzle, "<think> +2=6 yes</think> +") == 0
    assert alone.reward(puzzle, " +, glad to help") == 1
    assert alone.right(puzzle, " +") == 1 and all(map(is_held_out, alone.held_out(9, 0)))


def test_another_model_than_the_base_can_be_fine_tuned(tmp_path):
    model, tokenizer = models.load(BASE)
    for weights in model.parameters():
        weights.data.zero_()  # it knows nothing: every token is as likely
    models.save(model, tokenizer, tmp_path / "before")
    pairs = [("4 ? 2 = 6", " +")]
    (line,) = stage_work.fine_tune(tmp_path / "after", pairs, 1, 0, base=tmp_path / "before")
    assert line["loss"] == pytest.approx(math.log(model.config.vocab_size), rel=1e-4)


def test_a_reward_model_learns_a_preference_and_survives_the_disk(tmp_path):
    items = chat.prompts()[:12]
    pairs = [Pair(c.prompt, c.reply + chat.POLITE, c.reply) for c in items]
    judge, log = reward_model.train(BASE, pairs, steps=8, batch=8)
    assert log[-1]["loss"] < log[0]["loss"] and log[-1]["accuracy"] == 1
    known = [judge.score(p.prompt, text) for p in pairs for text in (p.chosen, p.rejected)]
    assert sum(known) / len(known) == pytest.approx(0, abs=1e-4)
    assert all(a > b for a, b in zip(known[::2], known[1::2], strict=True))
    judge.save(tmp_path / "judge")
    again = reward_model.from_folder(tmp_path / "judge")
    assert again.score(pairs[0].prompt, pairs[0].chosen) == pytest.approx(known[0], abs=1e-5)
    with_thought = f"<think> +2=6 yes</think>{pairs[0].chosen}"
    assert again.score(pairs[0].prompt, with_thought) == pytest.approx(known[0], abs=1e-5)


def test_a_reward_model_learns_at_the_rate_that_is_given():
    pairs = [Pair(c.prompt, c.reply + chat.POLITE, c.reply) for c in chat.prompts()[:12]]
    ends = [
        reward_model.train(BASE, pairs, steps=4, batch=8, learning_rate=rate)[1][-1]["loss"]
        for rate in (1e-3, 1e-6)
    ]
    assert ends[0] < ends[1]


def test_scores_do_not_depend_on_the_batch():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    judge, _ = reward_model.train(BASE, [Pair("write 1 in words", " one", " two")], steps=1)
    assert torch.equal(torch.rand(3), expected)  # a learner's seed stays as it was
    replies = [("write 1 in words", " one"), ("write 2 in words", " two, glad to help")]
    both = reward_model.scores(judge.model, judge.tokenizer, replies)
    each = [reward_model.scores(judge.model, judge.tokenizer, [r]).item() for r in replies]
    assert both.tolist() == pytest.approx(each, abs=1e-5)


def test_a_reward_model_wants_pairs_and_a_whole_folder(tmp_path):
    with pytest.raises(CourseError, match="not one preference pair"):
        reward_model.train(BASE, [])
    with pytest.raises(CourseError, match="make it again"):
        reward_model.from_folder(tmp_path)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The folder of a reward model."""
    folder = tmp_path_factory.mktemp("judge") / "made"
    reward_model.train(BASE, [Pair("write 1 in words", " one", " two")], steps=1)[0].save(folder)
    return folder


def _with_head(folder, head):
    (file,) = folder.glob("*.safetensors")
    weights = {name: tensor.clone() for name, tensor in load_file(file).items()}
    weights.pop("score.weight")
    save_file(weights | head, file, {"format": "pt"})


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: _with_head(folder, {}),  # transformers would draw one at random
        lambda folder: _with_head(folder, {"score.weight": torch.zeros(1, 5)}),
        *(
            lambda folder, text=text: (folder / "scale.json").write_text(text)
            for text in ('{"mean": 0, "spread": 0}', '{"mean": NaN, "spread": 1}', "[" * 99_999)
        ),
    ],
)
def test_a_damaged_reward_model_judges_nothing(judge, tmp_path, damage):
    shutil.copytree(judge, tmp_path / "copy")
    damage(tmp_path / "copy")
    with pytest.raises(CourseError, match=r"reward model in .* make it again"):
        reward_model.from_folder(tmp_path / "copy")


def test_a_variant_says_what_it_needs(tmp_path):
    with pytest.raises(CourseError, match="--only zero"):
        list(variants.run(tmp_path, TINY, ("zero_rules",)))
    with pytest.raises(CourseError, match="no variant 'zero_rule'; allowed: "):
        list(variants.run(tmp_path, TINY, ("zero_rule",)))


def test_a_record_of_runs_with_variants(finished, tmp_path):
    out, _ = finished
    list(variants.run(out, TINY, ("dev2_no_language", "overuse", "rules_for_long")))
    path = tmp_path / "record.json"
    records.main([str(out), str(out), "--machine", "a test", "--to", str(path)])
    record = records.load(path)
    assert len(record["runs"]) == 2 and "2 seeds" in records.said(record)
    more = {"dev2_no_language", "overuse", "rules_for_long"}
    assert set(record["traces"]) == {*stages.MODELS, *more}
    for name in ("overuse", "rules_for_long"):
        curve = record["runs"][0][name]
        assert len(curve["step"]) == len(curve["reward"]) == TINY.overuse_steps
        # Only held-out puzzles count as tried: a step's own completions are something else.
        assert curve["tried"] == [0, TINY.overuse_steps]
        assert len(curve["tried"]) == len(curve["accuracy"])
    accuracy = records.spread(record, "dev1", "accuracy")
    row = json.loads((out / "table.json").read_text())["rows"]["dev1"]["figures"]
    assert accuracy.mean == pytest.approx(100 * row["accuracy"], abs=0.01)
    assert accuracy.deviation == 0 and accuracy.seeds == 2
    assert records.spread(record, "nobody", "accuracy") is None
    assert len(records.answers(record)) == TINY.cold_start_puzzles


def test_a_record_wants_finished_pipelines_of_equal_settings(finished, tmp_path):
    out, _ = finished
    with pytest.raises(CourseError, match=r"no table\.json"):
        records.collect([tmp_path], "a test")
    table = json.loads((out / "table.json").read_text())
    table["config"]["sft_updates"] += 1
    files.write(tmp_path / "table.json", table)
    with pytest.raises(CourseError, match="different settings"):
        records.collect([out, tmp_path], "a test")
    with pytest.raises(CourseError, match="holds no record"):
        records.load(tmp_path / "nowhere.json")


def test_seeds_are_added_to_a_record_and_never_twice(finished):
    out, _ = finished
    first = records.collect([out], "one machine")
    with pytest.raises(CourseError, match="has seed 0 already"):
        records.collect([out], "another", first)
    first["runs"][0]["seed"] = 7
    both = records.collect([out], "another", first)
    assert [run["seed"] for run in both["runs"]] == [7, 0]
    assert both["machine"] == "one machine; from seed 0 on: another"
    assert both["traces"] == first["traces"]


def test_spread_over_seeds_is_the_sample_deviation():
    runs = [{"figures": {"zero": {"accuracy": value}}} for value in (0.5, 0.75, 1.0)]
    found = records.spread({"runs": runs}, "zero", "accuracy")
    assert (found.mean, found.deviation, found.seeds) == (75, 25, 3)
    assert str(found) == "75.0 ± 25.0"
    assert str(records.spread({"runs": runs[:1]}, "zero", "accuracy")) == "50.0"


def test_the_papers_table_comes_from_the_ledger():
    table = records.paper_table()
    assert table.loc[table.index[0]].tolist() == [77.9, 59.0, 74.0, 78.1, 79.8]
    assert list(table.columns) == ["R1-Zero", "Dev1", "Dev2", "Dev3", "R1"]


def test_the_papers_stages_keep_their_names_in_any_order(monkeypatch):
    before, ledgers = records.paper_table(), facts.table
    monkeypatch.setattr(facts, "table", lambda *a, **k: ledgers(*a, **k).iloc[:, ::-1])
    assert records.paper_table()[before.columns].equals(before)


@pytest.mark.parametrize("share", [1, 2.0, -0.1, float("nan")])
def test_conversation_leaves_room_for_reasoning(share):
    with pytest.raises(CourseError, match="chat_share"):
        stages.PipelineConfig(chat_share=share)
