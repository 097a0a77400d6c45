"""Where a model goes: against what llama.cpp prints here, and what it printed elsewhere."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from course_lib.errors import CourseError
from course_lib.local import hardware, local_lab, memory, placement, weights
from course_lib.local.engines import download
from course_lib.local.export import export_gguf
from course_lib.local.gguf_header import read_gguf_header
from course_lib.model import models
from course_lib.moe.architectures import CONFIGS

PUBLISHED = tomllib.loads((Path(__file__).parent / "published_logs.toml").read_text())
MIB = 1 << 20
MACHINES = {machine.name: machine for machine in hardware.presets()}
CARD = MACHINES["RTX 4090, 24 GB"]


# --- what was printed elsewhere -------------------------------------------------------------------


def config_of(log):
    return log.get("config") or CONFIGS[log["model"]]


@pytest.mark.parametrize("log", PUBLISHED["log"], ids=lambda log: log["link"][19:])
def test_the_calculator_agrees_with_a_published_log(log):
    config, context = config_of(log), log.get("context", 0)
    per_value = memory.CACHE_TYPES[log.get("cache_type", "f16")]
    found = {
        "cache": memory.kv_cache_bytes(
            config, context, bytes_per_value=per_value, compressed=log.get("compressed", True)
        ),
        "compute": memory.compute_bytes(
            config, context, flash=log.get("flash", True), copies=log.get("copies", 1)
        ),
    }
    if kind := log.get("kind"):
        sizes = {
            w.name: weights.stored_bytes(w, config, kind) for w in weights.weight_tensors(config)
        }
        whole = memory.weights_bytes(config, kind)
        found |= {"weights": whole, "on_processor": sizes["token_embd"]}
        found["on_card"] = whole - sizes["token_embd"]
    compared = 0
    for name, size in found.items():
        for unit, scale in (("", MIB), ("_gib", memory.GIB)):
            if (said := log.get(name + unit)) is not None:
                assert size / scale == pytest.approx(said, rel=0.05), name
                compared += 1
    assert compared
    if "tensors" in log:
        kinds = [
            "F32" if w.rows == 1 else weights.format_of(w, config, kind).name
            for w in weights.weight_tensors(config)
        ]
        # an old converter left one vector, the frequencies of the rotation, in Llama's files
        extra = {"F32": 1} if config["model_type"] == "llama" else {}
        counts = {name: kinds.count(name) + extra.get(name, 0) for name in log["tensors"]}
        assert counts == log["tensors"]


def test_there_are_ten_logs_and_more():
    assert len({log["link"] for log in PUBLISHED["log"]}) >= 10


@pytest.mark.parametrize("one", PUBLISHED["speed"], ids=lambda one: one["link"][19:])
def test_published_speeds_lie_between_half_and_all_of_the_ceiling(one):
    config = CONFIGS[one["model"]]
    most = memory.ceiling_tokens_per_second(config, one["kind"], 256, one["bandwidth"] * 1e9)
    assert 0.5 < one["speed"] / most < 1.0
    assert 0.6 < one["speed"] / (placement.TYPICAL * most) < 1.5


# --- what is printed here -------------------------------------------------------------------------

_START = """
import os, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
kind = getattr(xllamacpp.ggml_type, "GGML_TYPE_" + sys.argv[4].upper())
params.cache_type_k = params.cache_type_v = kind
flash = xllamacpp.llama_flash_attn_type
if sys.argv[5] == "off":
    params.flash_attn_type = flash.LLAMA_FLASH_ATTN_TYPE_DISABLED
params.warmup, params.fit_params, params.verbosity = False, False, 5
server = xllamacpp.Server(params)
os._exit(0)
"""
_SETTINGS = [
    ("512", "1", "f16", "on"),
    ("8192", "1", "f16", "on"),
    ("4096", "1", "q8_0", "on"),
    ("4096", "1", "q4_0", "on"),
    ("4096", "1", "f16", "off"),
    ("2048", "4", "f16", "on"),
]


def printed(path, *settings):
    """MiB of model, cache and compute buffers as llama.cpp prints them."""
    command = [sys.executable, "-c", _START, str(path), *settings]
    log = subprocess.run(command, capture_output=True, text=True, timeout=120).stderr
    names = {"weights": "model buffer", "cache": "KV buffer", "compute": "compute buffer"}
    return {
        name: float(re.findall(rf"{words} size = *([\d.]+) MiB", log)[-1])
        for name, words in names.items()
    }


def config_in(header):
    """The configuration that a GGUF file's header describes."""
    kind = header.metadata["general.architecture"]
    said = {name.removeprefix(f"{kind}."): value for name, value in header.metadata.items()}
    return {
        "model_type": kind,
        "vocab_size": len(header.metadata["tokenizer.ggml.tokens"]),
        "hidden_size": said["embedding_length"],
        "num_hidden_layers": said["block_count"],
        "num_attention_heads": said["attention.head_count"],
        "num_key_value_heads": said["attention.head_count_kv"],
        "intermediate_size": said["feed_forward_length"],
    }


