"""Install the course into `.venv` beside it, with nothing but Python: no pip, no PyTorch selector.

    python3 course_lib/local/install.py            the build of torch that suits this machine
    python3 course_lib/local/install.py --cpu      the small one, wherever you are
    python3 course_lib/local/install.py --wheels FOLDER       without a network
    python3 course_lib/local/install.py --collect FOLDER      make such a folder on a like machine

On Linux a plain `pip install torch` takes a CUDA build of several GB. uv, which this installs
first, knows where PyTorch keeps its other builds and takes the small one where there is no GPU.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UV = "uv==0.13.9"
PYTHONS = ((3, 11), (3, 14))
MACOS = 14
DISK, SCRATCH = 4e9, 3e9
"""Bytes that the course takes, and that an installation wants for a while beside it."""
CUDA = 9e9  # bytes that an installation with CUDA's build of torch takes at its peak

_NO_BUILD = {
    ("Darwin", "x86_64"): "an Intel Mac: PyTorch makes no builds for it since 2.3",
    ("Windows", "ARM64"): "Windows on ARM: torch 2.13 and llama.cpp have no builds for it",
}


class CannotInstall(Exception):
    """Why it cannot be done, and what to do, in a sentence or two."""


def main(argv: list[str] | None = None) -> int:
    """The command line; 0 once the course is installed, 1 with a sentence where it cannot be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="the small build of torch, GPU or not")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--wheels", type=Path, metavar="FOLDER", help="take all from FOLDER")
    way.add_argument("--collect", type=Path, metavar="FOLDER", help="fill FOLDER for --wheels")
    parser.add_argument(
        "--into", type=Path, default=ROOT / ".venv", help="the environment's folder"
    )
    args = parser.parse_args(argv)
    try:
        refuse_what_cannot_be()
        install(args)
    except CannotInstall as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


def refuse_what_cannot_be() -> None:
    """Raise CannotInstall for a Python or a machine for which parts of the course do not exist."""
    first, last = PYTHONS
    if not first <= sys.version_info[:2] <= last:
        raise CannotInstall(
            f"This is Python {platform.python_version()}; the course runs on {first[0]}.{first[1]} "
            f"to {last[0]}.{last[1]} (torch 2.13 has no build for 3.15). Install one of these and "
            "call it by its name, for example python3.13 course_lib/local/install.py."
        )
    if reason := _NO_BUILD.get((platform.system(), platform.machine())):
        raise CannotInstall(
            f"The course cannot be installed here: this is {reason}. Use the browser (Binder or "
            "Colab, see the README), or another machine."
        )
    macos = platform.mac_ver()[0].partition(".")[0]
    if macos and int(macos) < MACOS:
        raise CannotInstall(
            f"This is macOS {macos}; torch 2.13 has builds for macOS {MACOS} and newer only. "
            "Update it, or use the browser (Binder or Colab, see the README)."
        )
    if sys.maxsize < 2**32:
        raise CannotInstall("This is a 32-bit Python; install the 64-bit one.")


def install(args: argparse.Namespace) -> None:
    """Make the environment and fill it. Raises CannotInstall where a step fails."""
    began = time.monotonic()
    python = environment(args.into)
    settings = room(args.into)
    requirements = ["-r", str(ROOT / "requirements.txt")]
    pip = [str(python), "-m", "pip"]
    build = "cpu" if args.cpu else "auto"
    if args.collect:
        do([*pip, "install", "-q", UV], settings)
        needed = [*_index(python, build, settings), *_pins(), "setuptools>=77", UV]
        do([*pip, "download", "-d", str(args.collect), *needed], settings)
        print(f"Carry {args.collect} to the other machine and give it with --wheels.")
        return
    if args.wheels:
        offline = ["--no-index", "--find-links", str(args.wheels)]
        do([*pip, "install", "-q", *offline, "setuptools>=77"], settings)
        do([*pip, "install", *offline, "--no-build-isolation", *requirements], settings)
    else:
        do([*pip, "install", "-q", UV], settings)
        _from_the_network(python, requirements, build, settings)
    _tell(python, args.into, time.monotonic() - began)


