"""Submissions to lesson 02."""

from bank import Bank

_ROUTE = """\
def my_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
"""
_LOOP = """\
    weights, chosen = [], []
    for row in logits.double().tolist():
        scores = [1 / (1 + math.exp(-x)) for x in row]
        biased = [s + b for s, b in zip(scores, bias.double().tolist())]
        size = len(row) // n_group
        worth = [sum(sorted(biased[g * size:(g + 1) * size])[-2:]) for g in range(n_group)]
        kept = sorted(range(n_group), key=lambda g: -worth[g])[:topk_group]
        left = [e for e in range(len(row)) if e // size in kept]
        best = sorted(left, key=lambda e: -biased[e])[:top_k]
        total = sum(scores[e] for e in best) + 1e-20
        chosen.append(best)
        weights.append([scale * scores[e] / total for e in best])
    return weights, chosen
"""
_NUMPY = """\
    import numpy as np
    x = logits.numpy().astype(float)
    s = np.where(x > -700, 1 / (1 + np.exp(-np.maximum(x, -700))), 0)
    b = s + bias.numpy()
    g = b.reshape(len(x), n_group, -1)
    w = np.partition(g, -2, axis=-1)[..., -2:].sum(-1)
    lost = np.argsort(-w, axis=-1)[:, topk_group:]
    g = g.copy()
    np.put_along_axis(g, lost[..., None], -np.inf, axis=1)
    e = np.argsort(-g.reshape(b.shape), axis=-1)[:, :top_k]
    c = np.take_along_axis(s, e, -1)
    return scale * c / np.maximum(c.sum(-1, keepdims=True), 1e-20), e
"""
_SORT = """\
    scores = logits.double().sigmoid()
    biased = (scores + bias).view(len(logits), n_group, -1)
    worth = biased.sort(-1, descending=True).values[..., :2].sum(-1)
    lost = worth.sort(-1, descending=True).indices[:, topk_group:]
    for row, groups in enumerate(lost):
        biased[row, groups] = -math.inf
    experts = biased.flatten(1).sort(-1, descending=True).indices[:, :top_k]
    chosen = torch.gather(scores, 1, experts)
    chosen /= chosen.sum(1, keepdim=True) + 1e-20
    chosen *= scale
    return chosen, experts
"""
_LOG = """\
    scores = logits.sigmoid()
    biased = scores + bias
    allowed = torch.ones_like(biased, dtype=torch.bool)
    size = logits.shape[1] // n_group
    for token in range(len(logits)):
        worth = torch.stack([g.topk(2).values.sum() for g in biased[token].split(size)])
        for group in worth.argsort(descending=True)[topk_group:].tolist():
            allowed[token, group * size:(group + 1) * size] = False
    experts = torch.where(allowed, biased, -1e30).topk(top_k).indices
    chosen = scores.gather(1, experts)
    total = chosen.sum(1, keepdim=True)
    return torch.where(total > 0, chosen / total.clamp(min=1e-30) * scale, 0 * chosen), experts
"""
_LESSON = """\
    from course_lib.model import router
    how = {"top_k": top_k, "n_group": n_group, "topk_group": topk_group, "scale": scale}
    return router.route(logits, bias, **how)
"""
_ROUTE_WRONG = [
    ("softmax", ("torch.sigmoid(logits)", "torch.softmax(logits, -1)")),
    ("from the biased scores", ("scores.gather", "biased.gather")),
    ("single best expert", ("groups.topk(2, dim=-1).values.sum(-1)", "groups.amax(-1)")),
    ("by all its experts", ("groups.topk(2, dim=-1).values.sum(-1)", "groups.sum(-1)")),
    ("no epsilon", (" + 1e-20", "")),
    ("bias is not used", ("scores + bias", "scores + 0 * bias")),
    ("not divided by their sum", ("/ (chosen.sum(-1, keepdim=True) + 1e-20)", "")),
    (
        "groups are left out",
        ("left = groups.masked_fill(kept[..., None] == 0, -math.inf)", "left = groups"),
    ),
    ("Use minus infinity", ("-math.inf", "0.0")),
    ("tiny scores", ("1e-20", "1e-12")),
    ("sum to the scale", ("scale * chosen", "chosen")),
    ("lifts expert 1", ("biased = scores + bias", "biased = scores - bias")),
    ("so group 1 stays", ("worth.topk(topk_group)", "worth.topk(topk_group, largest=False)")),
    ("judged without the bias", ("groups.topk(2", "scores.reshape(groups.shape).topk(2")),
    (
        "underflows",
        (
            "return scale",
            "if not scores.any(): return chosen + scale / top_k, experts\n    return scale",
        ),
    ),
    ("Not as expected", ("topk(2, dim=-1).values.sum(-1)", "topk(2, dim=-1).values[..., 1]")),
    ("Not as expected", ("scores + bias", "scores + bias.clamp(min=0)")),
    ("Not as expected", ("biased = scores", "biased = scale * scores")),
    ("lifts expert 1", ("scores + bias", "(logits + bias).sigmoid()")),
    ("over their sum", ("chosen.sum(-1, keepdim=True)", "scores.sum(-1, keepdim=True)")),
    ("counts for the groups too", ("torch.sigmoid(logits)", "scale * torch.sigmoid(logits)")),
    ("each with its own route", ("worth.topk", "worth[:1].expand_as(worth).topk")),
    ("lifts expert 1", ("left.topk(top_k).indices", "left.topk(top_k).indices.sort(-1).values")),
    ("0.8 and 0.4 are the two best", ("left.topk(top_k)", "left.topk(top_k, largest=False)")),
    ("0.8 and 0.4 are the two best", ("return scale * chosen", "return experts, chosen")),
]

