"""The lint for numbers in prose: what it must catch, and what it must leave alone."""

import json
from decimal import Decimal

import prose_lint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import facts
from course_lib.facts import findings


def numbers(text, *printed):
    return [number for number, _ in prose_lint.unsourced_in_text(text, map(Decimal, printed))]


def notebook(tmp_path, markdown, output=None):
    outputs = [output] if output else []
    cells = [
        {"cell_type": "markdown", "source": [markdown]},
        {"cell_type": "code", "source": "1", "outputs": outputs},
    ]
    path = tmp_path / "lesson.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It costs $0.55.", ["0.55"]),
        ("It has 671B parameters.", ["671B"]),
        ("It has 671 billion parameters.", ["671 billion"]),
        ("a score of 79.8 %", ["79.8 %"]),
        ("79.8% of them, 37 of those", ["79.8%", "37"]),
        ("the rating is 2,029.", ["2,029"]),
        ("a learning rate of 3e-6", ["3e-6"]),
        ("it took 12 steps", ["12"]),
        ("a price of 2000 %", ["2000 %"]),
        ("it costs $2000", ["2000"]),
        ("between 11-13 tokens", ["11", "13"]),
        ("7B parameters and 7B tokens", ["7B", "7B"]),
        ("5 % of it, and 5 of them", ["5 %"]),
    ],
)
def test_a_bare_number_is_found(text, found):
    assert numbers(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "three stages, 4 of them RL, 100 % sure",
        "R1, V3, R1-Zero, GPT-4o, o1-1217, o1-2024-12-17, Claude 3.5 Sonnet, Qwen2.5-Math-7B",
        "the 7B beats AIME 2024's score and MATH-500's; A100, H200, FP8, pass@1, cons@64, Q4_K_M",
        "in January 2025, on 20 January 2025, on 2025-01-20",
        "see section 12.3, Tables 14 and 15, question 21, lesson 11",
        "`7 ? 3 ? 5 ? 22 = 99` and ```\n1234\n```",
        "$\\frac{12}{345}$ and $$x^{99}$$",
        "[the paper](https://arxiv.org/abs/2501.12948v1) <img width=640>",
        "12. twelfth of a list\n\n## 13. a heading",
        "<!-- a comment 1234 -->",
        "of the same class as the 671B model",
        "Llama-3.3-70B-Instruct and R1-Distill-Qwen-32B and an RTX 4090",
    ],
)
def test_names_places_and_code_are_left_alone(text):
    assert numbers(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "R1 scores 79.8 % <!-- facts: r1.aime_2024.pass_at_1 -->",
        "671B, 671.03 billion, 671,026,419,200 <!-- facts: v3.parameters.total -->",
        "27 times, or 27.3, or 27.27 <!-- facts: api.price_ratio.input -->",
        "$294K, $294,000 <!-- facts: cost.r1_total.usd -->",
        "$5.576M <!-- facts: r1.aime_2024.pass_at_1, cost.v3_total.usd -->",
        "626,933 of 804,745 <!-- facts: page.c12 page.d2 -->",
        "suppose 1000 questions at 0.25 each <!-- given: 1000 0.25 -->",
    ],
)
def test_a_cited_number_is_backed(text):
    assert numbers(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("79.7 % <!-- facts: r1.aime_2024.pass_at_1 -->", ["79.7 %"]),
        ("28 times <!-- facts: api.price_ratio.input -->", ["28"]),
        ("27.2 times <!-- facts: api.price_ratio.input -->", ["27.2"]),
        ("672B <!-- facts: v3.parameters.total -->", ["672B"]),
        ("$294M <!-- facts: cost.r1_total.usd -->", ["294M"]),
        ("1001 <!-- given: 1000 -->", ["1001"]),
        ("8 % <!-- facts: memory.7b.file_gib -->", ["8 %"]),
        ("5 % <!-- facts: cost.r1_share_of_v3 -->", ["5 %"]),
    ],
)
def test_a_value_near_the_cited_one_is_found(text, found):
    assert numbers(text) == found


def test_a_citation_holds_for_its_own_cell_only(tmp_path):
    path = notebook(tmp_path, "79.8")
    assert [hit.number for hit in prose_lint.unsourced_numbers(path)] == ["79.8"]
    cited = notebook(tmp_path, "79.8 <!-- facts: r1.aime_2024.pass_at_1 -->")
    assert prose_lint.unsourced_numbers(cited) == []


def test_a_share_backs_a_percentage_and_no_other_number():
    assert numbers("61.7 % of them", "0.617") == []
    assert numbers("61.7 of them", "0.617") == ["61.7"]


def test_an_unknown_cited_key_is_an_error():
    with pytest.raises(facts.UnknownFact, match="aime_2024"):
        numbers("1 <!-- facts: r1.aime_2024.pass -->")
    with pytest.raises(ValueError, match="'many'"):
        numbers("1 <!-- given: many -->")


