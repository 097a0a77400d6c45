"""What Sphinx reads: the saved notebooks, the texts beside them, and pages of the library."""

import json
import re
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from urllib.parse import unquote

import nbformat
from markupsafe import escape
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode

from course_lib import ROOMS
from course_lib.errors import CourseError
from course_lib.widgets.site import pages
from course_lib.widgets.site.pages import Page

_PLOTLY = "application/vnd.plotly.v1+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_LINK = re.compile(r"(\]\()(?![a-z]+:)([^)\s#]*)(#[^)\s]*)?\)")
_HREF = re.compile(r'(<a [^>]*href=")(?![a-z]+:|#)([^"#]+)\.(?:ipynb|md)(#[^"]*)?"')
COVER = "What came out is folded away: run the cell, or click here."
"""What `tests/fold_predictions.py` puts before an output that JupyterLab shows folded."""
_TOOLS = re.compile(r"^# NBVAL_\w+\n|  # (?:fmt: skip|noqa.*|type: ignore.*)$", re.M)
"""What only nbval and a formatter read."""
_STANDS_FOR = re.compile(r"^\[.*?: live in JupyterLab\]")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.M | re.S)


def write(folder: Path, root: Path, *, book: bool = False) -> list[tuple[str, list[Page]]]:
    """Write the sources of the course in `root` to `folder`; returns its pages by heading.

    A `book` (EPUB) has text where the web page has figures to move. Raises CourseError for a
    notebook that cannot be read.
    """
    lessons, exercises = (
        [_notebook(root, path, folder, book) for path in sorted(root.glob(which), key=place)]
        for which in ("notebooks/*.ipynb", "exercises/*.ipynb")
    )
    if not lessons:
        raise CourseError(f"There are no notebooks in {root / 'notebooks'}.")
    beside = list(_beside(root, folder, book))
    groups = [("Lessons", lessons), ("Beside them", beside), ("Exercises", exercises)]
    if not book:
        groups.append(("The library", list(_library(folder))))
    (folder / "index.md").write_text(pages.front(groups, book), encoding="utf-8")
    return groups


def place(path: Path) -> tuple[str, str]:
    """Where a lesson stands: 02, 02b; 03a, 03 itself, 03c, 03d; the ninth follows the sixth."""
    number = path.stem.split("_")[0].replace("09", "06z")
    return number[:2], number[2:] or "aa"


