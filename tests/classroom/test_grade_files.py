"""Whose file is it? A messy folder is graded, and whatever is left out is said."""

import json
import os
from dataclasses import replace

import pytest
from handed_in import ASKED, GAP, QUICK, RATIO, STUB, notebook, outcomes, put
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.classroom import grade_files
from course_lib.classroom.checks import sources
from course_lib.classroom.grade import grade_one, lessons_of
from course_lib.classroom.grade_files import answered, code_cells, collect, left_over, shown
from course_lib.show import course_map

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


def test_own_work_in_the_whole_course_is_not_what_is_left_out(tmp_path):
    for folder in ("exercises", "notebooks", "solutions"):
        for number in range(10):
            put(tmp_path / "lea" / folder / f"{number:02d}.ipynb", BLANK)
    put(tmp_path / "lea" / "work" / "01.ipynb", RATIO)
    notebooks, said = taken(tmp_path)["lea"]
    assert "work/01.ipynb" in notebooks and "exercises/09.ipynb" in notebooks
    assert "more than 20 notebooks): notebooks/09.ipynb, solutions/00.ipynb" in said


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


def test_names_that_look_alike_get_a_note_and_show_what_is_not_seen(tmp_path):
    for name in ("alice.ipynb", "alice .ipynb", "alice\u200b.ipynb", "Alice\xa0/work.ipynb"):
        put(tmp_path / name, RATIO)
    put(tmp_path / "bob.ipynb", RATIO)
    found = taken(tmp_path)
    assert "bear one name" not in found.pop("bob")[1]
    assert set(found) == {"alice.ipynb", "alice .ipynb", "alice\\u200b.ipynb", "Alice\\xa0"}
    assert all("bear one name" in said for _, said in found.values())


def test_a_folder_as_deep_as_can_be_stops_nobody(tmp_path, monkeypatch):
    put(tmp_path / "anna.ipynb", RATIO)
    (tmp_path / "mallory").mkdir()
    monkeypatch.chdir(tmp_path / "mallory")
    for _ in range(1200):
        os.mkdir("a")
        os.chdir("a")
    try:
        found = taken(tmp_path)
    finally:  # what clears up after the tests goes down step by step, and fails
        for _ in range(1190):
            os.chdir("..")
            os.rmdir("a")
    assert found["anna"] == (["anna.ipynb"], "")
    assert "No notebook could be taken" in found["mallory"][1]
    assert "(deeper than 20 folders): a/a/a" in found["mallory"][1]


def test_whatever_goes_wrong_with_one_is_theirs_alone(tmp_path, monkeypatch):
    def failing(base):
        raise RecursionError

    put(tmp_path / "anna.ipynb", RATIO)
    put(tmp_path / "mallory" / "work.ipynb", RATIO)
    monkeypatch.setattr(grade_files, "_folder", failing)
    found = taken(tmp_path)
    assert found["anna"][0] and found["mallory"] == ([], "mallory cannot be read (RecursionError).")


def test_links_in_a_circle_are_a_line_each(tmp_path):
    put(tmp_path / "anna.ipynb", RATIO)
    (tmp_path / "mallory.ipynb").symlink_to("mallory.ipynb")
    (tmp_path / "m").symlink_to("n")
    (tmp_path / "n").symlink_to("m")
    found = {one.student: one.problem for one in collect(tmp_path, [tmp_path / "report"])}
    assert not found.pop("anna") and set(found) == {"mallory", "m", "n"}
    assert all("is a link" in problem for problem in found.values())


def test_a_link_put_in_a_files_place_later_is_not_followed(tmp_path):
    secret = put(tmp_path / "secret", RATIO)
    put(tmp_path / "class" / "mallory" / "work.ipynb", GAP)
    (tmp_path / "class" / "mallory" / "data.txt").write_text("x")
    (one,) = collect(tmp_path / "class")
    for path in (*one.notebooks.values(), *one.files.values()):
        path.unlink()
        path.symlink_to(secret)
    assert one.digest()
    with pytest.raises(OSError):
        one.read()
    one.files.clear()
    assert "cannot be read" in one.read()[0]["work.ipynb"]


