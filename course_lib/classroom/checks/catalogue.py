"""Which exercises there are, lesson by lesson, and how to find one by its name."""

import difflib
from functools import cache
from importlib import import_module

from course_lib.classroom.checks.exercise import Exercise
from course_lib.errors import CourseError
from course_lib.show import course_map

LESSONS = {one.file: one.title for one in course_map.LESSONS if one.exercises}
"""The lessons with exercises, in the order in which they are taken: file name and title."""


@cache
def of_lesson(lesson: str) -> tuple[Exercise, ...]:
    """The exercises of a lesson, in order. Raises CourseError for a lesson without any."""
    if lesson not in LESSONS:
        raise CourseError(f"There is no lesson {lesson!r}; there are {', '.join(LESSONS)}.")
    return import_module(f"course_lib.classroom.checks.lessons.{lesson.split('_', 1)[1]}").EXERCISES


@cache
def exercises() -> dict[str, Exercise]:
    """All exercises by name, in the order of the lessons."""
    return {one.name: one for lesson in LESSONS for one in of_lesson(lesson)}


def get(name: str) -> Exercise:
    """The exercise called `name`. Raises CourseError, with the nearest names, if there is none."""
    found = exercises().get(name) if isinstance(name, str) else None
    if found is None:
        near = difflib.get_close_matches(str(name), exercises(), n=3, cutoff=0.4) or exercises()
        raise CourseError(f"There is no exercise {name!r}; is it one of {', '.join(near)}?")
    return found


def lesson_of(name: str) -> str:
    """The lesson in which the exercise `name` stands."""
    wanted = get(name)
    return next(lesson for lesson in LESSONS if wanted in of_lesson(lesson))
