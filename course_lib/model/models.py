"""The course's models as ordinary Hugging Face folders: tokenizer, configurations, loading, saving.

The mini-V3 is an instance of the class of the 671B model, `DeepseekV3ForCausalLM`, with everything
that makes it what it is: multi-head latent attention, a dense first layer, then mixtures of experts
with sigmoid routing, a bias that balances them and a shared expert. Only the numbers are small.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DeepseekV3Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX
from transformers.utils import logging

from course_lib import records
from course_lib.errors import CourseError
from course_lib.model import lora
from course_lib.runtime import ASSETS, device
from course_lib.task import numerals

logging.disable_progress_bar()  # loading a model this small needs none

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
THINK, END_THINK = "<think>", "</think>"
YES, NO = " yes", " no"

SAFELY: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""How every folder is read: nothing is fetched, and nobody is asked whether its code may run."""

# Words of the little conversation that the base has seen beside its sums.
# fmt: off
CHAT_WORDS = (
    "hello", "thanks", "who", "are", "you", "I", "am", "a", "small", "model", "glad", "to", "help",
    "of", "course", "write", "in", "words", "digits", "welcome", "how", "can", "sorry", "do", "not",
    "know", "what", "is", "plus", "minus",
)
# fmt: on

# DeepSeek's own layout: no role token before a system prompt, and earlier thinking is not fed back.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}"
    "{% elif message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}"
    "{% else %}{{ '<｜Assistant｜>' + message['content'].split('</think>')[-1] + eos_token }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
)


