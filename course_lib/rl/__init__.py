"""Lesson 3, R1-Zero: reinforcement learning from right and wrong.

Read `kl` and `grpo` (divergence, advantages, loss: the arithmetic), then the loop: `settings`,
`experience` (rollouts, rewards), `learner` (advantages, updates), `zero` (the run, through which
all are reached; `identity`, `contract` and `run_folder` keep it honest). `dapo` and `ppo` are other
learners, `experiments.toml` with `rewards`, `variants`, `experiments` is the table of what was
tried. Around them `measure`, `microscope`, `pass_at_k`, `many_tries`, `answers`,
`grpo_pictures`, `zero_plots`, `trl_script`; `trainer_bugs` plants eight real trainers' bugs. 4,000
lines because each method has its arithmetic, run and measure.

May import: moe, model, show, task and the ground floor.
"""
