"""Seconds until R1-Zero passes 71 and 90 %, by two threads and by one, seed by seed.

    python tests/benchmarks/bench_zero.py [--seeds 5]

The two take turns. Both learn the same but for rounding, so one thread is stopped at 71 %.
Accuracy is measured every 20 steps, and the seconds are those of the run's own log, evaluation
included.
"""

import argparse
import os
import statistics
import tempfile

from course_lib.rl import zero

GOALS = (0.71, 0.90)


def passed(seed: int, threads: int, goals: tuple[float, ...]) -> list[tuple[float, int]]:
    """(seconds, step) at which each of the goals was passed; fewer where the run ended before."""
    os.environ["INSIDE_R1_THREADS"] = str(threads)
    left, found = list(goals), []
    with tempfile.TemporaryDirectory() as out:
        for line in zero.run(out, zero.ZeroConfig(seed=seed)):
            while left and line.get("accuracy", 0) >= left[0]:
                found.append((line["seconds"], line["step"]))
                left.pop(0)
            if not left:
                break
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    two, one = [], []
    for seed in range(parser.parse_args().seeds):
        one += passed(seed, 1, GOALS[:1])
        two.append(passed(seed, 2, GOALS))
        told = ", ".join(f"{seconds:.1f} s (step {step})" for seconds, step in two[-1])
        print(f"seed {seed}: one thread {one[-1][0]:.1f} s; two {told}", flush=True)
    print(f"71%, one thread: median {statistics.median(s for s, _ in one):.1f} s")
    for i, goal in enumerate(GOALS):
        times = [seed[i][0] for seed in two if len(seed) > i]
        median = statistics.median(times) if times else float("nan")
        print(f"{goal:.0%}, two threads: median {median:.1f} s, {len(times)} of {len(two)} seeds")


if __name__ == "__main__":
    main()
