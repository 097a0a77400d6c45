"""The installer: what it runs on which machine, and what it says where it cannot."""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections import namedtuple
from pathlib import Path

import pytest

from course_lib.local import install

ROOT = Path(install.__file__).parents[2]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine whose steps are written down; `fails` are words of steps that fail."""
    steps, fails = [], []

    def run(command, **options):
        steps.append((command, options.get("env", {})))
        bad = any(word in " ".join(command) for word in fails)
        said = "torch 2.13.0 without" if "torch.__version__" in command[-1] else ""
        said = "torch torch==2.13.0+cpu\n    # from https://x/cpu" if "compile" in command else said
        return subprocess.CompletedProcess(command, int(bad), said.partition(" ")[2], "")

    monkeypatch.setattr(install.subprocess, "run", run)
    monkeypatch.setattr(install.platform, "system", lambda: "Linux")
    monkeypatch.setattr(install.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: Usage(9e10, 0, 9e10))
    (tmp_path / "venv").mkdir()
    argv = ["--into", str(tmp_path / "venv")]
    return steps, fails, lambda *more: install.main([*more, *argv]), monkeypatch


def said(steps):
    return [" ".join(command) for command, _ in steps]


def test_the_build_is_the_one_that_suits_the_machine(machine, capsys):
    steps, _, run, _ = machine
    assert run() == 0
    assert sum("--torch-backend auto" in line for line in said(steps)) == 1
    assert "Installed" in capsys.readouterr().out
    steps.clear()
    assert run("--cpu") == 0
    assert any("--torch-backend cpu" in line for line in said(steps))


def test_where_pytorchs_index_is_not_to_be_had_pip_decides_and_it_is_said(machine, capsys):
    steps, fails, run, _ = machine
    fails.append("--torch-backend")
    assert run() == 0
    assert any("pip install -r" in line for line in said(steps))
    assert "taking the build that pip finds" in capsys.readouterr().out


def test_cudas_build_is_not_begun_where_it_cannot_fit(machine, capsys):
    steps, fails, run, monkeypatch = machine
    fails.append("--torch-backend")
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: Usage(0, 0, 5e9))
    assert run() == 1
    assert "5.0 GB free and that build wants 9 GB" in capsys.readouterr().err
    assert not any("pip install -r" in line for line in said(steps))
    monkeypatch.setattr(install.platform, "system", lambda: "Darwin")  # there is no other build
    monkeypatch.setattr(install.platform, "machine", lambda: "arm64")
    assert run() == 0


def test_a_folder_of_the_wrong_build_is_not_collected(machine, capsys, tmp_path):
    steps, fails, run, _ = machine
    fails.append("--torch-backend")
    assert run("--collect", str(tmp_path)) == 1
    assert "cannot be collected" in capsys.readouterr().err
    assert not any("pip download" in line for line in said(steps))


def test_without_a_network_nothing_is_asked_of_one(machine, tmp_path):
    steps, _, run, _ = machine
    assert run("--wheels", str(tmp_path)) == 0
    installs = [line for line in said(steps) if " install " in line]
    assert len(installs) == 2 and all("--no-index --find-links" in line for line in installs)
    assert any("--no-build-isolation" in line for line in installs)
    steps.clear()
    assert run("--collect", str(tmp_path)) == 0
    (fetched,) = (line for line in said(steps) if "pip download" in line)
    assert " -r " not in fetched and " -e " not in fetched and " torch==" in fetched
    assert install.UV in fetched and "--extra-index-url https://x/cpu" in fetched
    assert any("compile" in line and "--torch-backend auto" in line for line in said(steps))
    steps.clear()
    assert run("--cpu", "--collect", str(tmp_path)) == 0
    assert any("compile" in line and "--torch-backend cpu" in line for line in said(steps))


def test_a_small_tmp_is_stepped_around(machine, tmp_path):
    steps, _, run, monkeypatch = machine
    small = str(install.tempfile.gettempdir())
    monkeypatch.setattr(
        install.shutil, "disk_usage", lambda path: Usage(0, 0, 2e9 if str(path) == small else 9e10)
    )
    assert run() == 0
    used = {env.get("TMPDIR") for command, env in steps if "install" in command}
    assert used == {str(tmp_path / "venv" / "tmp")}
    assert not (tmp_path / "venv" / "tmp").exists()


def test_a_full_disk_is_said_before_anything_is_fetched(machine, capsys):
    steps, _, run, monkeypatch = machine
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: Usage(0, 0, 1e9))
    assert run() == 1
    assert "make room" in capsys.readouterr().err
    assert not [line for line in said(steps) if " install " in line]


@pytest.mark.parametrize(
    ("version", "works"),
    [((3, 10), False), ((3, 11), True), ((3, 14), True), ((3, 15), False)],
)
def test_pythons_that_cannot_be_are_named_with_the_reason(machine, capsys, version, works):
    _, _, run, monkeypatch = machine
    monkeypatch.setattr(install.sys, "version_info", (*version, 0))
    assert (run() == 0) is works
    assert works or "3.11 to 3.14" in capsys.readouterr().err


@pytest.mark.parametrize(("system", "chip"), install._NO_BUILD)
def test_machines_that_cannot_be_are_named_with_the_reason(machine, capsys, system, chip):
    _, _, run, monkeypatch = machine
    monkeypatch.setattr(install.platform, "system", lambda: system)
    monkeypatch.setattr(install.platform, "machine", lambda: chip)
    assert run() == 1
    assert "no builds" in capsys.readouterr().err


@pytest.mark.parametrize(("version", "works"), [("13.7", False), ("14.0", True), ("", True)])
def test_a_macos_that_is_too_old_is_told_before_anything_is_fetched(
    machine, capsys, version, works
):
    steps, _, run, monkeypatch = machine
    monkeypatch.setattr(install.platform, "mac_ver", lambda: (version, ("", "", ""), ""))
    assert (run() == 0) is works
    assert works or ("macOS 14" in capsys.readouterr().err and not steps)


@pytest.mark.parametrize("user", [0, 1000])
def test_root_is_told_what_jupyterlab_asks_of_root(machine, capsys, user):
    _, _, run, monkeypatch = machine
    monkeypatch.setattr(install.os, "geteuid", lambda: user, raising=False)
    assert run() == 0
    assert ("lab --allow-root notebooks" in capsys.readouterr().out) is (user == 0)


def test_a_debian_without_venv_says_what_to_install(machine, capsys):
    _, _, run, monkeypatch = machine
    told = "The virtual environment was not created successfully because ensurepip is not available"
    failed = subprocess.CompletedProcess([], 1, told, "")
    monkeypatch.setattr(install.subprocess, "run", lambda *_, **__: failed)
    assert run() == 1
    assert "apt install python3-venv" in capsys.readouterr().err


def test_it_needs_nothing_but_python_and_says_what_pyproject_says():
    tree = ast.parse(Path(install.__file__).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [getattr(node, "module", None) or node.names[0].name for node in found]
    roots = {name.partition(".")[0] for name in names}
    assert roots <= set(sys.stdlib_module_names)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == f">={install.PYTHONS[0][0]}.{install.PYTHONS[0][1]}"
    assert install.UV in (ROOT / "tests" / "requirements.txt").read_text()


@pytest.mark.skipif(shutil.which("python3") is None, reason="no python3")
def test_it_is_called_by_its_path(tmp_path):
    command = [sys.executable, install.__file__, "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "--wheels" in done.stdout
