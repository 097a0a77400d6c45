"""No number and no comparison in the notebooks' prose without a source or a finding."""

import json
import re
from pathlib import Path

import fold_predictions
import prose_lint
import pytest

from course_lib.facts import findings
from course_lib.rl import trainer_bugs

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
_BARE = re.compile(r"(?<!<span>)\\\$.{0,20}")
"""JupyterLab unescapes a dollar, then reads from it to the next as a formula; in an element of its
own it is left alone."""


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_number_in_prose_is_backed(notebook):
    found = prose_lint.unsourced_numbers(notebook)
    assert not found, "\n".join(
        f"cell {cell}: {number} in “{near}”" for cell, number, near in found
    )


@pytest.mark.parametrize("name", findings.held())
def test_every_comparison_in_prose_has_a_finding(name):
    found = prose_lint.unfound_sentences(NOTEBOOKS[0].with_name(f"{name}.ipynb"))
    assert not found, "\n".join(f"cell {cell}: {lack}: “{text}”" for cell, text, lack in found)


def prices_read_as_formulas(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return [found for text in texts for found in _BARE.findall(text)]


def test_no_price_becomes_a_formula(tmp_path):
    for notebook in [*NOTEBOOKS, *sorted((ROOT / "exercises").glob("*.ipynb"))]:
        assert prices_read_as_formulas(notebook) == [], f"{notebook.name}: write <span>\\$</span>"
    cell = {"cell_type": "markdown", "source": "from <span>\\$</span>2.19 to \\$0.28"}
    (tmp_path / "bad.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert prices_read_as_formulas(tmp_path / "bad.ipynb") == ["\\$0.28"]


ANSWER_IN_WORDS = re.compile(r'\.compare\(("[^"]*")\)')


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_answer_stands_open_below_its_prediction(notebook):
    book = json.loads(notebook.read_text(encoding="utf-8"))
    if not fold_predictions.asks(book):
        pytest.skip("its predictions are not asked for yet")
    open_ = [
        c
        for c in fold_predictions.after_a_prediction(book)
        if not (fold_predictions.is_folded(c) and fold_predictions.is_covered(c))
    ]
    shown = ["".join(c["source"])[:60] for c in [*open_, *fold_predictions.told_openly(book)]]
    assert not shown, f"run tests/fold_predictions.py on it: {shown}"
    codes = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    named = [said for code in codes for said in ANSWER_IN_WORDS.findall(code)]
    assert not named, f"write `asked.compare(asked.options[1])`: the code is not folded: {named}"


def outcomes_nobody_could_choose(book):
    """What saved outputs name as the answer, and neither a cell nor lesson 3d offers any more."""
    codes = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    offered = "".join("".join(cell["source"]) for cell in codes) + str(trainer_bugs.PATIENTS)
    said = "".join("".join(out.get("text", "")) for cell in codes for out in cell["outputs"])
    return [text for text in re.findall("it came to “([^”]*)”", said) if text not in offered]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_saved_answer_is_one_that_was_offered(notebook):
    assert outcomes_nobody_could_choose(json.loads(notebook.read_text(encoding="utf-8"))) == []


def test_an_answer_of_an_older_day_is_caught():
    asked = {"cell_type": "code", "source": ["predict('a', ['it falls'])"], "outputs": []}
    shown = {"output_type": "stream", "text": ["You predicted nothing; it came to “it fell”.\n"]}
    ran = {"cell_type": "code", "source": ["a.compare(a.options[0])"], "outputs": [shown]}
    assert outcomes_nobody_could_choose({"cells": [asked, ran]}) == ["it fell"]
    shown["text"] = ["You predicted nothing; it came to “it falls”.\n"]
    assert outcomes_nobody_could_choose({"cells": [asked, ran]}) == []


def test_a_card_further_down_its_section_and_a_tagged_cell_tell_the_answer_too():
    def code(source, **metadata):
        return {"cell_type": "code", "metadata": metadata, "outputs": [{}], "source": source}

    def text(source):
        return {"cell_type": "markdown", "metadata": {}, "source": source}

    book = {"cells": [
        text("**Predict.** How many?"), code("predict('a')"), text("So it is."), code("other()"),
        code("findings.card('a')"), code("draw()", tags=[fold_predictions.TELLS]),
        text("## Next"), code("findings.card('b')"), code("folded()"),
    ]}  # fmt: skip
    book["cells"][-1]["metadata"]["jupyter"] = {"outputs_hidden": True}
    found = [cell["source"] for cell in fold_predictions.after_a_prediction(book)]
    assert found == ["findings.card('a')", "draw()", "folded()"]


def test_an_open_answer_is_caught(tmp_path):
    assert ANSWER_IN_WORDS.findall('went.compare("up")') == ['"up"']
    assert not ANSWER_IN_WORDS.findall('went.compare("up" if rose else "down")')
    text = {"cell_type": "markdown", "metadata": {}, "source": "**Predict.** How many?"}
    asked = {"cell_type": "code", "metadata": {}, "outputs": [{}], "source": "predict('a')"}
    answer = {"cell_type": "code", "metadata": {}, "outputs": [{}], "source": "print(1)"}
    after = {**text, "source": "**You should see** One."}
    path = tmp_path / "lesson.ipynb"
    path.write_text(json.dumps({"cells": [text, asked, answer, after, {**answer, "source": "2"}]}))
    book = json.loads(path.read_text())
    assert fold_predictions.asks(book)
    assert [c["source"] for c in fold_predictions.after_a_prediction(book)] == ["print(1)"]
    assert [c["source"] for c in fold_predictions.told_openly(book)] == ["**You should see** One."]
    assert fold_predictions.fold(path) == (1, 1)
    folded = json.loads(path.read_text())
    cells = folded["cells"]
    assert not list(fold_predictions.told_openly(folded))
    assert "".join(cells[3]["source"]).endswith("should see</summary>\n\nOne.\n\n</details>")
    assert [fold_predictions.is_folded(cell) for cell in cells] == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_the_first_notebook_counts_the_exercises_that_there_are():
    from course_lib.classroom.checks import catalogue

    said = re.search(r"Left: (\d+) exercises", NOTEBOOKS[0].read_text(encoding="utf-8"))
    assert int(said[1]) == len(catalogue.exercises()), "run 00_start_here again"


def test_the_first_notebook_leads_to_every_other():
    text = NOTEBOOKS[0].read_text(encoding="utf-8")
    assert not [path.stem for path in NOTEBOOKS[1:] if f"({path.name})" not in text]
