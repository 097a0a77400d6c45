"""Exercises and their checks, and grading a class.

Read `checks` (what `check`, `hint` and `solution` do, and each lesson's exercises), then `grade`
and `grade_report`.

May import: checklist and everything below it.
"""
