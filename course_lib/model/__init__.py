"""Models: making, loading, sampling and training them on text. Lessons 2 to 6 all stand on it.

Read `models` (tokenizer, the mini-V3, folders), `router` (who goes to which expert), `accounting`
(how many parameters), `latent_attention` and `latent_decode` (its caches), `mtp` and `mtp_lab` (a
head that guesses, and decoding with it), `fp8`, `rollout` (sampling; `kv_buffer` is its cache, or
`latent_buffer`; `own_forward` any architecture's logits), `team` (processes that share a training),
`logprobs`, `sft` (the loss on given text), `lora` (an adapter on a frozen model), `pretrain` (a
base from nothing) and `checkpoints` (stop and go on).
Over 2,500 lines because all that reads or changes weights for more than one lesson is here.

May import: show, task and the ground floor.
"""
