"""The teacher's desk: what a class hands in, put together; and what somebody hostile hands in."""

import csv
import io
import json
import os
import re
import time
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.checklist.quiz import Number, Order
from course_lib.classroom import class_desk, class_files, form
from course_lib.errors import CourseError


def entry(outcome, **more):
    return {"outcome": outcome, "tries": 1, "when": "2026-11-26T10:00:00+00:00"} | more


def kept(name="", **sections):
    words = {"words": {"name": entry("written", text=name)}} if name else {}
    return json.dumps({"version": 1, "sections": sections | words})


def answers(phase, right=True):
    """Answers to every question of a form, right or wrong, as its page makes them."""
    found = {}
    for name, way in form.asked(phase).items():
        state = form.checklist()[name.partition(".")[0]].state()
        if isinstance(way, Number):
            found[name] = f"{way.right(state)}" if right else "123456789"
        elif isinstance(way, Order):
            found[name] = list(way.right(state))[:: 1 if right else -1]
        else:
            key = way.right(state)
            found[name] = key if right else next(k for k in way.options if k != key)
    return found


def desk(folder):
    out = folder.parent / "out"
    class_desk.main([str(folder), "--out", str(out)])
    tables = {}
    for path in out.glob("*.csv"):
        text = path.read_text(encoding="utf-8-sig")
        tables[path.name] = list(csv.reader(io.StringIO(text)))
    return (out / "class.html").read_text(encoding="utf-8"), tables


@pytest.fixture
def handed_in(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_a_class_is_put_together_from_all_three_ways(handed_in):
    form_of_ada = {"name": "Ada", "phase": "before", "answers": answers("before", right=False)}
    (handed_in / "Ada_before.json").write_text(json.dumps(form_of_ada))
    done = {"grpo.by_hand": entry("right"), "moe.route": entry("known mistake", tries=6,
            mistake="The bias is for choosing only.")}  # fmt: skip
    after = form.judged("after", answers("after"))
    (handed_in / "ada.json").write_text(kept("ada", exercises=done, after=after))
    (handed_in / "ben").mkdir()
    (handed_in / "ben" / "progress.json").write_text(kept(exercises={"moe.route": entry("right")}))
    row = {"name": "Zoë; 李", "phase": "before", "cost.news": "b", "training.stages": "zz"}
    row["training.stages"] = ""
    text = ";".join(row) + "\n" + ";".join(f'"{value}"' for value in row.values()) + "\n"
    (handed_in / "paper.csv").write_text("\ufeff" + text, encoding="utf-8")
    page, tables = desk(handed_in)
    assert [row[0] for row in tables["moodle.csv"][1:]] == ["Ada", "ben", "Zoë; 李"]
    assert [row[1:] for row in tables["moodle.csv"][1:]] == [
        ["0", "6", "1"], ["", "", "1"], ["0", "", "0"],  # a test that was not taken is no 0
    ]  # fmt: skip
    assert tables["canvas.csv"][3][-3:] == ["", "", "1"]
    stuck = page.split("Who is stuck")[1].split("<h2>")[0]
    assert "Ada" in stuck and "moe.route" in stuck and "6 checks" in stuck and "ben" not in stuck
    assert "The bias is for choosing only." in page
    assert ["Ada", "exercise", "grpo.by_hand", "", "right", "1"] in tables["class.csv"]
    assert tables["canvas.csv"][0][:5] == [
        "Student", "ID", "SIS User ID", "SIS Login ID", "Section",
    ]  # fmt: skip
    assert tables["canvas.csv"][1][0].strip() == "Points Possible"


def test_the_gain_counts_who_took_both(handed_in):
    for name, phases in {"a": ("before", "after"), "b": ("before",), "c": ("after",)}.items():
        sections = {p: form.judged(p, answers(p, right=p == "after")) for p in phases}
        (handed_in / f"{name}.json").write_text(kept(name, **sections))
    people, _ = class_files.read(handed_in)
    found = {one.title: one for one in class_desk.questions(class_desk.members(people))}
    assert len(found) == 6
    assert all((one.both, one.before, one.after) == (1, 0, 1) for one in found.values())


def test_the_first_answer_before_the_course_stays(handed_in):
    for number, right in enumerate((False, True)):
        data = {"name": "Ada", "phase": "before", "answers": answers("before", right)}
        (handed_in / f"{number}.json").write_text(json.dumps(data))
    (ada,), _ = class_files.read(handed_in)
    assert "right" not in {entry["outcome"] for entry in ada.sections["before"].values()}
    assert ada.files == ["0.json", "1.json"]


def test_letters_on_paper_are_the_options_as_printed():
    page = form.page("before")
    for name, way in form.asked("before").items():
        options = form.options(way)
        if not options:
            continue
        block = page.split(f'data-name="{name}"')[1].split("</fieldset>")[0]
        printed = re.findall(r"(?m)(?:^<p>|> )([a-z])\) (.+?)(?:</p>|</label>)", block)
        assert [letter for letter, _ in printed[: len(options)]] == list("abcdefgh")[: len(options)]
        letters = "".join("abcdefgh"[n] for n in range(len(options)))
        told = form.from_paper("before", {name: letters if isinstance(way, Order) else "b"})[name]
        keys = [key for key, _ in options]
        assert told == (keys if isinstance(way, Order) else keys[1])


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("distills.what", "a b c d"),
        ("distills.what", "a, d"),
        ("distills.what", "z"),
        ("distills.what", "2"),
        ("training.stages", "b a"),
        ("cost.cents", "many"),
        ("cost.cents", "2,63"),
        ("cost.cents", "12k"),
        ("cost.cents", "2.63 $"),
        ("local.seven", "15474 MiB"),
    ],
)
def test_an_answer_that_is_none_is_said_and_costs_nobody_another(handed_in, cell, said):
    text = f'name,phase,data.leaves,{cell}\nAnna,before,b,"{said}"\nBen,before,a,\n'
    (handed_in / "paper.csv").write_text(text)
    (anna, _), (told,) = class_files.read(handed_in)
    assert anna.sections["before"][cell]["outcome"] == "blank"
    assert anna.sections["before"]["data.leaves"]["outcome"] != "blank"
    assert told.startswith(f"paper.csv (line 2, {cell}): {said!r} counts as not answered")


