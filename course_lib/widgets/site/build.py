"""`python -m course_lib site --out DIR`: the course as pages to read without running anything.

Sphinx builds it, with myst-nb for the notebooks and sphinx-book-theme for the look; nothing is
executed. The theme's own scripts in its pages become files, so that a content security policy can
say of every page that it loads and runs what lies beside it and nothing else. It works from a
folder, a memory stick or any static host.
"""

import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import plotly

from course_lib.errors import CourseError
from course_lib.runtime import ROOT
from course_lib.show import printing
from course_lib.widgets.live import page as live
from course_lib.widgets.site import sources

_OWN = Path(__file__).parent
_PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
_MARK = Path("_static") / "page.js"
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'self' "
    "file:; style-src 'self' file: 'unsafe-inline'; img-src 'self' file: data: blob:; "
    "font-src 'self' file: data:\">"
)
_SCRIPT = re.compile(r"<script(?P<given>[^>]*)>(?P<code>.*?)</script>", re.S)
# The theme's contents for print, a second title and a second list of every page's sections.
_PRINTED = re.compile(r'<div id="jb-print-docs-body".*?(?=<div id="searchbox">)', re.S)
# A control's name has the words that are seen on it (WCAG 2.2, 2.5.3).
_NAMES = (
    (re.compile(r'(search-button-field[^>]*?aria-label=")Search"'), r'\1Search Ctrl+K"'),
    (re.compile(r'<summary aria-label="[^"]*">'), "<summary>"),
)
# The theme looks for words on the page of the search alone, and shows a dozen of its 2,000 icons.
_SEARCH = re.compile(r'<script src="[^"]*(?:searchtools|language_data|searchindex)\.js"></script>')
_ICONS = Path("_static") / "scripts" / "fontawesome.js"
_ICON = re.compile(
    r'(?P<quote>"?)(?P<name>[\w$-]+)(?P=quote):'
    r'\[\d+,\d+,\[(?P<also>[^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?'
)
# A module's name may break after a point or a line, and in a list needs no room before it.
_HEADING = re.compile(r"(?<=<h[23]>)\w+\.[\w.]+")
_LISTED = re.compile(r'(nav-link" href="#[^>]*>)course_lib\.\w+\.(?=\w)')
_SIDEBAR = ("navbar-logo", "search-button-field", "sbt-sidebar-nav")
BOOK, PRINTED = "inside-r1.epub", "inside-r1.pdf"
_ON_PAPER = "<style>pre { white-space: pre-wrap; overflow-wrap: anywhere; }</style>"


