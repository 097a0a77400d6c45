"""The ledger: its schema, its values, what is derived from them, and files that are malformed."""

import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib import facts
from course_lib.errors import CourseError
from course_lib.facts import derived, ledger, model

CLAIMS = 59
SOURCES = (
    '[paper]\ntitle = "A paper"\naddress = "https://example.org/a"\nknown_on = "2026-11-24"\n'
    '[press]\ntitle = "Press"\nknown_on = "2026-11-24"\n'
)
GROUP = """[[group]]
prefix = "a"
source = "paper"
date = "2025-01"
read = "primary"
[group.facts]
b = [1.5, "%", "About b"]
"""
TABLE = """[[table]]
name = "t"
about = "A table"
key = "{row}.{column}"
source = "paper"
date = "2025"
read = "copy"
columns = ["x", "y"]
[table.rows]
r = [1, "-"]
"""
CLAIM = """[[claim]]
id = "A1"
claim = "It is so"
verdict = "wrong"
value = "it is not"
note = "Look twice."
notebook = "01_cost_reset.ipynb"
source = "paper"
date = "2025"
read = "primary"
"""


def load(folder: Path, text: str, sources: str = SOURCES, labels: str = 'x = "the X"\n'):
    (folder / "sources.toml").write_text(sources, encoding="utf-8")
    (folder / "labels.toml").write_text(labels, encoding="utf-8")
    (folder / "theme.toml").write_text(text, encoding="utf-8")
    return ledger.load(folder)


# --- schema ---------------------------------------------------------------------------------------


def test_every_claim_of_the_page_is_there():
    numbers = Counter(fact.key.removeprefix("page.")[0] for fact in facts.claims())
    assert numbers == {"a": 12, "b": 4, "c": 14, "t": 8, "d": 6, "e": 7, "f": 8}
    assert sum(numbers.values()) == CLAIMS


def test_every_fact_has_a_source_and_says_how_it_was_read():
    for fact in facts.all():
        assert fact.source.title and fact.about and fact.date, fact.key
        assert fact.read in facts.READINGS, fact.key
        assert fact.source.address or fact.read in ("second-hand", "unverified", "derived"), (
            fact.key
        )
        assert fact.where or fact.read in ("second-hand", "unverified", "copy"), fact.key


def test_every_claim_has_a_verdict_a_note_a_lesson_and_evidence_that_exists():
    for claim in facts.claims():
        assert claim.verdict in facts.VERDICTS and claim.claim and claim.note, claim.key
        assert re.fullmatch(r"0[1-7]_[a-z0-9_]+\.ipynb", claim.notebook), claim.key
        for key in claim.evidence:
            facts.fact(key)


def test_addresses_are_plain_web_pages():
    known = {"arxiv.org", "github.com", "huggingface.co", "doi.org", "openai.com"}
    known |= {"api-docs.deepseek.com", "ollama.com", "docs.sglang.io", "www.apple.com"}
    known |= {"www.nist.gov", "www.decisionfocus.com"}
    hosts = {f.source.address.split("/")[2] for f in facts.all() if f.source.address}
    assert hosts == known


def test_every_document_is_cited():
    named = set(tomllib.loads((ledger.DATA / "sources.toml").read_text(encoding="utf-8")))
    assert {fact.source.name for fact in facts.all()} == named


def test_the_data_is_toml_and_nothing_else():
    assert {path.suffix for path in ledger.DATA.rglob("*.*")} == {".toml"}


def test_the_twelve_corrections_that_matter_most_are_ranked():
    ranks = {claim.rank for claim in facts.claims()}
    assert ranks == set(range(13))


