"""The glossary: its page, its places in the code, and a link where a word first stands."""

import json
from pathlib import Path

import pytest

from course_lib.errors import CourseError
from course_lib.facts import glossary
from tests import glossary_lint

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LINKED = (
    "02_mixture_of_experts",
    "02b_how_v3_is_built",
    "03a_rl_from_zero",
    "03_r1_zero",
    "03c_what_made_it_grow",
    "03d_bug_lab",
    "04_r1_pipeline",
    "05_distillation",
    "06_local_inference",
    "07_your_data_your_limits",
    "08_checklist",
    "09_a_real_language_model",
)
"""The lessons that keep the rule; the first two explain in place what they need."""


def test_the_page_is_made_from_the_terms():
    made = (NOTEBOOKS / glossary.PAGE).read_text(encoding="utf-8")
    assert made == glossary.page(), "python -m course_lib.facts.glossary notebooks/glossary.md"


@pytest.mark.parametrize("term", glossary.terms().values(), ids=lambda term: term.name)
def test_a_term_is_explained_and_its_place_in_the_code_exists(term):
    assert term.means.endswith((".", "?")) and term.words
    if term.code:
        term.place()


@pytest.mark.parametrize("code", ["course_lib/records", "course_lib.records:write()", "a b", ":x"])
def test_a_place_that_is_no_name_is_told_with_its_term(code):
    with pytest.raises(CourseError, match="policy names "):
        glossary.Term("policy", "What acts.", ("policy",), code=code).place()


@pytest.mark.parametrize("stem", LINKED)
def test_a_lesson_links_each_word_where_it_first_stands(stem):
    found = list(glossary_lint.unlinked(NOTEBOOKS / f"{stem}.ipynb"))
    assert not found, "\n".join(f"cell {u.cell}: {u.term} in “{u.context}”" for u in found)


@pytest.mark.parametrize("stem", LINKED)
def test_a_lesson_links_no_word_that_is_not_there(stem):
    text = (NOTEBOOKS / f"{stem}.ipynb").read_text(encoding="utf-8")
    known = {term.link for term in glossary.terms().values()}
    assert {to for _, to in glossary_lint.LINK.findall(text) if f"{glossary.PAGE}#" in to} <= known


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A policy acts.", ["policy"]),
        ("A [policy](glossary.md#policy) acts; a policy is a model.", []),
        ("A [policy](glossary.md#reward) acts.", ["policy"]),
        ("# A policy\n`policy` and $policy$ <!-- policy -->", []),
        ("A [reward model](glossary.md#reward-model) scores.", []),
        ("The rewards of [section](03_r1_zero.ipynb#policy).", ["reward"]),
    ],
)
def test_what_the_lint_finds(tmp_path, text, wanted):
    cells = [{"cell_type": "markdown", "source": text}]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    assert [u.term for u in glossary_lint.unlinked(tmp_path / "n.ipynb")] == wanted
