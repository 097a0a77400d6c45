"""The exercises' own expectations: right by hand, and every known mistake told from every other."""

import itertools
import math
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import numpy as np
import pytest

from course_lib.classroom.checks import callers, catalogue, judge, wire
from course_lib.classroom.checks.exercise import NOTHING, Exercise, _drawn, case, inputs
from course_lib.classroom.checks.values import difference, plain

EXERCISES = list(catalogue.exercises().values())
BY_NAME = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: one.name)


def results(exercise: Exercise, function) -> list:
    found = []
    for one in exercise.cases:
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
                found.append(function(*one.args, **one.kwargs))
        except Exception as error:
            found.append(type(error).__name__)
    return found


def same(exercise: Exercise, one: list, other: list) -> bool:
    pairs = zip(one, other, strict=True)
    return all(difference(a, b, exercise.rtol, exercise.atol) is None for a, b in pairs)


@BY_NAME
def test_reference_gives_what_was_worked_out_by_hand(exercise):
    for one in exercise.cases:
        if one.expected is not NOTHING:
            got = exercise.reference(*one.args, **one.kwargs)
            found = difference(got, one.expected, 1e-6, 1e-9)
            assert found is None, f"{one.why}: {found}"


@BY_NAME
def test_fixed_inputs_tell_every_mistake_from_right_and_from_other_mistakes(exercise):
    right = results(exercise, exercise.reference)
    made = [(mistake.sentence, results(exercise, mistake.variant)) for mistake in exercise.mistakes]
    for sentence, found in made:
        assert not same(exercise, found, right), sentence
    for (one, a), (other, b) in itertools.combinations(made, 2):
        assert one == other or not same(exercise, a, b), (one, other)


@BY_NAME
def test_drawn_inputs_are_many_different_and_the_same_every_time(exercise):
    if exercise.is_value:
        return
    shown = [repr((one.args, one.kwargs)) for one in inputs(exercise)]
    assert len(set(shown)) > (60 if exercise.name == "data.leaves_machine" else 100)
    inputs.cache_clear()
    assert shown == [repr((one.args, one.kwargs)) for one in inputs(exercise)]


OWN_MACHINE = """
import sys
import course_lib.classroom.checks.catalogue as catalogue
from course_lib.classroom.checks.exercise import inputs
print([(one.args, one.kwargs) for one in inputs(catalogue.exercises()["costs.own_machine"])])
"""


@pytest.mark.parametrize("loaded", ["", "import course_lib.rl.zero, hypothesis\n"])
def test_drawn_inputs_do_not_depend_on_what_is_loaded(loaded):
    """Else a notebook's check and the grader would try different ones."""
    command = [sys.executable, "-c", loaded + OWN_MACHINE]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    here = [(one.args, one.kwargs) for one in inputs(catalogue.exercises()["costs.own_machine"])]
    assert said == f"{here}\n"


def test_what_hypothesis_draws_from_is_as_before_when_two_have_drawn_at_once():
    """As the grader's threads do: each would put back what the other has put there."""
    from hypothesis.internal.conjecture import providers
    from hypothesis.strategies import just

    before, begun, both = dict(vars(providers)), threading.Event(), threading.Event()

    def early(draw):
        begun.set()
        both.wait(0.5)
        return draw(just(case("ends first")))

    def late(draw):
        both.set()
        first.result()
        return draw(just(case("ends last")))

    with ThreadPoolExecutor() as pool:
        first = pool.submit(_drawn, early, 1, 0)
        begun.wait()
        pool.submit(_drawn, late, 1, 0).result()
    for name in ("_get_local_constants", "CONSTANTS_CACHE"):
        assert vars(providers)[name] is before[name]


def test_every_lesson_has_at_least_four_and_the_course_at_least_thirty():
    for lesson in catalogue.LESSONS:
        assert len(catalogue.of_lesson(lesson)) >= 4, lesson
    assert len(EXERCISES) >= 30
    assert len({one.symbol for one in EXERCISES}) == len(EXERCISES)


