"""Tables for what a reader compares: a caption, headings that sort, and the same as plain text.

    table("What training cost", rows, formats={"USD": "{:,.0f}"})    # the last line of a cell

A press of a heading, by mouse or keyboard, sorts by its column; pressed again, the other way round.
Where no script runs (GitHub, a printed page) it is a table that stays as it is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from course_lib.show.theme import MID_GREY, NO_MATHS, TEXT_COLOUR

_SCRIPT = (Path(__file__).parent / "tables.js").read_text(encoding="utf-8")
_STYLE = f"""<style>
.ir1-table table {{ color: {TEXT_COLOUR}; border-collapse: collapse; margin: 0.3em 0; }}
.ir1-table caption {{ caption-side: top; text-align: left; font-weight: bold; color: inherit; }}
.ir1-table th, .ir1-table td {{ padding: 0.2em 0.7em; text-align: right; }}
.ir1-table .ir1-words {{ text-align: left; }}
.ir1-table button {{ all: unset; cursor: pointer; font-weight: bold; }}
.ir1-table button {{ display: inline-block; min-width: 24px; line-height: 24px; }}
.ir1-table button:focus-visible {{ outline: 3px solid #874be1; outline-offset: 2px; }}
.ir1-table td:not(.ir1-words) {{ white-space: nowrap; }}
.ir1-table button::after {{ content: "\\a0⇅"; color: {MID_GREY}; }}
.ir1-table [aria-sort=descending] button::after {{ content: "\\a0▼"; }}
.ir1-table [aria-sort=ascending] button::after {{ content: "\\a0▲"; }}
</style>"""


class Table:
    """A table to display; see `table`. Its text is what `print` shows."""

    def __init__(self, caption: str, frame: pd.DataFrame, formats: Mapping[str, str]) -> None:
        self.caption, self.frame = caption, frame
        columns = {name: [_shown(v, formats.get(name)) for v in frame[name]] for name in frame}
        self.shown = pd.DataFrame(columns, columns=frame.columns)

    def __str__(self) -> str:
        return f"{self.caption}\n{self.shown.to_string(index=False)}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        values, shown = (f.itertuples(index=False, name=None) for f in (self.frame, self.shown))
        inner = html(self.caption, [str(name) for name in self.frame], shown, values)
        opened = f'<div class="ir1-table {NO_MATHS}" style="overflow-x:auto">'
        return f"{opened}{_STYLE}{inner}</div><script>{_SCRIPT}</script>"


# The mark tells JupyterLab that keys pressed here are none of its own.
_BUTTON = Markup('<button type="button" data-lm-suppress-shortcuts="true">{}</button>')


def table(
    caption: str,
    rows: pd.DataFrame | Iterable[Mapping[str, Any]],
    formats: Mapping[str, str] | None = None,
) -> Table:
    """A table of `rows` (heading -> value each; of a frame, its named index too), to be displayed.

    The first column names the rows. `formats` is heading -> format, such as "{:.1%}", for values
    that are numbers. Raises ValueError for no rows, and for a format of a column that is not there.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    if not isinstance(frame.index, pd.RangeIndex):
        names = [name or " " * level for level, name in enumerate(frame.index.names)]
        frame = frame.rename_axis(names).reset_index()
    unknown = sorted(set(formats or {}) - set(frame.columns))
    if frame.empty or unknown:
        raise ValueError(f"no column named {', '.join(unknown)}" if unknown else "no rows to show")
    return Table(caption, frame, formats or {})


def html(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    values: Iterable[Sequence[Any]] | None = None,
) -> str:
    """A table as HTML: `caption`, a heading for each column, the first cell of a row as its name.

    All text is escaped but `markupsafe.Markup`. With the `values` of all cells the headings are
    buttons that sort by them.
    """
    body = [list(row) for row in rows]
    aside = (any(map(_is_worded, column)) for column in zip(*body, strict=True))
    words = [' class="ir1-words"' if text else "" for text in aside]
    sorts = values is not None
    named = (_BUTTON.format(head) if sorts and head else head for head in heads)
    top = "".join(
        f'<th scope="col"{kind}>{escape(head)}</th>'
        for head, kind in zip(named, words, strict=True)
    )
    both = zip(body, body if values is None else values, strict=True)
    lines = "".join(f"<tr>{_row(row, known, words)}</tr>" for row, known in both)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    inner = f"{said}<thead><tr>{top}</tr></thead><tbody>{lines}</tbody>"
    return f'<table class="ir1-cells">{inner}</table>'


def _row(row: Sequence[Any], values: Sequence[Any], words: Sequence[str]) -> str:
    made = []
    for i, (cell, value, kind) in enumerate(zip(row, values, words, strict=True)):
        tag, scope = ("th", ' scope="row"') if i == 0 else ("td", "")
        sort = f' data-value="{value}"' if _is_number(value) else ""
        made.append(f"<{tag}{scope}{kind}{sort}>{escape(cell)}</{tag}>")
    return "".join(made)


def _is_worded(cell: Any) -> bool:
    """Whether a cell shows words, which are set to the left, and not a number."""
    return bool(re.search("[^\\W\\d_]{2}", Markup(escape(cell)).striptags()))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _shown(value: Any, how: str | None) -> str:
    """A value as it is read: by its format if it is a number, a dash where there is none."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    if not _is_number(value):
        return str(value)
    return how.format(value) if how else f"{value:,}" if isinstance(value, int) else f"{value:g}"
