"""What is kept: the measures by hand, and on models that are made in a moment."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.distill.real import kept
from course_lib.errors import CourseError
from course_lib.model import models


@pytest.fixture(scope="module")
def base():
    return models.load(models.shipped("qwen2-base"))


def test_the_shipped_text_and_a_dozen_requests_are_there():
    assert len(kept.passages()) == 5 and all(len(text) > 200 for text in kept.passages())
    assert len(kept.requests()) == 12
    for asked, words in kept.requests():
        assert words and not any(kept.is_right(words, part) for part in [asked.split()[0]])


def test_a_model_that_knows_nothing_is_as_unsure_as_its_vocabulary_is_large(base):
    _, tokenizer = base

    class Flat(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, ids, use_cache):
            return type("Out", (), {"logits": torch.zeros(*ids.shape, 535)})

    assert kept.perplexity(Flat(), tokenizer, ["hello"]) == pytest.approx(535)


def test_perplexity_is_e_to_the_mean_loss(base):
    model, tokenizer = base
    ids = torch.tensor([tokenizer.encode("hello you", add_special_tokens=False)])
    with torch.no_grad():
        loss = float(model(ids, labels=ids).loss)
    assert kept.perplexity(model, tokenizer, ["hello you"]) == pytest.approx(
        math.exp(loss), rel=1e-4
    )


@pytest.mark.parametrize("texts", [[], [""], ["a"]])
def test_nothing_to_read_is_refused_with_a_sentence(base, texts):
    with pytest.raises(CourseError, match="two tokens"):
        kept.perplexity(*base, texts)


@pytest.mark.parametrize(
    ("reply", "right"),
    [("It is Paris.", True), ("PARIS", True), ("Parisian", False), ("", False), ("Lyon", False)],
)
def test_a_reply_is_right_if_it_holds_the_word_whole(reply, right):
    assert kept.is_right(["Paris"], reply) is right


@pytest.mark.parametrize(
    ("reply", "puzzled"),
    [
        ("<think> +3=10", True), ("thought</think> - +", True), (" + - +", True), ("+8=15", True),
        ("The capital is Paris.", False), ("A cat - of course", False), ("", False), ("7", False),
    ],
)  # fmt: skip
def test_a_reply_to_a_puzzle_is_known(reply, puzzled):
    assert kept.is_puzzled(reply) is puzzled


@given(st.text(max_size=300))
def test_any_reply_is_judged_without_an_error(reply):
    assert kept.is_puzzled(reply) in (True, False)
    assert kept.is_right(["a.b", "(", "x"], reply) in (True, False)


def test_all_measures_of_a_tiny_model(base):
    found = kept.measure(*base)
    assert found["perplexity"] > 1
    assert 0 <= found["requests_right"] <= 1 and 0 <= found["requests_puzzled"] <= 1
