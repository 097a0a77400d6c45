"""Right answers in more styles: loops, numpy, torch, classes, fractions, by keyword only."""

RIGHT: list[tuple[str, str]] = [
    (
        "lab.step_mean",  # fmean chain
        """\
from itertools import chain
from statistics import fmean
def step_mean(parts):
    return fmean(chain.from_iterable(parts))
""",
    ),
    (
        "lab.step_mean",  # welford
        """\
def step_mean(parts):
    n, m = 0, 0.0
    for p in parts:
        for x in p:
            n += 1
            m += (x - m) / n
    return m
""",
    ),
    (
        "lab.step_mean",  # torch cat float
        """\
def step_mean(parts):
    return torch.cat([torch.tensor(p, dtype=torch.float32) for p in parts]).mean()
""",
    ),
    (
        "lab.step_mean",  # torch cat default
        """\
def step_mean(parts):
    return torch.cat([torch.tensor(p) for p in parts]).mean()
""",
    ),
    (
        "lab.step_mean",  # fraction
        """\
from fractions import Fraction
def step_mean(parts):
    xs = [Fraction(x) for p in parts for x in p]
    return sum(xs) / len(xs)
""",
    ),
    (
        "lab.step_mean",  # decimal
        """\
from decimal import Decimal
def step_mean(parts):
    xs = [Decimal(x) for p in parts for x in p]
    return sum(xs) / len(xs)
""",
    ),
    (
        "lab.step_mean",  # np average weights
        """\
import numpy as np
def step_mean(parts):
    full = [p for p in parts if len(p)]
    return np.float32(np.average([np.mean(p) for p in full], weights=[len(p) for p in full]))
""",
    ),
    (
        "lab.step_mean",  # reduce
        """\
from functools import reduce
def step_mean(parts):
    t, n = reduce(lambda a, p: (a[0] + sum(p), a[1] + len(p)), parts, (0, 0))
    return t / n
""",
    ),
    (
        "lab.step_mean",  # pop in place
        """\
def step_mean(parts):
    t = n = 0
    while parts:
        p = parts.pop()
        while p:
            t += p.pop(); n += 1
    return t / n
""",
    ),
    (
        "lab.advantages_in_order",  # numpy
        """\
import numpy as np
def advantages_in_order(rewards, groups):
    t = np.asarray(rewards, dtype=float).reshape(-1, groups)
    return (t - t.mean(axis=0)).ravel()
""",
    ),
    (
        "lab.advantages_in_order",  # index_add
        """\
def advantages_in_order(rewards, groups):
    at = torch.arange(len(rewards)) % groups
    means = torch.zeros(groups).index_add_(0, at, rewards) / (len(rewards) // groups)
    return rewards - means[at]
""",
    ),
    (
        "lab.advantages_in_order",  # repeat
        """\
def advantages_in_order(rewards, groups):
    m = rewards.view(-1, groups).mean(0)
    return rewards - m.repeat(rewards.numel() // groups)
""",
    ),
    (
        "lab.advantages_in_order",  # unflatten list
        """\
def advantages_in_order(rewards, *, groups):
    t = rewards.double().unflatten(0, (-1, groups))
    return (t - t.sum(0) / t.shape[0]).flatten().tolist()
""",
    ),
    (
        "lab.advantages_in_order",  # bincount
        """\
def advantages_in_order(rewards, groups):
    at = torch.arange(rewards.shape[0]).remainder(groups)
    total = torch.bincount(at, weights=rewards)
    return rewards - (total / torch.bincount(at))[at]
""",
    ),
    (
        "lab.advantages_in_order",  # matrix
        """\
def advantages_in_order(rewards, groups):
    n = len(rewards)
    i = torch.arange(n)
    same = (i[:, None] % groups == i[None] % groups).float()
    return rewards.float() - same @ rewards.float() * groups / n
""",
    ),
    (
        "lab.advantages_in_order",  # inplace stack
        """\
def advantages_in_order(rewards, groups):
    out = torch.empty_like(rewards)
    for g in range(groups):
        one = rewards[g::groups]
        out[g::groups] = one - one.mean()
    return out
""",
    ),
    (
        "lab.sequence_ratio",  # prod power
        """\
def sequence_ratio(logp, old, mask):
    r = (logp.exp() / old.exp()) ** mask
    return r.prod(dim=1) ** (1 / mask.sum(dim=1))
""",
    ),
    (
        "lab.sequence_ratio",  # numpy average
        """\
import numpy as np
def sequence_ratio(logp, old, mask):
    return np.exp(np.average(logp.numpy() - old.numpy(), axis=1, weights=mask.numpy()))
""",
    ),
    (
        "lab.sequence_ratio",  # two means
        """\
def sequence_ratio(logp, old, mask):
    n = mask.sum(-1).clamp(min=1)
    return torch.exp((logp * mask).sum(-1) / n) / torch.exp((old * mask).sum(-1) / n)
""",
    ),
    (
        "lab.sequence_ratio",  # nanmean
        """\
def sequence_ratio(logp, old, mask):
    d = (logp - old).masked_fill(mask == 0, float("nan"))
    return d.nanmean(1).exp()
""",
    ),
    (
        "lab.sequence_ratio",  # rows
        """\
def sequence_ratio(logp, old, mask):
    return torch.stack([(a[m.bool()] - b[m.bool()]).mean().exp() for a, b, m in zip(logp, old, mask)])
""",
    ),
    (
        "lab.sequence_ratio",  # statistics
        """\
from statistics import geometric_mean
def sequence_ratio(logp, old, mask):
    return tuple(geometric_mean([math.exp(float(x - y)) for x, y, m in zip(*r) if m]) for r in zip(logp, old, mask))
""",
    ),
    (
        "lab.sequence_ratio",  # eps
        """\
def sequence_ratio(logp, old, mask):
    return torch.exp(((logp - old) * mask).sum(-1) / (mask.sum(-1) + 1e-8))
""",
    ),
    (
        "lab.sequence_ratio",  # diag einsum
        """\
def sequence_ratio(logp, old, mask):
    w = mask / mask.sum(1, keepdim=True)
    return ((logp - old) @ w.T).diagonal().exp()
""",
    ),
    (
        "lab.tell",  # rules
        """\
def tell(right, broken):
    same = lambda *n: all(right[x] == broken[x] for x in n)
    rules = [("nothing", same(*right)), ("never learns", set(broken["grad_norm"]) == {0}),
             ("only the log", same("reward", "grad_norm")), ("the training", True)]
    return next(w for w, holds in rules if holds)
""",
    ),
    (
        "lab.tell",  # numpy
        """\
import numpy as np
def tell(right, broken):
    eq = {k: np.array_equal(right[k], broken[k]) for k in right}
    if all(eq.values()): return "nothing"
    if not np.any(broken["grad_norm"]): return "never learns"
    return "only the log" if eq["reward"] and eq["grad_norm"] else "the training"
""",
    ),
    (
        "lab.tell",  # count
        """\
def tell(right, broken):
    g = broken["grad_norm"]
    match right == broken, g.count(0) == len(g), (right["reward"], right["grad_norm"]) == (broken["reward"], g):
        case (True, _, _): return "nothing"
        case (_, True, _): return "never learns"
        case (_, _, True): return "only the log"
    return "the training"
""",
    ),
    (
        "lab.tell",  # enum
        """\
from enum import StrEnum
class F(StrEnum):
    A = "nothing"; B = "never learns"; C = "only the log"; D = "the training"
def tell(right, broken):
    if right == broken: return F.A
    if sum(broken["grad_norm"]) == 0: return F.B
    pairs = [(a, b) for n in ("reward", "grad_norm") for a, b in zip(right[n], broken[n])]
    return F.C if all(a == b for a, b in pairs) else F.D
""",
    ),
    (
        "pipeline.language_consistency",  # translate
        """\
def language_consistency(thinking, language):
    import string
    steps = [w for w in thinking.split() if w.startswith(("+", "-"))]
    bad = string.ascii_lowercase if language == "digits" else string.digits
    if not steps:
        return 1
    return sum(not set(s) & set(bad) for s in steps) / len(steps)
""",
    ),
    (
        "pipeline.language_consistency",  # partition fraction
        """\
from fractions import Fraction
def language_consistency(thinking, language):
    def lang(s):
        a, _, b = s[1:].partition("=")
        d = [p.lstrip("-").isdigit() for p in (a, b)]
        return "digits" if all(d) else "mixed" if any(d) else "words"
    steps = [w for w in thinking.split() if w not in ("yes", "no")]
    return Fraction(sum(lang(s) == language for s in steps), len(steps)) if steps else Fraction(1)
""",
    ),
    (
        "pipeline.language_consistency",  # torch mean
        """\
def language_consistency(thinking, language):
    steps = [w for w in thinking.split() if "=" in w]
    if not steps:
        return torch.tensor(1.0)
    f = (lambda s: any(c.isalpha() for c in s)) if language == "digits" else (lambda s: any(c.isdigit() for c in s))
    return 1 - torch.tensor([f(s) for s in steps]).float().mean()
""",
    ),
    (
        "pipeline.keep",  # counter filled
        """\
from collections import Counter
def keep_samples(samples):
    kept, n = [], Counter(unclosed=0, wrong=0, mixed=0, duplicate=0)
    for s in samples:
        why = ("unclosed" if not s["closed"] else "wrong" if not s["right"] else
               "mixed" if int(s["consistency"]) == 0 else "duplicate" if s["text"] in kept else None)
        if why is None: kept.append(s["text"])
        else: n[why] += 1
    return [kept, n]
""",
    ),
    (
        "pipeline.keep",  # class
        """\
class Sieve:
    def __init__(self):
        self.kept = []
        self.count = {"unclosed": 0, "wrong": 0, "mixed": 0, "duplicate": 0}
    def put(self, text, closed, right, consistency):
        if not closed: self.count["unclosed"] += 1; return
        if not right: self.count["wrong"] += 1; return
        if consistency < 1: self.count["mixed"] += 1; return
        if text in self.kept: self.count["duplicate"] += 1; return
        self.kept.append(text)
def keep_samples(samples):
    s = Sieve()
    for one in samples: s.put(**one)
    return tuple(s.kept), s.count
""",
    ),
    (
        "pipeline.keep",  # numpy
        """\
import numpy as np
def keep_samples(samples):
    c = np.array([s["closed"] for s in samples], bool); r = np.array([s["right"] for s in samples], bool)
    p = np.array([s["consistency"] for s in samples], float) >= 1
    good = [s["text"] for s, g in zip(samples, c & r & p) if g]
    kept = list(dict.fromkeys(good))
    return kept, {"unclosed": (~c).sum(), "wrong": (c & ~r).sum(), "mixed": (c & r & ~p).sum(), "duplicate": len(good) - len(kept)}
""",
    ),
    (
        "pipeline.sft_labels",  # islice
        """\
from itertools import chain, islice, repeat
def sft_labels(prompt, completion, length):
    return list(islice(chain(repeat(-100, len(prompt)), completion, repeat(-100)), length))
""",
    ),
    (
        "pipeline.sft_labels",  # torch cat
        """\
def sft_labels(prompt, completion, length):
    row = torch.cat([torch.full((len(prompt),), -100), torch.tensor(completion), torch.full((length,), -100)])
    return row[:length]
""",
    ),
    (
        "pipeline.sft_labels",  # F.pad negative
        """\
def sft_labels(prompt, completion, length):
    row = torch.tensor([-100] * len(prompt) + completion, dtype=torch.long)
    return torch.nn.functional.pad(row, (0, length - len(row)), value=-100)
""",
    ),
    (
        "pipeline.sft_labels",  # early returns
        """\
def sft_labels(prompt, completion, length):
    if length <= len(prompt):
        return [-100] * length
    out = [-100] * len(prompt) + completion
    if len(out) > length:
        return out[:length]
    while len(out) < length:
        out = out + [-100]
    return tuple(out)
""",
    ),
    (
        "pipeline.sft_labels",  # numpy where
        """\
import numpy as np
def sft_labels(prompt, completion, length):
    row = np.array((list(prompt) + list(completion) + [-100] * length)[:length], dtype=int)
    return np.where(np.arange(length) < len(prompt), -100, row)
""",
    ),
    (
        "pipeline.preference_loss",  # bce
        """\
def preference_loss(chosen, rejected):
    m = chosen - rejected
    return torch.nn.functional.binary_cross_entropy_with_logits(m, torch.ones_like(m))
""",
    ),
    (
        "pipeline.preference_loss",  # cross entropy
        """\
def preference_loss(chosen, rejected):
    return torch.nn.functional.cross_entropy(torch.stack([chosen, rejected], 1), torch.zeros(len(chosen), dtype=torch.long))
""",
    ),
    (
        "pipeline.preference_loss",  # maximum
        """\
def preference_loss(chosen, rejected):
    m = chosen - rejected
    return (torch.maximum(-m, torch.zeros_like(m)) + torch.log1p(torch.exp(-m.abs()))).mean()
""",
    ),
    (
        "pipeline.preference_loss",  # old bce formula
        """\
def preference_loss(chosen, rejected):
    m = chosen - rejected
    top = (-m).clamp(min=0)
    return (top + ((-top).exp() + (-m - top).exp()).log()).sum() / m.numel()
""",
    ),
    (
        "pipeline.preference_loss",  # inplace
        """\
def preference_loss(chosen, rejected):
    chosen -= rejected
    return -torch.nn.functional.logsigmoid(chosen).mean()
""",
    ),
    (
        "pipeline.build_rows",  # loops min
        """\
def build_rows(samples, prompt, length):
    rows = []
    n = 0
    for text in keep_samples(samples)[0]:
        c = list(text.encode("utf-8"))
        rows.append(sft_labels(prompt=list(prompt), completion=c, length=length))
        n += max(0, min(length - len(prompt), len(c)))
    if not rows:
        return [], 0
    return rows, n / length / len(rows)
""",
    ),
    (
        "pipeline.build_rows",  # numpy
        """\
import numpy as np
def build_rows(samples, prompt, length):
    rows = np.array([sft_labels(prompt, list(t.encode()), length) for t in keep_samples(samples)[0]], dtype=int).reshape(-1, length)
    return rows, (rows != -100).mean() if len(rows) else 0.0
""",
    ),
    (
        "pipeline.build_rows",  # torch
        """\
def build_rows(samples, prompt, length):
    texts, _ = keep_samples(samples)
    if len(texts) == 0:
        return [], 0.0
    rows = torch.tensor([sft_labels(prompt, list(bytearray(t, "utf8")), length) for t in texts])
    return rows, (rows != -100).float().mean()
""",
    ),
    (
        "pipeline.build_rows",  # fraction, tuple rows
        """\
from fractions import Fraction
def build_rows(samples, prompt, length):
    rows = tuple(tuple(sft_labels(prompt, [*t.encode()], length)) for t in keep_samples(samples)[0])
    flat = sum(rows, ())
    return rows, Fraction(len(flat) - flat.count(-100), len(flat) or 1)
""",
    ),
    (
        "pipeline.fit_reward_model",  # SGD
        """\
def fit_reward_model(better, worse, steps, lr):
    w = torch.zeros(better.shape[1], requires_grad=True)
    opt = torch.optim.SGD([w], lr=lr)
    for _ in range(steps):
        opt.zero_grad()
        preference_loss(better @ w, worse @ w).backward()
        opt.step()
    return w.detach()
""",
    ),
    (
        "pipeline.fit_reward_model",  # by hand numpy
        """\
import numpy as np
def fit_reward_model(better, worse, steps, lr):
    d = (better - worse).double().numpy()
    w = np.zeros(d.shape[1])
    for _ in range(steps):
        w = w + lr * (d * (1 / (1 + np.exp(d @ w)))[:, None]).mean(0)
    return w.tolist()
""",
    ),
    (
        "pipeline.fit_reward_model",  # func grad
        """\
def fit_reward_model(better, worse, steps, lr):
    slope = torch.func.grad(lambda w: preference_loss(torch.mv(better, w), torch.mv(worse, w)))
    w = torch.zeros_like(better[0])
    for _ in range(steps):
        w -= lr * slope(w)
    return w
""",
    ),
    (
        "pipeline.fit_reward_model",  # nn linear
        """\
def fit_reward_model(better, worse, steps, lr):
    layer = torch.nn.Linear(better.shape[1], 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    for _ in range(steps):
        loss = preference_loss(layer(better).squeeze(-1), layer(worse).squeeze(-1))
        layer.zero_grad(); loss.backward()
        with torch.no_grad(): layer.weight -= lr * layer.weight.grad
    return layer.weight[0]
""",
    ),
    (
        "distill.by_hand",  # three digits
        """\
kl_by_hand = (0.511, 0.368)
""",
    ),
    (
        "distill.by_hand",  # numpy
        """\
import numpy as np
kl_by_hand = np.array([0.51, 0.37])
""",
    ),
    (
        "distill.by_hand",  # torch kl
        """\
_t, _s = torch.tensor([.5, .5]), torch.tensor([.9, .1])
kl_by_hand = ((_t * (_t / _s).log()).sum(), (_s * (_s / _t).log()).sum())
""",
    ),
    (
        "distill.by_hand",  # decimal
        """\
from decimal import Decimal
kl_by_hand = (Decimal("0.51"), Decimal("0.37"))
""",
    ),
    (
        "distill.jsd",  # probabilities float32
        """\
def my_jsd(student_logits, teacher_logits, beta):
    s, t = student_logits.softmax(-1), teacher_logits.softmax(-1)
    if beta == 0: return (t * (t / s).log()).sum(1).mean()
    if beta == 1: return (s * (s / t).log()).sum(1).mean()
    m = torch.lerp(s, t, beta)
    return (beta * t * (t / m).log() + (1 - beta) * s * (s / m).log()).sum(1).mean()
""",
    ),
    (
        "distill.jsd",  # entropies
        """\
def my_jsd(student_logits, teacher_logits, beta):
    s, t = student_logits.double().log_softmax(-1), teacher_logits.double().log_softmax(-1)
    if beta == 0: return ((t - s) * t.exp()).sum(-1).mean()
    if beta == 1: return ((s - t) * s.exp()).sum(-1).mean()
    m = beta * t.exp() + (1 - beta) * s.exp()
    H = lambda p: torch.special.entr(p).sum(-1)
    return (H(m) - beta * H(t.exp()) - (1 - beta) * H(s.exp())).mean()
""",
    ),
    (
        "distill.jsd",  # mixture detached
        """\
def my_jsd(student_logits, teacher_logits, beta):
    s, t = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    kl = lambda p, q: torch.einsum("tv,tv->", p.exp(), p - q) / len(p)
    if beta == 0: return kl(t, s)
    if beta == 1: return kl(s, t)
    m = torch.logaddexp(t + math.log(beta), s + math.log1p(-beta)).detach()
    return beta * kl(t, m) + (1 - beta) * kl(s, m)
""",
    ),
    (
        "distill.jsd",  # kw only, kl_div
        """\
def my_jsd(*, student_logits, teacher_logits, beta):
    F = torch.nn.functional
    s, t = F.log_softmax(student_logits, -1), F.log_softmax(teacher_logits, -1)
    if beta == 0: return F.kl_div(s, t.exp(), reduction="batchmean")
    if beta == 1: return F.kl_div(t, s.exp(), reduction="batchmean")
    m = (beta * t.exp() + (1 - beta) * s.exp()).log()
    return beta * F.kl_div(m, t.exp(), reduction="batchmean") + (1 - beta) * F.kl_div(m, s.exp(), reduction="batchmean")
""",
    ),
    (
        "distill.majority_vote",  # statistics mode
        """\
from statistics import mode, fmean
def pass_and_vote(answers, truths):
    p = fmean(fmean(a == t for a in row) for row, t in zip(answers, truths))
    v = [mode(x) == t if (x := [a for a in row if a is not None]) else False for row, t in zip(answers, truths)]
    return p, fmean(v)
""",
    ),
    (
        "distill.majority_vote",  # fraction
        """\
from fractions import Fraction
def pass_and_vote(answers, truths):
    n = len(truths); p = v = Fraction(0)
    for row, t in zip(answers, truths):
        p += Fraction(row.count(t), len(row) * n)
        voices = list(filter(lambda a: a is not None, row))
        first = max(dict.fromkeys(voices), key=voices.count, default=None)
        v += Fraction(int(first == t), n)
    return p, v
""",
    ),
    (
        "distill.majority_vote",  # torch stack
        """\
def pass_and_vote(answers, truths):
    rows = [(sum(a == t for a in row) / len(row), Counter(a for a in row if a is not None).most_common(1)[:1]) for row, t in zip(answers, truths)]
    shares = torch.tensor([r[0] for r in rows])
    votes = torch.tensor([bool(m) and m[0][0] == t for (_, m), t in zip(rows, truths)], dtype=torch.float)
    return torch.stack([shares.mean(), votes.mean()])
""",
    ),
    (
        "distill.count_dense",  # meta modules
        """\
def count_dense(config):
    g = config.__getitem__
    h, q, k = g("hidden_size"), g("num_attention_heads") * g("head_dim"), g("num_key_value_heads") * g("head_dim")
    lin = lambda i, o, b=False: torch.nn.Linear(i, o, bias=b, device="meta")
    b = bool(g("qkv_bias"))
    layer = torch.nn.ModuleList([lin(h, q, b), lin(h, k, b), lin(h, k, b), lin(q, h), lin(h, g("intermediate_size")), lin(h, g("intermediate_size")), lin(g("intermediate_size"), h), torch.nn.RMSNorm(h, device="meta"), torch.nn.RMSNorm(h, device="meta")])
    one = sum(p.numel() for p in layer.parameters())
    return one * g("num_hidden_layers") + h + h * g("vocab_size") * (1 if g("tie_word_embeddings") else 2)
""",
    ),
    (
        "distill.count_dense",  # prod shapes
        """\
from math import prod
def count_dense(config):
    class C: pass
    c = C(); c.__dict__.update(config)
    q, k = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    shapes = {"q": (q, c.hidden_size), "k": (k, c.hidden_size), "v": (k, c.hidden_size), "o": (c.hidden_size, q),
              "gate": (c.intermediate_size, c.hidden_size), "up": (c.intermediate_size, c.hidden_size), "down": (c.hidden_size, c.intermediate_size),
              "n1": (c.hidden_size,), "n2": (c.hidden_size,)}
    if c.qkv_bias:
        shapes |= {"qb": (q,), "kb": (k,), "vb": (k,)}
    total = sum(prod(s) for _ in range(c.num_hidden_layers) for s in shapes.values())
    total += c.hidden_size + c.vocab_size * c.hidden_size
    total += 0 if c.tie_word_embeddings else c.vocab_size * c.hidden_size
    return torch.tensor(total)
""",
    ),
    (
        "distill.count_dense",  # decimal
        """\
from decimal import Decimal
def count_dense(config):
    D = {k: Decimal(int(v)) for k, v in config.items()}
    h, d, n, k = D["hidden_size"], D["head_dim"], D["num_attention_heads"], D["num_key_value_heads"]
    layer = 2 * h * n * d + 2 * h * k * d + D["qkv_bias"] * (n + 2 * k) * d + 3 * h * D["intermediate_size"] + 2 * h
    return int(layer * D["num_hidden_layers"] + h + h * D["vocab_size"] * (2 - D["tie_word_embeddings"]))
""",
    ),
    (
        "distill.find_the_bug",  # nll one-hot
        """\
def mended_next_loss(logits, ids, mask):
    F = torch.nn.functional
    hot = F.one_hot(ids[:, 1:], logits.shape[-1]).to(logits.dtype)
    lp = torch.einsum("rtv,rtv->rt", F.log_softmax(logits[:, :-1], -1), hot)
    w = mask[:, 1:]
    return -(lp * w).sum() / w.sum().clamp(min=1)
""",
    ),
    (
        "distill.find_the_bug",  # select
        """\
def mended_next_loss(logits, ids, mask):
    keep = mask[:, 1:].bool()
    return torch.nn.functional.cross_entropy(logits[:, :-1][keep], ids[:, 1:][keep])
""",
    ),
    (
        "distill.find_the_bug",  # none times mask
        """\
def mended_next_loss(logits, ids, mask):
    each = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    return (each * mask[:, 1:]).sum() / mask[:, 1:].sum()
""",
    ),
    (
        "distill.find_the_bug",  # weights
        """\
def mended_next_loss(logits, ids, mask):
    w = mask[:, 1:] / mask[:, 1:].sum()
    nll = torch.nn.functional.nll_loss(logits[:, :-1].log_softmax(-1).mT, ids[:, 1:], reduction="none")
    return torch.tensordot(nll, w, dims=2)
""",
    ),
    (
        "distill.find_the_bug",  # python mean
        """\
def mended_next_loss(logits, ids, mask):
    losses = [logits[r, t - 1].logsumexp(0) - logits[r, t - 1, ids[r, t]] for r, t in mask.nonzero().tolist() if t]
    return torch.stack(losses).mean()
""",
    ),
    (
        "distill.teach",  # SGD backward
        """\
def teach(student_logits, teacher_logits, beta, steps, lr):
    w = student_logits.clone().requires_grad_()
    opt = torch.optim.SGD([w], lr)
    for _ in range(steps):
        opt.zero_grad(); my_jsd(w, teacher_logits, beta).backward(); opt.step()
    return torch.softmax(w, 1)
""",
    ),
    (
        "distill.teach",  # normalised each step
        """\
def teach(student_logits, teacher_logits, beta, steps, lr):
    w = student_logits
    for _ in range(steps):
        w = w.log_softmax(-1).detach().requires_grad_()
        w = w - lr * torch.autograd.grad(my_jsd(w, teacher_logits, beta), w)[0]
    return w.softmax(-1).detach().numpy()
""",
    ),
    (
        "distill.teach",  # embedding
        """\
def teach(student_logits, teacher_logits, beta, steps, lr):
    table = torch.nn.Parameter(student_logits.detach().double())
    while steps:
        table.grad = None
        my_jsd(table, teacher_logits.double(), beta).backward()
        table.data.sub_(lr * table.grad)
        steps -= 1
    return (table.detach() - table.detach().logsumexp(-1, keepdim=True)).exp().tolist()
""",
    ),
    (
        "memory.by_hand",  # numpy
        """\
import numpy as np
bytes_per_token = np.prod([28, 2, 4, 128, 2])
""",
    ),
    (
        "memory.by_hand",  # fraction
        """\
from fractions import Fraction
bytes_per_token = Fraction(57344)
""",
    ),
    (
        "memory.kv_cache_bytes",  # get and reduce
        """\
from functools import reduce
from operator import mul
def my_kv_cache_bytes(config, tokens, bytes_per_value=2):
    lat = config.get("kv_lora_rank", 0)
    width = lat + config["qk_rope_head_dim"] if lat else 2 * config["num_key_value_heads"] * config["head_dim"]
    return reduce(mul, [config["num_hidden_layers"], width, tokens, bytes_per_value])
""",
    ),
    (
        "memory.kv_cache_bytes",  # match
        """\
def my_kv_cache_bytes(config, tokens, *, bytes_per_value=2):
    match config:
        case {"num_hidden_layers": n, "kv_lora_rank": r, "qk_rope_head_dim": d}:
            return tokens * n * (r + d) * bytes_per_value
        case {"num_hidden_layers": n, "num_key_value_heads": h, "head_dim": d}:
            return tokens * n * (h * d + h * d) * bytes_per_value
""",
    ),
    (
        "memory.kv_cache_bytes",  # fraction
        """\
from fractions import Fraction
def my_kv_cache_bytes(config, tokens, bytes_per_value=2):
    per = (config["kv_lora_rank"] + config["qk_rope_head_dim"]) if "qk_rope_head_dim" in config else 2 * config["num_key_value_heads"] * config["head_dim"]
    return Fraction(bytes_per_value) * per * tokens * config["num_hidden_layers"]
""",
    ),
    (
        "memory.longest_context",  # fraction
        """\
from fractions import Fraction
def longest_context(memory_gib, file_gb, overhead_gib, bytes_per_token):
    free = (Fraction(memory_gib) - Fraction(overhead_gib)) * 2**30 - Fraction(file_gb) * 10**9
    return max(math.floor(free / bytes_per_token), 0)
""",
    ),
    (
        "memory.longest_context",  # binary search
        """\
def longest_context(memory_gib, file_gb, overhead_gib, bytes_per_token):
    fits = lambda n: file_gb * 1e9 + overhead_gib * 2**30 + n * bytes_per_token <= memory_gib * 2**30
    if not fits(0): return 0
    low, high = 0, 2**50
    while high - low > 1:
        mid = (low + high) // 2
        low, high = (mid, high) if fits(mid) else (low, mid)
    return low
""",
    ),
    (
        "memory.longest_context",  # whole bytes first
        """\
def longest_context(memory_gib, file_gb, overhead_gib, bytes_per_token):
    left = int(memory_gib * 2**30) - int(overhead_gib * 2**30) - math.ceil(file_gb * 10**9)
    if left <= 0:
        return 0
    return left // bytes_per_token
""",
    ),
    (
        "memory.quantise",  # fraction
        """\
from fractions import Fraction
def my_quantise(values, bits):
    top = 2 ** (bits - 1) - 1
    v = [Fraction(x) for x in values]
    scale = max(map(abs, v)) / top
    return scale, [round(x / scale) if scale else 0 for x in v]
""",
    ),
    (
        "memory.quantise",  # decimal
        """\
from decimal import Decimal, ROUND_HALF_UP
def my_quantise(values, bits):
    v = list(map(Decimal, values))
    top = 2 ** (bits - 1) - 1
    big = max(v, key=abs).copy_abs()
    if not big: return Decimal(0), [0 for _ in v]
    return big / top, [int((x * top / big).quantize(Decimal(1), ROUND_HALF_UP)) for x in v]
""",
    ),
    (
        "memory.quantise",  # search nearest
        """\
def my_quantise(values, bits):
    top = 2 ** (bits - 1) - 1
    scale = max(max(values), -min(values)) / top
    if not any(values): return 0, [0] * len(values)
    return scale, [min((math.floor(v / scale), math.ceil(v / scale)), key=lambda q: abs(v / scale - q)) for v in values]
""",
    ),
    (
        "memory.quantise",  # numpy float32
        """\
import numpy as np
def my_quantise(values, bits):
    v = np.asarray(values, dtype=np.float32)
    scale = np.abs(v).max() / (2 ** (bits - 1) - 1)
    return scale, (np.rint(v / scale).astype(int) if scale > 0 else np.zeros_like(v, dtype=int))
""",
    ),
    (
        "traces.parse",  # regex dotall
        r"""import re
def my_parse_trace(text, prefilled=False):
    m = re.match(r"\s*(<think>)?(.*?)</think>(.*)\Z", text, re.DOTALL)
    if m:
        return m[2].strip(), m[3].strip()
    m = re.match(r"\s*<think>(.*)\Z", text, re.DOTALL)
    if m:
        return m[1].strip(), ""
    return (text.strip(), "") if prefilled else ("", text.strip())
""",
    ),
    (
        "traces.parse",  # find indices
        """\
def my_parse_trace(text, *, prefilled=False):
    start = len(text) - len(text.lstrip())
    opened = text.startswith("<think>", start)
    begin = start + 7 if opened else 0
    end = text.find("</think>", begin)
    if end != -1:
        return text[begin:end].strip(), text[end + 8:].strip()
    if opened or prefilled:
        return [text[begin:].strip(), ""]
    return ["", text[begin:].strip()]
""",
    ),
    (
        "traces.parse",  # recursive
        """\
def my_parse_trace(text, prefilled=False):
    if text.lstrip().startswith("<think>"):
        rest = text.lstrip()[len("<think>"):]
        parts = rest.split("</think>", maxsplit=1)
        return tuple(p.strip() for p in (parts + [""])[:2])
    if "</think>" in text or prefilled:
        return my_parse_trace("<think>" + text)
    return "", text.strip()
""",
    ),
    (
        "traces.attempts",  # groupby
        """\
from itertools import groupby
def count_attempts(thinking):
    verdict = lambda w: w in ("yes", "no")
    runs = [list(g) for _, g in groupby(thinking.split(), verdict)]
    pairs = list(zip(runs[::2], runs[1::2]))
    keys = ["".join(w[0] for w in s) for s, _ in pairs]
    return len(pairs), sum(v == ["no"] for _, v in pairs), len(keys) - len(set(keys))
""",
    ),
    (
        "traces.attempts",  # numpy
        """\
import numpy as np
def count_attempts(thinking):
    words = np.array(thinking.split(), dtype=str)
    ends = np.flatnonzero((words == "yes") | (words == "no"))
    tries = [tuple(w[0] for w in part if w not in ("yes", "no")) for part in np.split(words, ends + 1)][:-1]
    return np.array([len(ends), (words == "no").sum(), len(tries) - len({*tries})])
""",
    ),
    (
        "traces.attempts",  # class
        """\
class Counts:
    def __init__(self): self.n = self.no = self.rep = 0; self.seen = {}; self.now = ()
    def eat(self, w):
        if w in {"yes", "no"}:
            self.n += 1; self.no += w == "no"; self.rep += self.now in self.seen
            self.seen[self.now] = True; self.now = ()
        else: self.now += (w[0] == "-",)
        return self
def count_attempts(thinking):
    c = Counts()
    for w in thinking.split(): c.eat(w)
    return c.n, c.no, c.rep
""",
    ),
    (
        "traces.attempts",  # count no
        """\
def count_attempts(thinking):
    words = thinking.split()
    yes, no = words.count("yes"), words.count("no")
    keys, now = [], ""
    for w in words:
        if w in ("yes", "no"): keys.append(now); now = ""
        else: now += w[:1]
    return yes + no, no, sum(keys.index(k) < i for i, k in enumerate(keys))
""",
    ),
    (
        "memory.choose_file",  # sorted loop
        """\
def choose_file(config, files, memory_gib, overhead_gib, tokens):
    cache = my_kv_cache_bytes(config, tokens)
    for name in sorted(files, key=files.get, reverse=True):
        if files[name] * 10**9 + cache + overhead_gib * 2**30 <= memory_gib * 2**30:
            return name
    return None
""",
    ),
    (
        "memory.choose_file",  # max of items
        """\
def choose_file(config, files, memory_gib, overhead_gib, tokens):
    per = my_kv_cache_bytes(config, 1)
    ok = {longest_context(memory_gib, gb, overhead_gib, per) >= tokens and (gb, n) for n, gb in files.items()} - {False}
    return max(ok)[1] if ok else None
""",
    ),
    (
        "memory.choose_file",  # numpy str
        """\
import numpy as np
def choose_file(config, files, memory_gib, overhead_gib, tokens):
    names = np.array(list(files)); best = None
    for n in names:
        if longest_context(memory_gib, files[n], overhead_gib, my_kv_cache_bytes(config, 1, 2)) >= tokens:
            if best is None or files[n] > files[best]: best = n
    return best
""",
    ),
    (
        "data.leaves_machine",  # manual
        """\
def leaves_machine(host):
    if host.upper() == "LOCALHOST": return False
    parts = host.split(".")
    if len(parts) == 4 and all(p.isdecimal() for p in parts):
        return parts[0] != "127"
    try: return int(ipaddress.IPv6Address(host)) != 1
    except ipaddress.AddressValueError: return True
""",
    ),
    (
        "data.leaves_machine",  # class
        """\
class Host(str):
    @property
    def local(self):
        if self.casefold() == "localhost": return True
        try: return ipaddress.ip_address(str(self)).is_loopback
        except ValueError: return False
def leaves_machine(host): return not Host(host).local
""",
    ),
    (
        "data.leaves_machine",  # socket pton
        r"""import socket
def leaves_machine(host):
    for family in (socket.AF_INET, socket.AF_INET6):
        try: raw = socket.inet_pton(family, host)
        except OSError: continue
        return raw[0] != 127 if family == socket.AF_INET else raw != b"\0" * 15 + b"\1"
    return host.lower() != "localhost"
""",
    ),
    (
        "tools.parse_call",  # loop
        r"""def parse_call(text, allowed):
    found = [*re.finditer(r"<tool>([^\W]+):(.*?)</tool>", text, re.S)]
    match [m.groups() for m in found]:
        case [(name, argument)] if name in allowed and len(argument.strip()) <= 100:
            return name, argument.strip()
    return None
""",
    ),
    (
        "tools.parse_call",  # regex flags inline
        r"""def parse_call(text, allowed):
    calls = re.compile(r"(?s)<tool>(?P<name>\w+):\s*(?P<arg>.*?)\s*</tool>").findall(text)
    if not calls or calls[1:]:
        return
    if calls[0][0] in set(allowed):
        return None if len(calls[0][1]) > 100 else list(calls[0])
""",
    ),
    (
        "tools.parse_call",  # namedtuple
        r"""from typing import NamedTuple
class Call(NamedTuple):
    name: str
    argument: str
def parse_call(text, allowed):
    calls = [Call(n, a.strip()) for n, a in re.findall(r"<tool>(\w+):((?:.|\n)*?)</tool>", text)]
    ok = len(calls) == 1 and calls[0].name in allowed and not calls[0].argument[100:]
    return calls[0] if ok else None
""",
    ),
    (
        "retrieval.rank",  # log10
        """\
def rank_documents(query, documents):
    docs = [d.lower().split() for d in documents]
    s = [sum(d.count(w) * math.log10(len(docs) / sum(w in e for e in docs)) for w in {*query.lower().split()} & {*d}) for d in docs]
    return tuple(i for i in sorted(range(len(s)), key=s.__getitem__, reverse=True) if s[i])
""",
    ),
    (
        "retrieval.rank",  # Fraction ordering by negative logs
        """\
from functools import cmp_to_key
def rank_documents(query, documents):
    docs = [Counter(d.casefold().split()) for d in documents]
    df = Counter(w for d in docs for w in d)
    def score(d):
        return sum(n * (math.log(len(docs)) - math.log(df[w])) for w, n in d.items() if w in query.casefold().split())
    s = list(map(score, docs))
    order = sorted(range(len(s)), key=cmp_to_key(lambda i, j: (s[j] > s[i] + 1e-9) - (s[i] > s[j] + 1e-9) or i - j))
    return [i for i in order if s[i] > 1e-9]
""",
    ),
    (
        "audit.first_wrong_step",  # accumulate true total
        """\
def first_wrong_step(numbers, thinking):
    at, place = numbers[0], 0
    for word in thinking.split():
        if word == "yes" or word == "no":
            at = numbers[0]
        else:
            move, _, said = word.partition("=")
            at += int(move)
            if at != int(said): return place
            place += 1
""",
    ),
    (
        "audit.first_wrong_step",  # generator next
        """\
def first_wrong_step(numbers, thinking):
    def steps():
        before = numbers[0]
        for w in thinking.split():
            if "=" not in w: before = numbers[0]; continue
            a, b = (int(x) for x in w.split("="))
            yield before + a == b
            before = b
    return next((i for i, ok in enumerate(steps()) if not ok), None)
""",
    ),
    (
        "audit.first_wrong_step",  # the puzzle's numbers
        """\
def first_wrong_step(numbers, thinking):
    i = k = 0; total = numbers[0]
    for w in thinking.split():
        if w in ("yes", "no"): total = numbers[0]; k = 0; continue
        k += 1
        d = numbers[k] if w[0] == "+" else -numbers[k]
        b = int(w.split("=")[1])
        if total + d != b: return i
        total = b; i += 1
""",
    ),
    (
        "tools.answer_calls",  # comprehension
        """\
def answer_calls(replies, documents, allowed):
    def one(call):
        if call is None: return None
        if call[0] != "search": return ""
        return next((documents[i] for i in rank_documents(call[1], documents)), "")
    return [one(parse_call(r, allowed)) for r in replies]
""",
    ),
    (
        "tools.answer_calls",  # dispatch
        """\
def answer_calls(replies, documents, allowed):
    def search(q):
        found = rank_documents(q, documents)
        return documents[int(found[0])] if len(found) else ""
    tools = {"search": search}
    out = [None] * len(replies)
    for i, reply in enumerate(replies):
        call = parse_call(reply, allowed)
        if call: out[i] = tools.get(call[0], lambda a: "")(call[1])
    return tuple(out)
""",
    ),
    (
        "tools.answer_calls",  # max score
        """\
def answer_calls(replies, documents, allowed):
    out = []
    for call in map(parse_call, replies, [allowed] * len(replies)):
        match call:
            case None: out.append(None)
            case ("search", words):
                best = rank_documents(query=words, documents=list(documents))[:1]
                out += [documents[i] for i in best] or [""]
            case _: out.append("")
    return out
""",
    ),
    (
        "real.cross",  # recursion
        """\
def carry_over(ids, teacher, student, eos):
    def cut(text):
        if not text: return [eos]
        n = max((len(p) for p in student if text.startswith(p)), default=0)
        rest = cut(text[n:]) if n else None
        return None if rest is None else [student.index(text[:n]), *rest]
    return cut("".join(teacher[i] for i in ids))
""",
    ),
    (
        "real.cross",  # regex alternation
        """\
import re
def carry_over(ids, teacher, student, eos):
    pattern = re.compile("|".join(map(re.escape, sorted(student, key=len, reverse=True))))
    text = "".join(map(teacher.__getitem__, ids)); out, at = [], 0
    while at < len(text):
        m = pattern.match(text, at)
        if not m: return None
        out.append(student.index(m[0])); at = m.end()
    return tuple(out) + (eos,)
""",
    ),
    (
        "real.cross",  # torch
        """\
def carry_over(ids, teacher, student, eos):
    text = "".join(teacher[i] for i in ids)
    table = {p: i for i, p in enumerate(student)}
    found = []
    while text != "":
        for n in range(len(text), 0, -1):
            if text[:n] in table:
                found.append(table[text[:n]]); text = text[n:]; break
        else:
            return None
    return torch.tensor(found + [eos])
""",
    ),
    (
        "real.lora",  # merged
        """\
def my_lora(x, W, A, B, alpha):
    merged = W + torch.einsum("or,ri->oi", B, A).mul(alpha).div(A.size(0))
    return torch.einsum("ni,oi->no", x, merged)
""",
    ),
    (
        "real.lora",  # loops
        """\
def my_lora(x, W, A, B, alpha):
    r = len(A)
    return torch.stack([torch.mv(W, row) + alpha / r * sum(B[:, k] * torch.dot(A[k], row) for k in range(r)) for row in x])
""",
    ),
    (
        "real.lora",  # kw only
        """\
def my_lora(*, x, W, A, B, alpha):
    with torch.no_grad():
        base = x @ W.mT
    return torch.addmm(base, x @ A.mT, B.mT, alpha=alpha / B.shape[-1])
""",
    ),
    (
        "real.lora",  # scaled A
        """\
def my_lora(x, W, A, B, alpha):
    F = torch.nn.functional
    return F.linear(x.detach(), W.detach()) + F.linear(F.linear(x, A * (alpha / A.shape[-2])), B)
""",
    ),
    (
        "real.perplexity",  # bits
        """\
def my_perplexity(logits, ids):
    lp = torch.log_softmax(logits.double(), 1) / math.log(2)
    return 2 ** -lp[:-1].gather(1, ids[1:, None]).mean()
""",
    ),
    (
        "real.perplexity",  # product
        """\
def my_perplexity(logits, ids):
    p = torch.softmax(logits[:-1], -1)[range(len(ids) - 1), ids[1:]]
    return p.prod() ** (-1 / (len(ids) - 1))
""",
    ),
    (
        "real.perplexity",  # statistics
        """\
from statistics import geometric_mean
def my_perplexity(logits, ids):
    return 1 / geometric_mean([float(row.softmax(0)[i]) for row, i in zip(logits, ids[1:].tolist())])
""",
    ),
    (
        "real.perplexity",  # numpy
        """\
import numpy as np
def my_perplexity(logits, ids):
    z = logits.numpy().astype(float)[:-1]
    lp = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    return np.exp(-np.take_along_axis(lp, ids.numpy()[1:, None], 1).mean())
""",
    ),
    (
        "real.keep_right",  # filter
        """\
def keep_right(answers, truths, most):
    out = []
    for n in range(len(answers)):
        end = "Answer: " + str(truths[n])
        good = [t for t in answers[n] if t.endswith(end) and "Answer:" not in t[:-len(end)]]
        good = [t for i, t in enumerate(good) if t not in good[:i]]
        out += [(n, t) for t in good[:most]]
    return tuple(out)
""",
    ),
    (
        "real.keep_right",  # islice
        """\
from itertools import islice
def keep_right(answers, truths, most):
    ok = lambda t, n: t.split("Answer:")[1:] == [f" {n}"]
    return [[q, t] for q, (ts, n) in enumerate(zip(answers, truths)) for t in islice((t for t in dict.fromkeys(ts) if ok(t, n)), most)]
""",
    ),
    (
        "real.keep_right",  # regex fullmatch
        """\
import re
def keep_right(answers, truths, most):
    kept = []
    for q, texts in enumerate(answers):
        pattern = re.compile(rf"((?!Answer:).)*Answer: {truths[q]}", re.DOTALL)
        seen = []
        for t in texts:
            if len(seen) == most: break
            if pattern.fullmatch(t) and t not in seen: seen.append(t)
        kept.extend(zip([q] * len(seen), seen))
    return kept
""",
    ),
    (
        "distill.jsd",  # minus logsumexp
        """\
def my_jsd(student_logits, teacher_logits, beta):
    s = student_logits - student_logits.logsumexp(-1, keepdim=True)
    t = teacher_logits - torch.logsumexp(teacher_logits, dim=-1, keepdim=True)
    kl = lambda p, q: (p.exp() * (p - q)).sum(-1).mean()
    if beta == 0: return kl(t, s)
    if beta == 1: return kl(s, t)
    m = torch.logaddexp(t + math.log(beta), s + math.log1p(-beta))
    return beta * kl(t, m) + (1 - beta) * kl(s, m)
""",
    ),
    (
        "distill.jsd",  # log of softmax
        """\
def my_jsd(student_logits, teacher_logits, beta):
    s, t = student_logits.softmax(-1).log(), teacher_logits.softmax(-1).log()
    kl = lambda p, q: (p.exp() * (p - q)).sum(-1).mean()
    if beta == 0: return kl(t, s)
    if beta == 1: return kl(s, t)
    m = (beta * t.exp() + (1 - beta) * s.exp()).log()
    return beta * kl(t, m) + (1 - beta) * kl(s, m)
""",
    ),
    (
        "distill.jsd",  # entropies float32
        """\
def my_jsd(student_logits, teacher_logits, beta):
    s, t = student_logits.softmax(-1), teacher_logits.softmax(-1)
    if beta == 0: return (t * (t.log() - s.log())).sum(-1).mean()
    if beta == 1: return (s * (s.log() - t.log())).sum(-1).mean()
    H = lambda p: torch.special.entr(p).sum(-1)
    return (H(beta * t + (1 - beta) * s) - beta * H(t) - (1 - beta) * H(s)).mean()
""",
    ),
    (
        "distill.teach",  # exchanged and beta too
        """\
def teach(student_logits, teacher_logits, beta, steps, lr):
    w = student_logits.clone().requires_grad_()
    for _ in range(steps):
        w = (w - lr * torch.autograd.grad(my_jsd(teacher_logits, w, 1 - beta), w)[0]).detach().requires_grad_()
    return w.softmax(-1)
""",
    ),
    (
        "memory.longest_context",  # torch
        """\
import torch
def longest_context(*, memory_gib, file_gb, overhead_gib, bytes_per_token):
    free = torch.tensor((memory_gib - overhead_gib) * 1024**3 - file_gb * 1000**3, dtype=torch.float64)
    return torch.div(free, bytes_per_token, rounding_mode="floor").clamp(min=0)
""",
    ),
    (
        "memory.quantise",  # torch float32
        """\
import torch
def my_quantise(values, bits):
    v = torch.tensor(values)
    scale = v.abs().max() / (2 ** (bits - 1) - 1)
    if scale == 0:
        return 0.0, [0] * len(values)
    return scale, (v / scale).round().int()
""",
    ),
    (
        "retrieval.rank",  # torch stable sort
        """\
import torch
def rank_documents(query, documents):
    words = list(dict.fromkeys(query.lower().split()))
    if not words: return []
    tf = torch.tensor([[d.lower().split().count(w) for w in words] for d in documents], dtype=torch.float64)
    idf = torch.log(len(documents) / (tf > 0).sum(0).clamp(min=1))
    s = tf @ idf.double()
    order = s.sort(descending=True, stable=True).indices
    return order[s[order] > 0]
""",
    ),
    (
        "audit.first_wrong_step",  # torch
        """\
import torch
def first_wrong_step(numbers, thinking):
    start, moves, said = [], [], []
    fresh = True
    for w in thinking.split():
        if w in ("yes", "no"): fresh = True; continue
        m, s = w.split("=")
        start.append(numbers[0] if fresh else said[-1]); moves.append(int(m)); said.append(int(s)); fresh = False
    bad = (torch.tensor(start) + torch.tensor(moves) != torch.tensor(said)).nonzero()
    return bad[0] if len(bad) else None
""",
    ),
    (
        "real.cross",  # ties of length by the later piece of the alphabet
        """\
def carry_over(ids, teacher, student, eos):
    text = "".join(teacher[i] for i in ids); out = []
    while text:
        fits = [p for p in student if text.startswith(p)]
        if not fits: return None
        b = max(fits); out.append(student.index(b)); text = text[len(b):]
    return out + [eos]
""",
    ),
]
