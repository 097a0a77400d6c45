"""Submissions to lesson 03."""

from bank import Bank

_LOSS = "def NAME(logp, old_logp, advantages, mask, clip=0.2):\n"
_LOSS_LOOP = """\
    total = 0.0
    for new, old, a, keep in zip(logp.tolist(), old_logp.tolist(), advantages.tolist(),
                                 mask.tolist()):
        gains = []
        for n, o, m in zip(new, old, keep):
            if m:
                r = math.exp(n - o)
                gains.append(min(r * a, max(1 - clip, min(1 + clip, r)) * a))
        total += sum(gains) / len(gains) if gains else 0.0
    return -total / len(mask)
"""
_LOSS_NUMPY = """\
    import numpy as np
    r = np.exp(logp.double().numpy() - old_logp.double().numpy())
    a = advantages.double().numpy()[:, None]
    g = np.where(a > 0, np.minimum(r, 1 + clip) * a, np.maximum(r, 1 - clip) * a)
    m = mask.numpy()
    return float(-np.mean((g * m).sum(1) / np.maximum(m.sum(1), 1)))
"""
_LOSS_WHERE = """\
    ratio = torch.where(mask.bool(), (logp - old_logp).exp(), torch.ones_like(logp))
    a = advantages.view(-1, 1).expand_as(ratio)
    losses = torch.max(-a * ratio, -a * torch.clip(ratio, 1 - clip, 1 + clip))
    weights = mask / mask.sum(-1, keepdim=True).clamp_min(1) / mask.shape[0]
    return (losses * weights).sum()
"""


def _loss(name: str) -> list[str]:
    head = _LOSS.replace("NAME", name)
    return [head + body for body in (_LOSS_TORCH_LOOP, _LOSS_SCALARS, _LOSS_MAX, _LOSS_WHERE)]


_LOSS_TORCH_LOOP = """\
    rows = []
    for new, old, a, keep in zip(logp, old_logp, advantages, mask):
        r = (new - old).exp()[keep.bool()]
        gains = torch.minimum(r * a, r.clamp(1 - clip, 1 + clip) * a)
        rows.append(gains.mean() if len(gains) else 0 * new.sum())
    return -torch.stack(rows).mean()
"""
_LOSS_SCALARS = """\
    total = 0.0  # and stays a plain number where no token counts: there is nothing to train
    for new, old, a, keep in zip(logp, old_logp, advantages, mask):
        for n, o, m in zip(new, old, keep):
            if m:
                r = (n - o).exp()
                total -= min(r * a, r.clamp(1 - clip, 1 + clip) * a) / keep.sum()
    return total / len(mask)
"""
_LOSS_MAX = """\
    a = advantages.reshape(-1, 1)
    ratio = torch.exp(logp - old_logp)
    bounded = torch.where(a > 0, ratio.clamp(max=1 + clip), ratio.clamp(min=1 - clip))
    each = torch.sum(-bounded * a * mask, 1) / torch.clamp(mask.sum(1), min=1.0)
    return each.sum() / len(each)
"""


def _untrained(name: str) -> list[tuple[str, str]]:
    head = _LOSS.replace("NAME", name)
    return [("no tensor", head + _LOSS_LOOP), ("Can't call numpy()", head + _LOSS_NUMPY)]


_CLAMPED = "ratio.clamp(1 - clip, 1 + clip)"

