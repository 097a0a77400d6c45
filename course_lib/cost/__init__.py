"""Lesson 1, the cost reset: what an answer costs, and how sure a score is.

Read `costs` (price of an answer, break-even), `scores` (error bars) and `cost_plots`.

May import: facts and everything below it.
"""
