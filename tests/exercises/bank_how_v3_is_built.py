"""Submissions to lesson 02b."""

from bank import Bank

BANKS = {
    "v3.round_e4m3": Bank(
        wrong=[
            ("e5m2's precision", ("exponent - 3", "exponent - 2")),
            ("one too many", ("exponent - 3", "exponent - 4")),
            (
                "stops falling",
                ("max(math.floor(math.log2(abs(x))), -6)", "math.floor(math.log2(abs(x)))"),
            ),
            ("take the nearest", ("round(x / step)", "math.trunc(x / step)")),
            (
                "even neighbour",
                ("round(x / step)", "math.copysign(math.floor(abs(x) / step + 0.5), x)"),
            ),
            (
                "floor of the logarithm",
                ("math.floor(math.log2(abs(x)))", "round(math.log2(abs(x)))"),
            ),
            ("error in your code", ("if x == 0:", "if x is None:")),
            ("sign is kept", ("round(x / step)", "round(abs(x) / step)")),
            ("between 1 and 2", ("return round(x / step) * step", "return round(x, 1)")),
            ("came out", ("return round(x / step) * step", "return round(x / step)")),
        ],
        right=[
            """\
def round_e4m3(x):
    return float(torch.tensor(float(x)).to(torch.float8_e4m3fn).float())
""",
            """\
def round_e4m3(x):
    if not x:
        return x
    mantissa, exponent = math.frexp(x)
    step = math.ldexp(1.0, max(exponent - 1, -6) - 3)
    return step * round(x / step)
""",
            """\
import numpy as np
def round_e4m3(x):
    grid = {0.0}
    for e in range(-6, 9):
        grid |= {2.0 ** e * (1 + m / 8) for m in range(8)}
    grid |= {m * 2.0 ** -9 for m in range(8)}
    near = sorted(grid, key=lambda g: (abs(g - abs(x)), round(g * 2 ** 9 / 2 ** max(0, math.floor(math.log2(g)) + 6)) % 2 if g else 0))
    return math.copysign(near[0], x)
""",
        ],
    ),
    "v3.block_scales": Bank(
        wrong=[
            (
                "whole matrix",
                (
                    "most = blocks.abs().amax((1, 3))",
                    "most = x.abs().max().expand(len(x) // size, x.shape[1] // size)",
                ),
            ),
            (
                "row of blocks",
                (
                    "most = blocks.abs().amax((1, 3))",
                    "most = blocks.abs().amax((1, 2, 3))[:, None].expand(len(x) // size, x.shape[1] // size)",
                ),
            ),
            ("take absolute values", ("blocks.abs()", "blocks")),
            ("divided by: 1", ("torch.where(most > 0, most / 448, 1.0)", "most / 448")),
            ("Turned round", ("most / 448, 1.0", "448 / most, 1.0")),
            ("take the largest", ("amax((1, 3))", "mean((1, 3))")),
            ("e4m3 is 448", ("448", "240")),
            ("e4m3 is 448", ("448", "256")),
            ("came out", ("amax((1, 3))", "amin((1, 3))")),
            ("the shape is", ("amax((1, 3))", "amax(1)")),
        ],
        right=[
            """\
def block_scales(x, size):
    rows = []
    for i in range(0, len(x), size):
        rows.append([])
        for j in range(0, x.shape[1], size):
            most = max(abs(v) for row in x[i:i + size, j:j + size].tolist() for v in row)
            rows[-1].append(most / 448 if most else 1.0)
    return rows
""",
            """\
def block_scales(x, size):
    most = torch.nn.functional.max_pool2d(x.abs()[None, None], size)[0, 0]
    return (most / 448).masked_fill(most == 0, 1.0)
""",
            """\
def block_scales(x, size):
    most = x.abs().unfold(0, size, size).unfold(1, size, size).flatten(2).max(-1).values
    most[most == 0] = 448
    return most / 448
""",
        ],
    ),
    "v3.accept": Bank(
        wrong=[
            ("it is p over q", ("p[drafted] / q[drafted]", "p[drafted]")),
            ("turned round", ("p[drafted] / q[drafted]", "q[drafted] / p[drafted]")),
            ("greedy rule", ("u < p[drafted] / q[drafted]", "p.argmax() == drafted")),
            ("kept sometimes", ("u < p[drafted] / q[drafted]", "p[drafted] >= q[drafted]")),
            ("Drawn from p again", ("(p - q).clamp(min=0)", "p.clone()")),
            (
                "nothing else",
                ("more = (p - q).clamp(min=0)", "more = p.clone()\n    more[drafted] = 0"),
            ),
            ("divide by the sum", ("more / more.sum()", "more")),
            ("no absolute value", ("(p - q).clamp(min=0)", "(p - q).abs()")),
            ("came out", ("(p - q)", "(q - p)")),
            ("came out", ("u < p", "u > p")),
        ],
        right=[
            """\
def after_a_guess(p, q, drafted, u):
    rest = [max(a - b, 0.0) for a, b in zip(p.tolist(), q.tolist())]
    return u * float(q[drafted]) < float(p[drafted]), [r / sum(rest) for r in rest]
""",
            """\
def after_a_guess(p, q, drafted, u):
    more = torch.relu(p - q)
    return min(1.0, float(p[drafted] / q[drafted])) > u, more / (1 - torch.minimum(p, q).sum())
""",
            (("more / more.sum()", "torch.nn.functional.normalize(more, p=1, dim=0)"),),
        ],
    ),
    "v3.bubble": Bank(
        wrong=[
            ("not over the time of work", ("(micro_batches + idle)", "micro_batches")),
            ("busy share", ("idle / (", "micro_batches / (")),
            ("nothing waits", ("stages - 1", "stages")),
            ("once", ("idle = stages - 1", "idle = 2 * (stages - 1)")),
            ("never waits", ("stages - 1", "stages + 1")),
            ("of four parts", ("micro_batches + idle", "micro_batches + stages")),
            ("3 of 3 + 9", ("idle / (micro_batches + idle)", "idle / (micro_batches * idle + 1)")),
            ("came out", ("return idle", "return 100 * idle")),
            ("came out", ("return idle / (micro_batches + idle)", "return idle")),
        ],
        right=[
            """\
def bubble_share(stages, micro_batches):
    return 1 - micro_batches / (micro_batches + stages - 1)
""",
            """\
def bubble_share(stages, micro_batches):
    end = [0] * stages
    for _ in range(micro_batches):
        before = 0
        for stage in range(stages):
            end[stage] = before = max(before, end[stage]) + 1
    return 1 - micro_batches / end[-1]
""",
            (("idle = stages - 1", "idle = stages - 1.0"),),
        ],
    ),
}
