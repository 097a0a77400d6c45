"""Exercises that know right from wrong: `check`, `hint` and `solution`, called in a notebook.

`from course_lib.classroom.checks import check, hint, solution` is all that a learner needs.

Read `exercise`, `cards`, `catalogue`, `judge` with `callers`, `values`, `draws`, `limits`; `desk`;
`sources` and `build`; then the grader's `sandbox`, `remote`, `wire`, `worker`, `guard`.
"""

from course_lib.classroom.checks.desk import CheckFailed, check, hint, solution

__all__ = ["CheckFailed", "check", "hint", "solution"]
