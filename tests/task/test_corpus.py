"""What the base reads: every sum is right, every verdict is right, and habits are as stated."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from course_lib.model import models, pretrain
from course_lib.task import corpus, puzzles, traces

NEAT = replace(corpus.CAREFUL, sloppy=0.0, forgetful=0.0, repeat=0.0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def worked(rng, habits, n=300):
    drawn = puzzles.sample(n, 0)
    return [(p, "".join(corpus.worked(rng, p, habits))) for p in drawn]


def test_every_step_and_every_verdict_is_right(rng):
    for puzzle, text in worked(rng, corpus.CAREFUL):
        counts = traces.count(text, puzzle)
        assert counts.wrong_steps == counts.wrong_verdicts == 0
    for _ in range(300):
        puzzle, pieces = corpus.drill(rng)
        counts = traces.count("".join(pieces), puzzle)
        assert counts.wrong_steps == counts.wrong_verdicts == 0


def test_who_never_gives_up_and_is_neat_is_always_right_and_never_repeats(rng):
    for puzzle, text in worked(rng, replace(NEAT, keep_trying=1.0)):
        assert puzzles.reward(puzzle, text) == 1.0
        assert traces.count(text, puzzle).repeats == 0


def test_a_bare_guess_is_right_one_time_in_eight(rng):
    drawn = puzzles.sample(8000, 0)
    right = sum(puzzles.reward(p, "".join(corpus.bare(rng, p))) for p in drawn)
    assert 0.11 < right / 8000 < 0.14


def test_notations_mix_and_both_occur(rng):
    counts = [traces.count(text, p) for p, text in worked(rng, NEAT)]
    words = sum(c.word_steps for c in counts) / sum(c.steps for c in counts)
    assert 0.3 < words < 0.6
    assert 0.1 < sum(c.mixing for c in counts) / len(counts) < 0.9
    assert not any(c.mixed_steps for c in counts), "a step is in one notation"


@pytest.mark.parametrize(("slip", "worth"), [(0, True), (1, False), (2, False)])
def test_only_a_missing_opening_tag_still_counts_as_an_answer(slip, worth):
    class Fixed:
        def random(self):
            return 0.0

        def integers(self, _):
            return slip

    text = "".join(corpus._untidy(Fixed(), [" -3=4", " yes"], [" -"], 1.0))
    assert (puzzles.answer(text) == ("-",)) == worth


@pytest.mark.parametrize("mix", [corpus.EASY, corpus.WORKED, corpus.SELDOM])
def test_pieces_are_the_tokens_of_the_text(rng, tokenizer, mix):
    ids = pretrain.piece_ids(tokenizer)
    for document in corpus.documents(rng, 150, mix, 3.0):
        pieces = document.prompt + document.completion
        assert tokenizer.encode("".join(pieces)) == [ids[p] for p in pieces]
        assert len(document.weights) == len(document.completion)


def test_a_resumed_run_reads_the_same_batches(tokenizer):
    config = pretrain.PretrainConfig(steps=60, tokens=512)
    ids = pretrain.piece_ids(tokenizer)
    whole = pretrain.batches(config, ids)
    first = [next(whole) for _ in range(27)]
    rest = pretrain.batches(config, ids, start=24)
    for batch in first[24:]:
        assert (next(rest).ids == batch.ids).all()


def test_prompts_and_padding_weigh_nothing_and_verdicts_more(tokenizer):
    ids = pretrain.piece_ids(tokenizer)
    document = corpus.Document(["7", " ?", " 3", " =", " 4"], [" -3", "=4", " yes"], [1, 1, 3.0])
    row, weights = pretrain.encode(document, ids)
    assert len(row) == len(weights) == 12 and weights == [0] * 8 + [1, 1, 3.0, 1.0]
    batch = pretrain.collate([(row, weights), (row[:4], weights[:4])], ids[models.EOS])
    assert batch.weights[1].sum() == 0 and batch.ids.shape == (2, 12)
    for kind in (int, np.float64):  # the loss is float32 whatever numbers the weights are
        batch = pretrain.collate([(row, [kind(w) for w in weights])], ids[models.EOS])
        assert batch.weights.dtype == torch.float32 and batch.weights[0].tolist() == weights


def test_the_schedule_falls_to_nothing_twice_and_reads_bare_guesses_before_each_end():
    config = pretrain.PretrainConfig(steps=1000)
    rates = [pretrain.learning_rate(config, step) for step in range(1000)]
    assert rates[799] < 1e-5 and rates[999] < 2e-5, "both rounds end at 0"
    assert rates[200] == config.learning_rate and 1e-4 < rates[800] < config.learning_rate / 3
    bare = [step for step in range(1000) if pretrain.mix(config, step) == corpus.SELDOM]
    assert bare == [*range(720, 800), *range(900, 1000)]


def test_pretraining_lowers_the_loss_balances_and_resumes(tmp_path, tokenizer):
    tiny = models.mini_v3_config(
        tokenizer, hidden_size=32, kv_lora_rank=16, moe_intermediate_size=16
    )
    config = pretrain.PretrainConfig(steps=12, tokens=256, checkpoint_every=5, warmup=2)
    whole = list(pretrain.run(tmp_path / "a", config, tiny))
    assert whole[-1]["loss"] < whole[0]["loss"]
    for line in pretrain.run(tmp_path / "b", config, tiny):
        if line["step"] == 7:
            break
    rest = list(pretrain.run(tmp_path / "b", config, tiny))
    assert [line["step"] for line in rest] == list(range(6, 13))
    assert rest[-1]["loss"] == pytest.approx(whole[-1]["loss"], rel=1e-5)
    model, _ = models.load(tmp_path / "b" / "checkpoint")
    gate = model.model.layers[1].mlp.gate
    assert gate.e_score_correction_bias.abs().max() > 0