@BY_NAME
def test_card_is_complete(exercise):
    assert len(exercise.hints) == 3
    assert 1 <= exercise.difficulty <= 5 and 1 <= exercise.minutes <= 30
    for text in (exercise.title, exercise.what_for, exercise.needs, *exercise.hints):
        assert text.strip() == text and len(text) > 3


class Stubborn:
    """An object that fails whatever is asked of it."""

    def __array__(self, *_, **__):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("expected", [1.5, 3, True, "x", [1.5, 2], {2: 0.5}, np.array([1.0, 2.0])])
@pytest.mark.parametrize(
    "got",
    [
        10**400, [10**400, 1], np.array([10**400, 1], dtype=object), 10**5000, math.inf, 1 + 2j,
        np.array([1 + 2j, 2]), Decimal("NaN"), Decimal("1e999"), Stubborn(), [Stubborn()], object,
        ["1.0", "2.0"], [[1], [1, 2]], np.zeros((2, 0)), {2: Stubborn()}, {}, b"x", ..., (),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_answer_is_told_in_words_and_never_an_exception(got, expected):
    assert isinstance(difference(plain(got), expected, 2e-5, 1e-6), str)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (Fraction(5, 6), 5 / 6), (Fraction(6, 2), 3), (Decimal("0.75"), 0.75), (Decimal(3), 3),
        (np.array(True), True), (np.float32(0.1), 0.1), (np.array([0.5]), 0.5),
        ([Fraction(1, 2), 1], np.array([0.5, 1.0])), ([0.5, 1], (0.5, 1.0)),
        (np.array(["a", "b"]), ["a", "b"]), (np.array([(0, "a")], dtype=object), [(0, "a")]),
        (np.array([1, None]), [1, None]), ({np.int64(2): 0.5}, {2: 0.5}),
        (StrEnum("Said", {"A": "yes"}).A, "yes"),
    ],
)  # fmt: skip
def test_a_right_value_of_any_kind_agrees_here_and_where_a_class_is_graded(got, expected):
    assert difference(plain(got), expected, 2e-5, 1e-6) is None
    assert difference(wire.loads(wire.dumps(got)), expected, 2e-5, 1e-6) is None


def test_a_difference_says_where_and_shows_digits_that_differ():
    expected = (np.array([[0.5, 1.0]]), {"a": [1.0, 2.0]})
    got = (np.array([[0.5, 1.1]]), {"a": [1.0, 2.0]})
    assert difference(got, expected, 1e-5, 1e-6) == "at [0][0, 1]: 1.1 is not 1"
    got = (np.array([[0.5, 1.0]]), {"a": [1.0, 2.5]})
    assert difference(got, expected, 1e-5, 1e-6) == "at [1]['a'][1]: 2.5 is not 2"
    assert difference(255.92451, 255.92452, 1e-9, 0) == "255.92451 is not 255.92452"


@pytest.mark.parametrize("most", [1, 9])
@pytest.mark.parametrize("first", [-1.0, None], ids=["wrong", "right"])
def test_what_is_wrong_by_hand_before_its_time_is_up_is_told_as_wrong(first, most):
    exercise, tried = catalogue.exercises()["costs.standard_error"], []

    def call(one):
        tried.append(one)
        if len(tried) > most:
            raise callers.Failure(callers.TIME_UP)
        return one.expected if first is None else first

    call.left, call.printed, call.is_empty, call.go_on = 10.0, "", False, lambda: None
    verdict = judge.judge(exercise, call)
    late = verdict.outcome is judge.Outcome.ERROR
    assert len(exercise.cases) <= 9
    assert late == (first is None or most == 1) == ("was stopped after" in verdict.headline)


def test_a_value_that_comes_after_the_stop_was_caught_is_no_value():
    def stubborn(score, problems):
        try:
            time.sleep(5)
        except BaseException:
            return 7.0

    call = callers.LocalCaller(stubborn, seconds=0.2)
    with pytest.raises(callers.Failure) as failed:
        call(catalogue.exercises()["costs.standard_error"].cases[0])
    assert failed.value.kind == callers.TIME_UP
