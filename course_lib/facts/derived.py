"""Facts that are computed from other facts, so that a reader can check the arithmetic.

The one module of this room that uses another: `accounting` counts parameters from a plain
dictionary and imports nothing of ours, and a second copy of its formulas would be worse.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from course_lib.facts.model import Fact, Source, Value
from course_lib.model import accounting

OLLAMA_TAGS = {
    "1_5b": "distill_qwen_1_5b",
    "7b": "distill_qwen_7b",
    "8b": "distill_0528_qwen3_8b",
    "8b_llama": "distill_llama_8b",
    "14b": "distill_qwen_14b",
    "32b": "distill_qwen_32b",
    "70b": "distill_llama_70b",
    "671b": "v3",
}
"""Which model each of Ollama's tags is, both as they are called in keys."""

_JANUARY = ("distill_qwen_", "distill_llama_")
DISTILLS = tuple(name for name in OLLAMA_TAGS.values() if name.startswith(_JANUARY))
"""The six distills of January 2025, smallest first, as they are called in keys."""

CONTEXTS = {"4k": 4096, "8k": 8192, "16k": 16384, "32k": 32768, "128k": 131072}
"""Contexts in tokens of the table of file plus cache."""

CARDS = {"7b": 8, "14b": 12, "32b": 24}
"""A card's GiB for which the longest context is worked out, by Ollama's tag (two: lesson 6)."""

OVERHEAD_GIB = 1
"""What a runtime needs beside file and cache: an estimate."""

SOURCE = Source("computed", "Computed by this course from other entries of the ledger", "", "")
GIB = 2**30

Row = tuple[str, Value, str, str]


class Inputs:
    """Looks values up and remembers which: the trail from a derived fact to what it rests on."""

    def __init__(self, facts: Mapping[str, Fact]) -> None:
        self.facts = facts
        self.used: dict[str, None] = {}

    def __call__(self, key: str) -> Any:
        self.used[key] = None
        return self.facts[key].value

    def config(self, prefix: str) -> dict[str, Any]:
        """Every entry under `prefix`.config, as the dictionary of a config.json."""
        start = f"{prefix}.config."
        return {key[len(start) :]: self(key) for key in self.facts if key.startswith(start)}


def compute(facts: Mapping[str, Fact]) -> list[Fact]:
    """Every derived fact, from the facts that were read. `where` names the keys that were used."""
    known = dict(facts)
    for rule in _RULES:
        get = Inputs(known)
        for key, value, unit, about in rule(get):
            used = [known[name] for name in get.used]
            # The latest date of all, and the day since which none was looked at again.
            dates = max(fact.date for fact in used), min(fact.known_on for fact in used)
            more = f" and {len(used) - 6} more" if len(used) > 6 else ""
            where = f"from {', '.join([*get.used][:6])}{more}"
            known[key] = Fact(
                key, "derived", value, unit, about, *dates, SOURCE, where, read="derived"
            )
    return [fact for key, fact in known.items() if key not in facts]


def _prices(get: Inputs) -> Iterator[Row]:
    for side in ("input", "output"):
        ratio = get(f"api.o1.{side}") / get(f"api.r1_launch.{side}")
        yield f"api.price_ratio.{side}", ratio, "times", f"o1's price over R1's at launch: {side}"


def _scores(get: Inputs) -> Iterator[Row]:
    pairs = [
        (get(f"r1.{key[8:]}"), get(key))
        for key, fact in get.facts.items()
        if key.startswith("o1_1217.") and fact.where == "Table 4"
    ]
    ahead = sum(r1 > o1 for r1, o1 in pairs)
    unit = "metrics"
    yield "comparison.metrics", len(pairs), unit, "Metrics with a value of both R1 and o1-1217"
    yield "comparison.r1_ahead_of_o1", ahead, unit, "Metrics on which R1 is ahead of o1-1217"
    yield "comparison.r1_behind_o1", len(pairs) - ahead, unit, "Metrics on which it is behind"


def _aime(get: Inputs) -> Iterator[Row]:
    per_problem = 100 / get("problems.aime_2024")
    gap = round(get("r1.aime_2024.pass_at_1") - get("o1_1217.aime_2024.pass_at_1"), 6)
    yield "comparison.points_per_aime_problem", per_problem, "points", "Worth of one AIME problem"
    yield "comparison.aime_gap_points", gap, "points", "R1's lead over o1-1217 on AIME 2024"
    yield "comparison.aime_gap_problems", gap / per_problem, "problems", "The same in problems"


def _usamo(get: Inputs) -> Iterator[Row]:
    index = round(get("r1.amc12_2024.points") + 10 * get("r1.aime_2025.solved"), 6)
    yield "r1.usamo_2025.index_computed", index, "points", "R1's AMC plus ten times its AIME"


