"""The settings by which SmolLM2-135M learns to solve puzzles: what a search and a trial left."""

from course_lib.distill.trace_sft import DistillConfig
from course_lib.model.lora import Lora
from course_lib.rl.settings import ZeroConfig

LORA = Lora(rank=8, alpha=16)  # on all linear layers: 2.4M numbers, 4.9 MB in half precision

DISTIL = DistillConfig(
    traces=3456,
    steps=360,
    tokens=384,  # about four traces with their prompts; with eight, a token taught half as much
    learning_rate=1e-3,
    warmup=10,
    notation="digits",
    rounds=8,
    evaluate_puzzles=256,
    answer_tokens=160,  # eight attempts of fifteen tokens each, tags and answer
    answer_temperature=0.7,
)

REINFORCE = ZeroConfig(
    steps=6,
    puzzles=8,
    samples=8,
    max_new_tokens=160,
    learning_rate=1e-4,
    evaluate_every=6,
    evaluate_puzzles=256,
    checkpoint_every=2,
)
