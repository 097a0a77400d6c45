"""Exercises and their checks, and grading a class.

Read `checks` (what `check`, `hint` and `solution` do, and each lesson's exercises), then `grade`
and what it takes: `grade_files`, `checks.sandbox`, `checks.remote`, `grade_results`, `pages` and
`grade_report`. `class_desk` puts a class together from what `class_files` reads and the `form`
asks; `teaching` writes a teacher's pages, with what `lessons_read` finds in the notebooks; `hub` is
a JupyterHub for a class. It has many lines because each exercise brings its own reference, inputs
and known mistakes.

May import: checklist and everything below it.
"""
