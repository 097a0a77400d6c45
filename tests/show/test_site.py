"""The site to read without running: whole, linked, and with nothing of any other server."""

import html
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from course_lib.__main__ import main
from course_lib.errors import CourseError
from course_lib.show import site

NOTEBOOKS = sorted((site.ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = sorted((site.ROOT / "exercises").glob("*.ipynb"))
FIGURE_AND_WORDS = (
    r'class="figure"[^>]*><script type="application/json">(.*?)</script></div></div>'
    r'\s*<pre class="out">\s*\w'
)
PLOTLY = "application/vnd.plotly.v1+json"


class Parts(HTMLParser):
    """What a page links to, loads, and names."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.ids, self.tags = [], [], [], []
        self.inline, self.turns = 0, {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [values["id"]] if values.get("id") else []
        if tag == "a":
            self.links.append(values.get("href", ""))
            self.turns[values.get("rel")] = self.links[-1]
        elif tag == "link":
            self.loads.append(values["href"])
        loading = {"src", "srcset", "data", "poster"} & set(values)
        self.loads += [values[name] for name in loading]
        is_code = values.get("type") != "application/json" and "src" not in values
        self.inline += tag == "script" and is_code
        self.inline += any(name.startswith("on") for name in values)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "out"
    return out, {
        path.relative_to(out).as_posix(): path.read_text("utf-8") for path in site.build(out)
    }


def leads(out, address, link):
    """The address of the page, and the place in it, that `link` in the page `address` names."""
    parts = urlsplit(link)
    to = ((out / address).parent / unquote(parts.path)).resolve() if parts.path else out / address
    return to.relative_to(out.resolve()).as_posix(), parts.fragment


def lost(out, pages):
    """Links that lead to no page of the site or to no place in it."""
    found = []
    for address, text in pages.items():
        inside = [link for link in Parts(text).links if not urlsplit(link).scheme]
        for link in inside:
            page, place = leads(out, address, link)
            if page not in pages or (place and place not in Parts(pages[page]).ids):
                found.append(f"{address}: {link}")
    return found


def foreign(text):
    """Everything a page would load, or run, that is not a file of the site."""
    found = [load for load in Parts(text).loads if not re.match(r"(\.\./)?assets/|data:", load)]
    return found + re.findall(r"url\(\s*['\"]?(?!#|data:)[^)]*\)|@import[^;]*|\bimport\(", text)


def test_every_notebook_is_there_under_its_own_name(built):
    out, pages = built
    books = {f"{path.parent.name}/{path.stem}.html" for path in [*NOTEBOOKS, *EXERCISES]}
    assert books < set(pages)
    assert {"index.html", "notebooks/claims.html", "notebooks/TEACHING.html"} < set(pages)
    for address, text in pages.items():
        inside = [link for link in Parts(text).links if not urlsplit(link).scheme]
        assert books <= {leads(out, address, link)[0] for link in inside}, address


def test_every_link_inside_the_site_leads_somewhere(built):
    assert lost(*built) == []


def test_a_link_that_leads_nowhere_is_seen(built):
    out, pages = built
    broken = '<a href="notebooks/claims.html#nothing">x</a><a href="y.html">'
    assert len(lost(out, pages | {"index.html": broken})) == 2


def test_no_link_to_a_notebook_is_left_and_other_servers_keep_theirs(built):
    _, pages = built
    links = [link for text in pages.values() for link in Parts(text).links]
    assert not [link for link in links if link.endswith((".ipynb", ".md"))]
    assert "https://arxiv.org/abs/2412.19437" in links
    kept = '<a href="https://a.example/x.ipynb">'
    assert site.with_pages(kept) == kept


def test_nothing_is_loaded_from_another_server_and_no_script_is_in_a_page(built):
    out, pages = built
    for address, text in pages.items():
        assert foreign(text) == [], address
        assert Parts(text).inline == 0, address
        assert "Content-Security-Policy" in text and "http" not in text.split("<title>")[0].replace(
            "http-equiv", ""
        )
    own = (out / "assets/style.css").read_text() + (out / "assets/page.js").read_text()
    assert "http" not in own and "url(" not in own and "@import" not in own


@pytest.mark.parametrize(
    "bad",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/f.css">',
        '<img alt="" src="http://a.example/p.png">',
        "<style>p{background:url(https://a.example/p.png)}</style>",
        "<style>@import 'https://a.example/x.css';</style>",
    ],
)
def test_content_of_another_server_is_seen(bad):
    assert foreign(bad)


def test_every_figure_is_in_its_page_and_has_its_words(built):
    _, pages = built
    for path in NOTEBOOKS:
        text = pages[f"notebooks/{path.stem}.html"]
        drawn = re.findall(FIGURE_AND_WORDS, text, re.S)
        saved = [
            output.data[PLOTLY]
            for cell in nbformat.read(path, as_version=4).cells
            for output in cell.get("outputs", [])
            if PLOTLY in output.get("data", {})
        ]
        assert [json.loads(one) for one in drawn] == [
            {"data": figure["data"], "layout": figure["layout"]} for figure in saved
        ]
        assert ("plotly.min.js" in text) == bool(saved)


def test_every_widget_leaves_its_twin(built):
    _, pages = built
    for path in NOTEBOOKS:
        text = pages[f"notebooks/{path.stem}.html"]
        book = nbformat.read(path, as_version=4)
        outputs = [out.get("data", {}) for cell in book.cells for out in cell.get("outputs", [])]
        twins = sum('class="ir1-twin' in data.get("text/html", "") for data in outputs)
        live = sum("application/vnd.jupyter.widget-view+json" in data for data in outputs)
        assert text.count('class="ir1-twin') == twins >= live
        assert text.count(": live in JupyterLab]") == live, "what stands for a live widget"
        assert "widget-view+json" not in text


def test_formulas_are_mathml_and_dollars_stay_dollars(built):
    _, pages = built
    lesson = pages["notebooks/03_r1_zero.html"]
    assert lesson.count("<math") >= 3 and 'display="block"' in lesson
    assert "$$" not in re.sub(r"<script.*?</script>|<pre.*?</pre>", "", lesson, flags=re.S)
    assert "$5.576M" in html.unescape(pages["notebooks/01_cost_reset.html"])
    assert "<math" not in pages["notebooks/01_cost_reset.html"]


def test_a_page_has_landmarks_a_skip_link_and_says_where_it_is(built):
    _, pages = built
    for address, text in pages.items():
        parts = Parts(text)
        assert parts.tags.count("main") == parts.tags.count("header") == 1
        assert parts.tags.count("h1") == 1, address
        assert parts.links[0] == "#main" and "main" in parts.ids
        assert text.count('aria-current="page"') == 1 and '<html lang="en">' in text
        assert len(parts.ids) == len(set(parts.ids)), address
        assert '<div class="code"></div>' not in text
        assert not re.search(r'class="highlight"><pre>(<[^>]*>|\s)*</pre>', text), "an empty cell"


def test_previous_and_next_go_through_all_pages_in_order(built):
    out, pages = built
    turns, address = ["index.html"], "index.html"
    while after := Parts(pages[address]).turns.get("next"):
        address = leads(out, address, after)[0]
        assert leads(out, address, Parts(pages[address]).turns["prev"])[0] == turns[-1]
        turns.append(address)
    assert turns == list(pages)


def test_a_second_build_writes_over_the_first_and_other_folders_are_refused(tmp_path, built):
    out, _ = built
    assert main(["site", "--out", str(out)]) == 0
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(CourseError, match="new or empty folder"):
        site.build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("text", ["", "{}", '{"cells": [], "nbformat": 4, "nbformat_minor": 5}'])
def test_what_is_no_notebook_is_named_in_a_sentence(tmp_path, text):
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(CourseError, match="no notebooks"):
        site.build(tmp_path / "out", tmp_path)
    (tmp_path / "notebooks" / "01_bad.ipynb").write_text(text)
    with pytest.raises(CourseError, match=r"01_bad.ipynb is not a notebook"):
        site.build(tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_figure_cannot_end_the_script_it_stands_in():
    made = site.figure({"data": [{"text": "</script><b>"}], "layout": {}})
    assert made.count("</script>") == 1 and "<b>" not in made
