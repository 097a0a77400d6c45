"""Lesson 03: GRPO's arithmetic, what pass@k asks, and a verifier that can be cheated."""

from __future__ import annotations

from functools import partial
from itertools import product
from math import comb

import numpy as np

from course_lib.classroom.checks.exercise import Case, Exercise, Mistake, case


def _advantages(
    rewards: np.ndarray,
    eps: float = 1e-4,
    *,
    ddof: int = 1,
    sign: float = 1.0,
    scope: str = "group",
    divide: str = "std",
    use_eps: str = "outside",
) -> np.ndarray:
    axis = {"group": 1, "batch": None, "column": 0}[scope]
    centred = sign * (rewards - rewards.mean(axis=axis, keepdims=True))
    if divide == "nothing":
        return centred
    spread = rewards.var(axis=axis, ddof=ddof, keepdims=True)
    if divide == "std":
        inner = eps if use_eps == "inside" else 0.0
        spread = np.sqrt(spread + inner)
    with np.errstate(invalid="ignore", divide="ignore"):
        return centred / (spread + (eps if use_eps == "outside" else 0.0))


def _fresh_rewards(rng: np.random.Generator) -> Case:
    rewards = rng.choice([0.0, 0.5, 1.0], (3, int(rng.integers(3, 9))))
    rewards[0, 0], rewards[0, 1] = 0.0, 1.0
    return case("each row: (reward - its mean) / (its sample deviation + eps)", rewards, 1e-4)


def _mask(ids: np.ndarray, eos: int, *, kind: str = "right") -> np.ndarray:
    ends = ids == eos
    before = np.cumsum(ends, axis=1) - ends  # how many ends stand before each place
    if kind == "by id":
        return (~ends).astype(float)
    if kind == "without end":
        return ((before == 0) & ~ends).astype(float)
    if kind == "last":
        still = np.cumsum(ends[:, ::-1], axis=1)[:, ::-1] > 0
        return (still | ~ends.any(axis=1, keepdims=True)).astype(float)
    if kind == "one more":
        return (np.pad(before[:, :-1], ((0, 0), (1, 0))) == 0).astype(float)
    kept = (before == 0).astype(float)
    if kind == "needs end":
        return kept * ends.any(axis=1, keepdims=True)
    return 1 - kept if kind == "turned round" else kept


def _fresh_ids(rng: np.random.Generator) -> Case:
    ids = rng.integers(3, 30, (4, 8))
    for row, end in enumerate(rng.integers(1, 8, 3)):
        ids[row, end:] = 2
    return case("1 up to and including the first end, 0 after it", ids, 2)


def _loss(
    logp: np.ndarray,
    old_logp: np.ndarray,
    advantages: np.ndarray,
    mask: np.ndarray,
    clip: float = 0.2,
    *,
    sign: float = -1.0,
    pick: str = "min",
    mean: str = "sequence",
    ratio: str = "right",
) -> float:
    gap = logp - old_logp if ratio != "turned round" else old_logp - logp
    r = gap if ratio == "log" else np.exp(gap)
    a = advantages[:, None]
    plain, clipped = r * a, np.clip(r, 1 - clip, 1 + clip) * a
    choose = {
        "min": np.minimum,
        "max": np.maximum,
        "clipped": lambda _, c: c,
        "plain": lambda p, _: p,
    }[pick]
    gain = sign * choose(plain, clipped)
    tokens = mask.sum(1)
    if mean == "padded":
        return float((gain * mask).mean())
    if mean == "unmasked":
        return float(gain.mean())
    if mean == "token":
        return float((gain * mask).sum() / tokens.sum())
    if mean == "sum":
        return float((gain * mask).sum(1).mean())
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = (gain * mask).sum(1) / (tokens if mean == "no guard" else np.maximum(tokens, 1))
    return float(rows.mean())


def _logs(*ratios: list[float]) -> np.ndarray:
    return np.log(np.array(ratios))


