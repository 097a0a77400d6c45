"""Small pictures as SVG text: pure functions from numbers to a string, fast enough for a slider.

Each picture is one `<svg role="img">` whose `<title>` and `<desc>` say what it shows, so that the
alt text travels with it. Text takes the page's own colour. Series differ by colour and by a
pattern or a dash. All sizes are in SVG user units (CSS pixels at full width).
"""

import base64
import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import unescape

from course_lib.show.theme import FONT, NO_MATHS, PAGE_COLOUR, PALETTE, STILL, TEXT_COLOUR, escape

WIDTH, NARROW = 640, 480  # of charts; and of what has much text, which a phone shows smaller
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 40, 56
_COLOURS = tuple(PALETTE.values())
_DASHES = ("", "8 4", "2 4", "8 4 2 4", "14 4", "14 4 2 4")
_LETTERS = string.ascii_uppercase


def number(value: float, digits: int = 4) -> str:
    """A number for people: up to `digits` significant ones, thousands marked (12,000; 0.0213)."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def as_images(html: str) -> str:
    """`html` with each of its SVG pictures as an `<img>` with its alt text and a page of its own.

    Pages that do not trust a notebook (GitHub, JupyterLab until it is run) drop inline SVG and keep
    images. An image cannot take the page's colours, so it is dark on white; `look.STYLE` turns it
    round in JupyterLab's dark theme by its class, `look.STILL`.
    """
    return re.sub(_SVG, _as_image, html, flags=re.DOTALL)


def pictures(html: str) -> list[tuple[str, str]]:
    """Alt text and standalone SVG of each picture in `html`; decoration is left out."""
    found = re.finditer(_SVG, html, flags=re.DOTALL)
    return [(unescape(_label(one[0])), standalone(one[0])) for one in found if _label(one[0])]


_SVG = r"<svg\b[^>]*>.*?</svg>"


def standalone(picture: str) -> str:
    """An inline SVG as a document of its own, dark on white."""
    inked = picture.replace(TEXT_COLOUR, "#1f1f1f").replace(PAGE_COLOUR, "#ffffff")
    head, rest = inked.split(">", 1)
    if "xmlns=" not in head:
        head += ' xmlns="http://www.w3.org/2000/svg"'
    return f'{head}><rect width="100%" height="100%" fill="#ffffff"/>{rest}'


@dataclass(frozen=True)
class Picture:
    """What a cell shows: SVG pictures, side by side where there is room, and the same in words."""

    svgs: tuple[str, ...]
    words: str

    def _repr_html_(self) -> str:
        return (
            f'<div class="{NO_MATHS}">{as_images(beside(self.svgs))}<details><summary>In words'
            f"</summary><p>{escape(self.words)}</p></details></div>"
        )

    def __repr__(self) -> str:
        return self.words


def beside(svgs: Sequence[str]) -> str:
    """Pictures side by side, one under the other on a narrow page, none larger than it is."""
    widest = (re.findall(r'viewBox="0 0 (\d+)', one)[0] for one in svgs)
    # No flex box: JupyterLab drops most of its rules from what it does not trust, and the rest
    # leaves an image without a width.
    each = (
        f'<div style="display:inline-block;width:{width}px;max-width:100%;vertical-align:top">'
        f"{one}</div>"
        for width, one in zip(widest, svgs, strict=True)
    )
    return f"<div>{' '.join(each)}</div>"


def _label(picture: str) -> str:
    found = re.search(r'aria-label="([^"]*)"', picture.split(">", 1)[0])
    return found[1] if found else ""


def _as_image(found: re.Match[str]) -> str:
    data = base64.b64encode(standalone(found[0]).encode()).decode()
    size = re.search(r'viewBox="0 0 (\d+)', found[0])
    width = f' width="{size[1]}"' if size else ""  # else JupyterLab makes it as wide as the page
    return (
        f'<img class="{STILL}"{width} alt="{_label(found[0])}" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def _finite(values: Sequence[float], what: str) -> list[float]:
    if not values:
        raise ValueError(f"nothing to draw: {what} is empty")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"{what} must be finite numbers: leave out NaN and infinity")
    return [float(value) for value in values]


def frame(title: str, desc: str, height: float, body: Sequence[str], width: int = WIDTH) -> str:
    """A whole picture: its title on top, `desc` as its alt text, and its parts."""
    return (
        f'<svg role="img" aria-label="{escape(title)}. {escape(desc)}" '
        f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" '
        f'style="width:100%;max-width:{width}px;height:auto;color:{TEXT_COLOUR};'
        f'font-family:{FONT};font-size:14px" fill="currentColor">'
        f"<title>{escape(title)}</title><desc>{escape(desc)}</desc>"
        f'<text x="0" y="18" font-weight="bold">{escape(title)}</text>{"".join(body)}</svg>'
    )


def text(x: float, y: float, words: object, anchor: str = "start") -> str:
    """Words whose baseline begins (or has its middle or end, by `anchor`) at a point."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" '
        f'fill="{colour}" stroke="currentColor" stroke-width="0.5"/>'
    )


