"""The notebooks on local inference, one's own data and costs, under nbval with the network off.

Off means that there is no network: the commands run in a namespace of Linux that has only loopback.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import without_network

ROOT = Path(__file__).parents[2]
NOTEBOOKS = (
    "01_cost_reset",
    "06_local_inference",
    "07_your_data_your_limits",
    "09_a_real_language_model",
)


def alone(*arguments, seconds):
    """Run Python with `arguments` and no network; the finished process."""
    return subprocess.run(
        [*without_network.ALONE, sys.executable, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def possible():
    if not without_network.possible():
        pytest.skip("no network of one's own can be made here (Linux, `unshare -rn`)")


def test_there_is_loopback_and_nothing_else():
    code = (
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as here:\n"
        "    socket.create_connection(here.getsockname()).close()\n"
        "try: socket.create_connection(('192.0.2.1', 9), timeout=5)\n"
        "except OSError as error: print(type(error).__name__, error.errno)\n"
    )
    done = alone("-c", code, seconds=60)
    assert done.stdout == "OSError 101\n", done.stderr  # the network is unreachable


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_passes_without_a_network_and_without_a_download(name, tmp_path, monkeypatch):
    monkeypatch.setenv("INSIDE_R1_CACHE", str(tmp_path))
    options = ["-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    book = f"notebooks/{name}.ipynb"
    done = alone("-m", "pytest", *options, "--nbval-cell-timeout=600", book, seconds=900)
    assert done.returncode == 0, done.stdout[-3000:]
