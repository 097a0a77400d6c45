"""The course on Google Colab: a first cell that runs only there, and what it starts.

Colab's own packages are left as they are: replacing the ones in `KEPT` can crash its runtime. This
file is run by its path (`%run`), before the course can be imported, and needs only Python.

    python -m course_lib colab --address https://... --out DIR   notebooks with that cell in front
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

KEPT = (
    "torch", "numpy", "pandas", "scipy", "ipykernel", "ipywidgets", "ipython", "plotly",
    "jupyterlab", "psutil", "tornado", "jinja2", "httpx",
)  # fmt: skip
"""Packages that are Colab's own; of these nothing is installed and nothing replaced."""

_CELL = """# This cell acts on Google Colab only; anywhere else it does nothing.
import os

if "COLAB_RELEASE_TAG" in os.environ:
    !test -d /content/inside-r1 || git clone -q {address} /content/inside-r1
    %run /content/inside-r1/course_lib/show/colab.py"""
_TOLD = """Ready: the course is in {root}; run the cells below in order.
What you make here (runs, progress, reports) ends with this machine, which Colab takes back after \
some idle time. To keep it, copy /content/mine to your Drive or download it."""


def wanted(requirements: str) -> list[str]:
    """The lines of a requirements file that Colab has no package of its own for."""
    lines = [line.split("#")[0].strip() for line in requirements.splitlines()]
    names = {line: re.split(r"[=<>!~\[ ]", line)[0].lower() for line in lines if line}
    own = [line for line, name in names.items() if not line.startswith("-")]
    return [line for line in own if names[line].replace("_", "-") not in KEPT]


def held() -> list[str]:
    """Colab's packages as they are, for pip to build around."""
    found = []
    for name in KEPT:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name}=={metadata.version(name).partition('+')[0]}")
    return found


def prepare(root: Path) -> None:
    """Install what is missing, make the course importable, and say what ends with the machine."""
    requirements = (root / "requirements.txt").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        held_back = Path(folder, "held.txt")
        held_back.write_text("\n".join(held()), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "-q", *wanted(requirements)]
        done = subprocess.run([*command, "-c", str(held_back)])
    if done.returncode:
        print("Some packages could not be installed; what needs them will say so.")
    os.environ.setdefault("INSIDE_R1_HOME", "/content/mine")
    os.environ.setdefault("INSIDE_R1_RUNS", os.environ["INSIDE_R1_HOME"] + "/runs")
    sys.path.insert(0, str(root))
    paths = (str(root), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    print(_TOLD.format(root=root))


def with_cell(notebook: dict, address: str) -> dict:
    """A notebook with the first cell in front of it."""
    source = _CELL.format(address=address).splitlines(keepends=True)
    cell = {"cell_type": "code", "id": "on-colab", "metadata": {"tags": ["nbval-skip"]},
            "execution_count": None, "outputs": [], "source": source}  # fmt: skip
    return {**notebook, "cells": [cell, *notebook["cells"]]}


def main(argv: list[str] | None = None) -> int:
    """Write the lessons and exercises with the first cell, for a repository at `--address`."""
    from course_lib import records
    from course_lib.errors import CourseError
    from course_lib.runtime import ROOT, new_folder

    parser = argparse.ArgumentParser(prog="python -m course_lib colab", description=main.__doc__)
    parser.add_argument("--address", required=True, help="where git clones the course from")
    parser.add_argument("--out", type=new_folder, required=True, help="a folder for the notebooks")
    args = parser.parse_args(argv)
    if not re.fullmatch(r"https://[\w./~-]+", args.address):
        raise CourseError(f"{args.address!r} is no address for git: it begins with https://.")
    for path in sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("exercises/*.ipynb")]):
        target = args.out / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        notebook = records.read(path, f"git checkout {path}", lambda n: n["cells"], "notebook")
        made = with_cell(notebook, args.address)
        target.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"Written to {args.out}; put them into the repository and open them from there.")
    return 0


if __name__ == "__main__" and "COLAB_RELEASE_TAG" in os.environ:
    prepare(Path(__file__).resolve().parents[2])
