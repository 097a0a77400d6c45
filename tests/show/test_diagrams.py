"""Diagrams and the map: described, escaped, in the page's colours, no text over another."""

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest

from course_lib.local import local_lab
from course_lib.moe import layer_picture, route_table
from course_lib.moe.architectures import CONFIGS
from course_lib.rl import grpo_pictures
from course_lib.show import course_map, diagrams, svg
from course_lib.show.theme import PALETTE
from tests.gallery import MAKERS

NS = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).parents[2]
LETTER, HIGH = 7.6, 13  # of the widest usual font at 14 pixels
BOLD = 1.1

GROUPED = route_table.tabulate(
    [2.0, -1.0, 1.0, 0.5, 0.0, -2.0], [0.0, 0.0, -0.3, 0.0, 0.4, 0.4],
    top_k=2, n_group=3, topk_group=2, scale=2.5,
)  # fmt: skip
PLAIN = route_table.tabulate([2.0, -1.0, 1.0, 0.5], [0.0] * 4, top_k=2)
EIGHT = route_table.tabulate([0.5] * 8, [0.1] * 8, top_k=2)
DRAWN = {
    "grpo": lambda: grpo_pictures.loop([1, 0, 0, 0]).svgs,
    "loss": lambda: grpo_pictures.loss_by_ratio().svgs,
    "family": lambda: diagrams.draw("family").svgs,
    "trace": lambda: diagrams.draw("trace", written=200, kept=181).svgs,
    "leaves": lambda: diagrams.draw("leaves", sent=374, asked=18).svgs,
    "layer": lambda: layer_picture.draw(PLAIN).svgs,
    "eight experts": lambda: layer_picture.draw(EIGHT).svgs,
    "groups": lambda: layer_picture.draw(GROUPED).svgs,
    "memory": lambda: local_lab.memory_of_thoughts(
        CONFIGS["R1-Distill-Qwen-7B"], "q4_K_M", [1_000, 80_000], "Memory"
    ).svgs,
    "map": lambda: [course_map.here("03c").svg],
    "answers": lambda: MAKERS["AnswersFilm"]().frame(0),
    "growth": lambda: MAKERS["GrowthFilm"]().frame(30),
    "loads": lambda: MAKERS["LoadFilm"]().frame(9),
}  # fmt: skip


def extents(picture):
    """Where each text lies, roughly: left, top, right, bottom, words."""
    root = ET.fromstring(picture)
    bold = {t for g in root.iter(NS + "g") if g.get("font-weight") for t in g.iter(NS + "text")}
    for text in filter(lambda one: one.text, root.iter(NS + "text")):
        heavy = text in bold or text.get("font-weight")
        wide = LETTER * len(text.text) * (BOLD if heavy else 1)
        shift = {"middle": 0.5, "end": 1.0}.get(text.get("text-anchor"), 0.0)
        x, y = float(text.get("x")) - shift * wide, float(text.get("y"))
        yield x, y - HIGH, x + wide, y, text.text


def crossings(picture):
    """Pairs of texts that lie over each other."""
    for a, b in itertools.combinations(extents(picture), 2):
        if min(a[2], b[2]) - max(a[0], b[0]) > 2 and min(a[3], b[3]) - max(a[1], b[1]) > 2:
            yield a[4], b[4]


@pytest.mark.parametrize("name", DRAWN)
def test_no_text_lies_over_another_or_beyond_the_edge(name):
    for picture in DRAWN[name]():
        wide, high = map(float, re.search(r'viewBox="0 0 (\d+) ([\d.]+)"', picture).groups())
        assert not list(crossings(picture))
        for left, _, right, bottom, words in extents(picture):
            assert left >= -8 and right <= wide + 8 and bottom <= high, words


def test_a_text_over_another_is_seen():
    two = [svg.text(10, 20, "some words"), svg.text(40, 24, "others")]
    assert list(crossings(svg.frame("t", "d", 40, two))) == [("some words", "others")]


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_says_what_it_shows_in_the_pages_colours(name):
    for picture in DRAWN[name]():
        root = ET.fromstring(picture)
        assert root.get("role") == "img" and len(root.get("aria-label")) > 40
        assert root.get("fill") == "currentColor" and "var(--jp-content-font-color1" in picture
        inks = set(re.findall(r'(?:fill|stroke)="(#\w+)"', picture))
        assert inks <= {*PALETTE.values(), "#000", "#fff"}


