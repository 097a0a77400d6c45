"""Distillation as DeepSeek did it: a dense student, fine-tuned on its teacher's correct traces.

The student starts from a base of its own, as Qwen2.5 was one: it has read the same kinds of text
as the mini-V3, mostly bare guesses at their end. It sees no reward and no logits of the teacher,
only text.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

import numpy as np
import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.errors import CourseError, refuse_below
from course_lib.model import models, pretrain, rollout
from course_lib.model.own_forward import kept_logits, shared_beginning
from course_lib.model.sft import weighted_loss
from course_lib.rl import zero
from course_lib.runtime import use_threads
from course_lib.task import puzzles, rewards


@dataclass(frozen=True)
class DistillConfig:
    """Everything that decides a distillation run."""

    seed: int = 0
    traces: int = 2000  # puzzles put to the teacher; DeepSeek kept about 800,000 samples
    steps: int = 300
    tokens: int = 3072  # a batch
    learning_rate: float = 2e-3
    warmup: int = 20
    temperature: float = 1.0
    max_new_tokens: int = 96
    notation: str = ""  # "digits": keep only thoughts that are wholly so, and easy to read
    rounds: int = 1  # a puzzle without a trace to keep is put to the teacher again, so often in all
    evaluate_puzzles: int = 512
    answer_tokens: int = 96  # room for an answer when the student is measured
    answer_temperature: float = 1.0
    drop_long: bool = False  # leave out traces that the student cannot hold, instead of stopping

    def __post_init__(self) -> None:
        least = dict.fromkeys(("traces", "steps", "tokens", "warmup", "max_new_tokens", "rounds",
                               "evaluate_puzzles", "answer_tokens"), 1)  # fmt: skip
        zero = ("seed", "learning_rate", "temperature", "answer_temperature")
        refuse_below(self, least | dict.fromkeys(zero, 0))
        if self.notation:
            rewards.require_notation(self.notation)


@dataclass(frozen=True)
class Trace:
    """A prompt and a completion in token ids; the completion ends with the EOS."""

    prompt: list[int]
    completion: list[int]

    def __len__(self) -> int:
        """Tokens of prompt and completion together."""
        return len(self.prompt) + len(self.completion)


def require_same_vocabulary(
    teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase
) -> None:
    """Raise CourseError where two tokenizers differ: a trace's ids would be other words."""
    ours, theirs = teacher.get_vocab(), student.get_vocab()
    if ours == theirs:
        return
    apart = len(ours.items() ^ theirs.items())
    raise CourseError(
        f"Teacher and student have different vocabularies ({len(ours):,} and {len(theirs):,} "
        f"tokens, {apart:,} entries in one only); make the student's base with the teacher's "
        "tokenizer."
    )


def fitting(traces: Sequence[Trace], context: int, *, drop: bool = False) -> list[Trace]:
    """The traces that a student with a context of `context` tokens can hold.

    Raises CourseError for no traces, for one without a prompt or completion, where none fits, and,
    unless they may be dropped, where some do not; it says how many.
    """
    if not traces:
        raise CourseError("There is not one trace to learn from; train the teacher longer.")
    if empty := sum(not (trace.prompt and trace.completion) for trace in traces):
        raise CourseError(
            f"{empty:,} of {len(traces):,} traces lack a prompt or completion; leave them out."
        )
    short = [trace for trace in traces if len(trace) <= context]
    lost, longest = len(traces) - len(short), max(map(len, traces))
    if lost and (not drop or not short):
        raise CourseError(
            f"{lost:,} of {len(traces):,} traces are longer than the student's context of "
            f"{context} tokens (the longest has {longest}) and would be dropped; give the student "
            f"a context of {longest}, ask for shorter traces, or set drop_long if losing them is "
            "meant."
        )
    return short


