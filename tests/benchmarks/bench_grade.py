"""The time to grade a class of 30, some hostile: `python tests/benchmarks/bench_grade.py`.

The goal is 5 minutes for 30 submissions of one lesson on two cores. Prints one line with the wall
time, the processor time of all processes, and how many verdicts were as they should be.
"""

import contextlib
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "exercises"))

from classroom import HOSTILE, make

from course_lib.classroom.checks import catalogue
from course_lib.classroom.grade import grade_class

EDITS = {
    "01_cost_reset": [{}, {"(thinking + answer)": "answer"}, {"empty": True}],
    "03_r1_zero": [
        {},
        {"keepdim=True) + eps": "keepdim=True, correction=0) + eps"},
        {"empty": True},
    ],
}


class Processors:
    """Seconds of processor of this process and all below it, by looking every so often: a
    sandbox's processes are nobody's children when they end."""

    def __init__(self, every: float = 0.5) -> None:
        self.seconds: dict[tuple[int, float], float] = {}
        self.done = threading.Event()
        threading.Thread(target=self._look, args=(every,), daemon=True).start()

    def total(self) -> float:
        return sum(list(self.seconds.values()))  # a copy: the thread goes on

    def _look(self, every: float) -> None:
        own = psutil.Process()
        while not self.done.wait(every):
            for one in (own, *own.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    self.seconds[one.pid, one.create_time()] = sum(one.cpu_times()[:2])


def main(lesson: str = "03_r1_zero", size: str = "30", jobs: str = "2") -> None:
    total = len(catalogue.of_lesson(lesson))
    with tempfile.TemporaryDirectory() as name:
        kinds = make(Path(name), lesson, int(size), EDITS[lesson])
        started, processors = time.perf_counter(), Processors()
        grades = grade_class(Path(name), lessons=[lesson], jobs=int(jobs))
        seconds = time.perf_counter() - started
    good = 0
    for grade in grades:
        kind = kinds[grade.student]
        mistaken = {total, total - 2}  # the exercise, and the one that uses it
        right = {total} if kind in HOSTILE else {0} if kind == "empty" else mistaken
        good += grade.right in right
    processors.done.set()
    cpu, memory = processors.total(), psutil.Process().memory_info().rss
    print(
        f"{lesson}: {len(grades)} submissions, {sum(kind in HOSTILE for kind in kinds.values())} "
        f"hostile, jobs {jobs}: {seconds:.0f} s wall, {cpu:.0f} s of processors, "
        f"{memory / 2**20:.0f} MB, {good} of {len(grades)} graded right"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
