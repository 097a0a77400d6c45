"""The page of all benchmarks: figures are read off, ratios taken, failures said."""

import importlib
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import __main__ as page
from tests.benchmarks import bench_cores

TINY = """
[[bench]]
name = "two"
command = ["-c", "print('ours 1,250.5 theirs 2501')"]
row = [
  { what = "speed", unit = "t/s", more = true, beside = "them", SIDES },
  { what = "time", unit = "s", beside = "them", SIDES },
  { what = "gone", unit = "s", ours = 'nothing (\\d+)' },
]
[[bench]]
name = "bad"
command = ["-c", "import sys; sys.exit(3)"]
row = [{ what = "clock", unit = "s" }]
[[bench]]
name = "left"
command = ["-c", "1/0"]
row = []
""".replace("SIDES", "ours = 'ours ([\\d.,]+)', theirs = 'theirs (\\d+)'")


def test_a_tiny_set_becomes_one_table(tmp_path, capsys):
    (tmp_path / "set.toml").write_text(TINY)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{page.MARK}\nold\n{page.MARK}\nafter\n")
    out = tmp_path / "out"
    given = ["--out", str(out), "--set", str(tmp_path / "set.toml"), "--only", "two", "bad"]
    assert page.main([*given, "--readme", str(readme)]) == 1
    made = json.loads((out / "benchmarks.json").read_text())
    assert made["date"] and made["cpu"] and made["versions"]["torch"]
    assert [bench["name"] for bench in made["benchmarks"]] == ["two", "bad"]
    speed, time, gone = made["benchmarks"][0]["rows"]
    assert (speed["ours"], speed["theirs"], gone["ours"]) == (1250.5, 2501, None)
    assert speed["ratio"] == pytest.approx(0.5) and time["ratio"] == pytest.approx(2.0)
    written = (out / "benchmarks.md").read_text()
    assert "| gone | not measured |" in written and "ended with 3" in written
    assert readme.read_text() == f"before\n{page.MARK}\n{written}{page.MARK}\nafter\n"
    with pytest.raises(ValueError, match="put two"):
        page.into("no marks", "table")
    with pytest.raises(SystemExit):
        page.main([*given, "--only", "none"])


def test_the_set_names_programs_that_are_there_and_patterns_with_one_number():
    root = Path(__file__).parents[2]
    benches = tomllib.loads(page.SET.read_text())["bench"]
    assert len({bench["name"] for bench in benches}) == len(benches)
    ran = {bench["command"][0] for bench in benches}
    there = {f"tests/benchmarks/{p.name}" for p in (root / "tests/benchmarks").glob("bench_*.py")}
    assert there - ran == {"tests/benchmarks/bench_hub.py"}  # it wants npm and eight users
    assert {name for name in ran if name.endswith(".py")} <= there
    for row in (row for bench in benches for row in bench["row"]):
        assert row["what"] and row["unit"]
        for side in ("ours", "theirs"):
            assert side not in row or re.compile(row[side]).groups == 1
        assert ("theirs" in row) == ("beside" in row)


def test_growth_is_fitted_and_drawn():
    points = {"completions": [(64, 1.0), (128, 2.0), (256, 4.0)]}
    assert bench_cores.slope(points["completions"]) == pytest.approx(1.0)
    picture = bench_cores.drawn(points)
    assert picture.count("<circle") == 3 and "slope 1.00" in picture


def test_the_class_for_nbgrader_is_what_it_says_and_a_missing_nbgrader_is_one_sentence(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(Path(page.__file__).parent))
    bench = importlib.import_module("bench_nbgrader")
    right = bench.write(tmp_path, len(bench.CLASS))
    handed_in = {path.parts[-3]: path.read_text() for path in tmp_path.glob("submitted/*/*/*")}
    assert handed_in.keys() == right.keys()
    assert len(set(handed_in.values())) == len(bench.CLASS)  # no edit has lost its place
    assert right["s000"] == bench.ALL and not right["s004"]
    assert all(text.count('"grade": true') == len(bench.ALL) for text in handed_in.values())
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    with pytest.raises(SystemExit, match=r"^nbgrader\S* is not installed; pip install -r \S+$"):
        bench.theirs(tmp_path)
