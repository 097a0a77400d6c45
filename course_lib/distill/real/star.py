"""The circle on words: the model's own right answers are its next lesson (STaR, expert iteration).

Zelikman et al., 2022, "STaR: Bootstrapping Reasoning With Reasoning" (arXiv 2203.14465): sample
answers with their working, keep what is right, teach the *first* model all that was kept so far,
and go round again. Nobody shows it a solution but the worked examples in the first round's prompt.
(The original also shows the answer to what went wrong; that half is left out here.)

`python -m course_lib distill-lab real-star --out DIR` runs it; it goes on when it was stopped.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib import records
from course_lib.distill import trace_sft
from course_lib.distill.bench import Bench, Row
from course_lib.distill.real import language_model, stories
from course_lib.distill.real.stories import Story
from course_lib.errors import CourseError, refuse_below
from course_lib.model import checkpoints, models, rollout
from course_lib.model.lora import Lora
from course_lib.runtime import use_threads

Line = dict[str, Any]
Learnt = Literal["right", "answered"]

_AT_ONCE = 32  # stories sampled together


@dataclass(frozen=True)
class StarConfig:
    """Everything that decides a run."""

    seed: int = 0
    rounds: int = 2
    stories: int = 64  # put to the model a round, new ones each time
    samples: int = 4  # answers to each
    temperature: float = 0.7
    max_new_tokens: int = 40
    shots: int = 2  # worked examples in the prompt of the first round; none later
    keep: Learnt = "right"  # what is learnt; "answered" is the control
    most: int = 2  # different answers kept to one story
    rank: int = 8
    steps: int = 20  # updates a round, always from the first model
    tokens: int = 640  # a batch
    learning_rate: float = 1e-3
    held_out: int = 64

    def __post_init__(self) -> None:
        least = dict.fromkeys(("rounds", "stories", "samples", "max_new_tokens", "most", "rank",
                               "steps", "tokens", "held_out"), 1)  # fmt: skip
        zero = ("seed", "temperature", "shots", "learning_rate")
        refuse_below(self, least | dict.fromkeys(zero, 0))
        if self.keep not in get_args(Learnt):
            raise CourseError(f"keep is {self.keep!r}; allowed are 'right' and 'answered'.")


@dataclass(frozen=True)
class Answer:
    """What the model said to a story, and what the verifier says to it."""

    story: Story
    text: str

    @property
    def right(self) -> bool:
        return stories.reward(self.story, self.text) == 1.0

    @property
    def sound(self) -> bool:
        """Whether it is right and every step of its working is."""
        return stories.describe(self.story, self.text)["sound"] == 1.0


def ask(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Story],
    config: StarConfig,
    *,
    seed: int,
    shots: int = 0,
    samples: int = 1,
) -> list[Answer]:
    """`samples` answers to each story after `shots` worked examples, story by story."""
    found: list[Answer] = []
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(items), _AT_ONCE):
        part = items[start : start + _AT_ONCE]
        sampled = rollout.generate(
            model,
            [_prompt(tokenizer, story, shots) for story in part],
            samples=samples,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            eos=tokenizer.eos_token_id,
            generator=generator,
        )
        texts = models.decode(tokenizer, sampled.ids.tolist())
        found += [Answer(part[row // samples], text) for row, text in enumerate(texts)]
    return found


def _prompt(tokenizer: PreTrainedTokenizerBase, story: Story, shots: int = 0) -> list[int]:
    turns = stories.turns(story, shots)
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return tokenizer.encode(text, add_special_tokens=False)


def keep(answers: Sequence[Answer], config: StarConfig) -> list[Answer]:
    """What is learnt: the right answers, each text once, at most `config.most` a story.

    With `keep="answered"` any that ends in an answer is kept, right or wrong, and as many of them
    as there are right ones: the control, which is as long and leaves out the verifier.
    """
    right = _first(answers, config.most, lambda one: one.right)
    if config.keep == "right":
        return right
    said = _first(answers, config.most, lambda one: stories.answer(one.text) is not None)
    rng = torch.Generator().manual_seed(config.seed)
    chosen = torch.randperm(len(said), generator=rng)[: len(right)].tolist()
    return [said[i] for i in sorted(chosen)]


def _first(answers: Sequence[Answer], most: int, wanted: Callable[[Answer], bool]) -> list[Answer]:
    """The first answers that are wanted, each text once and at most `most` to a story."""
    kept: dict[Answer, None] = {}
    of_story: dict[Story, int] = {}
    for one in answers:
        if wanted(one) and one not in kept and of_story.get(one.story, 0) < most:
            kept[one] = None
            of_story[one.story] = of_story.get(one.story, 0) + 1
    return list(kept)


def teach(
    folder: Path, kept: Sequence[Answer], config: StarConfig
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The first model, taught what was kept, without examples in the prompt; saved in `folder`.

    `folder` holds a fresh adapter. Raises CourseError for nothing to learn from.
    """
    if not kept:
        raise CourseError(
            "Not one answer was right, so there is nothing to learn from: the circle stops here. "
            "Give more stories, more samples or more worked examples."
        )
    model, tokenizer = models.load(folder)
    traces = [trace_sft.in_tokens_of(tokenizer, str(one.story), one.text) for one in kept]
    how = trace_sft.DistillConfig(
        seed=config.seed,
        steps=config.steps,
        tokens=config.tokens,
        learning_rate=config.learning_rate,
        warmup=5,
    )
    for _ in trace_sft.finetune(model, traces, how, tokenizer.eos_token_id):
        pass
    models.save(model, tokenizer, folder)
    return model, tokenizer


