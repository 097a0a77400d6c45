"""Recorded results: how one is stamped, kept, found again and introduced in a sentence.

A record is a dict in a JSON file that says what was measured and how, where and when. The course's
own stand in `assets/recorded/`; a reader's are in the folder of the run that made them.
"""

import codecs
import contextlib
import hashlib
import json
import os
import platform
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.runtime import ASSETS, LIBRARY, new_folder, runs

RECORDED = ASSETS / "recorded"

Record = dict[str, Any]


def stamp(machine: str, command: str) -> Record:
    """Where, when and how a record is made: what every record begins with."""
    return {
        "machine": machine,
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "torch": metadata.version("torch"),
    }


def parser(command: str, description: str | None, out: str) -> ArgumentParser:
    """Of a command that makes a record: it takes `--out`, whose help is `out`, and `--machine`."""
    made = ArgumentParser(prog=f"python -m course_lib {command}", description=description)
    made.add_argument("--out", type=new_folder, required=True, help=out)
    machine = platform.processor() or platform.machine()
    made.add_argument("--machine", default=machine, help="said in the record")
    return made


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Keep a record in one piece: whoever reads meanwhile sees the old one or the new one."""
    write_text(path, json.dumps(record) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.new")
    try:
        with naming(path):
            aside.write_text(text, encoding="utf-8")
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError of writing name the file: a full disk's names none."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def parsed(text: str | bytes, name: str = "it") -> Any:
    """The value of a JSON text. Raises ValueError for what is none, or is nested too deep.

    The error says `name` of it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{name} is nested too deep") from None
    except ValueError:
        raise ValueError(f"{name} is no JSON, or it was cut off") from None


def loaded(path: str | Path) -> Any:
    """The value in a JSON file, with or without the mark that Notepad puts first.

    Raises OSError or ValueError where there is none to be read.
    """
    return parsed(Path(path).read_bytes().removeprefix(codecs.BOM_UTF8), Path(path).name)


def lines(path: str | Path) -> Iterator[Record]:
    """The objects of a log, one a line, up to the first line that is none; empty ones hold nothing.

    A kill may have cut the last line short. Raises OSError where the file cannot be read.
    """
    with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
        for text in filter(str.strip, file):
            try:
                line = parsed(text)
            except ValueError:
                return
            if not isinstance(line, dict):
                return
            yield line


def read(
    path: str | Path,
    command: str,
    check: Callable[[Record], Any] | None = None,
    what: str = "record",
) -> Record:
    """The record in a file; `check` may look at it and raise what it likes for a wrong one.

    Raises CourseError, with the command that makes the record, where there is none to be read.
    """
    try:
        record = loaded(path)
        if not isinstance(record, dict):
            raise TypeError("not an object")
        if check is not None:
            check(record)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CourseError(f"{path} holds no {what}; `{command}` makes one.") from error
    return record


def said(record: Mapping[str, Any], about: str = "") -> str:
    """Where, when and how a record was made, in a sentence; `about` is what else is to be said."""
    torch = f", torch {record['torch']}" if "torch" in record else ""
    return f"Recorded {record['date']} on {record['machine']}{torch}{about}: {record['command']}"


def once(name: str, settings: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """What `make()` gives (what JSON can hold), from a reader's runs where it was made before.

    Other settings or another version of the course make it anew; so does a file that is not as it
    was written. Where nothing can be written it is made each time.
    """
    text = json.dumps([name, settings, _course()], sort_keys=True)
    folder = runs() / f"{name}-{_digest(text)[:8]}"
    with contextlib.suppress(OSError, ValueError):
        mark, kept = (folder / "kept.json").read_text(encoding="utf-8").split("\n", 1)
        if mark == _digest(kept):
            print(f"Kept from before; to run it again, delete {folder}.")
            return json.loads(kept)
    kept = json.dumps(make())
    with contextlib.suppress(OSError):
        write_text(folder / "kept.json", f"{_digest(kept)}\n{kept}")
    return json.loads(kept)  # as it will be the next time


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _course() -> str:
    """A fingerprint of all that a result may depend on: the course's code, settings and models."""
    whole = hashlib.sha256()
    for file in sorted(LIBRARY.rglob("*")):
        if file.suffix in (".py", ".toml", ".safetensors") and file.is_file():
            whole.update(file.read_bytes())
    return whole.hexdigest()
