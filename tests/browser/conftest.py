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
def served(can_run, tmp_path_factory):
    """Copies of notebooks and exercises."""
    return lab.lay_out(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def address(served, tmp_path_factory, warm_kernels):
    """JupyterLab over `served`."""
    with lab.serve(served, tmp_path_factory.mktemp("home"), warm_kernels) as address:
        yield address


@pytest.fixture(scope="session")
def engine(can_run):
    with lab.browser() as engine:
        yield engine


@pytest.fixture(scope="session")
def profile(engine):
    """One browser for all of JupyterLab's pages, as a learner's is on a busy machine."""
    with engine.new_context() as profile:
        profile.add_init_script(lab.LATE_SCRIPTS)
        yield profile


@pytest.fixture(scope="session")
def axe(can_run):
    source = lab.axe_source()
    if not source and REQUIRED:
        pytest.fail("axe-core could not be installed from npm into tests/browser")
    return source
