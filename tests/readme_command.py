"""Print one of the README's two commands, so that what is tested is what is written there.

    python tests/readme_command.py start|test

The commands are the shell blocks under the headings "Start" and "Test everything".
"""

import re
import sys
from pathlib import Path

HEADINGS = {"start": "Start", "test": "Test everything"}


def command(name: str, text: str) -> str:
    """The first shell block after the heading of `name`; ValueError where there is none."""
    heading = HEADINGS[name]
    match = re.search(rf"^## {heading}\n.*?^```bash\n(.*?)^```", text, re.S | re.M)
    if match is None:
        raise ValueError(f"the README has no bash block under '## {heading}'")
    return match[1]


if __name__ == "__main__":
    readme = Path(__file__).parents[1] / "README.md"
    print(command(sys.argv[1], readme.read_text()), end="")