def _fresh_loss(rng: np.random.Generator) -> Case:
    shape = (4, 6)
    old = rng.normal(-1.5, 0.5, shape)
    new = old + rng.normal(0, 0.3, shape)
    lengths = rng.integers(1, 7, 4)
    mask = (np.arange(6) < lengths[:, None]).astype(float)
    why = "minus the mean over completions of each one's mean over its own tokens"
    return case(why, new, old, rng.normal(0, 1, 4), mask, 0.2)


_ONES = np.ones((1, 2))
_LOSS_CASES = (
    case(
        "the ratio 1.5 is clipped to 1.2 for a gain: -(1.2 + 1) / 2",
        _logs([1.5, 1.0]),
        np.zeros((1, 2)),
        np.array([1.0]),
        _ONES,
        0.2,
        expected=-1.1,
    ),
    case(
        "for a loss the ratio 1.5 is not clipped: min(-1.5, -1.2) is -1.5",
        _logs([1.5, 1.0]),
        np.zeros((1, 2)),
        np.array([-1.0]),
        _ONES,
        0.2,
        expected=1.25,
    ),
    case(
        "the ratio 0.5 is not clipped for a gain: min(0.5, 0.8) is 0.5",
        _logs([0.5, 1.0]),
        np.zeros((1, 2)),
        np.array([1.0]),
        _ONES,
        0.2,
        expected=-0.75,
    ),
    case(
        "for a loss the ratio 0.5 is clipped to 0.8: min(-0.5, -0.8) is -0.8",
        _logs([0.5, 1.0]),
        np.zeros((1, 2)),
        np.array([-1.0]),
        _ONES,
        0.2,
        expected=0.9,
    ),
    case(
        "padding does not count: row 0 has one token, row 1 has three",
        np.zeros((2, 3)),
        np.zeros((2, 3)),
        np.array([2.0, -1.0]),
        np.array([[1.0, 0, 0], [1, 1, 1]]),
        0.2,
        expected=-0.5,
    ),
    case(
        "the mask hides a wild ratio",
        _logs([1.0, 50.0]),
        np.zeros((1, 2)),
        np.array([1.0]),
        np.array([[1.0, 0.0]]),
        0.2,
        expected=-1.0,
    ),
    case(
        "a completion without tokens counts as 0 and not as NaN",
        np.zeros((2, 2)),
        np.zeros((2, 2)),
        np.array([1.0, 1.0]),
        np.array([[1.0, 1], [0, 0]]),
        0.2,
        expected=-0.5,
    ),
    case(
        "called without clip: it is 0.2",
        _logs([1.5, 1.0]),
        np.zeros((1, 2)),
        np.array([1.0]),
        _ONES,
        expected=-1.1,
    ),
    case(
        "a wide clip range leaves 1.5 as it is",
        _logs([1.5, 1.0]),
        np.zeros((1, 2)),
        np.array([1.0]),
        _ONES,
        0.6,
        expected=-1.25,
    ),
    case(
        "just outside the range: 1.21 becomes 1.2",
        _logs([1.21, 0.79]),
        np.zeros((1, 2)),
        np.array([1.0]),
        _ONES,
        0.2,
        expected=-0.995,
    ),
)
_LOSS_MISTAKES = (
    Mistake(
        "The sign: an optimiser makes a loss small, so the gain gets a minus.",
        partial(_loss, sign=1.0),
    ),
    Mistake(
        "You take the larger of the two; the clipped surrogate takes the smaller.",
        partial(_loss, pick="max"),
    ),
    Mistake(
        "You always take the clipped ratio; the smaller of clipped and unclipped counts.",
        partial(_loss, pick="clipped"),
    ),
    Mistake("Nothing is clipped.", partial(_loss, pick="plain")),
    Mistake(
        "Padding is counted: the mean goes over masked tokens too.", partial(_loss, mean="padded")
    ),
    Mistake("The mask is not used.", partial(_loss, mean="unmasked")),
    Mistake(
        "You average over all tokens (DAPO); here each completion has its own mean first.",
        partial(_loss, mean="token"),
    ),
    Mistake("You sum a completion's tokens; take their mean.", partial(_loss, mean="sum")),
    Mistake("The ratio is turned round: new over old.", partial(_loss, ratio="turned round")),
    Mistake(
        "The difference of log-probabilities is not yet the ratio: take exp of it.",
        partial(_loss, ratio="log"),
    ),
    Mistake(
        "A completion without tokens divides by 0; count it as 0.", partial(_loss, mean="no guard")
    ),
)


