"""R1's four stages, each a function from a folder and its settings to log lines, and their table.

Cold start: R1-Zero's right answers, kept if tidy and rewritten by rule, fine-tune the *base*: Dev1.
RL with accuracy, format and language rewards: Dev2. Rejection sampling: Dev2's own answers, with
conversation beside them, fine-tune the *base* again: Dev3. RL with rule rewards, in whose last part
a reward model judges the conversation: R1. See DeepSeek-R1, sections 2.3.1 to 2.3.4; what is
smaller here or done by rule stands in `PipelineConfig`, in `rejection_sampling` and in `chat`.
"""

import json
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from course_lib import records
from course_lib.errors import CourseError, refuse_below
from course_lib.model import models
from course_lib.pipeline import rejection_sampling, reward_model, stage_work
from course_lib.pipeline.rejection_sampling import Sample
from course_lib.pipeline.reward_model import RewardModel
from course_lib.rl import zero
from course_lib.task import chat, rewards
from course_lib.task.chat import Chat


@dataclass(frozen=True)
class PipelineConfig:
    """Everything that decides a pipeline; two equal configurations give equal models.

    Raises CourseError for a number below 0 or a `chat_share` that leaves no reasoning.
    """

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

    def __post_init__(self) -> None:
        refuse_below(self, dict.fromkeys(asdict(self), 0))
        if self.chat_share >= 1:
            raise CourseError(f"chat_share is {self.chat_share}; it is from 0 to below 1.")


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
RULES = rewards.RuleReward()


@dataclass(frozen=True)
class Stage:
    """One stage: those that it needs, what it leaves in the run's folder, and what it does."""

    needs: tuple[str, ...]
    makes: str
    work: Callable[[Path, PipelineConfig], Lines]
    about: str


def read(path: Path) -> dict[str, Any]:
    """A JSON object from a file of ours. Raises CourseError if it is damaged."""
    try:
        found = records.loaded(path)
        if not isinstance(found, dict):
            raise TypeError("not an object")
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(
            f"{path} is damaged; delete the folder {path.parent} and give the command again."
        ) from error
    return found


def rl_config(config: PipelineConfig, steps: int, **changes: Any) -> zero.ZeroConfig:
    """Settings of an RL stage; without `changes`, of one after R1-Zero."""
    settings = dict(
        seed=config.seed,
        steps=steps,
        puzzles=config.groups,
        samples=config.samples,
        learning_rate=config.learning_rate,
        evaluate_puzzles=min(128, config.evaluate_puzzles),
    )
    return zero.ZeroConfig(**{**settings, **changes})


def told(name: str, about: str, work: Iterable[dict[str, Any]]) -> Lines:
    """The log lines of one stage's work, and the one that says that it is done."""
    began = time.perf_counter()
    for line in work:
        yield {"stage": name, **line}
    seconds = round(time.perf_counter() - began, 3)
    yield {"stage": name, "done": True, "seconds": seconds, "about": about}


# --- the stages --------------------------------------------------------------------------------


def _zero(out: Path, config: PipelineConfig) -> Lines:
    settings = rl_config(config, config.zero_steps, learning_rate=zero.ZeroConfig.learning_rate)
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
    sifted = sifted_answers(out / "dev2/checkpoint", config)
    yield _keep_samples(out / "rejection", sifted, sifted.kept)


def sifted_answers(model: Path, config: PipelineConfig) -> rejection_sampling.Sifted:
    """A model's answers to the puzzles for rejection sampling, all rules applied."""
    n, each = config.rejection_puzzles, config.rejection_samples
    return rejection_sampling.sift(stage_work.sample_traces(model, n, config.seed + 2, each))


def _keep_samples(
    folder: Path, sifted: rejection_sampling.Sifted, samples: Sequence[Sample]
) -> dict[str, Any]:
    counts = {"sampled": sifted.total, "kept": len(samples), "rejected": sifted.rejected}
    records.write(folder / "counts.json", counts)
    _write_samples(folder / "samples.jsonl", samples)
    return counts


def _write_samples(path: Path, samples: Sequence[Sample]) -> None:
    lines = [json.dumps(rejection_sampling.to_line(sample)) for sample in samples]
    records.write_text(path, "\n".join(lines) + "\n")