def gather(
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[puzzles.Puzzle],
    *,
    seed: int,
    temperature: float = 1.0,
    max_new_tokens: int = 96,
    batch: int = 512,
) -> tuple[list[Trace], list[bool]]:
    """One sampled trace for each puzzle, and whether the verifier finds it right."""
    generator = torch.Generator().manual_seed(seed)
    config = zero.ZeroConfig(samples=1, temperature=temperature, max_new_tokens=max_new_tokens)
    traces, right = [], []
    for start in range(0, len(items), batch):
        part = items[start : start + batch]
        found = zero.collect(teacher, tokenizer, zero.PUZZLES, part, config, generator)
        rows = zip(part, found.rollout.ids.tolist(), found.rollout.lengths.tolist(), strict=True)
        for puzzle, ids, length in rows:
            prompt = models.chat_ids(tokenizer, puzzles.prompt(puzzle))
            traces.append(Trace(prompt, ids[:length]))
        right += (found.rewards.flatten() == 1.0).tolist()
    return traces, right


def right_ones(
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: DistillConfig,
) -> list[tuple[puzzles.Puzzle, Trace]]:
    """Puzzles and the teacher's right traces of them, at most one each, as the settings ask."""
    kept: list[tuple[puzzles.Puzzle, Trace]] = []
    open_ones = puzzles.sample(config.traces, config.seed)
    for round_ in range(config.rounds):
        traces, right = gather(
            teacher,
            tokenizer,
            open_ones,
            seed=config.seed + 1_000_003 * round_,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
        )
        texts = models.decode(tokenizer, [trace.completion for trace in traces])
        good = [
            ok and (not config.notation or _reads_easily(puzzle, text, config.notation))
            for ok, puzzle, text in zip(right, open_ones, texts, strict=True)
        ]
        kept += [(p, trace) for p, trace, ok in zip(open_ones, traces, good, strict=True) if ok]
        open_ones = [puzzle for puzzle, ok in zip(open_ones, good, strict=True) if not ok]
    return kept


def _reads_easily(puzzle: puzzles.Puzzle, text: str, notation: str) -> bool:
    """R1's own filter: no mixed languages, nothing untidy (DeepSeek-R1, section 2.3.3)."""
    wholly = rewards.language_consistency(puzzle, text, notation) == 1.0
    return wholly and rewards.readability(puzzle, text) == 1.0


def across(
    found: Sequence[tuple[puzzles.Puzzle, Trace]],
    teachers: PreTrainedTokenizerBase,
    students: PreTrainedTokenizerBase,
) -> list[Trace]:
    """The traces in the student's tokens: where its tokenizer is another, they cross as text."""
    kept = [trace for _, trace in found]
    if teachers.get_vocab() == students.get_vocab():
        return kept
    texts = models.decode(teachers, [trace.completion for trace in kept])
    return [
        in_tokens_of(students, puzzles.prompt(puzzle), text)
        for (puzzle, _), text in zip(found, texts, strict=True)
    ]


def in_tokens_of(tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str) -> Trace:
    """A trace in a student's own tokens: what the user says, what is answered, and an EOS.

    Raises CourseError where the tokenizer cannot write the completion, or has no EOS.
    """
    ids = tokenizer.encode(completion, add_special_tokens=False)
    if tokenizer.eos_token_id is None or models.decode(tokenizer, [ids]) != [completion]:
        raise CourseError(
            f"The student's tokenizer cannot write a trace such as {completion[:40]!r} and end it; "
            "take a model whose tokenizer knows digits, signs, < and >, and has an EOS token."
        )
    return Trace(models.chat_ids(tokenizer, prompt), [*ids, tokenizer.eos_token_id])


