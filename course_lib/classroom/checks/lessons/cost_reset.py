"""Lesson 01: what an answer costs, how sure a score is, and what it takes to own the machine."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from course_lib.classroom.checks.exercise import Case, Exercise, Mistake, case


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
    fresh = question if count_cached == "twice" else question - cached
    hits = 0 if count_cached == "never" else cached
    extra = {"out": price_out, "in": price_in, "free": 0.0}[thinking_price]
    return (fresh * price_in + hits * price_cached + answer * price_out + thinking * extra) / per


_LAUNCH = {"price_in": 0.55, "price_cached": 0.14, "price_out": 2.19}


def _fresh_answer(rng: np.random.Generator) -> Case:
    question = int(rng.integers(200, 5000))
    prices = dict(zip(_LAUNCH, rng.uniform(0.05, 60, 3).round(2).tolist(), strict=True))
    counts = (int(rng.integers(1, 30000)), int(rng.integers(1, 3000)))
    cached = int(rng.integers(1, question))
    why = "each kind of token is billed at its own price per million, thinking as output"
    return case(why, question, *counts, cached, **prices)


def _standard_error(score: float, problems: int, *, kind: str = "right") -> float:
    p = score if kind == "fraction" else score / 100
    variance = p * (1 - p) / (problems - 1 if kind == "less one" else problems)
    if kind == "variance":
        return 100 * variance
    if kind == "one problem":
        return 100 * math.sqrt(p * (1 - p))
    return (1 if kind == "share" else 100) * math.sqrt(variance)


def _gap(score_a: float, score_b: float, problems: int, *, factor: float = 0.01) -> float:
    return (score_a - score_b) * factor * problems


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


def _fresh_machine(rng: np.random.Generator) -> Case:
    numbers = rng.uniform([500, 1, 50, 0.05, 5, 0.05], [9000, 6, 900, 0.5, 900, 0.95]).round(2)
    return case("dollars of the whole life over tokens of the whole life", *numbers.tolist())


EXERCISES = (
    Exercise(
        name="costs.ratio",
        symbol="price_ratio",
        title="How many times cheaper?",
        what_for="The number behind the headlines, by hand, and what it is a ratio of.",
        difficulty=1,
        minutes=2,
        needs="one division, to one decimal",
        hints=(
            "A price per million *output* tokens divided by another.",
            "The dearer one goes on top: o1's $60.",
            "60 divided by 2.19.",
        ),
        reference=lambda: 60 / 2.19,
        cases=(case("o1's output price over R1's, which says how many times cheaper R1 was"),),
        mistakes=(
            Mistake("That is R1 over o1; the question is how many times cheaper.", lambda: 0.0365),
            Mistake("That is the ratio of the input prices; take the output.", lambda: 15 / 0.55),
            Mistake("That is a difference in dollars; a ratio has no unit.", lambda: 57.81),
            Mistake(
                "That is o1's output over R1's input price; compare like with like.",
                lambda: 60 / 0.55,
            ),
            Mistake("That is o1's output price over its own input price.", lambda: 4.0),
        ),
        rtol=0.0,
        atol=0.051,
    ),
    Exercise(
        name="costs.per_answer",
        symbol="cost_per_answer",
        title="The cost of an answer",
        what_for="A reasoning model is billed for its thinking; a price per token hides that.",
        difficulty=2,
        minutes=8,
        needs="arithmetic only",
        hints=(
            "Four kinds of token: fresh question, cached question, thinking, answer.",
            "The cached tokens are part of the question: take them out of it before you price it.",
            "Thinking and answer are both billed at price_out; divide by a million at the end.",
        ),
        reference=_per_answer,
        cases=(
            case(
                "12,000 tokens of thinking and 1,000 of answer at $2.19 a million, 200 at $0.55",
                200,
                12000,
                1000,
                0,
                expected=0.02858,
                **_LAUNCH,
            ),
            case(
                "600 of the 1,000 question tokens are cached: 400 at $0.55, 600 at $0.14, "
                "2,500 at $2.19",
                1000,
                2000,
                500,
                600,
                expected=0.005779,
                **_LAUNCH,
            ),
            case(
                "no thinking and nothing cached (the default): a plain model's bill",
                1000,
                0,
                1000,
                expected=0.00274,
                **_LAUNCH,
            ),
            case(
                "the whole question is cached, the answer is empty",
                1000,
                4000,
                0,
                1000,
                expected=0.0089,
                **_LAUNCH,
            ),
        ),
        fresh=_fresh_answer,
        mistakes=(
            Mistake(
                "The thinking is free in your bill; providers bill it as output.",
                partial(_per_answer, thinking_price="free"),
            ),
            Mistake(
                "You bill the thinking at the input price; it is output.",
                partial(_per_answer, thinking_price="in"),
            ),
            Mistake(
                "Prices are for a million tokens, not for a thousand.",
                partial(_per_answer, per=1e3),
            ),
            Mistake(
                "Prices are for a million tokens; divide by a million.",
                partial(_per_answer, per=1.0),
            ),
            Mistake(
                "Cached tokens are billed twice: they are part of the question.",
                partial(_per_answer, count_cached="twice"),
            ),
            Mistake(
                "Cached tokens are not free: they have a price of their own.",
                partial(_per_answer, count_cached="never"),
            ),
        ),
        atol=1e-12,
    ),
    Exercise(
        name="costs.standard_error",
        symbol="standard_error",
        title="The error bar of a benchmark",
        what_for="AIME has 30 problems; a score without its error bar cannot be compared.",
        difficulty=2,
        minutes=6,
        needs="the standard deviation of a share: sqrt(p (1 - p) / n)",
        hints=(
            "Each problem is a coin that comes up right with probability p.",
            "Turn the score into a share first: 79.8 is 0.798.",
            "100 * sqrt(p * (1 - p) / problems), back in percentage points.",
        ),
        reference=_standard_error,
        cases=(
            case("sqrt(0.5 x 0.5 / 100) is 0.05, which is 5 points", 50.0, 100, expected=5.0),
            case("sqrt(0.8 x 0.2 / 4) is 0.2, which is 20 points", 80.0, 4, expected=20.0),
            case("a perfect score has no spread by this formula", 100.0, 30, expected=0.0),
            case("sqrt(0.1 x 0.9 / 1) is 0.3", 10.0, 1, expected=30.0),
        ),
        fresh=lambda rng: case(
            "100 sqrt(p (1 - p) / n) with p the score as a share",
            float(rng.uniform(1, 99)),
            int(rng.integers(2, 5000)),
        ),
        mistakes=(
            Mistake(
                "That is the variance; the standard error is its square root.",
                partial(_standard_error, kind="variance"),
            ),
            Mistake(
                "That is a share; give percentage points, 100 times as much.",
                partial(_standard_error, kind="share"),
            ),
            Mistake(
                "That is the spread of one problem; divide by the number of problems first.",
                partial(_standard_error, kind="one problem"),
            ),
            Mistake(
                "The score is in percent; turn it into a share before p (1 - p).",
                partial(_standard_error, kind="fraction"),
            ),
            Mistake(
                "Divide by the number of problems, not by one less: p (1 - p) is known here.",
                partial(_standard_error, kind="less one"),
            ),
        ),
        atol=1e-9,
    ),
    Exercise(
        name="costs.gap_in_problems",
        symbol="gap_in_problems",
        title="A lead, counted in problems",
        what_for="79.8 against 79.2 looks like a win until you count what was solved.",
        difficulty=1,
        minutes=4,
        needs="percentages",
        hints=(
            "How many problems is one percentage point?",
            "One point of 30 problems is 0.3 of a problem.",
            "The difference of the scores, over 100, times the number of problems.",
        ),
        reference=_gap,
        cases=(
            case("0.6 points of 30 problems", 79.8, 79.2, 30, expected=0.18),
            case("the first is behind, so the gap is negative", 71.5, 75.7, 198, expected=-8.316),
            case("equal scores", 50.0, 50.0, 500, expected=0.0),
        ),
        fresh=lambda rng: case(
            "a point is a hundredth of the problems",
            *rng.uniform(0, 100, 2).round(1).tolist(),
            int(rng.integers(1, 2000)),
        ),
        mistakes=(
            Mistake("Points are hundredths: divide by 100.", partial(_gap, factor=1.0)),
            Mistake(
                "The sign is turned round: the first score minus the second.",
                partial(_gap, factor=-0.01),
            ),
            Mistake(
                "A lead can be a deficit: leave the sign on.", lambda a, b, n: abs(a - b) / 100 * n
            ),
            Mistake(
                "A fraction of a problem is the point here: do not round.",
                lambda a, b, n: round((a - b) / 100 * n),
            ),
            Mistake(
                "That is the gap in points over the number of problems; multiply instead.",
                lambda a, b, n: (a - b) / n,
            ),
        ),
        atol=1e-9,
    ),
    Exercise(
        name="costs.own_machine",
        symbol="own_cost_per_million",
        title="A million tokens on your own machine",
        what_for="Renting against owning is decided by how busy the machine is.",
        difficulty=3,
        minutes=10,
        needs="kilowatt-hours; a year has 8,760 hours",
        hints=(
            "Dollars of the whole life over tokens of the whole life, times a million.",
            "The machine draws power in all its hours, but makes tokens only when it is busy.",
            "energy = 8760 * years * watts / 1000 * dollars_per_kwh; "
            "tokens = tokens_per_second * 3600 * 8760 * years * utilisation.",
        ),
        reference=_per_million,
        cases=(
            case(
                "$2,000 over 1 year and 8,760 kWh at $0.10 is $2,876, for 1,576.8 million tokens",
                2000.0,
                1.0,
                1000.0,
                0.1,
                100.0,
                0.5,
                expected=2876 / 1576.8,
            ),
            case(
                "a machine that is free to buy still costs its power",
                0.0,
                2.0,
                500.0,
                0.2,
                50.0,
                1.0,
                expected=0.1 / 0.18,
            ),
            case(
                "hardly used: the same dollars over a hundredth of the tokens",
                1000.0,
                3.0,
                300.0,
                0.3,
                40.0,
                0.01,
            ),
        ),
        fresh=_fresh_machine,
        mistakes=(
            Mistake(
                "You count tokens in all hours; the machine makes them only when it is busy.",
                partial(_per_million, use=False),
            ),
            Mistake(
                "You pay for power only in busy hours; here the machine draws it always.",
                partial(_per_million, power="busy hours"),
            ),
            Mistake("The electricity is missing.", partial(_per_million, power="free")),
            Mistake(
                "Electricity is sold by the kilowatt-hour: watts over 1,000.",
                partial(_per_million, kilo=1.0),
            ),
            Mistake(
                "A year has 24 x 365 = 8,760 hours.", partial(_per_million, hours_a_year=365.0)
            ),
        ),
        atol=1e-9,
    ),
)
