"""The live page in Chromium: seconds until it can be used, and tokens a second of each model.

python tests/benchmarks/bench_live.py [--puzzles 60] [--least 100]

The page is written to a temporary folder and opened from there, a fresh browser for each of five
openings. A token counts when the model has read it, those of the question included. The exit status
is 1 where a model writes fewer than `--least` tokens a second or the page takes more than 2 s.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from course_lib.task import puzzles
from course_lib.widgets.live import page as live
from tests.browser import lab

_SPEED = """async ([puzzles, name]) => {
  const model = await insideR1.load(name);
  await insideR1.answer(puzzles[0], { model: name });
  let tokens = 0;
  const start = performance.now();
  for (const puzzle of puzzles) {
    const text = await insideR1.answer(puzzle, { model: name });
    tokens += model.promptIds(insideR1.puzzle.parse(puzzle)).length + model.encode(text).length;
  }
  return 1000 * tokens / (performance.now() - start);
}"""
_USABLE = """async () => {
  await Promise.all(["base", "r1-zero"].map(insideR1.load));
  return performance.now();
}"""


def usable(engine: Any, site: Path) -> float:
    """Seconds from the start of the page's loading until both of its first models can answer."""
    opened = engine.new_page()
    opened.goto(site.as_uri())
    seconds = opened.evaluate(_USABLE) / 1000
    opened.close()
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--puzzles", type=int, default=60)
    parser.add_argument("--least", type=float, default=100)
    args = parser.parse_args()
    asked = [str(puzzle) for puzzle in puzzles.sample(args.puzzles, 0, "test")]
    with tempfile.TemporaryDirectory() as folder, lab.browser() as engine:
        site = live.write(Path(folder))
        ready = statistics.median(usable(engine, site) for _ in range(5))
        page = engine.new_page()
        page.goto(site.as_uri())
        speeds = {name: page.evaluate(_SPEED, [asked, name]) for name in live.OFFERED}
        said = (
            f"Chromium {engine.version}, {platform.machine()}, Python {platform.python_version()}"
        )
    print(f"{said}: both models can answer {ready:.2f} s after the page begins to load")
    for name, speed in speeds.items():
        print(f"{name:<10} {speed:6.0f} tokens/s")
    return int(min(speeds.values()) < args.least or ready > 2)


if __name__ == "__main__":
    sys.exit(main())
