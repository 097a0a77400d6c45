"""A teacher's pages: all sections are there, predictions have answers, nothing is fetched."""

import html
import json
import re

import pytest

from course_lib.classroom import form, lessons_read, teaching
from course_lib.classroom.checks import catalogue
from course_lib.errors import CourseError
from course_lib.runtime import ROOT
from course_lib.show import printing


@pytest.fixture(scope="module")
def pages():
    return teaching.pages()


def steps():
    return [(plan, step) for plan in teaching.plans()["plan"] for step in plan["step"]]


def test_every_step_names_sections_and_exercises_that_are_there():
    for _, step in steps():
        assert len(teaching.of_step(step)) == len(step["sections"])
        for name in step.get("exercises", ()):
            catalogue.get(name)


@pytest.mark.parametrize("plan", teaching.plans()["plan"], ids=lambda plan: plan["name"])
def test_every_plan_has_the_run_that_it_starts_and_what_is_never_skipped(plan):
    """The long run, the controls and the audit of a trace: `TEACHING.md` says so."""
    shown = {(step["notebook"], one) for step in plan["step"] for one in step["sections"]}
    parts = ("03_r1_zero", "3.8"), ("03c_what_made_it_grow", "3c.1"), ("06_local_inference", "8.")
    assert shown >= set(parts)


def test_the_plans_are_those_of_the_guide():
    """`TEACHING.md` has half a day by minutes and exercises, and two days with all of lesson 1."""
    told = (ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
    told = told.split("## Half a day")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+)-(\d+) \|.*\| ?(.*?) ?\|$", told, re.MULTILINE)
    guide = [([int(a), int(b)], re.findall(r"`(\w+\.\w+)`(?! by)", names)) for a, b, names in rows]
    half, two = (one["step"] for one in teaching.plans()["plan"][1:])
    assert guide == [(step["minutes"], step.get("exercises", [])) for step in half]
    assert [one["notebook"] for one in two[:2]] == ["00_start_here", "01_cost_reset"]
    assert two[1]["exercises"] == [one.name for one in catalogue.of_lesson("01_cost_reset")]


def test_a_section_that_is_gone_is_said():
    with pytest.raises(CourseError, match="has no section 9"):
        teaching.of_step({"notebook": "01_cost_reset", "sections": ["9.9"]})


@pytest.mark.parametrize("plan", teaching.plans()["plan"], ids=lambda plan: plan["name"])
def test_a_plan_goes_forward_and_fills_its_time(plan):
    times = [step["minutes"] for step in plan["step"]]
    assert all(begin < end for begin, end in times)
    assert [begin for begin, _ in times] == [0, *(end for _, end in times[:-1])]
    assert times[-1][1] == {"90_minutes": 90, "half_a_day": 210, "two_days": 960}[plan["name"]]
    for step in plan["step"]:
        begins = teaching.minutes(step, teaching.of_step(step))
        assert begins == sorted(begins)
        assert all(step["minutes"][0] <= one < step["minutes"][1] for one in begins)


def test_a_day_is_told_by_the_clock():
    plan = {"begins": 540, "a_day": 480}
    assert [teaching.clock(plan, m) for m in (0, 90, 480)] == [
        "day 1, 9:00", "day 1, 10:30", "day 2, 9:00",
    ]  # fmt: skip
    assert teaching.clock({}, 25) == "25"


def test_failures_are_of_cells_and_exercises_that_exist():
    for failure in teaching.plans()["failure"]:
        where = failure["where"]
        if re.fullmatch(r"\w+\.\w+", where):
            catalogue.get(where)
        elif found := re.match(r"(\w+), section ([\w.]+)", where):
            teaching.of_step({"notebook": found[1], "sections": [found[2]]})
        assert failure["seen"] and failure["say"]


