"""The look: contrast, colours for colour-blind readers, escaping, the plotly template."""

import itertools
import math
import re
from html.parser import HTMLParser

import plotly.graph_objects as go
import plotly.io as pio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.show import theme

LIGHT = ("#ffffff",)
DARK = ("#111111", "#212121")

# How each kind of colour blindness sees linear RGB (Machado, Oliveira and Fernandes, 2009).
EYES = {
    "full colour": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red cones": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "no green cones": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "no blue cones": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def linear(colour):
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def luminance(colour):
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def apply(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def oklab(rgb):
    cones = apply(
        (
            (0.4122214708, 0.5363325363, 0.0514459929),
            (0.2119034982, 0.6806995451, 0.1073969566),
            (0.0883024619, 0.2817188376, 0.6299787005),
        ),
        rgb,
    )
    return apply(
        (
            (0.2104542553, 0.793617785, -0.0040720468),
            (1.9779984951, -2.428592205, 0.4505937099),
            (0.0259040371, 0.7827717662, -0.808675766),
        ),
        [max(cone, 0) ** (1 / 3) for cone in cones],
    )


def seen(colour, eye):
    return oklab([min(1, max(0, value)) for value in apply(EYES[eye], linear(colour))])


def test_the_contrast_formula_is_wcags():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", theme.PALETTE)
@pytest.mark.parametrize("page", LIGHT + DARK)
def test_every_colour_stands_out_from_every_page(name, page):
    assert contrast(theme.PALETTE[name], page) >= 3


@pytest.mark.parametrize("eye", EYES)
def test_no_two_colours_are_alike_to_any_eye(eye):
    colours = [seen(colour, eye) for colour in theme.PALETTE.values()]
    assert min(math.dist(a, b) for a, b in itertools.combinations(colours, 2)) > 0.09


def test_the_grey_of_figure_text_is_as_good_as_one_grey_can_be():
    on_light, on_dark = contrast(theme.MID_GREY, LIGHT[0]), contrast(theme.MID_GREY, DARK[0])
    assert on_light == pytest.approx(on_dark, rel=0.05)
    assert min(on_light, on_dark) > 4.2
    assert theme.TEXT_COLOUR in theme.STYLE, "the style gives the text the page's own colour"


def test_lines_differ_by_more_than_colour():
    assert len(set(theme.DASHES)) == len(set(theme.SYMBOLS)) == len(theme.PALETTE)
    scatters = pio.templates[theme.TEMPLATE].data.scatter
    assert [trace.line.dash for trace in scatters] == list(theme.DASHES)


def test_the_template_is_the_default_and_draws_no_page_of_its_own():
    assert pio.templates.default == theme.TEMPLATE
    layout = pio.templates[theme.TEMPLATE].layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert list(layout.colorway) == list(theme.PALETTE.values())
    assert go.Figure().layout.template.layout.font.color == theme.MID_GREY


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.attrs, self.said = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attrs.append(dict(attrs))

    def handle_data(self, data):
        self.said.append(data)


@pytest.mark.parametrize("kind", theme.KINDS)
def test_a_card_says_its_kind_in_words_and_takes_the_pages_colours(kind):
    html = theme.card(kind, "Router", "<p>Body <em>kept</em></p>")
    parsed = Elements(html)
    assert "<p>Body <em>kept</em></p>" in html
    assert theme.NO_MATHS in parsed.attrs[0]["class"]
    assert parsed.attrs[0]["aria-label"].endswith(": Router")
    assert parsed.attrs[0]["aria-label"] in "".join(parsed.said)
    colours = re.findall(r"(?:background|;color):([^;]+)", html)
    assert colours and all("var(--jp-" in colour and "Canvas" in colour for colour in colours)


def test_kinds_of_card_differ_in_word_and_sign():
    cards = [Elements(theme.card(kind, "", "")).said for kind in theme.KINDS]
    assert len({tuple(said) for said in cards}) == len({said[0] for said in cards}) == len(cards)


def test_an_unknown_kind_is_named_with_the_allowed_ones():
    with pytest.raises(ValueError, match=r"'shout'.*question"):
        theme.card("shout", "t", "")


@given(st.text())
def test_titles_and_paragraphs_are_data(text):
    parsed = Elements(theme.card("note", text, theme.paragraphs(text)))
    assert set(parsed.tags) <= {"div", "p", "span", "strong"}
    assert all("onclick" not in attrs for attrs in parsed.attrs)


def test_a_quote_cannot_leave_its_attribute():
    parsed = Elements(theme.card("note", '" onclick="x', ""))
    assert "onclick" not in parsed.attrs[0]
    assert "' onclick='" not in theme.escape("' onclick='")
