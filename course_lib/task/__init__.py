"""The task: puzzles with an exact verifier, how they are put to a model, how answers are read.

Read `puzzles` first (the task and its verifier), then `chat` (the turn of conversation), `traces`
(what a thought says, step by step) and `rewards` (the rules R1 was rewarded by). `numerals` and
`corpus` write the text that the base model reads.

May import: the ground floor. Knows nothing of models: text in, numbers out.
"""