def _kl(logp: np.ndarray, ref_logp: np.ndarray, *, kind: str = "k3") -> np.ndarray:
    d = ref_logp - logp
    return {
        "k3": np.exp(d) - d - 1,
        "k1": -d,
        "turned round": np.exp(-d) + d - 1,
        "k2": d**2 / 2,
        "no one": np.exp(d) - d,
        "plus": np.exp(d) + d - 1,
        "half": np.exp(d) - 1,
        "minus": -(np.exp(d) - d - 1),
    }[kind]


def _pass_at_k(n: int, c: int, k: int, *, kind: str = "right") -> float:
    if kind == "share":
        return c / n
    if kind == "replaced":
        return 1 - (1 - c / n) ** k
    missed = comb(n - c, k) / comb(n, k)
    if kind == "all":
        return comb(c, k) / comb(n, k)
    return missed if kind == "missed" else 1 - missed


def _verify(numbers: list[int], target: int, text: str, *, kind: str = "right") -> float:
    answer = text.split("</think>", 1)[-1]
    if kind in ("thought counts", "last tag"):
        answer = text if kind == "thought counts" else text.split("</think>")[-1]
    needed = len(numbers) - 1
    signs = answer.split()
    if kind == "anywhere":
        rows = [" ".join(choice) for choice in product("+-", repeat=needed)]
        return float(any(row in text and _reaches(numbers, target, row.split()) for row in rows))
    if kind == "end":
        signs = signs[-needed:]
    if kind == "beginning":
        signs = signs[:needed]
    if kind == "signs only":
        signs = [word for word in signs if word in ("+", "-")]
    if kind == "one solution":
        choices = product("+-", repeat=needed)
        first = next((list(c) for c in choices if _reaches(numbers, target, list(c))), None)
        return float(signs == first)
    if len(signs) != needed and kind != "any length":
        return 0.0
    if kind == "form only":
        return float(set(signs) <= {"+", "-"})
    return float(set(signs) <= {"+", "-"} and _reaches(numbers, target, signs))


def _reaches(numbers: list[int], target: int, signs: list[str]) -> bool:
    pairs = zip(signs, numbers[1:], strict=False)
    return numbers[0] + sum(n if sign == "+" else -n for sign, n in pairs) == target


def _fresh_text(rng: np.random.Generator) -> Case:
    numbers = rng.integers(1, 10, int(rng.integers(3, 6))).tolist()
    signs = rng.choice(["+", "-"], len(numbers) - 1).tolist()
    target = numbers[0] + sum(
        n if s == "+" else -n for s, n in zip(signs, numbers[1:], strict=True)
    )
    right = " ".join(signs)
    texts = (
        right,
        f"<think> so be it</think> {right}",
        f"{right} {signs[0]}",
        f"<think> {right}",
        " ".join("-" if s == "+" else "+" for s in signs),
        f"or {right}",
    )
    why = "1.0 for one answer that reaches the target, with or without a thought before it"
    return case(why, numbers, target, str(rng.choice(texts)))


