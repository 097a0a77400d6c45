"""R1-Zero on a laptop: GRPO on the base, with the outcome as the only reward.

One step is: puzzles -> rollouts -> rewards -> advantages -> one update or a few. The arithmetic of
the advantages and of the loss is in `course_lib.rl.grpo`; here is the loop around it, which works
for any causal language model, any tokenizer and any reward (see `Task`). Deviations from DeepSeek's
settings are fields of `ZeroConfig` and stand there with their reasons. By `torchrun` several
processes make the same run, but for rounding (`course_lib.model.team`); for many GPUs there is
`trl_script`.
"""

import copy
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.errors import CourseError
from course_lib.model import checkpoints, models, team
from course_lib.model.checkpoints import Line
from course_lib.rl import contract, grpo, run_folder
from course_lib.rl.experience import (
    Experience,
    banned_ids,
    collect,
    evaluate,
    prompt_ids,
    summarise,
    thinking_tokens,
)
from course_lib.rl.learner import Advantages, Learner, Loss, chunks, completion_logprobs
from course_lib.rl.run_folder import Made, about
from course_lib.rl.settings import PUZZLES, RewardError, Task, ZeroConfig, judge
from course_lib.runtime import processor_seconds, use_threads

__all__ = [
    "PUZZLES",
    "Experience",
    "Learner",
    "RewardError",
    "Run",
    "Task",
    "ZeroConfig",
    "about",
    "banned_ids",
    "check_functions",
    "chunks",
    "collect",
    "completion_logprobs",
    "evaluate",
    "follow",
    "judge",
    "place",
    "prompt_ids",
    "run",
    "summarise",
    "thinking_tokens",
]

_SKIPS = 5  # steps in a row that may be lost to a failing reward or loss


def run(
    out: str | Path,
    config: ZeroConfig | None = None,
    *,
    base: str | Path | None = None,
    task: Task = PUZZLES,
    method: type[Learner] | None = None,
    advantages: Advantages = grpo.group_advantages,
    loss: Loss = grpo.policy_loss,
    again: bool = False,
    until: int | None = None,
) -> Generator[Line]:
    """Train the model in folder `base` (the shipped mini-V3) and yield one dict a step.

    Each has step, seconds, reward, thinking_tokens, attempts, entropy, grad_norm, loss and
    informative (the share of groups that taught anything), and `accuracy` where the held-out
    puzzles were tried. `out/checkpoint` is a Hugging Face folder and `out/metrics.jsonl` the log.
    Stop it whenever you like, even by force: the same call goes on from the last checkpoint; one
    with more `steps` makes a finished run longer: its learning rate, which had fallen to 0, falls
    anew, so it is not the run that had as many from the start. `again` sets an earlier run aside
    first. `until` ends it after that step, with a checkpoint, on the schedule of the whole run.

    `advantages` and `loss` may be your own (see `Learner`; they are tried first, by `contract`),
    and `method` is how rollouts become updates. By `torchrun` every process yields the lines, and
    the first alone writes. Raises CourseError for a folder whose run was made with anything else,
    or is running.
    """
    config, out = config or ZeroConfig(), Path(out)
    use_threads()
    functions = _functions(method, advantages, loss)
    check_functions(advantages, loss)
    us, start = team.join(), Path(base or models.shipped("mini-v3-base"))
    with checkpoints.alone(out) if us.lead else nullcontext():
        with us.lead_first():
            if again and us.lead:
                checkpoints.set_aside(out, run_folder.PARTS)
            made = run_folder.made_with(config, task, start, functions)
            run_folder.refuse(out, run_folder.changed(run_folder.read(out), made))
            begun = _start(out, config, start, functions)
        yield from _steps(out, task, begun, made, until, us)


def _functions(
    method: type[Learner] | None, advantages: Advantages, loss: Loss
) -> dict[str, Callable[..., Any]]:
    return {"method": method or Learner, "advantages": advantages, "loss": loss}


Begun = tuple[Learner, PreTrainedTokenizerBase, Line]


