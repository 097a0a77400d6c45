"""`live.html`: the course's own models run in the reader's browser, from a folder or any server.

The page is one HTML file, a script, two style sheets, and a script for each model that holds its
weights as text, because a page that is opened from a folder may not fetch files.
"""

import base64
import json
import shutil
from functools import cache
from pathlib import Path
from statistics import fmean

from markupsafe import Markup

from course_lib.model import models
from course_lib.rl import experiments
from course_lib.show import svg
from course_lib.show.pages import render
from course_lib.task.puzzles import Puzzle
from course_lib.widgets.live import export, script
from course_lib.widgets.live.greedy import Greedy, answers

OFFERED = {
    "base": ("mini-v3-base", "Base", "has only read text"),
    "r1-zero": ("mini-r1-zero", "R1-Zero", "rewarded for right answers"),
    "distill": ("mini-r1-distill", "Distill", "dense, taught by R1-Zero"),
}
STILL = Puzzle((7, 3, 5, 2), 11)


def write(out: Path) -> Path:
    """Write the page and its files into the site's folder `out`; returns the page's path."""
    folder = out / "assets" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    sizes = []
    for name, (shipped, *_) in OFFERED.items():
        header, weights = export.pack(models.shipped(shipped), name)
        sizes.append(header["parameters"])
        (folder / f"{name}.js").write_text(as_script(name, header, weights), encoding="utf-8")
    (folder / "live.js").write_text(script.as_script("page.js"), encoding="utf-8")
    for style in ("live.css", "page.css"):
        shutil.copy(script.HERE / style, folder)
    page = out / "live.html"
    page.write_text(_html(max(sizes)), encoding="utf-8")
    return page


def growth() -> dict[str, str]:
    """What grows in R1-Zero's training, from its record: `growth`, a picture; `grown`, words."""
    record = experiments.load_record("outcome")
    runs = list(record["runs"].values())
    steps = runs[0]["step"]
    reward, thought = (
        list(map(fmean, zip(*(run[name] for run in runs), strict=True)))
        for name in ("reward", "thinking_tokens")
    )
    right = [10 * value for value in reward]
    series = {"right answers, of 10": right, "thinking tokens": thought}
    words = (
        f"R1-Zero in miniature, the mean of {len(runs)} recorded runs of {record['steps']} steps. "
        "Rewarded for right answers only, it comes to be right more often, and to think longer: "
        f"from {right[0]:.1f} of 10 answers to {right[-1]:.1f}, and thoughts of {thought[0]:.1f} "
        "tokens (pieces of text, such as “+3” and “=10”) become thoughts of "
        f"{thought[-1]:.1f}."
    )
    picture = svg.lines("What grows in training", steps, series, "step", width=svg.NARROW)
    return {"growth": picture, "grown": words}


@cache
def still() -> list[Greedy]:
    """What the base and R1-Zero answer to `STILL`, each always taking its likeliest token."""
    shown = (OFFERED[name] for name in ("base", "r1-zero"))
    return answers({label: models.shipped(folder) for folder, label, _ in shown}, STILL)


def as_script(name: str, header: dict, weights: bytes) -> str:
    """A model as a script that hands it to the page."""
    told = f"{json.dumps(name)}, {json.dumps(header)}"
    return f'insideR1.receive({told}, "{base64.b64encode(weights).decode()}");\n'


def _html(parameters: int) -> str:
    offers = [
        {"name": name, "label": label, "about": about}
        for name, (_, label, about) in OFFERED.items()
    ]
    shown = growth()
    return render(
        script.HERE / "live.html.j2",
        offers=Markup(json.dumps(offers).replace("<", "\\u003c")),
        millions=f"{parameters / 1e6:.1f}",
        puzzle=str(STILL),
        still=still(),  # for who has no JavaScript
        grown=shown["grown"],
        growth=Markup(shown["growth"]),
    )
