"""Memory arithmetic against published sizes, and figures worked out by hand."""

import numpy as np
import pytest

from course_lib.local import memory, weights
from course_lib.model.accounting import count_parameters
from course_lib.moe.architectures import CONFIGS, DISTILLS, OLLAMA_TAGS

KV_PER_TOKEN = {
    "R1-Distill-Qwen-1.5B": 28_672,
    "R1-Distill-Qwen-7B": 57_344,
    "R1-Distill-Llama-8B": 131_072,
    "R1-0528-Qwen3-8B": 147_456,
    "R1-Distill-Qwen-14B": 196_608,
    "R1-Distill-Qwen-32B": 262_144,
    "R1-Distill-Llama-70B": 327_680,
    "R1": 70_272,
}
BF16 = {
    "R1-Distill-Qwen-1.5B": 2 * 1_777_088_000,
    "R1-Distill-Qwen-7B": 2 * 7_615_616_512,
    "R1-Distill-Llama-8B": 2 * 8_030_261_248,
    "R1-0528-Qwen3-8B": 2 * 8_190_735_360,
    "R1-Distill-Qwen-14B": 2 * 14_770_033_664,
    "R1-Distill-Qwen-32B": 2 * 32_763_876_352,
    "R1-Distill-Llama-70B": 2 * 70_553_706_496,
    "R1": 2 * 671_026_419_200,
}
OLLAMA_GB = {
    "deepseek-r1:1.5b": 1.1,
    "deepseek-r1:7b": 4.7,
    "deepseek-r1:8b": 5.2,
    "deepseek-r1:8b-llama-distill-q4_K_M": 4.9,
    "deepseek-r1:14b": 9.0,
    "deepseek-r1:32b": 20,
    "deepseek-r1:70b": 43,
    "deepseek-r1:671b": 404,
}
SEVEN = CONFIGS["R1-Distill-Qwen-7B"]


def bits_per_weight(config, quantisation):
    """Bits a parameter takes on average, scales of the blocks included."""
    return 8 * weights.weights_bytes(config, quantisation) / count_parameters(config).total


@pytest.mark.parametrize("name", CONFIGS)
def test_cache_and_weights_are_exact(name):
    assert memory.kv_cache_bytes(CONFIGS[name], 1) == KV_PER_TOKEN[name]
    assert memory.kv_cache_bytes(CONFIGS[name], 1000) == 1000 * KV_PER_TOKEN[name]
    assert memory.weights_bytes(CONFIGS[name], "bf16") == BF16[name]
    assert memory.weights_bytes(CONFIGS[name], "fp8") == BF16[name] // 2


BIASED = {
    "llama": CONFIGS["R1-Distill-Llama-8B"] | {"attention_bias": True, "mlp_bias": True},
    "qwen2": SEVEN | {"attention_bias": True},
    "qwen3": CONFIGS["R1-0528-Qwen3-8B"] | {"attention_bias": True},
    "v3": CONFIGS["R1"] | {"attention_bias": True},
    "v3 without a latent of queries": CONFIGS["R1"] | {"attention_bias": True, "q_lora_rank": None},
}


@pytest.mark.parametrize("name", [*CONFIGS, *BIASED])
def test_every_parameter_is_in_a_tensor(name):
    config = {**CONFIGS, **BIASED}[name]
    tensors = weights.weight_tensors(config)
    assert sum(one.parameters for one in tensors) == count_parameters(config).total


def test_the_six_distills():
    assert len(DISTILLS) == 6 and "R1" not in DISTILLS


def test_the_latent_cache_is_71_times_smaller():
    plain = memory.kv_cache_bytes(CONFIGS["R1"], 1, compressed=False)
    assert plain == 4_997_120
    assert plain // memory.kv_cache_bytes(CONFIGS["R1"], 1) == 71


@pytest.mark.parametrize("tag", OLLAMA_GB)
def test_ollama_tags_within_two_percent(tag):
    size = memory.weights_bytes(CONFIGS[OLLAMA_TAGS[tag]], "q4_K_M") / memory.GB
    # Ollama made the file of Qwen3 itself; others' Q4_K_M of it have 5.03 GB
    near = 0.04 if tag == "deepseek-r1:8b" else 0.02
    assert size == pytest.approx(OLLAMA_GB[tag], rel=near)
    assert set(OLLAMA_GB) == set(OLLAMA_TAGS)


