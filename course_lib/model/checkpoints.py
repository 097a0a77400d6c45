"""Training state on disk: a Hugging Face folder with the optimiser beside the weights, and a log.

A checkpoint is written aside and renamed, so a run that is killed at any moment goes on from its
last one; it holds sums of its files, so that a damaged one is never taken for whole. Everything is
safetensors and JSON; nothing that is read back can run code.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib import records
from course_lib.errors import CourseError
from course_lib.model import models

_TENSORS, _STATE = "trainer.safetensors", "trainer.json"
ABOUT = "run.json"
"""The file in a run's folder that says what the run is made of."""

_KEPT = ".kept"  # the state's key for sums of files
_EXTRA = "|extra|"  # in front of the names of tensors that are no moments

Line = dict[str, Any]


@contextmanager
def alone(folder: str | Path) -> Iterator[None]:
    """Hold `folder` (made where missing) for one run; whoever comes second meets a CourseError.

    The system lets go of the lock when its holder ends, however it ends; the file stays and says
    nothing.
    """
    folder = Path(folder)
    with telling(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise CourseError(
                f"{folder} is in use by a run that has not ended, here or in another program. End "
                "that one first (in a notebook: stop its cell, or restart the kernel), or give "
                "another folder."
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn what a disk can refuse into one sentence."""
    try:
        yield
    except OSError as error:
        raise CourseError(
            f"{path} could not be written ({error.strerror or error}); make room and start again: "
            "the run goes on from its last checkpoint."
        ) from error


def claim(out: Path, about: Mapping[str, Any], name: str = ABOUT) -> None:
    """Write into the file `name` of `out` what a run is made of, or find that it is the run there.

    `about` is its settings by name, and whatever else decides it. Raises CourseError for a folder
    with another run, naming what differs: a run goes on as it began, or its curve would mean
    nothing.
    """
    path, ours = out / name, json.loads(json.dumps(about))
    if not os.path.isfile(path):
        with telling(path):
            records.write(path, ours)
        return
    theirs = records.read(path, "the same command in another folder", what="settings of a run")
    changed = sorted(k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k))
    if ours.keys() < theirs.keys():
        raise CourseError(
            f"{path} has settings that this version of the course does not know "
            f"({', '.join(sorted(theirs.keys() - ours.keys()))}): a newer one began the run. Go on "
            "with that, give another --out, or delete the folder to start again."
        )
    if changed:
        raise CourseError(
            f"{out} belongs to a run with other settings ({', '.join(changed)}); give another "
            "--out, or delete the folder to start again."
        )


def set_aside(out: Path, names: Sequence[str]) -> None:
    """Move what a run has left, by its `names`, into the first `earlier-N` that is free."""
    folders = (out / f"earlier-{number}" for number in count(1))
    aside = next(folder for folder in folders if not folder.exists())
    with telling(out):
        for name in names:
            if (out / name).exists():
                aside.mkdir(exist_ok=True)
                (out / name).rename(aside / name)
    if aside.exists():
        print(f"The run that was there is in {aside.as_posix()} now.")


def fingerprint(folder: str | Path) -> str:
    """What tells one model's weights from another's: a hash of the safetensors in a folder."""
    found = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.safetensors")):
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]


def save(
    folder: str | Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    extra: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the model, its tokenizer, the optimiser's moments and `state` (JSON) as one folder.

    `extra` are further tensors that a run cannot go on without, by name; see `load_state`.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    tensors = {
        f"{names[id(p)]}|{key}": value.contiguous()
        for p, entry in optimizer.state.items()
        for key, value in entry.items()
    }
    tensors |= {_EXTRA + name: value.detach().clone() for name, value in (extra or {}).items()}
    with models.replacing(folder) as aside:
        models.write(model, tokenizer, aside)
        save_file(tensors, aside / _TENSORS)
        sums = {file.name: _sum(file) for file in sorted(aside.iterdir())}
        (aside / _STATE).write_text(json.dumps({**state, _KEPT: sums}), encoding="utf-8")


def has_state(folder: str | Path) -> bool:
    """Whether there is a checkpoint to go on from (after repairing an interrupted replacement).

    Raises CourseError for weights without a state: a run that began anew would write over them.
    """
    models.recover(folder)
    folder = Path(folder)
    if os.path.isfile(folder / _STATE):
        return True
    if os.path.isdir(folder) and any(folder.glob("*.safetensors")):
        raise damaged(folder, ValueError(f"it lacks {_STATE}"))
    return False


def read_state(folder: str | Path) -> Line:
    """A checkpoint's `state`, once its files are seen to be those that were saved.

    Raises CourseError for a damaged checkpoint.
    """
    folder = Path(folder)
    try:
        state = records.loaded(folder / _STATE)
        step = state["step"]
        if type(step) is not int or step < 0:
            raise ValueError(f"step {step!r}")
        if any(type(line["step"]) is not int for line in state.get("lines") or ()):
            raise ValueError("lines without a step")
        for name, kept in state.pop(_KEPT, {}).items():
            if _sum(folder / name) != kept:
                raise ValueError(f"{name} is not what was saved")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise damaged(folder, error) from error
    return state


def load_state(
    folder: str | Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer
) -> Line:
    """Put a checkpoint's moments into `optimizer` and return its `state`.

    `model` is the one loaded from the same folder. Tensors that were saved as `extra` are in
    `state["extra"]`, by name. Raises CourseError for a damaged checkpoint.
    """
    folder = Path(folder)
    state = read_state(folder)
    try:
        tensors = load_file(folder / _TENSORS, device=str(model.device))
        parameters = dict(model.named_parameters())
        state["extra"] = {}
        for entry, mapped in tensors.items():
            value = mapped.clone()  # nothing of the file stays open: see models.load
            if entry.startswith(_EXTRA):
                state["extra"][entry.removeprefix(_EXTRA)] = value
                continue
            name, _, key = entry.partition("|")
            _check_moment(parameters[name], key, value)
            # Adam's step counter lives on the CPU whatever the device.
            optimizer.state[parameters[name]][key] = value.cpu() if key == "step" else value
    except (OSError, ValueError, LookupError, SafetensorError) as error:
        raise damaged(folder, error) from error
    if not all(bool(torch.isfinite(p).all()) for p in parameters.values()):
        raise damaged(folder, ValueError("weights that are not finite"))
    return state


def _check_moment(parameter: Tensor, key: str, value: Tensor) -> None:
    if key != "step" and value.shape != parameter.shape:
        raise ValueError(f"{key} of shape {tuple(value.shape)}")
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{key} is not finite")


def damaged(folder: Path, error: Exception) -> CourseError:
    """The sentence for a checkpoint that `error` was met in."""
    reason = str(error) if type(error) is ValueError else type(error).__name__
    return CourseError(
        f"The checkpoint in {folder} is damaged ({reason}); delete the folder to start again, or "
        "copy the checkpoint anew."
    )


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Log:
    """One JSON object a line, one line a step, in a file that a resumed run goes on writing."""

    def __init__(self, path: Path | None, keep: int, lines: Sequence[Line] | None = None) -> None:
        """Open `path` for appending, keeping only lines whose `step` is at most `keep`.

        `lines` are those that a checkpoint holds; without them the file's own are taken. Without a
        `path` the log is not written.
        """
        self.path = path
        found = lines if lines is not None else read_log(path) if path else []
        self.lines = [x for x in found if x["step"] <= keep]
        if path is None:
            return
        aside = path.with_suffix(".new")
        with telling(path):
            aside.write_text("".join(json.dumps(x) + "\n" for x in self.lines), encoding="utf-8")
            aside.replace(path)

    def write(self, line: Line) -> None:
        """Append one line."""
        self.lines.append(line)
        if self.path is None:
            return
        with telling(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_log(path: str | Path) -> list[Line]:
    """The lines of a log, up to the first that is no step's (see `records.lines`); [] without one.

    Raises CourseError for a log that is there and cannot be read.
    """
    path = Path(path)
    if not os.path.isfile(path):
        return []
    try:
        read = records.lines(path)
        return list(takewhile(lambda line: isinstance(line.get("step"), int | float), read))
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}).") from error
