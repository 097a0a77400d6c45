"""A layer of experts and one token's way through it, drawn from the route's own numbers."""

from course_lib.moe.route_table import Line, RouteTable, words
from course_lib.show import svg
from course_lib.show.diagrams import Box, arrow
from course_lib.show.theme import PALETTE

_RIGHT, _SHARED = 385, 90  # where the routed experts end; how wide the shared one is
_BASE, _SCALE = 204, 48  # the foot of the bars, and the height of a score of 1


def draw(table: RouteTable) -> svg.Picture:
    """The picture of `table` (see `route_table.tabulate`), with the shared expert beside it."""
    width = _RIGHT / len(table.lines)
    told = any(line.bias for line in table.lines)
    foot = _BASE + (42 if told else 24) + (24 if len(table.worth) > 1 else 0)
    top = foot + 26
    token = Box((1, 34), (478, 34), "one token, a vector", "violet")
    router = Box((1, 92), (_RIGHT, 34), "the router: a score for each expert", "orange")
    shared = Box((479 - _SHARED, top), (_SHARED, 50), "the shared\nexpert", "teal")
    out = Box((1, top + 78), (478, 34), "weighed and added up: on to the next layer", "violet")
    body = [box.draw() for box in (token, router, shared, out)]
    body += [arrow(token, router), arrow(token, shared), arrow(shared, out)]
    body += _groups(table, width, foot)
    for place, line in enumerate(table.lines):
        body += _column(line, 1 + width * place, width, told=told)
        expert = _expert(line, 4 + width * place, top, width - 6)
        body.append(expert.draw())
        if line.chosen:
            bar = Box((expert.at[0], _BASE), (expert.size[0], foot - _BASE))
            body += [arrow(bar, expert), arrow(expert, out)]
    said = (
        f"The router gives each of {len(table.lines)} experts a score. {words(table)} The shared "
        "expert gets every token. The outputs are weighed and added up; the other experts do "
        "nothing for this token."
    )
    title = "A token's way through a layer of experts"
    return svg.Picture((svg.frame(title, said, top + 122, body, svg.NARROW),), said)


def _column(line: Line, x: float, width: float, *, told: bool) -> list[str]:
    """An expert's score as a bar, its number under it, and its bias where there is one."""
    colour = PALETTE["teal" if line.chosen else "brown"]
    high = _SCALE * line.score
    middle = x + width / 2
    parts = [
        f'<rect x="{middle - 10:g}" y="{_BASE - high:.1f}" width="20" height="{high:.1f}" '
        f'fill="{colour}" stroke="currentColor" stroke-width="0.5"/>',
        svg.text(middle, _BASE + 18, f"{line.score:.2f}", "middle"),
    ]
    if told:
        parts.append(svg.text(middle, _BASE + 36, f"{line.bias:+.1f}", "middle"))
    return parts


def _groups(table: RouteTable, width: float, foot: float) -> list[str]:
    """A frame round each group, with what it is worth and whether it stays."""
    groups = len(table.worth)
    if groups == 1:
        return []
    size, parts = len(table.lines) // groups, []
    for group, worth in enumerate(table.worth):
        stays = table.lines[group * size].stays
        x, wide = 3 + width * size * group, width * size - 4
        frame = Box((x, 138), (wide, foot - 138), "", "ocean" if stays else "", dashed=not stays)
        said = f"{worth:.2f}: {'stays' if stays else 'out'}"
        parts += [frame.draw(), svg.text(x + wide / 2, foot - 8, said, "middle")]
    return parts


def _expert(line: Line, x: float, top: float, width: float) -> Box:
    weight = f"\n×{line.weight:.2f}" if line.chosen else "\n–"
    name = f"{'expert ' if width > 76 else ''}{line.expert}"
    colour = "teal" if line.chosen else ""
    return Box((x, top), (width, 50), name + weight, colour, dashed=not line.chosen)
