"""The six questions: every answer judged as it should be, from the state and not from a key."""

from pathlib import Path

import pytest

from course_lib import facts
from course_lib.checklist import questions
from course_lib.checklist.evidence import Evidence, Run
from course_lib.checklist.quiz import Choice, Number, Order, Outcome, Prediction
from course_lib.local import memory
from course_lib.moe.architectures import CONFIGS

CONFIG = {**CONFIGS["R1"], "n_routed_experts": 64}
RUN = Run(Path("runs/zero"), 175, (0.19, 0.91), (8.0, 33.0))
FULL = Evidence(24 * memory.GIB, CONFIG, RUN)
BARE = Evidence(24 * memory.GIB)


def every(kind, evidence=FULL):
    six = questions.checklist(evidence)
    return [
        pytest.param(question, way, id=f"{question.name}.{way.name}-{phase}")
        for question in six.values()
        for phase in ("before", "after")
        for way in question.asked(phase)
        if isinstance(way, kind)
    ]


def way(name, evidence=FULL, phase=""):
    question, name = name.split(".")
    asked = questions.checklist(evidence)[question]
    forms = asked.asked(phase) if phase else [*asked.asked("before"), *asked.ways]
    return asked, next(way for way in forms if way.name == name)


def judge(name, answer, evidence=FULL, phase=""):
    asked, found = way(name, evidence, phase)
    return found.judge(answer, asked.state())


def test_there_are_six_with_several_ways_of_answering_and_all_four_kinds():
    six = questions.checklist(FULL)
    assert list(six) == ["cost", "training", "experts", "distills", "local", "data"]
    assert all(len(question.ways) >= 2 and question.explore for question in six.values())
    kinds = {type(way) for question in six.values() for way in question.ways}
    assert kinds == {Choice, Number, Order, Prediction}


@pytest.mark.parametrize(("question", "asked"), every(Choice))
def test_one_option_is_right_and_the_others_say_why_not(question, asked):
    state = question.state()
    verdicts = {key: asked.judge(key, state) for key in asked.options}
    right = [key for key, verdict in verdicts.items() if verdict.outcome is Outcome.RIGHT]
    assert right == [asked.right(state)]
    assert all(len(verdict.reply) > 20 for verdict in verdicts.values())
    if asked.name != "fits":
        rest = {verdict.outcome for key, verdict in verdicts.items() if key not in right}
        assert rest == {Outcome.MISUNDERSTOOD}


def test_the_place_of_an_option_does_not_tell_whether_it_is_right():
    found = [param.values for param in every(Choice) if param.values[1].name != "fits"]
    places = [list(ask.shown().values()).index(ask.right(q.state())) for q, ask in found]
    assert len(set(places)) >= 3


@pytest.mark.parametrize(("question", "asked"), [*every(Number), *every(Number, BARE)])
def test_the_right_number_is_right_and_each_slip_is_called_by_its_name(question, asked):
    state = question.state()
    right = asked.right(state)
    assert asked.judge(f"{right:.6g}", state).outcome is Outcome.RIGHT
    near = {asked.judge(f"{right * f:.6g}", state).outcome for f in (0.82, 1.2)}
    assert Outcome.CLOSE in near and Outcome.RIGHT not in near
    assert asked.judge(f"{right * 40 + 1:.6g}", state).outcome is Outcome.WRONG
    for slip in asked.slips:
        verdict = asked.judge(f"{slip.value(state):.6g}", state)
        assert verdict.outcome is Outcome.MISUNDERSTOOD
        assert slip.mistake in verdict.reply


@pytest.mark.parametrize(("question", "asked"), every(Order))
def test_the_right_order_is_right_and_each_mixup_can_happen(question, asked):
    state = question.state()
    right = list(asked.right(state))
    assert asked.judge(right, state).outcome is Outcome.RIGHT
    assert sorted(right) == sorted(asked.items)
    assert list(asked.items) != right, "the order shown must not give the answer away"
    for mixup in asked.mixups:
        assert right.index(mixup.first) > right.index(mixup.then)


