"""A report, and no gate: how easily the prose of the notebooks reads.

`python -m tests.readability` prints one line a notebook; with names of notebooks it also prints
their longest sentences. The ease is Flesch's, a hyphenation's parts taken for syllables.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pyphen

from tests.glossary_lint import HIDDEN, LINK

SYLLABLES = pyphen.Pyphen(lang="en_GB", left=1, right=1)
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def prose(path: Path) -> str:
    """The running text of a notebook: without code, formulas, tables, headings and marks."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    lines = HIDDEN.sub(" ", LINK.sub(r"\1", "\n\n".join(texts))).splitlines()
    kept = [re.sub(r"^\s*([-*]|\d+\.)\s+", "\n", line) for line in lines if "|" not in line[:2]]
    return re.sub(r"[*_]{1,2}", "", "\n".join(kept))


def sentences(text: str) -> list[str]:
    """The sentences of a text, each on one line."""
    return [" ".join(s.split()) for s in re.split(r"(?<=[.!?:])\s+|\n\s*\n", text) if s.strip()]


def ease(words: list[str], count: int) -> float:
    """Flesch's reading ease of so many sentences; a hyphenation's parts stand for syllables."""
    parts = sum(SYLLABLES.inserted(word).count("-") + 1 for word in words)
    return 206.835 - 1.015 * len(words) / count - 84.6 * parts / len(words)


def main(names: list[str]) -> None:
    """Print the report."""
    print(f"{'notebook':28} {'ease':>5} {'words':>6} {'a sentence':>11} {'over 25':>8}")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        found = sentences(prose(path))
        words = [word for word in re.findall(r"[A-Za-z'’-]+", " ".join(found)) if word.strip("-'’")]
        lengths = sorted((len(s.split()), s) for s in found)
        long = sum(n > 25 for n, _ in lengths)
        each = len(words) / len(found)
        said = f"{ease(words, len(found)):5.0f} {len(words):6} {each:11.1f} {long:8}"
        print(f"{path.stem:28} {said}")
        if path.stem in names:
            print(*(f"    {n} words: {s}" for n, s in lengths[:-6:-1]), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
