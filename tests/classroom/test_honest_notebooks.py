"""Odd but honest notebooks: the student's own verdict, in Jupyter's kernel, and the grader's agree.

Each notebook is run twice: by a kernel, as a student does, with what `check` then keeps as their
progress; and by the grader.
"""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from handed_in import ASKED, GAP, QUICK, RATIO, STUB, graded, put
from nbclient import NotebookClient

from course_lib.checklist import progress
from course_lib.classroom.checks.remote import Limits
from course_lib.classroom.grade import grade_one
from course_lib.classroom.grade_files import collect

IMPORT = "from course_lib.classroom.checks import check, hint, solution\n"
CHECKS = ('check("costs.ratio", price_ratio)', 'check("costs.gap_in_problems", gap_in_problems)')
ANSWERS = RATIO + GAP
CODE = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}

# Cells that stand before the imports, the answers and the checks; or with the answers in one cell.
BEFORE = {
    "colab_install": "!pip install -q nothing-of-this-name\n" + ANSWERS,
    "colab_form": "#@title Answers { run: \"auto\" }\nn = 3 #@param {type:\"integer\"}\n" + ANSWERS,
    "colab_drive": "from google.colab import drive\ndrive.mount('/content/drive')",
    "colab_drive_in_one_cell": "from google.colab import drive\n" + ANSWERS,
    "colab_maybe": "try:\n    import google.colab\nexcept ImportError:\n    pass\n" + ANSWERS,
    "colab_cd": "%cd /content\n" + ANSWERS,
    "kaggle": (
        "import os\nfor dirname, _, names in os.walk('/kaggle/input'):\n    for name in names:\n"
        "        print(os.path.join(dirname, name))\n" + ANSWERS
    ),
    "kaggle_pip": "%pip install -q nothing-of-this-name\n" + ANSWERS,
    "vscode": "#%%\n# %% a cell of VS Code\n" + ANSWERS,
    "deepnote": "# Deepnote\n_deepnote_current = {'id': 1}\n" + ANSWERS,
    "matplotlib": "%matplotlib inline\n" + ANSWERS,
    "autoreload": "%load_ext autoreload\n%autoreload 2\n" + ANSWERS,
    "no_such_extension": "%load_ext no_such_extension\n" + ANSWERS,
    "no_such_magic": "%no_such_magic\n" + ANSWERS,
    "timeit_value": "t = %timeit -n 1 -r 1 -o 2 + 2\n" + ANSWERS,
    "time_cell": "%%time\n" + ANSWERS,
    "capture_cell": "%%capture out\n" + ANSWERS,
    "bash_cell": "%%bash\nls",
    "writefile": "%%writefile helper.py\nX = 60",
    "script_cell": "%%script false --no-raise-error\n" + ANSWERS,
    "shell_value": "x = !ls\nassert isinstance(x, list)\n" + ANSWERS,
    "shell_with_name": "name = 'x'\n!echo {name} $name\n" + ANSWERS,
    "question": "sum?\n" + ANSWERS,
    "questions": "import os\nos.path??\n" + ANSWERS,
    "display": ANSWERS + "display(price_ratio)\ndisplay({'a': 1})",
    "get_ipython": "ip = get_ipython()\nip.run_line_magic('who', '')\n" + ANSWERS,
    "kernel": "get_ipython().kernel\n" + ANSWERS,
    "application": "import IPython\nIPython.Application.instance().kernel\n" + ANSWERS,
    "await": "import asyncio\nawait asyncio.sleep(0.01)\n" + ANSWERS,
    "async_for": (
        "async def numbers():\n    for n in range(3):\n        yield n\n"
        "async for n in numbers():\n    print(n)\n" + ANSWERS
    ),
    "running_loop": "import asyncio\nloop = asyncio.get_running_loop()\n" + ANSWERS,
    "asyncio_run": "import asyncio\nasync def f(): return 1\nasyncio.run(f())\n" + ANSWERS,
    "asyncio_in_answer": (
        RATIO + "import asyncio\nasync def share(p): return p / 100\n"
        "def gap_in_problems(a, b, n):\n    return asyncio.run(share(a - b)) * n\n"
    ),
    "task": "import asyncio\ntask = asyncio.create_task(asyncio.sleep(0))\n" + ANSWERS,
    "in_list": "assert In[0] == ''\nassert 'In[0]' in In[1]\n" + ANSWERS,
    "out": "6 * 7",
    "underscore": "1 + 1",
    "annotations": "price: float = 60\n__annotations__['price']\n" + ANSWERS,
    "dataclass": (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\n"
        "class Price:\n    value: float\n    def of(self) -> Price: return self\n" + ANSWERS
    ),
    "pickle": (
        "import pickle\nclass A:\n    pass\npickle.loads(pickle.dumps(A()))\n" + ANSWERS
    ),
    "threads": (
        "import threading\nt = threading.Thread(target=print, args=(1,))\nt.start()\nt.join()\n"
        + ANSWERS
    ),
    "pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool:\n    list(pool.map(abs, range(9)))\n" + ANSWERS
    ),
    "processes": (
        "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as pool:\n"
        "    assert pool.map(abs, [-1, 2]) == [1, 2]\n" + ANSWERS
    ),
    "forkserver": (  # Python's own way from 3.14 on
        "open('twice.py', 'w').write('def f(x): return 2 * x')\nimport twice\n"
        "import multiprocessing as m\n"
        "from concurrent.futures import ProcessPoolExecutor as Pool\n"
        "with Pool(1, m.get_context('forkserver')) as pool:\n"
        "    assert list(pool.map(twice.f, [1])) == [2]\n" + ANSWERS
    ),
    "subprocess": "import subprocess\nsubprocess.run(['ls'], check=True)\n" + ANSWERS,
    "torch": "import torch\ntorch.manual_seed(0)\n" + ANSWERS,
    "transformers": "from transformers import AutoConfig\n" + ANSWERS,
    "course": "from course_lib.rl import grpo\n" + ANSWERS,
    "pandas": "import pandas as pd\ndisplay(pd.DataFrame({'a': [1]}))\n" + ANSWERS,
    "plotly": "import plotly.express as px\npx.line(x=[1, 2], y=[1, 2]).show()\n" + ANSWERS,
    "widgets": "import ipywidgets as w\ndisplay(w.IntSlider())\nw.interact(abs, x=3)\n" + ANSWERS,
    "tqdm": "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass\n" + ANSWERS,
    "logging": "import logging\nlogging.basicConfig()\nlogging.warning('x')\n" + ANSWERS,
    "warnings": "import warnings\nwarnings.warn('x')\n" + ANSWERS,
    "unicode": "größe = 'é'\nπ = 3.14\n" + ANSWERS,
    "main": "if __name__ == '__main__':\n    price_ratio = 60 / 2.19\n" + GAP,
    "lambda": RATIO + "gap_in_problems = lambda a, b, n: (a - b) / 100 * n",
    "decorated": (
        "import functools\n" + RATIO + "@functools.lru_cache\n" + GAP
    ),
    "hard_exit": "exit\n" + ANSWERS,
    "error_before": "1 / 0",
    "error_after_answers": ANSWERS + "1 / 0",
    "syntax_error": "def broken(:\n",
    "continued": GAP.replace("return", "note = ('%.1f'\n        % a)\n    return") + RATIO,
    "percent_text": 'TEXT = """\n% of problems\n!careful\n? no\n"""\n' + ANSWERS,
    "prints_much": "for i in range(20_000): print(i)\n" + ANSWERS,
    "writes_files": "open('n.txt', 'w').write('x')\nassert open('n.txt').read()\n" + ANSWERS,
    "temporary": "import tempfile\ntempfile.TemporaryFile().write(b'x')\n" + ANSWERS,
    "home": "from pathlib import Path\n(Path.home() / 'x').write_text('x')\n" + ANSWERS,
    "user": "import getpass\ngetpass.getuser()\n" + ANSWERS,
    "sql_magic": "%%sql\nselect 1",
    "html_cell": "%%html\n<b>x</b>",
    "javascript": "%%javascript\nalert(1)",
    "indented": "    x = 1\n    y = 2\n",
    "crlf": ANSWERS.replace("\n", "\r\n"),
    "run_magic": "%%writefile answers.py\n" + ANSWERS,
    "stdout": "import sys\nsys.stdout.write('x')\nsys.stdout.flush()\nsys.stderr.write('y')\n"
    + ANSWERS,
    "redirect": (
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "    print('x')\nassert out.getvalue()\n" + ANSWERS
    ),
    "history": "%history\n%who\n%whos\n%env\n%lsmagic\n" + ANSWERS,
    "reset": "x = 1\n%reset_selective -f x\n" + ANSWERS,
    "config": "%config InlineBackend.figure_format = 'retina'\n" + ANSWERS,
    "percent_precision": "%precision 3\n%xmode Plain\n" + ANSWERS,
    "signals": "import signal\nsignal.alarm(0)\n" + ANSWERS,
}  # fmt: skip
AFTER = {
    "out": "assert Out[1] == 42 and _1 == 42\n" + ANSWERS,
    "underscore": "assert _ == 2\n" + ANSWERS,
    "writefile": "import helper\nprice_ratio = helper.X / 2.19\n" + GAP,
    "run_magic": "%run answers.py",
}


