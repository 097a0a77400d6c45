"""No number in the notebooks' prose without a source: an output, the ledger, or a given."""

from pathlib import Path

import pytest

from course_lib.facts import lint

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_number_in_prose_is_backed(notebook):
    found = lint.unsourced_numbers(notebook)
    assert not found, "\n".join(
        f"cell {cell}: {number} in “{near}”" for cell, number, near in found
    )
