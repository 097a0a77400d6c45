"""Diagrams: boxes and arrows, whose words and places are data, as SVG in one look.

`diagrams.toml` holds them by name. A box is a `size` (width, height) `at` a point (left, top), with
`text`; an arrow goes `from` a box `to` another, and may be `dashed`, or `stopped` on its way. Teal
boxes are models, violet ones texts and numbers, orange ones rules, brown ones other people's.
"""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

from course_lib.show import svg
from course_lib.show.theme import PALETTE

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_LINE = 19  # from one line of text to the next
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A box with lines of text in its middle, or at its `top`; `colour` is one of the palette."""

    at: Point
    size: Point
    text: str = ""
    colour: str = ""
    top: bool = False
    dashed: bool = False

    @property
    def end(self) -> Point:
        """Its right lower corner."""
        return self.at[0] + self.size[0], self.at[1] + self.size[1]

    def draw(self) -> str:
        """The box as SVG, tinted in its colour."""
        (x, y), (width, height) = self.at, self.size
        colour = PALETTE.get(self.colour, "currentColor")
        fill = f'fill="{colour}" fill-opacity="0.15"' if self.colour else 'fill="none"'
        dash = ' stroke-dasharray="4 4"' if self.dashed else ""
        lines = self.text.split("\n") if self.text else []
        middle = y + height / 2 + 5 - _LINE * (len(lines) - 1) / 2
        first = y + _LINE + 2 if self.top else middle
        said = (
            svg.text(x + width / 2, first + _LINE * i, w, "middle") for i, w in enumerate(lines)
        )
        return (
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" {fill} '
            f'stroke="{colour}" stroke-width="2"{dash}/>{"".join(said)}'
        )


def arrow(
    start: Box, end: Box, text: str = "", *, dashed: bool = False, stopped: bool = False
) -> str:
    """An arrow between the sides of two boxes that face each other, its words beside it."""
    (x0, y0), (x, y) = _ends(start, end)
    along = math.atan2(y - y0, x - x0)
    wings = [(x - 9 * math.cos(along + a), y - 9 * math.sin(along + a)) for a in (-0.4, 0.4)]
    head = " ".join(f"{a:.1f},{b:.1f}" for a, b in ((x, y), *wings))
    middle = (x0 + x) / 2, (y0 + y) / 2
    dash = ' stroke-dasharray="6 4"' if dashed or stopped else ""
    line = f'<line x1="{x0:g}" y1="{y0:g}" x2="{x:g}" y2="{y:g}" stroke="currentColor" '
    drawn = f'{line}stroke-width="1.5"{dash}/><polygon points="{head}"/>'
    if stopped:
        a, b = middle
        cross = f"M{a - 7:g} {b - 7:g}l14 14m0 -14l-14 14"
        drawn += f'<path d="{cross}" stroke="{PALETTE["orange"]}" stroke-width="3.5"/>'
    if not text:
        return drawn
    upright = abs(x - x0) < 1
    at = (middle[0] + 12, middle[1] + 5) if upright else (middle[0], middle[1] - 8)
    return drawn + svg.text(*at, text, "start" if upright else "middle")


def _ends(start: Box, end: Box) -> tuple[Point, Point]:
    """Where an arrow leaves a box and meets another: straight if they face each other."""
    (left, top), (right, bottom) = (
        (max(start.at[i], end.at[i]) for i in (0, 1)),
        (min(start.end[i], end.end[i]) for i in (0, 1)),
    )
    if left < right:  # one above the other
        x, down = (left + right) / 2, end.at[1] > start.at[1]
        return ((x, start.end[1]), (x, end.at[1])) if down else ((x, start.at[1]), (x, end.end[1]))
    ahead = end.at[0] > start.at[0]
    x0, x = (start.end[0], end.at[0]) if ahead else (start.at[0], end.end[0])
    if top < bottom:  # side by side
        return (x0, (top + bottom) / 2), (x, (top + bottom) / 2)
    return (x0, start.at[1] + start.size[1] / 2), (x, end.at[1] + end.size[1] / 2)


def draw(name: str, **values: object) -> svg.Picture:
    """The diagram called `name`, with `values` for what its words leave open, as `{here}`.

    Raises ValueError for a name that is none, and for a value that is missing.
    """
    if name not in _TABLE:
        raise ValueError(f"there is no diagram {name!r}: there are {', '.join(_TABLE)}")
    shown = _TABLE[name]
    try:
        boxes = {
            key: Box(**one | {"text": one["text"].format_map(values)})
            for key, one in shown["boxes"].items()
        }
        words = shown["words"].format_map(values)
    except KeyError as error:
        raise ValueError(f"the diagram {name!r} needs a value for {error.args[0]}") from error
    body = [one.draw() for one in boxes.values()]
    for one in shown.get("arrows", []):
        given = {key: v for key, v in one.items() if key not in ("from", "to")}
        body.append(arrow(boxes[one["from"]], boxes[one["to"]], **given))
    height = 12 + max(one.end[1] for one in boxes.values())
    for note in shown.get("notes", []):
        height += _LINE
        body.append(svg.text(0, height - 6, note))
    return svg.Picture((svg.frame(shown["title"], words, height, body, svg.NARROW),), words)