def cells(name: str) -> list[str]:
    """The cells of an odd notebook: its own, the answers if they are not in those, the checks."""
    first = BEFORE[name]
    answers = AFTER.get(name) or ("" if "def gap_in" in first or "lambda" in first else ANSWERS)
    return [first, *([answers] if answers else []), IMPORT + CHECKS[0], CHECKS[1]]


def in_jupyter(path, folder) -> dict[str, str]:
    """Run a notebook in a kernel, as a student does; the outcomes that their progress keeps."""
    home = folder / "home"
    home.mkdir()
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        allow_errors=True,
        timeout=120,
        startup_timeout=600,
        shutdown_kernel="immediate",  # now and then a kernel that is asked takes three seconds
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=os.environ | {"INSIDE_R1_HOME": str(home), "HOME": str(home)})
    before = os.environ.get("INSIDE_R1_HOME")
    os.environ["INSIDE_R1_HOME"] = str(home)
    try:
        return progress.load().outcomes()
    finally:
        os.environ.pop("INSIDE_R1_HOME")
        if before:
            os.environ["INSIDE_R1_HOME"] = before


def graded_outcomes(folder) -> dict[str, str]:
    (submission,) = collect(folder)
    grade = grade_one(submission, ASKED, Limits(cell=60, total=120))
    return {one.exercise: str(one.outcome) for one in grade.verdicts}