def _steps(
    out: Path, task: Task, begun: Begun, made: Made, until: int | None, us: team.Team
) -> Iterator[Line]:
    """The steps that are still to be taken, in a folder that is ours alone."""
    learner, tokenizer, state = begun
    learner.team, config, done = us, learner.config, state["step"]
    last = config.steps if until is None else min(until, config.steps)
    us.refuse_unlike(
        f"{[part['sum'] for part in made.values()]} {done} {last} {config.steps}",
        "settings, model, reward and the last checkpoint must be the same for all, so the folder "
        "must be on a disk that all machines see",
    )
    path = out / "metrics.jsonl" if us.lead else None
    log = checkpoints.Log(path, done or -1, state.get("lines"))
    if done >= config.steps > 0:
        return
    about = run_folder.begin(out, made, config.steps) if us.lead else {}
    if done == 0:
        yield _record(log, _first_line(learner, tokenizer, task))
    began = time.perf_counter() - (log.lines[-1]["seconds"] if log.lines else 0.0)
    for step in range(done + 1, last + 1):
        line = _train(learner, tokenizer, task, step)
        line["seconds"] = us.as_lead(torch.tensor(time.perf_counter() - began).double()).item()
        # The line first: a run that is killed between the two goes on from before it.
        _record(log, line)
        if step == last or step % config.checkpoint_every == 0:
            state = {"step": step, "config": asdict(config), "lines": log.lines, "run": about}
            with us.lead_first():
                if us.lead:
                    _save(out, learner, tokenizer, state)
        yield line
        _stop_if_lost(log.lines)


def _save(out: Path, learner: Learner, tokenizer: PreTrainedTokenizerBase, state: Line) -> None:
    checkpoints.save(
        out / "checkpoint", learner.model, tokenizer, learner.optimizer, state, learner.tensors()
    )


def check_functions(advantages: Advantages, loss: Loss) -> None:
    """Try a learner's own functions. Raises CourseError, in a sentence, for what cannot train."""
    if advantages is not grpo.group_advantages:
        contract.check_advantages(advantages)
    if loss is not grpo.policy_loss:
        contract.look_into(loss)


@dataclass(frozen=True)
class Run:
    """A run as it stands: its folder and the lines of its log."""

    folder: Path
    lines: list[Line]

    @property
    def checkpoint(self) -> Path:
        """The folder of the trained model."""
        return self.folder / "checkpoint"


def follow(
    out: str | Path,
    config: ZeroConfig | None = None,
    *,
    show: Callable[[Line], object] | None = None,
    again: bool = False,
    **options: Any,
) -> Run:
    """`run` for a notebook: `show` gets every line, and an interrupt is one sentence.

    Where `out` holds a run that was made with something else, this one gets a folder of its own
    beside it, named after what is different, and that is said. `options` are those of `run`.
    """
    config, show = config or ZeroConfig(), show or (lambda line: None)
    folder = Path(out) if again else place(out, config, **options)
    if folder != Path(out):
        print(f"{Path(out)} holds a run made otherwise; this one is in {folder}.")
    taken = 0
    try:
        with closing(run(folder, config, again=again, **options)) as steps:
            if not again:
                for line in checkpoints.read_log(folder / "metrics.jsonl"):
                    show(line)
            for line in steps:
                taken += 1
                show(line)
        if not taken:
            print(f"{run_folder.about(folder)} It is finished; to run it again, again=True.")
    except KeyboardInterrupt:
        if team.join().size > 1:  # the others are in the middle of a step: all begin again
            raise
        print("Stopped. Run the cell again to go on from the last checkpoint.")
    return Run(folder, checkpoints.read_log(folder / "metrics.jsonl"))


def place(
    out: str | Path,
    config: ZeroConfig | None = None,
    *,
    base: str | Path | None = None,
    task: Task = PUZZLES,
    method: type[Learner] | None = None,
    advantages: Advantages = grpo.group_advantages,
    loss: Loss = grpo.policy_loss,
) -> Path:
    """The folder that `follow` uses for a run with these settings: `out`, or one beside it."""
    functions = _functions(method, advantages, loss)
    start = Path(base or models.shipped("mini-v3-base"))
    made = run_folder.made_with(config or ZeroConfig(), task, start, functions)
    return run_folder.place(Path(out), made)


def _train(learner: Learner, tokenizer: PreTrainedTokenizerBase, task: Task, step: int) -> Line:
    """One step at its learning rate, with a trial on held-out items where one is due.

    `cpu_seconds` is the processors' time for the step alone, whoever worked on it.
    """
    config = learner.config
    for group in learner.optimizer.param_groups:
        group["lr"] = config.learning_rate * (1 - (step - 1) / config.steps)
    use_threads()  # other programs come and go
    began = processor_seconds()
    line: Line = {"step": step} | _one_step(learner, tokenizer, task, step)
    learner.refresh(step)
    line |= learner.team.add_figures({"cpu_seconds": processor_seconds() - began})
    if step == config.steps or step % config.evaluate_every == 0:
        line |= _held_out(learner, tokenizer, task)
    return line


