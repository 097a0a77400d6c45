"""Costs by hand, and what must hold for any prices, lengths and machines."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import facts
from course_lib.cost import costs

PRICE = costs.Price(input=1.0, cached_input=0.25, output=4.0)
CARD = costs.Machine(usd=2000, watts=500, tokens_per_second=100, years=2)
PARTS = st.floats(0, 1e6)


def test_an_answer_by_hand():
    answer = costs.Answer(question=1000, thinking=10_000, reply=500, cached=0.4)
    parts = costs.answer_parts(PRICE, answer)
    assert parts == pytest.approx(
        {"question": 0.0006, "question, cached": 0.0001, "thinking": 0.04, "reply": 0.002}
    )
    assert costs.answer_cost(PRICE, answer) == pytest.approx(0.0427)


def test_thinking_is_billed_like_the_reply():
    thought = costs.answer_cost(PRICE, costs.Answer(0, 700, 0))
    assert thought == costs.answer_cost(PRICE, costs.Answer(0, 0, 700)) == pytest.approx(0.0028)


def test_launch_prices_come_from_the_ledger():
    assert costs.price_of("R1 at launch") == costs.Price(0.55, 0.14, 2.19)
    assert costs.price_of("o1") == costs.Price(15, 7.5, 60)
    with pytest.raises(ValueError, match="no prices of 'o5'; there are R1 at launch, o1"):
        costs.price_of("o5")


def test_an_aime_answer_costs_three_cents():
    answer = costs.Answer(0, facts.value("thinking.tokens_per_aime_question"), 0)
    assert costs.answer_cost(costs.price_of("R1 at launch"), answer) == pytest.approx(0.02628)


@given(PARTS, PARTS, PARTS, st.floats(0, 1), PARTS)
def test_more_tokens_never_cost_less_and_a_cache_never_costs_more(q, t, r, cached, more):
    base = costs.answer_cost(PRICE, costs.Answer(q, t, r, cached))
    assert costs.answer_cost(PRICE, costs.Answer(q, t + more, r, cached)) >= base
    assert base <= costs.answer_cost(PRICE, costs.Answer(q, t, r)) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: costs.Answer(-1, 0, 0), "tokens of question is -1; give"),
        (lambda: costs.Answer(0, math.nan, 0), "tokens of thinking is nan"),
        (lambda: costs.Answer(0, 0, math.inf), "tokens of reply is inf"),
        (lambda: costs.Answer(0, 0, 0, 1.1), "cached is 1.1; it is a share"),
        (lambda: costs.Price(1, 1, -2), "price of output is -2"),
        (lambda: costs.Machine(0, 1, 1), "usd is 0; give a number above 0"),
        (lambda: costs.Machine(1, -1, 1), "watts is -1"),
        (lambda: costs.Machine(1, 1, math.nan), "tokens_per_second is nan"),
        (lambda: costs.Machine(1, 1, 1, 0), "years is 0"),
        (lambda: costs.own_cost_per_million(CARD, 0, 0.3), "utilisation is 0; it is a share"),
        (lambda: costs.own_cost_per_million(CARD, 1.5, 0.3), "utilisation is 1.5"),
        (lambda: costs.own_cost_per_million(CARD, 1, -1), "usd_per_kwh is -1"),
        (lambda: costs.break_even(CARD, -1, 0.3), "api_usd is -1"),
        (lambda: costs.rent(1, -1, 1), "hours is -1"),
        (lambda: costs.own_cost_per_million(costs.Machine(1, 1, 5e-324), 1e-300, 1), "writes 0 t"),
        (lambda: costs.own_cost_per_million(costs.Machine(1, 0, 1e-9), 1, 1), "tokens in its life"),
        (lambda: costs.break_even(costs.Machine(1, 0, 5e-324), 1e-10, 1), "tokens in its life"),
        (lambda: costs.own_cost_per_million(costs.Machine(1, 1, 1e300, 1e300), 1, 1), "inf tokens"),
    ],
)
def test_impossible_input_is_one_sentence(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_rent_gives_the_published_costs():
    rate = facts.value("cost.usd_per_gpu_hour")
    assert costs.rent(512, 198, rate) == 202_752
    for line in costs.training_bill():
        assert costs.rent(1, line.gpu_hours, rate) == line.usd


def test_the_bill_adds_up_and_says_what_it_leaves_out():
    bill = costs.training_bill()
    assert sum(line.usd for line in bill) == 5_576_000 + 294_000
    assert all(line.leaves_out for line in bill) and len(bill) == 6


def test_a_machine_by_hand():
    tokens = 2 * 365 * 24 * 3600 * 100
    bought = 2000 / tokens * 1e6
    power = 1e6 / 100 / 3600 * 0.5 * 0.3
    assert costs.energy_per_million(CARD, 0.3) == pytest.approx(power)
    assert costs.own_cost_per_million(CARD, 1, 0.3) == pytest.approx(bought + power)
    assert costs.own_cost_per_million(CARD, 0.5, 0.3) == pytest.approx(2 * bought + power)


def test_there_is_no_break_even_below_the_price_of_electricity():
    power = costs.energy_per_million(CARD, 0.3)
    assert math.isinf(costs.break_even(CARD, power, 0.3))
    assert math.isfinite(costs.break_even(CARD, power * 1.01, 0.3))
    assert math.isinf(costs.break_even(costs.Machine(1, 0, 1), 5e-324, 1))


@given(st.floats(100, 1e5), st.floats(0, 2000), st.floats(1, 5000), st.floats(0.5, 10))
def test_at_the_break_even_both_cost_the_same(usd, watts, speed, years):
    machine = costs.Machine(usd, watts, speed, years)
    share = costs.break_even(machine, 10.0, 0.2)
    if share <= 1:
        assert costs.own_cost_per_million(machine, share, 0.2) == pytest.approx(10.0)
    else:
        assert costs.own_cost_per_million(machine, 1, 0.2) > 10.0 * (1 - 1e-9)
