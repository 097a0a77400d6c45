# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: the cost reset
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/01_cost_reset.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: costs.ratio -->
#
# At its launch R1 cost <span>\$</span>0.55 per million input tokens and <span>\$</span>2.19 per
# million output tokens; o1 cost <span>\$</span>15 and <span>\$</span>60. How many times cheaper was
# R1's **output**? Work it out by hand, to one decimal.

# %%
### BEGIN SOLUTION
price_ratio = 60 / 2.19
### END SOLUTION

# %%
check("costs.ratio", price_ratio)

# %% [markdown]
# <!-- card: costs.per_answer -->
#
# Prices are in dollars per million tokens. Thinking is billed as output. Part of the question may
# be in the provider's cache and has a price of its own.


# %%
def cost_per_answer(question, thinking, answer, cached=0, *, price_in, price_cached, price_out):
    """Dollars that one answer costs.

    question, thinking, answer: numbers of tokens; `cached` of the question's tokens (they are part
    of `question`) are in the cache. price_in, price_cached, price_out: dollars per million tokens
    of input, of cached input and of output.
    """
    ### BEGIN SOLUTION
    dollars = (question - cached) * price_in + cached * price_cached
    dollars += (thinking + answer) * price_out
    return dollars / 1_000_000
    ### END SOLUTION


# %%
check("costs.per_answer", cost_per_answer)

# %% [markdown]
# <!-- card: costs.standard_error -->
#
# A benchmark of n problems is n throws of a coin. A score of 80 % on 30 problems could have been
# something else on 30 other problems; the standard error says by how much.


# %%
def standard_error(score, problems):
    """The standard error of a benchmark score, in percentage points.

    score: percent of problems solved, 0 to 100. problems: how many problems there are. Every
    problem is solved with the same probability, independently: sqrt(p (1 - p) / n).
    """
    ### BEGIN SOLUTION
    share = score / 100
    return 100 * (share * (1 - share) / problems) ** 0.5
    ### END SOLUTION


# %%
check("costs.standard_error", standard_error)

# %% [markdown]
# <!-- card: costs.gap_in_problems -->
#
# AIME 2024 has 30 problems. R1 has 79.8 on it and o1 79.2: how many *problems* is that?


# %%
def gap_in_problems(score_a, score_b, problems):
    """By how many problems a is ahead of b; negative where it is behind, with fractions.

    score_a, score_b: percent of problems solved. problems: how many problems there are.
    """
    ### BEGIN SOLUTION
    return (score_a - score_b) / 100 * problems
    ### END SOLUTION


# %%
check("costs.gap_in_problems", gap_in_problems)

# %% [markdown]
# <!-- card: costs.own_machine -->
#
# An API bills by the token; your own machine bills by the hour, whether it works or not. So,
# unlike in the lesson, it draws its power in all its hours here, busy or idle.


# %%
def own_cost_per_million(
    hardware_dollars, years, watts, dollars_per_kwh, tokens_per_second, utilisation
):
    """Dollars per million tokens on a machine of your own over its whole life.

    The machine costs hardware_dollars, lasts `years` of 8,760 hours and draws `watts` in all of
    them, at dollars_per_kwh. It makes tokens_per_second while it is busy, which is the share
    `utilisation` (0 to 1) of its hours.
    """
    ### BEGIN SOLUTION
    hours = 8760 * years
    dollars = hardware_dollars + hours * watts / 1000 * dollars_per_kwh
    tokens = tokens_per_second * 3600 * hours * utilisation
    return dollars / tokens * 1_000_000
    ### END SOLUTION


# %%
check("costs.own_machine", own_cost_per_million)