def test_a_number_of_a_form_that_cannot_be_read_is_said(handed_in):
    data = {"name": "Ada", "phase": "before", "answers": {"cost.cents": "2,63", "cost.gap": " "}}
    (handed_in / "ada.json").write_text(json.dumps(data))
    _, (told,) = class_files.read(handed_in)
    assert told.startswith("ada.json (cost.cents): '2,63' counts as not answered; it takes one")


COLUMNS = "name,phase,cost.cents"
ZOE = f"{COLUMNS}\nZoë,before,2.63\n"
TABLES = {
    "decimal commas": "name;phase;cost.cents\nZoë;before;2,63\n",
    "tabs": ZOE.replace(",", "\t"),
    "Excel's own line": f"sep=,\n{ZOE}",
    "Excel's own line, and another sign": f"\ufeffsep=;\n{ZOE.replace(',', ';')}",
    "capitals and blanks": ZOE.replace(COLUMNS, " Name, Phase ,Cost.Cents"),
    "ends of lines": ZOE.replace("\n", "\r\n"),
    "ends of lines of old": ZOE.replace("\n", "\r"),
    "rows without text": ZOE + ",,\n , \n,,,,\n",
    "UTF-16": ZOE.replace(",", "\t").encode("utf-16"),
    "UTF-16, the other way round": ("\ufeff" + ZOE).encode("utf-16-be"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_what_spreadsheets_write_is_read(handed_in, kind):
    text = TABLES[kind]
    data = text if isinstance(text, bytes) else text.encode()
    (handed_in / "paper.csv").write_bytes(data)
    (zoe,), left = class_files.read(handed_in)
    assert zoe.name == "Zoë" and not left
    assert zoe.sections["before"]["cost.cents"]["outcome"] == "right"


def test_a_row_that_is_none_is_said_with_its_line_and_costs_nobody_else(handed_in):
    rows = "Anna,Vorher,2.63\nBen,before,2,63\n,,\nCarl,after,2.63\n" + "x,never,\n" * 30
    (handed_in / "paper.csv").write_text(f"sep=,\n{COLUMNS}\n{rows}")
    (carl,), left = class_files.read(handed_in)
    assert carl.name == "Carl"
    assert left[0] == (
        "paper.csv (line 3) was left out: the phase is before or after, not 'Vorher'."
    )
    assert left[1].startswith("paper.csv (line 4) was left out: it has more cells")
    assert left[-1] == "paper.csv has 12 more of these." and len(left) == 21


def test_no_encoding_is_guessed(handed_in):
    (handed_in / "good.json").write_text(kept("Good"))
    (handed_in / "old.csv").write_bytes(ZOE.encode("cp1252"))
    (handed_in / "half.csv").write_bytes(ZOE.encode("utf-16")[:-1])
    people, left = class_files.read(handed_in)
    assert [one.name for one in people] == ["Good"] and len(left) == 2
    assert all("save it as UTF-8 (Excel: “CSV UTF-8”)" in one for one in left)


def test_one_name_is_one_person_however_its_accents_are_written(handed_in):
    for form_of_it in ("NFC", "NFD"):
        name = unicodedata.normalize(form_of_it, "Zoë" if form_of_it == "NFC" else "ZOË")
        (handed_in / f"{form_of_it}.json").write_text(kept(name))
    (zoe,), _ = class_files.read(handed_in)
    assert len(zoe.files) == 2


@pytest.mark.parametrize("phase", form.PHASES)
def test_the_form_holds_no_key_and_asks_nobody_anything(phase):
    page = form.page(phase)
    assert not re.search(r"https?:|src=|fetch\(|XMLHttp|import\(", page)
    for name, way in form.asked(phase).items():
        state = form.checklist()[name.partition(".")[0]].state()
        if isinstance(way, Number):
            assert f'value="{way.right(state)}' not in page
    right, wrong = (form.judged(phase, answers(phase, r)) for r in (True, False))
    assert {one["outcome"] for one in right.values()} == {"right"}
    assert "right" not in {one["outcome"] for one in wrong.values()}


HOSTILE = {
    "deep.json": "[" * 100_000,
    "null.json": "null",
    "list.json": '[{"sections": {}}]',
    "number.json": '{"sections": 5}',
    "answers.json": '{"name": "x", "phase": "during", "answers": {}}',
    "answers2.json": '{"name": "x", "phase": "before", "answers": []}',
    "key.json": '{"name": "x", "phase": "before", "answers": {"cost.news": "no such key"}}',
    "table.csv": "a,b\n1,2\n",
    "phase.csv": "name,phase\nx,never\n",
    "nul.csv": "name,phase\nx,\x00before\n",
}


def test_hostile_files_are_left_out_with_a_sentence_and_cost_nobody_else(handed_in):
    (handed_in / "good.json").write_text(kept("Good", exercises={"moe.route": entry("right")}))
    for name, text in HOSTILE.items():
        (handed_in / name).write_text(text)
    (handed_in / "latin.json").write_bytes(b'{"sections": {"a": "\xe9"}}')
    (handed_in / "huge.json").write_bytes(b" " * 5_000_001)
    (handed_in / "._good.json").write_text("junk")
    (handed_in / "__MACOSX").mkdir()
    (handed_in / "__MACOSX" / "x.json").write_text("junk")
    secret = handed_in.parent / "secret.json"
    secret.write_text(kept("Secret"))
    os.symlink(secret, handed_in / "link.json")
    os.symlink(handed_in, handed_in / "loop")
    people, left = class_files.read(handed_in)
    assert [one.name for one in people] == ["Good"]
    links = {"link.json", "loop"}
    assert {line.split()[0] for line in left} == {*HOSTILE, *links, "latin.json", "huge.json"}
    assert all(line.endswith(".") for line in left)


def test_one_folder_keeps_nobody_elses_files_from_being_read(handed_in):
    (handed_in / "aaa").mkdir()
    for number in range(30):
        (handed_in / "aaa" / f"{number}.json").write_text(kept(f"P{number}"))
    deep = handed_in / "bbb"
    for _ in range(60):
        deep.mkdir()
        deep = deep / "b"
    (handed_in / "good.json").write_text(kept("Good"))
    (handed_in / "good.json.txt").write_text(kept("Other"))
    rows = "".join(f"R{number},before\n" for number in range(600))
    (handed_in / "table.csv").write_text(f"name,phase\n{rows}")
    people, left = class_files.read(handed_in)
    names = [one.name for one in people]
    assert sum(name.startswith("P") for name in names) == 20
    assert sum(name.startswith("R") for name in names) == 500 and "Good" in names
    said = " ".join(left)
    assert "Of aaa only the first 20 were read." in said and "deeper than" in said
    assert "good.json.txt was left out: rename it" in said
    assert "table.csv has more than 500 rows" in said


def test_who_handed_in_nothing_that_the_desk_reads_is_said(handed_in):
    (handed_in / "good.json").write_text(kept("Good"))
    (handed_in / "lea.zip").write_bytes(b"PK")
    (handed_in / "good.ipynb").write_text("{}")  # beside its progress
    for name in ("max/photo.png", "max/notes.txt", "kim/kim.json", "kim/photo.png"):
        (handed_in / name).parent.mkdir(exist_ok=True)
        (handed_in / name).write_text(kept("Kim"))
    people, left = class_files.read(handed_in)
    assert [one.name for one in people] == ["Good", "Kim"]
    assert [one.split(" was left out")[0] for one in left] == ["lea.zip", "max"]


def test_answers_of_one_name_in_two_files_are_said(handed_in):
    before = {"before": form.judged("before", answers("before", right=True))}
    for name in ("alice", "AAA"):
        (handed_in / f"{name}.json").write_text(
            kept("Alice" if name == "alice" else "alice", **before)
        )
    people, left = class_files.read(handed_in)
    assert len(people) == 1 and "alice.json has answers before of" in " ".join(left)


def test_names_and_mistakes_are_text_wherever_they_are_shown(handed_in):
    name = '=HYPERLINK("x")<script>alert(1)</script>\u202e\ud800'.encode(
        "utf-8", "replace"
    ).decode()
    nasty = {"moe.route": entry("known mistake", mistake="<img src=x>" * 2000, tries=10**8)}
    (handed_in / "x.json").write_text(kept(name, exercises=nasty))
    (handed_in / "y.json").write_text(kept("+1+1", exercises={"moe.route": entry("right")}))
    page, tables = desk(handed_in)
    assert "<script>alert" not in page and "<img" not in page and "\u202e" not in page
    for rows in tables.values():
        assert not [cell for row in rows for cell in row if cell[:1] in "=+@-" and cell[:1]]
    assert len(page) < 40_000


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["sections", "answers", "phase", "name", "before", "words", "text",
                             "exercises", "outcome", "tries", "cost.news", "training.stages"])
            | st.text(max_size=5),
            inner | st.sampled_from(["before", "right"]),
            max_size=6,
        ),
        max_leaves=25,
    )
)  # fmt: skip
def test_any_json_is_read_or_left_out(handed_in, data):
    (handed_in / "good.json").write_text(kept("Good"))
    (handed_in / "any.json").write_text(json.dumps(data))
    people, left = class_files.read(handed_in)
    class_desk.write(people, left, handed_in.parent / "out")
    assert "Good" in [one.name for one in people]