def test_what_was_not_read_says_so():
    assert facts.fact("gpu.m1_pro.memory").read == "unverified"
    assert facts.fact("faithfulness.r1_hints").read == "second-hand"
    assert "read: unverified" in facts.cite("gpu.m1_pro.memory")


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("r1.aime_2024.pass_at_1", 79.8),
        ("o1_1217.codeforces.rating", 2061),
        ("o1.codeforces.rating_o3_announcement", 1891),
        ("o1_0912.gpqa_diamond.pass_at_1", 77.3),
        ("o1_1217.gpqa_diamond.pass_at_1", 75.7),
        ("r1_zero_v1.aime_2024.pass_at_1", 71.0),
        ("r1_zero.aime_2024.pass_at_1", 77.9),
        ("dev1.aime_2024.pass_at_1", 59.0),
        ("distill_qwen_7b.aime_2024.cons_at_64", 83.3),
        ("distill_llama_70b.codeforces.rating", 1633),
        ("r1_zero_qwen_32b.aime_2024.pass_at_1", 47.0),
        ("api.r1_launch.output", 2.19),
        ("api.o1.output", 60.0),
        ("cost.v3_total.usd", 5_576_000),
        ("r1_stage_1.rl.clip_epsilon", 10),
        ("ollama.32b.size_gb", 20),
        ("safety.r1.unsafe_jailbroken", 85.9),
        ("v3.config.routed_scaling_factor", 2.5),
        ("licence.r1", "MIT"),
    ],
)
def test_spot_values(key, value):
    assert facts.value(key) == value


@pytest.mark.parametrize(
    ("key", "value", "digits"),
    [
        ("api.price_ratio.input", 27.3, 1),
        ("api.price_ratio.output", 27.4, 1),
        ("comparison.metrics", 11, 0),
        ("comparison.r1_ahead_of_o1", 5, 0),
        ("comparison.r1_behind_o1", 6, 0),
        ("comparison.aime_gap_problems", 0.18, 6),
        ("comparison.points_per_aime_problem", 3.333, 3),
        ("cost.r1_zero.gpu_hours_exact", 101_376, 0),
        ("cost.r1_stages.gpu_hours_exact", 40_960, 0),
        ("cost.r1_total.gpu_hours_exact", 147_336, 0),
        ("cost.r1_total.usd_exact", 294_672, 0),
        ("cost.r1_share_of_v3", 5.3, 1),
        ("sft.reasoning_samples", 626_933, 0),
        ("sft.samples_sum", 804_745, 0),
        ("sft.tokens_mean", 5355.3, 1),
        ("sft.tokens_total", 4.31e9, -7),
        ("odd.implied_questions", 208_000, 0),
        ("odd.listed_questions", 80_000, 0),
        ("r1_zero.rl.rollouts", 650, 0),
        ("r1_stage_1.rl.clip_lowest", -9, 0),
        ("v3.parameters.total", 671_026_419_200, 0),
        ("v3.parameters.active", 37_552_297_472, 0),
        ("v3.parameters.active_without_embedding", 36_625_618_432, 0),
        ("v3.parameters.attention_per_layer", 187_107_328, 0),
        ("v3.parameters.expert", 44_040_192, 0),
        ("v3.parameters.routed", 653.91e9, -7),
        ("v3.parameters.routed_share", 97.4, 1),
        ("v3.parameters.active_share", 5.6, 1),
        ("v3.parameters.active_attention", 11.41e9, -7),
        ("v3.parameters.active_routed_experts", 20.43e9, -7),
        ("v3.parameters.mtp", 11.61e9, -7),
        ("v3.parameters.with_mtp", 684.49e9, -7),
        ("v3.kv_bytes_per_token", 70_272, 0),
        ("v3.kv_bytes_per_token_plain", 4_997_120, 0),
        ("distill_qwen_1_5b.parameters", 1_777_088_000, 0),
        ("distill_qwen_7b.parameters", 7_615_616_512, 0),
        ("distill_llama_8b.parameters", 8_030_261_248, 0),
        ("distill_qwen_14b.parameters", 14_770_033_664, 0),
        ("distill_qwen_32b.parameters", 32_763_876_352, 0),
        ("distill_llama_70b.parameters", 70_553_706_496, 0),
        ("qwen2_5_math_1_5b.parameters", 1_543_714_304, 0),
        ("distill_qwen_32b.kv_bytes_per_token", 262_144, 0),
        ("distill_llama_70b.bf16_gb", 141.11, 2),
        ("full_model.bf16_gb", 1342, 0),
        ("full_model.a100_16_gb", 1280, 0),
        ("safety.political_refused_count", 1156, 0),
        ("v3.parameters.active_attention_share", 30, 0),
        ("memory.7b.tokens_in_8_gib", 49_000, -3),
        ("memory.14b.tokens_in_12_gib", 14_000, -3),
        ("memory.32b.tokens_in_24_gib", 18_000, -3),
    ],
)
def test_derived_values(key, value, digits):
    assert round(facts.value(key), digits) == value
    assert facts.fact(key).read == "derived" and facts.fact(key).where.startswith("from ")