def compare(path, settings):
    header = read_gguf_header(path)
    config, context, slots = config_in(header), int(settings[0]), int(settings[1])
    said = printed(path, *settings)
    per_value = memory.CACHE_TYPES[settings[2]]
    ours = {
        "weights": sum(tensor.bytes for tensor in header.tensors),
        "cache": memory.kv_cache_bytes(config, context, bytes_per_value=per_value),
        "compute": memory.compute_bytes(
            config, context // slots, flash=settings[3] == "on", every_score=False
        ),
    }
    assert sum(ours.values()) / MIB == pytest.approx(sum(said.values()), rel=0.05)
    for name in ("weights", "cache"):
        assert ours[name] / MIB == pytest.approx(said[name], rel=0.01, abs=0.01), name
    assert ours["compute"] / MIB == pytest.approx(said["compute"], rel=0.05, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("settings", _SETTINGS, ids="-".join)
def test_llama_cpp_allocates_what_is_said_for_smollm2(settings):
    try:
        path = download.smollm2(yes=True)
    except CourseError as error:
        pytest.skip(str(error))
    compare(path, settings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
def test_llama_cpp_allocates_what_is_said_for_the_courses_distill(kind, tmp_path):
    export_gguf(models.shipped("mini-r1-distill"), tmp_path / "m.gguf", kind)
    header = read_gguf_header(tmp_path / "m.gguf")
    said = printed(tmp_path / "m.gguf", "256", "1", "f16", "on")
    held = sum(tensor.bytes for tensor in header.tensors) / MIB
    held += memory.kv_cache_bytes(config_in(header), 256) / MIB
    assert held == pytest.approx(said["weights"] + said["cache"], rel=0.05, abs=0.02)


# --- where it goes --------------------------------------------------------------------------------


def test_nothing_is_lost_in_dealing_it_out():
    for name, machine in MACHINES.items():
        made = placement.plan(CONFIGS["R1-Distill-Llama-70B"], "q4_k_m", 8192, machine)
        config = CONFIGS["R1-Distill-Llama-70B"]
        assert sum(one.weights for one in made.shares) == memory.weights_bytes(config, "q4_k_m")
        assert sum(one.cache for one in made.shares) == memory.kv_cache_bytes(config, 8192), name


def test_the_embedding_stays_with_the_processor_and_layers_go_to_the_card():
    made = placement.plan(CONFIGS["R1-Distill-Qwen-32B"], "q4_k_m", 16_384, CARD)
    processor, card = made.shares
    assert made.whole and made.layers == made.of == 65
    assert processor.weights / MIB == pytest.approx(417.66, abs=0.01)
    assert card.weights / MIB == pytest.approx(18508.35, rel=0.005)


@pytest.mark.parametrize(
    ("model", "machine", "low", "high"),
    [
        ("R1-Distill-Qwen-32B", "RTX 4090, 24 GB", 17_000, 18_500),  # not 19,363
        ("R1-Distill-Llama-70B", "two RTX 4090, 48 GB", 17_500, 20_500),  # not 25,244
        ("R1-Distill-Qwen-14B", "Mac with M1, 16 GB", 8_000, 12_000),  # Metal lends 10,922 MiB
        ("R1-Distill-Qwen-7B", "laptop, DDR4-3200, 8 GB", 4_000, 8_000),
        ("R1-Distill-Qwen-14B", "laptop, DDR4-3200, 8 GB", 0, 0),
    ],
)
def test_the_longest_context_is_what_the_memory_really_lends(model, machine, low, high):
    longest = placement.longest_context(CONFIGS[model], "q4_k_m", MACHINES[machine])
    assert low <= longest <= high
    if longest:
        assert placement.plan(CONFIGS[model], "q4_k_m", longest, MACHINES[machine]).whole
        more = placement.plan(CONFIGS[model], "q4_k_m", longest + 256, MACHINES[machine])
        assert not more.whole


def test_cards_of_different_size_are_dealt_different_shares():
    """The log of llama.cpp's pull request 6122: 12 and 28 of 40 layers on 12 and 24 GB.

    What was free is not in the log; a screen on the smaller card leaves about 10 GiB of it.
    """
    config = next(log["config"] for log in PUBLISHED["log"] if log["link"].endswith("6122"))
    cards = (10 * memory.GIB, round(24.2 * memory.GIB))
    uneven = hardware.Machine(
        "two", sum(cards), "graphics memory", cards, 500e9, 64 * memory.GIB, reserve=0
    )
    made = placement.plan(config, "q4_0", 4096, uneven, flash=False)
    first, second = made.shares[1:]
    assert first.cache / MIB == pytest.approx(1536, rel=0.1)
    assert second.cache / MIB == pytest.approx(3584, rel=0.1)
    assert first.fits and second.fits


def test_what_does_not_fit_on_the_card_stays_behind_and_is_slower():
    config = CONFIGS["R1-Distill-Qwen-14B"]
    small = placement.plan(config, "q4_k_m", 16_384, MACHINES["RTX 3060, 12 GB"])
    large = placement.plan(config, "q4_k_m", 16_384, MACHINES["RTX 4080, 16 GB"])
    assert small.fits and not small.whole and 0 < small.layers < small.of
    assert large.whole and large.speed() > 2 * small.speed()
    assert small.speed(1.0) == pytest.approx(small.speed() / placement.TYPICAL)


def test_slots_and_quantised_caches():
    config = CONFIGS["R1-Distill-Qwen-7B"]

    def cache(**changes):
        return sum(s.cache for s in placement.plan(config, "q4_k_m", 4096, CARD, **changes).shares)

    assert cache(slots=4) == 4 * cache()
    assert cache(cache_type="q8_0") / cache() == pytest.approx(34 / 64, rel=0.001)
    assert cache(cache_type="q4_0") / cache() == pytest.approx(18 / 64, rel=0.001)


def test_r1_with_plain_keys_and_values_needs_what_ollama_asked_for():
    """Ollama asked for 446.3 GiB at 8,192 tokens, four slots of 2,048, where latents need less."""
    server = MACHINES["CPU server, 12 channels DDR5-4800, 512 GB"]
    plain, latent = (
        placement.plan(CONFIGS["R1"], "q4_k_m", 2048, server, slots=4, compressed=way)
        for way in (False, True)
    )
    caches = [sum(one.cache for one in made.shares) for made in (plain, latent)]
    assert caches[0] // caches[1] == 71
    asked = sum(one.needed for one in plain.shares) / memory.GIB
    assert 410 < asked < 446.3 and caches[0] / memory.GIB == pytest.approx(38.1, abs=0.1)


def test_metal_lends_two_thirds_and_three_quarters():
    """As Metal prints it: llama-cpp-python issue 687, Ollama issue 434, llama.cpp issue 1870."""
    for size, lent in ((16, 10_922.67), (32, 21_845.34), (64, 49_152.0)):
        machine = hardware.mac("m", size * memory.GIB, 1e11)
        assert machine.cards[0] / MIB == pytest.approx(lent, rel=1e-4)


def test_minutes_are_the_sum_of_every_tokens_bytes():
    config = CONFIGS["R1-Distill-Qwen-7B"]
    machine = MACHINES["laptop, DDR5-5600, 16 GB"]
    made = placement.plan(config, "q4_k_m", 16_384, machine)
    table = 152_064 * 3584 // 256 * 144
    read = memory.weights_bytes(config, "q4_k_m") - table
    by_hand = sum((read + n * 57_344) / 90e9 for n in range(4000))
    assert made.seconds(4000, 1.0) == pytest.approx(by_hand, rel=0.001)
    empty = placement.plan(config, "q4_k_m", 0, machine)
    assert empty.speed(1.0) == pytest.approx(90e9 / read, rel=0.01)  # its first token


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"cache_type": "q9"}, "cache is 'q9'"), ({"slots": 0}, "in 0 slots")],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        placement.plan(CONFIGS["R1-Distill-Qwen-7B"], "q4_k_m", 4096, CARD, **changes)
    with pytest.raises(ValueError, match="context is -255; it must be a whole number of at least"):
        placement.plan(CONFIGS["R1-Distill-Qwen-7B"], "q4_k_m", -255, CARD)
    with pytest.raises(ValueError, match="quantisation is 'q5'; allowed are"):
        placement.plan(CONFIGS["R1-Distill-Qwen-7B"], "q5", 4096, CARD)
    with pytest.raises(ValueError, match="quantisation is 4; allowed are"):
        placement.plan(CONFIGS["R1-Distill-Qwen-7B"], 4, 4096, CARD)


