"""Verdicts on the learner's own run, distill, machine: another state, another verdict."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.checklist import live_checks, questions
from course_lib.checklist.evidence import ASSETS, Evidence, Run, Student, read_config
from course_lib.checklist.quiz import Outcome, Prediction
from course_lib.errors import CourseError
from course_lib.limits import dataflow
from course_lib.local import memory
from course_lib.local.engines import Summary
from course_lib.local.engines.with_transformers import TransformersEngine
from course_lib.model import models
from course_lib.moe.architectures import CONFIGS

RUN = Run(Path("runs/zero"), 60, (0.12, 0.84), (1.0, 24.0))
SHIPPED = ASSETS / "mini-r1-distill"
STUDENT = Student(SHIPPED, read_config(SHIPPED, ("qwen2",)), own=True)
FULL = Evidence(
    24 * memory.GIB,
    {**CONFIGS["R1"], "n_routed_experts": 64},
    RUN,
    STUDENT,
    bandwidth=20e9,
)
BARE = Evidence(24 * memory.GIB)


def judge(name, answer, evidence=FULL):
    question, name = name.split(".")
    asked = questions.checklist(evidence)[question]
    forms = [*asked.asked("before"), *asked.ways]
    return next(w for w in forms if w.name == name).judge(answer, asked.state())


@pytest.fixture
def untrained(tmp_path, tokenizer, random_models):
    """Evidence of a learner whose distill has learnt nothing."""
    models.save(random_models["qwen2"], tokenizer, tmp_path / "model")
    config = read_config(tmp_path / "model", ("qwen2",))
    return replace(FULL, student=Student(tmp_path / "model", config, own=True))


class Phoning(TransformersEngine):
    """The mutant: an engine that looks up a name of its maker before it answers."""

    def _stream(self, request):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.connect(("192.0.2.1", 9))  # a datagram socket: nothing is sent by connecting
        return super()._stream(request)


def slow(folder):
    return Summary("transformers", "slow", "stop", 10, 100, 1.0, 50.0)


STATES = {
    "cost.own_bill": ("24", replace(FULL, run=replace(RUN, thinking=(1.0, 8.0)))),
    "training.own_growth": ("84", replace(FULL, run=replace(RUN, accuracy=(0.12, 0.3)))),
    "experts.own_share": ("20.8", replace(FULL, config=CONFIGS["R1"])),
    "local.fits": ("deepseek-r1:32b", replace(FULL, memory=8 * memory.GIB)),
    "local.ceiling": ("4.1", replace(FULL, bandwidth=200e9)),
}


@pytest.mark.parametrize("name", STATES)
def test_the_same_answer_is_right_in_one_state_and_wrong_in_another(name):
    answer, other = STATES[name]
    assert judge(name, answer).outcome is Outcome.RIGHT
    assert judge(name, answer, other).outcome in (Outcome.WRONG, Outcome.MISUNDERSTOOD)


def test_a_distill_is_put_to_the_test_and_an_untrained_one_fails_it(untrained):
    verdict = judge("distills.own_distill", "97")
    assert verdict.outcome is Outcome.RIGHT
    assert "It got 97.7% of them right, just now." in verdict.reply
    assert judge("distills.own_distill", "33", replace(FULL, config=_teacher())).outcome is (
        Outcome.MISUNDERSTOOD
    )
    assert judge("distills.own_distill", "97", untrained).outcome is Outcome.WRONG


def _teacher():
    return read_config(ASSETS / "mini-r1-zero")


def test_the_speed_is_timed_at_the_check_and_a_slow_machine_changes_the_verdict(monkeypatch):
    timed, asked = live_checks.speed(SHIPPED), []
    monkeypatch.setattr(live_checks, "speed", lambda folder: asked.append(folder) or timed)
    answer = f"{timed.speed:.0f}"
    assert judge("local.own_speed", answer).outcome in (Outcome.RIGHT, Outcome.CLOSE)
    assert asked == [SHIPPED]
    monkeypatch.setattr(live_checks, "speed", slow)
    verdict = judge("local.own_speed", answer)
    assert verdict.outcome is Outcome.WRONG
    assert "slow in transformers" in verdict.reply and "2/s" in verdict.reply
    assert judge("local.own_speed", "2.3").outcome is Outcome.RIGHT
    assert judge("local.own_speed", f"{20e9 / (4 * 301_440):.0f}").outcome is Outcome.MISUNDERSTOOD


def test_the_distill_is_watched_and_one_that_phones_is_found_out(monkeypatch):
    assert judge("data.audit", "nothing").outcome is Outcome.RIGHT
    assert judge("data.audit", "out").outcome is Outcome.WRONG
    monkeypatch.setattr("course_lib.local.engines.with_transformers.TransformersEngine", Phoning)
    verdict = judge("data.audit", "nothing")
    assert verdict.outcome is Outcome.WRONG
    assert "192.0.2.1" in verdict.reply and "beyond this machine" in verdict.reply
    assert judge("data.audit", "out").outcome is Outcome.RIGHT


def test_what_stays_on_the_machine_is_told_from_what_leaves(monkeypatch):
    event = dataflow.Event("connect", "127.0.0.1", 1, dataflow.LOOPBACK, 1)
    monkeypatch.setattr(live_checks, "audit", lambda folder: dataflow.Recording([event]))
    assert judge("data.audit", "here").outcome is Outcome.RIGHT
    assert judge("data.audit", "nothing").outcome is Outcome.WRONG


def test_every_question_has_a_way_that_is_the_learners_own():
    own = {name.split(".")[0] for name in STATES} | {"distills", "data"}
    assert own == set(questions.checklist(FULL))


def test_own_ways_are_asked_at_the_end_and_need_something_of_the_learners():
    for question in questions.checklist(FULL).values():
        before = [way.name for way in question.asked("before")]
        assert set(question.later).isdisjoint(before)
        assert [way.name for way in question.asked("after")] == [*before, *question.later]
    assert all(not question.later for question in questions.checklist(BARE).values())


def test_no_run_takes_place_before_the_guess(monkeypatch):
    for name in ("accuracy", "speed", "audit"):
        monkeypatch.setattr(live_checks, name, lambda folder: pytest.fail("it ran"))
    six = questions.checklist(FULL)
    predictions = [w for q in six.values() for w in q.ways if isinstance(w, Prediction)]
    assert len(predictions) == 5
    for way in predictions:
        assert way.judge(None if way.name == "audit" else "", {}).outcome is Outcome.BLANK


def test_a_prompt_does_not_tell_the_result():
    six = questions.checklist(FULL)
    prompts = " ".join(w.prompt for q in six.values() for w in q.ways if isinstance(w, Prediction))
    assert "24.0 tokens" not in prompts and "84%" not in prompts and "97" not in prompts


def test_a_run_that_began_with_no_thinking_at_all_has_no_ratio():
    some = replace(FULL, run=replace(RUN, thinking=(0.8, 24.0)))
    assert judge("cost.own_bill", "30", some).outcome is Outcome.RIGHT
    none = replace(FULL, run=replace(RUN, thinking=(0.0, 24.0)))
    assert "own_bill" not in [way.name for way in questions.checklist(none)["cost"].ways]
    assert judge("training.own_growth", "84", none).outcome is Outcome.RIGHT


def test_a_distill_that_is_damaged_is_said(untrained):
    (untrained.student.folder / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(CourseError):
        judge("distills.own_distill", "97", untrained)