@pytest.mark.parametrize(
    ("tag", "bits", "gib"),
    [
        ("1_5b", 4.95, (1.0, 1.1, 1.2, 1.5, 1.9, 4.5)),
        ("7b", 4.94, (4.4, 4.6, 4.8, 5.3, 6.1, 11.4)),
        ("8b", 5.08, (4.8, 5.4, 6.0, 7.1, 9.3, 22.8)),
        ("14b", 4.87, (8.4, 9.1, 9.9, 11.4, 14.4, 32.4)),
        ("32b", 4.88, (18.6, 19.6, 20.6, 22.6, 26.6, 50.6)),
        ("70b", 4.88, (40.0, 41.3, 42.5, 45.0, 50.0, 80.0)),
        ("671b", 4.82, (376.3, 376.5, 376.8, 377.3, 378.4, 384.8)),
    ],
)
def test_files_and_caches_of_ollamas_tags(tag, bits, gib):
    keys = [f"memory.{tag}.file_gib", *(f"memory.{tag}.context_{c}" for c in derived.CONTEXTS)]
    assert tuple(round(facts.value(key), 1) for key in keys) == gib
    assert round(facts.value(f"ollama.{tag}.bits_per_weight"), 2) == bits


def test_the_papers_own_sums_hold():
    for column in ("gpu_hours", "usd"):
        r1 = [
            facts.value(f"cost.{part}.{column}") for part in ("r1_zero", "r1_sft_data", "r1_stages")
        ]
        v3 = ("v3_pretraining", "v3_context_extension", "v3_post_training")
        assert sum(r1) == facts.value(f"cost.r1_total.{column}")
        assert sum(facts.value(f"cost.{part}.{column}") for part in v3) == facts.value(
            f"cost.v3_total.{column}"
        )
    index = facts.value("r1.usamo_2025.index_computed")
    assert index == pytest.approx(facts.value("r1.usamo_2025.index"), abs=0.05)


# --- asking ---------------------------------------------------------------------------------------


def test_an_unknown_key_suggests_the_nearest():
    with pytest.raises(facts.UnknownFact) as caught:
        facts.value("r1.aime_2024.pass1")
    assert "r1.aime_2024.pass_at_1" in str(caught.value)
    assert isinstance(caught.value, KeyError) and str(caught.value)[0] != '"'
    with pytest.raises(facts.UnknownFact, match=r"no table .mains.; there are .*main"):
        facts.table("mains")


@pytest.mark.parametrize("key", ["", "zzzzzzzzzzzz", None, 3, ["r1"], "r1." * 1000])
def test_any_nonsense_is_an_unknown_key(key):
    with pytest.raises(facts.UnknownFact):
        facts.fact(key)


def test_a_table_has_its_rows_columns_and_gaps():
    main = facts.table("main")
    assert main.shape == (21, 6)
    assert main.loc["AIME 2024, pass@1", "DeepSeek-R1"] == 79.8
    assert main.isna().sum().sum() == 10
    raw = facts.table("stages", labels=False)
    assert raw.loc["codeforces.rating", "dev3"] == 1746
    assert list(raw.columns) == ["r1_zero", "dev1", "dev2", "dev3", "r1"]


def test_every_table_can_be_asked_for():
    for name in facts.tables():
        assert not facts.table(name).empty


def test_a_frame_holds_what_starts_with_the_prefix():
    frame = facts.frame("api.")
    assert set(frame.loc["api.o1.input", ["value", "unit"]]) == {15.0, "USD per million tokens"}
    assert all(key.startswith("api.") for key in frame.index)
    assert len(facts.frame()) == len(facts.all())


