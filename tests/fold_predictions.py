"""Folds the saved outputs that follow a "Predict": no answer stands below its question.

`python tests/fold_predictions.py notebooks/NAME.ipynb ...` folds them in place. JupyterLab shows a
folded output as three dots, opens it at a click, and unfolds it when the cell is run; the site
shows it as "What came out". nbval would miss the cover in a cell whose output it compares: check
such an output by an assertion after the answer.
"""

import json
import re
import sys
from pathlib import Path

COVER = "What came out is folded away: run the cell, or click here."
_PREDICT = re.compile(r"\*\*Predict")
_ASKS = re.compile(r"\bpredict\(")
_COMPARES = re.compile(r"^\s*\w+\.compare\(", re.MULTILINE)


def asks(book):
    """Whether a notebook asks for predictions to be typed or clicked."""
    return any(_ASKS.search("".join(c["source"])) for c in book["cells"] if is_code(c))


def after_a_prediction(book):
    """The code cells with outputs between a "Predict" and the next text, and those that compare a
    prediction wherever they stand; who asks is left out."""
    predicting = False
    for cell in book["cells"]:
        text = "".join(cell["source"])
        if not is_code(cell):
            predicting = bool(_PREDICT.search(text))
        elif cell["outputs"] and not _ASKS.search(text) and (predicting or _COMPARES.search(text)):
            yield cell


def is_code(cell):
    return cell["cell_type"] == "code"


def is_folded(cell):
    return cell["metadata"].get("jupyter", {}).get("outputs_hidden") is True


def is_covered(cell):
    """Whether the line that JupyterLab shows of a fold, its first, says nothing of the answer."""
    return cell["outputs"][0].get("data", {}).get("text/plain") in (COVER, [COVER])


def fold(path):
    """Fold what follows predictions in a notebook's file; returns how many cells that are."""
    book = json.loads(path.read_text(encoding="utf-8"))
    cells = list(after_a_prediction(book))
    for cell in filter(is_code, book["cells"]):
        if not cell["outputs"]:  # a fold over nothing is three dots that open on nothing
            cell["metadata"].get("jupyter", {}).pop("outputs_hidden", None)
    for cell in cells:
        cell["metadata"].setdefault("jupyter", {})["outputs_hidden"] = True
        if not is_covered(cell):
            cover = {"data": {"text/plain": [COVER]}, "metadata": {}, "output_type": "display_data"}
            cell["outputs"].insert(0, cover)  # JupyterLab shows a fold's first line
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(cells)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {fold(Path(name))} outputs are folded")