def test_three_hundred_people_take_under_five_seconds_of_processor(handed_in):
    after = {p: form.judged(p, answers(p, right=p == "after")) for p in form.PHASES}
    done = {name: entry("right", tries=3) for name in class_desk.catalogue.exercises()}
    for number in range(300):
        (handed_in / f"{number}.json").write_text(kept(f"P{number}", exercises=done, **after))
    began, cpu = time.perf_counter(), time.process_time()
    desk(handed_in)
    print(f"{time.perf_counter() - began:.1f} s, {time.process_time() - cpu:.1f} s of processor")
    assert time.process_time() - cpu < 5


def test_nothing_to_read_is_said(handed_in, tmp_path, capsys):
    with pytest.raises(CourseError, match="nothing that could be read"):
        class_files.read(handed_in)
    with pytest.raises(CourseError, match="is no folder"):
        class_files.read(tmp_path / "gone")
    with pytest.raises(SystemExit):
        class_desk.main(["--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        class_desk.main(["--form", str(handed_in), "--out", str(tmp_path / "out")])
    assert "and not both" in capsys.readouterr().err and not (tmp_path / "out").exists()
    class_desk.main(["--form", "--out", str(tmp_path / "form")])
    assert {path.name for path in (tmp_path / "form").iterdir()} == {
        "questions_before.html", "questions_after.html", "paper.csv",
    }  # fmt: skip
    (tmp_path / "plain").write_text("")
    with pytest.raises(SystemExit):
        class_desk.main(["--form", "--out", str(tmp_path / "plain")])
    assert "nothing can be written" in capsys.readouterr().err
    with pytest.raises(CourseError, match="could be written"):
        class_desk.write([], [], tmp_path / "plain")
