"""The time to grade a class of 30, some hostile: `python tests/benchmarks/bench_grade.py`.

The goal is 5 minutes for 30 submissions of one lesson on two cores. Prints one line with the wall
time, the processor time of all processes, and how many verdicts were as they should be.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

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


def main(lesson: str = "03_r1_zero", size: str = "30", jobs: str = "2") -> None:
    total = len(catalogue.of_lesson(lesson))
    with tempfile.TemporaryDirectory() as name:
        kinds = make(Path(name), lesson, int(size), EDITS[lesson])
        started = time.perf_counter()
        grades = grade_class(Path(name), lessons=[lesson], jobs=int(jobs))
        seconds = time.perf_counter() - started
    good = 0
    for grade in grades:
        kind = kinds[grade.student]
        right = {total} if kind in HOSTILE else {0} if kind == "empty" else {total, total - 1}
        good += grade.right in right
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{lesson}: {len(grades)} submissions, {sum(kind in HOSTILE for kind in kinds.values())} "
        f"hostile, jobs {jobs}: {seconds:.0f} s wall, {cpu:.0f} s of processors, "
        f"{good} of {len(grades)} graded right"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
