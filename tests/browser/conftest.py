"""One JupyterLab and one Chromium for all browser tests; skipped, with the reason, without them."""

import os

import pytest

from . import lab

REQUIRED = os.environ.get("COURSE_BROWSER") == "require"


@pytest.fixture(scope="session", autouse=True)
def can_run():
    reason = lab.missing()
    if reason and REQUIRED:
        pytest.fail(f"browser tests are required here (COURSE_BROWSER=require), but {reason}")
    if reason:
        pytest.skip(f"browser tests: {reason}")


@pytest.fixture(scope="session")
def address(can_run, tmp_path_factory):
    """JupyterLab over copies of notebooks and exercises."""
    folder = lab.lay_out(tmp_path_factory.mktemp("served"))
    with lab.serve(folder, tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="session")
def engine(can_run):
    with lab.browser() as engine:
        yield engine


@pytest.fixture(scope="session")
def axe(can_run):
    source = lab.axe_source()
    if not source and REQUIRED:
        pytest.fail("axe-core could not be installed from npm into tests/browser")
    return source
