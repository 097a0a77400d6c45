"""Pictures as SVG: well-formed, described, escaped, right in their lengths."""

import base64
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.show import svg

NS = "{http://www.w3.org/2000/svg}"

PICTURES = {
    "bars": lambda name: svg.bars(name, {name: 2, "b": 1}),
    "stacked": lambda name: svg.stacked_bars(name, {name: {name: 1, "q": 3}, "y": {"q": 2}}),
    "lines": lambda name: svg.lines(name, [1, 2], {name: [1, 3]}, x_name=name, y_name=name),
}

legible = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20)


def widths(picture, tag="rect"):
    return [float(part.get("width")) for part in ET.fromstring(picture).iter(NS + tag)]


@pytest.mark.parametrize("kind", PICTURES)
@given(name=legible)
def test_a_picture_is_well_formed_and_says_what_it_shows(kind, name):
    root = ET.fromstring(PICTURES[kind](name))
    assert root.get("role") == "img"
    assert root.find(NS + "title").text == name
    assert root.find(NS + "desc").text in root.get("aria-label")
    said = {text.text for text in root.iter(NS + "text")}
    assert any(name in (text or "") for text in said)


def test_bars_are_as_long_as_their_values():
    one, other = widths(svg.bars("t", {"a": 2, "b": 1}))
    assert one == pytest.approx(2 * other)
    half, _ = widths(svg.bars("t", {"a": 2, "b": 1}, most=4))
    assert half == pytest.approx(one / 2)


def test_a_bar_beyond_the_stated_most_still_fits():
    assert max(widths(svg.bars("t", {"a": 8}, most=4))) < svg.WIDTH


def test_bars_of_nothing_but_zero_have_no_length():
    assert widths(svg.bars("t", {"a": 0})) == [0]


def test_parts_of_a_stacked_bar_lie_end_to_end():
    root = ET.fromstring(svg.stacked_bars("t", {"x": {"p": 1, "q": 3}}))
    first, second = list(root.iter(NS + "rect"))[:2]
    end = float(first.get("x")) + float(first.get("width"))
    assert float(second.get("x")) == pytest.approx(end, abs=0.2)
    assert float(second.get("width")) == pytest.approx(3 * float(first.get("width")), abs=0.3)


def test_a_line_goes_up_when_its_values_do():
    root = ET.fromstring(svg.lines("t", [0, 1], {"a": [0, 5]}))
    first, last = root.find(NS + "polyline").get("points").split(" ")
    assert float(first.split(",")[1]) > float(last.split(",")[1])


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_a_few_round_numbers_within_the_range(low, span):
    found = svg.ticks(low, low + span)
    assert 3 <= len(found) <= 7
    assert found[0] >= low - 1e-6 * span and found[-1] <= low + span * (1 + 1e-6)


def test_ticks_are_what_a_person_would_write():
    assert svg.ticks(0, 150) == [0, 25, 50, 75, 100, 125, 150]
    assert svg.ticks(1, 60) == [10, 20, 30, 40, 50, 60]
    assert svg.ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert svg.ticks(3, 3) == [3]


def test_one_line_that_is_the_picture_needs_no_key():
    assert svg.lines("t", [0, 1], {"t": [0, 5]}).count(">t<") == 2  # the title, drawn and spoken
    assert svg.lines("t", [0, 1], {"a": [0, 5]}).count(">a<") == 1


def test_lines_differ_by_dash_as_well_as_by_colour():
    root = ET.fromstring(svg.lines("t", [0, 1], {"a": [0, 5], "b": [1, 2]}))
    drawn = list(root.iter(NS + "polyline"))
    assert len({part.get("stroke-dasharray") for part in drawn}) == 2


def test_descriptions_carry_the_numbers():
    assert "a: 12,000 USD; b: 0.0213 USD" in svg.bars("t", {"a": 12000, "b": 0.0213}, "USD")
    assert "x (p: 1; q: 3)" in svg.stacked_bars("t", {"x": {"p": 1, "q": 3}})
    assert "a from 1 to 3" in svg.lines("t", [1, 2], {"a": [1, 3]})


def test_pictures_become_images_that_need_no_page_of_the_notebooks():
    html = svg.as_images(f"<p>a</p>{svg.bars('t <1>', {'a': 2})}<b>c</b><svg><g/></svg>")
    before, first, second = html.split("<img ")
    assert before == "<p>a</p>" and "<b>c</b>" in first and "<svg" not in html
    begins = 'class="ir1-still" width="640" alt="t &lt;1&gt;. a: 2" src="data:image/svg+xml;base64,'
    assert first.startswith(begins)
    for part in (first, second):
        picture = base64.b64decode(part.split("base64,")[1].split('"')[0]).decode()
        root = ET.fromstring(picture)
        assert root.tag == NS + "svg"
        assert root[0].get("fill") == "#ffffff" and "var(" not in picture.split("font-family")[0]


def test_pictures_are_found_with_their_alt_text_and_decoration_is_not():
    html = f"<p>a</p>{svg.bars('t <1>', {'a': 2})}<svg aria-hidden='true'><g/></svg>"
    ((alt, picture),) = svg.pictures(html)
    assert alt == "t <1>. a: 2"
    assert ET.fromstring(picture)[0].get("fill") == "#ffffff"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: svg.bars("t", {}),
        lambda: svg.bars("t", {"a": -1}),
        lambda: svg.bars("t", {"a": float("nan")}),
        lambda: svg.stacked_bars("t", {"a": {"p": -1}}),
        lambda: svg.lines("t", [1, 2], {"a": [1]}),
        lambda: svg.lines("t", [1], {}),
        lambda: svg.lines("t", [1], {"a": [float("inf")]}),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw):
    with pytest.raises(ValueError):
        draw()
