"""Shared by the tests: quiet libraries, small models, and what processes make once for all."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Tests keep a learner's own answers out of it, in this process and in the kernels it starts.
os.environ["INSIDE_R1_HOME"] = tempfile.mkdtemp(prefix="inside-r1-")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import settings

from tests import without_network

# A machine that is busy with other work is slow, and nothing is wrong with it.
settings.register_profile("course", deadline=None)
settings.load_profile("course")

ROOT = Path(__file__).resolve().parents[1]

# What takes longest begins first, so that all processes are busy to the end; and nbval trains in
# these notebooks before the browser opens them, so that it finds their runs (see `NotebooksRun`).
FIRST = (
    *(f"notebooks/{name}.ipynb" for name in ("03_r1_zero", "03c_what_made_it_grow")),
    *(f"notebooks/{name}.ipynb" for name in ("02_mixture_of_experts", "03d_bug_lab")),
    *(f"notebooks/{name}.ipynb" for name in ("05_distillation", "02b_how_v3_is_built")),
    "tests/browser/test_notebooks.py",
    "tests/browser/test_site.py",
    "tests/classroom/test_honest_notebooks.py",
    "tests/exercises/test_bank.py",
    "tests/classroom/test_attacks.py",
    "tests/exercises/test_grade.py",
    "tests/browser/test_live.py",
    "tests/distill/real/test_real_file.py",
    "tests/exercises/test_build.py",
    "tests/local/test_offline.py",
    "tests/widgets/test_site.py",
)


OFFLINE = "tests/local/test_offline.py"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Put the files of `FIRST` first; the rest stays as collected.

    A lesson that `OFFLINE` runs in this session, under nbval and without a network, is left out
    where it stands: it would be run as such a second time.
    """
    rank = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(file_of(item), len(FIRST)))
    there = [one for one in items if file_of(one) == OFFLINE and hasattr(one, "callspec")]
    if there and without_network.possible():
        twice = {f"notebooks/{one.callspec.params['name']}.ipynb" for one in there}
        config.hook.pytest_deselected(items=[one for one in items if file_of(one) in twice])
        items[:] = [one for one in items if file_of(one) not in twice]


def file_of(item):
    """The file of a test, as its name begins."""
    return item.nodeid.split("::")[0]


class Strict:
    """Solutions must give what they give in the checkout: there nbval compares every output."""

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(self, file_path, parent):
        found = yield
        if file_path.suffix == ".ipynb" and file_path.parent == ROOT / "solutions":
            for notebook in found:
                notebook.compare_outputs = True
        return found


class NotebooksRun:
    """Leaves a mark where nbval begins a notebook, and where it has come to its end."""

    def __init__(self, folder):
        self.folder = folder

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item, nextitem):
        if item.path.suffix != ".ipynb":
            return (yield)
        name = f"{item.path.parent.name}-{item.path.stem}"
        begun = self.folder / f"{name}.begun"
        if not begun.exists():  # its time is the first cell's: what the notebook writes is newer
            begun.touch()
        result = yield
        if nextitem is None or nextitem.path != item.path:
            (self.folder / f"{name}.ended").touch()
        return result


def shared_folder(config):
    """A folder of this session's that all its processes see; None where there is only one."""
    if not hasattr(config, "workerinput"):
        return None
    folder = Path(config.option.basetemp).parent / "shared"  # pytest-xdist's, above each worker's
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_configure(config):
    config.pluginmanager.register(Strict(), "strict-solutions")
    if folder := shared_folder(config):
        config.pluginmanager.register(NotebooksRun(folder), "notebooks-run")


@pytest.fixture(scope="session")
def shared(request, tmp_path_factory):
    """`shared_folder`, or, for one process, a folder of its own."""
    return shared_folder(request.config) or tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def warm_kernels(tmp_path_factory):
    """Variables by which kernels are forked from one process, as on a class's hub.

    What a notebook imports is then loaded once, not for each. nbval's kernels are begun as on a
    learner's machine, so every lesson is run that way too.
    """
    from course_lib.classroom.hub.kernel import SOCKET
    from course_lib.runtime import ASSETS

    path = tmp_path_factory.mktemp("k") / "kernels"
    if sys.platform != "linux":
        yield {}
        return
    with subprocess.Popen([sys.executable, "-m", "course_lib.classroom.hub.warm", path]) as process:
        while not path.exists() and process.poll() is None:
            time.sleep(0.1)
        yield {SOCKET: str(path), "JUPYTER_PATH": str(ASSETS / "classroom" / "hub")}
        process.kill()


@pytest.fixture
def kernels(warm_kernels, monkeypatch):
    """A class's hub: a student's kernel is forked."""
    for name, value in warm_kernels.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def site(shared):
    """The course's site, built once for all processes over an earlier one, and with its book: its
    folder, and its pages in order."""
    from filelock import FileLock

    from course_lib.widgets.site import build

    out, pages = shared / "site", shared / "site.txt"
    with FileLock(shared / "site.lock"):
        if not pages.exists():
            for earlier in ("_static/page.js", "index.html", "notebooks/03_r1_zero.html"):
                (out / earlier).parent.mkdir(parents=True, exist_ok=True)
                (out / earlier).write_text("an earlier site's", encoding="utf-8")
            built = [path.relative_to(out).as_posix() for path in build.build(out)]
            build.book(out)
            pages.write_text("\n".join(built), encoding="utf-8")
    return out, [out / name for name in pages.read_text("utf-8").split("\n")]


def pytest_terminal_summary(terminalreporter):
    """Say at the end what a test has measured (`record_property("told", ...)`)."""
    for report in terminalreporter.stats.get("passed", []):
        for name, text in report.user_properties:
            if name == "told":
                terminalreporter.write_line(text)


@pytest.fixture(scope="session", autouse=True)
def one_core_each():
    """Torch would use all cores in every process, and two that share a core wait for each other."""
    from course_lib.runtime import use_threads

    use_threads()


@pytest.fixture(scope="session")
def tokenizer():
    from course_lib.model import models

    return models.build_tokenizer()


@pytest.fixture(scope="session")
def random_models(tokenizer):
    """An untrained mini-V3, Qwen2 and Llama, by name: (name) -> model in evaluation mode."""
    import torch
    from transformers import AutoModelForCausalLM

    from course_lib.model import models
    from course_lib.runtime import use_threads

    use_threads()
    torch.manual_seed(0)
    configs = {
        "mini_v3": models.mini_v3_config(tokenizer),
        "qwen2": models.student_config(tokenizer, "qwen2"),
        "llama": models.student_config(tokenizer, "llama", hidden=64, layers=2),
    }
    return {name: AutoModelForCausalLM.from_config(c).eval() for name, c in configs.items()}
