"""Seconds until R1-Zero passes 71 and 90 %, by two threads and by one, seed by seed.

    python tests/benchmarks/bench_zero.py [--seeds 5]
    python tests/benchmarks/bench_zero.py --seeds 5 --first 1 --steps 260  # instead: its end

The two take turns. Both learn the same but for rounding, so one thread is stopped at 71 %.
Accuracy is measured every 20 steps, for the end on 2,048 puzzles before the first and after the
last step, and the seconds are those of the run's own log, evaluation included.
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


def end(seed: int, steps: int) -> tuple[float, float]:
    """The accuracy on held-out puzzles after a whole run of so many steps, and its seconds."""
    os.environ["INSIDE_R1_THREADS"] = "2"
    config = zero.ZeroConfig(seed=seed, steps=steps, evaluate_every=steps, evaluate_puzzles=2048)
    with tempfile.TemporaryDirectory() as out:
        *_, last = zero.run(out, config)
    print(f"seed {seed}: {last['accuracy']:.1%} after {last['seconds']:.0f} s", flush=True)
    return last["accuracy"], last["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--steps", type=int, help="the end of whole runs of so many steps")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.seeds)
    if args.steps:
        rights, seconds = zip(*(end(seed, args.steps) for seed in seeds), strict=True)
        median, most = statistics.median(rights), max(seconds)
        print(f"median {median:.1%} after {min(seconds):.0f} to {most:.0f} s")
        return
    two, one = [], []
    for seed in seeds:
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
