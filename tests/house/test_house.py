"""The state of the house: layout, what a notebook may hold, links, and what code may never do."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.readme_command import command

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALL_NOTEBOOKS = [*NOTEBOOKS, *sorted((ROOT / "solutions").glob("*.ipynb"))]
TOP = {
    "README.md", "CHANGELOG.md", "LICENSE", "requirements.txt", "pyproject.toml",
    "notebooks", "course_lib", "exercises", "solutions", "tests", ".binder", ".ci",
    ".devcontainer", ".gitignore", ".github", ".pre-commit-config.yaml", "CITATION.cff",
}  # fmt: skip


def tracked():
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        pytest.skip("not a git checkout")
    return [Path(line) for line in run.stdout.splitlines()]


def test_nothing_else_is_at_the_top():
    assert {path.parts[0] for path in tracked()} <= TOP


def test_no_file_is_large():
    sizes = {str(p): (ROOT / p).stat().st_size for p in tracked() if (ROOT / p).is_file()}
    adapter = sizes.pop("course_lib/assets/smollm2-r1-lora/adapter_model.safetensors")
    assert adapter < 6e6  # the one that teaches a real language model
    assert not {name for name, size in sizes.items() if size > 4e6}


def test_the_readme_has_both_commands_and_ci_runs_the_second():
    readme = (ROOT / "README.md").read_text()
    assert "jupyter lab notebooks/00_start_here.ipynb" in command("start", readme)
    assert "pytest" in command("test", readme) and "--nbval" in command("test", readme)
    assert "readme_command.py test" in (ROOT / ".ci/run").read_text()


def test_importing_the_library_loads_nothing_heavy():
    code = (
        "import sys, course_lib; heavy = {'torch', 'transformers', 'pandas', 'plotly', 'numpy'};"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


FORBIDDEN = {"eval", "exec", "pickle.load", "pickle.loads", "torch.load"}


@pytest.mark.parametrize("path", sorted((ROOT / "course_lib").rglob("*.py")), ids=str)
def test_no_code_evaluates_text_unpickles_or_trusts_remote_code(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            # The grader's worker runs submissions, in a process of its own: that is its purpose.
            allowed = {"exec"} if path.name == "worker.py" else set()
            assert name not in FORBIDDEN - allowed, name
            # transformers asks the reader about a folder's code unless it is told: nobody is asked.
            if name.startswith("Auto") and name.endswith(".from_pretrained"):
                assert any("SAFELY" in ast.unparse(k.value) for k in node.keywords), name
            assert "trust_remote_code" not in [k.arg for k in node.keywords]
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert "pickle" not in ast.unparse(node)


def test_only_notebooks_and_tests_import_widgets():
    for path in (ROOT / "course_lib").rglob("*.py"):
        # The command line opens every room, each when it is asked.
        if "widgets" not in path.parts and path.name != "__main__.py":
            assert not re.search(
                r"^\s*(from|import) course_lib.*widgets", path.read_text(), re.M
            ), path


@pytest.fixture(params=ALL_NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def book(request):
    return request.param, nbformat.read(request.param, as_version=4)


def test_a_notebook_is_executed_in_order_without_errors(book):
    _, notebook = book
    cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert not any(o.output_type == "error" for c in cells for o in c.outputs)


def test_a_notebook_is_small_and_keeps_no_widget_state_or_machine_path(book):
    path, notebook = book
    assert path.stat().st_size < 1_000_000
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        assert not re.search(r"/(root|home|work|tmp)/", str(outputs)), cell.source
        said = "".join(o.get("text", "") for o in outputs)
        assert not re.search(r"\r(?!\n)", said), "of a progress bar the last state is enough"


def test_cells_are_short_and_plain_python(book):
    _, notebook = book
    for cell in notebook.cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)  # nbval passes a cell whose magic is broken: so there is none
            assert len(cell.source.splitlines()) <= 25, cell.source


def test_nbval_markers_stand_alone(book):
    _, notebook = book
    for cell in notebook.cells:
        for line in cell.source.splitlines():
            if "NBVAL_" in line and cell.cell_type == "code":
                assert re.fullmatch(r"# NBVAL_[A-Z_]+", line.strip()), line


def links(text):
    return re.findall(r"\]\(([^)\s#]+)[^)]*\)", text)


def test_links_between_files_lead_somewhere_and_pictures_have_words(book):
    path, notebook = book
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for link in links(cell.source):
                assert link.startswith("http") or (path.parent / link).exists(), link
            assert not re.search(r"!\[\s*\]|<img(?![^>]*alt=)|!\[[^\]]*\]\(http", cell.source)


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "notebooks/TEACHING.md"])
def test_links_in_the_texts_lead_somewhere(name):
    path = ROOT / name
    for link in links(path.read_text()):
        assert link.startswith("http") or (path.parent / link).exists(), link