@pytest.mark.parametrize("name", ["grpo", "family", "trace", "leaves"])
def test_words_fit_their_boxes(name):
    for picture in DRAWN[name]():
        boxes = [
            tuple(float(one.get(side)) for side in ("x", "y", "width", "height"))
            for one in ET.fromstring(picture).iter(NS + "rect")
        ]
        for left, top, right, bottom, words in list(extents(picture))[1:]:
            middle = (left + right) / 2, (top + bottom) / 2
            around = [
                b
                for b in boxes
                if b[0] < middle[0] < b[0] + b[2] and b[1] < middle[1] < b[1] + b[3]
            ]
            for x, y, width, height in around:
                assert x <= left + 4 and right <= x + width + 4, words
                assert y <= top and bottom <= y + height, words


def test_values_are_data_and_a_missing_one_is_named():
    hostile = diagrams.draw("trace", written="<script>x</script>", kept='"><b>')
    html = hostile._repr_html_()
    assert "<script" not in html and "<b>" not in html and "<script>" in repr(hostile)
    ET.fromstring(hostile.svgs[0])
    with pytest.raises(ValueError, match="kept"):
        diagrams.draw("trace", written=1)
    with pytest.raises(ValueError, match="family, trace"):
        diagrams.draw("shout")


def test_an_arrow_joins_the_sides_that_face_each_other():
    box = diagrams.Box((0, 0), (10, 10))
    for end, line in {
        (0, 30): 'x1="5" y1="10" x2="5" y2="30"',
        (30, 0): 'x1="10" y1="5" x2="30" y2="5"',
        (0, -30): 'x1="5" y1="0" x2="5" y2="-20"',
        (30, 40): 'x1="10" y1="5" x2="30" y2="45"',
    }.items():
        assert line in diagrams.arrow(box, diagrams.Box(end, (10, 10)))
    assert "<path" in diagrams.arrow(box, diagrams.Box((0, 30), (10, 10)), stopped=True)


def test_the_family_has_an_arrow_for_each_parent():
    (picture,) = DRAWN["family"]()
    assert picture.count("<polygon") == 3 + 2 + 2  # from the base, from weights, from text
    assert picture.count("stroke-dasharray") == 2


def test_the_loops_advantages_and_the_losss_flat_parts_are_grpos():
    assert "+1.5, -0.5, -0.5, -0.5" in repr(grpo_pictures.loop([1, 0, 0, 0]))
    words = repr(grpo_pictures.loss_by_ratio(0.3))
    assert "flat above 1.3" in words and "flat below 0.7" in words


def test_the_layer_shows_the_route():
    (picture,) = layer_picture.draw(GROUPED).svgs
    assert picture.count("stays") >= 2 and "1.05: out" in picture
    assert ">×1.59<" in picture and ">×0.91<" in picture


def test_the_map_knows_every_lesson_and_its_neighbours():
    files = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {lesson.file for lesson in course_map.LESSONS} == files
    html = course_map.here("03c")._repr_html_()
    assert 'href="03_r1_zero.ipynb"' in html and 'href="03d_bug_lab.ipynb"' in html
    assert repr(course_map.here("00")) == "You are at 0. Start here. Next: 1. The cost reset."
    assert "Next" not in repr(course_map.here("08"))
    with pytest.raises(ValueError, match="03a, 03, 03c"):
        course_map.here("3c")


@pytest.mark.parametrize("lesson", course_map.LESSONS, ids=lambda lesson: lesson.file)
def test_every_lesson_opens_with_its_map(lesson):
    cells = nbformat.read(ROOT / "notebooks" / f"{lesson.file}.ipynb", as_version=4).cells
    assert f'course_map.here("{lesson.file.split("_")[0]}")' in cells[1].source


def test_a_picture_has_a_width_where_a_page_drops_most_styles():
    # JupyterLab keeps `display` and widths in pixels of what it does not trust, and no `flex`.
    shown = svg.beside([svg.frame("A", "B.", 40, [], svg.NARROW)])
    assert f"width:{svg.NARROW}px;max-width:100%" in shown and "flex" not in shown