@pytest.mark.parametrize(
    "output",
    [
        {"output_type": "stream", "text": ["it took 61.7 s\n"]},
        {"data": {"text/plain": "61.7"}},
        {"data": {"text/html": "<td class='9'>61.7</td>"}},
        {"data": {"text/plain": "0.617"}},
        {"data": {"text/plain": "61.68"}},
    ],
)
def test_an_output_backs_a_number(tmp_path, output):
    assert prose_lint.unsourced_numbers(notebook(tmp_path, "some 61.7 % of it", output)) == []


@pytest.mark.parametrize(
    "output",
    [
        {"data": {"text/plain": "61.9"}},
        {"data": {"text/html": "<td width='61.7'>x</td><script>61.7</script>"}},
        {"data": {"application/vnd.plotly.v1+json": {"y": [61.7]}}},
        {"data": {"text/html": "61.7", "application/vnd.plotly.v1+json": {}}},
    ],
)
def test_what_a_reader_cannot_read_backs_nothing(tmp_path, output):
    found = prose_lint.unsourced_numbers(notebook(tmp_path, "some 61.7 % of it", output))
    assert [(hit.cell, hit.number) for hit in found] == [(0, "61.7 %")]
    assert found[0].context == "some 61.7 % of it"


@pytest.mark.parametrize("text", ["", "{}", "[1", '{"cells": 3}', '{"cells": [3]}', "null"])
def test_a_file_that_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "broken.ipynb"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.ipynb is not a notebook"):
        prose_lint.unsourced_numbers(path)


@given(st.text(alphabet="0123456789.,%eBMK$- \n`<>!", max_size=60))
def test_any_text_is_read_without_failing(text):
    for number, context in prose_lint.unsourced_in_text(text, [Decimal("79.8")]):
        assert number.strip(" %BMKGs") and number.split()[0] in context


@given(st.integers(11, 10**7).filter(lambda n: not 1900 <= n <= 2099))
def test_every_plain_number_above_the_small_ones_is_found(number):
    assert numbers(f"there are {number:,} of them") == [f"{number:,}"]
    assert numbers(f"there are {number} of them", number) == []


# --- sentences that compare or say why ------------------------------------------------------------

COMPARISONS = [
    "Distillation beats RL.",
    "The sparse model is better than the dense one.",
    "It is right less often than its teacher.",
    "It fell because the rate was too high.",
    "Thinking made it right.",
    "The bias balances without hurting the loss.",
    "It runs six times as fast.",
    "- one thing\n- A vote helps there.",
    "More traces improve it.",
    "It has grown.\nIt grows since thinking pays.",
]


@pytest.mark.parametrize("text", COMPARISONS)
def test_a_comparison_without_a_finding_is_found(text):
    assert [lack for _, lack in prose_lint.unfound_in_text(text)] == [
        "it cites no finding and no fact"
    ]


@pytest.mark.parametrize("text", COMPARISONS)
@pytest.mark.parametrize(
    "mark",
    [
        "<!-- finding: r1_zero.grows -->",
        "<!-- facts: r1.aime_2024.pass_at_1 -->",
        "<!-- no-finding: the cell above computes it -->",
    ],
)
def test_a_finding_a_fact_or_a_reason_backs_a_comparison(text, mark):
    assert not list(prose_lint.unfound_in_text(f"{text}\n{mark}"))


@pytest.mark.parametrize(
    "text",
    [
        "A plain sentence.",
        "Is it better than the other?",
        "It takes more than 10 steps, rather than one.",
        "`x better than y` and ```\nbecause\n```",
        "The number is other than 3.",
    ],
)
def test_a_sentence_that_compares_nothing_is_left_alone(text):
    assert not list(prose_lint.unfound_in_text(text))


def test_a_no_finding_without_a_reason_is_none():
    assert list(prose_lint.unfound_in_text("It beats it. <!-- no-finding: -->"))


def test_a_finding_that_is_not_shown_must_be_called_so():
    cited = "The bias is free. <!-- finding: moe.bias_is_free -->"
    [(_, lack)] = prose_lint.unfound_in_text(cited)
    assert lack.startswith("moe.bias_is_free is not shown here")
    assert not list(prose_lint.unfound_in_text(f"This is not shown here: {cited}"))


def test_an_unknown_finding_is_an_error():
    with pytest.raises(facts.UnknownFact, match="grows"):
        list(prose_lint.unfound_in_text("It grows. <!-- finding: r1_zero.grow -->"))


def test_a_finding_backs_its_numbers():
    found = findings.get("r1_zero.grows").statistic
    before, after = (f"{100 * sum(x) / len(x):.1f} %" for x in (found.second, found.first))
    assert numbers(f"from {before} to {after} <!-- finding: r1_zero.grows -->") == []
    assert numbers("to 74.8 % <!-- finding: r1_zero.grows -->") == ["74.8 %"]
