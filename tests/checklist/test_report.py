"""The report: before and after, escaped, complete, whole or not at all."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from course_lib.checklist import evidence, questions, report
from course_lib.checklist.progress import Progress
from course_lib.checklist.quiz import Choice, Number, Option, Order, Outcome, Question
from course_lib.errors import CourseError
from course_lib.model import checkpoints
from course_lib.widgets import base
from course_lib.widgets.live_run import LiveRun
from tests import gallery

ASKS = [Number(name, f"{name} | <b>?", "", lambda s: 1, "") for name in ("one", "two")]
QUESTIONS = [Question("q", "Cost | <i>", ASKS), Question("r", "Router", ASKS[:1])]


def entry(outcome, reply=""):
    return {"outcome": outcome, "reply": reply}


PROGRESS = Progress(
    {
        "before": {"q.one": entry("misunderstanding"), "r.one": entry("nonsense")},
        "after": {
            "q.one": entry("right", "It is <script>alert(1)</script> 12 * 2, $5 or $6."),
            "q.two": entry("right"),
            "r.one": entry("close", "Nearly."),
        },
    }
)


class Plot:
    title = "Cost <explorer>"

    def picture(self):
        return "<svg role='img'></svg>"

    def text(self):
        return "12,000 tokens & more"


@pytest.fixture
def built():
    return report.build(QUESTIONS, PROGRESS, [Plot()])


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_questions_are_put_together_before_and_after(built):
    cost, router = built.parts
    assert (cost.before, cost.after) == (Outcome.MISUNDERSTOOD, Outcome.RIGHT)
    assert (router.before, router.after) == (Outcome.BLANK, Outcome.CLOSE)
    assert report.summary(built) == "Right before: 0 of 2. Right now: 1."


def test_html_is_balanced_and_carries_no_markup_of_the_data(built):
    page = report.to_html(built)
    tags = Tags(page)
    assert tags.open == []
    assert not {"script", "i", "b"} & set(tags.seen)
    assert "<svg role='img'></svg>" in page
    assert "12,000 tokens &amp; more" in page
    assert "http" not in page


def test_markdown_has_the_same_in_words(built):
    text = report.to_markdown(built)
    assert r"| Cost \| \<i\> | a misunderstanding | right |" in text
    assert r"12 \* 2, \$5 or \$6" in text
    assert "### Cost \\<explorer\\>\n\n12,000 tokens & more" in text
    assert "Nearly." in text


def test_nothing_explored_makes_no_empty_chapter():
    built = report.build(QUESTIONS, Progress())
    assert "explored" not in report.to_html(built) + report.to_markdown(built)
    assert {part.after for part in built.parts} == {Outcome.BLANK}


def test_both_files_are_saved_and_leave_no_litter(built, tmp_path):
    html, markdown = report.save(built, tmp_path / "mine")
    assert html.read_text(encoding="utf-8") == report.to_html(built)
    assert markdown.read_text(encoding="utf-8") == report.to_markdown(built)
    assert {path.name for path in html.parent.iterdir()} == {"report.html", "report.md"}


def test_a_folder_that_cannot_be_written_is_said(built, tmp_path):
    (tmp_path / "plain").write_text(json.dumps(1))
    with pytest.raises(CourseError, match="cannot be written"):
        report.save(built, tmp_path / "plain" / "sub")


WAYS = (
    Choice("c", "Why?", {"a": Option("Because <x>", "Yes.")}, lambda s: "a"),
    Order("o", "Order?", {"x": "X", "y": "Y"}, lambda s: "xy", "Yes."),
    Number("n", "How many?", "tokens", lambda s: 2, "Yes."),
)


def test_answers_are_given_as_the_learner_saw_them():
    answers = {"q.c": {"answer": "a"}, "q.o": {"p": "y", "r": "x"}, "q.n": {"answer": "12,000"}}
    kept = {name: entry("right") | {"answer": answer} for name, answer in answers.items()}
    built = report.build([Question("q", "Q", WAYS)], Progress({"after": kept}))
    assert [row.given[1] for row in built.parts[0].rows] == ["Because <x>", "Y; X", "12,000 tokens"]
    assert "now: right (Because &lt;x&gt;)." in report.to_html(built)
    assert "now: right (Y; X)." in report.to_markdown(built)


@pytest.mark.parametrize("answer", [None, "a", ["a"], {"answer": ["x"]}, {"answer": 3}])
def test_an_answer_that_is_damaged_does_no_harm(answer):
    kept = {"q.c": entry("right") | {"answer": answer}}
    built = report.build([Question("q", "Q", WAYS)], Progress({"after": kept}))
    assert "now: right" in report.to_html(built)


def test_what_is_asked_at_the_end_only_does_not_spoil_the_before():
    asked = Question("q", "Q", ASKS, later=("two",))
    built = report.build([asked], Progress({"before": {"q.one": entry("right")}}))
    assert (built.parts[0].before, built.parts[0].after) == (Outcome.RIGHT, Outcome.BLANK)
    assert "Before: not asked; now: not answered." in report.to_html(built)


def test_what_is_right_is_counted_where_a_question_is_not_yet():
    asked = Question("q", "Q", ASKS)
    built = report.build([asked], Progress({"after": {"q.one": entry("right")}}))
    assert "| Q | not answered | not complete (1 of 2 right) |" in report.to_markdown(built)
    wrong = Progress({"after": {"q.one": entry("right"), "q.two": entry("wrong")}})
    assert "not right (1 of 2 right)" in report.to_html(report.build([asked], wrong))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A learner's report with their own run and every widget of the checklist."""
    folder = tmp_path_factory.mktemp("zero")
    log = "".join(json.dumps(line) + "\n" for line in gallery.lines())
    (folder / "metrics.jsonl").write_text(log)
    mine = gallery.evidence()
    curve = LiveRun(steps=60, folder=folder)
    names = ("CostPerAnswer", "BenchmarkExplorer", "StageExplorer", "Router", "WillItRun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "_STATES", {})  # not as another test file has set them
        seen = [curve, *(gallery.MAKERS[name]() for name in (*names, "DataFlowInspector"))]
    assert len(checkpoints.read_log(folder / "metrics.jsonl")) == 61
    six = questions.checklist(mine).values()
    return report.build(list(six), Progress(), seen, evidence.described(mine))


def test_the_learners_own_numbers_and_curve_are_in_both(whole):
    html, text = report.to_html(whole), report.to_markdown(whole)
    for page in (html, text):
        assert "from 12% to 84% right, from 1.0 to 24.0 tokens of thinking" in page
        assert "Thinking tokens in a training completion" in page and "My own numbers" in page
    files = report.pictures(whole)
    named = re.findall(r"!\[([^\n]+)\]\((report-\d+-\d+\.svg)\)", text)
    assert [name for _, name in named] == list(files)
    assert len(files) >= 8 and all(alt for alt, _ in named)
    for picture in files.values():
        assert ET.fromstring(picture).get("aria-label")


def test_the_page_of_a_whole_report_is_complete_and_asks_nobody_for_anything(whole):
    page = report.to_html(whole)
    tags = Tags(page)
    assert tags.open == [] and "script" not in tags.seen and "link" not in tags.seen
    assert page.count('<svg role="img" aria-label="') >= 8
    addresses = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)', page)
    assert addresses == []
    assert 'scope="col"' in page and "<caption>" in page and 'lang="en"' in page


