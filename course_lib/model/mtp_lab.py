"""`python -m course_lib mtp`: trains heads for the token after next and measures what they bring.

The model is the course's R1-Zero; a head learns from what the model itself writes. Speeds are
tokens a second of the processor's time, one text at a time, both ways through `latent_decode`.
"""

import time
from typing import Any

import torch

from course_lib import records
from course_lib.errors import COUNT
from course_lib.model import latent_decode, models, mtp, rollout
from course_lib.model.own_forward import sampling
from course_lib.model.rollout import Rollout
from course_lib.runtime import use_threads
from course_lib.task import puzzles

RECORD = records.RECORDED / "mtp.json"
LONGEST = 64  # tokens of a completion


def prompts(tokenizer: Any, n: int, seed: int, split: str = "train") -> list[list[int]]:
    """Puzzles as turns of conversation; all of one length, as their digits are."""
    drawn = puzzles.sample(n, seed, split)
    return [models.chat_ids(tokenizer, puzzles.prompt(puzzle)) for puzzle in drawn]


def texts(model: Any, tokenizer: Any, n: int = 512, samples: int = 4, seed: int = 0) -> Rollout:
    """What the model writes, at temperature 1: the texts that a head learns from."""
    generator = torch.Generator().manual_seed(seed)
    asked = [one for one in prompts(tokenizer, n, seed) if len(one) == 12]
    return rollout.generate(
        model, asked, samples=samples, max_new_tokens=48, eos=tokenizer.eos_token_id,
        generator=generator,
    )  # fmt: skip


def measure(model: Any, head: Any, tokenizer: Any, n: int = 24, seed: int = 1) -> dict[str, Any]:
    """Acceptance and speed on held-out puzzles, greedy and at temperature 1.

    `equal` says whether every greedy text is the one without guesses, to the token.
    """
    asked = prompts(tokenizer, n, seed, "test")
    limits = {"eos": tokenizer.eos_token_id, "max_new_tokens": LONGEST}
    start = time.process_time()
    with sampling(model, "dense"):  # once for all, not for every token
        plain = [list(latent_decode.decode(model, one, **limits)) for one in asked]
    middle = time.process_time()
    fast = [mtp.speculate(model, head, one, **limits) for one in asked]
    end = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    warm = [
        mtp.speculate(model, head, one, **limits, temperature=1.0, generator=generator)
        for one in asked
    ]
    tokens = sum(map(len, plain))
    return {
        "tokens": tokens,
        "equal": [one.ids for one in fast] == plain,
        "acceptance": _share(fast),
        "acceptance_sampled": _share(warm),
        "tokens_per_pass": sum(len(one.ids) for one in fast) / sum(one.passes for one in fast),
        "plain_per_second": tokens / (middle - start),
        "speculative_per_second": tokens / (end - middle),
    }


def _share(found: list[mtp.Speculative]) -> float:
    return sum(one.kept for one in found) / sum(one.guessed for one in found)


def run(seed: int, steps: int, n: int) -> dict[str, Any]:
    """One head, trained and measured; the processor's seconds for texts and training."""
    model, tokenizer = models.load(models.shipped("mini-r1-zero"))
    model.requires_grad_(False)
    start = time.process_time()
    written = texts(model, tokenizer, n, seed=seed)
    head, losses = mtp.train(model, written, steps=steps, seed=seed)
    seconds = time.process_time() - start
    return {"losses": losses, "cpu_seconds": seconds, **measure(model, head, tokenizer)}


def main(argv: list[str] | None = None) -> int:
    """Train and measure a head for each seed; the record is OUT/mtp.json."""
    parser = records.parser("mtp", __doc__, "folder for the record")
    parser.add_argument("--seeds", type=COUNT, default=1, help="how many heads (1)")
    parser.add_argument("--steps", type=COUNT, default=600, help="of training, for each (600)")
    parser.add_argument(
        "--puzzles", type=COUNT, default=1024, help="that the model writes on (1024)"
    )
    args = parser.parse_args(argv)
    use_threads()
    command = (
        f"python -m course_lib mtp --seeds {args.seeds} --steps {args.steps} "
        f"--puzzles {args.puzzles} --out DIR"
    )
    record = records.stamp(args.machine, command) | {"rows": []}
    for seed in range(args.seeds):
        found = {"seed": seed, **run(seed, args.steps, args.puzzles)}
        record["rows"].append(found)
        print({name: value for name, value in found.items() if name != "losses"}, flush=True)
        records.write(args.out / "mtp.json", record)
    return 0