def test_a_citation_leads_to_the_place():
    line = facts.cite("r1.aime_2024.pass_at_1")
    assert "Table 4" in line and "https://arxiv.org/abs/2501.12948v1" in line and "primary" in line


def test_asking_for_a_value_needs_no_heavy_library():
    code = (
        "import sys; from course_lib import facts; facts.value('v3.parameters.total');"
        "print([m for m in ('pandas', 'numpy', 'torch', 'plotly', 'IPython') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# --- malformed files ------------------------------------------------------------------------------


def test_a_good_file_is_read(tmp_path):
    book = load(tmp_path, GROUP + TABLE + CLAIM)
    assert book.facts["a.b"].value == 1.5 and book.facts["a.b"].source.title == "A paper"
    assert book.facts["r.x"].about == "r: the X"
    assert book.tables["t"].keys == (("r.x", None),)
    assert book.facts["page.a1"].verdict == "wrong"


def broken(text, old, new):
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = [", r"theme\.toml: not a TOML file"),
        ("[group]\nx = 1", r"theme\.toml, group: only \[\[group\]\]"),
        ("[[fact]]\nx = 1", r"theme\.toml, fact: only"),
        ("group = [3]", r"theme\.toml, group 1: expected a table of fields, got 3"),
        (broken(GROUP, '"paper"', '"papers"'), r"theme\.toml, a\.b, field 'source': 'papers'"),
        (broken(GROUP, 'source = "paper"\n', ""), r"theme\.toml, a\.b, field 'source': must be"),
        (broken(GROUP, '"paper"', '"press"'), r"a\.b, field 'read': 'primary' needs a source with"),
        (broken(GROUP, '"primary"', '"eagerly"'), r"a\.b, field 'read': 'eagerly' is not one of"),
        (broken(GROUP, '"2025-01"', '"January"'), r"a\.b, field 'date': 'January' is not YYYY"),
        (broken(GROUP, "1.5", "nan"), r"a\.b, field 'value': must be a number"),
        (broken(GROUP, "1.5", "inf"), r"a\.b, field 'value': must be a number"),
        (broken(GROUP, "1.5", '""'), r"a\.b, field 'value': must be a number"),
        (broken(GROUP, "1.5", "[1]"), r"a\.b, field 'value': must be a number"),
        (broken(GROUP, ', "About b"', ""), r"group 1, field 'b': a short fact is"),
        (broken(GROUP, '"About b"', '" "'), r"a\.b, field 'about': must be text"),
        (broken(GROUP, "b =", "B ="), r"a\.B, field 'key': 'a\.B' must be lower-case"),
        (broken(GROUP, "date =", "dat ="), r"group 1, field 'dat': unknown; allowed are"),
        (broken(GROUP, '[1.5, "%", "About b"]', "{ valu = 1 }"), r"a\.b, field 'valu': unknown"),
        (GROUP + GROUP.replace("1.5", "2.5"), r"theme\.toml, a\.b, field 'value': 2\.5 here, but"),
        (GROUP + GROUP, r"a\.b, field 'value'"),
        (broken(TABLE, "[1, ", "[1, 2, "), r"table t, field 'r': must be a list of 2 cells"),
        (broken(TABLE, "{row}.", ""), r"table t, field 'key': must hold \{row\} and"),
        (broken(TABLE, '"y"]', "3]"), r"table t, field 'columns': must be a list of texts"),
        (TABLE + TABLE, r"table t, field 'name': given twice"),
        (TABLE + TABLE.replace('"t"', '"u"').replace("[1,", "[2,"), r"r\.x, field 'value': 2 here"),
        (broken(CLAIM, '"wrong"', '"so so"'), r"claim A1, field 'verdict': 'so so' is not one of"),
        (broken(CLAIM, 'note = "Look twice."\n', ""), r"claim A1, field 'note': must be text"),
        (broken(CLAIM, 'value = "it is not"\n', ""), r"claim A1, field 'value': must be"),
        (CLAIM + "rank = true\n", r"claim A1, field 'rank': must be a whole number"),
        (CLAIM + "evidence = 3\n", r"claim A1, field 'evidence': must be a list of texts"),
        (CLAIM + 'evidence = ["a.z"]\n', r"page\.a1, field 'evidence': 'a\.z' is no key"),
    ],
)
def test_a_malformed_file_names_file_entry_and_field(tmp_path, text, says):
    with pytest.raises(facts.LedgerError, match=says) as caught:
        ledger.check_evidence(load(tmp_path, text).facts)
    assert str(caught.value).startswith("theme.toml")


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org",
        "file:///etc/passwd",
        "https://x",
        "javascript:alert(1)",
        "https://a.b/ c",
    ],
)
def test_a_source_with_another_address_than_https_is_refused(tmp_path, address):
    with pytest.raises(facts.LedgerError, match=r"sources\.toml, paper, field 'address'"):
        load(tmp_path, GROUP, sources=f'[paper]\ntitle = "A"\naddress = "{address}"\n')


