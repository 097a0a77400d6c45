"""No number and no comparison in the notebooks' prose without a source or a finding."""

from pathlib import Path

import prose_lint
import pytest

from course_lib.facts import findings

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


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
