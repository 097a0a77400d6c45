"""Lesson 4, R1's four stages: cold start, RL, rejection sampling with SFT, RL with preferences.

Read `stages` (what each does, in order), `stage_work` (sampling, fine-tuning, measuring),
`rejection_sampling`, `reward_model` and `preference`; then `pipeline` (all of it as one command),
`variants` (a stage left out), `stage_records` (several seeds, and the recipe of each model) and
`stage_plots`.

May import: distill, rl, facts and everything below them.
"""
