"""Where a learner's runs are kept: the folder `runs` beside `notebooks`."""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """`runs` from the course's folder, `../runs` from a notebook's; it need not exist yet."""
    here = Path.cwd()
    in_notebooks = not (here / "notebooks").is_dir() and (here.parent / "notebooks").is_dir()
    return Path("../runs") if in_notebooks else Path("runs")