def run(
    out: str | Path,
    config: StarConfig | None = None,
    *,
    model: str | Path | None = None,
    yes: bool = False,
) -> Iterator[Line]:
    """The circle in the folder `out`: yields a line for the first model and one for each round.

    Every line has the held-out figures; a round's also has what was asked, right and kept. Round n
    leaves its adapter in `out/round-n`. Stop it whenever you like: the same call gives the lines so
    far and begins again with the round that was not ended. Raises CourseError for a model that is
    not there, for a folder with another run, and where nothing was right.
    """
    config, out = config or StarConfig(), Path(out)
    use_threads()
    with checkpoints.alone(out):
        base = language_model.folder(model, yes=yes)
        checkpoints.claim(out, {**asdict(config), "base": checkpoints.fingerprint(base)})
        log = checkpoints.Log(out / "metrics.jsonl", keep=config.rounds)
        yield from list(log.lines)
        for number in range(len(log.lines), config.rounds + 1):
            began = time.process_time()
            line = _round(out, base, config, number) if number else _first_look(base, config)
            log.write({"step": number, **line, "cpu_seconds": time.process_time() - began})
            yield log.lines[-1]


def _first_look(base: Path, config: StarConfig) -> Line:
    """The untaught model on held-out stories, with worked examples and without."""
    model, tokenizer = models.load(base)
    shown = measure(model, tokenizer, config, config.shots)
    return {f"{name}_shown": value for name, value in shown.items()} | measure(
        model, tokenizer, config
    )


def _round(out: Path, base: Path, config: StarConfig, number: int) -> Line:
    """Once round the circle: sample, keep, teach, measure."""
    # 1. Sample: the newest model answers new stories; only the untaught one is shown examples.
    newest, tokenizer = models.load(out / f"round-{number - 1}" if number > 1 else base)
    seed = 1000 * config.seed + number
    items = stories.sample(config.stories, seed)
    shots = config.shots if number == 1 else 0
    answers = ask(newest, tokenizer, items, config, seed=seed, shots=shots, samples=config.samples)
    # 2. Keep what is right, beside what earlier rounds kept.
    new = keep(answers, config)
    kept = [one for n in range(1, number) for one in _read(out / f"kept-{n}.json")] + new
    _write(out / f"kept-{number}.json", new)
    # 3. Teach the first model all of it.
    folder = out / f"round-{number}"
    shutil.rmtree(folder, ignore_errors=True)  # what a stopped round left
    language_model.start(folder, base, Lora(config.rank, 2.0 * config.rank), seed=config.seed)
    model, tokenizer = teach(folder, kept, config)
    # 4. Measure, on stories of which no name, thing or sentence was seen.
    right = [one for one in answers if one.right]
    return {
        "asked": len(answers),
        "right": len(right) / len(answers),
        "solved": len({one.story for one in right}) / config.stories,
        "new": len(new),
        "new_sound": sum(one.sound for one in new),
        "kept": len(kept),
        **measure(model, tokenizer, config),
    }


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: StarConfig, shots: int = 0
) -> dict[str, float]:
    """Accuracy, answers, steps, wrong steps and soundness on held-out stories, one answer each."""
    items = stories.sample(config.held_out, config.seed, "test")
    answers = ask(model, tokenizer, items, config, seed=config.seed, shots=shots)
    found = [{"accuracy": one.right, **stories.describe(one.story, one.text)} for one in answers]
    return {name: sum(one[name] for one in found) / len(found) for name in found[0]}


def _write(path: Path, kept: Sequence[Answer]) -> None:
    records.write(path, {"kept": [(asdict(one.story), one.text) for one in kept]})


def _read(path: Path) -> list[Answer]:
    """The answers that a round kept. Raises CourseError for a file that holds something else."""
    again = "the same command in another folder"
    return [
        Answer(Story(str(told["text"]), tuple(map(int, told["numbers"])), str(told["signs"])), said)
        for told, said in records.read(path, again, _are_answers, "answers of a round")["kept"]
    ]


def _are_answers(record: records.Record) -> None:
    for told, said in record["kept"]:
        if len(told["numbers"]) != len(told["signs"]) + 1 or not isinstance(said, str):
            raise ValueError("no answer")


def experiment(bench: Bench) -> Iterator[Row]:
    """Both circles with the bench's seed, a row a round: right answers kept, and the control."""
    for learnt in get_args(Learnt):
        config = replace(StarConfig(), seed=bench.seed, keep=learnt)
        out = bench.out / f"star-{learnt}-{bench.seed}"
        for line in run(out, config, yes=language_model.here()):
            row = {name: value for name, value in line.items() if name != "step"}
            yield {"learnt": learnt, "round": line["step"], **row}
