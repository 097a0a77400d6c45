"""From a Hugging Face folder to one GGUF file, which llama.cpp and Ollama run.

`python -m course_lib export-gguf --model DIR --out FILE` does it for dense models, Qwen2 and Llama;
an adapter's folder becomes its base with the adapter merged in, or with `--adapter` a file of its
own, to be put on the base's. The mini-V3 itself stays with transformers: llama.cpp has fixed sizes
for V3. The names and layouts are those of llama.cpp's own script, `convert_hf_to_gguf.py`.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from course_lib.errors import CourseError
from course_lib.local import quant
from course_lib.model import lora, models

KINDS = ("f32", "f16", "q8_0")
_FAMILIES = {"qwen2": gguf.MODEL_ARCH.QWEN2, "llama": gguf.MODEL_ARCH.LLAMA}
_name_map = cache(gguf.get_tensor_name_map)
Array = np.ndarray[Any, np.dtype[np.float32]]


def export_gguf(folder: str | Path, out: str | Path, kind: str = "f32") -> Path:
    """Write the model in `folder` to the GGUF file `out`, and a `Modelfile` beside it.

    `kind` is "f32" (the very same numbers), "f16" or "q8_0"; vectors are always F32, and a matrix
    whose rows are not whole blocks of 32 is F16 in a q8_0 file. The file gets its name when it is
    complete. Returns the Modelfile's path, for `ollama create NAME -f Modelfile`. Raises
    CourseError for a model that is no Qwen2 or Llama, or whose tokenizer GGUF cannot describe.
    """
    if kind not in KINDS:
        raise CourseError(f"The type is {kind!r}; allowed are {', '.join(KINDS)}.")
    out = Path(out)
    model, tokenizer = _opened(folder, out)
    if lora.has(model):
        lora.fold(model)
    with _writing(out, model) as writer:
        _describe_model(writer, model)
        _describe_tokenizer(writer, tokenizer, model.config.vocab_size)
        for name, tensor in model.state_dict().items():
            if name == "lm_head.weight" and model.config.tie_word_embeddings:
                continue
            theirs = _their_name(name, model)
            _add_tensor(writer, theirs, _turned(theirs, _numbers(tensor), model), kind)
    modelfile = out.with_name("Modelfile")
    modelfile.write_text(_modelfile(out.name, model, tokenizer), encoding="utf-8")
    return modelfile


def export_adapter(folder: str | Path, out: str | Path) -> Path:
    """Write the adapter in `folder` alone to the GGUF file `out` (F32), for llama.cpp's `--lora`.

    Layout and names are those of llama.cpp's `convert_lora_to_gguf.py`. Returns `out`. Raises
    CourseError for a folder without an adapter, or on a model that is no Qwen2 or Llama.
    """
    out = Path(out)
    if not lora.is_adapter(folder):
        raise CourseError(f"{folder} holds no adapter; write the whole model without --adapter.")
    model, _ = _opened(folder, out)
    with _writing(out, model) as writer:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, lora.settings_of(folder).alpha)
        for name, layer in lora.layers(model).items():
            theirs = _their_name(f"{name}.weight", model)
            writer.add_tensor(f"{theirs}.lora_a", _numbers(layer.lora_A.weight))
            turned = _turned(theirs, _numbers(layer.lora_B.weight), model)
            writer.add_tensor(f"{theirs}.lora_b", turned)
    return out


@contextmanager
def _writing(out: Path, model: PreTrainedModel) -> Iterator[gguf.GGUFWriter]:
    """A GGUF file to be filled: written beside `out`, whose name it takes when it is complete."""
    partial = out.with_name(f".{out.name}.partial")
    try:
        with closing(gguf.GGUFWriter(partial, model.config.model_type)) as writer:
            yield writer
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def _opened(folder: str | Path, out: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer in `folder`, if they can be written to `out`. Raises CourseError."""
    if not out.parent.is_dir():
        raise CourseError(f"There is no folder {out.parent} to write {out.name} into.")
    if not str(out).strip():
        raise CourseError("The name of the file to write is blank; name the GGUF file.")
    if os.path.isdir(out):
        raise CourseError(f"{out} is a folder; name the GGUF file to write.")
    model, tokenizer = models.load(folder)
    config = model.config
    if config.model_type not in _FAMILIES:
        raise CourseError(
            f"The model is of type {config.model_type!r}; GGUF files are written here for "
            f"{' and '.join(_FAMILIES)}, the types of the distilled students."
        )
    if config.rope_parameters.get("rope_type", "default") != "default":
        raise CourseError(
            "The model stretches its positions (rope scaling); it cannot be exported."
        )
    if max(tokenizer.get_vocab().values()) >= config.vocab_size:
        raise CourseError(
            f"The tokenizer has tokens beyond the {config.vocab_size} that the model knows; take "
            "the one that came with it, or resize the model's embedding."
        )
    _cut(tokenizer)
    return model, tokenizer


