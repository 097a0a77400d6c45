"""`python -m course_lib site --out DIR`: the course as pages to read without running anything.

Each notebook is shown as it was saved: figures are live, widgets stand as their twins, formulas
are MathML. Nothing is fetched from another server: each page says so to the browser, too (a content
security policy), and works from a folder, a memory stick or any static host.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import nbformat
import plotly
from latex2mathml.converter import convert as mathml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from course_lib.errors import CourseError
from course_lib.runtime import ASSETS, ROOT

_OWN = ASSETS / "site"
_PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
_PLOTLY = "application/vnd.plotly.v1+json"
_MARK = Path("assets") / "page.js"
_SECTIONS = "<!-- sections -->"
_SECTION = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>')
_WELCOME = (
    "The course as it was saved after its last run: you read it, nothing runs and nothing is "
    "fetched. To change a number or solve an exercise, open the notebooks in JupyterLab."
)
_LINK = re.compile(r'(<a [^>]*href=")(?![a-z]+:|#)([^"#]+)\.(?:ipynb|md)(#[^"]*)?"')


@dataclass(frozen=True)
class Page:
    """One page: its address in the site, its title, its name in lists, and what it is made of.

    `file` is the notebook it shows, from the course's folder; `pair` the address of the exercises
    that belong to a lesson, or of the lesson that belongs to exercises.
    """

    address: str
    title: str
    short: str
    book: NotebookNode
    file: str = ""
    pair: str = ""
    style: str = ""


class _Renderer(IPythonRenderer):
    """nbconvert's Markdown, with formulas as MathML, which browsers draw by themselves."""

    def block_math(self, body: str) -> str:
        return mathml(body, display="block")

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def heading(self, text: str, level: int, **attrs: object) -> str:
        return f'<h{level} id="{_slug(text)}">{text}</h{level}>\n'


class _Exporter(HTMLExporter):
    """nbconvert's HTML exporter with the course's template."""

    def markdown2html(self, source: str) -> str:
        return MarkdownWithMath(_Renderer(escape=False, exclude_anchor_links=True)).render(source)

    def default_filters(self) -> Iterator[tuple[str, Callable]]:
        yield from super().default_filters()
        yield ("markdown2html", self.markdown2html)
        yield ("one_level_lower", _lower)


def build(out: Path, root: Path = ROOT) -> list[Path]:
    """Write the site of the course in `root` to the folder `out`; returns the pages written.

    Raises CourseError if `out` holds anything but an earlier site, or a notebook cannot be read.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _MARK).exists())):
        raise CourseError(f"{out} holds something else than a site: name a new or empty folder.")
    groups = _groups(root)
    pages = [page for _, group in groups for page in group]
    (out / _MARK).parent.mkdir(parents=True, exist_ok=True)
    for file in (_OWN / "page.js", _OWN / "style.css", _PLOTLY_JS):
        shutil.copy(file, out / "assets")
    exporter = _Exporter(template_name="site", extra_template_basedirs=[str(_OWN.parent)])
    written = []
    for before, page, after in zip([None, *pages], pages, [*pages[1:], None], strict=False):
        known = {"groups": groups, "page": page, "previous": before, "next": after}
        written.append(out / page.address)
        written[-1].parent.mkdir(exist_ok=True)
        written[-1].write_text(_html(exporter, page, known), encoding="utf-8")
    return written


def _groups(root: Path) -> list[tuple[str, list[Page]]]:
    """The pages under their headings, in reading order."""
    lessons = [_page(root, path) for path in sorted(root.glob("notebooks/*.ipynb"), key=place)]
    if not lessons:
        raise CourseError(f"There are no notebooks in {root / 'notebooks'}.")
    exercises = [_page(root, path) for path in sorted(root.glob("exercises/*.ipynb"))]
    texts = {"glossary": "Glossary", "TEACHING": "For teachers"}
    beside = [_text(f"notebooks/{stem}.html", short, root) for stem, short in texts.items()]
    beside = [_claims(root), *beside]
    groups = [("Lessons", lessons), ("Beside them", beside), ("Exercises", exercises)]
    return [("Start", [_index(groups)]), *groups]


def place(path: Path) -> tuple[str, str]:
    """Where a lesson stands: 03a, then 03 itself, then 03c; the ninth follows the sixth."""
    number = path.stem.split("_")[0].replace("09", "06z")
    return number[:2], number[2:] or "b"


def _page(root: Path, path: Path) -> Page:
    """A notebook's page, named by the notebook's first heading."""
    try:
        book = nbformat.read(path, as_version=4)
        title = re.findall(r"^# +(.+)", book.cells[0].source, re.M)[0]
    except (nbformat.ValidationError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CourseError(f"{path} is not a notebook that begins with a title.") from error
    file = path.relative_to(root).as_posix()
    other = {"notebooks": "exercises", "exercises": "notebooks"}[path.parent.name]
    pair = f"{other}/{path.stem}.html" if (root / other / path.name).exists() else ""
    name = re.sub(r"^(\d+[a-z]?\.? |Exercises: )", "", title)
    named = name if path.parent.name == "exercises" else name.split(":")[0]
    number = path.stem.split("_")[0]
    short = f"{number.lstrip('0') or '0'}. {named[:1].upper()}{named[1:]}"
    return Page(file.replace(".ipynb", ".html"), title, short, book, file, pair)


def _text(address: str, short: str, root: Path) -> Page:
    """A page of a Markdown file that lies where the page will."""
    source = (root / address).with_suffix(".md").read_text(encoding="utf-8")
    return Page(address, short, short, _markdown(source))


def _claims(root: Path) -> Page:
    """The page of claims, which has a style of its own, in the site's frame."""
    source = (root / "notebooks" / "claims.html").read_text(encoding="utf-8")
    ((style, body),) = re.findall(r"(<style>.*</style>).*<body>(.*)</body>", source, re.S)
    output = nbformat.v4.new_output("display_data", {"text/html": body})
    cell = nbformat.v4.new_code_cell(outputs=[output])
    book = nbformat.v4.new_notebook(cells=[cell])
    title = "The page, claim by claim"
    return Page("notebooks/claims.html", title, title, book, style=style)


