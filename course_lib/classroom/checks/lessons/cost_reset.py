"""Lesson 01: what an answer costs, how sure a score is, and what it takes to own the machine."""

import math

from course_lib.classroom.checks.cards import exercise, value
from course_lib.classroom.checks.draws import real, st
from course_lib.classroom.checks.exercise import Case, Draw, case


def _per_answer(
    question: int,
    thinking: int,
    answer: int,
    cached: int = 0,
    *,
    price_in: float,
    price_cached: float,
    price_out: float,
    thinking_price: str = "out",
    per: float = 1e6,
    count_cached: str = "once",
) -> float:
    cached = cached * question if count_cached == "share" else cached
    fresh = question if count_cached == "twice" else question - cached
    hits = 0 if count_cached == "never" else cached
    extra = {"out": price_out, "in": price_in, "free": 0.0}[thinking_price]
    return (fresh * price_in + hits * price_cached + answer * price_out + thinking * extra) / per


def _standard_error(score: float, problems: int, *, kind: str = "right") -> float:
    p = score if kind == "fraction" else score / 100
    variance = p * (1 - p) / (problems - 1 if kind == "less one" else problems)
    error, z = math.sqrt(variance), 1.96
    wider = math.sqrt(variance + z**2 / (4 * problems**2))
    wrong = {
        "share": error / 100,
        "interval": z * error,
        "wilson": z * wider / (1 + z**2 / problems),
        "variance": variance,
        "one problem": math.sqrt(p * (1 - p)),
    }
    return 100 * wrong.get(kind, error)


def _gap(score_a: float, score_b: float, problems: int, *, kind: str = "right") -> float:
    gap, share = score_a - score_b, (score_a - score_b) / 100
    return {
        "right": share * problems,
        "points": gap * problems,
        "turned round": -share * problems,
        "no sign": abs(share) * problems,
        "whole": round(share * problems),
        "over problems": gap / problems,
    }[kind]


def _per_million(
    hardware_dollars: float,
    years: float,
    watts: float,
    dollars_per_kwh: float,
    tokens_per_second: float,
    utilisation: float,
    *,
    hours_a_year: float = 8760.0,
    power: str = "all hours",
    use: bool = True,
    kilo: float = 1000.0,
) -> float:
    hours = hours_a_year * years
    powered = hours * utilisation if power == "busy hours" else hours
    energy = 0.0 if power == "free" else powered * watts / kilo * dollars_per_kwh
    tokens = tokens_per_second * 3600 * hours * (utilisation if use else 1.0)
    return (hardware_dollars + energy) / tokens * 1e6


_PRICES = st.sampled_from([0.0, 0.07, 0.14, 0.55, 2.19, 15.0, 60.0]) | real(0, 80)
_SCORES = st.sampled_from([0, 0.5, 1, 99.5, 100]) | real(0, 100)


def _an_answer(draw: Draw) -> Case:
    question = draw(st.integers(0, 5000))
    cached = draw(st.sampled_from([0, 1, question]) | st.integers(0, question))
    counts = draw(st.integers(0, 32000)), draw(st.integers(0, 3000)), min(cached, question)
    prices = {f"price_{name}": draw(_PRICES) for name in ("in", "cached", "out")}
    return case("each kind of token at its own price per million", question, *counts, **prices)


def _a_benchmark(draw: Draw) -> Case:
    problems = draw(st.integers(1, 5000))
    return case("100 sqrt(p (1 - p) / n) with p the score as a share", draw(_SCORES), problems)


def _two_scores(draw: Draw) -> Case:
    scores = draw(_SCORES), draw(_SCORES)
    return case("a point is a hundredth of the problems", *scores, draw(st.integers(1, 2000)))


def _a_machine(draw: Draw) -> Case:
    ranges = ((0, 9000), (0.25, 6), (0, 900), (0, 0.5), (1, 900), (0.05, 1))
    numbers = [draw(real(low, high)) for low, high in ranges]
    return case("dollars of the whole life over tokens of the whole life", *numbers)


EXERCISES = (
    value("costs.ratio"),
    exercise("costs.per_answer", _per_answer, _an_answer),
    exercise("costs.standard_error", _standard_error, _a_benchmark),
    exercise("costs.gap_in_problems", _gap, _two_scores),
    exercise("costs.own_machine", _per_million, _a_machine),
)
