"""Pictures of GRPO's arithmetic: its loop, and its loss against the ratio."""

from collections.abc import Sequence

import torch

from course_lib.rl import grpo
from course_lib.show import diagrams, svg

_RATIOS = (0.4, 1.6)


def loop(rewards: Sequence[float]) -> svg.Picture:
    """One step of GRPO, with the advantages of one group's `rewards` worked out."""
    advantages = grpo.group_advantages(torch.tensor([list(rewards)]), eps=0.0)[0]
    return diagrams.draw(
        "grpo",
        rewards=", ".join(svg.number(reward) for reward in rewards),
        advantages=", ".join(f"{advantage:+.2g}" for advantage in advantages.tolist()),
    )


def loss_by_ratio(clip: float = 0.2) -> svg.Picture:
    """A token's loss against its ratio for an advantage of +1 and of -1, as `grpo` computes it."""
    ratio = torch.linspace(*_RATIOS, 49)[:, None]
    ones = torch.ones_like(ratio)
    shown, said = [], []
    for gain, side, limit in ((1.0, "above", 1 + clip), (-1.0, "below", 1 - clip)):
        sides = (ratio.log(), torch.zeros_like(ratio), gain * ones, ones.bool())
        surrogate, _, stopped = grpo.clipped_surrogate(*sides, (clip, clip))
        curves = {
            "the loss": -surrogate,
            "without a clip": -ratio * gain,
            "clip alone, no min": -ratio.clamp(1 - clip, 1 + clip) * gain,
        }
        flat = ratio[stopped]
        said.append(
            f"For an advantage of {gain:+.0f} the loss {'falls' if gain > 0 else 'rises'} with the "
            f"ratio, and is flat {side} {limit:g} (here from {float(flat.min()):.3g} to "
            f"{float(flat.max()):.3g}): there the push has stopped."
        )
        title = f"Advantage {gain:+.0f}: flat {side} a ratio of {limit:g}"
        series = {name: curve[:, 0].tolist() for name, curve in curves.items()}
        low_high = (-_RATIOS[1], 0.0) if gain > 0 else (0.0, _RATIOS[1])
        shown.append(
            svg.lines(
                title, ratio[:, 0].tolist(), series, "ratio", "loss", low_high, width=svg.NARROW
            )
        )
    return svg.Picture(tuple(shown), " ".join(said))