def test_ollamas_big_q8_0():
    assert memory.weights_bytes(CONFIGS["R1"], "q8_0") / memory.GB == pytest.approx(713, rel=0.001)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("tied", [False, True])
def test_the_tensors_are_all_the_parameters(name, tied):
    config = CONFIGS[name] | {"tie_word_embeddings": tied}
    listed = sum(weight.parameters for weight in weights.weight_tensors(config))
    assert listed == count_parameters(config).total


@pytest.mark.parametrize(
    ("quantisation", "low", "high"),
    [("f32", 32, 32), ("bf16", 16, 16), ("q8_0", 8.5, 8.51), ("q4_0", 4.5, 4.7)],
)
def test_bits_per_weight(quantisation, low, high):
    assert low <= bits_per_weight(SEVEN, quantisation) <= high


def kinds_of(model, name):
    found = [w for w in weights.weight_tensors(CONFIGS[model]) if w.name == name]
    return [weights.format_of(weight, CONFIGS[model], "q4_k_m").name for weight in found]


def test_which_layers_q4_k_m_gives_six_bits():
    """The first and last eighth of the layers, and every third between."""
    favoured = {0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27}
    expected = ["Q6_K" if layer in favoured else "Q4_K" for layer in range(28)]
    assert kinds_of("R1-Distill-Qwen-7B", "ffn_down") == expected
    assert kinds_of("R1-Distill-Qwen-7B", "attn_v") == expected
    assert set(kinds_of("R1-Distill-Qwen-7B", "attn_q")) == {"Q4_K"}
    seventy = kinds_of("R1-Distill-Llama-70B", "attn_v")  # as in llama.cpp's log of such a file:
    assert (seventy.count("Q5_K"), seventy.count("Q6_K")) == (40, 40)  # 40 of q5_K
    assert kinds_of("R1-Distill-Qwen-7B", "output") == ["Q6_K"]
    assert kinds_of("R1-Distill-Qwen-7B", "token_embd") == ["Q4_K"]


def test_rows_that_are_no_whole_blocks_fall_back():
    """Hidden size 48 has no blocks of 32, so its matrices stay in F16."""
    config = SEVEN | {
        "hidden_size": 48,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "vocab_size": 100,
    }
    sizes = {}
    for weight in weights.weight_tensors(config):
        sizes[weight.name] = weights.stored_bytes(weight, config, "q8_0")
    assert sizes["attn_q"] == 2 * 48 * 48
    assert sizes["ffn_down"] == 48 * 64 // 32 * 34
    assert sizes["attn_norm"] == 4 * 48


def test_estimate_adds_up():
    got = memory.estimate(SEVEN, "Q4_K_M", 4096)
    assert got.weights == memory.weights_bytes(SEVEN, "q4_k_m")
    assert got.cache == 4096 * 57_344
    assert got.overhead == 512 * (152_064 + 3584) * 4 + memory.CUDA_CONTEXT
    assert got.total == got.weights + got.cache + got.overhead


def test_gb_and_gib_are_told_apart():
    text = memory.estimate(SEVEN, "bf16", 0).text()
    assert "15.23 GB" in text and "14.19 GiB" in text


def test_numpys_whole_numbers_are_taken():
    tokens = np.int32(131_072)
    assert memory.kv_cache_bytes(SEVEN, tokens) == memory.kv_cache_bytes(SEVEN, 131_072)


