"""What the first cell of every notebook does: `from course_lib import notebook; notebook.setup()`.

It makes the course's plotly template the default, lets figures travel as plain JSON (JupyterLab
draws them with the extension that comes with plotly, so no JavaScript is saved in the notebook)
unless another way was chosen, turns progress bars into text, silences notices that are about our
tools and not about the lesson, and decides on torch's threads.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import plotly.graph_objects as go
import plotly.io as pio
from IPython.core.getipython import get_ipython
from IPython.display import display

from course_lib import runtime
from course_lib.show import theme


def setup() -> None:
    """Prepare a notebook; to be called once, in its first cell.

    Shows nothing, but says what will not be kept where a person has no home of their own or the
    course may only be read. What the reader or the place has set is left: variables of the
    environment, and how plotly draws (`PLOTLY_RENDERER`, Colab's own way).
    """
    for name, value in runtime.QUIET.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", message=".*IProgress not found.*")
    warnings.filterwarnings("ignore", category=FutureWarning)
    theme.register()
    with _without_grammar_of_addresses():
        renderers = pio.renderers  # loaded here, at the first use
    if _renderer_is_open():
        renderers.default = "plotly_mimetype"
    runtime.use_threads()
    for said in (runtime.not_kept(), runtime.work_here()):
        if said:
            print(said)
    display({"text/html": theme.STYLE, "text/plain": ""}, raw=True)


@contextmanager
def _without_grammar_of_addresses() -> Iterator[None]:
    """plotly's renderers load nbformat, which loads jsonschema; that would build the grammar of
    international web addresses, which takes seconds and which no notebook is checked by."""
    grammar = "rfc3987_syntax"
    absent = grammar not in sys.modules
    if absent:
        sys.modules[grammar] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        yield
    finally:
        if absent:
            sys.modules.pop(grammar, None)


def _renderer_is_open() -> bool:
    """Whether nobody has chosen how figures are drawn: plotly fell back on what it takes for want
    of better. A reader's choice, Colab's, VS Code's and a kernel's own stay as they are."""
    in_kernel = type(get_ipython()).__name__ == "ZMQInteractiveShell"
    open_ones = ("", "plotly_mimetype+notebook", "browser")
    chosen = os.environ.get("PLOTLY_RENDERER") or in_kernel
    return not chosen and pio.renderers.default in open_ones


def show(figure: go.Figure, text: str) -> None:
    """Display a plotly figure and print its text twin: what it shows, in words.

    Raises ValueError for a blank text, since a picture without words leaves some readers out.
    """
    if not text.strip():
        raise ValueError("every figure needs its text twin: say in a sentence what it shows")
    figure.show()
    print(text)
