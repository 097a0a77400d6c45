"""Lesson 3, R1-Zero: reinforcement learning from right and wrong.

Read `grpo` (advantages and loss: the arithmetic), then the loop: `settings`, `experience` (rollouts
and rewards), `learner` (advantages and updates), `zero` (the run, through which all of these are
reached). `dapo` and `ppo` are other learners. `experiments.toml` is the table of controls, variants
and hacks, with `rewards`; `variants` makes runs of it and `experiments` records. Around them:
`measure`, `microscope` (one step under a lens), `pass_at_k` with `many_tries` (does RL teach or
select), `zero_plots`, and `trl_script` (the same run by TRL).

May import: moe, model, show, task and the ground floor.
"""