def test_the_bandwidth_ceiling():
    """7B in Q4_K_M at 100 GB/s: the weights less the embedding table, and no cache."""
    table = 152_064 * 3584
    per_parameter = bits_per_weight(SEVEN, "q4_k_m") / 8
    read = memory.weights_bytes(SEVEN, "q4_k_m") - (table - 3584) * per_parameter
    got = memory.ceiling_tokens_per_second(SEVEN, "q4_k_m", 0, 100e9)
    assert got == pytest.approx(100e9 / read, rel=1e-6)
    assert memory.ceiling_tokens_per_second(SEVEN, "q4_k_m", 9999, 100e9) < got
    big = memory.ceiling_tokens_per_second(CONFIGS["R1"], "fp8", 0, 100e9)
    assert big == pytest.approx(100 / 36.6, rel=0.01)  # 37B active, not 671B


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: memory.weights_bytes(SEVEN, "q5"), "quantisation is 'q5'; allowed are"),
        (lambda: memory.weights_bytes(SEVEN, 4), "quantisation is 4; allowed are"),
        (lambda: memory.kv_cache_bytes(SEVEN, -1), "tokens is -1"),
        (lambda: memory.kv_cache_bytes(SEVEN, 1.5), "tokens is 1.5"),
        (lambda: memory.kv_cache_bytes(SEVEN, True), "tokens is True"),
        (lambda: memory.kv_cache_bytes(SEVEN, 1, bytes_per_value=0), "bytes_per_value is 0"),
        (lambda: memory.kv_cache_bytes({"model_type": "gpt2"}, 1), "model_type 'gpt2'"),
        (lambda: memory.estimate({}, "bf16", 1), "model_type"),
        (lambda: memory.ceiling_tokens_per_second(SEVEN, "bf16", 0, 0), "bandwidth is 0"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- files as they are published ------------------------------------------------------------------

PUBLISHED = {  # GB, as the hub lists them; huggingface.co/REPOSITORY/tree/main
    "R1-Distill-Qwen-32B": {  # mradermacher/...-i1-GGUF, unsloth/...-GGUF, bartowski/...-GGUF
        **{"iq1_s": 7.27, "iq1_m": 7.93, "iq2_xxs": 9.03, "iq2_xs": 9.96, "iq2_s": 10.4},
        **{"iq2_m": 11.3, "iq3_xxs": 12.8, "iq3_m": 14.8, "iq4_xs": 17.7, "q2_k": 12.3},
        **{"q2_k_s": 11.5, "q3_k_s": 14.4, "q3_k_m": 15.9, "q4_k_s": 18.8, "q4_k_m": 19.9},
        **{"q5_k_m": 23.3, "q6_k": 26.9, "q8_0": 34.8},
    },
    "R1-Distill-Qwen-7B": {  # second-state/DeepSeek-R1-Distill-Qwen-7B-GGUF
        **{"q2_k": 3.02, "q3_k_s": 3.49, "q3_k_m": 3.81, "q3_k_l": 4.09, "q4_0": 4.43},
        "q4_k_m": 4.68,
    },
    "R1-Distill-Qwen-1.5B": {  # hdnh2006/DeepSeek-R1-Distill-Qwen-1.5B-GGUF
        **{"q2_k": 0.753, "q3_k_s": 0.861, "q3_k_m": 0.924, "q3_k_l": 0.980, "q4_0": 1.07},
        **{"q4_1": 1.16, "q4_k_s": 1.07, "q4_k_m": 1.12, "q5_0": 1.26, "q5_1": 1.36},
    },
}
_HEADER = 0.006  # GB of vocabulary and merges


@pytest.mark.parametrize(
    ("model", "kind"), [(model, kind) for model, kinds in PUBLISHED.items() for kind in kinds]
)
def test_every_type_of_file_is_as_large_as_published(model, kind):
    size = weights.weights_bytes(CONFIGS[model], kind) / memory.GB + _HEADER
    assert size == pytest.approx(PUBLISHED[model][kind], rel=0.005)


def test_a_mixture_that_is_wrong_in_one_rule_would_be_seen(monkeypatch):
    rules = weights.mixtures() | {"q4_k_m": {"base": "Q4_K"}}
    monkeypatch.setattr(weights, "mixtures", lambda: rules)
    size = weights.weights_bytes(CONFIGS["R1-Distill-Qwen-7B"], "q4_k_m") / memory.GB + _HEADER
    assert size != pytest.approx(4.68, rel=0.005)


@pytest.mark.parametrize("kind", weights.mixtures())
def test_the_rules_are_written_in_words_that_are_known(kind):
    words = {"all", "favoured", "middle", "shared", "first 2", "first 4", "first 1/8", "first 1/16"}
    names = {weight.name for name in CONFIGS for weight in weights.weight_tensors(CONFIGS[name])}
    for tensor, rules in weights.mixtures()[kind].items():
        if tensor != "base":
            assert tensor in names | {"head"} and {when for when, _ in rules} <= words
    bits = bits_per_weight(SEVEN, kind)
    assert 1.5 < bits < 9


def test_quantised_caches():
    assert memory.CACHE_TYPES["q8_0"] == 34 / 32 and memory.CACHE_TYPES["q4_0"] == 18 / 32
    half = memory.kv_cache_bytes(SEVEN, 1024, bytes_per_value=memory.CACHE_TYPES["q8_0"])
    assert half == 1024 * 57_344 * 34 // 64
