"""Lesson 3, R1-Zero: reinforcement learning from right and wrong.

Read `grpo` (advantages and loss: the arithmetic), then `zero` (the loop around it), `experiments`
(controls and variants), `ppo`, `measure` and `microscope` (one step under a lens), `pass_at_k`
with `many_tries` (does RL teach or select), `zero_plots`, and `trl_script` (the same run by TRL).

May import: moe, model, show, task and the ground floor.
"""
