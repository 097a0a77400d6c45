"""LoRA from scratch: a frozen model with a small detour beside each of its linear layers.

Hu et al., 2021, "LoRA" (arXiv 2106.09685, section 4.1): a weight W (out, in) stays as it is, and
what is learnt is a product of two thin matrices, B (out, rank) and A (rank, in). B begins as zeros,
so a fresh adapter changes nothing. An adapter's folder is in peft's own format, so that peft and
llama.cpp read it.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from course_lib import records
from course_lib.errors import CourseError, real_number, whole_number
from course_lib.runtime import cache_folder

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
ALL = (*ATTENTION, "gate_proj", "up_proj", "down_proj")
"""The linear layers of a decoder block as Llama, Qwen2 and their kin name them."""

_CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
"""The file in an adapter's folder that holds its numbers."""

_PREFIX = "base_model.model."  # what peft puts in front of every name
_STORED = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Lora:
    """An adapter's settings. `base` names the model it belongs to: a folder, or a name on a hub."""

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ALL
    base: str = ""

    def __post_init__(self) -> None:
        rank = self.rank if isinstance(self.rank, int) else whole_number("rank", self.rank)
        alpha = real_number("alpha", self.alpha)
        if rank < 1 or not 0 < alpha < math.inf or not self.targets:
            raise CourseError(
                f"The adapter has rank {rank}, alpha {alpha} and targets {self.targets}; "
                "allowed are a rank of 1 or more, an alpha above 0 and at least one target."
            )
        targets = (self.targets,) if isinstance(self.targets, str) else self.targets
        kept = {"rank": rank, "alpha": float(alpha), "targets": tuple(targets)}
        for name, value in kept.items():  # as JSON has them, and a name is not a list of letters
            object.__setattr__(self, name, value)


class LoraLinear(nn.Module):
    """`y = W x + (alpha / rank) * B A x`, with W frozen; x is (..., in) and y (..., out)."""

    def __init__(self, base: nn.Linear, settings: Lora) -> None:
        super().__init__()
        self.base_layer, self.settings = base, settings
        rank = settings.rank
        device = base.weight.device
        self.lora_A = nn.Linear(base.in_features, rank, bias=False, device=device)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False, device=device)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)
        self.scale = settings.alpha / rank
        self.on = True
        self.kept: Tensor | None = None  # the base's weight, while the detour is merged into it

    def forward(self, x: Tensor) -> Tensor:
        """What the frozen layer says, and what the detour adds to it where it is on."""
        out: Tensor = self.base_layer(x)
        if not self.on or self.kept is not None:
            return out
        detour = self.lora_B(self.lora_A(x.to(self.lora_A.weight.dtype)))
        return out + (self.scale * detour).to(out.dtype)

    def whole(self) -> Tensor:
        """The weight (out, in) that does by itself what the frozen one and the detour do."""
        weight = self.base_layer.weight if self.kept is None else self.kept
        return (weight + self.scale * (self.lora_B.weight @ self.lora_A.weight)).to(weight.dtype)


