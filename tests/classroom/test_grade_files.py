"""Whose file is it? A messy folder is graded, and whatever is left out is said."""

import json
import os

import pytest
from handed_in import ASKED, GAP, QUICK, RATIO, STUB, notebook, outcomes, put
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.classroom.grade import grade_one, lessons_of
from course_lib.classroom.grade_files import answered, code_cells, collect, left_over, shown

BLANK = "price_ratio = ...\n"


def taken(folder) -> dict[str, tuple[list[str], str]]:
    """For every student the notebooks taken, and all that is said."""
    return {
        one.student: (sorted(one.notebooks), " ".join((one.problem, *one.notes)))
        for one in collect(folder)
    }


def test_systems_and_hidden_files_never_count(tmp_path):
    put(tmp_path / "lea" / "work.ipynb", RATIO)
    for name in (
        "lea/.ipynb_checkpoints/work-checkpoint.ipynb", "lea/__MACOSX/._work.ipynb",
        "lea/._work.ipynb", "lea/~$work.ipynb", "lea/__pycache__/x.ipynb", "lea/.git/x.ipynb",
        "lea/node_modules/x.ipynb", "__MACOSX/lea/._work.ipynb", "._lea.ipynb", "@eaDir/x.ipynb",
        ".hidden.ipynb", "$RECYCLE.BIN/x.ipynb", "System Volume Information/x.ipynb",
    ):  # fmt: skip
        put(tmp_path / name, BLANK)
    for name in ("Thumbs.db", "desktop.ini", "lea/Thumbs.db", "lea/.DS_Store", ".DS_Store"):
        (tmp_path / name).write_bytes(b"\0")
    assert taken(tmp_path) == {"lea": (["work.ipynb"], "")}
    assert list(collect(tmp_path)[0].files) == [] and left_over(tmp_path) == []


def test_notebooks_come_before_whatever_lies_beside_them(tmp_path):
    for number in range(60):
        (tmp_path / "lea").mkdir(exist_ok=True)
        (tmp_path / "lea" / f"a{number:02d}.txt").write_text("x")
    put(tmp_path / "lea" / "deep" / "er" / "WORK.IPYNB", RATIO)
    (tmp_path / "lea" / "data.bin").write_bytes(bytes(21_000_000))
    notebooks, said = taken(tmp_path)["lea"]
    assert notebooks == ["deep/er/WORK.IPYNB"]
    assert "more than 50 files" in said and "data.bin" in said and "20,000,000" in said


def test_archives_links_and_strange_files_are_each_a_line(tmp_path):
    put(tmp_path / "alice.ipynb", RATIO)
    (tmp_path / "bob.zip").write_bytes(b"PK")
    (tmp_path / "carl.ipynb").symlink_to(tmp_path / "alice.ipynb")
    (tmp_path / "dora").mkdir()
    (tmp_path / "dora" / "neighbour.ipynb").symlink_to(tmp_path / "alice.ipynb")
    (tmp_path / "dora" / "loop").symlink_to(tmp_path / "dora")
    (tmp_path / "dora" / "self.ipynb").symlink_to("self.ipynb")
    os.mkfifo(tmp_path / "dora" / "fifo.ipynb")
    put(tmp_path / "erik" / "work.ipynb", RATIO)
    (tmp_path / "erik" / "rest.tar.gz").write_bytes(b"x")
    (tmp_path / "frieda.docx").write_bytes(b"x")
    found = taken(tmp_path)
    assert "bob.zip is an archive" in found["bob"][1]
    assert "is a link" in found["carl"][1]
    notebooks, said = found["dora"]
    assert notebooks == [] and "a link" in said and "no ordinary file" in said
    assert found["erik"][0] == ["work.ipynb"] and "rest.tar.gz" in found["erik"][1]
    assert left_over(tmp_path) == ["frieda.docx is not a notebook and was left out."]


def test_two_of_one_name_are_told_apart(tmp_path):
    put(tmp_path / "alice.ipynb", RATIO)
    put(tmp_path / "alice" / "work.ipynb", GAP)
    put(tmp_path / "Jo\u0308rg.ipynb", RATIO)
    put(tmp_path / "J\u00f6rg" / "work.ipynb", GAP)
    found = taken(tmp_path)
    assert len(found) == 4
    assert all("bear one name" in said for _, said in found.values())
    assert "alice.ipynb, " in found["alice.ipynb"][1] or ", alice.ipynb" in found["alice"][1]


