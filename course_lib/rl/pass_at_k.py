"""What many samples are worth: pass@k, majority votes, and both at the same number of tokens.

pass@k asks whether *any* of k samples is right, which needs a verifier to pick it out; a majority
vote (self-consistency, Wang et al., arXiv 2203.11171) needs none. Pure arithmetic on counts.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence


def pass_at_k(samples: int, correct: float, k: int) -> float:
    """The chance that at least one of `k` samples is right, from `correct` right in `samples`.

    The unbiased estimate of Chen et al. (arXiv 2107.03374): over all choices of k of the samples,
    the share that holds a right one. (With `1 - (1 - correct / samples) ** k` the same few samples
    are drawn again and again, and the result is too low.) Raises ValueError unless
    `0 <= correct <= samples` and `1 <= k <= samples`.
    """
    if not 0 <= correct <= samples or correct % 1:
        raise ValueError(f"correct is {correct}; allowed is 0 to samples, {samples}, and whole.")
    if not 1 <= k <= samples:
        raise ValueError(f"k is {k}; allowed is 1 to samples, {samples}.")
    return 1 - math.comb(samples - int(correct), k) / math.comb(samples, k)  # a sum of rewards


def pass_curve(outcomes: Sequence[Sequence[float]], ks: Sequence[int]) -> list[float]:
    """Mean pass@k over problems for each of `ks`.

    `outcomes` has one row a problem, of rewards that are 0 or 1, one for each sample. Raises
    ValueError for no problems or other rewards.
    """
    if not len(outcomes):
        raise ValueError("outcomes is empty; allowed is one row of 0s and 1s for each problem.")
    if any(value not in (0, 1) for row in outcomes for value in row):
        raise ValueError("outcomes holds rewards other than 0 and 1; allowed are these two.")
    counts = [(len(row), int(sum(row))) for row in outcomes]
    return [sum(pass_at_k(n, c, k) for n, c in counts) / len(counts) for k in ks]


def crossing(ks: Sequence[int], base: Sequence[float], trained: Sequence[float]) -> int | None:
    """The first k at which `base` has caught up with `trained`; None where it never does."""
    points = zip(ks, base, trained, strict=True)
    return next((k for k, b, t in points if b >= t), None)


def vote(answers: Sequence[Hashable | None], right: Hashable) -> float:
    """How right a majority vote is: 1.0, 0.0, or a share where `right` ties with others.

    None stands for a sample without an answer and has no vote; without any vote the result is 0.
    A tie of m answers is broken by lot, so each is worth 1 / m.
    """
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return 0.0
    most = max(votes.values())
    return (votes[right] == most) / sum(n == most for n in votes.values())


def vote_within(
    answers: Sequence[Hashable | None], tokens: Sequence[int], right: Hashable, budget: int
) -> float:
    """Mean of `vote` over votes that may spend `budget` tokens each: self-consistency at a price.

    `tokens` is what each answer cost. A vote takes samples in order for as long as they fit; a
    sample that alone costs more than the budget is a vote that fails. The last vote is left out
    where samples ran short, unless it is the only one. Raises ValueError for no answers, lengths
    that differ, or a budget or cost under 1.
    """
    if not len(answers) or len(answers) != len(tokens):
        raise ValueError(
            f"There are {len(answers)} answers and {len(tokens)} costs; allowed is the same "
            "number, at least one."
        )
    if budget < 1 or min(tokens) < 1:
        raise ValueError(
            f"budget is {budget} and the least cost {min(tokens)}; allowed is 1 or more."
        )
    votes = list(_votes(answers, tokens, budget))
    complete = votes[:-1] or votes
    return sum(vote(v, right) for v in complete) / len(complete)


def _votes(
    answers: Sequence[Hashable | None], tokens: Sequence[int], budget: int
) -> Iterator[list[Hashable | None]]:
    """Cut samples into votes; the last one may have had room for more."""
    current: list[Hashable | None] = []
    spent = 0
    for answer, cost in zip(answers, tokens, strict=True):
        if current and spent + cost > budget:
            yield current
            current, spent = [], 0
        current.append(answer if cost <= budget else None)
        spent += cost
    yield current
