"""The site to read without running: whole, linked, and with nothing of any other server."""

import html
import json
import re
import shutil
import zipfile
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import nbformat
import pytest

from course_lib.__main__ import main
from course_lib.errors import CourseError
from course_lib.show import printing
from course_lib.widgets.live import page as live
from course_lib.widgets.site import build, docstrings, extension, sources
from course_lib.widgets.site import pages as made
from tests.readme_command import command

pytestmark = pytest.mark.slow  # Sphinx reads every notebook and imports the whole library

NOTEBOOKS = sorted((build.ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = sorted((build.ROOT / "exercises").glob("*.ipynb"))
FIGURE_AND_WORDS = (
    r'class="figure"[^>]*><script type="application/json">(.*?)</script></div>(?:\s*</div>)+'
    r'\s*<div class="output[^"]*"><div class="highlight"><pre><span></span>\s*\w'
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
        elif tag == "link":
            turning = values.get("rel") in ("next", "prev", "index", "search")
            (self.links if turning else self.loads).append(values["href"])
            self.turns[values.get("rel")] = values["href"]
        loading = {"src", "srcset", "data", "poster"} & set(values)
        self.loads += [values[name] for name in loading]
        is_code = values.get("type") != "application/json" and "src" not in values
        self.inline += tag == "script" and is_code
        self.inline += any(name.startswith("on") for name in values)


@pytest.fixture(scope="module")
def built(site, tmp_path_factory):
    """The site's folder, its pages in reading order, and every HTML file in it by its address."""
    once, pages = site
    turned = [path.relative_to(once).as_posix() for path in pages]
    out = shutil.copytree(once, tmp_path_factory.mktemp("site") / "out")
    return out, turned, texts(out)


def texts(out):
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*.html")}
    return {
        address: path.read_text("utf-8")
        for address, path in found.items()
        if not address.startswith("_static/")
    }


def leads(out, address, link):
    """The address of the page, and the place in it, that `link` in the page `address` names."""
    parts = urlsplit(link)
    to = ((out / address).parent / unquote(parts.path)).resolve() if parts.path else out / address
    return to.relative_to(out.resolve()).as_posix(), parts.fragment


def lost(out, pages):
    """Links that lead to no page of the site or to no place in it."""
    found = []
    parts = {address: Parts(text) for address, text in pages.items()}
    places = {address: set(part.ids) for address, part in parts.items()}
    for address, part in parts.items():
        for link in {link for link in part.links if not urlsplit(link).scheme}:
            page, place = leads(out, address, link)
            if page not in pages or (place and place not in places[page]):
                found.append(f"{address}: {link}")
    return found


def is_there(out, address, load):
    """Whether what a page loads is a file of the site."""
    parts = urlsplit(load)
    file = (out / address).parent / unquote(parts.path)
    return not parts.scheme and not parts.netloc and file.is_file()


def foreign(text, out, address):
    """Everything a page would load, or run, that is not a file of the site."""
    loads = [load for load in Parts(text).loads if not load.startswith("data:")]
    found = [load for load in loads if not is_there(out, address, load)]
    return found + re.findall(r"url\(\s*['\"]?(?!#|data:)[^)]*\)|@import[^;]*|\bimport\(", text)


def test_every_notebook_is_there_under_its_own_name(built):
    out, turned, pages = built
    books = {f"{path.parent.name}/{path.stem}.html" for path in [*NOTEBOOKS, *EXERCISES]}
    assert books < set(turned) <= set(pages)
    texts = {f"notebooks/{name}.html" for name in ("claims", "TEACHING", "facts", "findings")}
    assert texts | {"index.html", "live.html", "search.html", "api/rl.html"} < set(pages)
    for address, text in pages.items():
        if address != "live.html":  # which has the whole width, and a way back
            inside = [link for link in Parts(text).links if not urlsplit(link).scheme]
            assert books <= {leads(out, address, link)[0] for link in inside}, address


def test_every_link_inside_the_site_leads_somewhere(built):
    out, _, pages = built
    assert lost(out, pages) == []


def test_a_link_that_leads_nowhere_is_seen(built):
    out, _, pages = built
    broken = '<a href="notebooks/claims.html#nothing">x</a><a href="y.html">'
    assert len(lost(out, pages | {"index.html": broken})) == 2


def test_no_link_to_a_notebook_is_left_and_other_servers_keep_theirs(built):
    _, _, pages = built
    links = [link for text in pages.values() for link in Parts(text).links]
    assert not [x for x in links if x.endswith((".ipynb", ".md")) and not urlsplit(x).scheme]
    assert "https://arxiv.org/abs/2412.19437" in links
    kept = "[x](https://a.example/x.ipynb#Y.-Z) and `[y](z.ipynb#A.-B)`"
    assert sources.with_pages(kept) == kept
    assert sources.with_pages("[x](z.ipynb#A.-B)") == "[x](z.ipynb#a-b)"


def test_nothing_is_loaded_from_another_server_and_no_script_is_in_a_page(built):
    out, _, pages = built
    for address, text in pages.items():
        assert foreign(text, out, address) == [], address
        assert Parts(text).inline == 0, address
        assert "Content-Security-Policy" in text and "http" not in text.split("<title>")[0].replace(
            "http-equiv", ""
        )
    own = (out / "_static/style.css").read_text() + (out / "_static/page.js").read_text()
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
def test_content_of_another_server_is_seen(bad, tmp_path):
    assert foreign(bad, tmp_path, "index.html")


def weight(out, address, text):
    """Bytes of a page with all that it loads but the runtime: plotly, which draws its figures."""
    loads = {load for load in Parts(text).loads if is_there(out, address, load)}
    files = {(out / address).parent / unquote(urlsplit(load).path) for load in loads}
    return len(text.encode()) + sum(
        file.stat().st_size for file in files if file.name != "plotly.min.js"
    )


def test_a_page_weighs_less_than_one_and_a_half_megabytes_without_the_runtime(built):
    out, _, pages = built
    heavy = {name: weight(out, name, text) for name, text in pages.items() if name != "live.html"}
    assert {name: size for name, size in heavy.items() if size > 1_500_000} == {}


def test_the_icons_that_are_shown_are_there_and_the_others_are_not(built):
    out, _, pages = built
    icons = (out / "_static/scripts/fontawesome.js").read_text("utf-8")
    shown = set(re.findall(r'class="fa-solid fa-([\w-]+)', "".join(pages.values()))) | {"xmark"}
    assert len(shown) > 5
    for name in shown:
        assert re.search(rf'[{{,"]{name}"?:\[\d+,', icons), name
    assert "helicopter" not in icons


def test_every_figure_is_in_its_page_and_has_its_words(built):
    _, _, pages = built
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
    _, _, pages = built
    for path in NOTEBOOKS:
        text = pages[f"notebooks/{path.stem}.html"]
        book = nbformat.read(path, as_version=4)
        outputs = [out.get("data", {}) for cell in book.cells for out in cell.get("outputs", [])]
        shown = ["".join(data.get("text/html", "")) for data in outputs]
        twins = sum(page.count('class="ir1-twin') for page in shown)  # a card may hold several
        live = sum(
            "application/vnd.jupyter.widget-view+json" in data
            and not "".join(data["text/plain"]).startswith("[A tour of")
            for data in outputs
        )
        assert text.count('class="ir1-twin') == twins >= live
        assert text.count('class="ir1-live">Live in JupyterLab') == live, (
            "what stands for a live widget"
        )
        assert "widget-view+json" not in text


def test_formulas_are_mathml_and_dollars_stay_dollars(built):
    _, _, pages = built
    lesson = pages["notebooks/03_r1_zero.html"]
    assert lesson.count("<math") >= 3 and 'display="block"' in lesson
    assert "$$" not in re.sub(r"<script.*?</script>|<pre.*?</pre>", "", lesson, flags=re.S)
    assert "<span>$</span>5.576M" in html.unescape(pages["notebooks/01_cost_reset.html"])
    assert "<math" not in pages["notebooks/01_cost_reset.html"]
    assert "<mi>log</mi><mspace" in pages["notebooks/03a_rl_from_zero.html"]


def test_what_only_nbval_and_a_formatter_read_is_not_shown(built):
    _, _, pages = built
    for lesson in ("01_cost_reset", "03c_what_made_it_grow"):
        assert not re.search("NBVAL_CHECK|fmt: skip", pages[f"notebooks/{lesson}.html"])


def test_a_page_has_landmarks_a_skip_link_and_says_where_it_is(built):
    _, turned, pages = built
    for address, text in pages.items():
        parts = Parts(text)
        assert parts.tags.count("main") == 1 and parts.tags.count("header") >= 1
        assert parts.tags.count("h1") == 1, address
        skip = re.search(r'<a [^>]*href="#main(-content)?"', text)
        assert (
            skip
            and skip.start() < text.index("<header")
            and skip[0].split("#")[1][:-1] in parts.ids
        )
        assert '<html lang="en"' in text
        assert len(parts.ids) == len(set(parts.ids)), address
        if address in turned and address not in ("index.html", "live.html"):
            assert text.count('<a class="current reference internal" href="#"') == 1, address
        assert not re.search(r'class="highlight"><pre>(<[^>]*>|\s)*</pre>', text), "an empty cell"


def test_previous_and_next_go_through_all_pages_in_order(built):
    out, turned, pages = built
    aside = "live.html"  # the live page stands by itself
    order = [address for address in turned if address != aside]
    for before, address in pairwise(order):
        back = leads(out, address, Parts(pages[address]).turns["prev"])[0]
        assert back in (before, aside)
        on = leads(out, before, Parts(pages[before]).turns["next"])[0]
        assert on in (address, aside)
    assert "next" not in Parts(pages[order[-1]]).turns


def test_the_search_knows_the_words_of_lessons_ledgers_and_library(built):
    out, _, _ = built
    index = (out / "searchindex.js").read_text("utf-8")
    known = json.loads(re.fullmatch(r"Search\.setIndex\((.*)\)", index, re.S)[1])
    places = {
        "distil": "notebooks/05_distillation",
        "ledger": "notebooks/facts",
        "advantag": "api/rl",
    }
    for word, page in places.items():
        found = [known[part].get(word, []) for part in ("terms", "titleterms")]
        numbers = [n for part in found for n in (part if isinstance(part, list) else [part])]
        assert known["docnames"].index(page) in numbers, word


def test_the_front_page_has_what_grows_the_live_model_the_questions_and_the_command(built):
    out, _, pages = built
    front = pages["index.html"]
    links = [leads(out, "index.html", link)[0] for link in Parts(front).links if "://" not in link]
    six = ("01_cost", "03_r1", "02_mix", "05_dis", "06_local", "07_your")  # a lesson a question
    asked = [link for link in links if link.startswith(tuple(f"notebooks/{name}" for name in six))]
    assert "live.html" in links and len({*asked}) == len(six)
    assert front.count("ir1-still") == 1 and 'alt="What grows in training' in front
    said = html.unescape(front)  # a puzzle, and what was written before and after
    assert all(text in said for text in (str(live.STILL), "Before:", "After:", "=11 yes", "Wrong."))
    assert made.START.split()[-1] in html.unescape(re.sub("<[^>]*>", "", front))
    assert command("start", (build.ROOT / "README.md").read_text()).strip().endswith(made.START)


def test_the_ledgers_and_the_library_are_there_whole(built):
    from course_lib.facts import findings
    from course_lib.facts.ledger import course_ledger

    _, _, pages = built
    facts = html.unescape(pages["notebooks/facts.html"])
    assert all(key in facts for key in course_ledger().facts)
    told = html.unescape(pages["notebooks/findings.html"])
    assert all(found.key in told for found in findings.all())
    assert 'id="course_lib.rl.grpo.group_advantages"' in pages["api/rl.html"]
    assert "The Littlest JupyterHub: one server" in pages["api/classroom.html"]  # not importable
    assert "System Message" not in "".join(pages.values())


def test_buttons_lead_where_the_addresses_given_say(tmp_path):
    settings = build._settings(tmp_path, {
        "repository_url": "https://a.example/o/r", "colab_url": "https://b.example",
    })  # fmt: skip
    options = settings["html_theme_options"]
    assert options["launch_buttons"]["colab_url"] == "https://b.example"
    assert options["use_repository_button"]
    assert not build._settings(tmp_path, {})["html_theme_options"]["use_repository_button"]


def test_an_earlier_site_is_written_over(built):
    _, _, pages = built  # which was built over one
    assert not any("an earlier site's" in text for text in pages.values())


def test_the_command_gives_services_to_the_site_and_makes_the_book(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(build, "build", lambda out, launch: asked.append((out, launch)) or [out])
    monkeypatch.setattr(build, "book", lambda out: asked.append(out) or [out / build.BOOK])
    given = ["--repository-url", "https://github.com/someone/r1"]
    for service in ("jupyterhub", "binderhub", "colab"):
        given += [f"--{service}-url", f"https://{service}.example"]
    assert main(["site", "--out", str(tmp_path), *given]) == 0
    urls = {option.removeprefix("--").replace("-", "_"): url for option, url in pairs(given)}
    assert asked == [(tmp_path, urls), tmp_path]
    assert "begin with" in capsys.readouterr().out


def pairs(options):
    return zip(options[::2], options[1::2], strict=True)


def test_services_have_links_on_a_notebooks_page(tmp_path, monkeypatch):
    for part in ("_library", "_beside"):  # a site of one lesson and nothing else
        monkeypatch.setattr(sources, part, lambda *_: [])
    (tmp_path / "course" / "notebooks").mkdir(parents=True)
    shutil.copy(NOTEBOOKS[0], tmp_path / "course" / "notebooks")
    services = ("jupyterhub", "binderhub", "colab")
    launch = {f"{service}_url": f"https://{service}.example" for service in services}
    launch["repository_url"] = "https://github.com/someone/r1"
    out = tmp_path / "out"
    build.build(out, tmp_path / "course", launch)
    found = texts(out)
    links = Parts(found[f"notebooks/{NOTEBOOKS[0].stem}.html"]).links
    for service in services:
        (link,) = [link for link in links if link.startswith(f"https://{service}.example/")]
        assert f"notebooks/{NOTEBOOKS[0].name}" in link
    assert foreign(found["index.html"], out, "index.html") == []


def test_the_book_is_whole(built):
    out, _, _ = built
    printed = out / build.PRINTED
    assert printed.exists() == (printing.browser() is not None)
    assert not printed.exists() or printed.read_bytes().startswith(b"%PDF-")
    with zipfile.ZipFile(out / build.BOOK) as book:
        names = book.namelist()
        assert names[0] == "mimetype" and book.read("mimetype") == b"application/epub+zip"
        assert {f"notebooks/{path.stem}.xhtml" for path in NOTEBOOKS} <= set(names)
        for name in names:
            if name.endswith((".xhtml", ".opf", ".ncx")):
                text = book.read(name).decode()
                ElementTree.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", text))
                assert "<script" not in text, name


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(CourseError, match="new or empty folder"):
        build.build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("text", ["", "{}", '{"cells": [], "nbformat": 4, "nbformat_minor": 5}'])
def test_what_is_no_notebook_is_named_in_a_sentence(tmp_path, text):
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(CourseError, match="no notebooks"):
        build.build(tmp_path / "out", tmp_path)
    (tmp_path / "notebooks" / "01_bad.ipynb").write_text(text)
    with pytest.raises(CourseError, match=r"01_bad.ipynb is not a notebook"):
        build.build(tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_figure_cannot_end_the_script_it_stands_in():
    drawn = sources.figure({"data": [{"text": "</script><b>"}], "layout": {}})
    assert drawn.count("</script>") == 1 and "<b>" not in drawn


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("it is *not* so", "it is *not* so"),
        ("f(*args, **kwargs)", r"f(\*args, \*\*kwargs)"),
        ("a * b * c", r"a \* b \* c"),
        ("`a*b` and ` +3`", "`a*b` and `␣+3`"),
    ],
)
def test_docstrings_keep_their_emphasis_and_their_stars(given, made):
    assert docstrings.as_rst([given]) == [made]


def test_a_signature_is_short_and_keeps_its_words():
    given = "(a: ~x.y.Path = <object object>, b='<think>', c='z>w', d='/a/b')"
    found, _ = extension._signature(None, "", "", None, None, given, None)
    assert found == "(a: Path = ..., b='<think>', c='z>w', d=...)"
