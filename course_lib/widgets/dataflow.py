"""The data-flow inspector: what each engine asked of the network, and what a hosted one is sent."""

from collections.abc import Mapping
from typing import Any

import ipywidgets as ipw

from course_lib.limits.dataflow import Event, Recording
from course_lib.show import svg, tables
from course_lib.show.theme import NO_MATHS, escape
from course_lib.widgets.base import Widget, choice, tick

HOSTED = "a hosted service (built, not sent)"
_HEADS = ("what", "address", "port", "where", "process", "seen by")


class DataFlowInspector(Widget):
    """Shows `recordings` by name, and the bytes of a hosted `request` beside them.

    Raises ValueError where there is neither a recording nor a request.
    """

    title = "Where does it go?"

    def __init__(
        self,
        recordings: Mapping[str, Recording],
        request: bytes = b"",
        *,
        key: str = "",
        **first: Any,
    ) -> None:
        if not (recordings or request):
            raise ValueError("There is nothing to inspect; give a recording or a request.")
        self.recordings, self.request = dict(recordings), request
        super().__init__(key, **first)

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """Which recording to look into, and whether to leave out what stays on this machine."""
        names = [*self.recordings, *([HOSTED] if self.request else [])]
        return {"of": choice("Show", names), "outside": tick("Only what leaves this machine")}

    def events(self) -> list[Event]:
        """The events to show."""
        recording = self.recordings[self.state["of"]]
        return recording.outside if self.state["outside"] else recording.events

    def picture(self) -> str:
        """Events of every recording as bars, then the chosen one's as a table; or the request."""
        if self.state["of"] == HOSTED:
            shown = escape(self.request.decode("utf-8", "replace"))
            return f'<pre class="{NO_MATHS}" style="white-space:pre-wrap">{shown}</pre>'
        counts = {name: one.counts() for name, one in self.recordings.items()}
        return svg.stacked_bars("Events on the network", counts) + _table(self.events())

    def text(self) -> str:
        """The counts of the chosen recording, or the size of the request, in words."""
        if self.state["of"] == HOSTED:
            head, _, body = self.request.partition(b"\r\n\r\n")
            return (
                f"{len(self.request)} bytes would leave: {len(head)} of headers, your key among "
                f"them, and {len(body)} of content, with every word you wrote."
            )
        recording = self.recordings[self.state["of"]]
        outside = len(recording.outside)
        leaves = f"{outside} of them leave this machine." if outside else "Nothing leaves."
        return f"{self.state['of']}: {recording.text()} {leaves}"


def _table(events: list[Event]) -> str:
    if not events:
        return "<p>No events.</p>"
    rows = [(x.kind, x.address, x.port or "", x.where, x.process, x.seen_by) for x in events]
    return tables.html("", _HEADS, rows)
