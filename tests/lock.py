"""Write `tests/constraints.txt`, which pins what the pins pull in: `python -m tests.lock`.

It holds for every system and Python the course runs on. uv resolves it, from the two requirements
files, and keeps what is pinned already unless `--upgrade` is given.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "tests" / "constraints.txt"


def main(argv: list[str]) -> int:
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"),
        *("--python-version", "3.11", "--no-annotate", "--no-emit-package", "inside-r1"),
        *("--custom-compile-command", "python -m tests.lock", "--output-file", str(LOCK)),
        *("requirements.txt", "tests/requirements.txt", *argv),
    ]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