def test_inside_a_notebook_there_are_the_answers_and_no_picture_twice(whole):
    part = report.inside(whole)
    assert "<svg" not in part and "<html" not in part and "<img" not in part
    assert Tags(part).open == []
    assert '<td style="text-align:left">' in part and "<thead style" not in part
    assert "from 12% to 84% right" in part and "1. What did R1 do" in part


def test_the_pictures_are_saved_beside_the_markdown(whole, tmp_path):
    _, markdown = report.save(whole, tmp_path)
    for name in report.pictures(whole):
        assert (markdown.parent / name).read_text(encoding="utf-8").startswith("<svg")


OWN = Progress(
    {
        "words": {"name": {"outcome": "written", "text": "Ada <b>"}, "q": {"text": "It\nthinks."}},
        "predictions": {
            "01.a": {"prompt": "How wide?", "reply": "You predicted 3; it came to 4."},
            "01.b": {"prompt": "Which?", "reply": ""},
        },
    }
)


def test_the_report_has_a_name_own_words_predictions_exercises_and_what_to_read():
    asked = Question("q", "Cost", ASKS, explore="Look there.")
    built = report.build([asked], OWN, exercises="01: 3 of 5 right\nNext: 02")
    page, text = report.to_html(built), report.to_markdown(built)
    assert "<h1>Inside R1: what Ada &lt;b&gt; knows now</h1>" in page and Tags(page).open == []
    for said in ("Cost It thinks.", "How wide? You predicted 3", "01: 3 of 5 right", "Look there."):
        assert said in page and said in text
    assert "Which?" not in page and "arxiv.org" in page
    assert text.startswith(r"# Inside R1: what Ada \<b\> knows now")


def test_what_is_known_is_not_to_be_read_up_again():
    asked = Question("q", "Cost", ASKS[:1], explore="Look there.")
    built = report.build([asked], Progress({"after": {"q.one": entry("right")}}))
    assert "Look there." not in report.to_html(built)


@pytest.mark.parametrize(
    ("typed", "shown"), [("12,000", "12,000 tokens"), ("5.5 %", "5.5 %"), ("3 tokens", "3 tokens")]
)
def test_a_unit_is_said_once(typed, shown):
    kept = {"q.n": entry("right") | {"answer": {"answer": typed}}}
    built = report.build([Question("q", "Q", WAYS[2:])], Progress({"after": kept}))
    assert built.parts[0].rows[0].given[1] == shown


def test_another_form_before_the_course_is_shown_as_it_was_asked():
    first = Number("one", "How many then?", "tokens", lambda s: 1, "")
    asked = Question("q", "Q", ASKS[:1], first={"one": first})
    built = report.build([asked], Progress({"before": {"q.one": entry("right")}}))
    assert "it was asked as: How many then?" in report.to_html(built)
