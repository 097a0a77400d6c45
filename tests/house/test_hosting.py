"""What Binder, Codespaces, Docker and Kubernetes read: it parses, and says what the course says."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from course_lib.classroom import hub
from course_lib.local import install

ROOT = Path(install.__file__).parents[2]
DOCKERFILE = (ROOT / ".devcontainer" / "Dockerfile").read_text(encoding="utf-8")
TESTED = (ROOT / "tests" / "requirements.txt").read_text(encoding="utf-8")


def instructions(text):
    """(instruction, words) of a Dockerfile."""
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text))
    return [line.split(None, 1) for line in joined.splitlines() if line.strip()]


def test_the_image_is_what_its_makers_advise():
    found = instructions(DOCKERFILE)
    names = [name for name, _ in found]
    assert set(names) <= {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "CMD"}
    assert names[0] == "FROM" and re.search(r":3\.1[1-4]", found[0][1])
    assert names.index("USER") < names.index("CMD")  # not as root
    for name, words in found:
        if name == "RUN" and "apt-get" in words:
            assert "--no-install-recommends" in words and "rm -rf /var/lib/apt/lists" in words
        if name == "CMD":
            assert json.loads(words)
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


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_binders_scripts_run(name):
    path = ROOT / ".binder" / name
    assert path.stat().st_mode & 0o111 and path.read_text().startswith("#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", "-n", str(path)]).returncode == 0


def test_binder_has_a_python_of_the_course_and_the_small_build():
    minor = int((ROOT / ".binder" / "runtime.txt").read_text().strip().removeprefix("python-3."))
    assert install.PYTHONS[0][1] <= minor <= install.PYTHONS[1][1]
    assert install.UV in (ROOT / ".binder" / "requirements.txt").read_text()
    script = (ROOT / ".binder" / "postBuild").read_text()
    assert "--torch-backend cpu" in script and "-r requirements.txt" in script
