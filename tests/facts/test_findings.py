"""The ledger of findings: every entry from its records, and what each rule must catch."""

import json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import records
from course_lib.facts import UnknownFact, finding_files, findings, paired, record_rows
from course_lib.facts.model import LedgerError

ENTRIES, _ = finding_files.read()

# A record of five seeds that nobody records again, and findings about it: what the rules are tried
# on, so that new records of the lessons change nothing here.
STARTS, ENDS = [0.16, 0.17, 0.14, 0.15, 0.13], [0.75, 0.70, 0.74, 0.72, 0.78]
MADE = {
    "machine": "nowhere",
    "steps": 30,
    "runs": {str(n): {"accuracy": [STARTS[n], ENDS[n]], "loss": [3.0, 2.0]} for n in range(5)},
}
COMMAND = "python -m course_lib experiment made"
FINDING = """
[[finding]]
key = "made.{key}"
claim = "{claim}"
lesson = "03"
section = "1"
a = {{ record = "{record}", column = "{column}", at = -1 }}
b = {{ record = "{record}", column = "{column}", at = 0 }}
relation = "greater"
seeds = {seeds}
strength = "{strength}"
refuted_by = "Runs that do not grow."
"""
CLAIMS = {
    "grows": ("In five seeds and 30 steps it rises from 15.0 % to 73.8 %.", 5, "shown"),
    "few": ("In three seeds it rises from 15.7 % to 73.0 %.", 3, "suggested"),
    "one": ("In one run it rises to 75 %.", 1, "one run"),
}


def some(seeds):
    return MADE | {"runs": {k: v for k, v in MADE["runs"].items() if int(k) < seeds}}


