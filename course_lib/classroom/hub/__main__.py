"""Lay out the course in the user's home, then become their JupyterLab.

A hub begins it as the user (`c.Spawner.cmd`), never as root, so that nothing of a user's home is
followed with a hub's rights.
"""

import os
import subprocess
import sys
from pathlib import Path

from course_lib.classroom.hub.lay_out import lay_out

FOLDER = "inside-r1"


def main(argv: list[str]) -> int:
    """`argv` is what the hub gives to a single-user server."""
    try:
        given = lay_out(Path.home() / FOLDER)
        print(f"Inside R1: {len(given)} files laid out in ~/{FOLDER}.", file=sys.stderr)
    except (OSError, RuntimeError) as error:  # a full disk: the server still starts
        print(f"Inside R1: the course could not be laid out: {error}.", file=sys.stderr)
    command = [sys.executable, "-m", "jupyterhub.singleuser", *argv]
    if os.name == "nt":
        return subprocess.call(command)
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