def test_names_that_are_not_text_end_nothing(tmp_path):
    put(tmp_path / "anna.ipynb", RATIO)
    bad = os.fsencode(tmp_path) + b"/J\xf6rg\n\x1b[31m"
    os.mkdir(bad)
    with open(bad + b"/\xff.ipynb", "w") as out:
        out.write(notebook(RATIO))
    found = collect(tmp_path)
    assert [one.student for one in found] == ["J\\xf6rg\\n\\x1b[31m", "anna"]
    for one in found:
        assert grade_one(one, ASKED[:1], QUICK).right == 1


def test_names_that_look_the_same_keep_a_result_each(tmp_path):
    for name in ("a\n", "a\\n", "x" * 240, "x" * 241):
        put(tmp_path / name / "work.ipynb", RATIO)
    assert len({one.student for one in collect(tmp_path)}) == 4


def test_the_reports_own_folder_is_nobodys(tmp_path):
    put(tmp_path / "lea.ipynb", RATIO)
    put(tmp_path / "report" / "lea.ipynb", RATIO)
    assert [one.student for one in collect(tmp_path, [tmp_path / "report"])] == ["lea"]


@pytest.mark.parametrize(
    ("blank", "filled"),
    [
        ("01_cost_reset.ipynb", "01_cost_reset (1).ipynb"),
        ("01_cost_reset.ipynb", "01_cost_reset-Copy1.ipynb"),
        ("backup/z.ipynb", "a.ipynb"),
        ("z_blank.ipynb", "a.ipynb"),
    ],
)
def test_the_best_answer_counts_and_several_notebooks_are_said(blank, filled, tmp_path):
    put(tmp_path / "lea" / blank, BLANK, STUB)
    put(tmp_path / "lea" / filled, RATIO, GAP)
    grade = grade_one(collect(tmp_path)[0], ASKED, QUICK)
    assert outcomes(grade) == ["right", "right"]
    assert blank in " ".join(grade.notes) and filled in " ".join(grade.notes)


def test_answers_spread_over_notebooks_are_put_together(tmp_path):
    put(tmp_path / "lea" / "one.ipynb", RATIO, STUB)
    put(tmp_path / "lea" / "two.ipynb", "price_ratio = 5", GAP)
    put(tmp_path / "lea" / "broken.ipynb")
    grade = grade_one(collect(tmp_path)[0], ASKED, QUICK)
    assert outcomes(grade) == ["right", "right"]
    assert "broken.ipynb cannot be read: it has no code" in " ".join(grade.notes)


def test_many_notebooks_of_one_lesson_may_be_a_class_in_a_folder_too_many(tmp_path):
    for number in range(10):
        put(tmp_path / "all" / f"student{number}.ipynb", RATIO)
    grade = grade_one(collect(tmp_path)[0], ASKED[:1], QUICK)
    assert "grade this folder by itself" in " ".join(grade.notes)


def test_a_lesson_that_is_only_spoken_of_is_not_graded(tmp_path):
    talk = "# see advantages and policy_loss\nprint('route')\nx = [advantages for advantages in ()]"
    put(tmp_path / "lea.ipynb", RATIO + talk)
    assert lessons_of(collect(tmp_path)) == ["01_cost_reset"]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("price_ratio = 1", True), ("price_ratio: float = 1", True), ("x = price_ratio = 1", True),
        ("x, price_ratio = 1, 2", True), ("check('costs.ratio', 5)", True),
        ("  check( \"costs.ratio\", 5)", True), ("# price_ratio = 1", False),
        ("price_ratio == 1", False), ("print(price_ratio)", False), ("price_ratios = 1", False),
        ("f(price_ratio=3)", False), ("'''\nprice_ratio\n'''", False),
    ],
)  # fmt: skip
def test_what_answers_an_exercise(cell, found):
    assert answered([cell], ASKED) == ({"costs.ratio"} if found else set())


@settings(max_examples=300)
@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(
        st.sampled_from(["cells", "worksheets", "source", "input", "cell_type", "code"]), one,
        max_size=4,
    ),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_the_bytes_there_are_cells_or_a_sentence(data):
    try:
        assert all(isinstance(one, str) for one in code_cells(data))
    except (ValueError, RecursionError) as error:
        assert str(error)


@settings(max_examples=300)
@given(st.text(max_size=300))
def test_a_name_is_shown_in_one_line_that_can_be_written(name):
    text = shown(name)
    text.encode("utf-8")
    assert len(text.splitlines()) <= 1 and len(text) <= 200 and "\x1b" not in text
