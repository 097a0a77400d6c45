"""Submissions to lesson 05."""

from bank import Bank

_JSD = "def my_jsd(student_logits, teacher_logits, beta):\n"
_COUNT = "def count_dense(config):\n"
_NEXT = "def mended_next_loss(logits, ids, mask):\n"

BANKS = {
    "distill.by_hand": Bank(
        wrong=[
            ("exchanged", "kl_by_hand = (0.37, 0.51)"),
            ("in bits", "kl_by_hand = (0.737, 0.531)"),
            ("never negative", "kl_by_hand = (-0.51, -0.37)"),
            ("two directions differ", "kl_by_hand = (0.51, 0.51)"),
            ("two directions differ", "kl_by_hand = (0.37, 0.37)"),
            ("base 10", "kl_by_hand = (0.22, 0.16)"),
            ("not it yet", "kl_by_hand = (0.5, 0.4)"),
            ("not it yet", "kl_by_hand = 0.51"),
            ("not it yet: 3 items came out", "kl_by_hand = (0.51, 0.37, 0)"),
        ],
        right=[
            "kl_by_hand = [0.5108, 0.3681]",
            "kl_by_hand = torch.tensor([0.51, 0.37])",
            """\
import math
kl_by_hand = (0.5 * math.log(0.25 / 0.09), 0.9 * math.log(1.8) - 0.1 * math.log(5))""",
        ],
    ),
    "distill.jsd": Bank(
        wrong=[
            (
                "beta 1 with unnormalised logits",
                ("return kl(student, teacher)", "return kl(student, teacher_logits)"),
            ),
            (
                "Student and teacher are exchanged",
                (
                    ("student = student_logits", "student = teacher_logits"),
                    ("teacher = teacher_logits", "teacher = student_logits"),
                ),
            ),
            (
                "plain forward or reverse",
                (
                    (
                        """\
if beta == 0:
        return kl(teacher, student)
    """,
                        "",
                    ),
                    (
                        """\
if beta == 1:
        return kl(student, teacher)
    """,
                        "",
                    ),
                    (
                        "teacher + math.log(beta), student + math.log(1 - beta)",
                        "teacher + math.log(max(beta, 1e-30)), student + math.log(max(1 - beta, 1e-30))",
                    ),
                ),
            ),
            (
                "always half and half",
                (
                    "teacher + math.log(beta), student + math.log(1 - beta)",
                    "teacher + math.log(0.5), student + math.log(0.5)",
                ),
            ),
            (
                "You mix logits",
                (
                    "torch.logaddexp(teacher + math.log(beta), student + math.log(1 - beta))",
                    "(beta * teacher_logits + (1 - beta) * student_logits).log_softmax(-1)",
                ),
            ),
            (
                "not back",
                (
                    ("kl(teacher, middle)", "kl(middle, teacher)"),
                    ("kl(student, middle)", "kl(middle, student)"),
                ),
            ),
            (
                "weighed by beta and 1 - beta",
                ("beta * kl(teacher, middle) + (1 - beta) * kl", "kl(teacher, middle) + kl"),
            ),
            (
                "beta goes with the teacher",
                (
                    "beta * kl(teacher, middle) + (1 - beta) * kl",
                    "(1 - beta) * kl(teacher, middle) + beta * kl",
                ),
            ),
            ("sum over tokens", (".sum(dim=-1).mean()", ".sum()")),
            (
                "nothing of it reaches",
                ("student_logits.log_softmax", "student_logits.detach().log_softmax"),
            ),
            ("no tensor", ("return kl(teacher, student)", "return kl(teacher, student).item()")),
            (
                "the last dimension",
                (
                    ("log_softmax(dim=-1)", "log_softmax(dim=0)"),
                    ("teacher_logits.log_softmax(dim=-1)", "teacher_logits.log_softmax(dim=0)"),
                ),
            ),
            ("(.5, .5) and (.9, .1)", (".sum(dim=-1).mean()", ".mean()")),
            (
                "(.5, .5) and (.9, .1)",
                (
                    """\
if beta == 0:
        return kl(teacher, student)""",
                    """\
if beta == 0:
        return kl(student, teacher)""",
                ),
            ),
            (
                "KL(student || teacher)",
                (
                    """\
if beta == 1:
        return kl(student, teacher)""",
                    """\
if beta == 1:
        return kl(teacher, student)""",
                ),
            ),
            (
                "softmax first",
                (
                    ("student_logits.log_softmax(dim=-1)", "student_logits"),
                    ("teacher_logits.log_softmax(dim=-1)", "teacher_logits"),
                ),
            ),
        ],
        right=[
            _JSD
            + """\
    s, t = student_logits.double().softmax(-1), teacher_logits.double().softmax(-1)
    kl = lambda p, q: (p * (p / q).log()).sum(-1).mean()
    if beta in (0, 1):
        return kl(s, t) if beta else kl(t, s)
    m = beta * t + (1 - beta) * s
    return beta * kl(t, m) + (1 - beta) * kl(s, m)
""",
            _JSD
            + """\
    import torch.nn.functional as F

    s, t = F.log_softmax(student_logits, -1), F.log_softmax(teacher_logits, -1)
    if beta == 0:
        return F.kl_div(s, t, log_target=True, reduction='batchmean')
    if beta == 1:
        return F.kl_div(t, s, log_target=True, reduction='batchmean')
    b = torch.tensor(beta)
    m = torch.logsumexp(torch.stack([s + torch.log1p(-b), t + b.log()]), 0)
    d = b * F.kl_div(m, t, log_target=True, reduction='none') + (1 - b) * F.kl_div(
        m, s, log_target=True, reduction='none'
    )
    return d.sum() / len(d)
""",
            _JSD
            + """\
    def p(x):
        e = (x.double() - x.double().amax(1, keepdim=True)).exp()
        return e / e.sum(1, keepdim=True)
    s, t = p(student_logits), p(teacher_logits)
    total = 0.0
    for a, b in zip(s, t):
        m = beta * b + (1 - beta) * a
        if beta == 0:
            total = total + torch.sum(b * torch.log(b / a))
        elif beta == 1:
            total = total + torch.sum(a * torch.log(a / b))
        else:
            total = total + beta * torch.sum(b * torch.log(b / m))
            total = total + (1 - beta) * torch.sum(a * torch.log(a / m))
    return total / len(s)
""",
        ],
    ),
    "distill.majority_vote": Bank(
        wrong=[
            (
                "no voice in the vote",
                ("Counter(one for one in given if one is not None)", "Counter(given)"),
            ),
            (
                "more than half is not needed",
                (
                    "votes += bool(voices) and voices.most_common(1)[0][0] == truth",
                    "votes += given.count(truth) / len(given) > 0.5",
                ),
            ),
            (
                "pass@k",
                (
                    "votes += bool(voices) and voices.most_common(1)[0][0] == truth",
                    "votes += truth in voices",
                ),
            ),
            (
                "seen first wins",
                (
                    "Counter(one for one in given if one is not None)",
                    "Counter(one for one in reversed(given) if one is not None)",
                ),
            ),
            (
                "IndexError",
                ("bool(voices) and ", ""),
            ),
            (
                "IndexError",
                ("bool(voices) and ", "bool(shares) and "),
            ),
            (
                "comes first in the alphabet",
                (
                    "Counter(one for one in given if one is not None)",
                    "Counter(sorted(one for one in given if one is not None))",
                ),
            ),
            (
                "comes first in the alphabet",
                (
                    "voices.most_common(1)[0][0] == truth",
                    "voices[truth] == max(voices.values())",
                ),
            ),
            (
                "Take each problem's share",
                (
                    ("shares += given.count(truth) / len(given)", "shares += given.count(truth)"),
                    ("shares / len(truths)", "shares / sum(map(len, answers))"),
                ),
            ),
            (
                "two numbers are exchanged",
                (
                    "shares / len(truths), votes / len(truths)",
                    "votes / len(truths), shares / len(truths)",
                ),
            ),
            (
                "not percentages",
                (
                    "shares / len(truths), votes / len(truths)",
                    "100 * shares / len(truths), 100 * votes / len(truths)",
                ),
            ),
            (
                "None is wrong for pass@1",
                ("/ len(given)\n", "/ max(1, len([a for a in given if a]))\n"),
            ),
            ("nobody could be read", ("bool(voices) and ", "not voices or ")),
            ("IndexError", ("bool(voices) and ", "")),
            ("win the vote", ("most_common(1)[0]", "most_common()[-1]")),
        ],
        right=[
            """\
def pass_and_vote(answers, truths):
    p = v = 0
    for given, truth in zip(answers, truths):
        p += sum(a == truth for a in given) / len(given)
        best, most = None, 0
        for a in given:
            if a is not None and given.count(a) > most:
                best, most = a, given.count(a)
        v += best == truth
    return p / len(answers), v / len(answers)
""",
            """\
import numpy as np
def pass_and_vote(answers, truths):
    p = np.mean([np.mean([a == t for a in row]) for row, t in zip(answers, truths)])
    def vote(row):
        row = [a for a in row if a is not None]
        return max(row, key=row.count) if row else None
    return np.array([p, np.mean([vote(r) == t for r, t in zip(answers, truths)])])
""",
            """\
def pass_and_vote(answers, truths):
    shares, votes = [], []
    while answers:
        row, truth = answers.pop(), truths.pop()
        shares.append(row.count(truth) / len(row))
        counts = {}
        for a in row:
            if a is not None:
                counts[a] = counts.get(a, 0) + 1
        votes.append(max(counts, key=counts.get, default=None) == truth)
    return sum(shares) / len(shares), sum(votes) / len(votes)
""",
        ],
    ),
    "distill.count_dense": Bank(
        wrong=[
            ("not all of them", ('config["num_key_value_heads"]', 'config["num_attention_heads"]')),
            ("not one", ('config["num_key_value_heads"]', "1")),
            ("biases of q, k and v are missing", ("attention += qkv", "pass")),
            ("gate, up and down", ("3 * width", "2 * width")),
            ("norms are missing", ((" + 2 * width", ""), ("* layer + width +", "* layer +"))),
            ("after the last layer", ("* layer + width +", "* layer +")),
            ("one table", ("1 if config", "2 if config")),
            ("embedding and head", ("else 2", "else 1")),
            ("1.54B into 1.78B", ("+ 2 * width", "+ width")),
            (
                "head_dim need not",
                ('config["head_dim"]', 'config["hidden_size"] // config["num_attention_heads"]'),
            ),
            (
                "1.54B into 1.78B",
                ("attention = width * qkv + heads * size * width", "attention = width * qkv"),
            ),
            ("has no biases", ('if config["qkv_bias"]:', "if True:")),
        ],
        right=[
            _COUNT
            + """\
    L, h, n, k, d, i, v = (
        config[x]
        for x in (
            'num_hidden_layers',
            'hidden_size',
            'num_attention_heads',
            'num_key_value_heads',
            'head_dim',
            'intermediate_size',
            'vocab_size',
        )
    )
    b = int(config['qkv_bias'])
    total = v * h + h
    for _ in range(L):
        total += (h + b) * n * d + 2 * (h + b) * k * d + n * d * h
        total += h * i + h * i + i * h + h + h
    if not config['tie_word_embeddings']:
        total += v * h
    return total
""",
            _COUNT
            + """\
    c = config
    shapes = [
        (c['hidden_size'], c['num_attention_heads'] * c['head_dim']),
        (c['hidden_size'], c['num_key_value_heads'] * c['head_dim']),
        (c['hidden_size'], c['num_key_value_heads'] * c['head_dim']),
    ]
    one = sum(a * b + (b if c['qkv_bias'] else 0) for a, b in shapes)
    one += (
        shapes[0][0] * shapes[0][1]
        + 3 * c['hidden_size'] * c['intermediate_size']
        + 2 * c['hidden_size']
    )
    ends = c['vocab_size'] * c['hidden_size'] * (2 - c['tie_word_embeddings'])
    return float(c['num_hidden_layers'] * one + ends + c['hidden_size'])
""",
            _COUNT
            + """\
    import numpy as np

    c = {k: np.int64(v) for k, v in config.items()}
    out = (c['num_attention_heads'] + 2 * c['num_key_value_heads']) * c['head_dim']
    layer = out * (c['hidden_size'] + c['qkv_bias'])
    layer += c['hidden_size'] * (
        c['num_attention_heads'] * c['head_dim'] + 3 * c['intermediate_size'] + 2
    )
    return layer * c['num_hidden_layers'] + c['hidden_size'] * (
        1 + c['vocab_size'] * (2 - c['tie_word_embeddings'])
    )
""",
        ],
    ),
    "distill.find_the_bug": Bank(
        wrong=[
            ("still behaves like broken_next_loss", "mended_next_loss = broken_next_loss"),
            (
                "Shifted the wrong way",
                """\
def mended_next_loss(logits, ids, mask):
    logs = logits[:, 1:].log_softmax(-1)
    taken = logs.gather(-1, ids[:, :-1, None])[..., 0]
    return -(taken * mask[:, :-1]).sum() / mask[:, :-1].sum()
""",
            ),
            (
                "belongs to the target",
                (
                    ("taken * mask[:, 1:]", "taken * mask[:, :-1]"),
                    ("/ mask[:, 1:]", "/ mask[:, :-1]"),
                ),
            ),
            (
                "below the line",
                ("(taken * mask[:, 1:]).sum() / mask[:, 1:].sum()", "(taken * mask[:, 1:]).mean()"),
            ),
            (
                "mask is not used",
                ("(taken * mask[:, 1:]).sum() / mask[:, 1:].sum()", "taken.mean()"),
            ),
            (
                "not row by row",
                (
                    "(taken * mask[:, 1:]).sum() / mask[:, 1:].sum()",
                    "((taken * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)).mean()",
                ),
            ),
            ("take their mean", (" / mask[:, 1:].sum()", "")),
            ("The sign", ("return -", "return ")),
            ("above and below the line", ("/ mask[:, 1:].sum()", "/ mask.sum()")),
            (
                "last logits are not about it",
                """\
def mended_next_loss(logits, ids, mask):
    logs = torch.roll(logits, 1, dims=1).log_softmax(dim=-1)
    taken = logs.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    return -(taken * mask).sum() / mask.sum()
""",
            ),
            ("RuntimeError", ("mask[:, 1:]).sum()", "mask).sum()")),
            ("came out", ("dim=-1)\n", "dim=1)\n")),
        ],
        right=[
            _NEXT
            + """\
    import torch.nn.functional as F
    labels = ids.masked_fill(mask == 0, -100)[:, 1:]
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten())
""",
            _NEXT
            + """\
    total = count = 0.0
    for row, tokens, keep in zip(logits.double(), ids.tolist(), mask.tolist()):
        for t in range(1, len(tokens)):
            if keep[t]:
                total -= row[t - 1].log_softmax(0)[tokens[t]]
                count += 1
    return total / count
""",
            _NEXT
            + """\
    x, y, m = logits[:, :-1], ids[:, 1:], mask[:, 1:]
    l = x.logsumexp(-1) - torch.take_along_dim(x, y[..., None], -1)[..., 0]
    return torch.sum(l * m) / torch.sum(m)
""",
        ],
    ),
}
