"""What can answer here and now, what could be fetched, and which of it to take."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from course_lib.errors import CourseError
from course_lib.local import memory
from course_lib.local.engines import download
from course_lib.local.engines.base import Engine, is_deepseek
from course_lib.local.engines.with_ollama import ADDRESS, OllamaEngine, installed
from course_lib.moe.architectures import CONFIGS

GGUF_VARIABLE = "INSIDE_R1_GGUF"
_DOWNLOAD_SPEED = 50e6 / 8  # bytes a second of an ordinary line, for the estimate
_READ_SPEED = 200e6  # bytes a second from disk into memory, for the estimate
_DENSE = ("qwen2", "llama")


@dataclass(frozen=True)
class Option:
    """A model that could answer. `state` is "here" or "download"; `seconds` until it is ready."""

    model: str
    engine: str
    state: str
    bytes: int
    licence: str
    opener: Callable[[bool], Engine]

    @property
    def seconds(self) -> float:
        """An estimate: reading it from disk, or fetching it at 50 Mbit/s."""
        return self.bytes / (_READ_SPEED if self.state == "here" else _DOWNLOAD_SPEED)

    @property
    def fits(self) -> bool:
        """Whether its weights fit into the memory that is free now."""
        return self.bytes < psutil.virtual_memory().available

    def open(self, *, yes: bool = False) -> Engine:
        """Load it. What must be fetched first needs `yes=True`. Raises CourseError."""
        return self.opener(yes)

    def text(self) -> str:
        """One line for a reader."""
        size = (
            f"{self.bytes / memory.GB:.2f} GB" if self.bytes > 1e8 else f"{self.bytes / 1e6:.1f} MB"
        )
        ready = "here" if self.state == "here" else f"a download of about {self.seconds:.0f} s"
        fits = "" if self.fits else "; more than the free memory"
        return f"{self.model} in {self.engine}: {size}, {self.licence}, {ready}{fits}"


def available(*, gguf: str | Path | None = None, ollama: str = ADDRESS) -> list[Option]:
    """Every model that could answer, in order of preference.

    DeepSeek's own distills in Ollama or in the Hugging Face cache; the GGUF file `gguf` (or the one
    that `INSIDE_R1_GGUF` names); downloads; the course's own distill; whatever else Ollama has.
    """
    in_ollama = [_in_ollama(name, size, ollama) for name, size in installed(ollama)]
    theirs = [option for option in in_ollama if is_deepseek(option.model)]
    others = [option for option in in_ollama if not is_deepseek(option.model)]
    return [
        *sorted([*theirs, *_in_hub_cache()], key=lambda option: -option.bytes),
        *_named(gguf or os.environ.get(GGUF_VARIABLE)),
        *_downloads(),
        *_shipped(),
        *others,
    ]


def best(*, gguf: str | Path | None = None, ollama: str = ADDRESS, yes: bool = False) -> Engine:
    """Open the first of `available` that fits into memory; downloads only with `yes=True`.

    One that fails to open is passed over. Raises CourseError if none is left.
    """
    failures = []
    for option in available(gguf=gguf, ollama=ollama):
        if option.fits and (yes or option.state == "here"):
            try:
                return option.open(yes=yes)
            except CourseError as error:
                failures.append(str(error))
    raise CourseError(" ".join(["No model can answer here.", *failures]))


def _in_ollama(name: str, size: int, host: str) -> Option:
    licence = "MIT and its base model's" if is_deepseek(name) else "see `ollama show`"
    return Option(name, "Ollama", "here", size, licence, lambda _: OllamaEngine(name, host))


def _in_hub_cache() -> Iterator[Option]:
    """DeepSeek's distills in the Hugging Face cache, and those fetched by `download.distill`."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        repositories = frozenset()
    for repository in repositories:
        if is_deepseek(repository.repo_id):
            for revision in repository.revisions:
                yield from _folder(revision.snapshot_path, repository.repo_id)
    own = download.cache_folder() / download.DISTILL.rpartition("/")[2]
    yield from _folder(own, download.DISTILL)


def _folder(folder: Path, name: str, licence: str = "MIT and its base model's") -> Iterator[Option]:
    weights = list(folder.glob("*.safetensors"))
    if weights and (folder / "config.json").is_file():
        size = sum(file.stat().st_size for file in weights)
        yield Option(
            name, "transformers", "here", size, licence, lambda _: _transformers(folder, name)
        )


def _transformers(folder: Path, name: str) -> Engine:
    from course_lib.local.engines.with_transformers import TransformersEngine

    return TransformersEngine(folder, name)


def _llama_cpp(path: Path) -> Engine:
    from course_lib.local.engines.with_llama_cpp import LlamaCppEngine

    return LlamaCppEngine(path)


def _named(gguf: str | Path | None) -> Iterator[Option]:
    if gguf is not None:
        path = Path(gguf)
        size = path.stat().st_size if path.is_file() else 0
        licence = "the file's own licence"
        yield Option(path.name, "llama.cpp", "here", size, licence, lambda _: _llama_cpp(path))


def _downloads() -> Iterator[Option]:
    name = download.DISTILL.rpartition("/")[2]
    if not (download.cache_folder() / name).is_dir():
        size = memory.weights_bytes(CONFIGS[name.removeprefix("DeepSeek-")])
        yield Option(
            model=download.DISTILL,
            engine="transformers",
            state="download",
            bytes=size,
            licence="MIT, from Apache-2.0",
            opener=lambda yes: _transformers(
                download.distill(size=size, yes=yes), download.DISTILL
            ),
        )
    here = (download.cache_folder() / download.SMOLLM2).exists()
    yield Option(
        model=download.SMOLLM2,
        engine="llama.cpp",
        state="here" if here else "download",
        bytes=download.SMOLLM2_BYTES,
        licence="Apache-2.0",
        opener=lambda yes: _llama_cpp(download.smollm2(yes=yes)),
    )


def students() -> list[Path]:
    """The folders of the dense students that come with the course, distilled ones first."""
    from course_lib.model.models import ASSETS

    found = []
    for config in sorted(ASSETS.glob("*/config.json")):
        if json.loads(config.read_text(encoding="utf-8")).get("model_type") in _DENSE:
            found.append(config.parent)
    return sorted(found, key=lambda folder: "base" in folder.name)


def _shipped() -> Iterator[Option]:
    for folder in students():
        yield from _folder(folder, folder.name, "MIT")