def build(out: Path, root: Path = ROOT, launch: dict[str, str] | None = None) -> list[Path]:
    """Write the site of the course in `root` to the folder `out`; returns the pages written.

    `launch` has the address of the course's repository, and those of services that open a
    notebook of it, by sphinx-book-theme's names (`repository_url`, `jupyterhub_url`, ...). Raises
    CourseError if `out` holds anything but an earlier site, if a notebook cannot be read, or
    without Sphinx.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _MARK).exists())):
        raise CourseError(f"{out} holds something else than a site: name a new or empty folder.")
    with tempfile.TemporaryDirectory() as made:
        source, static, aside = (Path(made, name) for name in ("source", "static", "made"))
        source.mkdir()
        static.mkdir()
        groups = sources.write(source, root)
        for file in (_OWN / "page.js", _OWN / "style.css", _PLOTLY_JS):
            shutil.copy(file, static)
        _sphinx(source, aside, "html", _settings(static, launch or {}))
        shutil.copytree(aside, out, dirs_exist_ok=True)
    names = [page.name for _, group in groups for page in group]
    found = [out / "index.html", *(out / f"{name}.html" for name in names)]
    for path in out.rglob("*.html"):
        path.write_text(_sealed(path, out), encoding="utf-8")
    _trim_icons(out)
    for written_for_its_makers in out.rglob("*.js.map"):
        written_for_its_makers.unlink()
    live.write(out)  # in place of the few words that Sphinx has made of it
    return found


def _trim_icons(out: Path) -> None:
    """Leave out the icons that no page and no other script of the theme names."""
    file = out / _ICONS
    using = [*out.rglob("*.html"), *(one for one in file.parent.glob("*.js") if one != file)]
    names = {
        name
        for one in using
        for name in re.findall(r"\bfa-([\w-]+)", one.read_text(encoding="utf-8"))
    }
    text = file.read_text(encoding="utf-8")

    def named(icon: re.Match[str]) -> bool:
        return bool(names & {icon["name"], *re.findall(r'"([\w-]+)"', icon["also"])})

    kept = _ICON.sub(lambda icon: icon[0] if named(icon) else "", text)
    file.write_text(kept, encoding="utf-8")


def book(out: Path, root: Path = ROOT) -> list[Path]:
    """Write the lessons as an EPUB into the folder `out`, and as a PDF where a Chromium is there to
    print it; returns what was written. Raises CourseError without Sphinx.
    """
    with tempfile.TemporaryDirectory() as made:
        source, aside = Path(made, "source"), Path(made, "made")
        source.mkdir()
        sources.write(source, root, book=True)
        names = {"epub_show_urls": "no", "epub_basename": "book"}
        _sphinx(source, aside, "epub", _common() | names)
        shutil.copy(aside / "book.epub", out / BOOK)
        if printing.browser():
            _sphinx(source, aside, "singlehtml", _common() | {"html_theme": "basic"})
            page = aside / "index.html"
            text = page.read_text(encoding="utf-8").replace("<details", "<details open")
            page.write_text(text.replace("</head>", f"{_ON_PAPER}</head>", 1), encoding="utf-8")
            printing.to_pdf(page, out / PRINTED)
    return [out / name for name in (BOOK, PRINTED) if (out / name).exists()]


def _sphinx(source: Path, out: Path, builder: str, settings: dict[str, Any]) -> None:
    """Run Sphinx once, quietly. Raises CourseError where it is missing."""
    try:
        from sphinx.application import Sphinx
        from sphinx.util.docutils import docutils_namespace
    except ImportError as error:
        raise CourseError(
            "The site needs Sphinx: pip install -r tests/requirements.txt, and give the command "
            "again."
        ) from error
    doctrees = out.parent / f"doctrees-{builder}"
    with docutils_namespace():
        app = Sphinx(source, None, out, doctrees, builder, settings, status=None, warning=None)
        app.build()


def _common() -> dict[str, Any]:
    return {
        "project": "Inside R1",
        "author": "the course’s authors",
        "html_title": "Inside R1",
        "smartquotes": False,  # it would change the quotes in code that stands in HTML
        "extensions": ["myst_nb", "sphinx.ext.autodoc", "course_lib.widgets.site.extension"],
        "nb_execution_mode": "off",
        "nb_code_prompt_show": "What came out",
        "nb_code_prompt_hide": "What came out",
        "myst_enable_extensions": ["dollarmath"],
        "myst_dmath_allow_digits": False,
        "myst_dmath_allow_space": False,
        "myst_heading_anchors": 4,
        "myst_heading_slug_func": "course_lib.widgets.site.sources.slug",
        "default_role": "literal",
        "autodoc_member_order": "bysource",
        "autodoc_preserve_defaults": True,
        "html_math_renderer": "mathml",
    }


def _settings(static: Path, launch: dict[str, str]) -> dict[str, Any]:
    """Sphinx's settings for the web pages."""
    services = {name: url for name, url in launch.items() if name != "repository_url"}
    repository = launch.get("repository_url", "")
    return _common() | {
        "html_theme": "sphinx_book_theme",
        "html_static_path": [str(static)],
        "html_css_files": ["style.css"],
        "html_sidebars": {"**": [f"{part}.html" for part in _SIDEBAR]},
        "html_context": {"default_mode": "auto"},
        "html_show_search_summary": False,  # it would fetch every page that is found
        "html_copy_source": False,
        "html_use_index": False,
        "html_domain_indices": False,
        "html_show_sourcelink": False,
        "html_show_sphinx": False,
        "html_theme_options": {
            "show_toc_level": 2,
            "use_download_button": False,
            "use_fullscreen_button": False,
            "use_repository_button": bool(repository),
            "repository_url": repository,
            "launch_buttons": services | {"notebook_interface": "jupyterlab"},
        },
    }


def _sealed(path: Path, out: Path) -> str:
    """A page with its inline scripts as files, and with a policy that allows nothing else."""
    up = "../" * (len(path.relative_to(out).parts) - 1)

    def as_file(found: re.Match[str]) -> str:
        given, code = found["given"], found["code"]
        if "src=" in given or "application/json" in given or not code.strip():
            return found[0]
        name = f"inline-{hashlib.sha256(code.encode()).hexdigest()[:12]}.js"
        (out / "_static" / name).write_text(code, encoding="utf-8")
        return f'<script{given} src="{up}_static/{name}"></script>'

    text = _SCRIPT.sub(as_file, path.read_text(encoding="utf-8"))
    text = _PRINTED.sub("", text)
    if path.name != "search.html":
        text = _SEARCH.sub("", text)
    text = _HEADING.sub(lambda name: re.sub("([._])", r"\1<wbr>", name[0]), text)
    text = _LISTED.sub(r"\1", text)
    for found, better in _NAMES:
        text = found.sub(better, text)
    return re.sub(r'(<meta charset="utf-8"\s*/?>)', rf"\1{_POLICY}", text, count=1)
