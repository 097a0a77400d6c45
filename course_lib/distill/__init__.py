"""Lesson 5, distillation: reasoning passed on to small dense models.

Read `trace_sft` (fine-tuning on the teacher's traces, as DeepSeek did), `distill` and `soft_labels`
(learning from its probabilities), `distill_lab` (the experiments), `distill_plots` and
`model_card`.

May import: rl, local, facts and everything below them.
"""
