"""A GGUF file as a Hugging Face folder: half a minute of work for transformers, done once."""

import hashlib
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedTokenizerBase

from course_lib.errors import CourseError
from course_lib.local.engines.download import cache_folder
from course_lib.local.gguf_header import GgufHeader, require_whole
from course_lib.model import models

_VERSION = b"2"  # of what is done here: another one makes the folders anew
_BROKEN = (ValueError, LookupError, TypeError, OSError, RuntimeError, StrictDataclassError)


def converted(path: str | Path) -> Path:
    """The folder with the model of the GGUF file at `path`, from the cache after the first time.

    Raises CourseError for a damaged or incomplete file, a kind of model that transformers cannot
    read from GGUF, or a tokenizer that it reads wrongly.
    """
    path = Path(path)
    header = require_whole(path)
    if header.metadata.get("split.count", 0) > 1:
        raise CourseError(f"{path.name} is split, and transformers reads one file; use llama.cpp.")
    with path.open("rb") as file:
        told = _VERSION + file.read(1 << 22) + str(path.stat().st_size).encode()
    folder = cache_folder() / f"{path.stem}-{hashlib.sha256(told).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    quantisation = GgufConfig(dequantize=True)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, **models.SAFELY)
        model = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, quantization_config=quantisation, dtype="float32",
            **models.SAFELY,
        )  # fmt: skip
    except _BROKEN as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise CourseError(f"transformers cannot read {path.name} ({reason}).") from error
    if header.metadata.get("tokenizer.ggml.pre") == "smollm":
        # SmolLM2 cuts text into digits, one by one, before it merges; its file only names that.
        digits = pre_tokenizers.Digits(individual_digits=True)
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    _check_tokenizer(tokenizer, header, path.name)
    models.save(model, tokenizer, folder)
    return folder


def _check_tokenizer(tokenizer: PreTrainedTokenizerBase, header: GgufHeader, name: str) -> None:
    """Special tokens with unusual letters have come out in pieces: check that they are whole."""
    tokens = header.told("tokenizer.ggml.tokens", [])
    for key in ("bos", "eos"):
        number = header.told(f"tokenizer.ggml.{key}_token_id", -1)
        if not 0 <= number < len(tokens):
            continue
        if tokenizer.encode(tokens[number], add_special_tokens=False) != [number]:
            raise CourseError(
                f"transformers reads the tokenizer of {name} wrongly; open it in llama.cpp."
            )
