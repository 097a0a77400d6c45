"""Lesson 06: what fits into memory, what quantising does, and how to read a trace."""

import math

from course_lib.classroom.checks.cards import exercise, value
from course_lib.classroom.checks.draws import assume, configs, real, st
from course_lib.classroom.checks.exercise import Case, Draw, Function, case


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
    sizes = {"always two": 2, "no bytes": 1, "bits": 8 * bytes_per_value}
    size = sizes.get(kind, bytes_per_value)
    return factor * width * size * (1 if kind == "one token" else tokens)


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
) -> float:
    left = memory_gib * gib - file_gb * gb - (overhead_gib * gib if overhead else 0)
    tokens = left / bytes_per_token
    if whole == "not":
        return max(tokens, 0.0)
    ways: dict[str, Function] = {"floor": math.floor, "up": math.ceil, "near": round}
    rounded = ways[whole](tokens)
    return max(rounded, 0) if clamp else rounded


def _quantise(values: list[float], bits: int, *, kind: str = "right") -> tuple[float, list[int]]:
    half = 2 ** (bits - 1)
    if kind == "ggml":
        scale = max(values, key=abs) / -half or 1.0
        whole = [min(math.floor(one / scale + 0.5), half - 1) for one in values]
        return (scale if any(values) else 0.0), whole
    top = {"full range": half, "all bits": 2 * half - 1}.get(kind, half - 1)
    sizes = [abs(one) for one in values]
    largest = {"no abs": max(values), "mean": sum(sizes) / len(sizes)}.get(kind, max(sizes))
    scale = largest / top
    if scale == 0 and kind != "no guard":
        return 0.0, [0] * len(values)
    ways: dict[str, Function] = {"floor": math.floor, "cut": int}
    rounding = ways.get(kind, round)
    whole = [rounding(value / scale) for value in values]
    if kind == "unsigned":
        whole = [abs(one) for one in whole]
    return (1 / scale if kind == "inverse" else scale), whole


def _parse(text: str, prefilled: bool = False, *, kind: str = "right") -> tuple[str, str]:
    body = text.lstrip()
    if kind == "anywhere" and "<think>" in body:
        body = body[body.index("<think>") :]
    opened = body.startswith("<think>")
    body = body if kind == "keeps tag" else body.removeprefix("<think>")
    needed = {"needs opening": opened, "needs flag": opened or prefilled}
    if not needed.get(kind, True):
        return "", text.strip()
    if "</think>" not in body:
        known = {"unclosed answers": False, "always inside": True}
        inside = known.get(kind, opened or (prefilled and kind != "no prefill"))
        body = body if kind == "blanks" else body.strip()
        return (body, "") if inside else ("", body)
    cut = body.rindex("</think>") if kind == "last" else body.index("</think>")
    thinking, answer = body[:cut], body[cut + len("</think>") :]
    if kind == "all closings":
        answer = answer.replace("</think>", "")
    if kind == "exchanged":
        thinking, answer = answer, thinking
    return (thinking, answer) if kind == "blanks" else (thinking.strip(), answer.strip())


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
    count = {
        "unfinished": len(seen) + bool(signs),
        "accepted": len(seen) - rejected,
        "different": len(set(seen)),
        "steps": sum(word[0] in "+-" for word in thinking.split()),
    }.get(kind, len(seen))
    if kind == "pairs":
        repeats += 1 if repeats else 0
    return count, rejected, repeats


def _a_cache(draw: Draw) -> Case:
    config = configs(draw, num_hidden_layers=(1, 90), num_attention_heads=(1, 128))
    if draw(st.booleans()):
        config |= configs(draw, kv_lora_rank=(1, 600), qk_rope_head_dim=(1, 80))
    else:
        config |= configs(draw, num_key_value_heads=(1, 128), head_dim=(1, 256))
    tokens = draw(st.sampled_from([0, 1, 131_072]) | st.integers(0, 40_000))
    size = draw(st.sampled_from([(), (1,), (2,), (4,), (0.5,)]))
    why = "layers x (keys and values, or one latent and its rotary key) x bytes x tokens"
    return case(why, config, tokens, *size)


