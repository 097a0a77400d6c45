"""Lesson 4, R1's four stages: cold start, RL, rejection sampling with SFT, RL with preferences.

Read `pipeline` (the stages in order), `stage_work` (what each does), `rejection_sampling`,
`reward_model` and `preference`, then `pipeline_variants` (a stage left out), `stage_records`,
`stage_plots` and `recipes`.

May import: distill, rl, facts and everything below them.
"""
