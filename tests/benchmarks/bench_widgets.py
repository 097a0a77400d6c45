"""From a slider's move to the changed picture and words: the computing part, for every widget.

python tests/benchmarks/bench_widgets.py [--moves 40] [--most 100]

Each control of each widget is set to other values of its own, as the reader's hand would, and the
time until picture and words are new is taken. The exit status is 1 where the 95th percentile of a
widget is not under `--most` milliseconds. What the browser then needs to draw is not in it.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

os.environ["INSIDE_R1_HOME"] = tempfile.mkdtemp(prefix="inside-r1-")
sys.path.insert(0, str(Path(__file__).parents[2]))

import ipywidgets as ipw

from course_lib.errors import CourseError
from course_lib.runtime import use_threads
from course_lib.widgets.base import Widget
from tests import gallery


def other_values(control: ipw.ValueWidget) -> list[Any]:
    """Values that a control can take."""
    if isinstance(control, ipw.Checkbox):
        return [False, True]
    if isinstance(control, (ipw.Text, ipw.Textarea)):
        return [str(number) for number in range(10)]
    if hasattr(control, "options"):
        return [value for _, value in control._options_full]
    low, high = control.min, min(control.max, 1e4)
    steps = [low + (high - low) * part / 10 for part in range(11)]
    whole = isinstance(control, ipw.IntSlider)
    return [round(value) if whole else value for value in steps]


def moves(widget: Widget, wanted: int) -> list[float]:
    """Milliseconds of at least `wanted` moves, spread over the controls."""
    if not widget._controls:
        return [_draw(widget) for _ in range(wanted)]
    taken = []
    each = -(-wanted // len(widget._controls))
    for control in widget._controls.values():
        for value in islice(cycle(other_values(control)), 2 * each):
            if value != control.value and len(taken) < 10 * wanted:
                began = time.perf_counter()
                control.value = value
                taken.append(1000 * (time.perf_counter() - began))
                assert widget._status.text == widget.text(), "the words are not the new ones"
    return taken


def _draw(widget: Widget) -> float:
    """Milliseconds of one drawing of a widget that has no control and is fed by a run."""
    began = time.perf_counter()
    widget.picture(), widget.text()
    return 1000 * (time.perf_counter() - began)


def main() -> int:
    """Measure, print a table, and say whether all were quick enough."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--moves", type=int, default=40, help="moves of each widget, at least")
    parser.add_argument("--most", type=float, default=100, help="milliseconds allowed")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"{use_threads()} torch threads, load {os.getloadavg()[0]:.1f}")
    print(f"{'widget':22}{'moves':>6}{'median':>9}{'p95':>9}{'most':>9}  ms")
    slow, latest = [], 0.0
    for name, make in gallery.MAKERS.items():
        try:
            widget = make()
        except CourseError as error:
            print(f"{name:22} left out: {error}")
            continue
        assert widget.widget is not None
        taken = sorted(moves(widget, options.moves))
        late = statistics.quantiles(taken, n=20)[-1]
        print(f"{name:22}{len(taken):6}{statistics.median(taken):9.2f}{late:9.2f}{taken[-1]:9.2f}")
        slow, latest = slow + [name] * (late >= options.most), max(latest, late)
    print(f"the slowest 95th percentile: {latest:.2f} ms")
    print(f"Not under {options.most:g} ms: {', '.join(slow)}" if slow else "All quick enough.")
    return int(bool(slow))


if __name__ == "__main__":
    raise SystemExit(main())
