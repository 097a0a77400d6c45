"""A generated class: good, middling and hostile submissions of one lesson."""

from __future__ import annotations

import json
from pathlib import Path

from course_lib.classroom.checks import sources

HOSTILE = {
    "endless_cell": "while True:\n    try:\n        pass\n    except:\n        pass",
    "eats_memory": "heap = []\nwhile True:\n    heap.append(bytearray(10**8))",
    "ends_python": "import os\nos._exit(3)",
    "kills_itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "kills_grader": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "floods_output": "while True:\n    print('x' * 10000)",
    "exits": "raise SystemExit(0)",
    "fork_bomb": "import os\nwhile True:\n    os.fork()",
    "big_file": "with open('big', 'wb') as out:\n    while True:\n        out.write(bytes(10**7))",
    "rewrites_checker": (
        "import course_lib.classroom.checks.judge as judge\n"
        "judge.judge = lambda *a, **k: 'right'\n"
        "open(judge.__file__, 'w').write('judge = None')"
    ),
    "rewrites_others": (
        "import glob\nfor path in glob.glob('{folder}/*'):\n    open(path, 'w').write('hacked')"
    ),
    "reads_others": (
        "import glob\nfor path in glob.glob('{folder}/*'):\n    answers = open(path).read()"
    ),
    "forges_replies": (
        "import os\nfor fd in range(3, 20):\n    try:\n"
        '        os.write(fd, b\'{"id": "0", "got": "1"}\\n\')\n'
        "    except OSError:\n        pass"
    ),
}


def submission(lesson: str, *, solved: bool = True, extra: str = "", edits: dict = {}) -> str:  # noqa: B006
    """A notebook as text: the solved or the empty exercises, a cell in front, edits in cells."""
    notebook = sources.notebook(lesson, solved=solved)
    for cell in notebook.cells:
        for old, new in edits.items():
            cell.source = cell.source.replace(old, new)
    cells = [dict(cell) for cell in notebook.cells]
    if extra:
        front = {"cell_type": "code", "id": "extra", "metadata": {}, "outputs": []}
        cells.insert(0, front | {"execution_count": None, "source": extra})
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def make(folder: Path, lesson: str, size: int, edits: list[dict]) -> dict[str, str]:
    """Write a class of `size` into `folder`; what each student is: hostile kind, or a number."""
    kinds: dict[str, str] = {}
    for number, (name, code) in enumerate(HOSTILE.items()):
        if len(kinds) < size:
            extra = code.replace("{folder}", str(folder))
            kinds[f"h{number:02d}_{name}"] = name
            text = submission(lesson, extra=extra)
            (folder / f"h{number:02d}_{name}.ipynb").write_text(text)
    while len(kinds) < size:
        number = len(kinds)
        edit = edits[number % len(edits)]
        kinds[f"s{number:02d}"] = "empty" if edit.get("empty") else "student"
        empty = edit.get("empty", False)
        text = submission(lesson, solved=not empty, edits={} if empty else edit)
        (folder / f"s{number:02d}.ipynb").write_text(text)
    return kinds