def _some_memory(draw: Draw) -> Case:
    memory, file, overhead = (draw(real(0, high, 8)) for high in (80, 40, 2))
    per_token = draw(st.integers(1, 400_000) | st.sampled_from([2**16, 2**30, 10**9]))
    left = (memory - overhead) * 2**30 - file * 1e9
    # exact fits are judged by hand: here rounding would decide for who counts in GB or GiB
    assume(abs(left / per_token % 1 - 0.5) < 0.4999)
    why = "memory and overhead are in GiB, the file in GB; no part of a token"
    return case(why, memory, file, overhead, per_token)


def _a_block(draw: Draw) -> Case:
    bits = draw(st.integers(2, 16))
    size = draw(st.sampled_from([1.0, 1.0, 1e-6, 1e5]))
    values = [n * size for n in draw(st.lists(real(-9, 9), min_size=1, max_size=8))]
    largest = max(map(abs, values)) / (2 ** (bits - 1) - 1) or 1.0
    assume(all(abs(abs(one / largest) % 1 - 0.5) > 1e-6 for one in values))
    return case("scale = largest size / (2 ** (bits - 1) - 1); each over it, rounded", values, bits)


_PIECES = (
    "<think>", "</think>", "</think>", " ", "\n", "a", "b c", ">", "<", "think", "+ -", "</think >",
    "</thinking>",
)  # fmt: skip


def _a_text(draw: Draw) -> Case:
    opening = draw(st.sampled_from(["", "<think>", " \n<think>", "<thinking>", "< think>"]))
    text = opening + "".join(draw(st.lists(st.sampled_from(_PIECES), max_size=8)))
    why = "everything before the first closing tag is thought, everything after it the answer"
    return case(why, text, *draw(st.sampled_from([(), (True,), (False,)])))


_SIGNED = st.sampled_from(
    ["3=10", "3=4", "3=-1", "10=13", "three=ten", "one=-ten", "one=two", "twenty-one=-one"]
)


def _some_attempts(draw: Draw) -> Case:
    step = st.builds("{}{}".format, st.sampled_from("+-"), _SIGNED)
    attempt = st.builds(
        "{} {}".format, st.lists(step, min_size=1, max_size=3).map(" ".join),
        st.sampled_from(["no", "no", "yes"]),
    )  # fmt: skip
    words = draw(st.lists(attempt, max_size=6)) + draw(st.lists(step, max_size=1))
    why = "an attempt ends with its verdict; repeats have the same signs as an earlier one"
    return case(why, " ".join(words))


def _choose_file(
    config: dict[str, int], files: dict[str, float], memory_gib: float, overhead_gib: float,
    tokens: int, *, kind: str = "",
) -> str | None:  # fmt: skip
    overhead = 0.0 if kind == "no overhead" else overhead_gib
    needed = {"no cache": 0, "more": tokens + 1}.get(kind, tokens)
    left = {name: (memory_gib - overhead) * 2**30 - gb * 1e9 for name, gb in files.items()}
    fits = [name for name, room in left.items() if room >= needed * _kv(config, 1)]
    if kind == "anyway" and not fits:
        fits = list(files)
    best = min if kind == "smallest" else max
    return best(fits, key=lambda name: files[name], default=None)


def _some_files(draw: Draw) -> Case:
    config, *_ = _a_cache(draw).args
    sizes = draw(st.lists(real(0.125, 12, 8), max_size=4, unique=True))
    files = {f"q{number}": size for number, size in enumerate(sizes)}
    memory, overhead = draw(real(1, 16, 4)), draw(real(0, 2, 8))
    room = (memory - overhead) * 2**30 - draw(st.sampled_from([0.0, *sizes])) * 1e9
    just = max(int(room // _kv(config, 1)), 1)
    tokens = draw(st.integers(1, 40_000) | st.sampled_from([just, just + 1]))
    why = "the largest file beside which so many tokens of cache still fit"
    return case(why, config, files, memory, overhead, tokens)


EXERCISES = (
    value("memory.by_hand"),
    exercise("memory.kv_cache_bytes", _kv, _a_cache),
    exercise("memory.longest_context", _longest, _some_memory),
    exercise("memory.quantise", _quantise, _a_block),
    exercise("traces.parse", _parse, _a_text),
    exercise("traces.attempts", _attempts, _some_attempts),
    exercise("memory.choose_file", _choose_file, _some_files),
)