@pytest.mark.slow
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", BEFORE)
def test_own_verdict_and_the_graders_agree(name, tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    notebook = {"cells": [CODE | {"source": one} for one in cells(name)], "metadata": {}}
    (folder / "lea.ipynb").write_text(json.dumps(notebook | {"nbformat": 4, "nbformat_minor": 4}))
    own = in_jupyter(folder / "lea.ipynb", tmp_path)
    found = graded_outcomes(folder)
    assert {name: found[name] for name in own} == own
    # What the grader goes on from; matplotlib may be there.
    lacks = name in (
        "colab_drive_in_one_cell", "no_such_extension", "no_such_magic", "matplotlib"
    )  # fmt: skip
    stops = name in ("asyncio_run", "widgets")  # before the answers below it are read, there too
    came = "right" if lacks else "error in your code" if stops else "not attempted"
    assert {found[name] for name in found.keys() - own} <= {came}
    assert not stops or own == {}


# The same answers in the shapes in which programs have written notebooks. None but the last is
# made for a kernel of today, so here the grader alone must find them right.
SHAPES = {
    "version_3": {
        "nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""},
        "worksheets": [{"cells": [
            {"cell_type": "code", "input": [RATIO], "language": "python", "outputs": []},
            {"cell_type": "code", "input": GAP, "language": "python", "outputs": []},
        ]}],
    },
    "sources_as_lists": {
        "cells": [CODE | {"source": ANSWERS.splitlines(keepends=True)}], "metadata": {},
        "nbformat": 4, "nbformat_minor": 5,
    },
    "colab": {
        "cells": [{"cell_type": "code", "source": [ANSWERS], "metadata": {"id": "x"}}],
        "metadata": {"colab": {"provenance": []}, "accelerator": "GPU"}, "nbformat": 4,
        "nbformat_minor": 0,
    },
    "vscode_without_ids": {
        "cells": [{"cell_type": "code", "source": ANSWERS, "metadata": {"vscode": {}}}],
        "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 2,
    },
    "deepnote": {
        "cells": [CODE | {"source": ANSWERS, "metadata": {"deepnote_cell_type": "code"}}],
        "metadata": {"deepnote_notebook_id": "x"}, "nbformat": 4, "nbformat_minor": 0,
    },
    "odd_cells": {
        "cells": [
            None, 5, {"cell_type": "code"}, CODE | {"source": None}, CODE | {"source": True},
            CODE | {"source": [1, None, "x = 1\n"]}, {"cell_type": "raw", "source": "1 / 0"},
            CODE | {"source": ANSWERS},
        ],
    },
}  # fmt: skip
BYTES = {
    "plain": lambda text: text.encode(),
    "bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf16": lambda text: text.encode("utf-16"),
    "crlf": lambda text: json.dumps(json.loads(text), indent=1).replace("\n", "\r\n").encode(),
    "blanks": lambda text: b"\n\n " + text.encode() + b"\n\n",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("write", BYTES)
def test_notebooks_of_other_programs_are_read(shape, write, tmp_path):
    (tmp_path / "lea.ipynb").write_bytes(BYTES[write](json.dumps(SHAPES[shape])))
    if write == "plain":
        assert set(graded_outcomes(tmp_path).values()) == {"right"}
    else:
        cells, _ = collect(tmp_path)[0].read()
        assert "def gap_in_problems" in "\n".join(cells["lea.ipynb"])


SLOW = 22  # seconds


@pytest.fixture(scope="module", autouse=True)
def slow_cell(tmp_path_factory):
    """A notebook with a slow cell, graded while the first of the others are: what the grader finds,
    and the seconds that it took."""
    folder, started = tmp_path_factory.mktemp("slow"), time.monotonic()
    put(folder / "lea.ipynb", f"import time\ntime.sleep({SLOW})\n" + RATIO, GAP)
    with ThreadPoolExecutor(1) as aside:
        yield aside.submit(lambda: (graded_outcomes(folder), time.monotonic() - started))


def test_a_slow_cell_has_its_time(slow_cell):
    found, seconds = slow_cell.result()
    assert set(found.values()) == {"right"}
    assert seconds > SLOW


ABSENT = {  # what a student had and the grader has not, in the cell that holds the answers
    "library": "import no_such_library as other\nother.use()",
    "names": "from google.colab import drive\ndrive.mount('/content/drive')",
    "file": "text = open('/content/no_such_file').read()\nprint(text)",
    "network": "import urllib.request\nurllib.request.urlopen('http://192.0.2.1').read()",
    "keyboard": "who = input('Your name: ')\nprint(f'Hello {who}')",
    "in_a_function": "def load():\n    return open('/no/such/file')\n\n\ndata = load()",
    "a_gpu": "import torch\ntorch.ones(1, device='cuda')",
    "asked_for_a_gpu": "import torch\nassert torch.cuda.is_available(), 'This needs a GPU.'",
    "magic": "%tensorflow_version 2.x",
    "variable": "import os\ntoken = os.environ['NO_SUCH_TOKEN']\nprint(token)",
    "program": "import subprocess\nsubprocess.run(['false'], check=True)",
    "cause": "try:\n    open('/no/such/file')\nexcept OSError:\n    raise ValueError('no data')",
    "timed": "%%time\nimport no_such_library",
    "captured": "%%capture --no-stderr\n%%time\nimport no_such_library",
    "in_one_line": "import no_such_library; n = 1\nif 'n' not in globals(): raise SystemExit",
    "decorator": "import asyncio\nawait asyncio.sleep(0)\n@open('/no/such/file')\ndef f(): pass",
}  # fmt: skip


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_not_here_costs_only_what_needs_it(name, tmp_path):
    put(tmp_path / "lea.ipynb", f"{ABSENT[name]}\n{ANSWERS}")
    (submission,) = collect(tmp_path)
    grade = grade_one(submission, ASKED, Limits(cell=60, total=120))
    assert {str(one.outcome) for one in grade.verdicts} == {"right"}
    (note,) = grade.notes
    assert note.startswith("Cell 1 failed: ") and note.endswith("were run all the same.")


@pytest.mark.parametrize(
    "first", ["from google.colab import drive", "while True: pass", "import os\nos._exit(0)"]
)
def test_a_name_that_is_not_here_for_want_of_something_costs_only_what_needs_it(first, tmp_path):
    put(tmp_path / "lea.ipynb", first, "drive.mount('/content/drive')\n" + ANSWERS)
    (submission,) = collect(tmp_path)
    grade = grade_one(submission, ASKED, QUICK)
    assert {str(one.outcome) for one in grade.verdicts} == {"right"}
    assert "()" not in grade.notes[0] and grade.notes[1].endswith("were run all the same.")


def test_nothing_is_said_to_have_been_run_where_nothing_stood_below(tmp_path):
    put(tmp_path / "lea.ipynb", "if True:\n    import no_such_library\n    a = 1", ANSWERS)
    (submission,) = collect(tmp_path)
    (note,) = grade_one(submission, ASKED, Limits(cell=60, total=120)).notes
    assert note.startswith("Cell 1 failed: ") and "all the same" not in note


@pytest.mark.parametrize("mistake", ["1 / 0", "{}['NO_SUCH_TOKEN']"])
def test_a_mistake_ends_a_cell_as_in_jupyter_and_time_ends_what_stands_below(mistake, tmp_path):
    put(
        tmp_path / "lea.ipynb", f"{mistake}\n{ANSWERS}", f"no_such_name\n{RATIO}",
        f"import no_such_library\n{GAP}while True: pass\nprice_ratio = 60 / 2.19",
    )  # fmt: skip
    (submission,) = collect(tmp_path)
    grade = grade_one(submission, ASKED, QUICK)
    assert [str(one.outcome) for one in grade.verdicts] == ["error in your code", "right"]
    assert "Cell 3 was stopped after 3 seconds" in grade.notes[2]


@pytest.mark.parametrize(
    ("cell", "outcome"),
    [
        (GAP.replace("* n", "* n)"), "error in your code"),
        (f"1 / 0\n{GAP}", "error in your code"),
        (f"import os\nos._exit(0)\n{GAP}", "error in your code"),
        (GAP.replace("def gap_in_problems", "def gap"), "not attempted"),
        ("1 / 0\nif gap_in_problems == 3: pass", "not attempted"),
        (f"{STUB}gap_in_problems(1, 2, 3)", "not attempted"),
    ],
)
def test_what_was_written_and_did_not_run_is_no_answer_that_was_not_attempted(
    cell, outcome, tmp_path
):
    grade = graded(tmp_path, RATIO, cell, 'check("costs.gap_in_problems", gap_in_problems)')
    right, gap = grade.verdicts
    assert (str(right.outcome), str(gap.outcome)) == ("right", outcome)
    assert ("cell 2 has it and did not run to its end" in gap.message) == ("error" in outcome)


def test_a_stub_that_was_tried_in_its_cell_and_went_to_check_is_not_attempted(tmp_path):
    """It was 'not defined' in the grades: the one answer after it was looked for in its cell."""
    handed = 'from course_lib.classroom.checks import check\ncheck("costs.gap_in_problems", '
    grade = graded(tmp_path, f"{STUB}gap_in_problems(1, 2, 3)", f"{handed}gap_in_problems)")
    assert str(grade.verdicts[1].outcome) == "not attempted"


RENAMED = {  # what goes to `check` and is right, and what a later cell makes of it
    "a_helper": (
        "def share(p):\n    return p / 100\n"
        "def gap_in_problems(a, b, n):\n    return (share(a) - share(b)) * n\n",
        "def share(tokens):\n    return tokens / 1e6",
    ),
    "a_module": ("import math\n" + GAP.replace("return", "return math.floor(1.5) *"), "math = 3"),
    "of_pythons": (GAP.replace("return", "return float(1) *"), "float = 3"),
    "a_trial": (GAP, GAP.replace("return", "return 2 *")),
    "a_trial_that_ends_python": (
        GAP, GAP.replace("return", "import os; os._exit(0)\n    return")
    ),
    "all": ("import math\n" + GAP.replace("return", "return math.floor(1.5) *"), "%reset -f"),
}  # fmt: skip


@pytest.mark.parametrize("name", RENAMED)
def test_what_went_to_check_and_was_right_stays_right(name, tmp_path):
    """The value is named and changed anew as well, in the same notebook."""
    function, later = RENAMED[name]
    put(
        tmp_path / "lea.ipynb", IMPORT + RATIO + CHECKS[0] + "\nprice_ratio = 15 / 0.55",
        function + CHECKS[1], later,
    )  # fmt: skip
    assert set(graded_outcomes(tmp_path).values()) == {"right"}


def test_a_check_of_what_is_wrong_or_hostile_makes_nothing_right(tmp_path):
    odd = (
        "class Key(str):\n    __hash__ = str.__hash__\n    def __eq__(self, other): raise OSError\n"
        "globals()[Key('__builtins__')] = 1\n"
    )
    wrong = GAP.replace("return", "globals().clear()\n    return 2 *")
    put(
        tmp_path / "lea.ipynb", IMPORT + RATIO, CHECKS[0], wrong + CHECKS[1],
        "x = 1\n" + CHECKS[1], odd,
    )  # fmt: skip
    assert graded_outcomes(tmp_path)["costs.ratio"] == "right"
    assert graded_outcomes(tmp_path)["costs.gap_in_problems"] != "right"


def test_an_answer_handed_to_check_counts_whatever_it_is_called(tmp_path):
    put(
        tmp_path / "lea.ipynb", IMPORT + "my_ratio = 60 / 2.19\ncheck('costs.ratio', my_ratio)",
        GAP + CHECKS[1] + "\ngap_in_problems = 5  # used for something else",
    )  # fmt: skip
    assert set(graded_outcomes(tmp_path).values()) == {"right"}
