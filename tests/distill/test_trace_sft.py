"""Distillation: what is kept, what is learnt from, and what is left behind."""

import copy
import json
from dataclasses import replace

import pytest

from course_lib.distill import distill, trace_sft
from course_lib.errors import CourseError
from course_lib.model import models, rollout
from course_lib.rl import zero
from course_lib.task import puzzles, traces

SMALL = trace_sft.DistillConfig(traces=48, steps=4, tokens=512, warmup=1, evaluate_puzzles=16)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("seed", -1), ("warmup", 0), ("temperature", float("nan")), ("rounds", 0),
     ("answer_temperature", -0.5), ("learning_rate", float("inf")), ("traces", "all")],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(name, value):
    with pytest.raises(CourseError, match=f"{name} is {value!r}; allowed is [01] or more"):
        replace(SMALL, **{name: value})


def test_a_notation_that_is_none_is_refused_before_the_teacher_is_asked():
    with pytest.raises(ValueError, match="notation is 'digit'; allowed are digits and words"):
        replace(SMALL, notation="digit")


@pytest.fixture(scope="module")
def base():
    return models.load(models.shipped("mini-v3-base"))


def test_gathered_traces_are_whole_and_judged_by_the_verifier(base):
    model, tokenizer = base
    asked = puzzles.sample(40, 3)
    found, right = trace_sft.gather(model, tokenizer, asked, seed=0, batch=16)
    texts = models.decode(tokenizer, [t.completion for t in found])
    assert right == [puzzles.reward(p, t) == 1.0 for p, t in zip(asked, texts, strict=True)]
    for trace, puzzle in zip(found, asked, strict=True):
        assert trace.prompt == models.chat_ids(tokenizer, str(puzzle))
        assert trace.completion.count(tokenizer.eos_token_id) <= 1


def test_an_epoch_holds_every_trace_once_and_prompts_weigh_nothing():
    made = [trace_sft.Trace([1, 2], [3 + i] * (1 + i % 5) + [9]) for i in range(40)]
    stream = trace_sft.batches(made, tokens=64, seed=0, pad=9)
    seen = []
    while len(seen) < 40:
        batch = next(stream)
        seen += batch.ids[:, 2].tolist()
        assert batch.weights[:, :2].sum() == 0
        for row, trace_id in zip(batch.weights, batch.ids[:, 2].tolist(), strict=True):
            assert row.sum() == 2 + (trace_id - 3) % 5  # the completion and its EOS
    assert sorted(seen) == [3 + i for i in range(40)]


def test_the_cores_that_are_free_are_looked_up_at_every_update(random_models, monkeypatch):
    looks = []
    monkeypatch.setattr(trace_sft, "use_threads", lambda: looks.append(1))
    made = [trace_sft.Trace([1, 2], [3, 4, 5])] * 8
    list(trace_sft.finetune(copy.deepcopy(random_models["qwen2"]), made, SMALL, pad=0))
    assert len(looks) == SMALL.steps


def test_no_trace_at_all_is_a_clear_error(random_models):
    with pytest.raises(CourseError, match="not one trace"):
        next(trace_sft.finetune(random_models["qwen2"], [], SMALL, pad=0))


@pytest.mark.parametrize("lacking", [([1, 2], []), ([], [3])])
def test_a_trace_without_a_prompt_or_completion_is_told(random_models, lacking):
    made = [trace_sft.Trace([1, 2], [3]), trace_sft.Trace(*lacking)]
    with pytest.raises(CourseError, match="1 of 2 traces lack a prompt or completion"):
        next(trace_sft.finetune(random_models["qwen2"], made, SMALL, pad=0))


def test_a_student_between_two_steps_and_after_the_last_is_as_it_answers(random_models):
    student = copy.deepcopy(random_models["qwen2"])
    made = [trace_sft.Trace([1, 2], [3, 4, 5])] * 8
    steps = trace_sft.finetune(student, made, SMALL, pad=0)
    assert not any(student.training for _ in steps)
    next(trace_sft.finetune(student, made, SMALL, pad=0))
    assert not student.training


