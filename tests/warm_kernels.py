"""A run on several processes has its kernels forked from one that has loaded torch, as on the hub.

What nbval and the browser open then begins at once; without it every kernel imports for five
seconds. Kernels without a network, and those of the exercises' nbval, are begun as anywhere else.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from course_lib.classroom.hub.kernel import SOCKET
from course_lib.runtime import ASSETS

_KERNEL = [sys.executable, "-m", "course_lib.classroom.hub.kernel", "-f", "{connection_file}"]


def begin() -> subprocess.Popen | None:
    """Start the process that is forked, for this one and all that it starts; Linux's only."""
    if sys.platform != "linux" or SOCKET in os.environ:
        return None
    path = Path(tempfile.mkdtemp(prefix="warm-")) / "kernels"
    command = [sys.executable, "-m", "course_lib.classroom.hub.warm", str(path)]
    process = subprocess.Popen(command, cwd=path.parent)
    os.environ |= {"JUPYTER_PATH": str(ASSETS / "classroom" / "hub"), SOCKET: str(path)}
    return process


def use() -> None:
    """Let nbval ask there too: it takes no notice of kernelspecs in `JUPYTER_PATH`."""
    from ipykernel import kernelspec

    plain = kernelspec.get_kernel_dict
    kernelspec.get_kernel_dict = lambda *given, **named: plain(*given, **named) | {"argv": _KERNEL}
