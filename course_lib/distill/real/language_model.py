"""A pretrained language model to teach: SmolLM2-135M-Instruct from its file, or any folder.

Whatever is wrong with a model is said before it is loaded: a folder that is no causal language
model, a tokenizer that cannot write the traces, too little memory.
"""

from dataclasses import replace
from pathlib import Path

import torch
from jinja2 import TemplateError
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from course_lib import runtime
from course_lib.distill import trace_sft
from course_lib.errors import CourseError
from course_lib.local.engines import download
from course_lib.local.engines.convert import converted
from course_lib.model import lora, models

NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
EXAMPLE = "<think> +3=10 -5=5 no -3=-4 yes</think> - + +"
"""All that a trace is written with: what a tokenizer must be able to write."""

_LONGEST = 256  # tokens of a prompt and an answer
# Bytes beside the weights: activations, keys and values, the program itself. What a pass keeps for
# its gradient is held below a bound (`learner.tokens_at_once`): it does not grow with the model.
_OVERHEAD = 1.7e9


def here() -> bool:
    """Whether SmolLM2-135M-Instruct is on this machine, so that nothing need be fetched."""
    return (runtime.cache_folder() / download.SMOLLM2).is_file()


def folder(model: str | Path | None = None, *, yes: bool = False) -> Path:
    """The folder of SmolLM2-135M-Instruct, or `model` itself, once it is seen to be fit.

    SmolLM2 is a download of 98 MB, which asks for `yes=True`, and half a minute of conversion, once
    each. Raises CourseError, in a sentence, for whatever cannot be taught here.
    """
    found = converted(download.smollm2(yes=yes)) if model is None else Path(model)
    require(found)
    return found


def require(model: Path) -> None:
    """Raise CourseError for a folder that holds no language model that can be taught here."""
    if lora.is_adapter(model):
        raise CourseError(
            f"{model} holds an adapter and no model; give the folder of the model it belongs to."
        )
    models.refuse_what_is_no_model(model)
    config = _require_causal(model)
    _require_memory(model)
    _require_layers(model, config)
    tokenizer = _tokenizer(model)
    if tokenizer.chat_template is None:
        raise CourseError(
            f"The tokenizer in {model} has no chat template, so a puzzle cannot be put to it as a "
            "user's words; take an instruct model."
        )
    try:
        trace_sft.in_tokens_of(tokenizer, "7 ? 3 ? 5 ? 2 = 11", EXAMPLE)
    except TemplateError as error:
        raise CourseError(
            f"The chat template in {model} cannot put a user's words ({error}); mend it, or take "
            "another instruct model."
        ) from error


def _require_causal(model: Path) -> PretrainedConfig:
    try:
        config = AutoConfig.from_pretrained(model, **models.SAFELY)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0][:160]
        raise CourseError(f"{model} is no model that transformers knows ({reason}).") from error
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise CourseError(
            f"{model} holds a model of type {config.model_type!r}, which is no causal language "
            "model; take one that writes text, such as Llama, Qwen2 or SmolLM2."
        )
    return config


def _require_layers(model: Path, config: PretrainedConfig) -> None:
    """The layers that an adapter goes beside are there, and their weights: no weight is loaded."""
    try:
        with torch.device("meta"):  # all shapes and no numbers
            empty = AutoModelForCausalLM.from_config(config)
        wanted = lora.layers(lora.add(empty, lora.Lora()))
        longest = int(config.max_position_embeddings)
        stored = {name for file in model.glob("*.safetensors") for name in _names(file)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:160]
        raise CourseError(f"The model in {model} cannot be taught here ({reason}).") from error
    missing = [n for n in wanted if f"{n.removeprefix('model.')}.weight" not in stored]
    if missing or longest < _LONGEST:
        found = f"reads {longest} tokens" if not missing else f"lacks {missing[0]}.weight"
        raise CourseError(
            f"The model in {model} {found}; to be taught it must hold the weights that its "
            f"config.json tells of, not quantised, and read {_LONGEST} tokens or more."
        )


def _names(file: Path) -> list[str]:
    with safe_open(file, "pt") as tensors:
        return [name.removeprefix("model.") for name in tensors.keys()]  # noqa: SIM118


def _tokenizer(model: Path) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(model, **models.SAFELY)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().split("\n")[0][:160]
        raise CourseError(f"The tokenizer in {model} cannot be read ({reason}).") from error


def _require_memory(model: Path) -> None:
    needed, free = download.bytes_in_float32(model) + _OVERHEAD, runtime.memory()[1]
    if not models.on_gpu() and needed > free:
        raise CourseError(
            f"To train an adapter on {model.name} takes about {needed / 1e9:.1f} GB of memory and "
            f"{free / 1e9:.1f} GB are free; close other programs, or take a smaller model."
        )


def start(
    out: str | Path, model: str | Path | None = None, settings: lora.Lora | None = None,
    *, seed: int = 0, yes: bool = False,
) -> Path:  # fmt: skip
    """Write a fresh adapter for the model into the folder `out`: what training starts from.

    Its B matrices are zeros, so it changes nothing yet. An adapter that is there stays. Raises
    CourseError where that is of another model, or has other settings.
    """
    out = Path(out)
    name = NAME if model is None else str(Path(model).resolve())
    told = replace(settings or lora.Lora(), base=name)
    if lora.is_adapter(out):
        there = lora.settings_of(out)
        if there != replace(told, targets=tuple(sorted(told.targets))):
            raise CourseError(
                f"{out} holds an adapter of {there.base}, rank {there.rank}, and not of {name} "
                f"with the settings of now; give another folder, or delete {out.parent}."
            )
        return out
    taught, tokenizer = models.load(folder(model, yes=yes))
    lora.add(taught, told, seed)
    models.save(taught, tokenizer, out)
    return out


def load(
    model: str | Path | None = None, *, yes: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and its tokenizer, ready to sample, without an adapter."""
    return models.load(folder(model, yes=yes))


def words(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    """The pieces that a tokenizer cuts a text into, as they read."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    return tokenizer.batch_decode([[i] for i in ids])