def test_a_student_stopped_within_a_step_is_as_it_answers(random_models):
    student = copy.deepcopy(random_models["qwen2"])

    def stop(_):  # where Jupyter's square mostly meets it
        assert student.training
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(trace_sft.descend(student, SMALL, stop))
    assert not student.training


def test_traces_longer_than_the_context_are_counted_and_dropped_only_if_asked():
    made = [trace_sft.Trace([1] * 5, [2] * n) for n in (3, 5, 6, 20)]
    assert trace_sft.fitting(made, 25) == made  # the longest just fits
    with pytest.raises(CourseError, match=r"2 of 4 .* 10 tokens \(the longest has 25\)"):
        trace_sft.fitting(made, 10)
    assert trace_sft.fitting(made, 10, drop=True) == made[:2]
    with pytest.raises(CourseError, match="4 of 4"):
        trace_sft.fitting(made, 7, drop=True)


def test_a_students_own_context_is_what_counts(random_models):
    student = random_models["llama"]
    long = trace_sft.Trace([1], [2] * student.config.max_position_embeddings)
    with pytest.raises(CourseError, match="1 of 2 traces"):
        next(trace_sft.finetune(student, [trace_sft.Trace([1], [2]), long], SMALL, pad=0))


def test_no_right_trace_among_those_sampled_stops_a_run(tmp_path, random_models, tokenizer):
    models.save(random_models["mini_v3"], tokenizer, tmp_path / "untrained")
    config = replace(SMALL, traces=4, max_new_tokens=4)
    with pytest.raises(CourseError, match="not one trace"):
        next(distill.run(tmp_path / "untrained", tmp_path / "o", config))


def test_the_learning_rate_warms_up_and_falls_to_nothing(random_models, monkeypatch):
    student = copy.deepcopy(random_models["llama"])
    rates = []

    def loss(step):
        return sum(p.sum() for p in student.parameters()) * 1e-3

    config = replace(SMALL, steps=4, warmup=2, learning_rate=0.1)
    spy = trace_sft.pretrain.make_optimizer(student, 0.1, 0.0)
    monkeypatch.setattr(trace_sft.pretrain, "make_optimizer", lambda *_, **__: spy)
    for _ in trace_sft.descend(student, config, loss):
        rates.append(spy.param_groups[0]["lr"])
    assert rates == pytest.approx([0.05, 0.075, 0.05, 0.025])
    assert not student.training


def test_a_run_leaves_a_student_that_loads_and_says_what_it_kept(tmp_path):
    lines = list(distill.run(models.shipped("mini-v3-base"), tmp_path / "out", SMALL))
    assert lines[0]["traces"] == 48 and 0 < lines[0]["kept"] < 48
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4]
    assert {"accuracy", "thinking_tokens", "seconds"} <= lines[-1].keys()
    student, tokenizer = models.load(tmp_path / "out" / "model")
    teacher, _ = models.load(models.shipped("mini-v3-base"))
    assert type(student).__name__ == "Qwen2ForCausalLM"
    assert models.parameters(student) <= models.parameters(teacher) / 3
    assert zero.evaluate(student, tokenizer, n=8)["accuracy"] <= 1
    card = (tmp_path / "out/model/README.md").read_text()
    assert f"{models.parameters(student):,} parameters" in card
    assert f"the {lines[0]['kept']:,} answers" in card and "48 puzzles" in card
    assert f"| right answers | {lines[-1]['accuracy']:.1%} |" in card


