"""Google Colab: the first cell runs only there and leaves Colab's own packages as they are."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from course_lib.errors import CourseError
from course_lib.runtime import ROOT
from course_lib.show import colab

COLABS = {
    "torch": "2.11.0+cu128", "ipykernel": "6.17.1", "ipython": "7.34.0", "ipywidgets": "7.7.1",
    "pandas": "2.2.3", "numpy": "2.1.3", "plotly": "5.24.1",
}  # fmt: skip
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")


@pytest.fixture
def on_colab(monkeypatch):
    """Colab's packages by name, and the commands that would have been run."""

    def version(name):
        if name not in COLABS:
            raise metadata.PackageNotFoundError(name)
        return COLABS[name]

    ran = []

    def run(command, **_):
        held = Path(command[command.index("-c") + 1]).read_text().split()
        ran.append((command, held))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(colab.metadata, "version", version)
    monkeypatch.setattr(colab.subprocess, "run", run)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("INSIDE_R1_HOME", "INSIDE_R1_RUNS", "PYTHONPATH"):
        monkeypatch.setenv(name, "set by the test")
    return ran


def test_nothing_of_colabs_own_is_installed_or_replaced(on_colab, capsys):
    colab.prepare(ROOT)
    ((command, held),) = on_colab
    asked = {re.split(r"[=<>]", word)[0].lower() for word in command if "==" in word}
    assert not asked & set(colab.KEPT) and {"transformers", "anywidget", "jupytext"} <= asked
    assert not [word for word in command if word in ("-e", "-U", "--upgrade", "--force-reinstall")]
    assert held == [f"{n}=={v.partition('+')[0]}" for n, v in COLABS.items()] or set(held) == {
        f"{n}=={v.partition('+')[0]}" for n, v in COLABS.items()
    }
    assert "ends with this machine" in capsys.readouterr().out
    assert sys.path[0] == str(ROOT)


def test_every_line_of_the_requirements_is_either_installed_or_colabs():
    lines = [line for line in REQUIREMENTS.splitlines() if line and line[0] not in "#-"]
    names = {re.split(r"[=<>]", line)[0].lower() for line in lines}
    assert {
        re.split(r"[=<>]", one)[0].lower() for one in colab.wanted(REQUIREMENTS)
    } == names - set(colab.KEPT)


def test_elsewhere_the_file_does_nothing():
    env = {k: v for k, v in os.environ.items() if k != "COLAB_RELEASE_TAG"}
    done = subprocess.run([sys.executable, colab.__file__], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_cell_stands_first_in_every_notebook_and_does_nothing_here(tmp_path):
    colab.main(["--address", "https://example.org/some/course.git", "--out", str(tmp_path)])
    made = sorted(tmp_path.rglob("*.ipynb"))
    assert len(made) == len([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("exercises/*.ipynb")])
    for path in made:
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
        assert first["metadata"]["tags"] == ["nbval-skip"]
        assert 'if "COLAB_RELEASE_TAG" in os.environ:' in "".join(first["source"])
    from IPython.core.interactiveshell import InteractiveShell

    source = "".join(json.loads(made[0].read_text(encoding="utf-8"))["cells"][0]["source"])
    compile(InteractiveShell.instance().transform_cell(source), "cell", "exec")


def test_a_damaged_notebook_is_told_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.runtime.ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "mine.ipynb"
    arguments = ["--address", "https://example.org/c.git", "--out", str(tmp_path / "out")]
    path.write_text('\ufeff{"cells": []}', encoding="utf-8")
    assert colab.main(arguments) == 0
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(CourseError, match=r"mine\.ipynb holds no notebook; `git checkout"):
            colab.main(arguments)


@pytest.mark.parametrize("address", ["x; rm -rf ~", "https://a b", "git@host:x", "https://a/$(x)"])
def test_an_address_is_no_place_for_a_command(address, tmp_path):
    with pytest.raises(CourseError, match="no address for git"):
        colab.main(["--address", address, "--out", str(tmp_path)])
