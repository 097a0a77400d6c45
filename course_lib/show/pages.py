"""Pages and texts from templates (Jinja) that lie beside the module which fills them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(
    template: Path, *, filters: Mapping[str, Callable[[str], str]] | None = None, **values: Any
) -> str:
    """The text of a template, in which `values` stand by name and `filters` change text.

    In one whose name ends with `.html.j2` every value is escaped but `markupsafe.Markup`.
    """
    made = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=template.name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= filters or {}
    return made.get_template(template.name).render(values)


def plain(text: str) -> str:
    """Text as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>#$|{}])", r"\\\1", text)


def cell(text: str) -> str:
    """The same on one line."""
    return plain(" ".join(text.split()))
