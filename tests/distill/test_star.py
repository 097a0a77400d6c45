"""The circle on words: what is kept, what a run leaves, and that it goes on where it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.distill.bench import Bench
from course_lib.distill.real import star, stories
from course_lib.distill.real.star import Answer, StarConfig
from course_lib.errors import CourseError
from course_lib.model import models

DRAWN = stories.sample(3, 0)


def right(story, extra=""):
    return Answer(story, f"{extra}{stories.worked(story)}")


def wrong(story):
    return Answer(story, f"Answer: {story.totals[-1] + 1}")


def test_what_is_kept_is_right_once_and_not_more_than_asked_for():
    a, b, _ = DRAWN
    answers = [
        right(a),
        right(a),
        wrong(a),
        right(a, "So "),
        right(a, "Well "),
        Answer(b, "eleven"),
    ]
    assert star.keep(answers, StarConfig()) == [right(a), right(a, "So ")]
    assert star.keep(answers, StarConfig(most=1)) == [right(a)]
    assert star.keep([wrong(a)], StarConfig()) == []


def test_the_control_keeps_as_many_and_does_not_ask_the_verifier():
    a, b, c = DRAWN
    answers = [right(a), wrong(b), wrong(c), Answer(b, "no answer at all")]
    config = StarConfig(keep="answered")
    kept = star.keep(answers, config)
    assert len(kept) == 1 and kept == star.keep(answers, config)
    seeds = {star.keep(answers, StarConfig(keep="answered", seed=s))[0] for s in range(20)}
    assert seeds == {right(a), wrong(b), wrong(c)}


@given(st.lists(st.tuples(st.integers(0, 2), st.text(max_size=30)), max_size=30))
def test_of_any_texts_only_right_ones_are_kept(said):
    answers = [Answer(DRAWN[i], text) for i, text in said] + [right(DRAWN[0])]
    kept = star.keep(answers, StarConfig())
    assert all(one.right for one in kept) and len(set(kept)) == len(kept)
    control = star.keep(answers, StarConfig(keep="answered"))
    assert len(control) == len(kept)
    assert all(stories.answer(one.text) is not None for one in control)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"rounds": 0}, "rounds"),
        ({"keep": "all"}, "keep"),
        ({"most": 0}, "most"),
        ({"learning_rate": "fast"}, "learning_rate"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, word):
    with pytest.raises(CourseError, match=word):
        StarConfig(**settings)
    assert type(StarConfig(seed=np.int64(1)).seed) is int, "JSON has no place for numpy's"


def test_where_nothing_was_right_the_circle_says_that_it_stops(tmp_path):
    with pytest.raises(CourseError, match="the circle stops here"):
        star.teach(tmp_path, [], StarConfig())


def test_answers_are_read_back_and_a_damaged_file_is_a_sentence(tmp_path):
    path = tmp_path / "kept-1.json"
    star._write(path, [right(DRAWN[0]), wrong(DRAWN[1])])
    assert star._read(path) == [right(DRAWN[0]), wrong(DRAWN[1])]
    for damaged in (
        "",
        "[]",
        '{"kept": [[{}, "x"]]}',
        '{"kept": [[{"numbers": [1], "signs": "+"}, 3]]}',
    ):
        path.write_text(damaged)
        with pytest.raises(CourseError, match="holds no answers"):
            star._read(path)


TINY = StarConfig(rounds=2, stories=4, samples=2, max_new_tokens=8, steps=1, held_out=4, rank=2)


@pytest.fixture
def obliging(monkeypatch, tmp_path, random_models, tokenizer):
    """A tiny model's folder, and answers that are right for every other story."""
    folder = tmp_path / "base"
    models.save(random_models["qwen2"], tokenizer, folder)

    def ask(model, tokenizer, items, config, *, seed, shots=0, samples=1):
        return [(right if i % 2 else wrong)(s) for i, s in enumerate(items) for _ in range(samples)]

    monkeypatch.setattr(star, "ask", ask)
    monkeypatch.setattr(star.language_model, "folder", lambda model, yes: folder)
    return folder


def test_a_run_goes_round_and_goes_on_where_it_was_stopped(obliging, tmp_path):
    out = tmp_path / "run"
    first = star.run(out, TINY)
    lines = [next(first), next(first)]
    first.close()
    assert lines[0]["accuracy_shown"] == lines[0]["accuracy"] == 0.5
    assert lines[1]["right"] == 0.5 and lines[1]["asked"] == 8
    assert lines[1]["kept"] == lines[1]["new"] == lines[1]["new_sound"] == 2
    assert [line["step"] for line in star.run(out, TINY)] == [0, 1, 2]
    assert [line["step"] for line in star.run(out, TINY)] == [0, 1, 2]
    assert list(star.run(out, TINY))[2]["kept"] == 4
    with pytest.raises(CourseError, match="other settings"):
        next(star.run(out, StarConfig(seed=1)))


def test_the_experiment_has_a_row_for_every_round_of_both_circles(obliging, tmp_path, monkeypatch):
    monkeypatch.setattr(star, "StarConfig", lambda: TINY)
    rows = list(star.experiment(Bench(models.shipped("mini-r1-zero"), tmp_path, 0)))
    assert [(row["learnt"], row["round"]) for row in rows] == [
        (learnt, number) for learnt in ("right", "answered") for number in (0, 1, 2)
    ]
    assert rows[-1]["kept"] == 4 and "step" not in rows[-1]