BANKS = {
    "grpo.by_hand": Bank(
        wrong=[
            ("population's", "advantages_by_hand = [1.73, -0.58, -0.58, -0.58]"),
            ("nothing is divided", "advantages_by_hand = [0.75, -0.25, -0.25, -0.25]"),
            ("by the variance", "advantages_by_hand = [3, -1, -1, -1]"),
            ("signs are turned round", "advantages_by_hand = [-1.5, 0.5, 0.5, 0.5]"),
            ("mean was not taken off", "advantages_by_hand = [2, 0, 0, 0]"),
            ("not it yet", "advantages_by_hand = [1, 0, 0, 0]"),
            ("not it yet", "advantages_by_hand = 1.5"),
            ("not it yet", "advantages_by_hand = [1.5, -0.5]"),
            ("not it yet", "advantages_by_hand = [1.5, -0.5, -0.5, -0.51]"),
        ],
        right=[
            "advantages_by_hand = (1.5, -0.5, -0.5, -0.5)",
            "advantages_by_hand = torch.tensor([1.5, -0.5, -0.5, -0.5])",
            """\
import numpy as np
r = np.array([1.0, 0, 0, 0])
advantages_by_hand = (r - r.mean()) / r.std(ddof=1)""",
        ],
    ),
    "grpo.advantages": Bank(
        wrong=[
            (
                "population",
                (
                    "rewards.std(dim=1, keepdim=True)",
                    "rewards.std(dim=1, keepdim=True, correction=0)",
                ),
            ),
            ("above the mean is good", ("(rewards - mean)", "(mean - rewards)")),
            (
                "whole batch",
                (
                    ("rewards.mean(dim=1, keepdim=True)", "rewards.mean()"),
                    ("rewards.std(dim=1, keepdim=True)", "rewards.std()"),
                ),
            ),
            ("by the variance", (".std(", ".var(")),
            ("Dr. GRPO", (" / (rewards.std(dim=1, keepdim=True) + eps)", "")),
            ("eps is missing", (" + eps", "")),
            (
                "not under the root",
                (
                    "(rewards.std(dim=1, keepdim=True) + eps)",
                    "(rewards.var(dim=1, keepdim=True) + eps).sqrt()",
                ),
            ),
            ("0.25 and the sample", ("+ eps", "+ 1e-6")),
            ("0.25 and the sample", ("rewards - mean", "rewards")),
            ("another eps", ("+ eps", "+ 1e-4")),
            ("nothing to learn", ("rewards.mean(dim=1, keepdim=True)", "rewards.mean()")),
            (
                "0.25 and the sample",
                ("rewards.mean(dim=1, keepdim=True)", "rewards.median(dim=1, keepdim=True).values"),
            ),
            ("lost its dimension", ("rewards.mean(dim=1, keepdim=True)", "rewards.mean(dim=1)")),
        ],
        right=[
            """\
def my_group_advantages(rewards, eps=1e-4):
    rows = []
    for row in rewards.tolist():
        m = sum(row) / len(row)
        v = sum((x - m) ** 2 for x in row) / (len(row) - 1)
        rows.append([(x - m) / (v ** 0.5 + eps) for x in row])
    return rows
""",
            """\
import numpy as np
def my_group_advantages(rewards, eps=1e-4):
    r = rewards.numpy().astype(np.float64)
    return (r - r.mean(1)[:, None]) / (r.std(1, ddof=1)[:, None] + eps)
""",
            """\
def my_group_advantages(rewards, eps=1e-4):
    deviation = rewards.std(-1, keepdim=True)
    rewards -= rewards.mean(-1, True)
    rewards /= deviation + eps
    return rewards
""",
            """\
def my_group_advantages(rewards, eps=1e-4):
    r = rewards.double()
    n = r.shape[1]
    c = r - r.sum(1, keepdim=True) / n
    s = torch.linalg.vector_norm(c, dim=1, keepdim=True) / math.sqrt(n - 1)
    return c * (1 / (s + eps))
""",
        ],
    ),
    "grpo.completion_mask": Bank(
        wrong=[
            (
                "by token id",
                """\
def my_completion_mask(ids, eos):
    return (ids != eos).float()
""",
            ),
            ("must learn to stop", ("(before == 0)", "(before + ends == 0)")),
            (
                "last end",
                """\
def my_completion_mask(ids, eos):
    e = (ids == eos).long()
    after = e.flip(1).cumsum(1).flip(1)
    return ((after > 0) | (e.sum(1, keepdim=True) == 0)).float()
""",
            ),
            (
                "One token too many",
                """\
def my_completion_mask(ids, eos):
    n = ids.shape[1]
    e = (ids == eos).float()
    first = torch.where(e.sum(1) > 0, e.argmax(1), n)
    return (torch.arange(n) <= first[:, None] + 1).float()
""",
            ),
            (
                "without an end counts whole",
                (
                    "(before == 0).float()",
                    "(before == 0).float() * (ends.sum(1, keepdim=True) > 0)",
                ),
            ),
            ("turned round", ("(before == 0)", "(before > 0)")),
            ("another end token", ("ids == eos", "ids == 2")),
            (
                "token itself",
                """\
def my_completion_mask(ids, eos):
    return torch.ones_like(ids).float()
""",
            ),
            ("token itself", ("dim=1", "dim=0")),
            ("one token", ("(before == 0).float()", "((before == 0) | (ids != eos)).float()")),
            ("came out", ("(before == 0).float()", "ids * (before == 0)")),
        ],
        right=[
            """\
def my_completion_mask(ids, eos):
    rows = []
    for row in ids.tolist():
        end = row.index(eos) + 1 if eos in row else len(row)
        rows.append([1.0] * end + [0.0] * (len(row) - end))
    return rows
""",
            """\
def my_completion_mask(ids, eos):
    n = ids.shape[1]
    place = torch.arange(n)
    first = torch.where(ids == eos, place, n).amin(1, keepdim=True)
    return place <= first
""",
            """\
import numpy as np
def my_completion_mask(ids, eos):
    open_ = np.cumprod(ids.numpy() != eos, axis=1)
    return np.hstack([np.ones((len(ids), 1), int), open_[:, :-1]])
""",
        ],
    ),
    "grpo.policy_loss": Bank(
        wrong=[
            ("gain gets a minus", ("return -rows", "return rows")),
            ("takes the smaller", ("torch.minimum", "torch.maximum")),
            (
                "always take the clipped",
                (f"torch.minimum(ratio * gain, {_CLAMPED} * gain)", f"{_CLAMPED} * gain"),
            ),
            (
                "Nothing is clipped",
                (f"torch.minimum(ratio * gain, {_CLAMPED} * gain)", "ratio * gain"),
            ),
            ("from below only", ("clamp(1 - clip, 1 + clip)", "clamp(min=1 - clip)")),
            ("from above only", ("clamp(1 - clip, 1 + clip)", "clamp(max=1 + clip)")),
            (
                "Padding is counted",
                (
                    "(gain * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)",
                    "(gain * mask).mean(dim=1)",
                ),
            ),
            (
                "mask is not used",
                ("(gain * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)", "gain.mean(dim=1)"),
            ),
            (
                "DAPO",
                (
                    "rows = (gain * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)",
                    "rows = (gain * mask).sum() / mask.sum()",
                ),
            ),
            ("take their mean", (" / mask.sum(dim=1).clamp(min=1)", "")),
            ("new over old", ("logp - old_logp", "old_logp - logp")),
            ("take exp", ("torch.exp(logp - old_logp)", "(logp - old_logp)")),
            ("divides by 0", (".clamp(min=1)", "")),
            ("clipped to 1.2", ("1 + clip", "1 + 2 * clip")),
            ("clipped", ("1 - clip", "1 - clip / 5")),
            ("wide clip range", (("1 - clip", "0.8"), ("1 + clip", "1.2"))),
            ("clipped", ("1 + clip", "1 + clip + 0.005")),
            ("clipped", ("advantages[:, None]", "advantages.abs()[:, None]")),
            ("clipped", ("-rows.mean()", "-rows.sum() * 0.9")),
            ("padding does not count", ("-rows.mean()", "-rows.sum()")),
            *_untrained("my_policy_loss"),
            ("nothing of it reaches", ("return -rows.mean()", "return -rows.mean().detach()")),
            (
                "nothing of it reaches",
                ("torch.exp(logp - old_logp)", "torch.exp(logp - old_logp).detach()"),
            ),
        ],
        right=_loss("my_policy_loss"),
    ),
    "grpo.kl": Bank(
        wrong=[
            ("(k1)", ("difference.exp() - difference - 1", "-difference")),
            ("(k2)", ("difference.exp() - difference - 1", "difference ** 2 / 2")),
            ("reference over policy", ("ref_logp - logp", "logp - ref_logp")),
            ("- 1 is missing", (" - 1", "")),
            ("minus log of the ratio", ("- difference - 1", "+ difference - 1")),
            ("log of the ratio is missing", (" - difference - 1", " - 1")),
            (
                "never negative",
                (
                    "return difference.exp() - difference - 1",
                    "return 1 + difference - difference.exp()",
                ),
            ),
            (
                "the shape is",
                (
                    "return difference.exp() - difference - 1",
                    "return (difference.exp() - difference - 1).mean()",
                ),
            ),
            ("2 - log 2", ("difference.exp()", "(2 * difference).exp()")),
            ("2 - log 2", ("difference.exp() - difference - 1", "difference.exp() * difference")),
        ],
        right=[
            """\
def my_kl(logp, ref_logp):
    ratio = torch.exp(ref_logp) / torch.exp(logp)
    return ratio - torch.log(ratio) - 1
""",
            """\
def my_kl(logp, ref_logp):
    d = (ref_logp - logp).double()
    return torch.expm1(d) - d
""",
            """\
def my_kl(logp, ref_logp):
    return [
        [torch.exp(r - p) - (r - p) - 1 for p, r in zip(a, b)]
        for a, b in zip(logp, ref_logp)
    ]
""",
        ],
    ),
    "grpo.pass_at_k": Bank(
        wrong=[
            (
                "pass@1",
                """\
def pass_at_k(n, c, k):
    return c / n
""",
            ),
            (
                "put the samples back",
                """\
def pass_at_k(n, c, k):
    return 1 - (1 - c / n) ** k
""",
            ),
            ("left to 1", ("1 - math.comb(n - c, k)", "math.comb(n - c, k)")),
            (
                "one is enough",
                """\
def pass_at_k(n, c, k):
    return math.comb(c, k) / math.comb(n, k)
""",
            ),
            ("share of right answers", ("math.comb(n - c, k)", "math.comb(n - c, k - 1)")),
            ("share of right answers", ("math.comb(n, k)", "math.comb(n + 1, k)")),
            (
                "came out",
                """\
def pass_at_k(n, c, k):
    return min(1.0, c * k / n)
""",
            ),
            (
                "came out",
                """\
def pass_at_k(n, c, k):
    return float(c >= 1)
""",
            ),
            ("share of right answers", ("math.comb(n - c, k)", "math.comb(n - c - 1, k)")),
        ],
        right=[
            """\
def pass_at_k(n, c, k):
    missed = 1.0
    for i in range(k):
        missed *= max(n - c - i, 0) / (n - i)
    return 1 - missed
""",
            """\
import numpy as np
def pass_at_k(n, c, k):
    if n - c < k:
        return 1.0
    return 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))
""",
            """\
from fractions import Fraction


def pass_at_k(n, c, k):
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
""",
            """\
def pass_at_k(n, c, k):
    i = torch.arange(k)
    return 1 - ((n - c - i).clamp(min=0) / (n - i)).prod()
""",
            """\
from fractions import Fraction


def pass_at_k(n, c, k):
    return float(
        sum(
            Fraction(math.comb(c, i) * math.comb(n - c, k - i), math.comb(n, k))
            for i in range(1, k + 1)
        )
    )
""",
        ],
    ),
    "grpo.find_the_bug": Bank(
        wrong=[
            ("still behaves like broken_loss", "mended_loss = broken_loss"),
            ("from below only", ("clamp(1 - clip, 1 + clip)", "clamp(min=1 - clip)")),
            *_untrained("mended_loss"),
            (
                "Dr. GRPO",
                (
                    "(surrogate * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)",
                    "(surrogate * mask).mean(dim=1)",
                ),
            ),
            ("divides by 0", (".clamp(min=1)", "")),
            (
                "DAPO",
                (
                    "(surrogate * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)",
                    "(surrogate * mask).sum() / mask.sum()",
                ),
            ),
            (
                "mask is not used",
                (
                    "(surrogate * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)",
                    "surrogate.mean(dim=1)",
                ),
            ),
            ("take their mean", (" / mask.sum(dim=1).clamp(min=1)", "")),
            ("gain gets a minus", ("return -per", "return per")),
            ("takes the smaller", ("torch.min(", "torch.max(")),
            ("padding does not count", ("mask.sum(dim=1).clamp(min=1)", "mask.sum(dim=1).max()")),
            ("clipped", ("mask.sum(dim=1).clamp(min=1)", "(mask.sum(dim=1) + 1)")),
            (
                "nothing of it reaches",
                ("return -per_completion", "return -per_completion.detach()"),
            ),
            (
                "its gradient for",
                (
                    "ratio = (logp - old_logp).exp()",
                    """\
ratio = (logp - old_logp).exp()
    ratio = ratio.detach() + 0.5 * (ratio - ratio.detach())""",
                ),
            ),
        ],
        right=_loss("mended_loss"),
    ),
    "grpo.mend_the_verifier": Bank(
        wrong=[
            ("wherever the right signs stand", "mended_verifier = sloppy_verifier"),
            ("last signs", ("text).split()", "text).split()[1 - len(numbers) :]")),
            ("first signs", ("text).split()", "text).split()[: len(numbers) - 1]")),
            (
                "passed over",
                (
                    "(rest if closed else text).split()",
                    "[s for s in (rest if closed else text).split() if s in '+-']",
                ),
            ),
            (
                "number of signs",
                (
                    ("len(signs) != len(numbers) - 1 or ", ""),
                    ("strict=True", "strict=False"),
                ),
            ),
            ("thought before the answer", ("(rest if closed else text)", "text")),
            ("not after the last", ("text.partition", "text.rpartition")),
            ("nothing is added up", ("float(total == target)", "1.0")),
            ("came out", ("total == target", "total != target")),
            ("came out", ('sign == "+"', 'sign == "-"')),
            ("came out", ("total = numbers[0]", "total = 0")),
            ("ValueError", ("len(signs) != len(numbers) - 1 or ", "")),
            ("is 1: right", ("len(numbers) - 1 or", "len(numbers) or")),
            ("where a number was expected", ("float(total == target)", "str(total == target)")),
            (
                "several solutions",
                """\
def mended_verifier(numbers, target, text):
    from itertools import product
    rest = text.split("</think>", 1)[-1]
    for signs in product("+-", repeat=len(numbers) - 1):
        if sum([numbers[0]] + [int(s + str(n)) for s, n in zip(signs, numbers[1:])]) == target:
            return float(rest.split() == list(signs))
    return 0.0
""",
            ),
        ],
        right=[
            """\
import re
def mended_verifier(numbers, target, text):
    answer = text.split("</think>", 1)[-1]
    if not re.fullmatch(r"\\s*([+-](\\s+[+-])*\\s*)?", answer):
        return 0
    signs = re.findall("[+-]", answer)
    if len(signs) + 1 != len(numbers):
        return 0
    return int(numbers[0] + sum(int(s + str(n)) for s, n in zip(signs, numbers[1:])) == target)
""",
            """\
def mended_verifier(numbers, target, text):
    if "</think>" in text:
        text = text[text.index("</think>") + len("</think>"):]
    words = text.split()
    values = {"+": 1, "-": -1}
    try:
        signs = [1] + [values[word] for word in words]
    except KeyError:
        return 0.0
    if len(signs) != len(numbers):
        return 0.0
    return 1.0 if sum(s * n for s, n in zip(signs, numbers)) == target else 0.0
""",
            """\
import numpy as np
def mended_verifier(numbers, target, text):
    rest = text.partition("</think>")[2] if "</think>" in text else text
    signs = np.array([{"+": 1, "-": -1}.get(word, 0) for word in rest.split()])
    if len(signs) != len(numbers) - 1 or not signs.all():
        return np.float32(0)
    return np.float32(numbers[0] + signs @ np.array(numbers[1:]) == target)
""",
        ],
    ),
}