def read_samples(path: str | Path) -> list[Sample]:
    """The samples of a data stage. Raises CourseError for a damaged file."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        return [rejection_sampling.from_line(records.parsed(line)) for line in lines]
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read; delete it and run its stage again.") from error


def _dev1(out: Path, config: PipelineConfig) -> Lines:
    pairs = stage_work.as_pairs(read_samples(out / _COLD))
    yield from stage_work.fine_tune(out / _DEV1, pairs, config.cold_start_updates, config.seed)


def _dev3(out: Path, config: PipelineConfig) -> Lines:
    pairs = with_conversation(read_samples(out / _KEPT), config)
    yield from stage_work.fine_tune(out / _DEV3, pairs, config.sft_updates, config.seed)


def with_conversation(samples: Sequence[Sample], config: PipelineConfig) -> list[tuple[str, str]]:
    """Prompts and completions of `samples`, and conversation until it is `chat_share` of all."""
    pairs = stage_work.as_pairs(samples)
    talk = round(len(pairs) * config.chat_share / (1 - config.chat_share))
    return pairs + [(item.prompt, reply) for item, reply in chat.examples(talk, config.seed)]


def _dev2(out: Path, config: PipelineConfig) -> Lines:
    yield from rule_rl(out / "dev2", out / _DEV1, rl_config(config, config.reasoning_steps))


def rule_rl(
    folder: Path, start: Path, settings: zero.ZeroConfig, rule: rewards.RuleReward = RULES
) -> Lines:
    """RL from the model in `start`, on puzzles that rules alone judge."""
    yield from zero.run(folder, settings, base=start, task=stage_work.task(rule))


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
    first = rule_rl(out / "r1_rules", out / _DEV3, rl_config(config, config.rule_steps))
    yield from ({"part": "rules", **line} for line in first)
    second = preference_rl(out, out / "r1", "r1_rules", config)
    yield from ({"part": "preference", **line} for line in second)


def preference_rl(out: Path, folder: Path, start: str, config: PipelineConfig) -> Lines:
    """The last part of RL from the model `start`: conversation is judged by the reward model."""
    judge = reward_model.from_folder(out / "reward_model/checkpoint")
    both = stage_work.task(RULES, judge, config.chat_share)
    last = rl_config(config, config.preference_steps, temperature=0.7)
    yield from zero.run(folder, last, base=out / start / "checkpoint", task=both)


MODELS = ("base", "zero", "dev1", "dev2", "dev3", "r1")
"""The models of the table, in order; `base` is the one that comes with the course."""


def _table(out: Path, config: PipelineConfig) -> Lines:
    judge = reward_model.from_folder(out / "reward_model/checkpoint")
    rows = {}
    for name in MODELS:
        folder = models.shipped("mini-v3-base") if name == "base" else out / name / "checkpoint"
        rows[name] = measure_for(config, folder, judge)
        yield {"model": name, **rows[name]["figures"]}
    counts = {name: read(out / name / "counts.json") for name in ("cold_start", "rejection")}
    records.write(out / "table.json", {"config": asdict(config), "rows": rows, **counts})


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
    "cold_start": Stage(("zero",), _COLD, _cold_start, "R1-Zero's good answers, rewritten"),
    "dev1": Stage(("cold_start",), _DEV1, _dev1, "the base, fine-tuned on the cold start"),
    "dev2": Stage(("dev1",), _DEV2, _dev2, "RL with accuracy, format and language rewards"),
    "rejection": Stage(("dev2",), _KEPT, _rejection, "Dev2's answers, sifted"),
    "dev3": Stage(("rejection",), _DEV3, _dev3, "the base, fine-tuned on those and conversation"),
    "reward_model": Stage(("dev3",), _JUDGE, _reward_model, "what conversation is preferred"),
    "r1": Stage(
        ("dev3", "reward_model"), _R1, _r1, "RL with rules, at the end with preferences too"
    ),
    "table": Stage((*MODELS[1:], "reward_model"), "table.json", _table, "every stage, measured"),
}


def require_made(out: Path, needs: Iterable[str], who: str) -> None:
    """Raise CourseError if one of the stages that `who` needs has left nothing in `out`."""
    for maker in needs:
        path = out / STAGES[maker].makes
        if not path.exists():
            again = f"python -m course_lib pipeline --out {shlex.quote(str(out))} --only {maker}"
            raise CourseError(
                f"{path} is missing, which {who} needs; make it with `{again}`, with the same "
                "--seed and --tiny as here."
            )