@pytest.mark.parametrize("work", ["exercises/01.ipynb", "env/01.ipynb", "env/work/01.ipynb"])
def test_a_virtual_environment_hides_no_notebook(work, tmp_path, monkeypatch):
    monkeypatch.setattr(grade_files, "_MOST_ENTRIES", 20)
    put(tmp_path / "bob" / work, RATIO)
    inside = tmp_path / "bob" / "env"
    for folder in ("lib/python3/site-packages/torch", "Scripts", "share/jupyter"):
        (inside / folder).mkdir(parents=True)
        for number in range(20):
            (inside / folder / f"{number}.py").touch()
        put(inside / folder / "example.ipynb", BLANK)
    (inside / "pyvenv.cfg").touch()
    assert taken(tmp_path)["bob"] == ([work], "")


def test_notebooks_are_found_behind_many_files_and_a_search_cut_short_is_said(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(grade_files, "_MOST_SEEN", 10)
    put(tmp_path / "bob" / "work" / "01.ipynb", RATIO)
    (tmp_path / "bob" / "data").mkdir()
    for number in range(30):
        (tmp_path / "bob" / "data" / f"{number}.txt").touch()
    notebooks, said = taken(tmp_path)["bob"]
    assert notebooks == ["work/01.ipynb"] and "more than 10 files beside" in said
    monkeypatch.setattr(grade_files, "_MOST_ENTRIES", 20)
    notebooks, said = taken(tmp_path)["bob"]
    assert notebooks == [] and "There is no notebook" not in said
    assert "No notebook could be taken" in said and "first 20 files and folders): data" in said


@pytest.mark.parametrize(
    "data",
    [b"", b" \n", b"<!DOCTYPE html>", notebook(RATIO)[:50].encode(), b"[" * 10**5, b"\xff" * 9],
)
def test_what_is_no_notebook_is_said_without_the_parsers_words(data, tmp_path):
    (tmp_path / "lea.ipynb").write_bytes(data)
    (said,) = collect(tmp_path)[0].read()[0].values()
    why = "it is nested too deep" if data.startswith(b"[[") else "it is no JSON, or it was cut off"
    why = why if data.strip() else "it is empty"
    assert said == f"lea.ipynb cannot be read: {why}."


@pytest.mark.parametrize("ending", [".txt", ".json", ".TXT"])
def test_a_notebook_by_another_name_is_told_to_be_renamed(ending, tmp_path):
    put(tmp_path / "bob" / f"01.ipynb{ending}", RATIO)
    put(tmp_path / f"carla.ipynb{ending}", RATIO)
    found = taken(tmp_path)
    for student, name in (("bob", "01.ipynb"), ("carla", "carla.ipynb")):
        notebooks, said = found[student]
        assert notebooks == [] and "There is no notebook" not in said
        assert "rename it to .ipynb" in said and name + ending in said


def test_the_courses_own_solution_handed_in_is_said(tmp_path):
    cells = code_cells((sources.ROOT / "solutions" / "01_cost_reset.ipynb").read_bytes())
    put(tmp_path / "bob" / "solutions" / "01.ipynb", *cells, "1 + 1")
    put(tmp_path / "carla.ipynb", *(one.replace("2.19", "2.190") for one in cells))
    found = taken(tmp_path)
    assert "solutions/01.ipynb has every code cell of the course's solutions/01" in found["bob"][1]
    assert found["carla"][1] == ""


def test_a_teachers_own_notebooks_beside_the_courses_change_nothing(tmp_path, monkeypatch):
    put(tmp_path / "notebooks" / "Untitled.ipynb")
    put(tmp_path / "notebooks" / "my answers.ipynb", RATIO)
    (tmp_path / "notebooks" / "01_cost_reset.ipynb").write_text("{")
    put(tmp_path / "class" / "lea.ipynb", RATIO)
    monkeypatch.setattr(grade_files, "ROOT", tmp_path)
    grade_files._course.cache_clear()
    try:
        assert lessons_of(collect(tmp_path / "class")[0]) == ["01_cost_reset"]
    finally:
        grade_files._course.cache_clear()


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
    comments = "\n# check('moe.by_hand')\nx = 1  # check('grpo.by_hand', x)"
    put(tmp_path / "lea.ipynb", RATIO + talk + comments)
    assert lessons_of(collect(tmp_path)[0]) == ["01_cost_reset"]


LESSONS = [sources.ROOT / "notebooks" / f"{one.file}.ipynb" for one in course_map.LESSONS]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda one: one.stem)
def test_a_lessons_own_notebook_answers_no_exercise(lesson, tmp_path):
    put(tmp_path / "lea.ipynb", *code_cells(lesson.read_bytes()), "x = 1")
    assert lessons_of(collect(tmp_path)[0]) == []


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("from answers import *", "answers.py"), ("%run answers.py", "answers.py"),
        ("from mine import *", "mine/__init__.py"), ("%run '01 my-answers.py'", "01 my-answers.py"),
        ("from first import *", "answers.py"), ("%run my-answers", "my-answers.py"),
        ("from r\u00e9ponses import *", "re\u0301ponses.py"),  # as a Mac hands it in
    ],
)  # fmt: skip
def test_answers_in_a_file_that_a_notebook_names_are_graded(cell, file, tmp_path):
    put(tmp_path / "lea" / "work.ipynb", cell)
    (tmp_path / "lea" / file).parent.mkdir(exist_ok=True)
    (tmp_path / "lea" / file).write_text(RATIO + GAP)
    (tmp_path / "lea" / "other.py").write_text("my_route = 1\n")
    (tmp_path / "lea" / "first.py").write_text("from answers import *\n")
    (one,) = collect(tmp_path)
    assert lessons_of(one) == ["01_cost_reset"]
    assert outcomes(grade_one(one, ASKED, replace(QUICK, cell=60, total=90))) == ["right"] * 2


