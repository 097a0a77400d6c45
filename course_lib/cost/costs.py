"""What an answer costs, what training cost, and when a machine of one's own pays.

Money is in US dollars, prices are per million tokens as APIs state them, energy is in kWh. Prices
and published costs come from the ledger (`course_lib.facts`); nothing here is measured.
"""

import math
from dataclasses import dataclass

from course_lib import facts
from course_lib.errors import real_number

MILLION = 1_000_000
HOURS_PER_YEAR = 24 * 365

MODELS = {"R1 at launch": "api.r1_launch", "o1": "api.o1"}
"""The models whose prices the ledger has: readable name -> start of their keys."""


@dataclass(frozen=True)
class Price:
    """An API's prices in USD per million tokens: new input, cached input, output."""

    input: float
    cached_input: float
    output: float

    def __post_init__(self) -> None:
        for name in ("input", "cached_input", "output"):
            _not_negative(f"price of {name}", getattr(self, name))


@dataclass(frozen=True)
class Answer:
    """One question and its answer, in tokens; `cached` is the share of the question, 0 to 1.

    Thinking is billed as output, whether the reader sees it (R1) or not (o1).
    """

    question: float
    thinking: float
    reply: float
    cached: float = 0.0

    def __post_init__(self) -> None:
        for name in ("question", "thinking", "reply"):
            _not_negative(f"tokens of {name}", getattr(self, name))
        if not 0 <= real_number("cached", self.cached) <= 1:
            raise ValueError(f"cached is {self.cached}; it is a share, so give 0 to 1.")


@dataclass(frozen=True)
class Machine:
    """Hardware of one's own: its price in USD, its draw in watts under load, its speed, its life.

    `tokens_per_second` is the sum over everything it serves at once, `years` how long it is kept.
    Raises ValueError for a value that is not above 0 (watts may be 0).
    """

    usd: float
    watts: float
    tokens_per_second: float
    years: float = 3.0

    def __post_init__(self) -> None:
        _not_negative("watts", self.watts)
        for name in ("usd", "tokens_per_second", "years"):
            if not 0 < real_number(name, getattr(self, name)) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0.")


def _not_negative(what: str, value: float) -> float:
    if not 0 <= real_number(what, value) < math.inf:
        raise ValueError(f"{what} is {value}; give a number of at least 0.")
    return value


def price_of(model: str) -> Price:
    """The launch prices of one of `MODELS`, from the ledger. Raises ValueError for another."""
    if model not in MODELS:
        raise ValueError(f"no prices of {model!r:.40}; there are {', '.join(MODELS)}.")
    start = MODELS[model]
    kinds = ("input", "input_cache_hit", "output")
    return Price(*(float(facts.value(f"{start}.{kind}")) for kind in kinds))


def answer_parts(price: Price, answer: Answer) -> dict[str, float]:
    """What each part of one answer costs in USD: question, cached question, thinking, reply."""
    new, old = 1 - answer.cached, answer.cached
    return {
        "question": answer.question * new * price.input / MILLION,
        "question, cached": answer.question * old * price.cached_input / MILLION,
        "thinking": answer.thinking * price.output / MILLION,
        "reply": answer.reply * price.output / MILLION,
    }


def answer_cost(price: Price, answer: Answer) -> float:
    """What one answer costs in USD."""
    return sum(answer_parts(price, answer).values())


def rent(gpus: float, hours: float, usd_per_gpu_hour: float) -> float:
    """The rent of `gpus` GPUs for `hours` hours each, in USD."""
    _not_negative("gpus", gpus)
    return gpus * _not_negative("hours", hours) * _not_negative("rent", usd_per_gpu_hour)


@dataclass(frozen=True)
class Spent:
    """One line of a training bill: what for, H800 hours, USD, and what the figure leaves out."""

    what: str
    gpu_hours: float
    usd: float
    leaves_out: str


def training_bill() -> list[Spent]:
    """What DeepSeek published of the cost of V3's final run and of R1, line by line."""
    v3 = ("v3_pretraining", "v3_context_extension", "v3_post_training")
    r1 = ("r1_zero", "r1_sft_data", "r1_stages")
    out = {part: str(facts.value("cost.v3_total.leaves_out")) for part in v3}
    out |= {part: str(facts.value("cost.r1_total.leaves_out")) for part in r1}
    return [
        Spent(
            facts.label(part),
            float(facts.value(f"cost.{part}.gpu_hours")),
            float(facts.value(f"cost.{part}.usd")),
            leaves_out,
        )
        for part, leaves_out in out.items()
    ]


def own_cost_per_million(machine: Machine, utilisation: float, usd_per_kwh: float) -> float:
    """USD per million tokens on a machine of one's own that works a share of the time.

    Its price is spread over the tokens of its life; it draws power only while it works. People,
    space, idle power and repairs are left out. `utilisation` is above 0 and at most 1. Raises
    ValueError for another one, and for a machine that does not write one token in its life.
    """
    if not 0 < real_number("utilisation", utilisation) <= 1:
        raise ValueError(f"utilisation is {utilisation}; it is a share above 0, at most 1.")
    tokens = _life(machine, utilisation)
    return machine.usd / tokens * MILLION + energy_per_million(machine, usd_per_kwh)


def _life(machine: Machine, utilisation: float) -> float:
    """Tokens that a machine writes in its life. Raises ValueError where that is not even one."""
    hours = machine.years * HOURS_PER_YEAR * utilisation
    tokens = hours * 3600 * machine.tokens_per_second
    if not 1 <= tokens < math.inf:
        raise ValueError(
            f"the machine writes {tokens:g} tokens in its life; give a speed, years and a share of "
            "the time that make at least 1."
        )
    return tokens


def energy_per_million(machine: Machine, usd_per_kwh: float) -> float:
    """USD of electricity per million tokens while the machine works."""
    hours = MILLION / machine.tokens_per_second / 3600
    return hours * machine.watts / 1000 * _not_negative("usd_per_kwh", usd_per_kwh)


def break_even(machine: Machine, api_usd: float, usd_per_kwh: float) -> float:
    """The share of time a machine must work to match `api_usd` per million tokens.

    Above 1 it never does: it would have to work more hours than there are. Infinite where the
    electricity alone costs as much as the API. Raises ValueError as `own_cost_per_million` does.
    """
    margin = _not_negative("api_usd", api_usd) - energy_per_million(machine, usd_per_kwh)
    if margin <= 0:
        return math.inf
    return machine.usd / _life(machine, 1) * MILLION / margin