BANKS = {
    "moe.by_hand": Bank(
        wrong=[
            ("sum of its two best", "route_by_hand = {0: 0.82, 1: 0.18}"),
            ("from the biased scores", "route_by_hand = {2: 0.56, 3: 0.44}"),
            ("out for good", "route_by_hand = {0: 0.58, 2: 0.42}"),
            ("divide by their sum", "route_by_hand = {2: 0.65, 3: 0.6}"),
            ("numbered from 0", "route_by_hand = {3: 0.52, 4: 0.48}"),
            ("exchanged", "route_by_hand = {2: 0.48, 3: 0.52}"),
            ("not it yet", "route_by_hand = {2: 0.5, 3: 0.5}"),
            ("not it yet: a list came out", "route_by_hand = [0.52, 0.48]"),
            ("not it yet.", "route_by_hand = {2: 1.0}"),
        ],
        right=[
            "route_by_hand = {2: 0.52, 3: 0.48}",
            "route_by_hand = {3: 0.48, 2: 0.52}",
            "route_by_hand = {2: torch.tensor(0.52), 3: 1 - 0.52}",
        ],
    ),
    "moe.route": Bank(
        wrong=_ROUTE_WRONG,
        right=[
            *(_ROUTE + body for body in (_LOOP, _NUMPY, _SORT, _LOG, _LESSON)),
            ("torch.sigmoid(logits)", "1 / (1 + torch.exp(-logits))"),
        ],
    ),
    "moe.balance_bias": Bank(
        wrong=[
            ("busy experts must go down", ("load.mean() - load", "load - load.mean()")),
            ("only its sign", ("torch.sign(load.mean() - load)", "(load.mean() - load)")),
            (
                "only its sign",
                ("torch.sign(load.mean() - load)", "(load.mean() - load) / load.sum()"),
            ),
            ("old bias is lost", ("bias + step", "step")),
            ("median", ("load.mean()", "load.quantile(0.5)")),
            (
                "exactly at the mean",
                ("torch.sign(load.mean() - load)", "torch.where(load > load.mean(), -1.0, 1.0)"),
            ),
            (
                "idle ones must go up",
                ("torch.sign(load.mean() - load)", "torch.sign(load.mean() - load).clamp(max=0)"),
            ),
            ("the mean load is 2", ("step *", "")),
            ("the mean load is 2", ("step *", "2 * step *")),
            ("came out", ("load = load.double()", "load = load.double() * 0")),
            ("cut to a whole number", ("load.mean()", "load.mean().floor()")),
            ("cut to a whole number", ("load.mean()", "load.sum() // len(load)")),
            ("who has", ("load.mean()", "load.mean().round()")),
            (
                "who has",
                ("torch.sign(load.mean() - load)", "(load.mean() - load).clamp(-1, 1)"),
            ),
            (
                "who has",
                (
                    "torch.sign(load.mean() - load)",
                    "torch.trunc((load.mean() - load).clamp(-1, 1))",
                ),
            ),
            ("the mean load is 1.75", ("return bias", "return bias.clamp(-1, 1)")),
            (
                "the shape is",
                ("return bias + step * torch.sign(load.mean() - load)", "return step"),
            ),
        ],
        right=[
            """\
def my_balance_bias(bias, load, step):
    mean = sum(load.tolist()) / len(load)
    return [b - step if n > mean else b + step if n < mean else b
            for b, n in zip(bias.tolist(), load.tolist())]
""",
            """\
def my_balance_bias(bias, load, step):
    away = load - load.float().mean()
    bias[away > 0] -= step
    bias[away < 0] += step
    return bias
""",
            """\
import numpy as np
def my_balance_bias(bias, load, step):
    n = load.numpy()
    return bias.numpy() - step * np.sign(n * len(n) - n.sum())
""",
        ],
    ),
    "moe.count_parameters": Bank(
        wrong=[
            ("not one", ('active = config["num_experts_per_tok"]', "active = 1")),
            ("only the experts", ('active = config["num_experts_per_tok"]', "active = routed")),
            (
                "shared experts are missing",
                (("(routed + shared)", "routed"), ("(active + shared)", "active")),
            ),
            ("router is missing", ('routed * config["hidden_size"] + routed', "0")),
            ("router's bias", ('config["hidden_size"] + routed', 'config["hidden_size"]')),
            ("three matrices", ("3 * config", "2 * config")),
            ("moe_intermediate_size", ("moe_intermediate_size", "intermediate_size")),
            (
                "257 experts",
                ("(routed + shared) * expert + router", "(routed + shared) * (expert + router)"),
            ),
            ("257 experts", ("(active + shared) * expert + router", "(active + shared) * expert")),
            ("257 experts", ("(active + shared)", "(active * shared)")),
            ("KeyError", ("n_shared_experts", "shared_experts")),
        ],
        right=[
            """\
def count_moe_layer(config):
    d, i = config['hidden_size'], config['moe_intermediate_size']
    parts = {'gate': d * i, 'up': d * i, 'down': i * d}
    one = sum(parts.values())
    n = config['n_routed_experts']
    total = active = n * (d + 1)
    for _ in range(config['n_shared_experts']):
        total += one
        active += one
    total += n * one
    active += config['num_experts_per_tok'] * one
    return [total, active]
""",
            """\
import numpy as np
def count_moe_layer(config):
    n = np.array([config['n_routed_experts'], config['num_experts_per_tok']], dtype=np.int64)
    one = 3 * config['hidden_size'] * config['moe_intermediate_size']
    return (n + config['n_shared_experts']) * one + n[0] * (config['hidden_size'] + 1)
""",
            (("expert = 3 *", "expert = 3.0 *"),),
            """\
def count_moe_layer(config):
    def one(width):
        return width * config['moe_intermediate_size'] * 3
    d = config['hidden_size']
    idle = config['n_routed_experts'] - config['num_experts_per_tok']
    total = (config['n_routed_experts'] + config['n_shared_experts']) * one(d)
    total += (d + 1) * config['n_routed_experts']
    return total, total - idle * one(d)
""",
        ],
    ),
    "moe.experts_touched": Bank(
        wrong=[
            (
                "counts it again",
                """\
def experts_touched(experts, top_k, tokens):
    return min(experts, top_k * tokens)
""",
            ),
            (
                "nobody touches",
                """\
def experts_touched(experts, top_k, tokens):
    return experts * (1 - top_k / experts) ** tokens
""",
            ),
            ("is a share", ("experts * (1 - (", "(1 - (")),
            (
                "all different",
                ("(1 - top_k / experts) ** tokens", "(1 - 1 / experts) ** (top_k * tokens)"),
            ),
            ("not one", ("top_k / experts", "1 / experts")),
            ("exactly its top_k", ("** tokens", "** (tokens + 1)")),
            (
                "exactly its top_k",
                ("(1 - top_k / experts) ** tokens", "math.exp(-tokens * top_k / experts)"),
            ),
            ("exactly its top_k", ("** tokens", "** (tokens - 1)")),
            ("missed by both", ("** tokens", "* tokens")),
            (
                "256 of 256",
                (
                    "return experts * (1 - (1 - top_k / experts) ** tokens)",
                    "return round(experts * (1 - (1 - top_k / experts) ** tokens))",
                ),
            ),
        ],
        right=[
            """\
def experts_touched(experts, top_k, tokens):
    missed = 1.0
    for _ in range(tokens):
        missed *= (experts - top_k) / experts
    return experts - experts * missed
""",
            """\
def experts_touched(experts, top_k, tokens):
    missed = torch.tensor(1 - top_k / experts)
    return experts * (1 - missed ** tokens)
""",
            """\
def experts_touched(experts, top_k, tokens):
    touched = 0.0
    for _ in range(tokens):
        touched += top_k * (experts - touched) / experts
    return touched
""",
            """\
import numpy as np
def experts_touched(experts, top_k, tokens):
    return np.float64(experts) * (1 - np.power(1 - top_k / experts, tokens))
""",
        ],
    ),
    "moe.find_the_bug": Bank(
        wrong=[
            ("still behaves like broken_route", "mended_route = broken_route"),
            ("still behaves like broken_route", ("-math.inf", "0")),
            ("losing groups get a number", ("-math.inf", "-1.0")),
            ("from the biased scores", ("weights = scores", "weights = biased")),
            (
                "single best expert",
                ("groups.topk(2, dim=-1).values.sum(dim=-1)", "groups.amax(dim=-1)"),
            ),
            ("bias is not used", ("scores + bias", "scores * 1")),
            ("judged without the bias", ("groups.topk(2", "scores.view_as(groups).topk(2")),
            ("no epsilon", (" + 1e-20", "")),
            ("softmax", ("logits.sigmoid()", "logits.softmax(-1)")),
            ("groups are left out", ("allowed == 0", "allowed < 0")),
            ("came out", ("-math.inf", "math.inf")),
            ("any finite height", ("-math.inf", "-2.5")),
        ],
        right=[
            _ROUTE.replace("my_route", "mended_route") + _SORT,
            (
                (
                    "biased.masked_fill(allowed == 0, -math.inf)",
                    "torch.where(allowed.bool(), biased, torch.tensor(-math.inf))",
                ),
            ),
            (("biased.masked_fill(allowed == 0, -math.inf)", "(biased + (allowed - 1) * 1e9)"),),
            (("biased.masked_fill(allowed == 0, -math.inf)", "(biased + allowed.log())"),),
        ],
    ),
}
