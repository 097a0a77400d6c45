"""The plumbing of the lesson on local inference: traces to read, the page's table, speeds."""

import time
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.local import memory, placement
from course_lib.local.engines import Engine, Summary
from course_lib.local.hardware import Machine, presets
from course_lib.model import models, rollout
from course_lib.model.accounting import Config, count_parameters
from course_lib.moe.architectures import CONFIGS, OLLAMA_TAGS
from course_lib.show import svg
from course_lib.task import puzzles, traces

Sampled = tuple[puzzles.Puzzle, str]

_FILES = "q4_k_m"  # the type of all files behind Ollama's tags


def sample_traces(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int, *, temperature: float = 1.0
) -> list[Sampled]:
    """One completion for each of `n` held-out puzzles; it gives the same ones each time."""
    drawn = puzzles.sample(n, 0, "test")
    prompts = [models.chat_ids(tokenizer, puzzles.prompt(puzzle)) for puzzle in drawn]
    eos, generator = tokenizer.eos_token_id, torch.Generator().manual_seed(0)
    sampled = rollout.generate(
        model, prompts, max_new_tokens=96, eos=eos, temperature=temperature, generator=generator
    )
    return list(zip(drawn, models.decode(tokenizer, sampled.ids.tolist()), strict=True))


def accuracy(sampled: Sequence[Sampled]) -> float:
    """The share of completions whose answer is right."""
    return sum(puzzles.reward(puzzle, text) for puzzle, text in sampled) / len(sampled)


def cases(sampled: Sequence[Sampled]) -> dict[str, list[Sampled]]:
    """Traces for the three uses: to debug, to learn from, and to audit.

    Each has a thought with a beginning and an end. "debug" have a slip and a wrong answer; "learn"
    are right and without a fault, needed at least two attempts, never tried one twice, and answer
    with the one they found; "audit" are right although a step or a verdict in them is wrong.
    """
    found: dict[str, list[Sampled]] = {"debug": [], "learn": [], "audit": []}
    for puzzle, text in sampled:
        trace = traces.parse_trace(text)
        if not (trace.opened and trace.closed):
            continue
        counts = traces.count(text, puzzle)
        slips = counts.wrong_steps + counts.wrong_verdicts
        right = puzzles.reward(puzzle, text) == 1.0
        if slips:
            found["audit" if right else "debug"].append((puzzle, text))
        elif right and counts.copied and counts.attempts > 1 and not counts.repeats:
            found["learn"].append((puzzle, text))
    return found


_PAGE = (  # what the page says: GB asked for, and a card it names
    ("deepseek-r1:7b", 8, "RTX 3080"),
    ("deepseek-r1:14b", 16, "RTX 4080"),
    ("deepseek-r1:32b", 32, "RTX 4090"),
    ("deepseek-r1:70b", 48, "two RTX 4090"),
)


def page_table() -> list[dict[str, str | int | float]]:
    """The page's table worked out: for each row what it asks for and what 16,384 tokens need."""
    rows: list[dict[str, str | int | float]] = []
    machines = {machine.name.partition(",")[0]: machine for machine in presets()}
    for tag, asked, card in _PAGE:
        config, machine = CONFIGS[OLLAMA_TAGS[tag]], machines[card]
        need = memory.estimate(config, _FILES, 16_384)
        rows.append(
            {
                "tag": tag,
                "page asks, GB": asked,
                "page names": machine.name,
                "file, GB": round(need.weights / memory.GB, 1),
                "needed, GiB": round(need.total / memory.GIB, 1),
                "longest context on that card": placement.longest_context(config, _FILES, machine),
            }
        )
    return rows


_SMALLEST_CONTEXT = 4096  # below it no thought has room
_LONG_THOUGHT, _PATIENCE = 12_000, 3600  # tokens; seconds that a reader waits for them at most


