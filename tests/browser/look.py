"""Take pictures of notebooks as a learner sees them after *Run All*.

python -m tests.browser.look notebooks/01_cost_reset.ipynb --out /tmp/pictures --dark
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from . import lab


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line, parsed."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.look", description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=lab.ARTEFACTS, help="folder for the pictures")
    parser.add_argument("--dark", action="store_true", help="the dark theme only (else both)")
    parser.add_argument("--width", type=int, default=1366, help="CSS pixels")
    parser.add_argument("--no-run", action="store_true", help="as saved, without running it")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Take the pictures; the exit status is 1 if a notebook failed."""
    options = arguments(given)
    if lab.missing():
        print(lab.missing(), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        home, folder = Path(temporary) / "home", Path(temporary) / "served"
        home.mkdir()
        for path in options.notebooks:
            (folder / "notebooks").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / "notebooks")
        with lab.serve(folder, home) as address, lab.browser() as engine:
            profile = engine.new_context()
            failed = [look_at(profile, address, path, options) for path in options.notebooks]
    return int(any(failed))


def look_at(profile, address: str, path: Path, options: argparse.Namespace) -> bool:
    """One notebook: run it, take its pictures, say what went wrong; True if something did."""
    with lab.notebook(profile, address, f"notebooks/{path.name}", options.width) as opened:
        state = opened.state() if options.no_run else opened.run_all()
        for theme in ("dark",) if options.dark else ("light", "dark"):
            opened.theme(theme)
            stem = options.out / f"{path.stem}-{theme}-{options.width}"
            print(*opened.screenshots(stem, options.width), sep="\n")
        for trouble in [*state["errors"], *opened.console]:
            print(f"{path.name}: {trouble[:500]}", file=sys.stderr)
        return bool(state["errors"] or opened.console)


if __name__ == "__main__":
    raise SystemExit(main())