_VERIFIER_CASES = (
    case("6 - 9 + 4 is 1: right", [6, 9, 4], 1, " - +", expected=1.0),
    case("6 + 9 - 4 is 11 and not 1", [6, 9, 4], 1, " + -", expected=0.0),
    case(
        "a row of signs in which every answer stands is not one answer",
        [6, 9, 4],
        1,
        " + - + + - -",
        expected=0.0,
    ),
    case("its first two signs are right, but it has four", [6, 9, 4], 1, " - + + +", expected=0.0),
    case("its last two signs are right, but it has four", [6, 9, 4], 1, " + + - +", expected=0.0),
    case(
        "a thought may stand before the answer; what it says is not judged",
        [6, 9, 4],
        1,
        "<think> +9=15 no -9=-3 +4=1 yes</think> - +",
        expected=1.0,
    ),
    case(
        "the opening tag may have been in the prompt",
        [6, 9, 4],
        1,
        " -9=-3 +4=1 yes</think> - +",
        expected=1.0,
    ),
    case("a thought without an end has no answer", [6, 9, 4], 1, "<think> - +", expected=0.0),
    case("right in the thought, no answer after it", [6, 9, 4], 1, "- +</think>", expected=0.0),
    case("both answers, to be on the safe side", [6, 9, 4], 1, " - + or + -", expected=0.0),
    case(
        "after the first </think> comes the answer, and here that is more than one answer",
        [6, 9, 4],
        1,
        "so</think> + - no</think> - +",
        expected=0.0,
    ),
    case("one sign is missing: 6 - 5 would be 1", [6, 5, 4], 1, " -", expected=0.0),
    case("two choices reach 3; the one is right", [3, 2, 2], 3, " + -", expected=1.0),
    case("two choices reach 3; so is the other", [3, 2, 2], 3, " - +", expected=1.0),
)

