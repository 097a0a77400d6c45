"""The first cell: renderer, quiet, and figures that come with words."""

import subprocess
import sys
import warnings

import plotly.graph_objects as go
import plotly.io as pio
import pytest

from course_lib.show import notebook, theme


@pytest.fixture
def shown(monkeypatch):
    bundles = []
    monkeypatch.setattr(notebook, "display", lambda bundle, raw: bundles.append(bundle))
    monkeypatch.setattr(notebook.runtime, "use_threads", lambda: bundles.append("threads"))
    monkeypatch.setattr(pio.renderers, "default", "browser")
    with warnings.catch_warnings():
        yield bundles


def test_setup_decides_renderer_template_and_threads(shown, monkeypatch):
    monkeypatch.setattr(pio.templates, "default", "plotly")
    notebook.setup()
    assert pio.renderers.default == "plotly_mimetype"
    assert pio.templates.default == theme.TEMPLATE
    assert "threads" in shown
    assert {"text/html": theme.STYLE, "text/plain": ""} in shown


def test_setup_keeps_what_the_reader_set(shown, monkeypatch):
    monkeypatch.setenv("TQDM_ASCII", "mine")
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    notebook.setup()
    assert notebook.os.environ["TQDM_ASCII"] == "mine"
    assert notebook.os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_a_figure_comes_with_its_words_and_no_javascript(monkeypatch, capsys):
    monkeypatch.setattr(pio.renderers, "default", "plotly_mimetype")
    bundles = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **options: bundles.append(bundle))
    notebook.show(go.Figure(go.Bar(y=[1])), "One bar of height 1.")
    assert capsys.readouterr().out == "One bar of height 1.\n"
    assert [set(bundle) for bundle in bundles] == [{"application/vnd.plotly.v1+json"}]


def test_a_figure_without_words_is_refused():
    with pytest.raises(ValueError, match="text twin"):
        notebook.show(go.Figure(), "  ")


def test_a_notebook_from_before_the_rooms_still_finds_its_first_cell():
    from course_lib import notebook as old

    assert old is notebook
    with pytest.raises(ImportError, match="cannot import name 'notebooks'"):
        from course_lib import notebooks  # noqa: F401


def test_setup_builds_no_grammar_and_leaves_it_to_others():
    code = (
        "from course_lib.show import notebook; import sys; notebook.setup()\n"
        "assert 'nbformat' in sys.modules and 'rfc3987_syntax' not in sys.modules\n"
        "import rfc3987_syntax"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
