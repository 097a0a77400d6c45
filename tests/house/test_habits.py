"""The house's habits: types, layout, dead code, the lock file, the files that other tools read."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from vulture import Vulture

ROOT = Path(__file__).parents[2]


def run(*command):
    found = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    return found.returncode, found.stdout + found.stderr


@pytest.mark.slow
def test_types_are_right():
    code, said = run("mypy")
    assert code == 0, said


def test_code_is_laid_out_and_free_of_faults():
    for command in (
        ("ruff", "check", "course_lib", "tests", "notebooks", "solutions"),
        ("ruff", "format", "--check", "course_lib", "tests", "notebooks", "solutions"),
    ):
        code, said = run(*command)
        assert code == 0, said


CALLED_BY_NAME = [
    *("_render_traceback_", "_ipython_display_", "_repr_html_"),  # by IPython
    *("forward", "attention_mask"),  # by torch and transformers
    "ROOMS",  # by the test of the rooms
    *("SMALL", "link"),  # by the lints of prose
    *("DynamicSampling", "hack"),  # by the table of experiments
    "record_child",  # by a child process, from a file
    "converted",  # by who runs a GGUF file in transformers
    "__getattr__",  # by Python, for a name that a package has not
    "unmerge",  # by who has merged an adapter
    "misunderstood",  # by the template of a class's page
    "standing",  # by the template of a learner's report
    *("POLITICAL", "LANGUAGE", "FORM"),  # kinds of prompts, by name in their file
]


def dead(*paths):
    """What no lesson, exercise, command or other part of the library uses, as vulture sees it."""
    found = Vulture(ignore_names=CALLED_BY_NAME)
    found.scavenge([str(path) for path in paths])
    unused = found.get_unused_code(min_confidence=60)
    # An attribute that is set may be another library's: nothing tells from here.
    return {
        f"{item.filename.relative_to(ROOT)}: {item.name}"
        for item in unused
        if item.typ != "attribute" and ROOT / "course_lib" in item.filename.parents
    }


@pytest.fixture
def lessons(tmp_path):
    """The code of every lesson, one file each."""
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        (tmp_path / f"{path.stem}.py").write_text(code, encoding="utf-8")
    return tmp_path


def test_nothing_in_the_library_is_used_by_tests_only(lessons):
    assert dead(ROOT / "course_lib", ROOT / "solutions", lessons) == set()


def test_code_that_nobody_uses_would_be_seen(tmp_path):
    assert any("cost_plots" in name for name in dead(ROOT / "course_lib"))


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_files_that_other_tools_read_are_as_those_want_them(schema, pattern):
    files = [str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)]
    assert files
    code, said = run("check_jsonschema", "--builtin-schema", schema, *files)
    assert code == 0, said


def pins(path):
    """name -> version of every `name==version` line, names as the package index spells them."""
    found = re.findall(r"^([\w.-]+)==([\w.+!-]+)", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_the_lock_file_holds_every_pin():
    locked = pins(ROOT / "tests/constraints.txt")
    for name in ("requirements.txt", "tests/requirements.txt"):
        wanted = pins(ROOT / name)
        assert wanted.items() <= locked.items(), f"run python -m tests.lock: {name}"
    assert len(locked) > 2 * len(pins(ROOT / "requirements.txt"))


def test_the_table_of_rooms_in_contributing_is_whole():
    from course_lib import ROOMS

    text = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
    for room in ROOMS:
        assert f"`course_lib/{room}" in text, room
    for folder in re.findall(r"tests/[a-z]+", text):
        assert (ROOT / folder).exists() or (ROOT / f"{folder}.txt").exists(), folder
