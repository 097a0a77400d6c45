"""The pipeline with a stage left out, a reward left out, or the reward model trusted too long.

Each variant starts from models that the stages have left in a folder and adds
one row of the same figures; together with the stages they are the combinations the stage explorer
shows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from course_lib import records
from course_lib.errors import CourseError
from course_lib.model.checkpoints import read_log
from course_lib.pipeline import reward_model, stage_work, stages
from course_lib.pipeline.stages import RULES, Lines, PipelineConfig, rl_config, rule_rl
from course_lib.rl import zero
from course_lib.task import rewards

FOLDER = "variants"
NO_LANGUAGE = rewards.RuleReward(language=0.0)


@dataclass(frozen=True)
class Variant:
    """What differs, and the work that leaves a model in `folder/checkpoint`."""

    about: str
    needs: tuple[str, ...]
    work: Callable[[Path, Path, PipelineConfig], Lines]


def _reason(about: str, start: str, rule: rewards.RuleReward) -> Variant:
    """Reasoning RL with `rule` from another model than Dev1, or with another reward."""

    def work(out: Path, folder: Path, config: PipelineConfig) -> Lines:
        settings = rl_config(config, config.reasoning_steps)
        yield from rule_rl(folder, out / start / "checkpoint", settings, rule)

    return Variant(about, (start,), work)


def _sift_zero(out: Path, folder: Path, config: PipelineConfig) -> Lines:
    """Rejection sampling straight from R1-Zero, then SFT: neither cold start nor reasoning RL."""
    sifted = stages.sifted_answers(out / "zero/checkpoint", config)
    yield {"kept": len(sifted.kept)}
    pairs = stages.with_conversation(sifted.kept, config)
    yield from stage_work.fine_tune(folder / "checkpoint", pairs, config.sft_updates, config.seed)


def _prefer_dev2(out: Path, folder: Path, config: PipelineConfig) -> Lines:
    """The last RL straight from Dev2: no second fine-tuning, so conversation was never taught."""
    yield from stages.preference_rl(out, folder, "dev2", config)


def _overuse(out: Path, folder: Path, config: PipelineConfig) -> Lines:
    """The reward model judges every answer, alone, and for long; held-out puzzles are watched."""
    judge = reward_model.from_folder(out / "reward_model/checkpoint")
    yield from _for_long(out, folder, config, stage_work.judged_task(judge, config.chat_share))


def _rules_for_long(out: Path, folder: Path, config: PipelineConfig) -> Lines:
    """The control of `_overuse`: as fast and as long, with rule rewards and puzzles alone."""
    yield from _for_long(out, folder, config, stage_work.watched(stage_work.task(RULES)))


def _for_long(out: Path, folder: Path, config: PipelineConfig, task: zero.Task) -> Lines:
    rate = config.overuse_learning_rate
    settings = rl_config(config, config.overuse_steps, evaluate_every=5, learning_rate=rate)
    yield from zero.run(folder, settings, base=out / "r1_rules/checkpoint", task=task)


VARIANTS: dict[str, Variant] = {
    "dev2_no_language": _reason("Dev2 without the language reward", "dev1", NO_LANGUAGE),
    "zero_rules": _reason(
        "R1-Zero, RL continued with accuracy, format and language", "zero", RULES
    ),
    "zero_no_language": _reason(
        "R1-Zero, RL continued with accuracy and format", "zero", NO_LANGUAGE
    ),
    "zero_sft": Variant("SFT on R1-Zero's sifted answers", ("zero",), _sift_zero),
    "dev2_preference": Variant(
        "Dev2, then preference RL: no second SFT", ("dev2", "reward_model"), _prefer_dev2
    ),
    "overuse": Variant(
        "The reward model alone, on everything, for long", ("r1", "reward_model"), _overuse
    ),
    "rules_for_long": Variant(
        "The control of over-use: as fast, rule rewards and puzzles alone", ("r1",), _rules_for_long
    ),
}


def run(out: str | Path, config: PipelineConfig, only: tuple[str, ...] = ()) -> Lines:
    """Run the variants that `out` does not have yet and measure each, yielding log lines.

    Raises CourseError where the pipeline's own stages are missing, and for a name of no variant.
    """
    out = Path(out)
    if unknown := [name for name in only if name not in VARIANTS]:
        raise CourseError(
            f"There is no variant {unknown[0]!r:.40}; allowed: {', '.join(VARIANTS)}."
        )
    for name in only or VARIANTS:
        variant, folder = VARIANTS[name], out / FOLDER / name
        stages.require_made(out, variant.needs, f"variant {name}")
        yield from stages.told(name, variant.about, _made(variant, out, folder, config))


def _made(variant: Variant, out: Path, folder: Path, config: PipelineConfig) -> Lines:
    """The work of a variant and its row, where `folder` has none yet."""
    if not (folder / "row.json").is_file():
        yield from variant.work(out, folder, config)
        judge = reward_model.from_folder(out / "reward_model/checkpoint")
        row = stages.measure_for(config, folder / "checkpoint", judge)
        records.write(folder / "row.json", row)


def curve(out: str | Path, name: str = "overuse") -> dict[str, list[float]]:
    """A long run step by step: `step` and `reward`; `tried` and `accuracy` on held-out puzzles.

    `name` is `overuse` or `rules_for_long`; all are empty where it was not run.
    """
    lines = read_log(Path(out) / FOLDER / name / "metrics.jsonl")
    trained = [line for line in lines if "reward" in line]
    tested = [line for line in lines if "accuracy" in line]
    return {
        "step": [line["step"] for line in trained],
        "reward": [round(line["reward"], 4) for line in trained],
        "tried": [line["step"] for line in tested],
        "accuracy": [round(line["accuracy"], 4) for line in tested],
    }
