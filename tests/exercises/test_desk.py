"""What a learner meets: outcomes told apart, objects left alone, no hanging, hints, progress."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from course_lib.checklist import progress
from course_lib.classroom.checks import CheckFailed, catalogue, check, desk, hint, limits, solution
from course_lib.classroom.checks.callers import LocalCaller
from course_lib.classroom.checks.exercise import Case
from course_lib.classroom.checks.judge import Outcome, judge
from course_lib.classroom.checks.values import difference, show
from course_lib.errors import CourseError


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_R1_HOME", str(tmp_path))


def right(score_a, score_b, problems):
    return (score_a - score_b) / 100 * problems


def message(name, answer):
    with pytest.raises(CheckFailed) as caught:
        check(name, answer)
    return str(caught.value)


def stub(score_a, score_b, problems):
    """Nothing yet."""
    raise NotImplementedError("your turn")


def only_docstring(score_a, score_b, problems):
    """Nothing yet."""


def broken(score_a, score_b, problems):
    return score_a.missing


NAME = "costs.gap_in_problems"


def test_the_five_outcomes_are_told_apart():
    assert "not attempted" in message(NAME, stub)
    assert "known mistake" in message(NAME, lambda a, b, n: (a - b) * n)
    assert "wrong. Not as expected" in message(NAME, lambda a, b, n: 7.0)
    text = message(NAME, broken)
    assert "error in your code. AttributeError" in text and "return score_a.missing" in text
    check(NAME, right)
    assert progress.load().outcomes()[NAME] == "right"


@pytest.mark.parametrize("answer", [..., None, stub, only_docstring, lambda a, b, n: ...])
def test_not_attempted_has_many_forms(answer):
    assert ": not attempted. " in message(NAME, answer)
    assert progress.load().outcomes()[NAME] == "not attempted"


def test_an_exception_that_cannot_show_itself_is_named():
    class ShyError(Exception):
        def __str__(self):
            raise ValueError("no")

    def shy(score_a, score_b, problems):
        raise ShyError

    assert "error in your code. ShyError" in message(NAME, shy)


def test_a_forgotten_return_is_a_mistake_and_not_a_blank():
    def forgets(score_a, score_b, problems):
        score_a = score_a - score_b

    assert "end it with `return`" in message(NAME, forgets)


def test_a_message_names_input_outcome_expectation_and_reason():
    text = message(NAME, lambda a, b, n: 7.0)
    for part in ("score_a=79.8", "problems=30", "came out:  7", "expected:  0.18", "0.6 points"):
        assert part in text


def test_a_value_message_does_not_give_the_value_away():
    text = message("memory.by_hand", 1)
    assert "57344" not in text and "57,344" not in text


def test_wrong_use_is_explained():
    assert "Pass the function itself" in message(NAME, 0.18)
    assert "called as gap_in_problems(" in message(NAME, lambda: 1)
    with pytest.raises(CourseError, match=r"costs\.gap_in_problems"):
        check("costs.gap_in_problem", right)


def test_the_learners_objects_and_randomness_stay_as_they_are():
    answer = [1.5, -0.5, -0.5, -0.5]
    check("grpo.by_hand", answer)
    assert answer == [1.5, -0.5, -0.5, -0.5]
    np.random.seed(3)
    state = np.random.get_state()[1].copy()

    def spoils(prompt, completion, length):
        np.random.rand()
        prompt.clear()
        return []

    exercise = catalogue.get("pipeline.sft_labels")
    before = repr(exercise.cases)
    judge(exercise, LocalCaller(spoils, seconds=5))
    assert repr(exercise.cases) == before
    assert (np.random.get_state()[1] == state).all()


def test_what_a_function_prints_is_shown_once_and_with_the_input_it_belongs_to(capsys):
    def chatty(score_a, score_b, problems):
        print("working on", score_a)
        return right(score_a, score_b, problems)

    check(NAME, chatty)
    assert capsys.readouterr().out.count("working on") == 1
    text = message(NAME, lambda a, b, n: print("a is", a, "x" * 10_000))
    assert "printed:   a is 79.8" in text and len(text) < 2000


def swallows_everything(*_):
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            continue


def test_an_endless_loop_is_stopped_with_its_line_even_if_it_catches_everything():
    exercise = catalogue.get(NAME)
    verdict = judge(exercise, LocalCaller(swallows_everything, seconds=0.2))
    assert verdict.outcome is Outcome.ERROR and "may never end" in verdict.headline
    assert "your code: line" in verdict.message


def test_time_is_limited_in_other_threads_too():
    found = []

    def sleepy():
        for _ in range(1000):
            time.sleep(0.02)

    def work():
        try:
            limits.run_limited(sleepy, 0.1)
        except limits.TimeUp as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert len(found) == 1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX only")
def test_an_alarm_that_ran_before_rings_after():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        limits.run_limited(lambda: time.sleep(0.05), 5)
        assert not rung
        time.sleep(0.5)
        assert rung == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_time_is_for_the_whole_check():
    call = LocalCaller(lambda: time.sleep(0.05), seconds=0.4)
    for _ in range(3):
        call(Case("why"))
    assert call.left < 0.26


@pytest.mark.parametrize("number", [1, 2, 3, 1.0])
def test_hints_are_numbered(number, capsys):
    hint(NAME, number)
    said = f"hint {number:.0f} of 3: {catalogue.get(NAME).hints[int(number) - 1]}"
    assert said in capsys.readouterr().out


def test_a_hint_too_many_and_the_solution(capsys):
    hint(NAME, 4)
    assert "hints 1 to 3" in capsys.readouterr().out
    solution(NAME)
    text = capsys.readouterr().out
    assert "return (score_a - score_b)" in text and "###" not in text


def test_a_failed_check_shows_its_message_and_no_traceback_of_ours():
    with pytest.raises(CheckFailed) as caught:
        check(NAME, stub)
    assert caught.value._render_traceback_() == [str(caught.value)]


def test_drawn_inputs_catch_a_function_that_has_learnt_the_others_by_heart():
    exercise = catalogue.get(NAME)
    known = {one.args: exercise.expected(one) for one in exercise.cases}
    verdict = judge(exercise, LocalCaller(lambda *args: known.get(args, 0.0), seconds=5))
    assert verdict.outcome is Outcome.WRONG


@pytest.mark.skipif(sys.platform != "linux", reason="a copy of the process: Linux only")
def test_a_loop_inside_c_is_stopped_and_the_kernel_goes_on(monkeypatch):
    monkeypatch.setattr(desk, "_GRACE", -8.0)
    text = message(NAME, lambda *_: sum(itertools.count()))
    assert "error in your code. It was stopped" in text and "built-in function" in text


@pytest.mark.skipif(sys.platform != "linux", reason="a copy of the process: Linux only")
def test_a_function_that_ends_python_does_not_end_the_kernel():
    assert "It ended Python" in message(NAME, lambda *_: os._exit(3))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ((one for one in (1.5, -0.5, -0.5, -0.5)), "'generator' object (a check needs a copy"),
        ({1: 1.5, 2: -0.5}.values(), "'dict_values' object (a check needs a copy"),
        (torch.tensor([1.5, -0.5, -0.5, -0.5], requires_grad=True) * 1.0, ""),
        ([torch.tensor(1.5, requires_grad=True) * 1.0, -0.5, -0.5, -0.5], ""),
    ],
    ids=["generator", "values", "history", "histories"],
)
def test_a_value_that_cannot_be_copied_is_said_and_a_tensor_with_a_history_can(value, told):
    if not told:
        check("grpo.by_hand", value)
        return
    text = message("grpo.by_hand", value)
    assert "error in your code. TypeError" in text and told in text
    assert "ended Python" not in text and "called as" not in text


def test_a_right_answer_stays_right_and_its_loss_of_progress_is_said(monkeypatch, capsys):
    check(NAME, right)
    message(NAME, stub)
    assert progress.load().outcomes()[NAME] == "right"
    monkeypatch.setattr(progress, "record", lambda *_: "Your progress was damaged.")
    check(NAME, right)
    assert "Your progress was damaged." in capsys.readouterr().out


def losses():
    """`policy_loss` right in its value, and in four ways no use for training."""

    def value(logp, old_logp, advantages, mask, clip=0.2):
        ratio = (logp - old_logp).exp()
        gain = advantages[:, None]
        gain = torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
        return -((gain * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()

    def other_slope(logp, *rest, **more):
        return value(logp, *rest, **more).detach() + (logp - logp.detach()).sum()

    return {
        "it is no tensor of torch's": lambda *args, **more: float(value(*args, **more)),
        "nothing of it reaches `logp`": lambda *args, **more: value(*args, **more).detach(),
        "its gradient for `logp` is not": other_slope,
        "no tensor": lambda *args, **more: value(*args, **more).detach().numpy(),
        "": value,
    }


@pytest.mark.parametrize("fragment", list(losses()))
def test_a_loss_is_judged_by_its_gradient_too(fragment):
    exercise = catalogue.get("grpo.policy_loss")
    call = LocalCaller(losses()[fragment], seconds=10, tensors=exercise.tensors)
    verdict = judge(exercise, call)
    assert verdict.outcome is (Outcome.MISTAKE if fragment else Outcome.RIGHT)
    assert fragment in verdict.headline


def test_keyword_only_parameters_and_other_names_are_called_as_they_are_written():
    exercise = catalogue.get(NAME)

    def by_keyword(score_a, score_b, *, problems):
        return right(score_a, score_b, problems)

    assert judge(exercise, LocalCaller(by_keyword, seconds=5)).outcome is Outcome.RIGHT
    call = LocalCaller(lambda a, b, n=2: a + b + n, seconds=5)
    assert call(Case("why", (1, 2), {"other": 3})) == 6


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [Hostile(), [Hostile()], "x" * 10**6, np.zeros((100, 100))])
def test_anything_can_be_shown_shortly(value):
    assert len(show(value)) <= 300


def test_differences_are_exact_for_counts_and_close_for_numbers():
    assert difference(671_026_419_200.0, 671_026_419_200, 1e-5, 1e-6) is None
    assert difference(671_026_419_201, 671_026_419_200, 1e-5, 1e-6)
    assert difference(1.00001, 1.0, 2e-5, 0.0) is None
    assert difference(True, 1.0, 1e-5, 0.0) and difference("1", 1.0, 1e-5, 0.0)
    assert difference((1, 2), [1, 2], 0, 0) is None
    assert difference({1: 2}, {1: 2, 3: 4}, 0, 0) == "the key 3 is missing"
    assert difference(np.nan, float("nan"), 0, 0) is None
    assert "shape" in difference(np.zeros(3), np.zeros((3, 1)), 0, 0)


def test_a_loop_inside_c_that_nothing_can_interrupt_ends_the_process_with_a_traceback():
    code = (
        "import itertools\nfrom course_lib.classroom.checks.limits import last_resort\n"
        "with last_resort(0.5):\n    sum(itertools.repeat(0))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode != 0 and "Timeout" in run.stderr


def test_what_torch_has_not_implemented_is_an_error_and_no_stub():
    def whole_numbers(rewards, eps=1e-4):
        return rewards.long().softmax(1)

    def not_yet(rewards, eps=1e-4):
        raise NotImplementedError

    asked = catalogue.get("grpo.advantages")
    found = judge(asked, LocalCaller(whole_numbers, seconds=10, tensors=True))
    assert found.outcome is Outcome.ERROR and "not implemented for 'Long'" in found.message
    assert "softmax(1)" in found.message
    found = judge(asked, LocalCaller(not_yet, seconds=10, tensors=True))
    assert found.outcome is Outcome.NOT_ATTEMPTED


def test_a_verifier_may_say_true_alone_or_in_a_batch_and_as_a_tensor():
    def verifier(numbers, target, text):
        words = text.split("</think>", 1)[-1].split()
        if len(words) != len(numbers) - 1 or not set(words) <= {"+", "-"}:
            return False
        signs = torch.tensor([1, *(1 if word == "+" else -1 for word in words)])
        return (torch.tensor(numbers) * signs).sum() == target

    def batch(puzzles, texts):
        graded = zip(puzzles, texts, strict=True)
        rewards = [[bool(verifier(*one, text)) for text in group] for one, group in graded]
        flat = [one for group in rewards for one in group]
        return rewards, sum(flat) / len(flat), sum(len(set(group)) == 1 for group in rewards)

    for name, answer in {"grpo.mend_the_verifier": verifier, "grpo.grade_groups": batch}.items():
        found = judge(catalogue.get(name), LocalCaller(answer, seconds=30))
        assert found.outcome is Outcome.RIGHT, found.message


def test_a_completion_that_is_left_out_of_the_mean_is_told_as_that():
    def loss(logp, old_logp, advantages, mask, clip=0.2):
        kept = mask.sum(1) > 0
        ratio, gain = (logp - old_logp).exp(), advantages[:, None]
        gain = torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
        own = (gain * mask).sum(1)[kept] / mask.sum(1)[kept]
        return -own.mean() if kept.any() else 0 * logp.sum()

    asked = catalogue.get("grpo.policy_loss")
    found = judge(asked, LocalCaller(loss, seconds=10, tensors=asked.tensors))
    assert found.outcome is Outcome.MISTAKE and "you leave it out of the mean" in found.headline
