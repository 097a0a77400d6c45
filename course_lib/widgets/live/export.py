"""A checkpoint as what the JavaScript beside this file reads: a header, and weights in fp16.

    header = {name, config, eos, template, tokens, tensors, parameters, bytes, crc32}

`tensors` is name -> [first number, rows, columns]; all tensors follow each other in one run of
little-endian half-precision numbers (`bytes` long, with the checksum `crc32`). `tokens` has a text
for each piece of the vocabulary, and a list of bytes for what is no text by itself.

Why a program of our own and not onnxruntime-web: of its version 1.30 the smallest WebAssembly file
is 14.2 MB, seven times these weights, and a page opened from a folder cannot fetch it; its graph
gives back logits, while this page shows every router's scores and every head's weights; and a token
is half a million multiplications, which plain JavaScript does in a millisecond
(`tests/benchmarks/bench_live.py`).
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from course_lib.errors import CourseError
from course_lib.model import models

MOST = 8_000_000
"""Parameters of the largest model that a page takes: 16 MB."""

_NEEDED = {
    "deepseek_v3": (
        *("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"),
        *("rope_interleave", "n_group", "topk_group", "num_experts_per_tok", "norm_topk_prob"),
        *("routed_scaling_factor", "n_shared_experts"),
    ),
    "qwen2": ("num_key_value_heads",),
    "llama": ("num_key_value_heads",),
}
_COMMON = (
    *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps"),
    "max_position_embeddings",
)

_BROKEN = (OSError, ValueError, KeyError, TypeError, SafetensorError, StrictDataclassError)


def pack(folder: str | Path, name: str) -> tuple[dict[str, Any], bytes]:
    """The model in a Hugging Face folder as a header and its weights' bytes.

    `name` is what the page calls it. Raises CourseError for a folder that holds no such model, and
    for a model of another architecture, with another tokenizer, or too large for a page.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            if path.name != "trainer.safetensors":  # the optimiser's moments, beside a checkpoint
                tensors |= load_file(path)
        _check(config, tensors, folder)
        vocabulary = _tokens(folder)
        kept = _settings(config)
    except _BROKEN as error:
        reason = str(error).split("\n")[0][:200]
        raise CourseError(f"The model in {folder} cannot be read ({reason}).") from error
    places, weights = _laid_out(tensors)
    header = vocabulary | {
        "name": name,
        "config": kept,
        "tensors": places,
        "parameters": sum(tensor.size for tensor in tensors.values()),
        "bytes": len(weights),
        "crc32": zlib.crc32(weights),
    }
    return header, weights


def _check(config: Any, tensors: dict[str, np.ndarray], folder: Path) -> None:
    """Refuse what the JavaScript does not compute."""
    if not isinstance(config, dict) or not tensors:
        raise CourseError(f"{folder} holds no model: it needs a config.json and safetensors.")
    kind = config.get("model_type")
    if kind not in _NEEDED:
        allowed = ", ".join(_NEEDED)
        raise CourseError(f"The model in {folder} is of the type {kind!r}; allowed are {allowed}.")
    rope = config.get("rope_parameters") or {}
    plain = rope.get("rope_type", "default") == "default" and config.get("hidden_act") == "silu"
    if not plain or config.get("use_sliding_window") or config.get("attention_bias"):
        raise CourseError(
            f"The model in {folder} has settings that the page does not compute: it takes plain "
            "rotary positions, SiLU, full attention and no biases but Qwen2's."
        )
    size = sum(tensor.size for tensor in tensors.values())
    if size > MOST:
        raise CourseError(
            f"The model in {folder} has {size:,} parameters; the page takes up to {MOST:,}."
        )


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    kept = {name: config[name] for name in (*_COMMON, *_NEEDED[config["model_type"]])}
    kept["rope_theta"] = config["rope_parameters"]["rope_theta"]
    if config["model_type"] != "deepseek_v3":
        width = config["hidden_size"] // config["num_attention_heads"]
        kept["head_dim"] = config.get("head_dim") or width
    return kept


def _tokens(folder: Path) -> dict[str, Any]:
    """The vocabulary, the id that ends an answer, and what stands around a user's words."""
    tokenizer = AutoTokenizer.from_pretrained(folder, **models.SAFELY)
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    if settings["model"]["type"] != "BPE" or len(settings["model"]["merges"]) > 1:
        raise CourseError(
            f"The model in {folder} has another tokenizer than the course's, which the page reads."
        )
    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    added = {token["id"]: token["content"] for token in settings["added_tokens"]}
    spelt = {i: [byte_of[c] for c in text] for text, i in settings["model"]["vocab"].items()}
    turn = [{"role": "user", "content": "\0"}]
    said = str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
    return {
        "eos": tokenizer.eos_token_id,
        "template": said.split("\0"),
        "tokens": [added.get(i, spelt.get(i)) for i in range(len(tokenizer))],
    }


def _laid_out(tensors: dict[str, np.ndarray]) -> tuple[dict[str, list[int]], bytes]:
    """Where each tensor begins, with its rows and columns, and all of them as bytes."""
    places, parts, at = {}, [], 0
    for name, tensor in sorted(tensors.items()):
        rows, columns = tensor.shape if tensor.ndim == 2 else (1, tensor.size)
        places[name.removeprefix("model.")] = [at, rows, columns]
        with np.errstate(over="ignore"):  # what fp16 cannot hold is told below, in a sentence
            parts.append(tensor.astype("<f2"))
        if not np.isfinite(parts[-1]).all():
            raise CourseError(f"{name} holds numbers that are not finite, or too large for fp16.")
        at += tensor.size
    return places, b"".join(part.tobytes() for part in parts)