def test_missing_or_odd_side_files_are_named(tmp_path):
    with pytest.raises(facts.LedgerError, match=r"sources\.toml: cannot be read"):
        ledger.load(tmp_path)
    with pytest.raises(facts.LedgerError, match=r"labels\.toml, x: a label must be text"):
        load(tmp_path, GROUP, labels="x = 3")
    (tmp_path / "labels.toml").write_text('x = "the X"', encoding="utf-8")
    (tmp_path / "theme.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(facts.LedgerError, match=r"theme\.toml: not a TOML file"):
        ledger.load(tmp_path)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = [
    "prefix",
    "facts",
    "name",
    "rows",
    "columns",
    "key",
    "source",
    "date",
    "read",
    "value",
    "id",
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=8) | JUNK)
def test_any_junk_is_a_ledger_error_and_no_other(data):
    reader = model.Reader(
        "f.toml", {"paper": model.Source("paper", "A paper", "", "2026-11-24")}, {}
    )
    for read in (
        lambda: list(reader.group(1, data)),
        lambda: reader.claim(1, data),
        lambda: reader.table(1, data),
    ):
        try:
            read()
        except facts.LedgerError as error:
            assert str(error).startswith("f.toml, ")


# --- as known on ----------------------------------------------------------------------------------


def test_every_entry_says_when_it_was_last_seen_and_none_before_its_source_said_so():
    for fact in facts.all():
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", fact.known_on) and fact.known_on >= fact.date


def test_a_value_seen_before_its_source_said_so_is_refused():
    reader = model.Reader("f.toml", {"paper": model.Source("paper", "P", "", "2025-01-01")}, {})
    group = {"prefix": "a", "source": "paper", "date": "2026", "read": "copy"}
    group |= {"source": "paper", "read": "derived", "facts": {"b": [1, "", "B"]}}
    with pytest.raises(model.LedgerError, match=r"a\.b, field 'known_on': 2025-01-01 is before"):
        list(reader.group(1, group))
    (fact,) = reader.group(1, group | {"known_on": "2026-02-01"})
    assert fact.known_on == "2026-02-01"
    with pytest.raises(model.LedgerError, match="known_on"):
        model.read_source("sources.toml", "x", {"title": "X"})
    with pytest.raises(model.LedgerError, match="must be a day"):
        model.read_source("sources.toml", "x", {"title": "X", "known_on": "2026"})


def test_what_was_not_seen_for_a_year_is_reported(capsys):
    from course_lib.facts import stale

    assert stale.main(["--stale", "--on", "2026-11-27"]) == 0
    now = capsys.readouterr().out
    assert "not seen for more than a year: 0" in now and "api.r1_launch.output: said 2025-01" in now
    assert stale.main(["--stale", "--on", "2027-12-01", "api."]) == 0
    assert "api.o1.output: as known on 2026-11-26" in capsys.readouterr().out
    assert stale.main(["api.v4"]) == 0
    assert "api.v4_flash.output = 0.28" in capsys.readouterr().out
    with pytest.raises(CourseError, match="--on"):
        stale.main(["--stale", "--on", "soon"])
    with pytest.raises(CourseError, match="--on is the day from which --stale counts"):
        stale.main(["api.v4", "--on", "2027-12-01"])
