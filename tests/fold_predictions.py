"""Folds what follows a "Predict", outputs and words: no answer stands below its question.

`python tests/fold_predictions.py notebooks/NAME.ipynb ...` folds them in place. JupyterLab shows a
folded output as three dots, opens it at a click, and unfolds it when the cell is run; the site
shows it as "What came out". The words are those that say what one should see. nbval would miss the
cover in a cell whose output it compares: check such an output by an assertion after the answer.
"""

import json
import re
import sys
from pathlib import Path

COVER = "What came out is folded away: run the cell, or click here."
_PREDICT = re.compile(r"\*\*Predict")
_ASKS = re.compile(r"\bpredict\(")
_SEEN = re.compile(
    r"^\*\*(?P<who>What you|You) should see[.:]?\*\*[.:]?\s+(?P<told>.+?)(?=\n\n|\Z)", re.M | re.S
)
_COMPARES = re.compile(r"^\s*\w+\.compare\(", re.MULTILINE)
_CARD, _HEADING = re.compile(r"\bfindings\.card\("), re.compile(r"^#{1,3} ", re.MULTILINE)
TELLS = "tells"
"""The tag of a cell, other than these, whose output would tell what an earlier cell asks."""


def asks(book):
    """Whether a notebook asks for predictions to be typed or clicked."""
    return any(_ASKS.search("".join(c["source"])) for c in book["cells"] if is_code(c))


def after_a_prediction(book):
    """The code cells with outputs between a "Predict" and the next text, the cards of the rest of
    its section, and those that compare a prediction, are tagged `TELLS` or are folded already; who
    asks is left out."""
    predicting = asked = False
    for cell in book["cells"]:
        text = "".join(cell["source"])
        if not is_code(cell):
            predicting = bool(_PREDICT.search(text))
            asked = predicting or (asked and not _HEADING.search(text))
        elif cell["outputs"] and not _ASKS.search(text):
            marked = TELLS in cell["metadata"].get("tags", []) or _COMPARES.search(text)
            if predicting or marked or is_folded(cell) or (asked and _CARD.search(text)):
                yield cell


def told_openly(book):
    """The texts that say what one should see, the first after each "Predict", and not in a fold."""
    predicting = False
    for cell in book["cells"]:
        text = "".join(cell["source"])
        if not is_code(cell):
            if predicting and _SEEN.search(text):
                yield cell
            predicting = (predicting and "should see" not in text) or bool(_PREDICT.search(text))


def fold_words(cell):
    """Put the paragraph that says what one should see behind a line to click."""

    def folded(found):
        told = found["told"]
        told = ("\N{HORIZONTAL ELLIPSIS} " if told[:1].islower() else "") + told
        return f"<details><summary>{found['who']} should see</summary>\n\n{told}\n\n</details>"

    cell["source"] = _SEEN.sub(folded, "".join(cell["source"]), count=1).splitlines(keepends=True)


def is_code(cell):
    return cell["cell_type"] == "code"


def is_folded(cell):
    return cell["metadata"].get("jupyter", {}).get("outputs_hidden") is True


def is_covered(cell):
    """Whether the line that JupyterLab shows of a fold, its first, says nothing of the answer."""
    return cell["outputs"][0].get("data", {}).get("text/plain") in (COVER, [COVER])


def fold(path):
    """Fold what follows predictions in a notebook's file; how many outputs and texts those are."""
    book = json.loads(path.read_text(encoding="utf-8"))
    cells, texts = list(after_a_prediction(book)), list(told_openly(book))
    for cell in texts:
        fold_words(cell)
    for cell in filter(is_code, book["cells"]):
        if not cell["outputs"]:  # a fold over nothing is three dots that open on nothing
            cell["metadata"].get("jupyter", {}).pop("outputs_hidden", None)
    for cell in cells:
        cell["metadata"].setdefault("jupyter", {})["outputs_hidden"] = True
        if not is_covered(cell):
            cover = {"data": {"text/plain": [COVER]}, "metadata": {}, "output_type": "display_data"}
            cell["outputs"].insert(0, cover)  # JupyterLab shows a fold's first line
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(cells), len(texts)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print("{}: {} outputs are folded, and {} texts more".format(name, *fold(Path(name))))