def which_model(machines: Sequence[Machine]) -> list[dict[str, str | float]]:
    """For each machine the largest of DeepSeek's models that thinks 12,000 tokens within an hour.

    It has room for 16,384 tokens; where no model has, the largest for 4,096 is taken. The minutes
    are those of writing, at the typical share of the bandwidth.
    """
    return [_row(machine) for machine in machines]


def _row(machine: Machine) -> dict[str, str | float]:
    tag, chosen = _largest(machine)
    row: dict[str, str | float] = {
        "machine": machine.name,
        "GiB lent": round(machine.lent / memory.GIB, 1),
        "tag": tag.partition(":")[2] if chosen.whole else "(too little memory)",
    }
    if chosen.whole:
        config = CONFIGS[OLLAMA_TAGS[tag]]
        row |= {
            "download, GB": round(memory.weights_bytes(config, _FILES) / memory.GB, 1),
            "context": placement.longest_context(config, _FILES, machine),
            "tokens/s": round(chosen.speed()),
            "min for 4,000": round(chosen.seconds(4000) / 60, 1),
            "min for 12,000": round(chosen.seconds(_LONG_THOUGHT) / 60, 1),
        }
    return row


def _largest(machine: Machine) -> tuple[str, placement.Plan]:
    """The tag to take and its plan; where none is quick enough or fits, the smallest."""
    by_size = sorted(OLLAMA_TAGS, key=lambda one: count_parameters(CONFIGS[OLLAMA_TAGS[one]]).total)
    for context in (16_384, _SMALLEST_CONTEXT):
        for tag in reversed(by_size):
            plan = placement.plan(CONFIGS[OLLAMA_TAGS[tag]], _FILES, context, machine)
            if plan.whole and plan.seconds(_LONG_THOUGHT) <= _PATIENCE:
                return tag, plan
    return tag, plan


def speed(engine: Engine, questions: Sequence[str], *, max_tokens: int | None = None) -> Summary:
    """What `engine` needs for all of `questions` together, after one answer to warm up.

    `max_tokens` ends each answer, as for an engine whose model thinks for minutes.
    """
    summaries = []
    for question in [questions[-1], *questions]:  # who has just read the first knows it
        asked = [{"role": "user", "content": question}]
        stream = engine.stream(asked, max_tokens=max_tokens, seed=0)
        for _ in stream:
            pass
        if stream.summary is not None:  # an engine of one's own may give none
            summaries.append(stream.summary)
    figures = ("prompt_tokens", "completion_tokens", "prompt_seconds", "seconds", "known")
    sums = {name: sum(getattr(one, name) for one in summaries[1:]) for name in figures}
    return Summary(engine.kind, engine.model, "stop", **sums)


def batch_speed(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: int) -> float:
    """Tokens a second that are generated when `batch` answers are written together."""
    prompts = [models.chat_ids(tokenizer, str(puzzle)) for puzzle in puzzles.sample(batch, 0)]
    eos = tokenizer.eos_token_id
    for new in (2, 32):  # the first is to warm up: what is first of its kind takes longer
        began = time.perf_counter()
        rollout.generate(model, prompts, max_new_tokens=new, eos=eos, banned=[eos])
    return batch * new / (time.perf_counter() - began)


def memory_of_thoughts(
    config: Config, quantisation: str, thoughts: Sequence[int], title: str
) -> svg.Picture:
    """Where memory goes when a thought grows: `memory.estimate` for each length in tokens."""
    parts = {}
    for tokens in thoughts:
        needed = memory.estimate(config, quantisation, tokens)
        parts[f"{tokens:,} tokens"] = {
            "weights": needed.weights / memory.GB,
            "cache of the thought": needed.cache / memory.GB,
            "buffers": needed.overhead / memory.GB,
        }
    said = [f"After {label}: {svg.describe(row, 'GB')}." for label, row in parts.items()]
    drawn = svg.stacked_bars(title, parts, "GB", width=svg.NARROW)
    return svg.Picture((drawn,), " ".join(said))
