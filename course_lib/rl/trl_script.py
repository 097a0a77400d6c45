"""The same R1-Zero with TRL, for when one machine is not enough.

    pip install trl==1.16.0 datasets==5.2.0
    accelerate launch --multi_gpu --num_processes 2 -m course_lib.rl.trl_script --out DIR

`accelerate launch` starts the processes, and TRL shares each batch among them. `--multi_gpu` stands
for "several processes" and works without any GPU too, where `--cpu` would start a single one.
Puzzles, reward and settings are those of `python -m course_lib zero`; sampling, passes and
optimiser are TRL's. `DIR/checkpoint` is a Hugging Face folder like the course's own.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from course_lib.errors import COUNT, WHOLE, CourseError
from course_lib.model import models
from course_lib.rl.zero import ZeroConfig
from course_lib.runtime import new_folder
from course_lib.task import puzzles

if TYPE_CHECKING:
    from trl import GRPOTrainer

LOSS_TYPES = {"sequence": "grpo", "token": "dapo", "constant": "dr_grpo"}
SCALES = {"sample": "group", "none": "none"}  # TRL does not have the population's deviation


def puzzle_reward(puzzle: list[str], completions: list[str], **_: Any) -> list[float]:
    """The course's reward in the form that TRL calls: lists of texts to a list of numbers."""
    pairs = zip(puzzle, completions, strict=True)
    return [puzzles.reward(puzzles.parse(p), c) for p, c in pairs]


def build_trainer(
    folder: Path, config: ZeroConfig, out: Path, reward: Callable[..., list] = puzzle_reward
) -> "GRPOTrainer":
    """TRL's trainer for the model in `folder`, with the settings of `config`.

    Each process takes its share of the batch of `config.puzzles * config.samples` completions.
    Raises CourseError where TRL is missing, the batch cannot be shared equally, or a setting is the
    course's own.
    """
    trl, datasets = _import_trl()
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    batch = config.puzzles * config.samples
    if batch % processes:
        raise CourseError(
            f"{batch} completions a step cannot be shared by {processes} processes; choose "
            "--puzzles and --samples whose product is a multiple."
        )
    model, tokenizer = models.load(folder)
    drawn = puzzles.sample(config.puzzles * config.steps, config.seed)
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": puzzles.prompt(puzzle)}],
            tokenize=False,
            add_generation_prompt=True,
        )
        for puzzle in drawn
    ]
    return trl.GRPOTrainer(
        model.cpu(),
        reward_funcs=reward,
        args=trl.GRPOConfig(**_settings(config, batch // processes), output_dir=str(out)),
        train_dataset=datasets.Dataset.from_dict(
            {"prompt": prompts, "puzzle": list(map(str, drawn))}
        ),
        processing_class=tokenizer,
    )


def _settings(config: ZeroConfig, share: int) -> dict[str, Any]:
    """The course's settings by TRL's names; `share` is one process's completions a step."""
    for name in _OURS_ALONE if config.std in SCALES else ("std",):
        if getattr(config, name) != getattr(ZeroConfig, name):
            raise CourseError(f"TRL is not told {name} here; leave it as it is by default.")
    return {
        "use_cpu": not torch.cuda.is_available(),
        "bf16": False,
        "max_steps": config.steps,
        "per_device_train_batch_size": share,
        "num_generations": config.samples,
        "max_completion_length": config.max_new_tokens,
        "temperature": config.temperature,
        "learning_rate": config.learning_rate,
        "adam_beta1": config.betas[0],
        "adam_beta2": config.betas[1],
        "weight_decay": 0.0,
        "max_grad_norm": config.gradient_norm,
        "num_iterations": config.updates,
        "epsilon": config.clip[0],
        "epsilon_high": config.clip[1],
        "beta": config.kl,
        "use_bias_correction_kl": False,
        "importance_sampling_level": config.level,
        "loss_type": LOSS_TYPES[config.reduce],
        "scale_rewards": SCALES[config.std],
        "gradient_checkpointing": False,
        "shuffle_dataset": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "seed": config.seed,
    }


_OURS_ALONE = (
    "banned", "kl_estimator", "minibatches", "old_from", "overlong", "reference_every", "sampler",
    "truncate",
)  # fmt: skip


def _import_trl() -> tuple[Any, Any]:
    try:
        import datasets
        import trl
    except ImportError as error:
        raise CourseError(
            f"{error.name} is not installed; pip install trl==1.16.0 datasets==5.2.0"
        ) from error
    return trl, datasets


def main() -> None:
    """Train, say how it went, and leave a checkpoint."""
    own = ZeroConfig()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=models.shipped("mini-v3-base"))
    parser.add_argument("--out", type=new_folder, required=True, help="folder for the checkpoint")
    parser.add_argument("--seed", type=WHOLE, default=own.seed)
    parser.add_argument("--steps", type=COUNT, default=own.steps)
    parser.add_argument("--puzzles", type=COUNT, default=own.puzzles, help="groups a step")
    parser.add_argument("--samples", type=COUNT, default=own.samples, help="completions a group")
    parser.add_argument("--max-new-tokens", type=COUNT, default=own.max_new_tokens)
    options = vars(parser.parse_args())
    folder, out = options.pop("model"), options.pop("out")
    try:
        trainer = build_trainer(folder, ZeroConfig(**options), out)
    except CourseError as error:
        parser.exit(1, f"{error}\n")
    trainer.train()
    trainer.save_model(str(out / "checkpoint"))
    if trainer.accelerator.is_main_process:
        rewards = [line["reward"] for line in trainer.state.log_history if "reward" in line]
        print(
            f"{trainer.accelerator.num_processes} process(es), {len(rewards)} steps: mean reward "
            f"{rewards[0]:.3f} at first, {rewards[-1]:.3f} at last; see {out / 'checkpoint'}"
        )


if __name__ == "__main__":
    main()
