"""An exercise, solved in the browser: not done, a known mistake, right."""

import pytest

from . import lab

pytestmark = pytest.mark.slow

NAME = "exercises/01_cost_reset.ipynb"


@pytest.fixture(scope="module")
def opened(profile, address):
    with lab.notebook(profile, address, NAME) as opened:
        yield opened


def cell_with(opened, text):
    """The number of the code cell that holds `text`."""
    sources = opened.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets.map("
        "c => c.model.type === 'code' ? c.model.sharedModel.getSource() : '')"
    )
    return next(i for i, source in enumerate(sources) if text in source)


def test_a_check_goes_from_not_done_to_wrong_to_right(opened):
    opened.run_cell(cell_with(opened, "from course_lib.classroom.checks import"))
    stub = cell_with(opened, "price_ratio = ...")
    check = cell_with(opened, 'check("costs.ratio"')
    opened.run_cell(stub)
    opened.run_cell(check)
    assert "not attempted" in opened.output(check)
    opened.write(stub, "price_ratio = 2.19 / 60")
    opened.run_cell(check)
    assert "known mistake" in opened.output(check) and "Right:" not in opened.output(check)
    opened.write(stub, "price_ratio = 60 / 2.19")
    opened.run_cell(check)
    assert "Right: costs.ratio" in opened.output(check)
    opened.screenshots(lab.ARTEFACTS / "exercise-solved", 1366)
    assert opened.console == []


def test_a_function_is_written_and_its_check_turns_right(opened):
    stub = cell_with(opened, "def gap_in_problems")
    solved = "def gap_in_problems(score_a, score_b, problems):\n"
    opened.write(stub, solved + "    return (score_a - score_b) / 100 * problems")
    check = cell_with(opened, 'check("costs.gap_in_problems"')
    opened.run_cell(check)
    assert "Right: costs.gap_in_problems" in opened.output(check)


def test_axe_finds_no_serious_fault_in_exercises(opened, axe):
    if not axe:
        pytest.skip("axe-core could not be installed from npm")
    for theme in lab.THEMES:
        opened.theme(theme)
        found = lab.faults(opened.page, axe, lab.NOTEBOOK, recoloured=theme == "dark")
        assert found == [], f"in the {theme} theme"