def test_a_name_typed_and_its_file_from_a_mac_are_one_unless_both_are_there(tmp_path):
    put(tmp_path / "lea" / "work.ipynb", "price_ratio = float(open('donn\u00e9es').read())", GAP)
    (tmp_path / "lea" / "donne\u0301es").write_text(str(60 / 2.19))
    (one,) = collect(tmp_path)
    assert outcomes(grade_one(one, ASKED, QUICK)) == ["right"] * 2
    (tmp_path / "lea" / "donn\u00e9es").write_text("0")
    (one,) = collect(tmp_path)
    assert set(one.files) == {"donn\u00e9es", "donne\u0301es"}


def test_of_many_files_that_a_notebook_names_no_more_is_read_than_of_a_notebook():
    files = {f"f{n}.py": b"x = 1\n" * 10**5 for n in range(40)}
    read = grade_files.written(["from f0 import *", *files], files)
    assert sum(map(len, read)) < 2_100_000


def test_the_notebook_that_answers_most_is_run_first(tmp_path):
    """The time is one for all: a notebook that only speaks of an answer may use it up."""
    for name, cells in (("a", ["print(price_ratio)"]), ("b", [RATIO]), ("c", [RATIO + GAP])):
        put(tmp_path / "lea" / f"{name}.ipynb", *cells, "1 / 0")
    notes = " ".join(grade_one(collect(tmp_path)[0], ASKED, replace(QUICK, total=120)).notes)
    assert notes.index("c.ipynb: ") < notes.index("b.ipynb: ") < notes.index("a.ipynb: ")


def test_a_notebook_runs_where_it_lies_and_runs_the_others(tmp_path):
    base = tmp_path / "lea" / "hw" / "one"
    base.mkdir(parents=True)
    put(
        base / "work.ipynb", "from helper import gap\n%run ../../shared.ipynb",
        "gap_in_problems = gap\nprice_ratio = float(open('ratio.txt').read()) * unit",
    )  # fmt: skip
    put(tmp_path / "lea" / "shared.ipynb", "unit = 1.0")
    (base / "helper.py").write_text(GAP.replace("gap_in_problems", "gap"))
    (base / "ratio.txt").write_text(f"{60 / 2.19}")
    grade = grade_one(collect(tmp_path)[0], ASKED, replace(QUICK, cell=60, total=90))
    assert outcomes(grade) == ["right", "right"], grade.notes


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("price_ratio = 1", True), ("price_ratio: float = 1", True), ("x = price_ratio = 1", True),
        ("x, price_ratio = 1, 2", True), ("check('costs.ratio', 5)", True),
        ("  check( \"costs.ratio\", 5)", True), ("check(\n  'costs.ratio',\n  5)", True),
        ("check(name='costs.ratio', answer=5)", True), ("NAMES = ['costs.ratio']", True),
        ("# price_ratio = 1", False),
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
    except ValueError as error:
        assert str(error)


@settings(max_examples=300)
@given(st.text(max_size=300))
def test_a_name_is_shown_in_one_line_that_can_be_written(name):
    text = shown(name)
    text.encode("utf-8")
    assert len(text.splitlines()) <= 1 and len(text) <= 200 and "\x1b" not in text