def test_cells_predictions_and_what_came_are_read_from_a_notebook(tmp_path):
    def code(number, source, said=""):
        out = [{"output_type": "stream", "name": "stdout", "text": [said]}] if said else []
        return {"cell_type": "code", "source": [source], "outputs": out, "execution_count": number}

    def text(source):
        return {"cell_type": "markdown", "source": source.splitlines(keepends=True)}

    cells = [
        code(1, "setup()"),
        text("## 1. First\\n\\n**Predict.** How many?".replace("\\n", "\n")),
        code(2, 'many = predict("01.many", "How \\"many\\"?", unit="")'),
        code(3, "many.compare(3.5)", "You predicted nothing; it came to 3.5 points.\nmore"),
        text("## 2. Second\n\n**Predict.** Which side wins?"),
        code(None, "never_run()"),
        text("- **What you should see.** The [second](x.md) `win`s.<!-- facts: y --> "),
        text("## 3. Third\n\n**Predict.** Who?"),
        text("<details><summary>You should see</summary>\n\n… that it is a.\n\n</details>"),
    ]
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": cells}))
    _, first, second, third = lessons_read.sections("x", tmp_path)
    assert (first.heading, first.range, second.range) == ("1. First", "[2] to [3]", "no code")
    (one,), (other,) = first.predictions, second.predictions
    assert (one.cell, one.prompt, one.came) == (2, 'How "many"?', "3.5 points")
    assert (other.cell, other.prompt, other.came) == (None, "Which side wins?", "The second wins")
    assert (first.points, second.points) == ([], ["The second wins."])
    assert third.points == ["You should see that it is a."]


def test_nearly_every_prediction_of_the_plans_has_its_answer():
    asked = [one for _, step in steps() for part in teaching.of_step(step)
             for one in part.predictions if one.cell]  # fmt: skip
    assert len(asked) > 40
    assert sum(bool(one.came) for one in asked) >= 0.95 * len(asked)


def test_nearly_every_section_of_a_script_has_something_to_say():
    parts = [part for _, step in steps() for part in teaching.of_step(step)]
    assert sum(bool(part.points) for part in parts) >= 0.9 * len(parts)
    said = [point for part in parts for point in part.points]
    assert not [one for one in said if re.search(r"<!--|\]\(|\*\*", one) or len(one) > 600]


def test_the_key_has_the_sentence_to_each_mistake(pages):
    told = html.unescape(pages["answer_key.html"])
    known = [m.sentence for name in catalogue.exercises() for m in catalogue.get(name).mistakes]
    assert len(known) > 300 and all(one in told for one in known)


def test_the_key_has_every_question_with_an_answer_that_is_right(pages):
    for phase in form.PHASES:
        answers = {one.name: one for one in teaching.answered(phase)}
        assert answers.keys() == form.asked(phase).keys()
        numbers = {n: a.right.split(" ")[0] for n, a in answers.items()
                   if not form.options(form.asked(phase)[n])}  # fmt: skip
        told = form.judged(phase, numbers)
        assert {told[name]["outcome"] for name in numbers} == {"right"}
    assert all(f"<code>{name}</code>" in pages["answer_key.html"] for name in catalogue.exercises())


def test_the_questions_after_are_other_ones():
    before, after = ({n: w.prompt for n, w in form.asked(p).items()} for p in form.PHASES)
    same = [name for name in before if before[name] == after[name]]
    assert len(same) <= 2, same


def test_pages_fetch_nothing_and_every_slide_has_words(pages):
    for name, page in pages.items():
        assert not re.search(r"(?:src|href)=\"(?!plotly\.min\.js)", page), name
        assert "<title>Inside R1: " in page and 'lang="en"' in page
    slides = pages["slides.html"].split("<section")[1:]
    drawn = [one for one in slides if 'class="figure"' in one]
    assert len(drawn) >= 15
    assert all(re.search(r"<p>[^<]{20,}</p>", one) for one in drawn)


def test_the_handout_is_two_pages(tmp_path, pages, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))  # which Python passes over, Chromium not
    if printing.browser() is None:
        pytest.skip("no Chromium to print with")
    sheet, printed = tmp_path / "handout.html", tmp_path / "handout.pdf"
    sheet.write_text(pages["handout.html"], encoding="utf-8")
    assert printing.to_pdf(sheet, printed)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) <= 2


def test_without_a_browser_the_handout_is_still_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(printing, "browser", lambda: None)
    assert teaching.main(["--out", str(tmp_path / "teach")]) == 0
    assert (tmp_path / "teach" / "handout.html").is_file()
    assert "print handout.html from a browser" in capsys.readouterr().out


def test_a_package_without_the_notebooks_says_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "ROOT", tmp_path)
    with pytest.raises(CourseError, match="package alone lacks them"):
        teaching.main(["--out", str(tmp_path / "teach")])
