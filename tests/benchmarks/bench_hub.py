"""What a user of a hub takes: memory and processor at each step of lesson 3, several users at once.

    python tests/benchmarks/bench_hub.py [USERS]

Memory is PSS (what is shared is divided among those who share it) of a user's server and kernel;
processor seconds are theirs too, so that they mean the same on a busy machine. Seconds on the clock
are of this machine as busy as it is.
"""

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import psutil

from course_lib.classroom import hub
from tests.classroom import hub_client

TEN_STEPS = """from course_lib.rl import zero
import tempfile
lines = list(zero.run(tempfile.mkdtemp(), zero.ZeroConfig(steps=10, evaluate_every=99)))"""


def own(home: str) -> list[psutil.Process]:
    """The processes of the user whose home that is; a forked kernel is known by its folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HOME") == home or process.cwd().startswith(f"{home}/"):
                found.append(process)
        except psutil.Error:
            continue
    return found


def used(home: str) -> tuple[float, float]:
    """(MB, processor seconds) of a user."""
    memory = seconds = 0.0
    for process in own(home):
        try:
            memory += process.memory_full_info().pss / 1e6
            seconds += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return memory, seconds


def measure(where: str, name: str, home: str) -> dict:
    """One user's session: after each step MB, processor seconds and seconds on the clock."""
    steps: dict[str, list[float]] = {}
    peak, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(2.0):
            peak[0] = max(peak[0], used(home)[0])

    watcher = threading.Thread(target=look)
    watcher.start()
    began = time.monotonic()

    def note(what: str) -> None:
        memory, seconds = used(home)
        steps[what] = [round(memory), round(seconds, 1), round(time.monotonic() - began, 1)]

    told = hub_client.learn(where, name, more=[("ten live steps", TEN_STEPS)], watch=note)
    over.set()
    watcher.join()
    return {"errors": told.errors, "steps": steps, "peak": round(peak[0])}


def main(users: int) -> None:
    proxy = hub_client.proxy()
    if proxy is None:
        raise SystemExit("configurable-http-proxy could not be installed from npm")
    config = Path(hub.__file__).parent / "jupyterhub_config.py"
    with (
        tempfile.TemporaryDirectory() as name,
        hub_client.serving(config, Path(name), proxy) as where,
    ):
        names = [f"user{number}" for number in range(users)]
        with ThreadPoolExecutor(users) as pool:
            homes = [f"{Path(name).resolve()}/homes/{one}" for one in names]
            found = list(pool.map(lambda two: measure(where, *two), zip(names, homes, strict=True)))
    print(json.dumps(found[0]))
    print(
        f"{users} users at once, load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores; medians"
    )
    for step in found[0]["steps"]:
        middle = [statistics.median(one["steps"][step][i] for one in found) for i in range(3)]
        print(
            f"{step:16} {middle[0]:6.0f} MB {middle[1]:7.1f} core-s {middle[2]:7.1f} s on the clock"
        )
    print(f"peak             {statistics.median(one['peak'] for one in found):6.0f} MB")
    print("errors:", [one["errors"] for one in found if one["errors"]])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
