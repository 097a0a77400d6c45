"""A page of our own, printed to PDF by a Chromium of this machine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from course_lib.errors import CourseError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE = 600  # seconds that a browser has to print


def browser() -> str | None:
    """The program that prints, or None."""
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


def to_pdf(page: Path, to: Path) -> bool:
    """Print the file `page` to the file `to`; false where no browser is there.

    As root, Chromium runs without its sandbox or not at all. Raises CourseError where it fails.
    """
    if (program := browser()) is None:
        return False
    with tempfile.TemporaryDirectory() as own:
        command = [program, "--headless", "--disable-gpu", "--disable-dev-shm-usage"]
        command += [f"--user-data-dir={own}", "--no-pdf-header-footer"]
        command += ["--no-sandbox"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
        command += [f"--print-to-pdf={to.resolve()}", page.resolve().as_uri()]
        there = os.environ | {"TMPDIR": own}  # the reader's may be gone, which Chromium ends at
        try:
            subprocess.run(command, env=there, check=True, capture_output=True, timeout=_PATIENCE)
        except (OSError, subprocess.SubprocessError) as error:
            raise CourseError(f"{program} could not print {page.name} ({error}).") from error
    return to.is_file()
