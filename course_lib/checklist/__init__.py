"""Lessons 0 and 8: the six questions, asked before and after, and the report to keep.

Read `quiz` (what a question is), `questions` and `own_questions` (the six), `evidence` (what the
learner has built), `live_checks` (what is run while one answers), `progress`,
`predictions` (expected beside what came) and `report`.

May import: every lesson's room, and nothing above.
"""
