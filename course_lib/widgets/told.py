"""Scripts in the page that hear what the kernel says, however busy the page is.

anywidget gives a script two seconds to load. Where a page is busy for longer, its element is drawn
all the same, but every change that the kernel makes later is dropped, a class added as well (0.9.18
to 0.11.0: a promise that has failed is waited for). So what the kernel says goes by a model of
ipywidgets' own, and all else that a script needs is given to it when it is made.
"""

from typing import Any

import anywidget
import ipywidgets as ipw
import traitlets


class Told(anywidget.AnyWidget):
    """A script with HEAR in it, and the `text` that it is told: at first, and when it is set.

    `first` are other traits, for good, such as the element's classes.
    """

    line = traitlets.Instance(ipw.HTML).tag(sync=True, **ipw.widget_serialization)

    def __init__(self, text: str, **first: Any) -> None:
        super().__init__(line=ipw.HTML(text), **first)

    @property
    def text(self) -> str:
        """What the page is told."""
        return str(self.line.value)

    @text.setter
    def text(self, text: str) -> None:
        self.line.value = text


HEAR = """
/** Call act(text) with the text of a Told, now and at each change; returns what ends that. */
async function hear(model, act) {
  const line = await model.widget_manager.get_model(model.get("line").replace("IPY_MODEL_", ""));
  const say = () => act(line.get("value"));
  line.on("change:value", say);
  say();
  return () => line.off("change:value", say);
}
"""
