"""The stage explorer, its recipes and its pictures, over a record made up for the purpose."""

import pytest

from course_lib.pipeline import stage_plots
from course_lib.pipeline import stage_records as records
from course_lib.pipeline.stage_records import RECIPES, Recipe
from course_lib.widgets import stages


def made_up():
    """A record of two seeds with four models, whose figures are told from the model's name."""
    names = ("base", "zero", "dev1", "r1")
    runs = []
    for seed in (0, 1):
        figures = {
            name: {key: (i + 1) / 8 + seed / 100 for key in records.FIGURES}
            for i, name in enumerate(names)
        }
        figures["base"]["consistency"] = None
        overuse = {"step": [1, 2, 3], "reward": [0.0, 1.0, 2.0]}
        overuse |= {"tried": [0, 3], "accuracy": [0.9, 0.2]}
        counts = {"sampled": 10, "kept": 6, "rejected": {"wrong answer": 3, "repeats": 1}}
        run = {"seed": seed, "figures": figures, "overuse": overuse}
        runs.append(run | {"cold_start": counts, "rejection": counts})
    traces = {
        name: [{"prompt": f"puzzle {i}", "completion": f"<think> {name} {i}"} for i in range(3)]
        for name in names
    }
    head = {"machine": "a made-up machine", "date": "2026-01-01", "command": "none"}
    return {**head, "config": {}, "runs": runs, "traces": traces, "answers": []}


@pytest.fixture
def explorer(monkeypatch):
    record = made_up()
    monkeypatch.setattr(stages, "_record", lambda: record)
    shown = stages.StageExplorer("test")
    shown.reset()
    return shown


def test_recipes_are_all_different_and_found_again():
    assert len(set(RECIPES.values())) == len(RECIPES)
    for name, recipe in RECIPES.items():
        assert records.find(recipe, RECIPES) == name
        assert recipe.reward in records.REWARDS and recipe.preference in records.PREFERENCES


def test_only_what_was_run_is_found_and_the_nearest_named():
    assert records.find(RECIPES["dev3"], ["zero", "r1"]) is None
    assert records.nearest(RECIPES["dev3"], ["base", "zero", "r1"]) == "r1"
    assert records.nearest(RECIPES["dev1"], ["r1", "base"]) == "base"
    with pytest.raises(ValueError, match="nothing is recorded"):
        records.nearest(RECIPES["dev1"], ["unheard of"])


def test_a_recipe_says_its_stages_in_order():
    assert RECIPES["base"].words() == "base"
    assert RECIPES["r1"].words() == (
        "base → cold start → RL (accuracy + format + language) → "
        "rejection sampling and SFT of the base → RL with preferences in its last part"
    )
    assert RECIPES["zero"].words() == "base → RL (accuracy)"
    assert RECIPES["zero_rules"].words() == (  # nobody ran these three from the base
        "base → RL (accuracy) → RL (accuracy + format + language)"
    )
    assert "for long" in Recipe(False, "none", False, "alone and long").words()


def test_the_explorer_starts_with_zero_and_r1_side_by_side(explorer):
    assert explorer.model("left") == "zero" and explorer.model("right") == "r1"
    html = explorer.picture()
    assert "&lt;think&gt; zero 0" in html and "&lt;think&gt; r1 0" in html
    assert "25.5 ± 0.7" in html and "50.5 ± 0.7" in html  # accuracy of both
    assert "a made-up machine, 2 seeds" in html
    assert "accuracy, % 25.5 ± 0.7" in explorer.text()


def test_switching_shows_another_row_and_another_puzzle(explorer):
    explorer.set(right_reward="none", right_sft=False, right_preference="none", trace=3)
    assert explorer.model("right") == "dev1"
    assert "&lt;think&gt; dev1 2" in explorer.picture() and "puzzle 2" in explorer.picture()
    assert "They say to puzzle 2: left, <think> zero 2; right, <think> dev1 2." in explorer.text()


def test_a_combination_nobody_ran_says_so(explorer):
    explorer.set(left_sft=True)
    assert explorer.model("left") is None
    assert "was not run; the nearest that was: base → RL (accuracy)." in explorer.text()
    assert "not run" in explorer.picture()


def test_figures_without_a_value_are_a_dash(explorer):
    explorer.set(left_reward="none")
    assert explorer.model("left") == "base"
    assert "–" in explorer.text()


def test_the_twin_holds_the_table_and_the_words(explorer):
    twin = explorer.static_html()
    assert explorer.picture() in twin and "R1" not in explorer.title
    assert "Left: cold start: no" in twin


def test_the_table_has_a_row_a_figure():
    table = records.table(made_up(), {"zero": "R1-Zero", "r1": "R1"})
    assert table.loc["accuracy, %", "R1"] == "50.5 ± 0.7"
    assert len(table) == len(records.FIGURES)
    assert "on a made-up machine, 2 seeds: none" in records.said(made_up())


def test_the_sifting_picture_adds_up():
    figure, words = stage_plots.sifted(made_up()["runs"][0]["rejection"], "title")
    bar = figure.data[0]
    assert list(bar.x) == [10, -3, -1, 6] and sum(bar.x[:3]) == bar.x[3]
    assert "10 answers 6 are kept (60%)" in words and "wrong answer 3, repeats 1" in words


def test_the_stages_picture_leaves_out_what_is_missing():
    figure, words = stage_plots.stages(made_up())
    accuracy, consistency = figure.data[:2]
    assert list(accuracy.x) == ["base", "R1-Zero", "Dev1", "R1"]
    assert accuracy.y[0] == pytest.approx(13.0) and next(iter(consistency.x)) == "R1-Zero"
    assert "accuracy, %: base 13.0 ± 0.7" in words


def test_the_picture_of_the_long_runs_has_a_line_a_seed_and_says_the_means():
    record = made_up()
    for run in record["runs"]:
        for i, name in enumerate(("rules_for_long", "overuse"), 1):
            figures = {"preference": float(i), "polite": i / 4, "chat_right": 1 - i / 4}
            run["figures"][name] = figures
    figure, words = stage_plots.hacked(record)
    assert len(figure.data) == 2 * 3
    assert list(figure.data[2].y) == [50, 25, 50]  # polite, first seed: R1, rules, reward model
    assert "conversation right, %: R1 50.5 ± 0.7, rules, for long 75.0 ± 0.0" in words
    with pytest.raises(ValueError, match="--variants"):
        stage_plots.hacked(made_up())


def test_differences_are_taken_seed_by_seed():
    record = made_up()
    record["runs"][1]["figures"]["r1"]["accuracy"] += 0.25
    found = records.differences(record, "r1", "dev1")
    assert found.loc["accuracy, %"].round(6).tolist() == [12.5, 37.5]
    assert list(found.columns) == ["seed 0", "seed 1"]