EXERCISES = (
    Exercise(
        name="grpo.by_hand",
        symbol="advantages_by_hand",
        title="A group's advantages, by hand",
        what_for="Four answers, one of them right: what does each of them teach?",
        difficulty=1,
        minutes=5,
        needs="mean and sample standard deviation, two decimals",
        hints=(
            "The mean of 1, 0, 0, 0 is 0.25.",
            "The squares of the distances sum to 0.75; the sample variance divides by n - 1 = 3.",
            "The deviation is 0.5: the right answer gets 0.75 / 0.5, the others -0.25 / 0.5.",
        ),
        reference=lambda: [1.5, -0.5, -0.5, -0.5],
        cases=(case("(reward - mean) / sample deviation, for the rewards 1, 0, 0, 0"),),
        mistakes=(
            Mistake(
                "That is the population's deviation (n below the line); take n - 1.",
                lambda: [1.7321, -0.57735, -0.57735, -0.57735],
            ),
            Mistake(
                "The mean is taken off, but nothing is divided by the deviation.",
                lambda: [0.75, -0.25, -0.25, -0.25],
            ),
            Mistake(
                "You divided by the variance, 0.25; take its square root.",
                lambda: [3.0, -1.0, -1.0, -1.0],
            ),
            Mistake(
                "The signs are turned round: the right answer is above the mean.",
                lambda: [-1.5, 0.5, 0.5, 0.5],
            ),
            Mistake(
                "The rewards are divided, but the mean was not taken off.",
                lambda: [2.0, 0.0, 0.0, 0.0],
            ),
        ),
        rtol=0.0,
        atol=0.0051,
    ),
    Exercise(
        name="grpo.advantages",
        symbol="my_group_advantages",
        title="Group advantages",
        what_for="GRPO's one idea: the group itself is the baseline, no value model needed.",
        difficulty=2,
        minutes=10,
        needs="torch: mean and std along a dimension",
        hints=(
            "Every row is a group: mean and deviation go along dimension 1.",
            "keepdim=True keeps the shapes fitting; the deviation is of the sample (n - 1).",
            "(rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + eps).",
        ),
        reference=_advantages,
        cases=(
            case(
                "the mean is 0.25 and the sample deviation 0.5",
                np.array([[1.0, 0, 0, 0]]),
                1e-4,
                expected=np.array([[0.75, -0.25, -0.25, -0.25]]) / 0.5001,
            ),
            case(
                "4 of 8: the sample deviation is 0.5345, so +-0.9354 and not +-1",
                np.array([[1.0, 1, 1, 1, 0, 0, 0, 0]]),
                1e-4,
                expected=np.array([[0.5] * 4 + [-0.5] * 4]) / (np.sqrt(2 / 7) + 1e-4),
            ),
            case(
                "all the same: nothing to learn, exactly 0",
                np.array([[1.0, 1, 1], [0, 0, 0]]),
                1e-4,
                expected=np.zeros((2, 3)),
            ),
            case(
                "two groups, each with its own mean and deviation",
                np.array([[0.0, 1, 2], [10, 10, 13]]),
                1e-4,
            ),
            case(
                "the deviation is 0.0005, so eps = 0.0001 matters: it is added to the deviation",
                np.array([[0.001, 0, 0, 0]]),
                1e-4,
                expected=np.array([[0.00075, -0.00025, -0.00025, -0.00025]]) / 0.0006,
            ),
            case(
                "called without eps: it is 0.0001",
                np.array([[0.002, 0, 0, 0]]),
                expected=np.array([[0.0015, -0.0005, -0.0005, -0.0005]]) / 0.0011,
            ),
            case(
                "another eps",
                np.array([[1.0, 0.0]]),
                0.5,
                expected=np.array([[0.5, -0.5]]) / (np.sqrt(0.5) + 0.5),
            ),
        ),
        fresh=_fresh_rewards,
        mistakes=(
            Mistake(
                "That is the population's deviation, with n below the line; the sample's has "
                "n - 1 (torch's default).",
                partial(_advantages, ddof=0),
            ),
            Mistake(
                "The sign is turned round: above the mean is good.", partial(_advantages, sign=-1.0)
            ),
            Mistake(
                "You take mean and deviation of the whole batch; each group has its own.",
                partial(_advantages, scope="batch"),
            ),
            Mistake(
                "You go down the columns; a group is a row.", partial(_advantages, scope="column")
            ),
            Mistake(
                "You divide by the variance; take the standard deviation.",
                partial(_advantages, divide="variance"),
            ),
            Mistake(
                "Nothing is divided: that is Dr. GRPO's advantage, a good idea but another one.",
                partial(_advantages, divide="nothing"),
            ),
            Mistake(
                "eps is missing: a group whose rewards are all the same gives 0/0.",
                partial(_advantages, use_eps="nowhere"),
            ),
            Mistake(
                "eps goes beside the deviation, not under the root.",
                partial(_advantages, use_eps="inside"),
            ),
        ),
        tensors=True,
    ),
    Exercise(
        name="grpo.completion_mask",
        symbol="my_completion_mask",
        title="Which tokens count?",
        what_for="A mask by token id never trains the end: a bug of several public trainers.",
        difficulty=3,
        minutes=10,
        needs="torch: cumsum; or a loop",
        hints=(
            "Go by position: up to and including the *first* end token, also when padding has the "
            "same id.",
            "ends = (ids == eos); how many ends stand strictly before each place?",
            "(ends.cumsum(1) - ends.long() == 0).float().",
        ),
        reference=_mask,
        cases=(
            case(
                "the first end (2) is the token itself and counts; padding with 2 does not",
                np.array([[5, 6, 2, 2, 2]]),
                2,
                expected=np.array([[1.0, 1, 1, 0, 0]]),
            ),
            case(
                "a completion that never ended counts whole",
                np.array([[5, 6, 7, 8]]),
                2,
                expected=np.ones((1, 4)),
            ),
            case(
                "an end at once is one token",
                np.array([[2, 9, 9]]),
                2,
                expected=np.array([[1.0, 0, 0]]),
            ),
            case(
                "what comes after the first end is not the completion's, whatever it is",
                np.array([[4, 2, 7, 2, 7]]),
                2,
                expected=np.array([[1.0, 1, 0, 0, 0]]),
            ),
            case(
                "an end at the very end, beside a shorter row, and another end token",
                np.array([[1, 3, 7], [7, 7, 7]]),
                7,
                expected=np.array([[1.0, 1, 1], [1, 0, 0]]),
            ),
        ),
        fresh=_fresh_ids,
        mistakes=(
            Mistake(
                "You mask by token id, so the end is never trained and padding decides; go by "
                "the first end's position.",
                partial(_mask, kind="by id"),
            ),
            Mistake(
                "The end token itself counts: the model must learn to stop.",
                partial(_mask, kind="without end"),
            ),
            Mistake(
                "You go up to the last end; the first one ends the completion.",
                partial(_mask, kind="last"),
            ),
            Mistake(
                "One token too many: stop after the first end.", partial(_mask, kind="one more")
            ),
            Mistake(
                "A completion without an end counts whole; it was cut off.",
                partial(_mask, kind="needs end"),
            ),
            Mistake(
                "The mask is turned round: 1 is for tokens that count.",
                partial(_mask, kind="turned round"),
            ),
        ),
        tensors=True,
    ),
    Exercise(
        name="grpo.policy_loss",
        symbol="my_policy_loss",
        title="The clipped loss",
        what_for="The whole update of R1-Zero in eight lines.",
        difficulty=4,
        minutes=20,
        needs="torch: exp, clamp, minimum; the lesson's formula",
        hints=(
            "ratio = exp(logp - old_logp), one for each token; the advantage is one for each row.",
            "Take the smaller of ratio * A and clamp(ratio) * A; mask it; mean per row, then over "
            "rows; then a minus.",
            "tokens = mask.sum(1).clamp(min=1); loss = -((gain * mask).sum(1) / tokens).mean().",
        ),
        reference=_loss,
        cases=_LOSS_CASES,
        fresh=_fresh_loss,
        mistakes=_LOSS_MISTAKES,
        tensors=True,
    ),
    Exercise(
        name="grpo.kl",
        symbol="my_kl",
        title="How far from the reference?",
        what_for="GRPO's KL term is an estimate that is never negative; know which one.",
        difficulty=2,
        minutes=6,
        needs="torch.exp",
        hints=(
            "DeepSeek uses what is called k3: ratio - log(ratio) - 1.",
            "The ratio is reference over policy: exp(ref_logp - logp).",
            "d = ref_logp - logp; d.exp() - d - 1.",
        ),
        reference=_kl,
        cases=(
            case(
                "equal policies: 0",
                np.array([[-1.0, -2.0]]),
                np.array([[-1.0, -2.0]]),
                expected=np.zeros((1, 2)),
            ),
            case(
                "reference over policy is 2: 2 - log 2 - 1",
                np.array([[-1.0]]),
                np.array([[-1.0 + np.log(2)]]),
                expected=np.array([[1 - np.log(2)]]),
            ),
            case(
                "reference over policy is 1/2: 1/2 + log 2 - 1, not the same as for 2",
                np.array([[-1.0]]),
                np.array([[-1.0 - np.log(2)]]),
                expected=np.array([[np.log(2) - 0.5]]),
            ),
        ),
        fresh=lambda rng: case(
            "exp(d) - d - 1 with d = ref_logp - logp, token by token",
            rng.normal(-2, 0.7, (2, 4)),
            rng.normal(-2, 0.7, (2, 4)),
        ),
        mistakes=(
            Mistake(
                "That is the plain log-ratio (k1): right on average, but it can be negative.",
                partial(_kl, kind="k1"),
            ),
            Mistake(
                "That is half the square of the log-ratio (k2), another estimate.",
                partial(_kl, kind="k2"),
            ),
            Mistake(
                "The ratio is turned round: reference over policy.",
                partial(_kl, kind="turned round"),
            ),
            Mistake("Equal policies must give 0: the - 1 is missing.", partial(_kl, kind="no one")),
            Mistake(
                "The sign of the log: ratio minus log of the ratio.", partial(_kl, kind="plus")
            ),
            Mistake("The log of the ratio is missing.", partial(_kl, kind="half")),
            Mistake(
                "A distance is never negative: the sign is turned round.",
                partial(_kl, kind="minus"),
            ),
        ),
        tensors=True,
    ),
    Exercise(
        name="grpo.pass_at_k",
        symbol="pass_at_k",
        title="pass@k without bias",
        what_for="Did RL teach or only select? The dispute is about this number.",
        difficulty=3,
        minutes=10,
        needs="binomial coefficients: math.comb",
        hints=(
            "Of n samples c are right. Draw k of them without putting any back.",
            "How likely is it that all k are among the n - c wrong ones?",
            "1 - comb(n - c, k) / comb(n, k).",
        ),
        reference=_pass_at_k,
        cases=(
            case("at k = 1 it is the share of right answers", 10, 3, 1, expected=0.3),
            case("of 6 pairs only 1 has no right answer", 4, 2, 2, expected=5 / 6),
            case("more draws than wrong answers: one must be right", 5, 3, 3, expected=1.0),
            case("none right", 8, 0, 4, expected=0.0),
            case("1 - C(190, 20) / C(200, 20)", 200, 10, 20),
        ),
        fresh=lambda rng: case(
            "1 - C(n - c, k) / C(n, k)", 64, int(rng.integers(1, 40)), int(rng.integers(2, 20))
        ),
        mistakes=(
            Mistake(
                "That is the share of right answers, pass@1, whatever k is.",
                partial(_pass_at_k, kind="share"),
            ),
            Mistake(
                "You put the samples back; from n samples you draw k different ones.",
                partial(_pass_at_k, kind="replaced"),
            ),
            Mistake(
                "That is the chance that all k are wrong; take what is left to 1.",
                partial(_pass_at_k, kind="missed"),
            ),
            Mistake(
                "That asks for all k to be right; one is enough.", partial(_pass_at_k, kind="all")
            ),
        ),
        atol=1e-9,
    ),
    Exercise(
        name="grpo.find_the_bug",
        symbol="mended_loss",
        title="Find the bug: a loss that loves padding",
        what_for="The curve looks plausible and short completions learn less: read the mean.",
        difficulty=3,
        minutes=10,
        needs="`broken_loss` in the cell above the stub",
        hints=(
            "Give broken_loss one completion, and then the same one with more padding.",
            "The masked tokens add nothing to the sum. Do they add to what it is divided by?",
            "Divide each row's sum by mask.sum(1), at least 1, and then take the mean over rows.",
        ),
        reference=_loss,
        cases=_LOSS_CASES,
        fresh=_fresh_loss,
        mistakes=(
            Mistake(
                "This still behaves like broken_loss: what is the masked sum divided by?",
                partial(_loss, mean="padded"),
            ),
            *(mistake for mistake in _LOSS_MISTAKES if "Padding" not in mistake.sentence),
        ),
        tensors=True,
    ),
    Exercise(
        name="grpo.mend_the_verifier",
        symbol="mended_verifier",
        title="Mend the verifier that was cheated",
        what_for="A policy learns what is paid for: here it was paid for a row of signs.",
        difficulty=3,
        minutes=12,
        needs="strings: partition and split; `sloppy_verifier` in the cell above the stub",
        hints=(
            "Pay sloppy_verifier for ' + - + + - -' on a few puzzles: it is always content.",
            "Take what stands after the first </think> (all of it where there is none) and ask for "
            "exactly one answer: how many words, and which?",
            "signs = rest.split(); pay only if len(signs) == len(numbers) - 1, each of them is a + "
            "or a -, and the total is the target.",
        ),
        reference=_verify,
        cases=_VERIFIER_CASES,
        fresh=_fresh_text,
        mistakes=(
            Mistake(
                "It still pays wherever the right signs stand: a long row of signs has them all.",
                partial(_verify, kind="anywhere"),
            ),
            Mistake(
                "Only the last signs are looked at: what stands before them must not be there.",
                partial(_verify, kind="end"),
            ),
            Mistake(
                "Only the first signs are looked at: nothing may come after them.",
                partial(_verify, kind="beginning"),
            ),
            Mistake(
                "Words beside the signs are passed over; an answer is signs and nothing else.",
                partial(_verify, kind="signs only"),
            ),
            Mistake(
                "A puzzle may have several solutions: judge the total and not the signs.",
                partial(_verify, kind="one solution"),
            ),
            Mistake(
                "The number of signs is not checked: one for every number but the first.",
                partial(_verify, kind="any length"),
            ),
            Mistake(
                "A thought before the answer is allowed: take what stands after </think>.",
                partial(_verify, kind="thought counts"),
            ),
            Mistake(
                "Take what stands after the first </think>, not after the last.",
                partial(_verify, kind="last tag"),
            ),
            Mistake(
                "The form is right and nothing is added up: that pays for every answer.",
                partial(_verify, kind="form only"),
            ),
        ),
    ),
)