def bars(
    title: str,
    values: Mapping[str, float],
    unit: str = "",
    most: float | None = None,
    width: int = WIDTH,
) -> str:
    """Horizontal bars, one for each label, with the number written at the end of its bar.

    `values`: label -> value >= 0, in `unit`. `most`: the value that fills the width, to keep the
    scale still while a slider moves. Raises ValueError for nothing, negative or non-finite values.
    """
    numbers = _finite(list(values.values()), "values")
    if min(numbers) < 0:
        raise ValueError("bars draws values from 0 up: use lines for negative ones")
    longest = max(len(label) for label in values)
    left, right = min(12 + 8 * longest, width // 2), 110
    full = max(numbers if most is None else [*numbers, most]) or 1.0
    scale = (width - left - right) / full
    body = []
    for row, (label, value) in enumerate(zip(values, numbers, strict=True)):
        y = _TOP + 28 * row
        body.append(text(left - 8, y + 15, label, "end"))
        body.append(_rect(left, y, value * scale, 20, _COLOURS[0]))
        body.append(text(left + value * scale + 6, y + 15, f"{number(value)} {unit}".strip()))
    return frame(title, describe(values, unit), _TOP + 28 * len(numbers) + 8, body, width)


def describe(values: Mapping[str, float], unit: str = "") -> str:
    """The numbers of a bar chart in words: 'a: 1 GB; b: 2 GB'."""
    return "; ".join(f"{k}: {number(v)} {unit}".strip() for k, v in values.items())


def stacked_bars(
    title: str, rows: Mapping[str, Mapping[str, float]], unit: str = "", width: int = WIDTH
) -> str:
    """Horizontal bars made of parts: `rows` is bar label -> part name -> value >= 0, in `unit`.

    A part has the same colour and the same letter in every bar, and a key under the picture.
    Raises ValueError for nothing to draw and for negative or non-finite values.
    """
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    numbers = _finite([value for row in rows.values() for value in row.values()], "rows")
    if min(numbers) < 0:
        raise ValueError("stacked_bars draws values from 0 up")
    totals = {label: sum(row.values()) for label, row in rows.items()}
    left, right = min(12 + 8 * max(map(len, rows)), width // 2), 110
    scale = (width - left - right) / (max(totals.values()) or 1.0)
    body = []
    for index, (label, row) in enumerate(rows.items()):
        y, x = _TOP + 36 * index, float(left)
        body.append(text(left - 8, y + 19, label, "end"))
        for part, value in row.items():
            body.append(_part(x, y, value * scale, parts.index(part)))
            x += value * scale
        body.append(text(x + 6, y + 19, f"{number(totals[label])} {unit}".strip()))
    foot = _TOP + 36 * len(rows) + 8
    body += [_key(part, index, foot, width) for index, part in enumerate(parts)]
    words = [f"{label} ({describe(row, unit)})" for label, row in rows.items()]
    height = foot + 24 * math.ceil(len(parts) / 2) + 8
    return frame(title, "; ".join(words), height, body, width)


def _part(x: float, y: float, width: float, index: int) -> str:
    box = _rect(x, y, width, 28, _COLOURS[index % len(_COLOURS)])
    if width < 16:
        return box
    return box + (
        f'<text x="{x + width / 2:.1f}" y="{y + 19:.1f}" text-anchor="middle" fill="#000" '
        f'stroke="#fff" stroke-width="4" paint-order="stroke">{_LETTERS[index % 26]}</text>'
    )


def _key(part: str, index: int, top: float, width: int) -> str:
    x, y = (index % 2) * width / 2, top + 24 * (index // 2)
    box = _rect(x, y, 14, 14, _COLOURS[index % len(_COLOURS)])
    return box + text(x + 20, y + 12, f"{_LETTERS[index % 26]}: {part}")


def lines(
    title: str,
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    x_name: str = "",
    y_name: str = "",
    y_range: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
    width: int = WIDTH,
) -> str:
    """Lines over a common x: `series` is name -> values, each as long as `x`.

    Each line has its own colour and dash and its name in a key, which is left out for one line that
    is called as the picture is. `x_range` and `y_range` keep the scale still.
    Raises ValueError for nothing to draw, lengths that differ and non-finite values.
    """
    xs = _finite(list(x), "x")
    ys = {name: _finite(list(values), name) for name, values in series.items()}
    if not ys or any(len(values) != len(xs) for values in ys.values()):
        raise ValueError("lines needs at least one series, and each as long as x")
    everything = [value for values in ys.values() for value in values]
    scales = (x_range or (min(xs), max(xs)), y_range or (min(everything), max(everything)))
    place = _placer(*scales, width)
    body = _axes(*scales, x_name, y_name, place)
    for index, values in reversed(list(enumerate(ys.values()))):  # the first line is on top
        points = [place(a, b) for a, b in zip(xs, values, strict=True)]
        body.append(_polyline(points, index))
    named = [] if list(ys) == [title] else list(ys)
    body += [_line_key(name, index, width) for index, name in enumerate(named)]
    words = [f"{n} from {number(v[0])} to {number(v[-1])}" for n, v in ys.items()]
    over = f"over {x_name or 'x'} {number(xs[0])} to {number(xs[-1])}"
    height = 300 + 22 * math.ceil(len(named) / 2)
    return frame(title, f"{y_name or 'value'} {over}: {'; '.join(words)}", height, body, width)


_Place = Callable[[float, float], tuple[float, float]]


def _placer(xs: tuple[float, float], ys: tuple[float, float], whole: int) -> _Place:
    """The function from data to picture coordinates of the plot area."""
    width, height = whole - _LEFT - _RIGHT, 300 - _TOP - _BOTTOM
    x_span, y_span = (xs[1] - xs[0]) or 1.0, (ys[1] - ys[0]) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        right = _LEFT + width * (x - xs[0]) / x_span
        return right, _TOP + height * (1 - (min(max(y, ys[0]), ys[1]) - ys[0]) / y_span)

    return place


def _axes(
    xs: tuple[float, float], ys: tuple[float, float], x_name: str, y_name: str, place: _Place
) -> list[str]:
    (left, bottom), (right, top) = place(xs[0], ys[0]), place(xs[1], ys[1])
    corner = f"M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}"
    return [
        f'<path d="{corner}" fill="none" stroke="currentColor"/>',
        text((left + right) / 2, bottom + 40, x_name, "middle"),
        text(left, top - 6, y_name),
        *(text(place(x, ys[0])[0], bottom + 20, number(x), "middle") for x in ticks(*xs)),
        *(text(left - 6, place(xs[0], y)[1] + 5, number(y), "end") for y in ticks(*ys)),
    ]


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers from `low` to `high`; the one number where both are equal."""
    if not high > low:
        return [low]
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * part for part in (1, 2, 2.5, 5, 10) if power * part >= 0.999 * rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * place for place in range(first, last + 1)]


def _polyline(points: Sequence[tuple[float, float]], index: int) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{_COLOURS[index % len(_COLOURS)]}" '
        f'stroke-width="2.5" stroke-dasharray="{_DASHES[index % len(_DASHES)]}"/>'
    )


def _line_key(name: str, index: int, width: int) -> str:
    x, y = (index % 2) * width / 2, 312 + 22 * (index // 2)
    return _polyline([(x, y), (x + 36, y)], index) + text(x + 42, y + 5, name)
