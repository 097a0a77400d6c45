"""Tables: a caption, headings that sort, row names, escaped text, and the same as plain text."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from markupsafe import Markup

from course_lib.show import tables

ROWS = [
    {"model": "<b>R1</b> & co", "score": 79.8, "tokens": 12000},
    {"model": "o1", "score": None, "tokens": 500},
]


def parsed(html):
    return BeautifulSoup(html, "html.parser")


def test_a_table_has_a_caption_headings_that_are_buttons_and_named_rows():
    page = parsed(tables.table("Scores <of> it", ROWS, {"score": "{:.1f} %"})._repr_html_())
    assert page.caption.text == "Scores <of> it"
    heads = page.thead.find_all("th")
    assert [head["scope"] for head in heads] == ["col"] * 3
    assert [head.button.text for head in heads] == ["model", "score", "tokens"]
    names = page.tbody.find_all("th")
    assert [name["scope"] for name in names] == ["row", "row"]
    assert names[0].text == "<b>R1</b> & co" and not page.tbody.find_all("b")


def test_numbers_are_sorted_by_their_values_and_shown_by_their_formats():
    page = parsed(tables.table("Scores", ROWS, {"score": "{:.1f} %"})._repr_html_())
    cells = page.tbody.find_all("td")
    assert [cell.text for cell in cells] == ["79.8 %", "12,000", "–", "500"]
    assert [cell.get("data-value") for cell in cells][:2] == ["79.8", "12000"]


def test_whatever_stands_for_no_value_is_a_dash():
    shown = tables.table("x", [{"a": one} for one in (None, float("nan"), pd.NA, pd.NaT)])
    assert list(shown.shown["a"]) == ["–"] * 4
    assert [cell.text for cell in parsed(shown._repr_html_()).tbody.find_all("tr")] == ["–"] * 4


def test_the_text_has_the_caption_and_every_cell():
    text = str(tables.table("Scores", ROWS))
    assert text.startswith("Scores\n")
    assert all(cell in text for cell in ("<b>R1</b> & co", "79.8", "12,000", "–"))


def test_a_frame_grouped_by_two_columns_keeps_both():
    rows = pd.DataFrame({"model": ["a", "a", "b"], "bits": [4, 8, 4], "loss": [1.5, 1.0, 2.0]})
    made = tables.table("Runs", rows.groupby(["model", "bits"]).mean())
    assert list(made.frame.columns) == ["model", "bits", "loss"] and len(made.frame) == 3
    nameless = tables.table("Runs", pd.concat({"a": rows, "b": rows}))
    assert len(nameless.frame.columns) == 5 and nameless._repr_html_()


def test_a_frame_keeps_its_named_index_as_the_names_of_the_rows():
    frame = pd.DataFrame({"a": [1.5]}, index=pd.Index(["first"], name="run"))
    page = parsed(tables.table("Runs", frame)._repr_html_())
    assert page.thead.th.text == "run" and page.tbody.th.text == "first"
    nameless = parsed(tables.table("Runs", frame.rename_axis(None))._repr_html_())
    assert nameless.thead.th.text == "" and not nameless.thead.th.button


def test_the_values_to_sort_by_may_be_an_array_and_one_for_every_row():
    frame = pd.DataFrame({"n": [2.0, 1.0]})
    made = tables.html("", ["n"], [["two"], ["one"]], frame.to_numpy())
    assert 'data-value="2.0">two' in made and "<button" in made
    with pytest.raises(ValueError, match="shorter"):
        tables.html("", ["n"], [["two"], ["one"]], [])


def test_markup_goes_in_as_it_is_and_nothing_else_does():
    made = tables.html("", ["a"], [[Markup("<code>x</code>")], ["<code>y</code>"]])
    assert "<code>x</code>" in made and "<code>y</code>" not in made and "<caption" not in made


@pytest.mark.parametrize("rows, formats", [([], None), (ROWS, {"gone": "{}"})])
def test_no_rows_and_an_unknown_format_are_refused(rows, formats):
    with pytest.raises(ValueError, match=r"no rows|gone"):
        tables.table("Nothing", rows, formats)


def test_keys_pressed_on_a_heading_are_none_of_jupyterlab_s():
    page = parsed(tables.table("Scores", ROWS)._repr_html_())
    assert all(button["data-lm-suppress-shortcuts"] == "true" for button in page.find_all("button"))
