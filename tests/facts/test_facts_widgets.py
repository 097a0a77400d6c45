"""The claims browser, the benchmark explorer and the cost widgets: pictures, words, twins."""

import re
from pathlib import Path

import pytest

from course_lib import facts
from course_lib.show import svg
from course_lib.widgets import benchmarks, claims, costs


@pytest.fixture(
    params=[
        claims.ClaimsBrowser,
        benchmarks.BenchmarkExplorer,
        costs.CostPerAnswer,
        costs.OwnMachine,
    ]
)
def widget(request):
    made = request.param("test")
    made.reset()
    return made


def test_a_widget_shows_the_same_live_and_in_its_twin(widget):
    assert widget.widget.children
    twin = widget.static_html()
    assert svg.as_images(widget.picture()) in twin and len(widget.text()) > 20
    assert "nan" not in twin and "None" not in twin


# --- claims ---------------------------------------------------------------------------------------


def test_every_claim_is_shown_with_its_lesson_and_source():
    html = claims.as_html(facts.claims())
    assert html.count("<tr ") == len(facts.claims())
    assert html.count('href="01_cost_reset.ipynb"') == sum(
        claim.notebook == "01_cost_reset.ipynb" for claim in facts.claims()
    )
    assert "https://arxiv.org/abs/2501.12948v1" in html
    assert "&lt;think&gt;" in html and "<think>" not in html


def test_the_filter_by_verdict_and_lesson():
    wrong = claims.chosen("wrong")
    assert {claim.verdict for claim in wrong} == {"wrong"} and len(wrong) == 6
    cost = claims.chosen("wrong", "01_cost_reset.ipynb")
    assert [claim.key for claim in cost] == ["page.t7", "page.t8"]
    assert [claim.rank for claim in claims.chosen(most_important=True)][:4] == [1, 1, 2, 3]
    assert len(claims.chosen()) == len(claims.chosen(most_important=True)) == 59
    with pytest.raises(ValueError, match="no verdict 'so so'"):
        claims.chosen("so so")


def test_the_browser_follows_its_controls():
    browser = claims.ClaimsBrowser("follow")
    assert browser.text().startswith("59 of 59 claims: ")
    browser.set(verdict="outdated")
    assert browser.text().startswith("1 of 59") and browser.picture().count("<tr ") == 1
    browser.set(lesson="02_mixture_of_experts.ipynb")
    assert browser.picture() == "<p>No claim is both.</p>"
    browser.reset()


def test_the_page_by_itself_is_one_whole_document_without_scripts():
    html = claims.page()
    assert html.startswith("<!doctype html>") and html.endswith("</html>\n")
    assert "<script" not in html and "all (59)" in html and "wrong (6)" in html
    assert set(re.findall(r'href="([a-z]+:|)', html)) == {"https:", ""}
    for verdict in facts.VERDICTS:
        rule = f"body:has(#show-{verdict}:checked) tr[data-verdict]:not([data-verdict={verdict}])"
        assert rule in html and f'id="show-{verdict}"' in html


def test_the_page_that_the_course_ships_is_up_to_date(tmp_path):
    claims.main([str(tmp_path / "new.html")])
    shipped = Path(__file__).parents[2] / "notebooks" / "claims.html"
    assert shipped.read_text(encoding="utf-8") == (tmp_path / "new.html").read_text(
        encoding="utf-8"
    ), "write it again: python -m course_lib.widgets.claims notebooks/claims.html"


# --- benchmarks -----------------------------------------------------------------------------------


def test_the_explorer_says_a_fifth_of_a_problem():
    explorer = benchmarks.BenchmarkExplorer("aime")
    text = explorer.text()
    assert "0.18 of 30 problems" in text and "overlap." in text and "do not overlap" not in text
    explorer.set(second="gpt_4o_0513")
    assert "do not overlap" in explorer.text()
    explorer.set(metric="codeforces.rating", second="o1_1217")
    assert "32.0 points apart; no number of problems" in explorer.text()
    explorer.set(second="r1")
    assert "one model twice" in explorer.text()


def test_the_explorer_shows_the_group_the_pair_and_the_bars():
    explorer = benchmarks.BenchmarkExplorer("group", models="The distills")
    assert explorer.picture().count("<tr>") == 1 + 6 + 2
    assert explorer.picture().count("<path") == 8
    explorer.set(errors=False)
    assert "<path" not in explorer.picture()
    explorer.set(models="Everything")
    assert explorer.picture().count("<tr>") == 1 + len(explorer.shown()) > 20


# --- costs ----------------------------------------------------------------------------------------


def test_the_bill_for_both_models():
    widget = costs.CostPerAnswer("bill", question=1000, r1_thinking=10_000, reply=0, answers=100)
    assert sum(widget.bill()["R1 at launch"].values()) == pytest.approx(2.245)
    widget.set(o1_thinking=0)
    assert "o1 costs 0.7 times as much" in widget.text()
    widget.set(question=0, r1_thinking=0)
    assert "There is nothing to pay" in widget.text()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "It pays from 32 %"),
        ({"api": 0.8}, "round the clock: it never pays"),
        ({"speed": 2000, "api": 10}, "It pays from"),
        ({"watts": 1500, "speed": 1, "kwh": 5}, "electricity alone"),
    ],
)
def test_the_break_even_in_words(values, says):
    widget = costs.OwnMachine(f"even-{len(values)}", **values)
    assert says in widget.text() and "<polyline" in widget.picture()