def _index(groups: Sequence[tuple[str, list[Page]]]) -> Page:
    lines = ["# Inside R1", _WELCOME]
    for name, pages in groups:
        lines.append(f"## {name}")
        lines.append("\n".join(f"- [{page.short}]({page.address})" for page in pages))
    return Page("index.html", "Inside R1", "Contents", _markdown("\n\n".join(lines)))


def _markdown(source: str) -> NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)])


def _html(exporter: _Exporter, page: Page, known: dict) -> str:
    """The whole page as HTML, with links to notebooks turned to their pages."""
    book = _drawable(page.book)
    figures = any('class="figure"' in str(cell.get("outputs", "")) for cell in book.cells)
    root = "../" * page.address.count("/")
    body, _ = exporter.from_notebook_node(
        book, resources={"site": {**known, "root": root, "figures": figures}}
    )
    parts = "".join(f'<li><a href="#{id}">{name}</a></li>' for id, name in _SECTION.findall(body))
    body = body.replace(_SECTIONS, f"<ul>{parts}</ul>" if parts and page.file else "")
    return with_pages(body)


def with_pages(text: str) -> str:
    """HTML in which links to notebooks and Markdown files of the course go to their pages."""
    return _LINK.sub(lambda m: f'{m[1]}{m[2]}.html{_fragment(m[3] or "")}"', text)


def _fragment(fragment: str) -> str:
    """JupyterLab's name of a heading, `#Dr.-GRPO`, as the site's, `#dr-grpo`."""
    return fragment and f"#{_slug(unquote(fragment))}"


def _lower(text: str) -> str:
    """HTML whose headings are one level lower and no targets: an output is part of its page."""
    return re.sub(
        r'(</?h)([1-5])(?: id="[^"]*")?', lambda found: f"{found[1]}{int(found[2]) + 1}", text
    )


def _slug(heading: str) -> str:
    """The id of a heading, from its HTML: letters and digits, joined by hyphens."""
    return "-".join(re.findall(r"\w+", re.sub(r"<[^>]*>", "", heading).lower()))


def _drawable(book: NotebookNode) -> NotebookNode:
    """A copy in which figures are HTML that `page.js` draws.

    A live widget's output shows its line of text here, since no state of widgets is saved; its
    twin is an output of its own.
    """
    book = deepcopy(book)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    for output in outputs:
        data = output.get("data", {})
        if _PLOTLY in data:
            output.data = NotebookNode({"text/html": figure(data[_PLOTLY])})
    return book


def figure(figure: dict) -> str:
    """A plotly figure as the JSON that `page.js` draws; the words come after it in the page."""
    drawn = {"data": figure["data"], "layout": figure["layout"]}
    inner = json.dumps(drawn).replace("<", "\\u003c")
    return (
        '<div class="figure" role="group" aria-label="Figure, described in the text that follows">'
        f'<script type="application/json">{inner}</script></div>'
    )