def batches(traces: Sequence[Trace], tokens: int, seed: int, pad: int) -> Iterator[pretrain.Batch]:
    """Endless shuffled epochs over the traces, in batches of about `tokens` tokens."""
    rng = np.random.default_rng(seed)
    while True:
        noise = rng.random(len(traces)) * 8  # like lengths together, but not always the same ones
        order = np.argsort([len(t.completion) + n for t, n in zip(traces, noise, strict=True)])
        rows = [_row(traces[i]) for i in order]
        rows.sort(key=lambda row: len(row[0]))
        epoch = pretrain.cut(rows, tokens, pad)
        for i in rng.permutation(len(epoch)):
            yield epoch[i]


def _row(trace: Trace) -> tuple[list[int], list[float]]:
    weights = [0.0] * len(trace.prompt) + [1.0] * len(trace.completion)
    return trace.prompt + trace.completion, weights


def finetune(
    model: PreTrainedModel,
    traces: Sequence[Trace],
    config: DistillConfig,
    pad: int,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    start: int = 0,
) -> Iterator[tuple[int, float]]:
    """Supervised fine-tuning on `traces`, prompts masked: yields step and loss (nats per token).

    Only what is learnt goes through the output layer, only what is not frozen is trained, and what
    all prompts begin with is read once a batch.

    Goes on after `start` updates with the `optimizer` that made them. Raises CourseError as
    `fitting` does, before the first step.
    """
    kept = fitting(traces, model.config.max_position_embeddings, drop=config.drop_long)
    read = islice(batches(kept, config.tokens, config.seed, pad), start, None)
    shared = shared_beginning([trace.prompt for trace in kept])

    def loss(_: int) -> Tensor:
        batch = next(read)  # ids and weights: (documents, tokens)
        ids, weights = batch.ids.to(model.device), batch.weights.to(model.device)
        learnt = weights[:, 1:] > 0  # the logits at a token are the guess at the next
        logits = kept_logits(model, ids[:, :-1], learnt, begun=[shared])  # (learnt, vocabulary)
        return weighted_loss(logits, ids[:, 1:][learnt], weights[:, 1:][learnt])

    yield from descend(model, config, loss, optimizer=optimizer, start=start)


def descend(
    model: PreTrainedModel,
    config: DistillConfig,
    loss: Callable[[int], Tensor],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    start: int = 0,
) -> Iterator[tuple[int, float]]:
    """`config.steps` updates of AdamW on `loss(step)`, warmed up, then falling to 0: step, loss."""
    optimizer = optimizer or pretrain.make_optimizer(model, config.learning_rate, decay=0.0)
    for step in range(start + 1, config.steps + 1):
        use_threads()  # other programs come and go
        # 1. How far to go: the learning rate rises for `warmup` steps and then falls to 0.
        rise, fall = min(1.0, step / config.warmup), 1 - (step - 1) / config.steps
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rise * fall
        try:
            # 2. How wrong: the loss of one batch, in nats per token.
            model.train()
            value = loss(step)
            # 3. Which way: the gradient, cut to a length of at most 1.
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            # 4. One update of every weight.
            optimizer.step()
        finally:  # whoever looks at it meanwhile, or stops it, has it as it answers
            model.eval()
        yield step, float(value.detach())


def stream(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    temperature: float = 0.6,
    max_new_tokens: int = 128,
    seed: int = 0,
) -> Iterator[str]:
    """The pieces of a model's answer to `text`, as they come."""
    tokens = rollout.stream(
        model,
        models.chat_ids(tokenizer, text),
        max_new_tokens=max_new_tokens,
        eos=tokenizer.eos_token_id,
        temperature=temperature,
        generator=torch.Generator().manual_seed(seed),
    )
    decoder = DecodeStream(skip_special_tokens=False)
    ids: list[int] = []
    shown = 0
    for token in takewhile(lambda token: token != tokenizer.eos_token_id, tokens):
        ids.append(token)
        piece = decoder.step(tokenizer.backend_tokenizer, token) or ""
        shown += len(piece)
        yield piece
    # The decoder keeps back what may be half a sign, and at the end no other half has come.
    yield models.decode(tokenizer, [ids])[0][shown:]
