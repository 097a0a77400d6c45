"""Every widget of the course: labels, twins, alt text, colours for every eye and both themes.

What only a browser can tell (the keyboard, axe-core) is in `tests/browser`.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets as ipw
import pytest

from course_lib.errors import CourseError
from course_lib.show import theme
from course_lib.widgets import base
from tests import gallery
from tests.show.test_theme import DARK, LIGHT, contrast

INKS = {"#000", "#fff", "#000000", "#ffffff"}  # always with the other one round or under it


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("INSIDE_R1_HOME", str(tmp_path))
    monkeypatch.setattr(base, "_STATES", {})


@pytest.fixture(params=gallery.MAKERS)
def widget(request):
    try:
        return gallery.MAKERS[request.param]()
    except CourseError as error:
        pytest.skip(f"{request.param}: {error}")


class Page(HTMLParser):
    """Elements with their attributes, and for each text the element it stands in."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def parts(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def styles(html):
    """Property and value of every style in the HTML, attributes of SVG included."""
    found = re.findall(r'\b(fill|stroke)="([^"]+)"', html)
    for _, attrs in Page(html).elements:
        found += re.findall(r"([a-z-]+)\s*:\s*([^;]+)", attrs.get("style") or "")
    return found


def test_the_gallery_has_every_widget_of_the_course():
    assert {name.split(" ")[0] for name in gallery.MAKERS} == {
        c.__name__ for c in gallery.classes()
    }


def test_every_control_has_a_label_and_can_be_reached_by_keyboard(widget):
    controls = [p for p in parts(widget.widget) if isinstance(p, ipw.ValueWidget | ipw.Button)]
    for control in controls:
        if not isinstance(control, ipw.HTML):
            assert control.description.strip() and control.tooltip == control.description
            assert control.tabbable is not False


def test_a_picture_says_what_it_shows_and_has_words_beside_it(widget):
    page = Page(widget.picture())
    for drawn in page.all("svg"):
        assert drawn.get("aria-hidden") == "true" or (
            drawn.get("role") == "img" and drawn.get("aria-label")
        )
    assert all(scope in ("col", "row") for scope in (th.get("scope") for th in page.all("th")))
    assert len(widget.text()) > 10


def test_the_twin_has_alt_text_for_every_image_and_the_same_words(widget):
    twin = widget.static_html()
    images = Page(twin).all("img")
    assert all("alt" in image for image in images)
    decoration = [s for s in Page(widget.picture()).all("svg") if s.get("aria-hidden") == "true"]
    assert len([image for image in images if not image["alt"]]) == len(decoration)
    assert theme.escape(widget.text()) in twin
    assert 'src="http' not in twin


def test_every_colour_stands_out_on_light_and_dark(widget):
    for name, value in styles(widget.picture() + widget.lead()):
        if value.startswith("#") and value not in INKS and name in ("fill", "stroke", "color"):
            for page in LIGHT + DARK:
                assert contrast(value, page) >= 3, (name, value, page)


def test_text_takes_the_colour_of_the_page_or_has_contrast_of_its_own(widget):
    for name, value in styles(widget.picture() + widget.lead()):
        if name == "color" and not value.startswith("var(--jp-"):
            signs = re.findall(rf'<span style="color:{value}"([^>]*)>', widget.picture())
            assert signs and all('aria-hidden="true"' in sign for sign in signs), value


def test_what_differs_by_colour_differs_by_a_letter_a_dash_or_a_word(widget):
    for picture in re.findall(r'<svg role="img".*?</svg>', widget.picture(), flags=re.DOTALL):
        lines = re.findall(r'<polyline[^>]*stroke="(#\w+)"[^>]*stroke-dasharray="([^"]*)"', picture)
        assert len({colour for colour, _ in lines}) == len(set(lines))
        assert len({colour for colour, _ in lines}) == len({dash for _, dash in lines})
        bars = {fill for fill in re.findall(r'<rect[^>]*fill="(#\w+)"', picture)}
        letters = re.findall(r">([A-Z]): ", picture)
        assert len(bars) <= max(1, len(letters))


def labs_theme(name):
    """The colours of one of JupyterLab's own themes, by the names of their CSS variables."""
    themes = Path(sys.prefix) / "share/jupyter/lab/themes/@jupyterlab"
    css = (themes / f"theme-{name}-extension/index.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--(jp-[\w-]+)\s*:\s*([^;}]+)", css))


def on_page(colour, page):
    """A colour of a theme as #rrggbb, what is see-through laid over the page."""
    fallback = re.fullmatch(r"var\([^,]+,\s*(#\w+)\)", colour)
    colour = fallback[1] if fallback else {"white": "#ffffff"}.get(colour, colour)
    if colour.startswith("rgba"):
        *rgb, alpha = map(float, colour[5:-1].split(","))
        under = [int(page[i : i + 2], 16) for i in (1, 3, 5)]
        mixed = [alpha * a + (1 - alpha) * b for a, b in zip(rgb, under, strict=True)]
        return "#" + "".join(f"{round(c):02x}" for c in mixed)
    return colour if len(colour) == 7 else "#" + "".join(2 * c for c in colour[1:])


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_has_aa_contrast_in_the_themes_that_jupyterlab_has(name):
    colours = labs_theme(name)
    page = on_page(colours[theme.PAGE_COLOUR[6:].split(",")[0]], "#000000")
    text = on_page(colours[theme.TEXT_COLOUR[6:].split(",")[0]], page)
    assert contrast(text, page) >= 7
    for colour in theme.PALETTE.values():
        assert contrast(colour, page) >= 3


def invert(colour):
    """What `filter: invert(1) hue-rotate(180deg)` makes of a colour, by the CSS filter matrices."""
    rgb = [1 - int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    matrix = ((-0.574, 1.43, 0.144), (0.426, 0.43, 0.144), (0.426, 1.43, -0.856))
    turned = [sum(a * b for a, b in zip(row, rgb, strict=True)) for row in matrix]
    return "#" + "".join(f"{round(255 * min(1, max(0, c))):02x}" for c in turned)


def test_images_turned_round_for_the_dark_theme_keep_their_contrast():
    assert f"img.{theme.STILL}" in theme.STYLE and "invert(1) hue-rotate(180deg)" in theme.STYLE
    assert invert("#ffffff") == "#000000" and invert("#000000") == "#ffffff"
    for colour in theme.PALETTE.values():
        assert contrast(invert(colour), DARK[0]) >= 3
    assert contrast(invert("#1f1f1f"), DARK[0]) >= 4.5
    assert contrast("#1f1f1f", "#ffffff") >= 4.5


def test_a_widget_of_one_s_own_would_be_caught():
    class Mute(base.Widget):
        def controls(self):
            return {"a": ipw.IntSlider(1)}

        def picture(self):
            return '<svg role="img"><rect fill="#eeeeee"/></svg><b style="color:#dddddd">x</b>'

        def text(self):
            return "x"

    bad = Mute()
    for check in (
        test_every_control_has_a_label_and_can_be_reached_by_keyboard,
        test_a_picture_says_what_it_shows_and_has_words_beside_it,
        test_every_colour_stands_out_on_light_and_dark,
        test_text_takes_the_colour_of_the_page_or_has_contrast_of_its_own,
    ):
        with pytest.raises(AssertionError):
            check(bad)
    del bad, Mute