CONFIG_FILES = sorted(models.ASSETS.glob("*/config.json"))


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.parent.name)
def test_a_config_file_is_placed_as_it_is(path):
    config = json.loads(path.read_text())
    made = placement.plan(config, "q8_0", 256, CARD)
    assert made.whole and sum(one.weights for one in made.shares) > 0
    assert placement.longest_context(config, "q8_0", CARD) == 256
    longer = config | {"max_position_embeddings": None}
    assert placement.longest_context(longer, "q8_0", CARD) == 1 << 17


def test_a_card_that_lends_nothing_is_given_nothing():
    for memory_of_it in (hardware.CARD_RESERVE, hardware.CARD_RESERVE // 2):
        card = hardware.with_cards("small", memory_of_it, 1e11)
        made = placement.plan(CONFIGS["R1-Distill-Qwen-1.5B"], "q4_k_m", 4096, card)
        assert made.fits and made.layers == 0 and made.speed() > 0
        assert placement.longest_context(CONFIGS["R1-Distill-Qwen-1.5B"], "q4_k_m", card) == 0


@pytest.mark.parametrize("speed", [0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["bandwidth", "host_bandwidth"])
def test_a_machine_without_a_bandwidth_is_none(name, speed):
    with pytest.raises(ValueError, match=f"^{name} is {speed}; it must be above 0 bytes"):
        hardware.Machine("m", 1, "memory", **{name: speed})


@pytest.mark.parametrize(
    ("name", "mib", "speed"),
    [
        ("NVIDIA GeForce RTX 4090", 24_564, 1008),
        ("NVIDIA RTX 4090", 24_564, 1008),
        ("NVIDIA GeForce RTX 5090", 32_607, 1792),
        ("NVIDIA GeForce RTX 5060 Ti", 16_311, 448),
        ("NVIDIA GeForce RTX 3060", 12_288, 360),
        ("NVIDIA A100-SXM4-80GB", 81_920, 2039),
        ("NVIDIA A100 80GB PCIe", 81_920, 2039),
        ("NVIDIA A100-SXM4-40GB", 40_960, None),
        ("NVIDIA RTX A1000", 8_188, None),
        ("NVIDIA H100 80GB HBM3", 81_559, None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16_376, None),
        ("NVIDIA GeForce RTX 5090 Laptop GPU", 24_463, None),
        ("NVIDIA GeForce RTX 4090 D", 24_564, None),
        ("NVIDIA GeForce RTX 3060 Ti", 8_192, None),
        ("NVIDIA GeForce RTX 3060", 8_192, None),
        ("NVIDIA GeForce RTX 4080 SUPER", 16_376, None),
        ("NVIDIA GeForce RTX 3080 with Max-Q Design", 10_240, None),
        ("NVIDIA GeForce RTX 3090 Ti", 24_564, None),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 9_728, None),
    ],
)
def test_a_card_is_known_by_its_whole_name_and_its_memory(name, mib, speed):
    card = hardware.Machine(name, mib * MIB, "graphics memory")
    assert hardware._published(card) == ({} if speed is None else {"bandwidth": speed * 1e9})


def test_which_model_for_which_machine():
    rows = {row["machine"]: row for row in local_lab.which_model(hardware.presets())}
    assert rows["laptop, DDR4-3200, 8 GB"]["tag"] == "1.5b"
    assert rows["RTX 4090, 24 GB"]["tag"] == "32b"
    assert rows["two RTX 4090, 48 GB"]["tag"] == "70b"
    for row in rows.values():
        assert 0 < row["min for 4,000"] < row["min for 12,000"] <= 60
        assert row["context"] >= 16_384


def test_the_published_bandwidths():
    assert MACHINES["RTX 4090, 24 GB"].bandwidth == 1008e9
    assert MACHINES["RTX 5090, 32 GB"].bandwidth == 1792e9
    assert MACHINES["Mac with M3 Ultra, 256 GB"].sold  # what cannot be bought is said
