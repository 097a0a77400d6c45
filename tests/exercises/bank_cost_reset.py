"""Submissions to lesson 01."""

from bank import Bank

_ANSWER = """\
def cost_per_answer(question, thinking, answer, cached=0, *, price_in, price_cached, price_out):
"""
_OWN = """\
def own_cost_per_million(
    hardware_dollars, years, watts, dollars_per_kwh, tokens_per_second, utilisation
):
"""

BANKS = {
    "costs.ratio": Bank(
        wrong=[
            ("R1 over o1", "price_ratio = 2.19 / 60"),
            ("the input prices", "price_ratio = 27.27"),
            ("cut off and not rounded", "price_ratio = 27.3"),
            ("in dollars", "price_ratio = 60 - 2.19"),
            ("compare like with like", "price_ratio = 60 / 0.55"),
            ("its own input price", "price_ratio = 60 / 15"),
            ("one decimal is asked for", "price_ratio = 27"),
            ("below 28", "price_ratio = 28.0"),
            ("not it yet: a str came out", "price_ratio = '27.4'"),
            ("not it yet", "price_ratio = float('nan')"),
        ],
        right=[
            "price_ratio = 27.4",
            "price_ratio = round(60 / 2.19, 1)",
            """\
import numpy as np
price_ratio = np.float32(60) / np.float32(2.19)""",
        ],
    ),
    "costs.per_answer": Bank(
        wrong=[
            ("thinking is free", ("(thinking + answer)", "answer")),
            (
                "thinking at the input price",
                (
                    ("(question - cached)", "(question - cached + thinking)"),
                    ("(thinking + answer)", "answer"),
                ),
            ),
            ("not for a thousand", ("1_000_000", "1_000")),
            ("divide by a million", ("dollars / 1_000_000", "dollars")),
            ("billed twice", ("(question - cached)", "question")),
            ("not free", ("cached * price_cached", "0")),
            ("600 at $0.14", ("price_cached\n", "price_in\n")),
            ("at $2.19 a million", ("* price_out", "* price_in")),
            ("at $2.19 a million", ("thinking + answer", "thinking")),
            ("of answer at $2.19", ("dollars / 1_000_000", "round(dollars / 1_000_000, 2)")),
        ],
        right=[
            _ANSWER
            + """\
    a = (question - cached) / 1e6 * price_in
    b = cached / 1e6 * price_cached
    c = thinking / 1e6 * price_out + answer / 1e6 * price_out
    return c + b + a
""",
            _ANSWER
            + """\
    import numpy as np

    return (
        np.dot(
            [question - cached, cached, thinking, answer],
            [price_in, price_cached, price_out, price_out],
        )
        / 1e6
    )
""",
            _ANSWER
            + """\
    bill = 0
    for n, p in (
        (question, price_in),
        (cached, price_cached - price_in),
        (answer + thinking, price_out),
    ):
        bill += n * p * 1e-6
    return bill
""",
        ],
    ),
    "costs.standard_error": Bank(
        wrong=[
            ("variance", ("** 0.5", "")),
            ("give percentage points", ("100 * (", "(")),
            ("spread of one problem", (" / problems)", ")")),
            (
                "turn it into a share",
                """\
def standard_error(score, problems):
    return 100 * math.sqrt(score * (1 - score) / problems)
""",
            ),
            ("a complex came out", ("score / 100", "score")),
            ("not by one less", ("/ problems", "/ (problems - 1)")),
            ("is 20 points", ("(1 - share)", "share")),
            ("is 5 points", ("share * (1 - share)", "share")),
            ("is 5 points", ("100 * (share", "196 * (share")),
            ("is 5 points", ("** 0.5", "** (1 / 3)")),
            ("0.3", ("    share = score / 100", "    share = min(max(score / 100, 0.2), 1)")),
        ],
        right=[
            """\
def standard_error(score, problems):
    import math
    return math.sqrt(score * (100 - score) / problems)
""",
            """\
def standard_error(score, problems):
    import numpy as np
    p = score / 100
    return np.sqrt(np.array(p * (1 - p)) / problems) * 100
""",
            """\
def standard_error(score, problems):
    p = score / 100
    v = (p * (1 - p) ** 2 + (1 - p) * p ** 2) / problems
    return v ** 0.5 / 0.01
""",
        ],
    ),
    "costs.gap_in_problems": Bank(
        wrong=[
            ("divide by 100", (" / 100", "")),
            ("turned round", ("score_a - score_b", "score_b - score_a")),
            ("leave the sign on", ("(score_a - score_b)", "abs(score_a - score_b)")),
            (
                "do not round",
                (
                    "(score_a - score_b) / 100 * problems",
                    "round((score_a - score_b) / 100 * problems)",
                ),
            ),
            ("multiply instead", ("/ 100 * problems", "/ problems")),
            ("0.6 points of 30", ("* problems", "* 30 / 29")),
            ("the first is behind", ("(score_a - score_b)", "max(score_a - score_b, 0)")),
            ("0.6 points of 30", ("/ 100", "/ score_b")),
            ("0.6 points of 30", ("score_a - score_b", "score_a + score_b")),
            ("the first is behind", ("* problems", "* 30")),
        ],
        right=[
            """\
def gap_in_problems(score_a, score_b, problems):
    return problems * score_a / 100 - problems * score_b / 100
""",
            """\
def gap_in_problems(score_a, score_b, problems):
    point = problems / 100
    return point * (score_a - score_b)
""",
            """\
import numpy as np
def gap_in_problems(score_a, score_b, problems):
    return -np.diff(np.array([score_a, score_b]))[0] * problems * 0.01
""",
        ],
    ),
    "costs.own_machine": Bank(
        wrong=[
            ("tokens in all hours", (" * utilisation", "")),
            ("power only in busy hours", ("hours * watts", "hours * utilisation * watts")),
            ("electricity is missing", (" + hours * watts / 1000 * dollars_per_kwh", "")),
            ("kilowatt-hour", ("watts / 1000", "watts")),
            ("8,760 hours", ("8760 * years", "365 * years")),
            ("$2,876", ("* 3600", "* 60")),
            ("$2,876", (" * 1_000_000", "")),
            ("$2,876", ("hardware_dollars + hours", "hardware_dollars / years + 2 * hours")),
            ("hardly used", ("8760 * years", "8760")),
            ("$2,876", ("dollars / tokens", "tokens / dollars")),
        ],
        right=[
            _OWN
            + """\
    busy_seconds = 365 * 24 * 3600 * years * utilisation
    power = watts * 24 * 365 * years * dollars_per_kwh / 1e3
    return (hardware_dollars + power) / (busy_seconds * tokens_per_second / 1e6)
""",
            _OWN
            + """\
    per_hour = hardware_dollars / (years * 8760) + watts / 1000 * dollars_per_kwh
    return per_hour / (tokens_per_second * utilisation * 3600) * 1e6
""",
            _OWN
            + """\
    import numpy as np
    hours = np.float64(years) * 8760
    millions = np.prod([tokens_per_second, 3600, hours, utilisation]) * 1e-6
    return np.sum([hardware_dollars, hours * watts * 1e-3 * dollars_per_kwh]) / millions
""",
        ],
    ),
}