def _notebook(root: Path, path: Path, folder: Path, book: bool) -> Page:
    """Copy a notebook, made readable; its page is named by its first heading."""
    try:
        read = nbformat.read(path, as_version=4)
        title = re.findall(r"^# +(.+)", read.cells[0].source, re.M)[0]
    except (nbformat.ValidationError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CourseError(f"{path} is not a notebook that begins with a title.") from error
    file = path.relative_to(root)
    other = {"notebooks": "exercises", "exercises": "notebooks"}[path.parent.name]
    pair = (root / other / path.name).exists()
    name = re.sub(r"^(\d+[a-z]?\.? |Exercises: )", "", title)
    named = name if path.parent.name == "exercises" else name.split(":")[0]
    number = path.stem.split("_")[0]
    read.cells[0].source = _with_file(read.cells[0].source, file.as_posix(), other if pair else "")
    target = folder / file
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(readable(read, book), target)
    short = f"{number.lstrip('0') or '0'}. {named[:1].upper()}{named[1:]}"
    return Page(file.with_suffix("").as_posix(), title, short)


def _with_file(source: str, file: str, other: str) -> str:
    """The first cell with a line under its title: which notebook it is, and what belongs to it."""
    name = {"exercises": "Its exercises", "notebooks": "The lesson"}.get(other)
    link = f" [{name}](../{other}/{Path(file).name})." if name else ""
    title, rest = source.split("\n", 1) if "\n" in source else (source, "")
    return f"{title}\n\nTo run it, open `{file}` in JupyterLab.{link}\n{rest}"


def readable(read: NotebookNode, book: bool = False) -> NotebookNode:
    """A copy whose links go to pages and whose outputs are HTML and text.

    Figures become HTML that `page.js` draws, and of a progress bar its last state is left. A live
    widget's output shows its line of text here, since no state of widgets is saved; its twin is an
    output of its own.
    """
    read, _ = CoalesceStreamsPreprocessor().preprocess(deepcopy(read), {})
    for cell in read.cells:
        if cell.cell_type == "markdown":
            cell.source = with_pages(_unfolded(cell.source) if book else cell.source)
        if cell.get("metadata", {}).get("jupyter", {}).get("outputs_hidden"):
            cell.metadata.setdefault("tags", []).append("hide-output")
        if cell.cell_type == "code":
            cell.source = _TOOLS.sub("", cell.source)
            cell.outputs = [one for one in cell.outputs if one.get("text", "words").strip()]
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data = NotebookNode(_shown(output.data, book))
    return read


def _unfolded(source: str) -> str:
    """Markdown for a book: folds stand open, comments are gone, and no tag is left unclosed."""
    source = re.sub(r"<!--.*?-->|</?details[^>]*>", "", source, flags=re.S)
    source = re.sub(r"<summary>(.*?)</summary>", r"**\1**\n", source, flags=re.S)
    return re.sub(r"<(br|hr)\s*>", r"<\1/>", source)


def _shown(data: dict, book: bool) -> dict:
    """The one form of an output that is shown."""
    if data.get("text/plain", "").startswith((COVER, "[A tour of")):
        return {}  # the page folds outputs itself, and a tour is live or not at all
    if book:  # the words of a figure or a widget stand beside it
        kept = {k: v for k, v in data.items() if k in ("text/plain", "image/png", "text/markdown")}
        return {} if _PLOTLY in data else kept
    if _PLOTLY in data:
        return {"text/html": figure(data[_PLOTLY])}
    if _WIDGET in data:
        said = _STANDS_FOR.sub("Live in JupyterLab", data["text/plain"])  # its twin has its name
        return {"text/html": f'<p class="ir1-live">{escape(said)}</p>'}
    if "text/html" in data:
        return {"text/html": html_with_pages(lowered(data["text/html"]))}
    return dict(data)


def figure(figure: dict) -> str:
    """A plotly figure as the JSON that `page.js` draws; the words come after it in the page."""
    drawn = {"data": figure["data"], "layout": figure["layout"]}
    inner = json.dumps(drawn).replace("<", "\\u003c")
    return (
        '<div class="figure" role="group" aria-label="Figure, described in the text that follows">'
        f'<script type="application/json">{inner}</script></div>'
    )


def lowered(html: str) -> str:
    """HTML whose headings are one level lower and no targets: an output is part of its page."""
    return re.sub(
        r'(</?h)([1-5])(?: id="[^"]*")?', lambda found: f"{found[1]}{int(found[2]) + 1}", html
    )


def html_with_pages(html: str) -> str:
    """HTML in which links to notebooks and Markdown files of the course go to their pages."""
    return _HREF.sub(lambda m: f'{m[1]}{m[2]}.html{_fragment(m[3])}"', html)


def with_pages(source: str) -> str:
    """Markdown in which links inside the course go to its pages; code is left as it is."""
    parts = _CODE.split(source)
    parts[::2] = [_LINK.sub(_page_link, part) for part in parts[::2]]
    return "".join(parts)


def _page_link(found: re.Match[str]) -> str:
    path = re.sub(r"claims\.html$", "claims.md", found[2])
    return f"{found[1]}{path}{_fragment(found[3])})"


def _fragment(fragment: str | None) -> str:
    """JupyterLab's name of a heading, `#Dr.-GRPO`, as the site's, `#dr-grpo`."""
    return f"#{slug(unquote(fragment))}" if fragment else ""


def slug(heading: str) -> str:
    """The id of a heading: its letters and digits, joined by hyphens."""
    return "-".join(re.findall(r"\w+", re.sub(r"<[^>]*>", "", heading).lower()))


def _beside(root: Path, folder: Path, book: bool) -> Iterator[Page]:
    """The live page, the texts beside the lessons, and the ledgers."""
    (folder / "live.md").write_text(pages.live(), encoding="utf-8")
    yield Page("live", "Watch it think", "Watch it think (live)")
    for stem, short in {"glossary": "Glossary", "TEACHING": "For teachers"}.items():
        text = (root / "notebooks" / f"{stem}.md").read_text(encoding="utf-8")
        if "\n## " not in text:  # the glossary's words stand two levels below its title
            text = text.replace("\n### ", "\n## ")
        (folder / "notebooks" / f"{stem}.md").write_text(with_pages(text), encoding="utf-8")
        yield Page(f"notebooks/{stem}", short, short)
    made = {
        "tours": ("Guided tours", pages.tours()),
        "claims": ("The page, claim by claim", html_with_pages(pages.claims(root, book))),
        "facts": ("The ledger of facts", pages.facts()),
        "findings": ("The ledger of findings", pages.findings()),
    }
    for stem, (title, text) in made.items():
        (folder / "notebooks" / f"{stem}.md").write_text(text, encoding="utf-8")
        yield Page(f"notebooks/{stem}", title, title)


def _library(folder: Path) -> Iterator[Page]:
    """A page for each room, from its docstrings."""
    shutil.rmtree(folder / "api", ignore_errors=True)
    (folder / "api").mkdir()
    for room in ROOMS:
        (folder / "api" / f"{room}.md").write_text(pages.room(room), encoding="utf-8")
        yield Page(f"api/{room}", f"course_lib.{room}", room)
