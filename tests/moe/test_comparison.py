"""The record of lesson 2's trainings: its arithmetic, its command, and its words."""

import json

import pytest

from course_lib.errors import CourseError
from course_lib.model.accounting import count_parameters
from course_lib.moe import comparison, plots, training


def a_run(held_out, imbalance=(1.25, 1.5)):
    return {
        "held_out": held_out, "imbalance": list(imbalance), "dead": 0, "seconds": 2.0,
        "losses": [2, 1],
    }  # fmt: skip


def a_trial(rate, strength, *runs):
    return {"rate": rate, "strength": strength, "seeds": dict(zip("ab", runs, strict=False))}


def a_record():
    seeds = {
        "sparse": (1.0, 0.8),
        "dense, same active": (1.1, 0.7),
        "dense, same total": (0.5, 0.5),
    }
    short = {
        name: {str(i): a_run(x) for i, x in enumerate(seeds.get(name, (2.0, 2.5)))}
        for name in training.CONTESTANTS
    }
    tried = [a_trial(0.004, 0.01, a_run(1.0)), a_trial(0.008, 0.01, a_run(1.25))]
    return {
        "machine": "m", "date": "d", "torch": "t", "command": "c",
        "search": {str(n): dict.fromkeys(names, tried) for n, names in comparison.ENTRANTS.items()},
        "runs": {
            str(n): {name: short[name] for name in names}
            for n, names in comparison.ENTRANTS.items()
        },
    }  # fmt: skip


def test_a_lead_is_the_rivals_loss_less_ones_own_seed_by_seed():
    assert comparison.leads(a_record(), "dense, same active", 250) == pytest.approx([0.1, -0.1])
    assert comparison.leads(a_record(), "sparse", 250, "no balance") == pytest.approx([-1.0, -1.7])


def test_the_figure_and_its_words_say_the_same():
    figure, text = plots.race(a_record())
    text = " ".join(text.split())
    assert [len(trace.x) for trace in figure.data] == [2] * 5
    assert list(figure.data[1].y) == [1.1, 0.7] and set(figure.data[1].x) == {
        "dense,<br>same active"
    }
    assert len({trace.marker.symbol for trace in figure.data}) == 3
    assert "After 250 steps, mean over seeds (least to most): sparse 0.900 (0.800 to 1.000)" in text
    assert "ahead of 'dense, same active' with 1 of 2 seeds, by +0.000 on average" in text
    assert "ahead of 'dense, same total' with 0 of 2 seeds, by -0.400 on average" in text


def test_balance_and_the_search_in_words():
    words = comparison.balance_words(a_record())
    assert "none       imbalance by layer 1.25 to 1.25, 1.50 to 1.50; dead experts 0 to 0" in words
    assert "held-out loss 2.250 (2.000" in words and len(words.splitlines()) == 3
    one, two = comparison.search_words(a_record(), "dense, same active").splitlines()
    assert one.split()[3:5] == ["rate", "0.004"] and one.endswith("imbalance 1.50 <- best")
    assert "best" not in two


def test_the_best_setting_has_the_lowest_loss_and_where_strengths_were_tried_it_balances():
    lost, level = a_run(1.0, (1.1, 1.6)), a_run(1.5, (1.1, 1.2))
    rates = [a_trial(0.002, 0.01, lost, level), a_trial(0.004, 0.01, level, level)]
    assert comparison.best(rates) == (0.002, 0.01)
    assert comparison.best([*rates, a_trial(0.004, 0.1, a_run(2.0))]) == (0.004, 0.01)
    assert comparison.best([a_trial(0.002, 0.01, lost), a_trial(0.002, 0.1, lost)])[1] == 0.01


def test_the_search_tries_every_rate_and_then_strengths_at_the_best_rate(tmp_path, monkeypatch):
    losses = {2e-3: 1.0, 4e-3: 0.5, 8e-3: 2.0}
    made = []

    def quick(_out, _name, seed, _steps, rate, strength):
        made.append((seed, rate, strength))
        return a_run(losses[rate])

    monkeypatch.setattr(comparison, "one", quick)
    tried = comparison.search(tmp_path, "sparse", 250)
    assert [(t["rate"], t["strength"]) for t in tried] == [
        (0.002, 0.01), (0.004, 0.01), (0.008, 0.01), (0.004, 0.003), (0.004, 0.03),
    ]  # fmt: skip
    assert not {seed for seed, _, _ in made} & set(range(5))


