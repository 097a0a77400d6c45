"""How the course looks: one palette, one plotly template, one card for each kind of aside.

Every colour of the palette has a luminance between two bounds, so that a line or a bar of it has
at least 3:1 contrast (WCAG 2.2, 1.4.11) on a white page and on JupyterLab's dark one. Text takes
JupyterLab's own font colours, and the system's (`CanvasText` on `Canvas`) where there are none.
"""

from html import escape as _escape

import plotly.graph_objects as go
import plotly.io as pio

TEMPLATE = "inside_r1"

PALETTE: dict[str, str] = {
    "teal": "#0fa587",
    "brown": "#a55a2d",
    "violet": "#874be1",
    "orange": "#d2783c",
    "ocean": "#1e7896",
    "lilac": "#a578ff",
}
"""Six colours that stay apart for readers with each kind of colour blindness, in order of use."""

MID_GREY = "#797979"
"""The grey that has equal contrast, 4.3:1, on white and on JupyterLab's dark page."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""plotly's names of line styles, in step with the palette: nothing is said by colour alone."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
"""plotly's names of marker shapes, in step with the palette."""

TEXT_COLOUR = "var(--jp-content-font-color1, CanvasText)"
PAGE_COLOUR = "var(--jp-layout-color1, Canvas)"
FONT = "var(--jp-content-font-family, system-ui, sans-serif)"

NO_MATHS = "tex2jax_ignore mathjax_ignore"
"""HTML classes that keep JupyterLab from reading '$5 and $6' as a formula."""

KINDS: dict[str, tuple[str, str, str]] = {
    "question": ("Question", "?", "violet"),
    "exercise": ("Exercise", "✎", "teal"),
    "warning": ("Take care", "!", "orange"),
    "recorded": ("Recorded result", "●", "ocean"),
    "note": ("Note", "i", "brown"),
}
"""The kinds of card there are: word, sign and colour."""

STILL = "ir1-still"
"""HTML class of pictures that are images, dark on white."""

STYLE = f"""<style>
.js-plotly-plot text:not(.annotation-text) {{ fill: {TEXT_COLOUR} !important; }}
.js-plotly-plot .annotation-text {{ fill: {TEXT_COLOUR} !important; }}
.js-plotly-plot .hovertext text {{ fill: #ffffff !important; }}
body[data-jp-theme-light="false"] img.{STILL} {{
  filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; }}
.jupyter-widgets .noUi-handle {{ border: 2px solid {MID_GREY} !important; }}
</style>"""
"""Gives the text in plotly figures the page's own colour, and turns images round in the dark theme:
light for dark, hues as they were, white as the page. The handles of sliders, white on white in the
light theme, get an edge. `notebook.setup()` shows it once."""


def escape(value: object) -> str:
    """`str(value)` made safe to stand in HTML text and in a quoted attribute."""
    return _escape(str(value), quote=True)


def paragraphs(text: str) -> str:
    """Plain text as HTML paragraphs: blank lines part them, everything in them is escaped."""
    parts = [part.strip() for part in text.split("\n\n")]
    return "".join(f"<p>{escape(part)}</p>" for part in parts if part)


def card(kind: str, title: str, body_html: str) -> str:
    """An aside as HTML that reads well in light and dark themes and without any theme.

    `title` is data and is escaped. `body_html` is HTML and goes in as it is: pass what a reader
    or a file supplied through `escape` or `paragraphs` first. `kind` is one of `KINDS` and is
    said in words and by a sign as well as by the colour of the edge; dollar signs in it stay
    dollars and start no formula. Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of card {kind!r}: use one of {', '.join(KINDS)}")
    word, sign, colour = KINDS[kind]
    return (
        f'<div class="ir1-card ir1-{kind} {NO_MATHS}" role="group" '
        f'aria-label="{word}: {escape(title)}" style="'
        f"border:1px solid {PALETTE[colour]};border-left-width:6px;border-radius:4px;"
        f"padding:0.5em 1em;margin:0.5em 0;max-width:48em;background:{PAGE_COLOUR};"
        f'color:{TEXT_COLOUR};font-family:{FONT};line-height:1.5">'
        f'<p style="margin:0 0 0.4em"><span aria-hidden="true">{sign}</span> '
        f"<strong>{word}: {escape(title)}</strong></p>{body_html}</div>"
    )


def _template() -> go.layout.Template:
    axis = {
        "gridcolor": "rgba(121,121,121,0.35)",
        "linecolor": MID_GREY,
        "zerolinecolor": MID_GREY,
        "ticks": "outside",
        "tickcolor": MID_GREY,
        "automargin": True,
    }
    layout = go.Layout(
        colorway=list(PALETTE.values()),
        font={"color": MID_GREY, "size": 14, "family": "system-ui, sans-serif"},
        hoverlabel={"font": {"color": "#ffffff"}, "bgcolor": "#333333"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        colorscale={"sequential": "Cividis", "sequentialminus": "Cividis", "diverging": "PuOr"},
        margin={"l": 60, "r": 20, "t": 60, "b": 80},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        xaxis=axis,
        yaxis=axis,
    )
    bars = [go.Bar(marker={"line": {"color": MID_GREY, "width": 1}})]
    lines = [
        go.Scatter(line={"dash": dash, "width": 2.5}, marker={"symbol": symbol, "size": 8})
        for dash, symbol in zip(DASHES, SYMBOLS, strict=True)
    ]
    return go.layout.Template(layout=layout, data={"bar": bars, "scatter": lines})


def register() -> None:
    """Make the course's plotly template known by its name and the default for new figures."""
    pio.templates[TEMPLATE] = _template()
    pio.templates.default = TEMPLATE


register()
