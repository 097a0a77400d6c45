"""Submissions to lesson 03d."""

from bank import Bank

_MEAN = "return sum(map(sum, parts)) / sum(map(len, parts))"

BANKS = {
    "lab.step_mean": Bank(
        wrong=[
            (
                "mean of means",
                (
                    _MEAN,
                    "means = [sum(x) / len(x) for x in parts if x]\n    return sum(means) / len(means)",
                ),
            ),
            (
                "last micro-batch",
                (_MEAN, "x = [x for x in parts if x][-1]\n    return sum(x) / len(x)"),
            ),
            ("Divided twice", ("sum(map(len, parts))", "sum(map(len, parts)) / len(parts)")),
            ("number of micro-batches", ("sum(map(len, parts))", "len(parts)")),
            ("the sum", (" / sum(map(len, parts))", "")),
            (
                "three values",
                (_MEAN, "return sum(sum(x) / len(x) for x in parts) / len(parts)"),
            ),
            ("three values", ("sum(map(sum, parts)) /", "max(map(sum, parts)) /")),
            ("came out", ("sum(map(len, parts))", "max(map(len, parts))")),
            (
                "came out",
                (_MEAN, "x = sorted(v for part in parts for v in part)\n    return x[len(x) // 2]"),
            ),
        ],
        right=[
            """\
def step_mean(parts):
    every = [x for part in parts for x in part]
    return sum(every) / len(every)
""",
            """\
def step_mean(parts):
    total = count = 0
    for part in parts:
        for x in part:
            total += x
            count += 1
    return total / count
""",
            """\
import numpy as np
def step_mean(parts):
    return np.concatenate([np.array(p, dtype=float) for p in parts]).mean()
""",
        ],
    ),
    "lab.advantages_in_order": Bank(
        wrong=[
            (
                "sample after sample",
                (
                    ("rewards.reshape(-1, groups)", "rewards.reshape(groups, -1)"),
                    ("table.mean(0)", "table.mean(1, keepdim=True)"),
                ),
            ),
            ("one mean for all", ("table.mean(0)", "table.mean()")),
            (
                "standard deviation",
                (
                    "(table - table.mean(0)).flatten()",
                    "((table - table.mean(0)) / (table.std(0, correction=0) + 1e-4)).flatten()",
                ),
            ),
            (
                "give them back as they came",
                ("(table - table.mean(0)).flatten()", "(table - table.mean(0)).T.flatten()"),
            ),
            ("not over the prompts", ("table.mean(0)", "table.mean(1, keepdim=True)")),
            ("the shape is", (".flatten()", "")),
            ("prompt 0 has", ("table - table.mean(0)", "table.mean(0) - table")),
            ("prompt 0 has", ("table.mean(0)", "table[:1]")),
            ("came out", ("table.mean(0)", "table.amax(0)")),
        ],
        right=[
            """\
def advantages_in_order(rewards, groups):
    out = rewards.clone()
    for prompt in range(groups):
        out[prompt::groups] -= rewards[prompt::groups].mean()
    return out
""",
            """\
def advantages_in_order(rewards, groups):
    r = rewards.tolist()
    means = [sum(r[g::groups]) / len(r[g::groups]) for g in range(groups)]
    return [x - means[i % groups] for i, x in enumerate(r)]
""",
            (("table - table.mean(0)", "table - table.mean(dim=0, keepdim=True)"),),
            """\
def advantages_in_order(rewards, groups):
    table = rewards.view(-1, groups).T
    return (table - table.mean(1, keepdim=True)).T.reshape(-1)
""",
        ],
    ),
    "lab.sequence_ratio": Bank(
        wrong=[
            ("product", (" / mask.sum(1)", "")),
            (
                "arithmetic mean",
                (("((logp - old) * mask)", "((logp - old).exp() * mask)"), ("mean.exp()", "mean")),
            ),
            (
                "use the mask",
                ("((logp - old) * mask).sum(1) / mask.sum(1)", "(logp - old).mean(1)"),
            ),
            ("divide by mask.sum(1)", ("/ mask.sum(1)", "/ mask.shape[1]")),
            ("new over old", ("logp - old", "old - logp")),
            ("logarithm of it", ("mean.exp()", "mean")),
            ("the shape is", ("return mean.exp()", "return mean.exp().mean()")),
            ("came out", ("* mask).sum(1)", "* mask).sum()")),
            ("came out", ("logp - old", "logp + old")),
        ],
        right=[
            """\
def sequence_ratio(logp, old, mask):
    out = []
    for a, b, m in zip(logp.tolist(), old.tolist(), mask.tolist()):
        away = [x - y for x, y, keep in zip(a, b, m) if keep]
        out.append(math.exp(sum(away) / len(away)))
    return out
""",
            """\
def sequence_ratio(logp, old, mask):
    product = torch.where(mask > 0, logp - old, 0.0).sum(1).exp()
    return product ** (1 / mask.sum(1))
""",
            (("mask.sum(1)\n", "mask.bool().sum(dim=1)\n"),),
            (("((logp - old) * mask).sum(1)", "torch.einsum('ct,ct->c', logp - old, mask)"),),
        ],
    ),
    "lab.tell": Bank(
        wrong=[
            ("look at the gradients", ('("reward", "grad_norm")', '("reward",)')),
            ("Look at the rewards too", ('("reward", "grad_norm")', '("grad_norm",)')),
            (
                "every step",
                ("right[name] == broken[name] for", "right[name][-1] == broken[name][-1] for"),
            ),
            ("'never learns'", ('if not any(broken["grad_norm"]):', "if False:")),
            (
                "compare all of the log",
                (
                    "if right == broken:",
                    'if right["loss"] == broken["loss"] and any(broken["grad_norm"]):',
                ),
            ),
            ("one step without", ('not any(broken["grad_norm"])', 'not all(broken["grad_norm"])')),
            ("only the entropy", ('"only the log" if same', '"the training" if same')),
            ("equal in all", ('return "nothing"', 'return "only the log"')),
            ("came out", ("all(right", "any(right")),
        ],
        right=[
            """\
def tell(right, broken):
    differ = {name for name in right if right[name] != broken[name]}
    if not differ:
        return "nothing"
    if max(map(abs, broken["grad_norm"])) == 0:
        return "never learns"
    return "the training" if differ & {"reward", "grad_norm"} else "only the log"
""",
            """\
def tell(right, broken):
    if all(right[n] == broken[n] for n in right):
        return "nothing"
    if sum(map(abs, broken["grad_norm"])) == 0:
        return "never learns"
    if right["reward"] != broken["reward"] or right["grad_norm"] != broken["grad_norm"]:
        return "the training"
    return "only the log"
""",
            (('not any(broken["grad_norm"])', 'all(x == 0 for x in broken["grad_norm"])'),),
        ],
    ),
}
