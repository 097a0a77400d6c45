"""The exercises' own expectations: right by hand, and every known mistake told from every other."""

import itertools
import warnings

import numpy as np
import pytest

from course_lib.checks import catalogue
from course_lib.checks.exercise import NOTHING, Exercise
from course_lib.checks.values import difference

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
            found = difference(got, one.expected, 1e-7, 1e-9)
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
def test_fresh_inputs_fit_the_reference_and_are_not_always_the_same(exercise):
    if exercise.is_value:
        return
    shown = set()
    for seed in range(20):
        one = exercise.fresh(np.random.default_rng(seed))
        exercise.reference(*one.args, **one.kwargs)
        shown.add(repr(one.args))
    assert len(shown) > 5


def test_every_lesson_has_at_least_four_and_the_course_at_least_thirty():
    assert all(len(catalogue.of_lesson(lesson)) >= 4 for lesson in catalogue.LESSONS)
    assert len(EXERCISES) >= 30
    assert len({one.symbol for one in EXERCISES}) == len(EXERCISES)


@BY_NAME
def test_card_is_complete(exercise):
    assert len(exercise.hints) == 3
    assert 1 <= exercise.difficulty <= 5 and 1 <= exercise.minutes <= 30
    for text in (exercise.title, exercise.what_for, exercise.needs, *exercise.hints):
        assert text.strip() == text and len(text) > 3
