"""A tour where anywidget's scripts come in time: the other tests' pages make them late."""

import pytest

from . import lab
from .test_notebooks import walk_and_leave_the_tour

pytestmark = pytest.mark.slow

SHOWS_A_VIEWER = """
from course_lib.task.puzzles import Puzzle
from course_lib.widgets.trace_viewer import TraceViewer
TraceViewer("<think>7+3=10 no try 7+5=12 yes</think> + + +", Puzzle((7, 3, 5, 2), 7))
"""


def test_the_tour_is_the_same_where_scripts_come_in_time(engine, address):
    with (
        engine.new_context() as profile,
        lab.notebook(profile, address, "exercises/01_cost_reset.ipynb") as opened,
    ):
        cells = opened.page.locator(".jp-Notebook .jp-Cell")
        kinds = cells.evaluate_all("all => all.map(cell => cell.classList.contains('jp-CodeCell'))")
        opened.write(kinds.index(True), SHOWS_A_VIEWER)
        walk_and_leave_the_tour(opened.page)
        assert opened.console == []