def _stop_if_lost(lines: Sequence[dict[str, Any]]) -> None:
    """A reward or a loss that always fails will not mend itself."""
    if len(lines) >= _SKIPS and all("skipped" in line for line in lines[-_SKIPS:]):
        raise CourseError(
            f"{_SKIPS} steps in a row were skipped. {lines[-1]['skipped']} Mend that; what was "
            "learnt is in the last checkpoint."
        )


def _record(log: checkpoints.Log, line: Line) -> Line:
    """Keep a line; in it null stands for what is no finite number, which JSON does not have."""
    bad = [n for n, value in line.items() if isinstance(value, float) and not math.isfinite(value)]
    line |= dict.fromkeys(bad)
    log.write(line)
    return line


def _first_line(learner: Learner, tokenizer: PreTrainedTokenizerBase, task: Task) -> Line:
    """What the base does before any step."""
    began = time.perf_counter()
    held_out = _held_out(learner, tokenizer, task)
    return {"step": 0, **held_out, "seconds": time.perf_counter() - began}


def _held_out(learner: Learner, tokenizer: PreTrainedTokenizerBase, task: Task) -> Line:
    if task.held_out is None:
        return {}
    config = learner.config
    found = evaluate(
        learner.model,
        tokenizer,
        n=config.evaluate_puzzles,
        seed=config.seed,
        task=task,
        max_new_tokens=config.max_new_tokens,
        banned=config.banned,
        team=learner.team,
    )
    return {name if name == "accuracy" else f"test_{name}": found[name] for name in found}


def _one_step(learner: Learner, tokenizer: PreTrainedTokenizerBase, task: Task, step: int) -> Line:
    """One step of training; its randomness depends on seed and step alone.

    The four stages are those of the lesson's figure; 1 and 2 are in `experience`, 3 and 4 in
    `learner`. G groups of n samples make G * n completions of up to T tokens.
    """
    config = learner.config
    seed = config.seed * 1_000_003 + step
    generator = torch.Generator().manual_seed(seed)
    model = learner.model
    if config.sampler != "same":  # a copy in other numbers
        model = copy.deepcopy(model).to(getattr(torch, config.sampler))
    try:
        # 1 rollout: G items to (G * n, T) tokens    2 reward: (G, n)
        items = task.draw(config.puzzles, seed)
        found = collect(model, tokenizer, task, items, config, generator, learner.team)
    except RewardError as error:
        return {"skipped": str(error)}
    found.seed = seed
    # 3 advantage: (G, n) to (G * n,)    4 update
    told = learner.update(found)
    bad = [n for n in ("loss", "grad_norm") if not math.isfinite(told[n])]
    if bad:
        return {"skipped": f"The {bad[0]} was {told[bad[0]]}, and no update is made with that."}
    informative = (found.rewards != found.rewards[:, :1]).any(1).float().mean()
    return {
        "reward": float(found.rewards.mean()),
        **summarise(found, task, tokenizer),
        "informative": float(informative),
        **told,
    }


def _start(out: Path, config: ZeroConfig, base: Path, functions: dict[str, Any]) -> Begun:
    """The learner to begin with: from the base, or from the checkpoint in `out`."""
    folder = out / "checkpoint"
    resume = checkpoints.has_state(folder)
    if resume:
        checkpoints.read_state(folder)  # a damaged one is told before a model is made of it
    model, tokenizer = models.load(folder if resume else base)
    _refuse_what_cannot_be_trained(base, model, tokenizer)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=0.0,
        fused=True,
    )
    reference = models.load(base)[0].requires_grad_(False) if config.kl else None
    banned = banned_ids(tokenizer, config.banned)
    learner = functions["method"](
        model, optimizer, config, tokenizer.eos_token_id, reference, banned,
        advantages=functions["advantages"], loss=functions["loss"],
    )  # fmt: skip
    if not resume:
        return learner, tokenizer, {"step": 0}
    state = checkpoints.load_state(folder, model, optimizer)
    learner.take(state["extra"])
    return learner, tokenizer, state


def _refuse_what_cannot_be_trained(
    base: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    if not hasattr(model, "model") or not hasattr(model, "lm_head"):
        raise CourseError(
            f"{base} holds a {type(model).__name__}; this trainer needs a decoder named `model` "
            "and an output layer named `lm_head`, as Llama, Qwen, Gemma and DeepSeek have."
        )
    if tokenizer.eos_token_id is None:
        raise CourseError(f"The tokenizer in {base} has no EOS token, so no completion could end.")
