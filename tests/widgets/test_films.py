"""Films: every moment from its own numbers, nothing plays by itself, the still says both ends."""

import pytest

from course_lib.errors import CourseError
from course_lib.show import svg
from course_lib.widgets import base, films
from tests.gallery import MAKERS

FILMS = ("LoadFilm", "GrowthFilm", "AnswersFilm")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(base, "_STATES", {})


@pytest.mark.parametrize("name", FILMS)
def test_a_film_has_play_slider_still_and_words_for_every_moment(name):
    film = MAKERS[name]()
    step = film._controls["step"]
    (play,) = film.extras()
    assert (play.low, play.high, play.by) == (step.min, step.max, step.step)
    assert "prefers-reduced-motion: reduce" in film.lead()
    assert all(film.said(moment) and film.frame(moment) for moment in film.steps)
    first, last = (film.said(moment) for moment in (film.steps[0], film.steps[-1]))
    assert film.still()[1] == f"{first} {last}"
    assert film.still()[0].count("<svg") == film.stills * len(film.frame(film.steps[0]))


@pytest.mark.parametrize("name", FILMS)
def test_the_picture_follows_the_slider(name):
    film = MAKERS[name]()
    before = film.picture(), film.text()
    film.set(step=film.steps[-1])
    assert film.picture() != before[0] and film.text() == film.said(film.steps[-1])


def test_a_step_between_two_moments_shows_the_one_before():
    """JupyterLab takes any number that is typed beside a slider."""
    film = MAKERS["AnswersFilm"]()
    first, second = film.steps[:2]
    film.set(step=second - 1)
    assert second - 1 > first and film.text() == film.said(first)
    assert film.picture() == svg.beside(film.frame(first))


def test_growth_is_of_the_steps_until_then_on_scales_that_stay():
    film = MAKERS["GrowthFilm"]()
    points = [film.frame(step)[0].split('points="')[1].split('"')[0].split() for step in (10, 60)]
    assert points[1][: len(points[0]) - 1] == points[0][:-1] and len(points[1]) > len(points[0])
    skipped = [{"step": 0, "accuracy": 0.1}, {"step": 1, "skipped": "The reward failed."}]
    taken = {"step": 2, "reward": 0.5, "thinking_tokens": 3.0}
    assert "At step 2, 50%" in films.GrowthFilm([*skipped, taken]).still()[1]
    with pytest.raises(CourseError, match="no step"):
        films.GrowthFilm(skipped)
    with pytest.raises(CourseError, match="no step"):
        films.GrowthFilm([{"step": 0, "accuracy": 0.1}])


def test_the_right_answer_is_marked_and_words_are_data():
    film = MAKERS["AnswersFilm"]()
    assert sum(name.endswith("(right)") for name in film.shares(0)) == 1
    film.record["puzzle"] = "<script>alert(1)</script>"
    assert "<script" not in film.picture() and "<script" not in film.static_html()


def test_a_record_of_one_moment_is_a_film_of_one_picture():
    whole = MAKERS["AnswersFilm"]()
    record = whole.record | {"moments": whole.record["moments"][:1]}
    film = type(whole)(record, key="one")
    assert len(film.steps) == 1 and "answers at step 0" in film.static_html()


@pytest.mark.parametrize("name", FILMS)
def test_a_key_may_follow_what_is_filmed(name):
    film = MAKERS[name]()
    filmed = {"LoadFilm": "runs", "GrowthFilm": "lines", "AnswersFilm": "record"}[name]
    assert type(film)(getattr(film, filmed), "own").key == f"{name}-own"
