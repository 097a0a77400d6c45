"""Training state on disk: a Hugging Face folder with the optimiser beside the weights, and a log.

A checkpoint is written aside and renamed, so a run that is killed at any moment goes on from its
last one. Everything is safetensors and JSON; nothing that is read back can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib import records
from course_lib.errors import CourseError
from course_lib.model import models

_TENSORS, _STATE = "trainer.safetensors", "trainer.json"
ABOUT = "run.json"
"""The file in a run's folder that says what the run is made of."""


def claim(out: Path, about: Mapping[str, Any]) -> None:
    """Write into the folder `out` what a run is made of, or find that it is the run there.

    `about` is its settings by name, and whatever else decides it. Raises CourseError for a folder
    with another run, naming what differs: a run goes on as it began, or its curve would mean
    nothing.
    """
    path, ours = out / ABOUT, json.loads(json.dumps(about))
    if not path.is_file():
        records.write(path, ours)
        return
    theirs = records.read(path, "the same command in another folder", what="settings of a run")
    changed = sorted(k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k))
    if changed:
        raise CourseError(
            f"{out} belongs to a run with other settings ({', '.join(changed)}); give another "
            "--out, or delete the folder to start again."
        )


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
    state: dict,
) -> None:
    """Write the model, its tokenizer, the optimiser's moments and `state` (JSON) as one folder."""
    names = {id(p): name for name, p in model.named_parameters()}
    moments = {
        f"{names[id(p)]}|{key}": value.contiguous()
        for p, entry in optimizer.state.items()
        for key, value in entry.items()
    }
    with models.replacing(folder) as aside:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        save_file(moments, aside / _TENSORS)
        (aside / _STATE).write_text(json.dumps(state))


def has_state(folder: str | Path) -> bool:
    """Whether there is a checkpoint to go on from (after repairing an interrupted replacement)."""
    models.recover(folder)
    return (Path(folder) / _STATE).is_file()


def load_state(
    folder: str | Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer
) -> dict:
    """Put a checkpoint's moments into `optimizer` and return its `state`.

    `model` is the one loaded from the same folder. Raises CourseError for a damaged checkpoint.
    """
    folder = Path(folder)
    try:
        state = json.loads((folder / _STATE).read_text())
        moments = load_file(folder / _TENSORS, device=str(model.device))
    except (OSError, ValueError, SafetensorError) as error:
        raise CourseError(
            f"The checkpoint in {folder} is damaged ({type(error).__name__}); delete the folder to "
            "start again, or copy the checkpoint anew."
        ) from error
    parameters = dict(model.named_parameters())
    for entry, value in moments.items():
        name, _, key = entry.partition("|")
        if name in parameters:
            # Adam's step counter lives on the CPU whatever the device.
            optimizer.state[parameters[name]][key] = value.cpu() if key == "step" else value
    return state


class Log:
    """One JSON object a line, one line a step, in a file that a resumed run goes on writing."""

    def __init__(self, path: Path, keep: int) -> None:
        """Open `path` for appending, keeping only lines whose `step` is at most `keep`."""
        self.path = path
        lines = [line for line in read_log(path) if line["step"] <= keep]
        aside = path.with_suffix(".new")
        aside.write_text("".join(json.dumps(line) + "\n" for line in lines))
        aside.replace(path)
        self.lines = lines

    def write(self, line: dict) -> None:
        """Append one line."""
        self.lines.append(line)
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise CourseError(
                f"{self.path} could not be written ({error.strerror}); make room and start again: "
                "the run goes on from its last checkpoint."
            ) from error


def read_log(path: str | Path) -> list[dict]:
    """The lines of a log; a last line that was cut short by a kill is left out."""
    path = Path(path)
    out = []
    if path.is_file():
        for text in path.read_text().splitlines():
            try:
                out.append(json.loads(text))
            except ValueError:
                break
    return out
