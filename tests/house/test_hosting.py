"""What Binder, Codespaces, Docker and Kubernetes read: it parses, and says what the course says."""

import json
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from course_lib.classroom import hub
from course_lib.local import install
from course_lib.runtime import ASSETS

ROOT = Path(install.__file__).parents[2]
DOCKERFILE = (ROOT / ".devcontainer" / "Dockerfile").read_text(encoding="utf-8")
TESTED = (ROOT / "tests" / "requirements.txt").read_text(encoding="utf-8")


LINTS = {
    # Debian takes old versions away, so a pinned one would break the build one day (DL3008);
    # TOKENIZERS_PARALLELISM is no secret (DL3064); a user's name is read by people (DL3066).
    "hadolint": ["--ignore=DL3008", "--ignore=DL3064", "--ignore=DL3066"],
    "shellcheck": [],
    "shellcheck --shell=sh": ["--exclude=SC2164"],  # handed to `sh -e`, which ends at a failed cd
}


def found_by(tool, path):
    name, *options = tool.split()
    command = [Path(sysconfig.get_path("scripts")) / name, *options, *LINTS[tool], path]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_image_is_as_the_linter_wants_it(tmp_path):
    assert found_by("hadolint", ROOT / ".devcontainer" / "Dockerfile") == ""
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("USER learner", "USER root"))
    assert "DL3002" in found_by("hadolint", tmp_path / "Dockerfile")


def test_the_image_has_what_was_tested():
    assert re.search(r"^FROM python:3\.1[1-4]", DOCKERFILE, re.M)
    assert "--torch-backend cpu" in DOCKERFILE
    for pinned in re.findall(r"\b(?:uv|jupyterhub|jupyterhub-idle-culler)==[\d.]+", DOCKERFILE):
        assert pinned in TESTED, pinned
    proxy = json.loads((ROOT / "tests" / "classroom" / "package.json").read_text())
    version = proxy["dependencies"]["configurable-http-proxy"]
    assert f"configurable-http-proxy@{version}" in DOCKERFILE


def test_the_container_for_an_editor_uses_that_image():
    told = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert (ROOT / ".devcontainer" / told["build"]["dockerfile"]).is_file()
    assert (ROOT / ".devcontainer" / told["build"]["context"]).resolve() == ROOT
    assert f"USER {told['remoteUser']}" in DOCKERFILE
    assert str(told["forwardPorts"][0]) in DOCKERFILE
    assert (Path(hub.__file__).parent / "lay_out.py").is_file()


SCRIPTS = (".binder/postBuild", ".binder/start", ".ci/run", "notebooks/grade_in_a_queue.sh")


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_as_the_linter_wants_them(name):
    path = ROOT / name
    assert path.read_text(encoding="utf-8").startswith("#!")
    assert found_by("shellcheck", path) == ""
    if name.startswith(".binder"):  # Binder runs it as a program
        assert path.stat().st_mode & 0o111


def test_the_sandboxs_script_is_as_the_linter_wants_it():
    assert found_by("shellcheck --shell=sh", ASSETS / "classroom" / "sandbox.sh") == ""


def test_binder_has_a_python_of_the_course_and_the_small_build():
    minor = int((ROOT / ".binder" / "runtime.txt").read_text().strip().removeprefix("python-3."))
    assert install.PYTHONS[0][1] <= minor <= install.PYTHONS[1][1]
    assert install.UV in (ROOT / ".binder" / "requirements.txt").read_text()
    script = (ROOT / ".binder" / "postBuild").read_text()
    assert "--torch-backend cpu" in script and "-r requirements.txt" in script
