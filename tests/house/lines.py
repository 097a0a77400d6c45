"""How many lines of Python each room has, and the README's table of them.

`python -m tests.house.lines` writes today's numbers into the README.
"""

import re
from pathlib import Path

import course_lib

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "course_lib"
README = ROOT / "README.md"
_GROUND = "records.py runtime.py errors.py"


def count(path: Path) -> int:
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def by_room() -> dict[str, int]:
    """Lines by room, the ground floor under the names of its files."""
    rooms = {f"{room}/": count(LIBRARY / room) for room in course_lib.ROOMS}
    ground = sum(count(LIBRARY / name) for name in _GROUND.split())
    return rooms | {_GROUND: ground, "__main__.py": count(LIBRARY / "__main__.py")}


def said(readme: str) -> dict[str, int]:
    """What a text says of each."""
    pattern = rf"^  ({'|'.join(map(re.escape, by_room()))}) +(\d+)  "
    return {name: int(number) for name, number in re.findall(pattern, readme, re.M)}


def written(readme: str) -> str:
    """The text with today's numbers."""
    for name, lines in by_room().items():
        readme = re.sub(rf"(?m)^(  {re.escape(name)} +)\d+ +", rf"\g<1>{lines:<5} ", readme)
    return readme


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(sum(by_room().values()), "lines")
