"""What can answer here and now, what could be fetched, and which of it to take."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib import runtime
from course_lib.errors import CourseError
from course_lib.local import memory
from course_lib.local.engines import download, with_ollama
from course_lib.local.engines.base import Engine, is_deepseek
from course_lib.local.engines.convert import converted
from course_lib.local.engines.with_llama_cpp import LlamaCppEngine
from course_lib.local.engines.with_openai import OpenAIEngine
from course_lib.local.engines.with_transformers import TransformersEngine
from course_lib.model import lora, models
from course_lib.moe.architectures import CONFIGS

GGUF_VARIABLE = "INSIDE_R1_GGUF"
_DOWNLOAD_SPEED = 50e6 / 8  # bytes a second of an ordinary line, for the estimate
_READ_SPEED = 200e6  # bytes a second from disk into memory, for the estimate
_DENSE = ("qwen2", "llama")

TAUGHT = "smollm2-r1-lora"  # the adapter by which SmolLM2 reasons about puzzles (lesson 9)


HERE, DOWNLOAD, ELSEWHERE = "here", "download", "elsewhere"


@dataclass(frozen=True)
class Option:
    """A model that could answer. `state` is HERE, DOWNLOAD or ELSEWHERE; sizes are bytes.

    `bytes` is what is stored or fetched, `memory` what it takes when it is open.
    """

    model: str
    engine: str
    state: str
    bytes: int
    licence: str
    opener: Callable[[bool], Engine]
    memory: int = 0
    place: str = ""

    @property
    def seconds(self) -> float:
        """An estimate: reading it from disk, or fetching it at 50 Mbit/s."""
        return self.bytes / (_READ_SPEED if self.state == HERE else _DOWNLOAD_SPEED)

    @property
    def fits(self) -> bool:
        """Whether its weights fit into the memory that is free now."""
        return max(self.memory, self.bytes) < runtime.memory()[1]

    def open(self, *, yes: bool = False) -> Engine:
        """Load it. What must be fetched first needs `yes=True`. Raises CourseError.

        What lives elsewhere is not opened here: nothing is sent away by way of a list.
        """
        if self.state == DOWNLOAD and not self.fits:
            raise CourseError(
                f"{self.model} needs {max(self.memory, self.bytes) / memory.GB:.1f} GB of memory, "
                "more than is free; nothing was downloaded. Choose a quantised one in Ollama or "
                "llama.cpp."
            )
        return self.opener(yes)

    def text(self) -> str:
        """One line for a reader."""
        if self.state == ELSEWHERE:
            where = f"elsewhere, at {self.place}; never chosen by itself"
            return f"{self.model} in {self.engine}: {where}"
        size = (
            f"{self.bytes / memory.GB:.2f} GB" if self.bytes > 1e8 else f"{self.bytes / 1e6:.1f} MB"
        )
        ready = "here" if self.state == HERE else f"a download of about {self.seconds:.0f} s"
        fits = "" if self.fits else "; more than the free memory"
        return f"{self.model} in {self.engine}: {size}, {self.licence}, {ready}{fits}"


def available(*, ollama: str = with_ollama.ADDRESS) -> list[Option]:
    """Every model that could answer, in order of preference.

    DeepSeek's own distills in Ollama or in the Hugging Face cache; the GGUF file that
    `INSIDE_R1_GGUF` names, whose absence raises CourseError; downloads; the course's own
    distill, and the SmolLM2 that its R1-Zero taught; whatever else Ollama has; last what Ollama
    lists and does not have: its cloud's models.
    """
    in_ollama = [_in_ollama(tag, ollama) for tag in with_ollama.installed(ollama)]
    near = [option for option in in_ollama if option.state == HERE]
    own = os.environ.get(GGUF_VARIABLE)
    return [
        *sorted(
            [*(one for one in near if is_deepseek(one.model)), *_in_hub_cache()],
            key=lambda option: -option.bytes,
        ),
        *([_gguf(own)] if own else []),
        *_downloads(),
        *(one for folder in students() for one in _folder(folder, folder.name, "MIT")),
        *_taught(),
        *(one for one in near if not is_deepseek(one.model)),
        *(one for one in in_ollama if one.state == ELSEWHERE),
    ]


def best(
    *,
    gguf: str | Path | None = None,
    server: str = "",
    ollama: str = with_ollama.ADDRESS,
    yes: bool = False,
) -> Engine:
    """Open what is named, or the first of `available` that is here and fits into memory.

    A GGUF file or the URL of a server that is named is opened or is an error, and nothing else
    answers in its place. One of the others that fails to open is passed over. Downloads only with
    `yes=True`; nothing that lives elsewhere. Raises CourseError if none is left.
    """
    if server:
        return OpenAIEngine(server)
    if named := gguf or os.environ.get(GGUF_VARIABLE):
        return _gguf(named).open()
    failures = []
    for option in available(ollama=ollama):
        if option.fits and (option.state == HERE or (yes and option.state == DOWNLOAD)):
            try:
                return option.open(yes=yes)
            except CourseError as error:
                failures.append(str(error))
    raise CourseError(" ".join(["No model can answer here.", *failures]))


def named(
    model: str, *, ollama: str = with_ollama.ADDRESS, context: int | None = None, send_to: str = ""
) -> Engine:
    """What `model` names: a folder, a GGUF file, a server's URL, or a tag that Ollama has.

    `context` is in tokens; `send_to` is the host that a model of Ollama's may live on instead.
    Raises CourseError, and never opens another model, where it is none of them.
    """
    if context is not None and context < 1:
        raise CourseError(f"The context is {context} tokens; it must hold 1 or more.")
    if model.startswith(("http://", "https://")):
        return OpenAIEngine(model, context=context)
    path = Path(model)
    if os.path.isdir(model):  # pathlib raises for too long a name
        return TransformersEngine(path, context=context)
    if os.path.isfile(model) or path.suffix == ".gguf":
        _gguf(path)  # says where it is missing
        return LlamaCppEngine(path, context=context)
    if (":" in model and not with_ollama.looks_like_a_path(model)) or with_ollama.installed(ollama):
        return with_ollama.OllamaEngine(model, ollama, context, send_to=send_to)
    raise CourseError(
        f"{model!r} is no folder with a model, no GGUF file and no URL, and no Ollama that could "
        f"know it answers at {ollama}."
    )


def _in_ollama(tag: with_ollama.Tag, host: str) -> Option:
    licence = "MIT and its base model's" if is_deepseek(tag.name) else "see `ollama show`"
    return Option(
        model=tag.name,
        engine="Ollama",
        state=ELSEWHERE if tag.elsewhere else HERE,
        bytes=tag.size,
        licence=licence,
        opener=lambda _: with_ollama.OllamaEngine(tag.name, host),
        place=tag.elsewhere,
    )


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
            name, "transformers", HERE, size, licence,
            lambda _: TransformersEngine(folder, name), download.bytes_in_float32(folder),
        )  # fmt: skip


def _gguf(gguf: str | Path) -> Option:
    path = Path(gguf)
    if not os.path.isfile(path):
        raise CourseError(f"There is no GGUF file at {path}; name one that is there.")
    size, licence = path.stat().st_size, "the file's own licence"
    return Option(path.name, "llama.cpp", HERE, size, licence, lambda _: LlamaCppEngine(path))


def _downloads() -> Iterator[Option]:
    name = download.DISTILL.rpartition("/")[2]
    if not (download.cache_folder() / name).is_dir():
        size = memory.weights_bytes(CONFIGS[name.removeprefix("DeepSeek-")])
        yield Option(
            model=download.DISTILL,
            engine="transformers",
            state=DOWNLOAD,
            bytes=size,
            licence="MIT, from Apache-2.0",
            opener=lambda yes: TransformersEngine(
                download.distill(size=size, yes=yes), download.DISTILL
            ),
            memory=2 * size,  # fetched in bfloat16, held in float32
        )
    here = (download.cache_folder() / download.SMOLLM2).exists()
    yield Option(
        model=download.SMOLLM2,
        engine="llama.cpp",
        state=HERE if here else DOWNLOAD,
        bytes=download.SMOLLM2_BYTES,
        licence="Apache-2.0",
        opener=lambda yes: LlamaCppEngine(download.smollm2(yes=yes)),
    )


def students() -> list[Path]:
    """The folders of the dense students that come with the course, distilled ones first."""
    configs = sorted(models.ASSETS.glob("*/config.json"))
    kinds = {one.parent: json.loads(one.read_text(encoding="utf-8")) for one in configs}
    dense = [folder for folder, config in kinds.items() if config.get("model_type") in _DENSE]
    return sorted(dense, key=lambda folder: "base" in folder.name)


def _taught() -> Iterator[Option]:
    """The adapter that comes with the course, on SmolLM2, which may have to be fetched for it."""
    folder = models.shipped(TAUGHT)
    if not lora.is_adapter(folder):
        return

    def opened(yes: bool) -> Engine:
        converted(download.smollm2(yes=yes))
        return TransformersEngine(folder, TAUGHT)

    try:
        held = size = download.bytes_in_float32(folder)
        state = HERE
    except CourseError:
        size, state = download.SMOLLM2_BYTES, DOWNLOAD
        held = 6 * size  # 4-bit weights, held in float32
    yield Option(TAUGHT, "transformers", state, size, "Apache-2.0", opened, held)
