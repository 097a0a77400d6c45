"""R1's four stages on the mini-V3, from R1-Zero to R1, one folder a stage.

    zero -> cold_start -> dev1 -> dev2 -> rejection -> dev3 -> reward_model -> r1 -> table

Cold start: R1-Zero's right answers, kept if tidy and rewritten by rule, fine-tune the *base*: Dev1.
RL with accuracy, format and language rewards: Dev2. Dev2's own answers, sifted, with conversation
beside them, fine-tune the *base* again: Dev3. RL with rule rewards, in whose last part a reward
model judges the conversation: R1. See DeepSeek-R1, sections 2.3.1 to 2.3.4; what is smaller here or
done by rule stands in `PipelineConfig`, in `sifting` and in `chat`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.model import checkpoints, models
from course_lib.pipeline import rejection_sampling, reward_model, stage_work
from course_lib.pipeline.rejection_sampling import Sample
from course_lib.pipeline.reward_model import RewardModel
from course_lib.rl import zero
from course_lib.runtime import use_threads
from course_lib.task import chat, rewards
from course_lib.task.chat import Chat


@dataclass(frozen=True)
class PipelineConfig:
    """Everything that decides a pipeline; two equal configurations give equal models."""

    seed: int = 0
    zero_steps: int = 150  # as lesson 3's own run
    cold_start_puzzles: int = 400  # put to R1-Zero; DeepSeek kept "thousands"
    cold_start_updates: int = 12  # about two passes over what is kept; DeepSeek: two to three
    reasoning_steps: int = 40
    rejection_puzzles: int = 800  # put to Dev2; DeepSeek kept 600,000 and added 200,000 others
    rejection_samples: int = 2  # answers to each
    sft_updates: int = 80
    chat_share: float = 0.25  # of the second SFT and of the last part's prompts
    rule_steps: int = 25  # R1's second RL: 1,300 with rule rewards alone,
    preference_steps: int = 10  # then 400 with preference rewards too
    preference_prompts: int = 200
    overuse_steps: int = 50  # of the variant in which the reward model is trusted alone,
    overuse_learning_rate: float = 7e-4  # several times as fast, in place of a longer run
    learning_rate: float = 2e-4  # of RL after R1-Zero: the models can reason already
    groups: int = 16
    samples: int = 16
    evaluate_puzzles: int = 512
    evaluate_chats: int = 148
    evaluate_temperature: float = 0.6  # as in the paper's evaluation


TINY = PipelineConfig(
    zero_steps=2,
    cold_start_puzzles=300,
    cold_start_updates=15,
    reasoning_steps=1,
    rejection_puzzles=24,
    sft_updates=3,
    rule_steps=1,
    preference_steps=1,
    preference_prompts=6,
    overuse_steps=2,
    groups=4,
    samples=4,
    evaluate_puzzles=8,
    evaluate_chats=8,
)
"""A pipeline of a few seconds: its models are no good, and all of its parts run."""

Lines = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """One stage: what it needs (paths under the run's folder), what it leaves, and what it does."""

    needs: tuple[str, ...]
    makes: str
    work: Callable[[Path, PipelineConfig], Lines]
    about: str


def run(
    out: str | Path, config: PipelineConfig | None = None, only: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Run the stages that `out` does not have yet (or those of `only`) and yield their log lines.

    Each line has `stage`; the last one of a stage has `done`. Stop it whenever you like: the same
    call goes on. Raises CourseError for a stage whose input is missing, saying what makes it, for
    an unknown stage, and for a folder that holds a run with other settings.
    """
    config, out = config or PipelineConfig(), Path(out)
    unknown = [name for name in only if name not in STAGES]
    if unknown:
        raise CourseError(f"There is no stage {unknown[0]!r}; the stages are {', '.join(STAGES)}.")
    use_threads()
    _keep_settings(out, config)
    for name in only or STAGES:
        stage = STAGES[name]
        if is_done(out, name, config):
            yield {"stage": name, "done": True, "seconds": 0.0, "about": stage.about}
            continue
        require(out, name)
        began = time.perf_counter()
        for line in stage.work(out, config):
            yield {"stage": name, **line}
        seconds = time.perf_counter() - began
        yield {"stage": name, "done": True, "seconds": seconds, "about": stage.about}


def require(out: Path, name: str) -> None:
    """Raise CourseError if an input of stage `name` is missing, with the command that makes it."""
    for path in STAGES[name].needs:
        maker = next(key for key, stage in STAGES.items() if stage.makes == path)
        require_made(out, maker, f"stage {name}")


def require_made(out: Path, maker: str, who: str) -> None:
    """Raise CourseError if stage `maker` has left nothing in `out`, which `who` needs."""
    path = out / STAGES[maker].makes
    if not path.exists():
        raise CourseError(
            f"{path} is missing, which {who} needs; make it with "
            f"`python -m course_lib pipeline --out {out} --only {maker}`."
        )


def is_done(out: Path, name: str, config: PipelineConfig) -> bool:
    """Whether a stage has left all that it makes: an RL run counts once its last step is saved."""
    path = out / STAGES[name].makes
    if name not in RL_STEPS:
        return path.exists()
    if not checkpoints.has_state(path):
        return False
    return read(path / "trainer.json").get("step", 0) >= RL_STEPS[name](config)


RL_STEPS: dict[str, Callable[[PipelineConfig], int]] = {
    "zero": lambda config: config.zero_steps,
    "dev2": lambda config: config.reasoning_steps,
    "r1": lambda config: config.preference_steps,
}


def adopt_zero(out: str | Path, trained: str | Path) -> None:
    """Take over the R1-Zero that `course_lib.rl.zero.run` left in `trained`, in place of a new one.

    One that `out` has already is left alone. Raises CourseError if there is none to take over.
    """
    source = Path(trained) / "checkpoint"
    if not checkpoints.has_state(source):
        raise CourseError(
            f"There is no R1-Zero in {trained}; make one with "
            f"`python -m course_lib zero --out {trained}`."
        )
    if checkpoints.has_state(Path(out) / "zero" / "checkpoint"):
        return
    with models.replacing(Path(out) / "zero" / "checkpoint") as aside:
        shutil.copytree(source, aside, dirs_exist_ok=True)


def _keep_settings(out: Path, config: PipelineConfig) -> None:
    """Write the settings of a new run; refuse to go on with others."""
    path = out / "pipeline.json"
    ours = asdict(config)
    if path.is_file():
        theirs = read(path)
        changed = sorted(k for k in ours if theirs.get(k) != ours[k])
        if changed:
            raise CourseError(
                f"{out} belongs to a pipeline with other settings ({', '.join(changed)}); give "
                "another --out, or delete the folder to start again."
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps(ours))


def read(path: Path) -> dict[str, Any]:
    """A JSON object from a file of ours. Raises CourseError if it is damaged."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(
            f"{path} is damaged; delete the folder {path.parent} and give the command again."
        ) from error


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(text)
    aside.replace(path)


def rl_config(config: PipelineConfig, steps: int, **changes: Any) -> zero.ZeroConfig:
    """Settings of an RL stage after R1-Zero."""
    settings = dict(
        seed=config.seed,
        steps=steps,
        puzzles=config.groups,
        samples=config.samples,
        learning_rate=config.learning_rate,
        evaluate_puzzles=min(128, config.evaluate_puzzles),
    )
    return zero.ZeroConfig(**{**settings, **changes})


# --- the stages --------------------------------------------------------------------------------


def _zero(out: Path, config: PipelineConfig) -> Lines:
    settings = zero.ZeroConfig(
        seed=config.seed,
        steps=config.zero_steps,
        puzzles=config.groups,
        samples=config.samples,
        evaluate_puzzles=min(128, config.evaluate_puzzles),
    )
    yield from zero.run(out / "zero", settings)


def _cold_start(out: Path, config: PipelineConfig) -> Lines:
    """R1-Zero's right, tidy answers, rewritten into digits without repeated attempts."""
    samples = stage_work.sample_traces(
        out / "zero/checkpoint", config.cold_start_puzzles, config.seed + 1
    )
    sifted = rejection_sampling.sift(samples, rejection_sampling.COLD_START)
    rewritten = [rejection_sampling.rewrite(sample) for sample in sifted.kept]
    _write_samples(out / "cold_start/answers.jsonl", samples)
    yield _keep_samples(out / "cold_start", sifted, rewritten)


def _rejection(out: Path, config: PipelineConfig) -> Lines:
    """Dev2's answers, all rules applied; nothing is rewritten any more."""
    samples = stage_work.sample_traces(
        out / "dev2/checkpoint",
        config.rejection_puzzles,
        config.seed + 2,
        config.rejection_samples,
    )
    sifted = rejection_sampling.sift(samples)
    yield _keep_samples(out / "rejection", sifted, sifted.kept)


def _keep_samples(
    folder: Path, sifted: rejection_sampling.Sifted, samples: Sequence[Sample]
) -> dict[str, Any]:
    counts = {"sampled": sifted.total, "kept": len(samples), "rejected": sifted.rejected}
    write(folder / "counts.json", json.dumps(counts))
    _write_samples(folder / "samples.jsonl", samples)
    return counts


def _write_samples(path: Path, samples: Sequence[Sample]) -> None:
    lines = [json.dumps(rejection_sampling.to_line(sample)) for sample in samples]
    write(path, "\n".join(lines) + "\n")


def read_samples(path: str | Path) -> list[Sample]:
    """The samples of a data stage. Raises CourseError for a damaged file."""
    try:
        lines = Path(path).read_text().splitlines()
        return [rejection_sampling.from_line(json.loads(line)) for line in lines]
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read; delete it and run its stage again.") from error


def _dev1(out: Path, config: PipelineConfig) -> Lines:
    samples = read_samples(out / "cold_start/samples.jsonl")
    pairs = stage_work.as_pairs(samples)
    yield from stage_work.fine_tune(
        out / "dev1/checkpoint", pairs, config.cold_start_updates, config.seed
    )


def _dev3(out: Path, config: PipelineConfig) -> Lines:
    pairs = with_conversation(read_samples(out / "rejection/samples.jsonl"), config)
    yield from stage_work.fine_tune(out / "dev3/checkpoint", pairs, config.sft_updates, config.seed)


def with_conversation(samples: Sequence[Sample], config: PipelineConfig) -> list[tuple[str, str]]:
    """Prompts and completions of `samples`, and conversation until it is `chat_share` of all."""
    pairs = stage_work.as_pairs(samples)
    talk = round(len(pairs) * config.chat_share / (1 - config.chat_share))
    return pairs + [(item.prompt, reply) for item, reply in chat.examples(talk, config.seed)]


def _dev2(out: Path, config: PipelineConfig) -> Lines:
    settings = rl_config(config, config.reasoning_steps)
    yield from zero.run(
        out / "dev2",
        settings,
        base=out / "dev1/checkpoint",
        task=stage_work.task(rewards.RuleReward()),
    )


def _reward_model(out: Path, config: PipelineConfig) -> Lines:
    """Pairs from Dev3's replies, labelled by rule; the reward model starts from the base."""
    items = chat.sample(config.preference_prompts, config.seed + 3)
    texts = stage_work.sample_answers(out / "dev3/checkpoint", items, config.seed + 3, samples=8)
    replies: dict[Chat, list[str]] = {}
    for i, text in enumerate(texts):
        replies.setdefault(items[i // 8], []).append(text)
    pairs = [pair for item, said in replies.items() for pair in chat.label(item, said)]
    judge, log = reward_model.train(models.shipped("mini-v3-base"), pairs, seed=config.seed)
    judge.save(out / "reward_model/checkpoint")
    yield {"pairs": len(pairs), **log[-1]}


def _r1(out: Path, config: PipelineConfig) -> Lines:
    """Rule rewards first; in the last part, a share of conversation judged by the reward model."""
    rules = rl_config(config, config.rule_steps)
    first = zero.run(
        out / "r1_rules",
        rules,
        base=out / "dev3/checkpoint",
        task=stage_work.task(rewards.RuleReward()),
    )
    yield from ({"part": "rules", **line} for line in first)
    judge = reward_model.from_folder(out / "reward_model/checkpoint")
    both = stage_work.task(rewards.RuleReward(), judge, config.chat_share)
    last = rl_config(config, config.preference_steps, temperature=0.7)
    second = zero.run(out / "r1", last, base=out / "r1_rules/checkpoint", task=both)
    yield from ({"part": "preference", **line} for line in second)


MODELS = ("base", "zero", "dev1", "dev2", "dev3", "r1")
"""The models of the table, in order."""


def model_folder(out: Path, name: str) -> Path:
    """Where a stage's model is; `base` is the one that comes with the course."""
    return models.shipped("mini-v3-base") if name == "base" else out / name / "checkpoint"


def _table(out: Path, config: PipelineConfig) -> Lines:
    judge = reward_model.from_folder(out / "reward_model/checkpoint")
    rows = {}
    for name in MODELS:
        rows[name] = measure_for(config, model_folder(out, name), judge)
        yield {"model": name, **rows[name]["figures"]}
    counts = {name: read(out / name / "counts.json") for name in ("cold_start", "rejection")}
    write(out / "table.json", json.dumps({"config": asdict(config), "rows": rows, **counts}))


def measure_for(config: PipelineConfig, folder: Path, judge: RewardModel) -> dict[str, Any]:
    """A model's row, on as many puzzles and prompts as the settings say."""
    return stage_work.measure(
        folder,
        n=config.evaluate_puzzles,
        chats=config.evaluate_chats,
        seed=config.seed,
        temperature=config.evaluate_temperature,
        judge=judge,
    )


_ZERO, _DEV2 = "zero/checkpoint", "dev2/checkpoint"
_DEV1, _DEV3, _JUDGE = "dev1/checkpoint", "dev3/checkpoint", "reward_model/checkpoint"
_COLD, _KEPT, _R1 = "cold_start/samples.jsonl", "rejection/samples.jsonl", "r1/checkpoint"

STAGES: dict[str, Stage] = {
    "zero": Stage((), _ZERO, _zero, "R1-Zero: RL on the base, right answers alone rewarded"),
    "cold_start": Stage((_ZERO,), _COLD, _cold_start, "R1-Zero's good answers, rewritten"),
    "dev1": Stage((_COLD,), _DEV1, _dev1, "the base, fine-tuned on the cold start"),
    "dev2": Stage((_DEV1,), _DEV2, _dev2, "RL with accuracy, format and language rewards"),
    "rejection": Stage((_DEV2,), _KEPT, _rejection, "Dev2's answers, sifted"),
    "dev3": Stage((_KEPT,), _DEV3, _dev3, "the base, fine-tuned on those and conversation"),
    "reward_model": Stage((_DEV3,), _JUDGE, _reward_model, "what conversation is preferred"),
    "r1": Stage((_DEV3, _JUDGE), _R1, _r1, "RL with rules, at the end with preferences too"),
    "table": Stage(
        (_ZERO, _DEV1, _DEV2, _DEV3, _JUDGE, _R1), "table.json", _table, "every stage, measured"
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """`python -m course_lib pipeline`: the stages from R1-Zero to R1, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m course_lib pipeline", description=main.__doc__)
    _add_options(parser)
    _follow(parser.parse_args(argv))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for all stages")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal runs (0)")
    parser.add_argument("--zero", type=Path, help="an R1-Zero that was trained before (lesson 3)")
    parser.add_argument("--only", nargs="+", default=[], metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument(
        "--variants", action="store_true", help="also the runs with stages left out"
    )
    parser.add_argument("--tiny", action="store_true", help="a few seconds, to see that all runs")


def _follow(args: argparse.Namespace) -> None:
    """Run the command: a line when a stage ends, and the table at the end."""
    config = replace(TINY if args.tiny else PipelineConfig(), seed=args.seed)
    if args.zero:
        adopt_zero(args.out, args.zero)
    lines = run(args.out, config, args.only)
    if args.variants:
        from course_lib.pipeline import pipeline_variants

        lines = chain(lines, pipeline_variants.run(args.out, config))
    for line in lines:
        if line.get("done"):
            print(f"{line['stage']}: {line['about']} ({line['seconds']:.0f} s)")
        elif line.get("step", 0) % 10 == 0 or "model" in line:
            shown = {k: round(v, 3) for k, v in line.items() if isinstance(v, float)}
            print(
                line["stage"], line.get("step", ""), line.get("model", ""), shown, file=sys.stderr
            )
    if (args.out / "table.json").is_file():
        rows = read(args.out / "table.json")["rows"]
        print(json.dumps({name: row["figures"] for name, row in rows.items()}))
