"""Lesson 06: what fits into memory, what quantising does, and how to read a trace."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from course_lib.classroom.checks.exercise import Case, Exercise, Mistake, case, draw

_SIZES = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim")
_LATENT = ("num_hidden_layers", "num_attention_heads", "kv_lora_rank", "qk_rope_head_dim")


def _kv(config: dict, tokens: int, bytes_per_value: int = 2, *, kind: str = "right") -> int:
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    if "kv_lora_rank" in config:
        latent, rope = config["kv_lora_rank"], config["qk_rope_head_dim"]
        width = latent if kind == "no rope" else latent + rope
        width *= {"doubled latent": 2, "latent per head": heads}.get(kind, 1)
    else:
        shared = heads if kind == "all heads" else config["num_key_value_heads"]
        width = shared * config["head_dim"] * (1 if kind == "keys only" else 2)
    factor = {"no layers": 1}.get(kind, layers)
    size = 2 if kind == "always two" else bytes_per_value
    if kind == "no bytes":
        size = 1
    if kind == "bits":
        size = 8 * bytes_per_value
    return factor * width * size * (1 if kind == "one token" else tokens)


def _gqa(*sizes: int) -> dict:
    return dict(zip(_SIZES, sizes, strict=True))


def _mla(*sizes: int) -> dict:
    return dict(zip(_LATENT, sizes, strict=True))


def _fresh_cache(rng: np.random.Generator) -> Case:
    sizes = rng.integers([2, 8, 2, 16], [90, 70, 8, 200]).tolist()
    config = (_mla if rng.random() < 0.4 else _gqa)(*sizes)
    why = "layers x (keys and values, or one latent and its rotary key) x bytes x tokens"
    return case(why, config, int(rng.integers(2, 40000)), int(rng.choice([1, 4])))


def _longest(
    memory_gib: float,
    file_gb: float,
    overhead_gib: float,
    bytes_per_token: int,
    *,
    gib: float = 2**30,
    gb: float = 1e9,
    overhead: bool = True,
    whole: str = "floor",
    clamp: bool = True,
) -> int:
    left = memory_gib * gib - file_gb * gb - (overhead_gib * gib if overhead else 0)
    tokens = left / bytes_per_token
    if whole == "not":
        return max(tokens, 0.0)
    rounded = {"floor": math.floor, "up": math.ceil, "near": round}[whole](tokens)
    return max(rounded, 0) if clamp else rounded


def _fresh_memory(rng: np.random.Generator) -> Case:
    numbers = rng.uniform([12, 1, 0.2], [80, 9, 1.5]).round(1).tolist()
    return case(
        "memory and overhead are in GiB, the file in GB; no part of a token",
        *numbers,
        int(rng.integers(20000, 330000)),
    )


def _quantise(values: list[float], bits: int, *, kind: str = "right") -> tuple[float, list[int]]:
    top = 2 ** (bits - 1) - (0 if kind == "full range" else 1)
    if kind == "all bits":
        top = 2**bits - 1
    largest = max(values) if kind == "no abs" else max(map(abs, values))
    if kind == "mean":
        largest = sum(map(abs, values)) / len(values)
    scale = largest / top
    if scale == 0 and kind != "no guard":
        return 0.0, [0] * len(values)
    rounding = {"floor": math.floor, "cut": int}.get(kind, round)
    whole = [rounding(value / scale) for value in values]
    if kind == "unsigned":
        whole = [abs(one) for one in whole]
    return (1 / scale if kind == "inverse" else scale), whole


def _fresh_block(rng: np.random.Generator) -> Case:
    bits = int(rng.choice([3, 4, 8]))

    def make() -> np.ndarray:
        values = rng.normal(0, 1, 8).round(3)
        values[0] = -abs(values).max() - 0.1
        return values

    def clear(values: np.ndarray) -> bool:
        steps = np.abs(values / (np.abs(values).max() / (2 ** (bits - 1) - 1)))
        return bool((np.abs(steps % 1 - 0.5) > 1e-6).all())

    why = "scale = largest size / (2 ** (bits - 1) - 1); each value over it, rounded"
    return case(why, draw(make, clear).tolist(), bits)


def _parse(text: str, prefilled: bool = False, *, kind: str = "right") -> tuple[str, str]:
    body = text.lstrip()
    opened = body.startswith("<think>")
    if kind == "anywhere" and "<think>" in body:
        opened, body = True, body[body.index("<think>") :]
    body = body.removeprefix("<think>") if opened and kind != "keeps tag" else body
    if kind == "needs opening" and not opened:
        return "", text.strip()
    if kind == "needs flag" and not (opened or prefilled):
        return "", text.strip()
    if "</think>" not in body:
        inside = opened or (prefilled and kind != "no prefill")
        if kind == "unclosed answers":
            inside = False
        if kind == "always inside":
            inside = True
        body = body if kind == "blanks" else body.strip()
        return (body, "") if inside else ("", body)
    cut = body.rindex("</think>") if kind == "last" else body.index("</think>")
    thinking, answer = body[:cut], body[cut + len("</think>") :]
    if kind == "all closings":
        answer = answer.replace("</think>", "")
    if kind == "exchanged":
        thinking, answer = answer, thinking
    return (thinking, answer) if kind == "blanks" else (thinking.strip(), answer.strip())


def _fresh_trace(rng: np.random.Generator) -> Case:
    thinking = " ".join(rng.choice(["+3=10", "-5=5", "no", "yes"], 4))
    answer = " ".join(rng.choice(["+", "-"], 3))
    text = f"{thinking} </think> {answer}\n"
    opened = bool(rng.random() < 0.5)
    why = "everything before the first closing tag is thought, everything after it the answer"
    return case(why, f"<think>{text}" if opened else text, not opened)


def _attempts(thinking: str, *, kind: str = "right") -> tuple[int, int, int]:
    seen: list[tuple[str, ...]] = []
    signs: list[str] = []
    rejected = repeats = 0
    for word in thinking.split():
        if word[0] in "+-":
            signs.append(word.split("=")[0] if kind == "digits too" else word[0])
            if kind == "whole step":
                signs[-1] = word
            continue
        rejected += word == "no" if kind != "yes" else word == "yes"
        earlier = seen[-1:] if kind == "last only" else seen
        repeats += tuple(signs) in earlier
        seen.append(tuple(signs))
        signs = []
    count = len(seen) + (1 if signs and kind == "unfinished" else 0)
    if kind == "accepted":
        count -= rejected
    if kind == "different":
        count = len(set(seen))
    if kind == "steps":
        count = sum(word[0] in "+-" for word in thinking.split())
    if kind == "pairs":
        repeats += 1 if repeats else 0
    return count, rejected, repeats


def _fresh_attempts(rng: np.random.Generator) -> Case:
    words = []
    for _ in range(int(rng.integers(3, 8))):
        words += [f"{rng.choice(['+', '-'])}{n}={int(rng.integers(0, 20))}" for n in (3, 5, 2)]
        words.append(str(rng.choice(["no", "no", "yes"])))
    return case(
        "an attempt ends with its verdict; repeats have the same signs as an earlier one",
        " ".join(words),
    )


EXERCISES = (
    Exercise(
        name="memory.by_hand",
        symbol="bytes_per_token",
        title="The cache of one token, by hand",
        what_for="A long thought is kept in memory token by token; know the price of one.",
        difficulty=1,
        minutes=4,
        needs="multiplication: Distill-Qwen-7B has 28 layers, 28 heads of 128, 4 of them for "
        "keys and values",
        hints=(
            "In every layer a key and a value are kept, for each key-value head.",
            "2 x 4 heads x 128 numbers a layer, 28 layers.",
            "28,672 numbers of 2 bytes each.",
        ),
        reference=lambda: 57344,
        cases=(case("layers x 2 (key and value) x key-value heads x 128 x 2 bytes"),),
        mistakes=(
            Mistake(
                "You count all 28 heads; keys and values are shared, there are 4.", lambda: 401408
            ),
            Mistake("A key and a value: there are two of them.", lambda: 28672),
            Mistake("That is one layer; there are 28.", lambda: 2048),
            Mistake("Bytes, not bits.", lambda: 458752),
            Mistake("One key-value head is counted; there are 4.", lambda: 14336),
        ),
    ),
    Exercise(
        name="memory.kv_cache_bytes",
        symbol="my_kv_cache_bytes",
        title="The key-value cache, for both kinds of attention",
        what_for="V3's latent keeps 71 times less than plain heads would: see where it goes.",
        difficulty=3,
        minutes=10,
        needs="a config as a dictionary; integers",
        hints=(
            "A config with kv_lora_rank keeps one latent and one rotary key a layer, not one per "
            "head.",
            "Grouped-query attention keeps 2 * num_key_value_heads * head_dim numbers a layer.",
            "With kv_lora_rank it is kv_lora_rank + qk_rope_head_dim; times layers, bytes, tokens.",
        ),
        reference=_kv,
        cases=(
            case(
                "Distill-Qwen-7B: 28 x 2 x 4 x 128 x 2 bytes",
                _gqa(28, 28, 4, 128),
                1,
                expected=57_344,
            ),
            case(
                "V3: (512 + 64) x 61 x 2 bytes, one latent for all heads",
                _mla(61, 128, 512, 64),
                1,
                expected=70_272,
            ),
            case("twice the tokens, half the bytes", _gqa(28, 28, 4, 128), 2, 1, expected=57_344),
            case(
                "Distill-Llama-70B with 4,096 tokens is 1.25 GiB",
                _gqa(80, 64, 8, 128),
                4096,
                expected=1_342_177_280,
            ),
            case("the latent cache grows with tokens too", _mla(2, 4, 10, 6), 3, 4, expected=384),
        ),
        fresh=_fresh_cache,
        mistakes=(
            Mistake(
                "Keys and values have num_key_value_heads heads, not num_attention_heads.",
                partial(_kv, kind="all heads"),
            ),
            Mistake("A key and a value: two of them.", partial(_kv, kind="keys only")),
            Mistake("Every layer has its own cache.", partial(_kv, kind="no layers")),
            Mistake("The cache grows with every token.", partial(_kv, kind="one token")),
            Mistake("bytes_per_value is not used.", partial(_kv, kind="always two")),
            Mistake(
                "That is a count of numbers; multiply by bytes_per_value.",
                partial(_kv, kind="no bytes"),
            ),
            Mistake("Bytes, not bits.", partial(_kv, kind="bits")),
            Mistake("The latent's rotary key is kept as well.", partial(_kv, kind="no rope")),
            Mistake(
                "The latent serves as key and as value: it is kept once.",
                partial(_kv, kind="doubled latent"),
            ),
            Mistake("All heads share one latent.", partial(_kv, kind="latent per head")),
        ),
    ),
    Exercise(
        name="memory.longest_context",
        symbol="longest_context",
        title="How long may it think on this machine?",
        what_for="File, overhead and cache share the memory, and GB are not GiB.",
        difficulty=2,
        minutes=8,
        needs="GB is 10**9 bytes, GiB is 2**30",
        hints=(
            "Bring everything to bytes first; look at each argument's unit.",
            "What is left after file and overhead is the cache's; a token takes bytes_per_token.",
            "max(0, floor((memory_gib - overhead_gib) * 2**30 - file_gb * 10**9) over "
            "bytes_per_token).",
        ),
        reference=_longest,
        cases=(
            case(
                "8 GiB less 4.7 GB less 1 GiB leaves 2,816,192,768 bytes at 57,344 each",
                8.0,
                4.7,
                1.0,
                57344,
                expected=49_110,
            ),
            case("43 GB does not fit 24 GiB: 0, not less", 24.0, 43.0, 1.0, 327680, expected=0),
            case(
                "a token that does not fit whole does not fit",
                1.0,
                1.0,
                0.0,
                20_000_000,
                expected=3,
            ),
            case("24 GiB with the 20 GB of the 32B", 24.0, 20.0, 1.0, 262144),
        ),
        fresh=_fresh_memory,
        mistakes=(
            Mistake("Memory is in GiB, 2**30 bytes, not 10**9.", partial(_longest, gib=1e9)),
            Mistake("The file is in GB, 10**9 bytes, not 2**30.", partial(_longest, gb=2**30)),
            Mistake("GB and GiB are exchanged.", partial(_longest, gib=1e9, gb=2**30)),
            Mistake("The overhead must be taken off too.", partial(_longest, overhead=False)),
            Mistake("Half a token does not fit: round down.", partial(_longest, whole="up")),
            Mistake("Half a token does not fit: round down.", partial(_longest, whole="near")),
            Mistake("Tokens are whole: round down.", partial(_longest, whole="not")),
            Mistake(
                "Where not even the file fits the answer is 0.", partial(_longest, clamp=False)
            ),
        ),
        rtol=0.0,
    ),
    Exercise(
        name="memory.quantise",
        symbol="my_quantise",
        title="Quantise a block",
        what_for="This is how 16 bits become 4: one scale, small whole numbers.",
        difficulty=3,
        minutes=12,
        needs="round, abs, max",
        hints=(
            "With b signed bits the largest whole number is 2 ** (b - 1) - 1: 7 for 4 bits.",
            "The scale maps the value of the largest *size* to that number.",
            "scale = max(abs(v) for v in values) / top; round(v / scale); a block of zeros has "
            "scale 0.",
        ),
        reference=_quantise,
        cases=(
            case(
                "the largest size is 7, the largest whole number 7, so the scale is 1",
                [1.0, -7.0, 3.2, 0.0],
                4,
                expected=(1.0, [1, -7, 3, 0]),
            ),
            case("3 bits: 0.3 / 3 = 0.1", [0.3, -0.14, 0.06], 3, expected=(0.1, [3, -1, 1])),
            case("a block of zeros has scale 0", [0.0, 0.0], 8, expected=(0.0, [0, 0])),
            case(
                "8 bits: 2.54 / 127 = 0.02", [-2.54, 1.0, 0.013], 8, expected=(0.02, [-127, 50, 1])
            ),
            case(
                "the largest size is the negative one's", [-1.0, 0.4], 4, expected=(1 / 7, [-7, 3])
            ),
        ),
        fresh=_fresh_block,
        mistakes=(
            Mistake(
                "8 does not exist with 4 signed bits; the largest number is 7.",
                partial(_quantise, kind="full range"),
            ),
            Mistake(
                "One bit is for the sign: the largest number is 2 ** (bits - 1) - 1.",
                partial(_quantise, kind="all bits"),
            ),
            Mistake(
                "The largest *size* counts: a large negative value is large.",
                partial(_quantise, kind="no abs"),
            ),
            Mistake("Round to the nearest, not down.", partial(_quantise, kind="floor")),
            Mistake("int() cuts towards 0; round to the nearest.", partial(_quantise, kind="cut")),
            Mistake("The signs are lost.", partial(_quantise, kind="unsigned")),
            Mistake(
                "The scale is turned round: a value is scale times its whole number.",
                partial(_quantise, kind="inverse"),
            ),
            Mistake(
                "A block of zeros divides by 0; its scale is 0.",
                partial(_quantise, kind="no guard"),
            ),
            Mistake(
                "The scale comes from the largest size, not from the mean.",
                partial(_quantise, kind="mean"),
            ),
        ),
    ),
    Exercise(
        name="traces.parse",
        symbol="my_parse_trace",
        title="Thought and answer apart",
        what_for="The opening tag is often in the prompt; parsers that need it read nothing.",
        difficulty=3,
        minutes=12,
        needs="strings: lstrip, removeprefix, partition",
        hints=(
            "An opening tag counts only at the very beginning; take it off.",
            "Everything before the *first* closing tag is thought, with or without an opening one.",
            "Without a closing tag it is all thought if the thought was opened or prefilled, and "
            "all answer if not.",
        ),
        reference=_parse,
        cases=(
            case(
                "both tags are there",
                "<think> +3=10 yes</think> + - +",
                expected=("+3=10 yes", "+ - +"),
            ),
            case(
                "the opening tag was in the prompt",
                " +3=10 yes</think> + - +",
                True,
                expected=("+3=10 yes", "+ - +"),
            ),
            case(
                "a closing tag alone says that a thought was open, flag or not",
                "+3=10</think>-",
                expected=("+3=10", "-"),
            ),
            case(
                "cut off in the middle of the thought: no answer",
                "<think>+3=10 -5",
                expected=("+3=10 -5", ""),
            ),
            case(
                "prefilled and cut off: all of it is thought",
                "+3=10 -5",
                True,
                expected=("+3=10 -5", ""),
            ),
            case(
                "no tags and nothing prefilled: a plain answer", " + - +\n", expected=("", "+ - +")
            ),
            case(
                "an empty thought, as R1 sometimes writes",
                "<think>\n\n</think>\nfour",
                expected=("", "four"),
            ),
            case(
                "the first closing tag ends the thought; later tags are the answer's",
                "<think>a</think> write </think> last",
                expected=("a", "write </think> last"),
            ),
            case(
                "an opening tag in the answer is text",
                "a</think>use <think> so",
                expected=("a", "use <think> so"),
            ),
            case("blanks before the opening tag", "\n <think>b</think>c", expected=("b", "c")),
            case("the same, cut off in the thought", "\n <think>b", expected=("b", "")),
            case(
                "the thought is closed and nothing follows: an empty answer",
                "+3=10</think>",
                expected=("+3=10", ""),
            ),
        ),
        fresh=_fresh_trace,
        mistakes=(
            Mistake(
                "The opening tag may be missing: templates put it into the prompt.",
                partial(_parse, kind="needs opening"),
            ),
            Mistake(
                "A closing tag without an opening one is a thought too.",
                partial(_parse, kind="needs flag"),
            ),
            Mistake(
                "Split at the first closing tag, not at the last.", partial(_parse, kind="last")
            ),
            Mistake(
                "A thought that never ends has no answer.", partial(_parse, kind="unclosed answers")
            ),
            Mistake(
                "A prefilled thought that is cut off is thought, not answer.",
                partial(_parse, kind="no prefill"),
            ),
            Mistake(
                "Without tags and without prefilling the text is an answer.",
                partial(_parse, kind="always inside"),
            ),
            Mistake(
                "An opening tag counts only at the beginning.", partial(_parse, kind="anywhere")
            ),
            Mistake(
                "The opening tag is no part of the thought.", partial(_parse, kind="keeps tag")
            ),
            Mistake(
                "Later closing tags belong to the answer: leave them.",
                partial(_parse, kind="all closings"),
            ),
            Mistake("Blanks around thought and answer must go.", partial(_parse, kind="blanks")),
            Mistake("Thought and answer are exchanged.", partial(_parse, kind="exchanged")),
        ),
    ),
    Exercise(
        name="traces.attempts",
        symbol="count_attempts",
        title="Attempts, rejections, repeats",
        what_for="These three counts are how the course sees reasoning grow.",
        difficulty=3,
        minutes=12,
        needs="strings and sets",
        hints=(
            "Go word by word: a step begins with + or -, a verdict (yes or no) ends an attempt.",
            "An attempt is told by its signs alone: word[0] of its steps.",
            "On a verdict: count it, count it as rejected if it is no, as a repeat if its signs "
            "were seen.",
        ),
        reference=_attempts,
        cases=(
            case("one attempt, accepted", "+3=10 -5=5 +2=7 yes", expected=(1, 0, 0)),
            case("rejected, then another one", "+3=10 -5=5 no -3=4 -5=-1 yes", expected=(2, 1, 0)),
            case(
                "the second has the signs of the first, though it adds differently",
                "+3=10 -5=5 no +3=10 -5=4 no",
                expected=(2, 2, 1),
            ),
            case("no verdict, no attempt", "+3=10 -5=5 no +3=10", expected=(1, 1, 0)),
            case(
                "a repeat of the first, not of the one before; three of a kind are two repeats",
                "+1=2 no -1=0 no +1=2 no +1=2 yes",
                expected=(4, 3, 2),
            ),
            case(
                "the same signs in words and in digits",
                "+three=ten no +3=10 no",
                expected=(2, 2, 1),
            ),
            case("nothing", "", expected=(0, 0, 0)),
        ),
        fresh=_fresh_attempts,
        mistakes=(
            Mistake(
                "An attempt without its verdict is not counted.",
                partial(_attempts, kind="unfinished"),
            ),
            Mistake(
                "Every attempt counts, the rejected ones too.", partial(_attempts, kind="accepted")
            ),
            Mistake(
                "Repeats are attempts too: count all of them.", partial(_attempts, kind="different")
            ),
            Mistake(
                "Those are steps; an attempt has several of them and a verdict.",
                partial(_attempts, kind="steps"),
            ),
            Mistake("Rejected means `no`.", partial(_attempts, kind="yes")),
            Mistake(
                "An attempt is told by its signs; totals and notation do not matter.",
                partial(_attempts, kind="whole step"),
            ),
            Mistake(
                "An attempt is told by its signs; the notation of its digits does not matter.",
                partial(_attempts, kind="digits too"),
            ),
            Mistake(
                "A repeat may be of any earlier attempt, not only of the last.",
                partial(_attempts, kind="last only"),
            ),
            Mistake("The first of its kind is no repeat.", partial(_attempts, kind="pairs")),
        ),
    ),
)
