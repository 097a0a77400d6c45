"""Where things are kept: what comes with the course, and what a learner makes."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The course's folder, with `notebooks` and `exercises` in it (where it runs from a checkout)."""

LIBRARY = Path(__file__).resolve().parent
ASSETS = LIBRARY / "assets"
"""Models, records and texts that come with the course."""


def runs() -> Path:
    """Where a learner's runs are kept: the folder `runs` beside `notebooks`; it need not exist yet.

    It is `runs` from the course's folder and `../runs` from a notebook's.
    """
    here = Path.cwd()
    in_notebooks = not (here / "notebooks").is_dir() and (here.parent / "notebooks").is_dir()
    return Path("../runs") if in_notebooks else Path("runs")
