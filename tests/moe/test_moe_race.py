"""The record of lesson 2's trainings: its arithmetic, its command, and its words."""

import json

import pytest

from course_lib.errors import CourseError
from course_lib.model import router
from course_lib.moe import moe_lab, moe_plots, moe_race


def a_run(held_out):
    return {"held_out": held_out, "imbalance": 1.25, "dead": 0, "seconds": 2.0, "losses": [2, 1]}


def a_record():
    seeds = {
        "sparse": (1.0, 0.8),
        "dense, same active": (1.1, 0.7),
        "dense, same total": (0.5, 0.5),
    }
    short = {
        name: {str(i): a_run(x) for i, x in enumerate(seeds.get(name, (2.0, 2.5)))}
        for name in moe_lab.CONTESTANTS
    }
    long = {name: short[name] for name in ("sparse", "dense, same active")}
    rates = {"sparse": {"0.004": a_run(1.0)}, "dense, same active": {"0.004": a_run(1.25)}}
    return {
        "machine": "m", "date": "d", "torch": "t", "command": "c", "rates": rates,
        "runs": {"250": short, "1000": long},
    }  # fmt: skip


def test_a_lead_is_the_rivals_loss_less_ones_own_seed_by_seed():
    assert moe_race.leads(a_record(), "dense, same active", 250) == pytest.approx([0.1, -0.1])
    assert moe_race.leads(a_record(), "sparse", 250, "no balance") == pytest.approx([-1.0, -1.7])


def test_the_figure_and_its_words_say_the_same():
    figure, text = moe_plots.race(a_record())
    text = " ".join(text.split())
    assert [len(trace.x) for trace in figure.data] == [2] * 5
    assert list(figure.data[1].y) == [1.1, 0.7] and set(figure.data[1].x) == {"dense, same active"}
    assert len({trace.marker.symbol for trace in figure.data}) == 3
    assert "After 250 steps, mean over seeds (least to most): sparse 0.900 (0.800 to 1.000)" in text
    assert "ahead of 'dense, same active' with 1 of 2 seeds, by +0.000 on average" in text
    assert "ahead of 'dense, same total' with 0 of 2 seeds, by -0.400 on average" in text


def test_balance_and_rates_in_words():
    assert "none       imbalance 1.25 to 1.25, dead experts 0 to 0, held-out loss 2.250 (2.000" in (
        moe_race.balance_words(a_record())
    )
    assert moe_race.rate_words(a_record()).splitlines()[1].split() == [
        "dense,", "same", "active", "0.004:", "1.250"
    ]  # fmt: skip


def test_provenance_says_where_when_and_how():
    assert moe_race.provenance(a_record()) == "Recorded d on m, torch t, seeds 0, 1: c"


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"runs": {}}', '{"runs": {"250": []}}'])
def test_a_record_that_cannot_be_read_is_one_sentence_with_the_command(tmp_path, damage):
    path = tmp_path / "moe_race.json"
    path.write_text(damage)
    with pytest.raises(CourseError, match="holds no race; `python -m course_lib moe-race"):
        moe_race.load_record(path)
    with pytest.raises(CourseError, match="holds no race"):
        moe_race.load_record(tmp_path / "missing.json")
    path.write_text(json.dumps(a_record()))
    assert moe_race.load_record(path) == a_record()


def test_the_command_makes_what_is_missing_once_and_writes_the_record(
    tmp_path, monkeypatch, capsys
):
    made = []

    def quick(name, seed, steps, rate):
        made.append((name, seed, steps, rate))
        return moe_lab.compete(name, seed, 2, rate)

    monkeypatch.setattr(moe_race, "compete", quick)
    few = {name: moe_lab.CONTESTANTS[name] for name in ("sparse", "dense, same active")}
    monkeypatch.setattr(moe_race, "CONTESTANTS", few)
    arguments = ["--seeds", "1", "--long-seeds", "1", "--out", str(tmp_path), "--machine", "here"]
    assert moe_race.main(arguments) == 0 and moe_race.main(arguments) == 0
    assert len(made) == len(set(made)) == 2 + 2 + 4  # the rest of the rates is the race itself
    kept = moe_race.load_record(tmp_path / "moe_race.json")
    assert kept["machine"] == "here" and kept["sizes"]["sparse"]["total"] == 314_656
    sparse = kept["runs"]["250"]["sparse"]["0"]
    assert sparse["imbalance"] >= 1 and len(sparse["losses"]) > 1
    assert kept["runs"]["250"]["dense, same active"]["0"]["imbalance"] is None
    assert "moe_race.json" in capsys.readouterr().out


def test_no_seeds_are_refused(tmp_path):
    with pytest.raises(CourseError, match="at least 1"):
        moe_race.main(["--seeds", "0", "--out", str(tmp_path)])


def test_the_rate_rises_stays_and_falls_to_nothing():
    shares = [moe_lab.schedule(step, 100) for step in range(100)]
    assert shares[0] == 0.05 and shares[19:51] == [1.0] * 32
    assert shares[75] == pytest.approx(0.5) and shares[99] == pytest.approx(0.02)


def test_the_held_out_loss_is_the_mean_over_tokens_of_puzzles_no_run_has_seen():
    model = moe_lab.small_dense(8)
    untrained = moe_lab.held_out_loss(model)
    assert untrained == moe_lab.held_out_loss(model) and 4.5 < untrained < 6.5
    held_out = {tuple(ids) for ids, _ in moe_lab._rows(moe_lab._held_out_rng(), 512)}
    for seed in range(5):
        read = [row for batch in moe_lab.batches(30, seed) for row in batch.ids.tolist()]
        assert not held_out & {tuple(ids) for ids in read}


def test_the_contestants_have_the_sizes_their_names_say():
    count = {
        name: router.count_parameters(one.make(seed=0).config.to_dict())
        for name, one in moe_lab.CONTESTANTS.items()
    }
    of_the_router = 2 * (16 * 64 + 16)
    assert count["sparse"].active - count["dense, same active"].active == of_the_router
    assert count["sparse"].total - count["dense, same total"].total == of_the_router
    assert count["no balance"] == count["auxiliary loss"] == count["sparse"]
