"""The report: before and after, escaped, complete, whole or not at all."""

import json
from html.parser import HTMLParser

import pytest

from course_lib import report
from course_lib.errors import CourseError
from course_lib.progress import Progress
from course_lib.quiz import Number, Outcome, Question

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
        if tag not in ("meta", "br"):
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
    assert r"- **Cost \<explorer\>**: 12,000 tokens & more" in text
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
