"""Lesson 5, distillation: reasoning passed on to small dense models.

Read `trace_sft` (fine-tuning on the teacher's traces, as DeepSeek did), `distill` (that as a run in
a folder, with its `model_card`) and `soft_labels` (learning from the teacher's probabilities). Then
the experiments: `bench` (what all stand on), `experiments` (size, data, soft labels), `fight`
(against GRPO), `lost` (what is forgotten), `guesses` (what is had without reasoning), `distill_lab`
(each by name, with its record) and `distill_plots`. In `real` a pretrained language model is taught
so (lesson 9).
Over 2,000 lines because two lessons are here, each from one trace to a record of several seeds.

May import: rl, local, facts and everything below them.
"""
