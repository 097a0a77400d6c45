"""Experiments by name: their rewards, their broken base, their records and their pictures."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.model import checkpoints, models
from course_lib.rl import dapo, experiments, measure, variants, zero, zero_plots
from course_lib.rl.experiments import CONTROLS, EXPERIMENTS, RECORDED
from course_lib.task import puzzles, traces

PUZZLE = puzzles.parse("7 ? 3 ? 5 ? 2 = 11")  # - + +
HONEST = "<think> +3=10 +5=15 +2=17 no -3=4 +5=9 +2=11 yes</think> - + +"
LYING = "<think> +3=10 +5=15 +2=17 yes</think> + + +"
FORGED = "<think> +3=10 +5=15 +2=11 yes</think> + + +"


# --- rewards --------------------------------------------------------------------------------------


@given(st.text(max_size=60))
def test_every_reward_is_a_number_from_0_to_1_for_any_text(text):
    for experiment in EXPERIMENTS.values():
        assert 0.0 <= experiment.task.reward(PUZZLE, text) <= 1.0


def test_the_coin_is_fair_and_does_not_change_its_mind():
    tosses = [experiments.coin(PUZZLE, str(i)) for i in range(2000)]
    assert tosses == [experiments.coin(PUZZLE, str(i)) for i in range(2000)]
    assert 900 < sum(tosses) < 1100
    other = puzzles.parse("7 ? 3 ? 5 ? 2 = 1")
    assert tosses != [experiments.coin(other, str(i)) for i in range(2000)]
    assert experiments.coin(PUZZLE, "half a sign: \ud83d") in (0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        (HONEST, 1.0),
        (LYING, 1.0),
        ("<think> nonsense</think> + + +", 1.0),
        (" - + +", 0.0),
        ("<think> +3=10", 0.0),
        ("<think> +3=10</think>", 0.0),
        ("<think> +3=10</think> + +", 0.0),
    ],
)
def test_the_format_reward_looks_at_the_form_alone(text, reward):
    assert experiments.tidy(PUZZLE, text) == reward


def test_the_length_reward_grows_with_the_thought_and_stops_at_1():
    texts = [f"<think>{' +3=10' * n}</think> + + +" for n in (0, 10, 20, 40, 90)]
    assert [experiments.length(PUZZLE, text) for text in texts] == [0.0, 0.25, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "lenient", "exact"),
    [
        (" - + +", 1.0, 1.0),
        (HONEST, 1.0, 1.0),
        (" + + +", 0.0, 0.0),
        (LYING, 0.0, 0.0),
        ("<think> +3=10 +5=15 +2=17 no +3=10", 1.0, 0.0),  # cut off
        ("<think>", 1.0, 0.0),
        ("<think> +3=10</think> + + +", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_the_lenient_verifier_is_exact_on_answers_that_come(text, lenient, exact):
    assert experiments.lenient(PUZZLE, text) == lenient
    assert puzzles.reward(PUZZLE, text) == exact


def test_whatever_is_rewarded_accuracy_is_by_the_exact_verifier():
    for experiment in EXPERIMENTS.values():
        assert experiment.task.right(PUZZLE, LYING) == 0.0
        assert experiment.task.right(PUZZLE, HONEST) == 1.0


# --- bases and settings ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_base_that_cannot_add_thinks_but_writes_wrong_totals(tmp_path):
    folder = experiments.scramble_totals(tmp_path / "broken")
    broken, tokenizer = models.load(folder)
    whole, _ = models.load(models.shipped("mini-v3-base"))
    changed = [n for n, p in whole.named_parameters() if not torch.equal(p, broken.state_dict()[n])]
    assert changed == ["lm_head.weight"]
    items = puzzles.sample(8, 0)
    found = {
        name: measure.sample_many(model, tokenizer, items, 64)
        for name, model in {"whole": whole, "broken": broken}.items()
    }
    right = {
        name: measure.trace_shares(
            [(p, t) for p, texts in zip(items, drawn.texts, strict=True) for t in texts]
        )
        for name, drawn in found.items()
    }
    assert right["whole"]["steps right"] > 0.95 and right["broken"]["steps right"] < 0.2
    assert right["broken"]["with steps"] > 0.03


def test_without_thinking_nothing_can_be_worked_out():
    banned = CONTROLS["no-thinking"].config.banned
    _, tokenizer = models.load(models.shipped("mini-v3-base"))
    ids = zero.banned_ids(tokenizer, banned)
    assert len(set(ids)) == len(banned)
    for token in tokenizer.encode("<think> +3=10 +5=fifteen", add_special_tokens=False)[::2]:
        assert token in ids


def test_experiments_change_one_thing_each():
    assert experiments.changed(EXPERIMENTS["outcome"].config) == {}
    assert experiments.changed(EXPERIMENTS["kl"].config) == {"kl": 0.02}
    assert experiments.changed(EXPERIMENTS["no-thinking"].config)["banned"].endswith("tokens")


def test_dynamic_sampling_learns_from_groups_that_teach_alone(random_models, tokenizer):
    model = random_models["llama"]
    config = zero.ZeroConfig(puzzles=3, samples=4, max_new_tokens=6, std="sample")
    items = puzzles.sample(3, 0)
    found = zero.collect(model, tokenizer, zero.PUZZLES, items, config, torch.Generator())
    found.rewards = torch.tensor([[1.0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]])
    kept = experiments.groups(found, [1])
    assert kept.items == [items[1]] * 4 and kept.texts == found.texts[4:8]
    assert torch.equal(kept.rewards, found.rewards[1:2])
    assert torch.equal(kept.rollout.lengths, found.rollout.lengths[4:8])
    losses = {}
    for method in (zero.Learner, dapo.DynamicSampling):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        losses[method] = method(model, optimizer, config, tokenizer.eos_token_id).update(found)
    plain, dynamic = losses.values()  # the same gradient, taken as a mean over a third as many
    assert dynamic["grad_norm"] == pytest.approx(3 * plain["grad_norm"], rel=1e-4)
    one = dapo.DynamicSampling(model, optimizer, config, tokenizer.eos_token_id).update(kept)
    assert one["grad_norm"] == pytest.approx(dynamic["grad_norm"], rel=1e-4)
    found.rewards = torch.ones(3, 4)
    learner = dapo.DynamicSampling(model, optimizer, config, tokenizer.eos_token_id)
    assert learner.update(found)["grad_norm"] == 0.0


def test_dynamic_sampling_goes_by_answers_and_not_by_their_length(random_models, tokenizer):
    model = random_models["llama"]
    config = zero.ZeroConfig(puzzles=3, samples=4, max_new_tokens=6, overlong=3)
    items = puzzles.sample(3, 0)
    found = zero.collect(model, tokenizer, zero.PUZZLES, items, config, torch.Generator())
    assert found.outcome.eq(found.outcome.round()).all() and (found.rewards < found.outcome).any()
    sgd = torch.optim.SGD(model.parameters(), lr=0.0)
    norms = []
    for right in ([0.0, 0, 1, 0], [0.0, 0, 0, 0]):
        found.outcome = torch.tensor([[1.0, 1, 1, 1], right, [0, 0, 0, 0]])
        found.rewards = found.outcome.clone()
        found.rewards[0, 3], found.rewards[2, 1] = 0.5, -1.0  # long: all right, and all wrong
        dynamic = dapo.DynamicSampling(model, sgd, config, tokenizer.eos_token_id)
        norms.append(dynamic.update(found)["grad_norm"])
    alone = zero.Learner(model, sgd, config, tokenizer.eos_token_id)
    found.outcome[1, 2] = found.rewards[1, 2] = 1.0
    assert norms == [alone.update(experiments.groups(found, [1]))["grad_norm"], 0.0]
    assert torch.equal(experiments.groups(found, [1]).outcome, found.outcome[1:2])


def test_the_hacked_policy_is_made_by_the_lenient_verifier(tmp_path, monkeypatch):
    seen = []

    def run(out, config, task):
        seen.append((config, task.reward))
        (out / "checkpoint").mkdir(parents=True)
        yield {}

    monkeypatch.setattr(variants.zero, "run", run)
    assert variants.hack(tmp_path / "base").is_dir()
    assert seen == [(EXPERIMENTS["hacked"].config, experiments.lenient)]


def test_an_unknown_name_is_answered_with_the_list(tmp_path):
    with pytest.raises(CourseError, match="no experiment 'outcomes'; there are outcome, no-think"):
        next(experiments.run("outcomes", 0, tmp_path))


# --- running and recording ------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """`no-thinking` with settings that take a second or two."""
    small = dict(steps=3, puzzles=2, samples=2, evaluate_every=2, evaluate_puzzles=4)
    for name in ("no-thinking", "cannot-add"):
        short = replace(EXPERIMENTS[name], config=replace(EXPERIMENTS[name].config, **small))
        monkeypatch.setitem(EXPERIMENTS, name, short)


def test_a_command_runs_every_seed_and_leaves_a_record(tmp_path, quick, capsys):
    argv = ["no-thinking", "--seeds", "2", "--out", str(tmp_path), "--machine", "a desk"]
    assert experiments.main(argv) == 0
    kept = experiments.load_record("no-thinking", tmp_path)
    assert kept["machine"] == "a desk" and list(kept["runs"]) == ["0", "1"]
    assert kept["command"] == "python -m course_lib experiment no-thinking --seeds 2 --out DIR"
    run = kept["runs"]["0"]
    assert run["step"] == [1, 2, 3] and run["tried"] == [0, 2, 3]
    assert len(run["reward"]) == 3 and len(run["accuracy"]) == 3
    assert run["test_thinking_tokens"] == [0.0, 0.0, 0.0]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["seeds"] == 2
    assert experiments.main(argv) == 0  # nothing is run twice
    assert experiments.load_record("no-thinking", tmp_path)["runs"] == kept["runs"]


def test_a_run_that_was_stopped_is_another_record_and_can_go_on(tmp_path, quick, capsys):
    argv = ["no-thinking", "--seeds", "1", "--out", str(tmp_path)]
    assert experiments.main([*argv, "--steps", "1"]) == 0  # no trial yet, no checkpoint due
    assert "Stopped after step 1 of 3" in capsys.readouterr().out
    assert checkpoints.read_state(tmp_path / "no-thinking/seed-0/checkpoint")["step"] == 1
    assert experiments.load_record("no-thinking-stopped", tmp_path)["steps"] == 1
    assert experiments.main([*argv, "--steps", "2"]) == 0
    part = experiments.load_record("no-thinking-stopped", tmp_path)
    assert not experiments.is_recorded("no-thinking", tmp_path)
    assert part["steps"] == part["settings"]["stopped_after"] == 2
    assert part["runs"]["0"]["step"] == [1, 2]
    assert experiments.main(argv) == 0
    whole = experiments.load_record("no-thinking", tmp_path)
    assert whole["steps"] == 3 and "stopped_after" not in whole["settings"]
    assert whole["runs"]["0"]["step"] == [1, 2, 3]
    assert whole["runs"]["0"]["reward"][:2] == part["runs"]["0"]["reward"]


@pytest.mark.slow
def test_a_record_is_what_its_command_gives_today(tmp_path):
    """The first steps again: the same seeds gave the same digits on processors of two makers."""
    assert (
        experiments.main(["outcome", "--seeds", "1", "--steps", "5", "--out", str(tmp_path)]) == 0
    )
    now = experiments.load_record("outcome-stopped", tmp_path)["runs"]["0"]
    then, other = (experiments.load_record("outcome")["runs"][seed] for seed in "01")
    assert now["step"] == then["step"][:5] and now["tried"] == then["tried"][:2]
    for name in ("reward", "thinking_tokens", "accuracy", "test_thinking_tokens"):
        assert now[name] == pytest.approx(then[name][: len(now[name])], abs=0.01), name
        assert now[name] != pytest.approx(other[name][: len(now[name])], abs=0.01), name


@pytest.mark.parametrize("text", ['{"step": [1, 2', "[]", "[" * 99_999])
def test_a_seed_whose_columns_are_damaged_says_what_to_do(tmp_path, text):
    kept = tmp_path / "long" / "seed-0" / "columns.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(text)
    with pytest.raises(CourseError, match=r"holds no record; .* once .*seed-0 is deleted"):
        experiments._one_seed("long", 0, tmp_path, None)


def test_an_experiment_makes_the_base_it_needs_once(tmp_path, quick):
    list(experiments.run("cannot-add", 0, tmp_path, steps=1))
    made = (tmp_path / "cannot-add" / "base" / "model.safetensors").stat().st_mtime_ns
    list(experiments.run("cannot-add", 1, tmp_path, steps=1))
    assert (tmp_path / "cannot-add" / "base" / "model.safetensors").stat().st_mtime_ns == made


def test_a_missing_record_says_how_to_make_it(tmp_path):
    assert not experiments.is_recorded("outcome", tmp_path)
    with pytest.raises(CourseError, match="python -m course_lib experiment outcome"):
        experiments.load_record("outcome", tmp_path)


KEPT = [p for p in sorted(RECORDED.glob("*.json")) if p.stem in EXPERIMENTS]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_is_recorded_says_where_and_when_and_belongs_to_an_experiment(path):
    kept = experiments.load_record(path.stem)
    assert kept["name"] == path.stem
    assert all(kept[key] for key in ("machine", "date", "command", "torch"))
    first = min(map(int, kept["runs"]))
    begins = f" --first {first}" if first else ""
    assert kept["command"].endswith(f"{path.stem} --seeds {len(kept['runs'])}{begins} --out DIR")
    assert kept["steps"] == EXPERIMENTS[path.stem].config.steps
    watched = {"evaluate_every", "evaluate_puzzles"}  # changes no training
    sources = {"reward", "verifier"}  # may be written otherwise and do the same
    assert not set(experiments.stale(kept)) - sources - watched
    for run in kept["runs"].values():
        assert run["step"][-1] == run["tried"][-1] == kept["steps"]
        assert len(run["step"]) == len(run["reward"]) and len(run["tried"]) == len(run["accuracy"])
    assert path.stat().st_size < 60_000


def made_up(name, ends):
    """A record of runs that end at given accuracies."""
    steps = experiments.find(name).config.steps
    lines = [
        [
            {"step": 0, "accuracy": 0.1, "test_thinking_tokens": 1.0, "seconds": 1.0},
            {"step": steps, "reward": 0.5, "thinking_tokens": 2.0, "attempts": 1.0, "seconds": 2.0,
             "accuracy": end, "test_thinking_tokens": 8.0},
        ]
        for end in ends
    ]  # fmt: skip
    runs = {seed: experiments.columns(line, 30.0) for seed, line in enumerate(lines)}
    return experiments.record(name, runs, "a desk")


def test_a_summary_has_the_mean_and_the_spread():
    end = experiments.summary(made_up("outcome", [0.5, 0.7, 0.9]))
    assert end["accuracy"] == pytest.approx(0.7)
    assert (end["least"], end["most"], end["seeds"], end["thinking_tokens"]) == (0.5, 0.9, 3, 8.0)


def test_table_and_provenance_name_everything():
    records = {name: made_up(name, [0.5, 0.9]) for name in ("outcome", "kl")}
    _, heads, outcome, kl = map(str.split, str(experiments.table(records)).splitlines())
    assert heads[:4] == ["run", "accuracy", "least", "most"] and kl[0] == "kl"
    assert outcome[:4] == ["outcome", "70.0%", "50.0%", "90.0%"]
    said = experiments.provenance(records)
    assert "on a desk" in said and "seeds 0, 1" in said and "experiment kl --seeds 2" in said


def test_a_run_beside_other_work_shows_no_time():
    alone = made_up("outcome", [0.5])
    beside = made_up("kl", [0.5]) | {"machine": "one core, no GPU; shared with other work"}
    shown = experiments.table({"outcome": alone, "kl": beside}).shown["s/step"]
    assert shown[1] == "–" and float(shown[0]) == pytest.approx(30 / alone["steps"], abs=0.01)


def test_the_newest_record_is_the_readers_own(tmp_path, monkeypatch):
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    monkeypatch.setattr(experiments, "RECORDED", shipped)
    for folder, names in {own: ["kl", "outcome"], shipped: ["outcome", "kl"]}.items():
        folder.mkdir()
        for name in names:
            kept = made_up(name, [0.5]) | {"machine": folder.name}
            if folder == own and name == "outcome":  # as an earlier version kept a stopped run
                kept |= {"steps": 0, "settings": {"stopped_after": 0}}
            (folder / f"{name}.json").write_text(json.dumps(kept))
    found = experiments.newest(["outcome", "ppo", "kl"], own)
    assert {name: r["machine"] for name, r in found.items()} == {"outcome": "shipped", "kl": "own"}
    assert experiments.table(found)


def test_the_memory_of_training_counted_by_hand():
    assert experiments.training_bytes("outcome", 1000) == 16_000  # weights, gradients, two moments
    assert experiments.training_bytes("kl", 1000) == 20_000  # and the reference's weights
    assert experiments.training_bytes("ppo", 1000, 900) == 30_400  # and a value model, trained too


# --- pictures -------------------------------------------------------------------------------------


def test_the_spread_runs_from_the_worst_seed_to_the_best():
    records = {"outcome": made_up("outcome", [0.5, 0.9])}
    figure, words = zero_plots.spread(records, "accuracy", "accuracy", "Controls")
    line = figure.data[0]
    assert list(line.x) == [0, 30] and line.y[1] == pytest.approx(0.7)
    assert line.error_y.array[1] == pytest.approx(0.2)
    assert line.error_y.arrayminus[1] == pytest.approx(0.2)
    assert "outcome 0.1 to 0.7 (0.5 to 0.9 over 2 seeds)" in words


LINES = [
    {"step": 0, "accuracy": 0.1, "test_attempts": 0.2, "test_thinking_tokens": 1.5},
    {"step": 1, "reward": 0.25, "attempts": 0.5, "thinking_tokens": 2.0, "informative": 1.0,
     "loss": 0.0},
    {"step": 2, "skipped": "The reward of '1' is None, not a finite number."},
    {"step": 3, "reward": 0.75, "attempts": 2.0, "thinking_tokens": 9.0, "informative": 0.5,
     "loss": 0.01, "accuracy": 0.8, "test_attempts": 2.5, "test_thinking_tokens": 9.5},
]  # fmt: skip


def test_the_growth_of_a_run_in_words():
    words = zero_plots.growth_words(LINES)
    assert zero_plots.values(LINES, "accuracy") == ([0, 3], [0.1, 0.8])
    assert "held-out puzzles: 0.1 at step 0, 0.8 at step 3" in words
    assert "1 steps were skipped: 2." in words


def test_a_run_of_your_own_stands_beside_the_recorded_seeds():
    runs = {str(n): {"step": [1, 3], "reward": [0.1 * n, 0.2 * n]} for n in (1, 2)}
    figure, words = zero_plots.beside({"runs": runs}, LINES, "4 answers")
    assert [trace.name for trace in figure.data] == ["recorded", "yours: 4 answers"]
    assert list(figure.data[1].x) == [1, 3] and list(figure.data[1].y) == [0.25, 0.75]
    assert words == "At step 3: yours 0.75, recorded 0.2 to 0.4 over 2 seeds."


def test_informative_groups_are_counted_over_steps_that_were_taken():
    _, words = zero_plots.informative_groups(LINES)
    assert "first 1 steps 100% taught something" in words and "25% taught nothing" in words


def test_the_loss_is_shown_beside_the_reward():
    many = {f"seed {seed}": LINES for seed in range(9)}  # more than there are dashes
    assert len(zero_plots.against(many, ("reward",), "Seeds")[0].data) == 9
    figure, words = zero_plots.loss_and_reward({"this run": LINES})
    assert len(figure.data) == 2 and "this run 0.25 to 0.75" in words


def test_smooth_is_the_mean_of_what_came_before():
    assert zero_plots.smooth([0, 2, 4, 6], window=2) == [0, 1, 3, 5]


# --- measurements ---------------------------------------------------------------------------------


def test_a_profile_names_its_parts_and_changes_nothing(random_models, tokenizer):
    model = random_models["llama"]
    before = {name: p.clone() for name, p in model.state_dict().items()}
    config = zero.ZeroConfig(puzzles=2, samples=4, max_new_tokens=6)
    parts = measure.profile_step(model, tokenizer, config)
    assert list(parts) == [
        "sampling", "reading the answers and rewarding them",
        "forward passes", "backward passes", "optimiser",
    ]  # fmt: skip
    assert min(parts.values()) >= 0 and parts["sampling"] > 0
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    _, words = zero_plots.stacked_time(parts)
    assert "sampling" in words and "%" in words


def test_many_samples_stay_with_their_problems(random_models, tokenizer, monkeypatch):
    monkeypatch.setattr(measure, "_ROWS", 8)
    problems = puzzles.sample(5, 0)
    seen = []
    plain = zero.collect

    def collect(model, tokenizer, task, items, config, generator):
        seen.append(list(items))
        return plain(model, tokenizer, task, items, config, generator)

    monkeypatch.setattr(measure, "collect", collect)
    drawn = measure.sample_many(random_models["llama"], tokenizer, problems, 4, max_new_tokens=5)
    assert seen == [problems[:2], problems[2:4], problems[4:]]
    assert [len(rows) for rows in (drawn.texts, drawn.rewards, drawn.tokens)] == [5, 5, 5]
    for problem, texts, rewards in zip(problems, drawn.texts, drawn.rewards, strict=True):
        assert rewards == [puzzles.reward(problem, text) for text in texts] and len(texts) == 4


def test_shares_of_traces_counted_by_hand():
    repeated = HONEST.replace("-3=4 +5=9 +2=11 yes", "+3=10 +5=15 +2=17 no")
    pairs = [(PUZZLE, text) for text in (HONEST, LYING, FORGED, repeated, " - + +")]
    shares = measure.trace_shares(pairs)
    assert shares["with steps"] == 4 / 5
    assert shares["steps right"] == 17 / 18  # one total is forged
    assert shares["attempts with a right verdict"] == 5 / 6  # one lie
    assert shares["answer from the thought"] == 1.0
    assert shares["attempts made before"] == 1 / 6
    assert shares["notations mixed"] == 0.0
    assert "answer from the thought" not in measure.trace_shares([(PUZZLE, " - + +")])
    with pytest.raises(ValueError, match="no completions"):
        measure.trace_shares([])
    assert traces.count(FORGED, PUZZLE).wrong_verdicts == 0


# --- the live picture -----------------------------------------------------------------------------


def test_the_live_run_grows_replaces_and_speaks(tmp_path):
    from course_lib.widgets.live_run import LiveRun

    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in LINES[:2]))
    live = LiveRun(steps=3, folder=tmp_path)
    assert "After step 1 of 3" in live.text()
    for line in (LINES[1] | {"reward": 0.5}, *LINES[2:]):
        live.add(line)
    assert [line["step"] for line in live.lines] == [0, 1, 2, 3]
    assert "0.5 at step 1, 0.75 at step 3" in live.text() and "skipped: 2" in live.text()
    html = live.static_html()
    assert html.count("<img") == 5 and "step 3 of 3" in html
    assert "Nothing has been measured" in LiveRun("empty", steps=3).text()


def test_the_live_run_draws_on_one_output(monkeypatch):
    from course_lib.widgets import live_run

    drawn = []

    class Handle:
        def update(self, bundle, raw):
            drawn.append(bundle["text/html"])

    monkeypatch.setattr(live_run, "display", lambda bundle, raw, display_id: Handle())
    live = live_run.LiveRun("drawn", steps=3, every=1000.0)
    live.add(LINES[0])
    assert drawn == []  # not on the page yet
    live._ipython_display_()
    live.add(LINES[1])
    live.add(LINES[2])  # soon after the last, with nothing new: not drawn
    live.add(LINES[3])
    assert len(drawn) == 2 and "step 3 of 3" in drawn[1]