def vocabulary() -> list[str]:
    """The pieces of text that are one token each, beside the 256 bytes that spell all the rest."""
    steps = [f" {s}{t}" for s in "+-" for n in range(1, 10) for t in (n, numerals.word(n))]
    totals = [f"={text}" for pair in numerals.WORDS.items() for text in pair]
    numbers = [f" {text}" for n, word in numerals.WORDS.items() if n >= 0 for text in (n, word)]
    signs = [" +", " -", " =", " ?", YES, NO]
    return [*signs, *steps, *totals, *numbers, *(f" {word}" for word in CHAT_WORDS)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The course's tokenizer: bytes, and one token for each piece of working (` +3`, `=10`, ` no`).

    The pieces are *added tokens*: they are cut out of the text before anything else happens, so
    that every program agrees on them, whatever it believes about the model: transformers with any
    model class, and llama.cpp. Text of any kind can be encoded, byte by byte if need be.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    space = "Ġ"  # how byte-level BPE writes a space; GGUF files want at least one merge
    ids = {token: i for i, token in enumerate([*alphabet, space + space])}
    tokenizer = Tokenizer(BPE(ids, [(space, space)]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([EOS, BOS, USER, ASSISTANT])
    pieces = [THINK, END_THINK, *vocabulary()]
    tokenizer.add_tokens([AddedToken(p, special=False, normalized=False) for p in pieces])
    # unk must name a token that exists, or Qwen2's tokenizer class adds one the model lacks.
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS,
        unk_token=EOS,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=256,
    )


def token_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The vocabulary as a dict from text to id, for the pieces that are one token."""
    return ids_of(tokenizer, [BOS, EOS, USER, ASSISTANT, THINK, END_THINK, *vocabulary()])


def ids_of(tokenizer: PreTrainedTokenizerBase, pieces: Sequence[str]) -> dict[str, int]:
    """The id of each piece of text that is one token."""
    ids = cast("list[int]", tokenizer.convert_tokens_to_ids(list(pieces)))
    return dict(zip(pieces, ids, strict=True))


def chat_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The token ids of a conversation in which the user says `text` and the model is to answer."""
    turn = [{"role": "user", "content": text}]
    rendered = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    return tokenizer.encode(rendered, add_special_tokens=False)


def _shared(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What all of the course's models have in common."""
    return dict(
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        initializer_range=0.04,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )


def mini_v3_config(tokenizer: PreTrainedTokenizerBase, **changes: object) -> DeepseekV3Config:
    """The mini-V3: V3's architecture with under a million parameters; `changes` override fields."""
    settings = dict(
        hidden_size=128,
        num_hidden_layers=3,
        first_k_dense_replace=1,
        intermediate_size=256,
        n_routed_experts=8,
        num_experts_per_tok=2,
        n_shared_experts=1,
        moe_intermediate_size=64,
        n_group=1,
        topk_group=1,
        norm_topk_prob=True,
        routed_scaling_factor=1.0,
        num_attention_heads=4,
        num_key_value_heads=4,
        q_lora_rank=None,
        kv_lora_rank=96,
        qk_nope_head_dim=32,
        qk_rope_head_dim=16,
        v_head_dim=32,
        tie_word_embeddings=False,
    )
    return DeepseekV3Config(**{**_shared(tokenizer), **settings, **changes})


def student_config(
    tokenizer: PreTrainedTokenizerBase, family: str = "qwen2", *, hidden: int = 96, layers: int = 3
) -> PretrainedConfig:
    """A small dense student: `family` is `qwen2` or `llama`, the two that R1 was distilled into."""
    classes = {"qwen2": Qwen2Config, "llama": LlamaConfig}
    if family not in classes:
        raise ValueError(f"family is {family!r}; allowed are {' and '.join(classes)}.")
    return classes[family](
        hidden_size=hidden,
        num_hidden_layers=layers,
        intermediate_size=2 * hidden,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        **_shared(tokenizer),
    )


def shipped(name: str) -> Path:
    """The folder of a model that comes with the course, for example `mini-v3-base`."""
    return ASSETS / name


def newest(own: str | Path, name: str) -> Path:
    """The learner's own model folder `own` where there is one, else the shipped model `name`."""
    own = Path(own)
    if os.path.isfile(own / "config.json"):
        print(f"Using your own model in {own.as_posix()}.")
        return own
    print(f"Using the model {name} that comes with the course; yours would be in {own.as_posix()}.")
    return shipped(name)


def load(folder: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer from a Hugging Face folder, in float32, ready to sample.

    A folder with an adapter is its base with the adapter on it (`lora`); on a GPU the frozen base
    is in bfloat16. Only safetensors are read, never pickles, and no code from the folder is run.
    Raises CourseError for a folder that is missing, is not a model, or is damaged.
    """
    folder = Path(folder)
    if lora.is_adapter(folder):
        model, tokenizer = read(lora.base_of(folder), "bfloat16" if on_gpu() else "float32")
        return lora.put_on(model, folder), tokenizer
    return read(folder)


def on_gpu() -> bool:
    """Whether models are put on a GPU."""
    return device().type == "cuda"


_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


def read(
    folder: Path, dtype: str = "float32", kind: Any = AutoModelForCausalLM
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A whole model and its tokenizer; `kind` is the class of transformers that reads it.

    Raises CourseError as `load` does, and for weights that `kind` needs and the folder lacks.
    """
    refuse_what_is_no_model(folder)
    _refuse_damaged(folder)
    try:
        model, told = kind.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, disable_mmap=_is_ours(folder),
            output_loading_info=True, **SAFELY,
        )  # fmt: skip
        if missing := sorted(told["missing_keys"]):  # transformers would draw them at random
            raise ValueError(f"it lacks weights, {missing[0]} for one")
        tokenizer = AutoTokenizer.from_pretrained(folder, **SAFELY)
    except (MemoryError, torch.OutOfMemoryError):  # says nothing of the folder
        raise
    except Exception as error:  # whatever transformers raises for what it cannot read
        if _is_quantised(folder):
            raise CourseError(
                f"The model in {folder} is quantised in a way that cannot be read here; take its "
                "folder with weights as they were trained, or a GGUF file of it for lesson 6."
            ) from error
        raise _unreadable(folder, error) from error
    return model.eval().to(device()), tokenizer


def _unreadable(folder: Path, error: Exception) -> CourseError:
    reason = str(error).strip().split("\n")[0][:200]
    return CourseError(f"The model in {folder} cannot be read ({reason}); make or copy it again.")


def _refuse_damaged(folder: Path) -> None:
    """Raise CourseError for files that are cut short or missing, whatever kind of model it is."""
    index = folder / "model.safetensors.index.json"
    try:
        records.loaded(folder / "config.json")
        told = records.loaded(index)["weight_map"].values() if index.is_file() else ()
        for file in sorted({*folder.glob("*.safetensors"), *(folder / name for name in told)}):
            with safe_open(file, "pt"):  # which holds the file's length against its header
                pass
        if not any((folder / name).is_file() for name in _VOCABULARIES):
            raise ValueError("it lacks the tokenizer's file, tokenizer.json")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise _unreadable(folder, error) from error


def _is_quantised(folder: Path) -> bool:
    """Whether a folder's settings say that its weights were quantised (AWQ, GPTQ, bitsandbytes)."""
    config = records.loaded(folder / "config.json")
    return isinstance(config, dict) and bool(config.get("quantization_config"))


def _is_ours(folder: Path) -> bool:
    """Whether weights are of a size that the course writes, and so are copied from their file.

    Mapped from it, they would hold the folder fast (Windows lets nobody rename or delete it then)
    and would change with it.
    """
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) < 2**30


def refuse_what_is_no_model(folder: Path) -> None:
    """Raise CourseError for a folder that holds no model in safetensors."""
    if not os.path.isdir(folder):
        raise CourseError(f"There is no folder {folder}; name a folder that holds a model.")
    if not (folder / "config.json").is_file():
        raise CourseError(
            f"{folder} holds no config.json, so it is not a Hugging Face model folder."
        )
    if not list(folder.glob("*.safetensors")):
        raise CourseError(
            f"{folder} holds no .safetensors file; weights in other formats are not loaded, "
            "because opening them can run code."
        )


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> None:
    """Save a model as a Hugging Face folder: written aside first and then renamed into place.

    A model's folder is replaced as a whole. Raises CourseError for a file, and for a folder that
    holds folders or no model.
    """
    folder = Path(folder)
    inside = (
        [one for one in folder.iterdir() if one.name[0] != "."] if os.path.isdir(folder) else []
    )
    model_there = lora.is_adapter(folder) or any(one.suffix == ".safetensors" for one in inside)
    foreign = (inside and not model_there) or any(one.is_dir() for one in inside)
    if foreign or os.path.isfile(folder):
        raise CourseError(f"{folder} holds other things than a model; give a folder of its own.")
    with replacing(folder) as aside:
        write(model, tokenizer, aside)


def write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a model's files into a folder that is there; of one with an adapter, the adapter."""
    if lora.has(model):
        lora.write(model, folder)
        return
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def replacing(folder: str | Path) -> Iterator[Path]:
    """Fill a new folder aside, and on success let it take the place of `folder`.

    Killed at any moment, either the old or the new folder is there, or `recover` brings it back.
    """
    folder = Path(folder)
    aside, old = (folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    except OSError as error:
        raise CourseError(f"Cannot write into {folder.parent}: {error.strerror}.") from error
    try:
        yield aside
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:  # a full disk, or held open by another program
        recover(folder)
        reason = getattr(error, "strerror", None) or str(error)  # shutil's fills pages
        raise CourseError(
            f"{folder} could not be written ({reason:.160}); what was there is untouched. "
            "Make room on the disk; or, if another notebook or program has it open, close that "
            "and try again."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def recover(folder: str | Path) -> None:
    """Put back a folder whose replacement was killed between the two renames."""
    folder = Path(folder)
    old = folder.with_name(f".{folder.name}.old")
    if os.path.isdir(old) and not folder.exists():
        old.rename(folder)


def parameters(model: nn.Module) -> int:
    """How many parameters the model has."""
    return sum(p.numel() for p in model.parameters())


def decode(tokenizer: PreTrainedTokenizerBase, rows: Iterable[list[int]]) -> list[str]:
    """Completions as text, up to the end-of-sentence token, with `<think>` tags kept."""
    eos = tokenizer.eos_token_id
    cut = [row[: row.index(eos)] if eos in row else row for row in rows]
    return tokenizer.batch_decode(
        cut, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