def _cut(tokenizer: PreTrainedTokenizerBase) -> str:
    """llama.cpp's name for the way a tokenizer cuts text before it merges. Raises CourseError."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"]
    if json.dumps(PRETOKENIZE_REGEX) in json.dumps(described):
        return "qwen2"
    parts = described.get("pretokenizers", []) if described else []
    kinds = [(part["type"], part.get("individual_digits")) for part in parts]
    if kinds == [("Digits", True), ("ByteLevel", None)] and parts[1]["use_regex"]:
        return "smollm"
    raise CourseError(
        "The tokenizer cuts text neither as Qwen2's does nor as SmolLM2's; it cannot be exported."
    )


def _describe_model(writer: gguf.GGUFWriter, model: PreTrainedModel) -> None:
    config = model.config
    default = config.hidden_size // config.num_attention_heads
    size = getattr(config, "head_dim", None) or default
    writer.add_name(Path(str(model.name_or_path)).name or "model")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(size)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _describe_tokenizer(
    writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase, size: int
) -> None:
    """Tokens, their kinds and the merges; llama.cpp cuts USER_DEFINED tokens out of text first."""
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = [f"<unused {i}>" for i in range(size)]  # rows of the embedding beyond the vocabulary
    kinds = [gguf.TokenType.UNUSED] * size
    for token, i in description["model"]["vocab"].items():
        tokens[i], kinds[i] = token, gguf.TokenType.NORMAL
    for added in description["added_tokens"]:
        tokens[added["id"]] = added["content"]
        special = added["special"]
        kinds[added["id"]] = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_cut(tokenizer))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in description["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(False)  # the chat template writes it
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _their_name(name: str, model: PreTrainedModel) -> str:
    """A weight's name in a GGUF file."""
    names = _name_map(_FAMILIES[model.config.model_type], model.config.num_hidden_layers)
    return str(names.get_name(name, try_suffixes=(".weight", ".bias")))


def _numbers(tensor: Tensor) -> Array:
    numbers: Array = tensor.detach().float().cpu().numpy()
    return numbers


def _turned(name: str, weights: Array, model: PreTrainedModel) -> Array:
    """Queries and keys of a Llama in llama.cpp's order of rows; all else as it is."""
    config, part = model.config, name.split(".")[-2]
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    if config.model_type != "llama" or part not in heads:
        return weights
    # llama.cpp turns Llama's queries and keys by neighbouring pairs, transformers by halves.
    halves = weights.reshape(heads[part], 2, -1, *weights.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weights.shape)


def _add_tensor(writer: gguf.GGUFWriter, name: str, weights: Array, kind: str) -> None:
    if kind == "f32" or weights.ndim == 1:
        writer.add_tensor(name, weights)
    elif kind == "q8_0" and weights.shape[-1] % quant.BLOCK == 0:
        packed = quant.q8_0(weights)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    else:
        writer.add_tensor(name, weights.astype(np.float16))


# Ollama keeps thoughts apart from answers where a template names both, as this one does, and only
# the last message gets its thought back: earlier ones are not fed again, as in R1's own template.
_TURNS = f"""{{{{- if .System }}}}{{{{ .System }}}}{{{{ end }}}}
{{{{- range $i, $_ := .Messages }}}}
{{{{- $last := eq (len (slice $.Messages $i)) 1 }}}}
{{{{- if eq .Role "user" }}}}{models.USER}{{{{ .Content }}}}
{{{{- else if eq .Role "assistant" }}}}{models.ASSISTANT}
{{{{- if and $last .Thinking }}}}{models.THINK}{{{{ .Thinking }}}}{models.END_THINK}{{{{ end }}}}
{{{{- .Content }}}}{{{{ if not $last }}}}{models.EOS}{{{{ end }}}}
{{{{- end }}}}
{{{{- if and $last (ne .Role "assistant") }}}}{models.ASSISTANT}{{{{ end }}}}
{{{{- end }}}}"""

_CHATML = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""


def _turns(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """The chat template in Ollama's language, where it is one of those known here."""
    if tokenizer.chat_template == models.CHAT_TEMPLATE:
        yield f'TEMPLATE """{models.BOS}{_TURNS}"""'
    elif "<|im_start|>" in (tokenizer.chat_template or ""):
        asked = str(tokenizer.decode(models.chat_ids(tokenizer, "?")))
        system = re.match(r"<\|im_start\|>system\n(.*?)<\|im_end\|>", asked, re.DOTALL)
        if system:
            yield f'SYSTEM """{system[1]}"""'
        yield f'TEMPLATE """{_CHATML}"""'


def _modelfile(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """What `ollama create` reads. Ollama writes templates in another language than transformers."""
    lines = [
        f"FROM ./{name}",
        *_turns(tokenizer),
        f"PARAMETER num_ctx {model.config.max_position_embeddings}",
        "PARAMETER temperature 0.6",
        "PARAMETER top_p 0.95",
        f'PARAMETER stop "{tokenizer.eos_token}"',
    ]
    return "\n".join(lines) + "\n"
