"""Parameter counts to the last one, against the published figures and against transformers."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from course_lib.model import accounting
from course_lib.moe.architectures import CONFIGS, DISTILLS

V3 = CONFIGS["R1"]
TOTALS = (
    1_777_088_000,
    7_615_616_512,
    8_030_261_248,
    14_770_033_664,
    32_763_876_352,
    70_553_706_496,
)
QWEN, LLAMA = CONFIGS["R1-Distill-Qwen-1.5B"], CONFIGS["R1-Distill-Llama-8B"]
TIED = QWEN | {"tie_word_embeddings": True}


def test_deepseek_v3_to_the_last_parameter():
    count = accounting.count_parameters(V3)
    assert count.total == 671_026_419_200
    assert count.active == 37_552_297_472
    assert count.active_without_embedding == 36_625_618_432


def test_the_parts_of_deepseek_v3():
    count = accounting.count_parameters(V3)
    assert sum(count.parts.values()) == count.total
    assert count.parts["attention"] == 61 * 187_107_328
    assert count.parts["dense ffn"] == 3 * 396_361_728
    assert count.parts["router"] + count.parts["router bias"] == 58 * 1_835_264
    assert count.parts["routed experts"] == 58 * 256 * 44_040_192
    assert count.active_parts["routed experts"] == 58 * 8 * 44_040_192
    assert count.parts.keys() == count.active_parts.keys()


@pytest.mark.parametrize(("name", "total"), list(zip(DISTILLS, TOTALS, strict=True)))
def test_the_six_distills_to_the_last_parameter(name, total):
    count = accounting.count_parameters(CONFIGS[name])
    assert count.total == count.active == total


def test_a_tied_table_counts_once_and_is_still_multiplied_by():
    count = accounting.count_parameters(TIED)
    assert count.total == 1_543_714_304
    assert count.active - count.active_without_embedding == 151936 * 1536
    assert accounting.flops_per_token(TIED) == accounting.flops_per_token(
        TIED | {"tie_word_embeddings": False}
    )


def on_meta(config):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))


VARIANTS = [
    V3 | {"num_hidden_layers": 4},
    V3 | {"num_hidden_layers": 2, "q_lora_rank": None, "first_k_dense_replace": 0},
    V3 | {"num_hidden_layers": 2, "attention_bias": True, "n_shared_experts": 2},
    V3 | {"num_hidden_layers": 2, "first_k_dense_replace": 9, "tie_word_embeddings": True},
    *(CONFIGS[name] | {"num_hidden_layers": 2} for name in DISTILLS),
    TIED | {"num_hidden_layers": 1},
    {k: v for k, v in QWEN.items() if k != "max_window_layers"}
    | {"model_type": "qwen3", "num_hidden_layers": 2, "head_dim": 96, "attention_bias": True},
    LLAMA | {"num_hidden_layers": 2, "head_dim": 96, "attention_bias": True, "mlp_bias": True},
    # A config that is silent about its heads, and biases that only Llama has.
    {k: v for k, v in QWEN.items() if k != "max_window_layers"}
    | {"model_type": "qwen3", "num_hidden_layers": 2, "num_attention_heads": 16, "mlp_bias": True},
    QWEN | {"num_hidden_layers": 2, "mlp_bias": True},
]


@pytest.mark.parametrize("config", VARIANTS)
def test_agrees_with_the_models_transformers_builds(config):
    model, count = on_meta(config), accounting.count_parameters(config)
    bias = sum(b.numel() for name, b in model.named_buffers() if "correction_bias" in name)
    assert count.total == sum(p.numel() for p in model.parameters()) + bias
    assert count.parts.get("router bias", 0) == bias


def _read_fields(config):
    """The fields of `config` that the count asks for by name."""
    optional = {"tie_word_embeddings", "max_position_embeddings", "n_group", "topk_group"}
    if config["model_type"] == "deepseek_v3":
        optional.add("num_key_value_heads")  # latent attention has one latent, not key heads
    return set(config) - optional


@pytest.mark.parametrize("config", [V3, QWEN, LLAMA], ids=["v3", "qwen2", "llama"])
def test_every_missing_field_is_named(config):
    for field in _read_fields(config):
        with pytest.raises(ValueError, match=f"config has no field '{field}'"):
            accounting.count_parameters({k: v for k, v in config.items() if k != field})


@pytest.mark.parametrize("value", [0, -1, 2.0, "61", None, True, [1]])
def test_a_size_that_is_no_size_is_refused(value):
    with pytest.raises(ValueError, match=r"'num_hidden_layers' is .* whole number of at least 1"):
        accounting.count_parameters(V3 | {"num_hidden_layers": value})


def test_other_bad_configurations_are_refused():
    with pytest.raises(ValueError, match="model_type 'gpt2'; allowed are 'deepseek_v3'"):
        accounting.count_parameters({"model_type": "gpt2"})
    with pytest.raises(ValueError, match="config is a str"):
        accounting.count_parameters("config.json")
    with pytest.raises(ValueError, match="'num_experts_per_tok' is 300; allowed are 1 to"):
        accounting.count_parameters(V3 | {"num_experts_per_tok": 300})


def test_flops_are_two_a_weight_and_attention_grows_with_the_context():
    assert accounting.flops_per_token(V3) == 2 * 36_625_618_432
    grown = accounting.flops_per_token(V3, 1000) - accounting.flops_per_token(V3)
    assert grown == 2 * 1000 * 61 * 128 * (192 + 128)
    grown = accounting.flops_per_token(LLAMA, 10) - accounting.flops_per_token(LLAMA)
    assert grown == 2 * 10 * 32 * 32 * 256
    with pytest.raises(ValueError, match="context is -1"):
        accounting.flops_per_token(V3, -1)


def test_all_of_it_must_be_resident_and_one_token_reads_what_is_active():
    assert accounting.resident_bytes(V3) == 2 * 671_026_419_200
    assert accounting.resident_bytes(V3, 0.5) == 671_026_419_200 // 2
    assert accounting.bytes_read(V3, 1, 1) == 36_625_618_432 + 7168
    assert accounting.bytes_read(LLAMA, 7) == 2 * (8_030_261_248 - 128256 * 4096 + 7 * 4096)
    assert accounting.bytes_read(TIED, 7) == 2 * 1_543_714_304
    with pytest.raises(ValueError, match="bytes_per_parameter is 0"):
        accounting.resident_bytes(V3, 0)
    with pytest.raises(ValueError, match="tokens is 0"):
        accounting.bytes_read(V3, 0)


def test_a_large_batch_reads_nearly_everything():
    read = accounting.bytes_read(V3, 4096, 1)
    everything = accounting.resident_bytes(V3, 1)
    assert 0.99 * everything < read <= everything


@given(st.integers(1, 300), st.data())
@settings(max_examples=100)
def test_experts_touched_lies_between_one_token_and_all(n, data):
    k, tokens = data.draw(st.integers(1, n)), data.draw(st.integers(1, 1000))
    touched = accounting.expected_experts_touched(n, k, tokens)
    assert k - 1e-9 <= touched <= min(n, k * tokens) + 1e-9
    assert touched <= accounting.expected_experts_touched(n, k, tokens + 1)


def test_experts_touched_by_hand():
    assert accounting.expected_experts_touched(4, 1, 2) == pytest.approx(1.75)
    assert accounting.expected_experts_touched(4, 2, 0) == 0
    with pytest.raises(ValueError, match="top_k is 5; allowed are 1 to n, 4"):
        accounting.expected_experts_touched(4, 5, 1)


def test_numpys_whole_numbers_are_whole_numbers_and_do_not_overflow():
    tokens = np.int32(131_072)  # times R1's 61 layers and 128 heads more than 32 bits
    assert accounting.flops_per_token(V3, tokens) == accounting.flops_per_token(V3, 131_072)
    assert accounting.bytes_read(V3, tokens) == accounting.bytes_read(V3, 131_072)
    touched = accounting.expected_experts_touched(np.int64(4), np.int64(1), np.int64(2))
    assert touched == pytest.approx(1.75)


def test_the_accounting_needs_no_torch():
    code = "import sys, course_lib.model.accounting; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