def test_traces_cross_to_another_vocabulary_as_text(tmp_path, random_models, tokenizer):
    from tokenizers import AddedToken

    other = models.build_tokenizer()
    other.add_tokens([AddedToken(" yes</think>")])
    student = copy.deepcopy(random_models["llama"])
    student.resize_token_embeddings(len(other))
    models.save(student, other, tmp_path / "m")
    run = distill.run(models.shipped("mini-v3-base"), tmp_path / "o", SMALL, base=tmp_path / "m")
    first = next(run)
    run.close()
    kept = json.loads((tmp_path / "o" / "traces.json").read_text())["kept"]
    texts = models.decode(other, [completion for _, completion in kept])
    assert len(kept) == first["kept"] and all(c[-1] == other.eos_token_id for _, c in kept)
    asked = trace_sft.right_ones(*models.load(models.shipped("mini-v3-base")), SMALL)
    assert texts == models.decode(tokenizer, [trace.completion for _, trace in asked])


def test_soft_labels_need_one_vocabulary(random_models, tokenizer):
    from tokenizers import AddedToken

    other = models.build_tokenizer()
    other.add_tokens([AddedToken("extra")])
    with pytest.raises(CourseError, match=r"vocabularies \(\d+ and \d+ tokens, 1 entries"):
        trace_sft.require_same_vocabulary(tokenizer, other)


def test_kept_traces_are_in_the_notation_asked_for_and_asked_again():
    teacher = models.load(models.shipped("mini-r1-zero"))
    config = replace(SMALL, traces=24, notation="digits")
    once = trace_sft.right_ones(*teacher, config)
    often = trace_sft.right_ones(*teacher, replace(config, rounds=6))
    assert 0 < len(once) < len(often) <= 24
    puzzles_ = [puzzle for puzzle, _ in often]
    assert len(set(puzzles_)) == len(often)
    for puzzle, trace in often:
        text = models.decode(teacher[1], [trace.completion])[0]
        counts = traces.count(text, puzzle)
        assert puzzles.reward(puzzle, text) == 1.0
        assert counts.word_steps == counts.mixed_steps == counts.repeats == 0 < counts.digit_steps


def test_a_tokenizer_that_cannot_write_a_trace_is_refused(tokenizer):
    class Blind:
        eos_token_id = 0

        def encode(self, text, **_):
            return [1] * len(text)

        def batch_decode(self, rows, **_):
            return ["?" * len(row) for row in rows]

    with pytest.raises(CourseError, match="cannot write a trace such as '<think> \\+3=10"):
        trace_sft.in_tokens_of(Blind(), "7 ? 3 = 10", "<think> +3=10 yes</think> +")


def test_streamed_pieces_join_to_the_answer(base):
    model, tokenizer = base
    pieces = list(trace_sft.stream(model, tokenizer, "7 ? 3 ? 5 ? 2 = 11", temperature=0.0))
    text = "".join(pieces)
    assert len(pieces) > 1 and models.EOS not in text
    assert puzzles.answer(text) is not None


def test_streamed_pieces_are_whole_signs_and_the_last_is_not_kept_back(base, monkeypatch):
    model, tokenizer = base
    whole = tokenizer.encode("one €", add_special_tokens=False)
    half = tokenizer.encode("€", add_special_tokens=False)[:-1]
    for more, said in ([], "one €"), (half, "one €\N{REPLACEMENT CHARACTER}"):
        ids = [*whole, *more, tokenizer.eos_token_id, *whole]
        monkeypatch.setattr(rollout, "stream", lambda *_, ids=ids, **__: iter(ids))
        assert "".join(trace_sft.stream(model, tokenizer, "?")) == said


def test_the_courses_own_distill_is_small_right_and_says_where_it_comes_from():
    folder = models.shipped("mini-r1-distill")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2e6
    student, tokenizer = models.load(folder)
    teacher, _ = models.load(models.shipped("mini-v3-base"))
    assert type(student).__name__ == "Qwen2ForCausalLM"
    assert models.parameters(student) <= models.parameters(teacher) / 3
    found = zero.evaluate(student, tokenizer, n=64, seed=3)
    assert found["accuracy"] > 0.8 and found["thinking_tokens"] > 10
    card = (folder / "README.md").read_text()
    assert f"{models.parameters(student):,} parameters" in card and "held-out" in card
