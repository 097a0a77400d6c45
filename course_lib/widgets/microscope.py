"""The token microscope's controls: pick a completion and a token of it."""

from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw

from course_lib.rl.microscope import Anatomy, TokenLine, explain, token_lines
from course_lib.show.theme import MID_GREY, PALETTE, escape
from course_lib.widgets.base import Widget, choice, slider

_SIGNS = {"up": "▲", "down": "▼", "still": "·"}
_COLOURS = {"up": PALETTE["teal"], "down": PALETTE["orange"], "still": MID_GREY}
_HEADS = ("", "token", "chance", "ratio", "clipped", "KL", "adds to the loss", "logit", "gradient")


class TokenMicroscope(Widget):
    """Shows a dissected loss token by token.

    `tokens` has the texts of each completion's tokens; `rewards` and `advantages` are one number a
    completion; `anatomy` is from `course_lib.rl.microscope.dissect`. Raises ValueError where they
    are not for the same completions.
    """

    title = "Token microscope"
    beside = True

    def __init__(
        self,
        anatomy: Anatomy,
        tokens: Sequence[Sequence[str]],
        rewards: Sequence[float],
        advantages: Sequence[float],
        *,
        key: str = "",
        **first: Any,
    ) -> None:
        cases = zip(tokens, rewards, advantages, strict=True)
        self.anatomy = anatomy
        self.lines: list[list[TokenLine]] = [
            token_lines(anatomy, row, list(texts), float(reward), float(advantage))
            for row, (texts, reward, advantage) in enumerate(cases)
        ]
        super().__init__(key, **first)

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """Which completion, by number and reward, and which token of it."""
        names = {
            f"{row + 1} (reward {lines[0].reward:g}, {len(lines)} tokens)": row
            for row, lines in enumerate(self.lines)
            if lines
        }
        longest = max(map(len, self.lines))
        return {"completion": choice("Completion", names), "token": slider("Token", 1, longest, 1)}

    def chosen(self) -> tuple[list[TokenLine], TokenLine]:
        """The completion's lines, and the one looked at (the last where there are fewer)."""
        lines = self.lines[self.state["completion"]]
        return lines, lines[min(self.state["token"], len(lines)) - 1]

    def picture(self) -> str:
        """A table with a row for each token; the chosen one is framed."""
        lines, chosen = self.chosen()
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in _HEADS)
        body = "".join(_row(line, line is chosen) for line in lines)
        return (
            '<div style="max-height:26em;overflow:auto" tabindex="0" role="region" '
            f'aria-label="Tokens of the completion"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def text(self) -> str:
        """The chosen token in words, and how the sums come out."""
        lines, chosen = self.chosen()
        own = sum(line.part for line in lines)
        everything = sum(line.part for lines in self.lines for line in lines)
        return (
            f"{explain(chosen)} This completion adds {own:+.4g} to the loss; all "
            f"{len(self.lines)} together make {everything:+.4g}, and the loss is "
            f"{self.anatomy.loss:+.4g}."
        )


def _row(line: TokenLine, chosen: bool) -> str:
    """One token as a row of the table; its direction is said by sign, word and colour."""
    way = line.direction
    cells = (
        f"{line.probability:.3f}",
        f"{line.ratio:.3f}",
        "yes" if line.clipped else "no",
        f"{line.kl:.4f}",
        f"{line.part:+.2e}",
        f'<span style="color:{_COLOURS[way]}" aria-hidden="true">{_SIGNS[way]}</span> {way}',
        f"{line.gradient:+.2e}",
    )
    frame = f' style="outline:2px solid {PALETTE["violet"]}" aria-current="true"' if chosen else ""
    token = f"<code>{escape(line.token)}</code>"
    rest = "".join(f"<td style='white-space:nowrap'>{cell}</td>" for cell in cells)
    return f"<tr{frame}><td>{line.position}</td><th scope='row'>{token}</th>{rest}</tr>"