def _costs(get: Inputs) -> Iterator[Row]:
    rent = get("cost.usd_per_gpu_hour")
    total = get("cost.r1_sft_data.gpu_hours")
    for part in ("r1_zero", "r1_stages"):
        hours = get("cost.r1_gpus") * get(f"cost.{part}.wall_hours")
        total += hours
        yield f"cost.{part}.gpu_hours_exact", hours, "H800 hours", f"GPUs times hours: {part}"
    yield "cost.r1_total.gpu_hours_exact", total, "H800 hours", "R1's GPU hours, not rounded"
    yield "cost.r1_total.usd_exact", total * rent, "USD", "R1's cost, not rounded"


def _cost_share(get: Inputs) -> Iterator[Row]:
    share = 100 * get("cost.r1_total.usd") / get("cost.v3_total.usd")
    yield "cost.r1_share_of_v3", share, "%", "R1's cost as a share of V3's final run"


def _sft(get: Inputs) -> Iterator[Row]:
    domains = ("math", "code", "stem", "logic")
    samples = {d: get(f"sft.{d}.samples") for d in (*domains, "general")}
    tokens = sum(n * get(f"sft.{d}.tokens") for d, n in samples.items())
    reasoning = sum(samples[d] for d in domains)
    everything = sum(samples.values())
    yield "sft.reasoning_samples", reasoning, "samples", "Reasoning samples of R1's second SFT"
    yield "sft.samples_sum", everything, "samples", "All domains' samples together"
    yield "sft.tokens_mean", tokens / everything, "tokens per sample", "Mean length of a sample"
    yield "sft.tokens_total", tokens, "tokens", "Tokens of R1's second SFT"


def _rl_steps(get: Inputs) -> Iterator[Row]:
    steps, questions = get("r1_zero.rl.steps"), get("r1_zero.rl.questions_per_step")
    updates = get("r1_zero.rl.minibatches_per_rollout")
    implied = steps * questions / get("r1_zero.rl.epochs")
    listed = sum(get(f"rl_prompts.{d}.prompts") for d in ("math", "code", "stem", "logic"))
    yield "r1_zero.rl.rollouts", steps // updates, "rollouts", "Rollouts of R1-Zero's training"
    yield "r1_zero.rl.updates_per_rollout", updates, "updates", "Policy updates on one rollout"
    yield "odd.implied_questions", implied, "questions", "Questions that R1-Zero's steps imply"
    yield "odd.listed_questions", listed, "questions", "Reasoning questions the paper's table lists"


def _clip(get: Inputs) -> Iterator[Row]:
    epsilon = get("r1_stage_1.rl.clip_epsilon")
    yield "r1_stage_1.rl.clip_lowest", 1 - epsilon, "", "Lower clip bound: below any ratio"
    yield "r1_stage_1.rl.clip_highest", 1 + epsilon, "", "Upper clip bound of the ratio"


def _v3(get: Inputs) -> Iterator[Row]:
    config = get.config("v3") | {"model_type": "deepseek_v3"}
    count = accounting.count_parameters(config)
    unit, name = "parameters", "v3.parameters"
    yield f"{name}.total", count.total, unit, "V3 and R1: all parameters"
    yield f"{name}.active", count.active, unit, "Active per token, embedding and head counted"
    plain = count.active_without_embedding
    yield f"{name}.active_without_embedding", plain, unit, "Active, the input embedding left out"
    yield f"{name}.active_share", 100 * count.active / count.total, "%", "Active share of all"
    yield f"{name}.routed", count.parts["routed experts"], unit, "All routed experts"
    share = 100 * count.parts["routed experts"] / count.total
    yield f"{name}.routed_share", share, "%", "Routed experts' share of all"
    yield f"{name}.expert", accounting.expert_parameters(config), unit, "One routed expert"
    attention = count.parts["attention"] // config["num_hidden_layers"]
    yield f"{name}.attention_per_layer", attention, unit, "Attention (MLA) of one layer"
    share = 100 * count.parts["attention"] / count.active
    yield f"{name}.active_attention_share", share, "%", "Attention's share of the active parameters"
    for part, size in count.active_parts.items():
        key = part.replace(" ", "_")
        yield f"{name}.active_{key}", size, unit, f"Active parameters: {part}"


def _mtp(get: Inputs) -> Iterator[Row]:
    """The module that predicts a second token: one MoE layer and a projection of two states."""
    config = get.config("v3")
    width, experts = config["hidden_size"], config["n_routed_experts"]
    every = experts + config["n_shared_experts"]
    moe = every * get("v3.parameters.expert") + experts * width + experts
    norms = (2 + 3) * width  # the layer's own two, and one for each input and for the output
    unique = get("v3.parameters.attention_per_layer") + moe + 2 * width * width + norms
    copies = 2 * config["vocab_size"] * width
    total = get("v3.parameters.total") + unique + copies
    yield "v3.parameters.mtp", unique, "parameters", "The module that predicts a second token"
    yield "v3.parameters.with_mtp", total, "parameters", "All, that module and its copies too"