def write_records(folder):
    for key, (_, seeds, _) in CLAIMS.items():
        (folder / f"{key}.json").write_text(json.dumps(some(seeds)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The entries about the record, and the folder that it is in."""
    folder = tmp_path_factory.mktemp("made")
    write_records(folder)
    text = ""
    for key, (_, seeds, _) in CLAIMS.items():
        version = record_rows.version(some(seeds))
        text += f'[record.{key}]\nsettings = "{version}"\ncommand = "{COMMAND}"\n'
    for key, (claim, seeds, strength) in CLAIMS.items():
        text += FINDING.format(
            key=key,
            claim=claim,
            record=key,
            column="accuracy",
            seeds=list(range(seeds)),
            strength=strength,
        )
    (folder / "03.toml").write_text(text)
    return finding_files.read(folder)[0], folder


@pytest.fixture
def grows(made):
    return made[0]["made.grows"]


@pytest.fixture
def kept(tmp_path):
    """A way to spoil the record of `grows`; returns the folder."""
    write_records(tmp_path)

    def change(act):
        record = json.loads(json.dumps(MADE))
        act(record)
        (tmp_path / "grows.json").write_text(json.dumps(record))
        return tmp_path

    change.folder = tmp_path
    return change


# --- every entry ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ENTRIES)
def test_no_sentence_says_more_than_its_records(key):
    assert not findings.overstated(findings.get(key))


@pytest.mark.parametrize("key", ENTRIES)
def test_every_finding_has_what_a_reader_needs(key):
    found = findings.get(key)
    assert found.key == key and found.claim and found.entered.kept and found.seeds
    assert found.strength in findings.STRENGTHS and found.entered.refuted_by
    assert all(c.startswith("python -m course_lib ") for c in found.commands)
    for name, wanted in found.entered.kept.items():
        made_by = records.read(records.RECORDED / f"{name}.json", "")["command"]
        assert wanted.command.split("--")[0] == made_by.split("--")[0]
    card = findings.card(key)
    assert found.claim in repr(card) and found.commands[0] in repr(card)
    assert found.strength in card._repr_html_()


def test_there_are_findings_of_each_lesson_with_records():
    lessons = {found.entered.lesson[:2] for found in findings.all()}
    assert {"02", "03", "04", "05"} <= lessons


def test_an_unknown_key_is_answered_with_the_nearest():
    with pytest.raises(UnknownFact, match=r"r1_zero\.grows"):
        findings.get("r1_zero.grow")
    with pytest.raises(UnknownFact, match=r"no finding .* 'nope'. They begin with moe, r1_zero, "):
        findings.get("nope")


def test_a_keys_beginning_is_enough_on_the_command_line(capsys):
    assert findings.main(["moe"]) == 0
    assert "moe.dead_experts (" in (out := capsys.readouterr().out) and "real." not in out


# --- what a record must have ----------------------------------------------------------------------


def not_shown(entry, folder):
    found = findings.recompute(entry, folder)
    assert found.strength == "not shown here" and found.statistic is None
    assert "Not shown here" in found.sentence and COMMAND in found.sentence
    assert findings.overstated(found)
    return found.why


def test_a_missing_record_shows_nothing(grows, kept):
    (kept.folder / "grows.json").unlink()
    assert "holds no record" in not_shown(grows, kept.folder)


def test_another_set_of_seeds_shows_nothing(grows, kept):
    fewer = kept(lambda r: r["runs"].pop("4"))
    assert "seeds [0, 1, 2, 3]" in not_shown(grows, fewer)
    more = kept(lambda r: r["runs"].update({"9": r["runs"]["0"]}))
    assert "9]" in not_shown(grows, more)


def test_other_settings_show_nothing(grows, kept):
    assert "other settings" in not_shown(grows, kept(lambda r: r.update(steps=31)))
    assert "other settings" in not_shown(grows, kept(lambda r: r.update(settings={"rate": 1})))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r.pop("runs"),
        lambda r: r["runs"]["0"].pop("accuracy"),
        lambda r: r["runs"]["0"].update(accuracy=[]),
        lambda r: r["runs"]["0"].update(accuracy=["much"]),
        lambda r: r.update(runs=None),
        lambda r: r.update(runs={}),
        lambda r: r.update(runs=[1]),
        lambda r: r.update(rows=[[]]),
    ],
)
def test_a_spoilt_record_shows_nothing(grows, kept, spoil):
    not_shown(grows, kept(spoil))


def test_a_record_that_says_otherwise_takes_the_sentence_with_it(grows, kept):
    def level(record):
        for run in record["runs"].values():
            run["accuracy"][-1] = run["accuracy"][0]

    found = findings.recompute(grows, kept(level))
    assert found.strength == "not shown here" and found.statistic.value == 0
    assert "entered as shown" in " ".join(findings.overstated(found))


# --- mutants: each rule must catch the sentence that breaks it ------------------------------------


def problems(entry, folder):
    return " ".join(findings.overstated(findings.recompute(entry, folder)))


LESS = "and is not shown here"


@pytest.mark.parametrize(
    ("key", "change", "caught"),
    [
        ("grows", {"claim": "It rises from 15.0 % to 74.8 %."}, "says 74.8 %"),
        ("grows", {"claim": "In six seeds it rises."}, "speaks of six seeds"),
        ("grows", {"claim": "It rises by 61 points."}, "says 61"),
        ("grows", {"claim": "It rises by 58.8 points (40 to 60)."}, "says 40"),
        ("grows", {"relation": "less"}, LESS),
        ("grows", {"margin": 0.6}, LESS),
        ("grows", {"relation": "equal", "margin": 0.5}, LESS),
        ("few", {"strength": "shown"}, "entered as shown, and is suggested"),
        ("few", {"claim": "It rises."}, "does not say by how many seeds"),
        ("one", {"strength": "suggested"}, "and is one run"),
        ("one", {"claim": "It rises to 75 %."}, "rests on one run and does not say so"),
    ],
)
def test_a_sentence_that_says_more_is_caught(made, key, change, caught):
    entries, folder = made
    entry = entries[f"made.{key}"]
    assert not problems(entry, folder)
    assert caught in problems(replace(entry, **change), folder)


@pytest.mark.parametrize("others", [512, 256, None])
def test_records_tested_on_other_puzzles_make_no_pair_that_is_shown(grows, kept, others):
    def tested(name, puzzles):
        record = MADE | ({"settings": {"evaluate_puzzles": puzzles}} if puzzles else {})
        (kept.folder / f"{name}.json").write_text(json.dumps(record))
        return finding_files.Kept(record_rows.version(record), COMMAND)

    both = {"grows": tested("grows", 512), "others": tested("others", others)}
    pair = replace(grows, kept=both, b=replace(grows.b, record="others"), claim="It rises.")
    found = findings.recompute(pair, kept.folder)
    if others == 512:
        assert not findings.overstated(found) and found.strength == "shown" and not found.unlike
        return
    assert f"grows: 512, others: {others or 'not told'}" in found.unlike
    assert f"entered as shown, and is suggested. {found.unlike}" in problems(pair, kept.folder)
    modest = replace(pair, strength="suggested", claim="It rises in five seeds.")
    assert not problems(modest, kept.folder)


def test_records_timed_on_other_machines_make_no_pair_that_is_shown(tmp_path, grows):
    """The same pairs, at equal time: shown on one machine, suggested where there are two."""
    run = {"cpu_seconds": [9.0], "tried": [0, 1]}
    runs = {str(n): run | {"accuracy": [0.1, ENDS[n]]} for n in range(5)}
    later = {k: run | {"accuracy": [0.1, 0.9 + 0.01 * int(k)]} for k in runs}
    kept = {"a": MADE | {"runs": later}, "b": MADE | {"runs": runs}}
    entry = replace(
        grows,
        a=record_rows.Pick("a", "accuracy", after=9.0),
        b=record_rows.Pick("b", "accuracy", after=9.0),
        kept={n: finding_files.Kept(record_rows.version(r), COMMAND) for n, r in kept.items()},
    )
    for machine, strength in (("nowhere", "shown"), ("elsewhere", "suggested")):
        kept["a"]["machine"] = machine
        for name, record in kept.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(record))
        assert findings.recompute(entry, tmp_path).strength == strength
    assert "elsewhere; nowhere" in findings.recompute(entry, tmp_path).unlike


def test_a_figure_against_itself_shows_nothing(made, grows):
    assert LESS in problems(replace(grows, a=grows.b), made[1])


def test_a_modest_sentence_is_left_alone(made, grows):
    assert not problems(replace(grows, strength="suggested"), made[1])
    low, high = findings.recompute(grows, made[1]).interval
    said = f"It rises by 58.8 points ({100 * low:.1f} to {100 * high:.1f})."
    assert not problems(replace(grows, claim=said), made[1])


def test_the_command_fails_where_a_sentence_says_too_much(made, grows, monkeypatch, capsys):
    whole = findings.recompute(grows, made[1])
    monkeypatch.setattr(findings, "all", lambda: [whole])
    assert findings.main([]) == 0
    mutant = findings.recompute(replace(grows, claim="It rises to 99.9 %."), made[1])
    monkeypatch.setattr(findings, "all", lambda: [mutant])
    assert findings.main([]) == 1
    assert "says 99.9 %" in capsys.readouterr().out


def test_the_command_lists_what_an_entry_needs_of_a_record(capsys):
    assert findings.main(["--records"]) == 0
    out = capsys.readouterr().out
    for entry in ENTRIES.values():
        for name, wanted in entry.kept.items():
            assert f'[record."{name}"]' in out and f'settings = "{wanted.settings}"' in out
    key, entry = next(iter(ENTRIES.items()))
    assert findings.main([key, "--records"]) == 0
    listed = re.findall(r'\[record\."(.*)"\]', capsys.readouterr().out)
    assert listed == sorted(entry.kept)


# --- the statistic --------------------------------------------------------------------------------


def test_five_pairs_on_one_side_are_the_fewest_that_pass_the_exact_test():
    five = paired.compare([1.1, 1.2, 1.3, 1.4, 1.5], [1.0] * 5, "greater")
    assert five.p == 1 / 32 and five.on_the_side and five.wins == 5
    four = paired.compare([1.1, 1.2, 1.3, 1.4], [1.0] * 4, "greater")
    assert four.p == 1 / 16 and four.interval == pytest.approx((0.1, 0.4))
    assert findings.strongest(four, 4) == "suggested" and findings.strongest(five, 5) == "shown"


def test_one_pair_against_the_others_is_not_shown():
    found = paired.compare([0.1, 0.2, 0.3, 0.4, -0.35], [0.0] * 5, "greater")
    assert findings.strongest(found, 5) == "not shown here"


def test_equal_means_within_the_margin_and_not_merely_undecided():
    wide = paired.compare([0.3, -0.3, 0.2, -0.2, 0.0], [0.0] * 5, "equal", 0.1)
    near = paired.compare([0.03, -0.03, 0.02, -0.02, 0.0], [0.0] * 5, "equal", 0.1)
    assert findings.strongest(wide, 5) == "not shown here"
    assert findings.strongest(near, 5) == "shown" and near.wins == 5


def test_a_quotient_is_a_geometric_mean():
    found = paired.compare([2.0, 8.0], [1.0, 1.0], "greater", 1.5, ratio=True)
    assert found.value == pytest.approx(4.0) and found.interval == pytest.approx((2.0, 8.0))
    assert not paired.compare([2.0, 8.0], [1.0, 1.0], "greater", 3, ratio=True).on_the_side


@pytest.mark.parametrize(
    ("sides", "kind"),
    [(([], []), "greater"), (([1], [1, 2]), "less"), (([1], [2]), "unlike")],
)
def test_what_is_no_pairs_is_refused(sides, kind):
    with pytest.raises(ValueError, match="pairs and one of the relations"):
        paired.compare(*sides, kind)
    with pytest.raises(ValueError, match="above 0"):
        paired.compare([1.0], [0.0], "greater", ratio=True)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("ratio", [False, True])
def test_figures_that_are_not_finite_are_refused(odd, ratio):
    for first, second, margin in (([odd], [1], None), ([2], [odd], None), ([2], [1], odd)):
        with pytest.raises(ValueError, match="must be finite"):
            paired.compare(first * 5, second * 5, "greater", margin, ratio)


@given(st.lists(st.floats(-1, 1, width=16), min_size=5, max_size=7))
def test_the_interval_holds_the_mean_and_is_the_same_twice(gaps):
    found = paired.compare(gaps, [0.0] * len(gaps), "greater")
    low, high = found.interval
    assert low - 1e-9 <= found.value <= high + 1e-9
    assert paired.compare(gaps, [0.0] * len(gaps), "greater") == found
    assert 0 < found.p <= 1


# --- records as rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(records.RECORDED.rglob("*.json")), ids=lambda p: p.stem)
def test_every_recorded_experiment_is_read_as_rows(path):
    record = json.loads(path.read_text())
    rows = record_rows.rows(record)
    assert rows and all(type(row["seed"]) is int for row in rows)
    assert record_rows.version(record) == record_rows.version(json.loads(path.read_text()))


def test_a_pick_says_which_figure():
    record = {"rows": [{"seed": 0, "who": "a", "x": [1.0, 2.0, 6.0], "n": 2, "deep": {"y": 4}}]}
    record["rows"].append({"seed": 0, "who": "b", "x": [0.0], "n": 1, "deep": {"y": 5}})

    def picked(**fields):
        return record_rows.figures(record, record_rows.Pick("r", where={"who": "a"}, **fields))[0]

    assert picked(column="x", at=-1) == 6 and picked(column="x", at=(0, 2)) == 1.5
    assert picked(column="x", at="max", per="n") == 3 and picked(column="deep/y") == 4
    with pytest.raises(ValueError, match="two rows"):
        record_rows.figures(record, record_rows.Pick("r", "n"))
    with pytest.raises(LookupError, match="no row"):
        record_rows.figures(record, record_rows.Pick("r", "n", {"who": "c"}))


def test_a_pick_after_so_many_seconds_lies_between_the_trials():
    run = {"cpu_seconds": [1.0, 1.0, 2.0, 4.0], "tried": [0, 2, 4], "accuracy": [0.0, 0.4, 1.0]}
    record = {"runs": {"0": run}}

    def after(seconds):
        return record_rows.figures(record, record_rows.Pick("r", "accuracy", after=seconds))[0]

    assert [after(s) for s in (0, 1, 2, 5, 8)] == pytest.approx([0, 0.2, 0.4, 0.7, 1])
    with pytest.raises(ValueError, match=r"trained for 8.0 s, and 9 s"):
        after(9)


# --- the files ------------------------------------------------------------------------------------

WHOLE = """
[record."x"]
settings = "0"
command = "python -m course_lib x"
[[finding]]
key = "a.b"
claim = "It grows."
lesson = "03"
section = "1"
a = { record = "x", column = "y" }
b = 0
relation = "greater"
seeds = [0]
strength = "shown"
refuted_by = "less"
"""


def read(tmp_path, text):
    (tmp_path / "03.toml").write_text(text, encoding="utf-8")
    return finding_files.read(tmp_path)


def test_a_whole_entry_is_read(tmp_path):
    entries, held = read(tmp_path, 'notebooks = ["03"]\n' + WHOLE)
    assert list(entries) == ["a.b"] and held == ("03",) and entries["a.b"].b == 0


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('key = "a.b"', 'key = "ab"', "field 'key'"),
        ('claim = "It grows."', "", "field 'claim'"),
        ('strength = "shown"', 'strength = "certain"', "field 'strength'"),
        ('relation = "greater"', 'relation = "more"', "field 'relation'"),
        ("seeds = [0]", "seeds = [0, 0]", "field 'seeds'"),
        ("seeds = [0]", 'seeds = "all"', "field 'seeds'"),
        ('refuted_by = "less"', "", "field 'refuted_by'"),
        ('refuted_by = "less"', 'refuted_by = "less"\nmargin = 0', "field 'margin'"),
        ('refuted_by = "less"', 'refuted_by = "less"\nmood = 0', "field 'mood'"),
        ('record = "x", column', 'record = "z", column', r"no \[record"),
        ('column = "y"', 'column = "y", at = "last"', "field 'at'"),
        ('column = "y"', 'column = ""', "field 'column'"),
        ("b = 0", "b = true", "a table of fields"),
        ('settings = "0"', "", "field 'settings'"),
        ("[[finding]]", "[[found]]", "field 'found'"),
        ("[[finding]]", "[[finding", "not a TOML file"),
    ],
)
def test_a_malformed_entry_is_named(tmp_path, old, new, complaint):
    with pytest.raises(LedgerError, match=rf"03\.toml.*{complaint}"):
        read(tmp_path, WHOLE.replace(old, new))


def test_a_key_is_given_once(tmp_path):
    (tmp_path / "04.toml").write_text(WHOLE)
    with pytest.raises(LedgerError, match="given twice"):
        read(tmp_path, WHOLE)


def test_shares_are_written_as_percent_and_other_units_as_they_are(made, grows):
    shares = findings.recompute(grows, made[1])
    assert shares.number.startswith("73.8 % against 15.0 %: +58.8 points")
    plain = findings.recompute(replace(grows, unit="nats"), made[1])
    assert plain.number.startswith("0.738 against 0.15: +0.588 nats")