def test_provenance_says_where_when_and_how():
    assert comparison.provenance(a_record()) == "Recorded d on m, torch t, seeds 0, 1: c"


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"runs": {}}', '{"runs": {"250": []}}'])
def test_a_record_that_cannot_be_read_is_one_sentence_with_the_command(tmp_path, damage):
    path = tmp_path / "moe_race.json"
    path.write_text(damage)
    with pytest.raises(CourseError, match="holds no race; `python -m course_lib moe-race"):
        comparison.load_record(path)
    with pytest.raises(CourseError, match="holds no race"):
        comparison.load_record(tmp_path / "missing.json")
    path.write_text(json.dumps(a_record()))
    assert comparison.load_record(path) == a_record()


@pytest.mark.parametrize("text", ['{"held_out": 1', "[]", "[" * 99_999])
def test_a_run_whose_figures_are_damaged_says_what_to_do(tmp_path, text):
    kept = tmp_path / "runs" / "sparse-250-0.004-0.01-0.json"
    kept.parent.mkdir()
    kept.write_text(text)
    with pytest.raises(CourseError, match=r"holds no record; .* once .* is deleted"):
        comparison.one(tmp_path, "sparse", 0, 250, 0.004, 0.01)


def test_the_command_makes_what_is_missing_once_and_writes_the_record(
    tmp_path, monkeypatch, capsys
):
    made = []

    def quick(name, seed, steps, **settings):
        made.append((name, seed, steps, *settings.values()))
        return training.compete(name, seed, 2, **settings)

    monkeypatch.setattr(comparison, "compete", quick)
    monkeypatch.setattr(training, "held_out_loss", lambda model: 1.0)
    few = {250: ("sparse", "dense, same active")}
    monkeypatch.setattr(comparison, "ENTRANTS", few)
    arguments = ["--seeds", "1", "--out", str(tmp_path), "--machine", "here"]
    assert comparison.main(arguments) == 0 and comparison.main(arguments) == 0
    assert len(made) == len(set(made)) == 2 * (5 + 3) + 2
    kept = comparison.load_record(tmp_path / "moe_race.json")
    assert kept["machine"] == "here" and kept["sizes"]["sparse"]["total"] == 314_656
    sparse = kept["runs"]["250"]["sparse"]["0"]
    assert len(sparse["imbalance"]) == 2 and min(sparse["imbalance"]) >= 1
    assert kept["runs"]["250"]["dense, same active"]["0"]["imbalance"] is None
    assert kept["command"].endswith("--seeds 1") and "moe_race.json" in capsys.readouterr().out


def test_the_rate_rises_stays_and_falls_to_nothing():
    shares = [training.schedule(step, 100) for step in range(100)]
    assert shares[0] == 0.05 and shares[19:51] == [1.0] * 32
    assert shares[75] == pytest.approx(0.5) and shares[99] == pytest.approx(0.02)


def test_the_held_out_loss_is_the_mean_over_tokens_of_puzzles_no_run_has_seen():
    model = training.small_dense(8)
    untrained = training.held_out_loss(model)
    assert untrained == training.held_out_loss(model) and 4.5 < untrained < 6.5
    held_out = {tuple(ids) for ids, _ in training._rows(training._held_out_rng(), 512)}
    for seed in range(5):
        read = [row for batch in training.batches(30, seed) for row in batch.ids.tolist()]
        assert not held_out & {tuple(ids) for ids in read}


def test_the_contestants_have_the_sizes_their_names_say():
    count = {
        name: count_parameters(one.make(seed=0).config.to_dict())
        for name, one in training.CONTESTANTS.items()
    }
    of_the_router = 2 * (16 * 64 + 16)
    assert count["sparse"].active - count["dense, same active"].active == of_the_router
    assert count["sparse"].total - count["dense, same total"].total == of_the_router
    assert count["no balance"] == count["auxiliary loss"] == count["sparse"]