def environment(folder: Path) -> Path:
    """The Python of the environment in `folder`, made where there is none."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.exists() and _works([str(python), "-m", "pip", "--version"]):
        return python
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        raise CannotInstall(_why_no_environment(folder, made.stdout + made.stderr))
    return python


def _why_no_environment(folder: Path, said: str) -> str:
    if "ensurepip" in said or "No module named venv" in said:
        return (
            "This Python cannot make environments. On Debian and Ubuntu: apt install python3-venv "
            "(as root, or with sudo), then give the command again. Without the right to do so, ask "
            "who runs the machine, or take Python from conda-forge or python.org."
        )
    last = (said.strip().splitlines() or ["no reason given"])[-1]
    return f"{folder} could not be made: {last}."


def room(folder: Path) -> dict[str, str]:
    """Settings for the installers, past a /tmp that is small (Debian 13 keeps it in memory)."""
    free = shutil.disk_usage(folder).free
    if free < DISK:
        raise CannotInstall(
            f"{folder} has {free / 1e9:.1f} GB free and the course takes {DISK / 1e9:.0f} GB; make "
            "room, or name another disk with --into."
        )
    settings = {"UV_LINK_MODE": "copy"}
    if shutil.disk_usage(tempfile.gettempdir()).free < SCRATCH:
        scratch = folder / "tmp"
        scratch.mkdir(exist_ok=True)
        settings["TMPDIR"] = settings["TEMP"] = settings["TMP"] = str(scratch)
    return settings


def _from_the_network(
    python: Path, requirements: list[str], build: str, settings: dict[str, str]
) -> None:
    """uv with PyTorch's own builds; what pip finds where their index cannot be reached."""
    uv = [str(python), "-m", "uv", "pip", "install", "--python", str(python)]
    try:
        do([*uv, "--torch-backend", build, *requirements], settings)
    except CannotInstall:
        print("PyTorch's own index could not be used; taking the build that pip finds.")
        if platform.system() == "Linux":
            _room_for_cuda(python.parents[1])
        do([str(python), "-m", "pip", "install", *requirements], settings)


def _room_for_cuda(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    print("On Linux that may be CUDA's: 2.7 GB to fetch, 5.8 GB on the disk, GPU or not.")
    if free < CUDA:
        raise CannotInstall(
            f"{folder} has {free / 1e9:.1f} GB free and that build wants {CUDA / 1e9:.0f} GB while "
            "it is installed. Make room, name another disk with --into, or fill a folder with "
            "--collect where the index can be reached, and give it here with --wheels."
        )


def _index(python: Path, build: str, settings: dict[str, str]) -> list[str]:
    """Where PyTorch keeps the `build` of this machine, as uv knows it, in an option of pip's."""
    torch = next(pin for pin in _pins() if pin.startswith("torch=="))
    compiled = subprocess.run(
        [str(python), "-m", "uv", "pip", "compile", "--python", str(python), "--no-deps",
         "--emit-index-annotation", "--torch-backend", build, "-"],
        input=torch, capture_output=True, text=True, env={**os.environ, **settings},
    )  # fmt: skip
    if compiled.returncode:
        raise CannotInstall(
            "PyTorch's own index could not be used, so the build of torch for this machine cannot "
            f"be collected: {compiled.stderr.strip()[:300]}"
        )
    found = re.search(r"# from (\S+)", compiled.stdout)
    return ["--extra-index-url", found[1]] if found else []


def _pins() -> list[str]:
    """What is fetched; not the course itself, which pip would pack up with all that lies in it."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def do(command: list[str], settings: dict[str, str]) -> None:
    """Run a step in the course's folder, shown as it goes. Raises CannotInstall if it fails."""
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, env={**os.environ, **settings}, cwd=ROOT)
    if done.returncode:
        raise CannotInstall(f"This step failed; the reason stands above: {' '.join(command)}")


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def _tell(python: Path, folder: Path, seconds: float) -> None:
    """What was installed, and the next command."""
    look = (
        "import torch; print(torch.__version__, 'with' if torch.cuda.is_available() else 'without')"
    )
    done = subprocess.run([str(python), "-c", look], capture_output=True, text=True)
    if done.returncode:
        raise CannotInstall(
            f"torch was installed and cannot be loaded: {done.stderr.strip()[-300:]}"
        )
    size = sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    version, gpu = done.stdout.split()
    print(
        f"Installed in {seconds / 60:.0f} min, {size / 1e9:.1f} GB: torch {version}, {gpu} a GPU."
    )
    as_root = " --allow-root" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    print(f"Begin with: {python.parent / 'jupyter'} lab{as_root} notebooks/00_start_here.ipynb")


if __name__ == "__main__":
    sys.exit(main())
