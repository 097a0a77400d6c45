"""How long the ledger takes: python tests/benchmarks/bench_facts.py

Medians over fresh processes: importing the room, and the first question, which reads every file.
The room is meant to import in under 50 ms, without pandas and without torch.
"""

import statistics
import subprocess
import sys

RUNS = 9
CODE = """
import time
start = time.perf_counter()
from course_lib import facts
imported = time.perf_counter()
facts.value("r1.aime_2024.pass_at_1")
read = time.perf_counter()
for entry in facts.all():
    facts.value(entry.key)
print(imported - start, read - imported, (time.perf_counter() - read) / len(facts.all()))
"""


def main() -> None:
    """Print three medians in milliseconds and microseconds."""
    rows = [
        [float(part) for part in subprocess.check_output([sys.executable, "-c", CODE]).split()]
        for _ in range(RUNS)
    ]
    imported, first, later = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"import course_lib.facts  {imported * 1e3:7.1f} ms")
    print(f"first question           {first * 1e3:7.1f} ms")
    print(f"every further question   {later * 1e6:7.1f} µs")


if __name__ == "__main__":
    main()