def add(model: PreTrainedModel, settings: Lora, seed: int = 0) -> PreTrainedModel:
    """Put a fresh adapter on `model`, in place: everything is frozen but the thin matrices.

    Raises CourseError for a model that has no linear layers of the names in `settings.targets`,
    or has an adapter already, and for a layer that shares its weights with the embedding.
    """
    if has(model):
        raise CourseError("The model has an adapter already; fold or unload that one first.")
    model.requires_grad_(False)
    found = [
        (module, name, child)
        for module in model.modules()
        for name, child in module.named_children()
        if name in settings.targets and isinstance(child, nn.Linear)
    ]
    if not found:
        raise CourseError(
            f"{type(model).__name__} has no linear layers named {', '.join(settings.targets)}; "
            "name those that it has."
        )
    table = model.get_input_embeddings().weight
    if tied := [name for _, name, child in found if child.weight is table]:
        raise CourseError(
            f"{tied[0]} shares its weights with the embedding, and a merged adapter would change "
            "both; leave it out of targets."
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for module, name, child in found:
            setattr(module, name, LoraLinear(child, settings))
    return model


def layers(model: nn.Module) -> dict[str, LoraLinear]:
    """The layers that have a detour, by their names."""
    return {n: m for n, m in model.named_modules() if isinstance(m, LoraLinear)}


def has(model: nn.Module) -> bool:
    """Whether there is an adapter on `model`."""
    return bool(layers(model))


def parameters(model: nn.Module) -> list[nn.Parameter]:
    """The adapter's parameters: all that is trained."""
    thin = [part for layer in layers(model).values() for part in (layer.lora_A, layer.lora_B)]
    return [p for part in thin for p in part.parameters()]


@contextmanager
def off(model: nn.Module) -> Iterator[None]:
    """The model as it was before it had an adapter, bit for bit, for as long as this lasts."""
    before = {layer: layer.on for layer in layers(model).values()}
    if any(layer.kept is not None for layer in before):
        raise CourseError("The adapter is merged into the weights; unmerge it to switch it off.")
    for layer in before:
        layer.on = False
    try:
        yield
    finally:
        for layer, was in before.items():
            layer.on = was


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Write the detours into the weights, which are kept aside: as fast as without an adapter."""
    for layer in layers(model).values():
        if layer.kept is None:
            whole, layer.kept = layer.whole(), layer.base_layer.weight.data
            layer.base_layer.weight.data = whole


@torch.no_grad()
def unmerge(model: nn.Module) -> None:
    """Put the very same weights back that `merge` kept aside: nothing is subtracted."""
    for layer in layers(model).values():
        if layer.kept is not None:
            layer.base_layer.weight.data, layer.kept = layer.kept, None


@torch.no_grad()
def fold(model: PreTrainedModel) -> PreTrainedModel:
    """Merge the adapter for good, in place: plain linear layers again, ready to be saved."""
    merge(model)
    for name, layer in layers(model).items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer.base_layer)
    return model


# --- an adapter's folder, in peft's format --------------------------------------------------------


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds an adapter rather than a whole model."""
    return os.path.isfile(Path(folder) / _CONFIG)  # pathlib raises for too long a name


def write(model: PreTrainedModel, folder: str | Path, dtype: str = "float32") -> None:
    """Write the model's adapter into `folder`, as peft does; `dtype` is how numbers are stored."""
    settings, folder = next(iter(layers(model).values())).settings, Path(folder)
    tensors = {
        f"{_PREFIX}{name}.{part}.weight": getattr(layer, part).weight.detach().to(_STORED[dtype])
        for name, layer in layers(model).items()
        for part in ("lora_A", "lora_B")
    }
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": settings.base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "target_modules": list(settings.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    save_file(
        {n: t.contiguous().cpu() for n, t in tensors.items()}, folder / WEIGHTS, {"format": "pt"}
    )
    (folder / _CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def settings_of(folder: str | Path) -> Lora:
    """The settings of the adapter in `folder`. Raises CourseError for what is not understood."""
    path = Path(folder) / _CONFIG
    try:
        told = records.loaded(path)
        targets = tuple(sorted(map(str, told["target_modules"])))
        settings = Lora(int(told["r"]), float(told["lora_alpha"]), targets,
                        str(told["base_model_name_or_path"]))  # fmt: skip
        strange = [n for n in _UNKNOWN if told.get(n) not in _UNKNOWN[n]]
        if told["peft_type"] != "LORA" or isinstance(told["target_modules"], str) or strange:
            raise ValueError(", ".join(strange) or "its kind")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CourseError(
            f"{path} describes no adapter that is known here ({error}); plain LoRA is."
        ) from error
    return settings


_UNKNOWN: dict[str, tuple[object, ...]] = {
    "use_dora": (None, False), "use_rslora": (None, False), "bias": (None, "none"),
    "fan_in_fan_out": (None, False), "rank_pattern": (None, {}), "alpha_pattern": (None, {}),
    "modules_to_save": (None, []), "layers_to_transform": (None, []), "layer_replication": (None,),
    "alora_invocation_tokens": (None, []), "kasa_config": (None,),
    # What others begin from is taken off the base's own weights: peft does it again as it loads.
    "init_lora_weights": (None, True, False, "gaussian", "orthogonal", "eva"),
}  # fmt: skip
"""What peft's settings can say that changes the arithmetic, and the values that do not."""


def base_of(folder: str | Path) -> Path:
    """The folder of the model that an adapter belongs to: by its path, or by its name in the cache.

    Raises CourseError, naming the base, where it is not on this machine: nothing is fetched.
    """
    base = settings_of(folder).base
    if (Path(base) / "config.json").is_file():
        return Path(base)
    name = Path(base).name
    there = [
        found.parent
        for found in cache_folder().glob("*/config.json")
        if found.parent.name == name or (name and found.parent.name.startswith(f"{name}."))
    ]
    if there:
        return max(there, key=lambda one: one.stat().st_mtime)
    raise CourseError(
        f"{folder} is an adapter of {base or 'a model without a name'}, which is not on this "
        "machine; `python -m course_lib real-model` fetches SmolLM2-135M-Instruct after a yes."
    )


def put_on(model: PreTrainedModel, folder: str | Path) -> PreTrainedModel:
    """Put the adapter in `folder` on `model`, in place, ready to be trained further.

    Raises CourseError where it is damaged or belongs to a model of another shape.
    """
    settings = settings_of(folder)
    add(model, settings)
    path = Path(folder) / WEIGHTS
    wanted = {
        f"{_PREFIX}{name}.{part}.weight": getattr(layer, part).weight
        for name, layer in layers(model).items()
        for part in ("lora_A", "lora_B")
    }
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CourseError(f"{path} cannot be read; make or copy the adapter again.") from error
    wrong = sorted(
        {n for n in wanted if n in tensors and wanted[n].shape != tensors[n].shape}
        | (wanted.keys() ^ tensors.keys())
        | {n for n, t in tensors.items() if not bool(torch.isfinite(t).all())}
    )
    if wrong:
        raise CourseError(
            f"The adapter in {folder} does not fit {type(model).__name__} ({len(wrong)} tensors "
            f"are missing, of another shape or not finite, first {wrong[0][:120]}); it belongs to "
            f"{settings.base or 'another model'}."
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(tensors[name])
    return model
