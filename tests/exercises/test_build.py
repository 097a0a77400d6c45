"""The generated notebooks: up to date, without a solution, and read by nbval as promised."""

import ast
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from course_lib.classroom.checks import build, catalogue, sources

LESSON = "01_cost_reset"
ROOT = sources.ROOT
EACH = pytest.mark.parametrize("lesson", catalogue.LESSONS)


def is_check(cell) -> bool:
    return cell.cell_type == "code" and cell.source.startswith("check(")


def nbval(path, *options):
    """Run nbval on a notebook; (exit status, numbers of the code cells that failed, output)."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval-current-env"]
    command += [
        "--nbval-cell-timeout=120",
        "--nbval-kernel-startup-timeout=600",
        "-q",
        "-c",
        os.devnull,
        *options,
        str(path),
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    failed = [int(n) for n in re.findall(r"^FAILED .*::Cell (\d+)", run.stdout, re.MULTILINE)]
    return run.returncode, failed, run.stdout


@EACH
def test_exercise_notebook_is_what_the_source_gives(lesson):
    committed = (ROOT / "exercises" / f"{lesson}.ipynb").read_text(encoding="utf-8")
    assert committed == build.exercise_text(lesson), (
        "run python -m course_lib.classroom.checks.build"
    )


@EACH
def test_solution_notebook_is_executed_and_what_the_source_gives(lesson):
    committed = nbformat.read(ROOT / "solutions" / f"{lesson}.ipynb", as_version=4)
    made = sources.notebook(lesson, solved=True)
    assert [(one.id, one.source) for one in committed.cells] == [
        (one.id, one.source) for one in made.cells
    ]
    code = [one for one in committed.cells if one.cell_type == "code"]
    assert [one.execution_count for one in code] == list(range(1, len(code) + 1))
    outputs = json.dumps([one.outputs for one in code])
    assert str(ROOT) not in outputs and "Error" not in outputs
    assert "widgets" not in committed.metadata


@EACH
def test_no_solution_leaks_into_the_exercises(lesson):
    text = (ROOT / "exercises" / f"{lesson}.ipynb").read_text(encoding="utf-8")
    assert sources.BEGIN not in text and sources.END not in text
    given = "\n".join(
        one.source for one in sources.cells(lesson) if sources.BEGIN not in one.source
    )
    stubs = "\n".join(one.source for one in sources.notebook(lesson, solved=False).cells)
    for exercise in catalogue.of_lesson(lesson):
        lines = [line.strip() for line in region(sources.cells(lesson), exercise.symbol)]
        assert lines
        for line in lines:
            if len(line) > 12 and line not in given:
                assert line not in stubs, f"{exercise.name}: {line}"


def region(cells, symbol):
    for cell in cells:
        if cell.cell_type == "code" and re.search(rf"^(def )?{symbol}\b", cell.source, re.M):
            body = cell.source.split(sources.BEGIN)[1].split(sources.END)[0]
            return [line for line in body.splitlines() if line.strip()]
    return []


@EACH
def test_every_cell_is_short_python_and_ids_are_unique(lesson):
    cells = sources.notebook(lesson, solved=True).cells
    assert len({one.id for one in cells}) == len(cells) <= 60
    for cell in cells:
        if cell.cell_type == "code":
            compile(cell.source, cell.id, "exec")
            assert len(cell.source.splitlines()) <= 27


@EACH
def test_a_verdict_names_parameters_as_the_notebook_does(lesson):
    trees = [ast.parse(one.source) for one in sources.notebook(lesson, solved=False).cells
             if one.cell_type == "code"]  # fmt: skip
    stubs = {node.name: node.args for tree in trees for node in ast.walk(tree)
             if isinstance(node, ast.FunctionDef)}  # fmt: skip
    for exercise in catalogue.of_lesson(lesson):
        if not exercise.is_value:
            given = stubs[exercise.symbol]
            named = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            assert exercise.parameters[: len(named)] == named, exercise.name


@EACH
@pytest.mark.usefixtures("kernels")
def test_unsolved_notebook_fails_on_its_check_cells_as_not_attempted(lesson, tmp_path):
    notebook = sources.notebook(lesson, solved=False)
    client = NotebookClient(
        notebook,
        timeout=120,
        startup_timeout=600,
        shutdown_kernel="immediate",
        allow_errors=True,
        kernel_name="python3",
    )
    client.execute(env=os.environ | {"INSIDE_R1_HOME": str(tmp_path)})
    errors = {
        cell.id: output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    }
    assert set(errors) == {cell.id for cell in notebook.cells if is_check(cell)}
    for error in errors.values():
        assert error.ename == "CheckFailed" and ": not attempted. " in error.evalue


def test_what_nbgrader_does_not_ask_for_is_refused_beside_it(tmp_path, capsys):
    with pytest.raises(SystemExit):
        build.main(["--nbgrader", str(tmp_path), "--exercises"])
    assert "not allowed with" in capsys.readouterr().err and not list(tmp_path.iterdir())


@EACH
def test_nbgrader_gets_a_solution_cell_and_a_point_for_every_exercise(lesson, tmp_path):
    assert build.main(["--nbgrader", str(tmp_path), lesson]) == 0
    made = nbformat.read(tmp_path / lesson / f"{lesson}.ipynb", as_version=4)
    kinds = [cell.metadata.get("nbgrader", {}) for cell in made.cells]
    solutions = [c for c, kind in zip(made.cells, kinds, strict=True) if kind.get("solution")]
    graded = [c for c, kind in zip(made.cells, kinds, strict=True) if kind.get("grade")]
    assert len(solutions) == len(graded) == len(catalogue.of_lesson(lesson))
    assert all(sources.BEGIN in cell.source and sources.END in cell.source for cell in solutions)
    assert all(is_check(cell) and cell.metadata.nbgrader.points == 1 for cell in graded)
    assert sum(sources.BEGIN in cell.source for cell in made.cells) == len(solutions)
    assert len({kind["grade_id"] for kind in kinds if kind}) == 2 * len(solutions)


def test_nbval_fails_on_exactly_the_checks_that_are_not_solved_yet(tmp_path):
    half = sources.notebook(LESSON, solved=False)
    solved = sources.notebook(LESSON, solved=True)
    for number in (3, 6):  # cells 3 and 6 are solutions of the first two exercises
        half.cells[number].source = solved.cells[number].source
    half.cells[6].source = half.cells[6].source.replace("(thinking + answer)", "answer")
    code = [cell for cell in half.cells if cell.cell_type == "code"]
    expected = [n for n, cell in enumerate(code) if is_check(cell)][1:]
    nbformat.write(half, tmp_path / "half.ipynb")
    status, failed, output = nbval(tmp_path / "half.ipynb", "--nbval-lax")
    assert status == 1 and failed == expected
    assert "costs.per_answer: known mistake. The thinking is free" in output
    # In CI pytest repeats each message uncut in its summary, so names are counted, not lines.
    unsolved = set(re.findall(r"(\w+\.\w+): not attempted\. ", output))
    assert len(unsolved) == 3


def test_nbval_passes_when_all_are_solved(tmp_path):
    nbformat.write(sources.notebook(LESSON, solved=True), tmp_path / "done.ipynb")
    status, failed, output = nbval(tmp_path / "done.ipynb", "--nbval-lax")
    assert (status, failed) == (0, []), output


@pytest.mark.slow
def test_solutions_pass_strict_nbval(request):
    """Either in this session, where each of their cells is a test, or here in one of its own."""
    cells = [one for one in request.session.items if one.path.parent == ROOT / "solutions"]
    if {one.path.stem for one in cells} == set(catalogue.LESSONS):
        assert all(one.options["check"] for one in cells)
        return
    status, failed, output = nbval("solutions", "--nbval")
    assert (status, failed) == (0, []), output