def test_numbers_are_those_of_the_ledger_worked_out_by_hand():
    assert judge("cost.cents", "2.628").outcome is Outcome.RIGHT
    assert judge("cost.gap", "0.18").outcome is Outcome.RIGHT
    assert judge("experts.share", "5.6").outcome is Outcome.RIGHT
    assert judge("distills.against_rl", "78").outcome is Outcome.RIGHT
    assert judge("data.owned_up", "39").outcome is Outcome.RIGHT
    assert judge("training.growth", "71", BARE).outcome is Outcome.RIGHT
    assert judge("local.seven", "5.4").outcome is Outcome.RIGHT
    assert judge("local.seven", "20").outcome is Outcome.WRONG
    assert judge("cost.cents", "5.04", phase="after").outcome is Outcome.RIGHT
    assert judge("cost.gap", "4.5", phase="after").outcome is Outcome.RIGHT
    assert judge("experts.share", "10.9", phase="after").outcome is Outcome.RIGHT
    assert judge("distills.against_rl", "47.4", phase="after").outcome is Outcome.RIGHT
    assert judge("local.seven", "15.2", phase="after").outcome is Outcome.RIGHT


def test_the_pages_own_mistake_about_memory_is_called_by_its_name():
    assert "the size of the file" in judge("local.seven", "4.7").reply
    assert "without the program" in judge("local.seven", "4.6").reply
    assert "the weights alone" in judge("local.seven", "4.4").reply


def test_nothing_is_asked_twice_in_the_same_words():
    for question in questions.checklist(FULL).values():
        first = {way.name: way.prompt for way in question.asked("before")}
        again = {way.name: way.prompt for way in question.asked("after")}
        assert set(first) < set(again) or set(first) == set(again)
        assert all(again[name] != prompt for name, prompt in first.items())


def test_what_is_right_moves_with_the_ledger(monkeypatch):
    prices = {"api.r1_launch.output": 4.38}
    monkeypatch.setattr(questions, "value", lambda key: prices.get(key, facts.value(key)))
    assert judge("cost.cents", "2.628").outcome is not Outcome.RIGHT
    assert judge("cost.cents", "5.256").outcome is Outcome.RIGHT


@pytest.mark.parametrize(
    ("gib", "tag"),
    [
        (3, "none"),
        (4, "deepseek-r1:1.5b"),
        (8, "deepseek-r1:8b"),
        (16, "deepseek-r1:14b"),
        (24, "deepseek-r1:32b"),
        (48, "deepseek-r1:70b"),
        (512, "deepseek-r1:671b"),
    ],
)
def test_what_fits_is_worked_out_from_the_learners_memory(gib, tag):
    machine = Evidence(gib * memory.GIB)
    assert judge("local.fits", tag, machine).outcome is Outcome.RIGHT
    assert f"{gib}.0 GiB" in way("local.fits", machine)[1].prompt
    other = "deepseek-r1:7b"
    assert judge("local.fits", other, machine).outcome is Outcome.WRONG


def test_a_graphics_card_counts_where_it_holds_more_than_the_memory():
    machine = Evidence(8 * memory.GIB, graphics=24 * memory.GIB)
    assert judge("local.fits", "deepseek-r1:32b", machine).outcome is Outcome.RIGHT
    assert "a graphics card with 24.0 GiB of its own" in way("local.fits", machine)[1].prompt
    small = Evidence(24 * memory.GIB, graphics=2 * memory.GIB)
    assert judge("local.fits", "deepseek-r1:32b", small).outcome is Outcome.RIGHT


def test_the_reply_says_whether_a_model_fits_and_whether_a_larger_one_does():
    assert "it fits, and it is not the largest" in judge("local.fits", "deepseek-r1:7b").reply
    assert judge("local.fits", "deepseek-r1:70b").reply.endswith("it does not fit.")
    assert judge("local.fits", "deepseek-r1:32b").reply.endswith("it fits.")


def test_the_share_of_the_learners_own_model_is_computed_from_its_config():
    own = questions.active_percent(CONFIG)
    assert own == pytest.approx(100 * 37.5 / 188, rel=0.1)
    assert judge("experts.own_share", f"{own:.2f}").outcome is Outcome.RIGHT
    assert judge("experts.own_share", "5.6").outcome is Outcome.WRONG
    names = [way.name for way in questions.checklist(BARE)["experts"].ways]
    assert "own_share" not in names


def test_evidence_is_gathered_anew_at_every_check(monkeypatch):
    machines = [Evidence(8 * memory.GIB), Evidence(64 * memory.GIB)]
    monkeypatch.setattr(questions, "gather", lambda: machines[0])
    local = questions.checklist()["local"]
    fits = next(way for way in local.ways if way.name == "fits")
    assert fits.judge("deepseek-r1:70b", local.state()).outcome is Outcome.WRONG
    machines.pop(0)
    assert fits.judge("deepseek-r1:70b", local.state()).outcome is Outcome.RIGHT