def _v3_memory(get: Inputs) -> Iterator[Row]:
    config = get.config("v3")
    rotary, layers = config["qk_rope_head_dim"], config["num_hidden_layers"]
    latent = (config["kv_lora_rank"] + rotary) * layers * 2
    head = config["qk_nope_head_dim"] + rotary + config["v_head_dim"]
    plain = config["num_attention_heads"] * head * layers * 2
    yield "v3.kv_bytes_per_token", latent, "bytes", "V3's cache per token, 16 bits"
    yield "v3.kv_bytes_per_token_plain", plain, "bytes", "The same with keys and values per head"
    yield "v3.kv_saving", plain / latent, "times", "What the latent saves"
    total = get("v3.parameters.total")
    yield "full_model.fp8_gb", total / 1e9, "GB", "R1's weights, one byte each"
    yield "full_model.bf16_gb", 2 * total / 1e9, "GB", "R1's weights, two bytes each"
    card = get("gpu.a100.memory")
    for cards in (8, 16):
        yield f"full_model.a100_{cards}_gb", cards * card, "GB", f"Memory of {cards} A100 80GB"


def _distills(get: Inputs) -> Iterator[Row]:
    for name in DISTILLS:
        config = get.config(name)
        total = accounting.count_parameters(config).total
        yield f"{name}.parameters", total, "parameters", f"{name}: parameters"
        yield f"{name}.bf16_gb", 2 * total / 1e9, "GB", f"{name}: weights in 16 bits"
        cache = _kv_bytes(config)
        yield f"{name}.kv_bytes_per_token", cache, "bytes", f"{name}: cache per token, 16 bits"


def _kv_bytes(config: Mapping[str, int]) -> int:
    """Bytes of one token's keys and values in 16 bits."""
    return 4 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"]


def _other_sizes(get: Inputs) -> Iterator[Row]:
    tied = get.config("distill_qwen_1_5b") | {"tie_word_embeddings": True}
    total = accounting.count_parameters(tied).total
    yield "qwen2_5_math_1_5b.parameters", total, "parameters", "The 1.5B distill's base, tied"
    cache = _kv_bytes(get.config("distill_0528_qwen3_8b"))
    key = "distill_0528_qwen3_8b"
    yield f"{key}.kv_bytes_per_token", cache, "bytes", "R1-0528-Qwen3-8B: cache per token"
    total = get(f"{key}.config.parameters")
    yield f"{key}.parameters", total, "parameters", "R1-0528-Qwen3-8B: parameters"
    shards = get("distill_qwen_7b.shard_1_gb") + get("distill_qwen_7b.shard_2_gb")
    yield "distill_qwen_7b.shards_gb", round(shards, 6), "GB", "Both files of the 7B distill"


def _ollama(get: Inputs) -> Iterator[Row]:
    for tag, model in OLLAMA_TAGS.items():
        total = get("v3.parameters.total" if model == "v3" else f"{model}.parameters")
        size, cache = get(f"ollama.{tag}.size_gb") * 1e9, get(f"{model}.kv_bytes_per_token")
        bits = 8 * size / total
        yield f"ollama.{tag}.bits_per_weight", bits, "bits", f"Ollama's {tag}: bits per weight"
        yield f"memory.{tag}.file_gib", size / GIB, "GiB", f"Ollama's {tag}: file"
        for name, tokens in CONTEXTS.items():
            about = f"Ollama's {tag}: file and cache at {name} of context"
            yield f"memory.{tag}.context_{name}", (size + tokens * cache) / GIB, "GiB", about
    bits = 8e9 * get("ollama.671b_q8_0.size_gb") / get("v3.parameters.total")
    yield "ollama.671b_q8_0.bits_per_weight", bits, "bits", "Ollama's 671b-q8_0: bits per weight"


def _longest_contexts(get: Inputs) -> Iterator[Row]:
    for tag, memory in CARDS.items():
        free = (memory - OVERHEAD_GIB - get(f"memory.{tag}.file_gib")) * GIB
        tokens = int(free / get(f"{OLLAMA_TAGS[tag]}.kv_bytes_per_token"))
        about = f"Ollama's {tag}: longest context in {memory} GiB, 1 GiB set aside"
        yield f"memory.{tag}.tokens_in_{memory}_gib", tokens, "tokens", about


def _safety(get: Inputs) -> Iterator[Row]:
    refused = get("safety.political_prompts") * get("safety.political_refused") // 100
    yield "safety.political_refused_count", refused, "prompts", "Political prompts refused"


_RULES: tuple[Callable[[Inputs], Iterator[Row]], ...] = (
    _prices,
    _scores,
    _aime,
    _usamo,
    _costs,
    _cost_share,
    _sft,
    _rl_steps,
    _clip,
    _v3,
    _mtp,
    _v3_memory,
    _distills,
    _other_sizes,
    _ollama,
    _longest_contexts,
    _safety,
)
