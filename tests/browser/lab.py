"""Start JupyterLab as a learner does, open notebooks in Chromium, run them, and look.

Everything is JupyterLab's own public front-end: its command registry and its notebook models.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = Path(__file__).parent / "artefacts"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
PATIENCE = 180
"""Seconds that a slow machine is given to start JupyterLab, or to open a page."""

TALLEST = 15_000
SLICE = 2_000
"""CSS pixels: the most of a notebook that is in all pictures, and the height of one picture."""

_CHROMIUM_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-dev-shm-usage",
]

_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}

_LATE = "[anywidget] Failed to initialize model."
"""What anywidget says of a script that was late, as `LATE_SCRIPTS` makes them all."""

# Front-end notices that are JupyterLab's own and say nothing about the notebook.
_HARMLESS = (
    *("favicon", "/api/workspaces", "/lsp/", "was preloaded using link preload"),
    _LATE,
)

_READY = """() => {
  const app = window.jupyterapp;
  const panel = app && app.shell.currentWidget;
  const context = panel && panel.sessionContext;
  const kernel = context && context.session && context.session.kernel;
  return Boolean(context && context.isReady && kernel && kernel.status === 'idle');
}"""

LATE_SCRIPTS = """{
  const timeout = AbortSignal.timeout;
  AbortSignal.timeout = ms => timeout.call(AbortSignal, ms === 2000 ? 0 : ms);
}"""
"""Makes every script of anywidget's as late as on a busy machine, where the two seconds that it is
given pass before it is there."""

_STARTED = "() => window.jupyterapp && !location.search.includes('reset')"

_RESTORED = """async () => {
  await window.jupyterapp.restored;
  window.jupyterapp.shell.collapseLeft();
}"""

_OPEN = """async path => {
  await window.jupyterapp.commands.execute('docmanager:open', { path });
}"""

_CLOSE = """async () => {
  const { shell, serviceManager } = window.jupyterapp;
  shell.currentWidget.dispose();
  await serviceManager.sessions.shutdownAll();
}"""

_NOTE_WHAT_WIDGETS_ASK = """() => {
  window.asked = new Set();
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  kernel.anyMessage.connect((_, { msg, direction }) => {
    if (direction === 'send' && msg.header.msg_type === 'comm_msg')
      window.asked.add(msg.header.msg_id);
    else if (msg.header.msg_type === 'status' && msg.content.execution_state === 'idle')
      window.asked.delete(msg.parent_header.msg_id);
  });
}"""

IS_BUSY = """() => window.asked.size > 0 ||
  window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status !== 'idle'"""
"""Whether something is unanswered: what widgets ask goes to a thread of the kernel's own, and the
kernel says that it is idle while that thread works."""

_RUN_STATE = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  const cells = panel.content.widgets.filter(
    c => c.model.type === 'code' && c.model.sharedModel.getSource().trim());
  const outputs = cells.map(c => c.model.outputs.toJSON());
  return {
    waiting: cells.filter(c => c.model.executionCount === null).length,
    status: panel.sessionContext.session.kernel.status,
    errors: outputs.flat().filter(o => o.output_type === 'error')
      .map(o => `${o.ename}: ${o.evalue}`),
    widgets: outputs.flat().filter(
      o => o.data && 'application/vnd.jupyter.widget-view+json' in o.data).length,
  };
}"""


_HEIGHT = """() => {
  const cells = document.querySelectorAll('.jp-Notebook .jp-Cell');
  const top = cells[0].getBoundingClientRect().top;
  return Math.ceil(cells[cells.length - 1].getBoundingClientRect().bottom - top);
}"""

_ALL_THERE = "() => !document.body.textContent.includes('Loading widget...')"

DRAWN = """async () => {
  await document.fonts.ready;
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  for (const one of document.getAnimations()) {
    if (one.effect.getComputedTiming().endTime < Infinity) one.finish();
  }
}"""
"""With all fonts there, two frames later everything that follows a change of width or theme has
run; colours that fade are where they end."""

_SPLASH = "#jupyterlab-splash"

_TO_THE_TOP = "() => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0; }"


def lay_out(folder: Path) -> Path:
    """Copies of the notebooks and exercises in `folder`, side by side as in the checkout.

    A run then changes nothing in the checkout, and finds what the lessons before it have left.
    """
    for part in ("notebooks", "exercises"):
        (folder / part).mkdir()
        for path in sorted((ROOT / part).glob("*.*")):
            shutil.copy(path, folder / part)
    return folder


def missing() -> str:
    """Why the browser tests cannot run here, in a sentence; empty if they can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed (pip install playwright==1.65.2)"
    if chromium() is None:
        return "no Chromium was found (Debian: apt-get install chromium)"
    return ""


def chromium() -> str | None:
    """Path of the system's Chromium, or of the one `COURSE_CHROMIUM` names."""
    named = os.environ.get("COURSE_CHROMIUM", "")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _own_folders(home: Path) -> dict[str, str]:
    """Environment that keeps the learner's own Jupyter settings out, and ours in `home`."""
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    env = {f"JUPYTER_{name}": str(home / name.lower()) for name in names}
    settings = home / "settings"
    env["JUPYTERLAB_SETTINGS_DIR"] = str(settings)
    env["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")
    env["INSIDE_R1_HOME"] = str(home / "progress")
    for name, values in _SETTINGS.items():
        path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    return env


@contextlib.contextmanager
def serve(folder: Path, home: Path, variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """JupyterLab over `folder` on a free loopback port; yields `http://.../{path}?token=...`.

    `home` takes its settings and its log; `variables` are of its environment. Raises RuntimeError
    if it does not come up in time.
    """
    port, token = _free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", f"--IdentityProvider.token={token}", "--allow-root"]
    command += ["--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}"]
    env = {**os.environ, **_own_folders(home), **(variables or {})}
    with (home / "jupyter.log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token={token}", server)
        yield f"http://127.0.0.1:{port}/{{path}}?token={token}&reset"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(address: str, server: subprocess.Popen, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        time.sleep(0.3)
    raise RuntimeError("JupyterLab did not start: its log is jupyter.log in the folder given")


@contextlib.contextmanager
def browser() -> Iterator:
    """A headless Chromium (playwright's `Browser`)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        engine = play.chromium.launch(executable_path=chromium(), args=_CHROMIUM_FLAGS)
        yield engine
        engine.close()


@dataclass
class Page:
    """One notebook open in JupyterLab. `page` is playwright's; `console` its errors so far.

    `late` is how often anywidget has said that a script of its was late.
    """

    page: object
    console: list[str] = field(default_factory=list)
    late: int = 0

    def wait_until_ready(self, seconds: float = 180) -> None:
        """Until the kernel is there and idle."""
        self.page.wait_for_function(_READY, timeout=seconds * 1000)

    def command(self, name: str, **arguments: object) -> None:
        """Give JupyterLab a command; not awaited, since some end only with their dialogue."""
        self.page.evaluate(
            "([name, args]) => { window.jupyterapp.commands.execute(name, args); }",
            [name, arguments],
        )

    def run_all(self, seconds: float = 600) -> dict:
        """*Run All Cells*; returns errors, the number of widgets, cells still waiting, status."""
        self.command("notebook:clear-all-cell-outputs")
        self.command("notebook:run-all-cells")
        end = time.monotonic() + seconds
        state = self.state()
        while time.monotonic() < end:
            state = self.state()
            done = state["waiting"] == 0 or state["errors"]
            if done and state["status"] == "idle":
                break
            self.page.wait_for_timeout(300)
        self._wait_until_drawn()
        return self.state()

    def _wait_until_drawn(self, seconds: float = 30) -> None:
        """Until every widget is there; one that does not come is for a test to find."""
        from playwright.sync_api import TimeoutError as TooLate

        with contextlib.suppress(TooLate):
            self.page.wait_for_function(_ALL_THERE, timeout=seconds * 1000)
        self.page.evaluate(DRAWN)

    def state(self) -> dict:
        """What `run_all` returns, now."""
        return self.page.evaluate(_RUN_STATE)

    def write(self, cell: int, text: str) -> None:
        """Type `text` into a cell in place of what stands there, and run it with *Shift+Enter*."""
        editor = self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)
        self.run_cell(cell)

    def run_cell(self, cell: int) -> None:
        """Run a cell with *Shift+Enter* and wait until the kernel is idle again."""
        place = self.page.locator(".jp-Notebook .jp-Cell").nth(cell)
        place.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_timeout(300)
        self.wait_until_ready()
        self.page.wait_for_timeout(300)

    def output(self, cell: int) -> str:
        """The text of a cell's outputs."""
        outputs = self.page.locator(".jp-Notebook .jp-Cell").nth(cell)
        return "\n".join(outputs.locator(".jp-OutputArea-output").all_inner_texts())

    def theme(self, name: str) -> None:
        """Change to the theme `light` or `dark`, and let all that follows it draw."""
        attribute = "true" if name == "light" else "false"
        there = f"body[data-jp-theme-light='{attribute}']"
        if not self.page.locator(there).count():
            self.command("apputils:change-theme", theme=THEMES[name])
            self.page.wait_for_selector(there, state="attached")
            self.page.wait_for_selector(_SPLASH, state="detached")  # it lies over the page
            self.page.evaluate(DRAWN)

    def resize(self, width: int, height: int = 1000) -> None:
        """Give the window a size, in CSS pixels, and let all that follows it draw."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.evaluate(DRAWN)

    def screenshots(self, stem: Path, width: int) -> list[Path]:
        """Pictures of the whole notebook, as wide as `width`, in slices from the top.

        They are called `stem`-1.png and so on; what is below `TALLEST` CSS pixels is left out.
        """
        stem.parent.mkdir(parents=True, exist_ok=True)
        self.resize(width)
        self.page.wait_for_timeout(500)
        high = min(self.page.evaluate(_HEIGHT) + 150, TALLEST)
        self.resize(width, high)
        self.page.wait_for_timeout(800)
        self.page.evaluate(_TO_THE_TOP)
        self.page.wait_for_timeout(300)
        taken = []
        for number, top in enumerate(range(0, high, SLICE), start=1):
            taken.append(stem.with_name(f"{stem.name}-{number}.png"))
            clip = {"x": 0, "y": top, "width": width, "height": min(SLICE, high - top)}
            self.page.screenshot(path=str(taken[-1]), clip=clip)
        self.resize(width)  # a tall page is a slow one
        return taken


@contextlib.contextmanager
def notebook(profile, address: str, name: str, width: int = 1366) -> Iterator[Page]:
    """Open the notebook `name` ("notebooks/...") in JupyterLab and wait for its kernel.

    `profile` is playwright's `BrowserContext`, in which JupyterLab is loaded once: one notebook
    after another is opened in it, as a learner does. At the end it is closed unsaved, and its
    kernel shut down; where something went wrong, the next notebook gets a page of its own.
    """
    page = profile.pages[0] if profile.pages else _jupyterlab(profile, address)
    opened = Page(page)

    def note(text: str) -> None:
        opened.late += _LATE in text
        if not any(harmless in text for harmless in _HARMLESS):
            opened.console.append(text)

    def failed(error: object) -> None:
        note(str(error))

    def said(line) -> None:
        if line.type == "error":
            note(f"{line.text} {line.location.get('url', '')}")

    page.on("pageerror", failed)
    page.on("console", said)
    try:
        opened.resize(width, 1400)
        page.evaluate(_OPEN, name)
        opened.wait_until_ready()
        page.evaluate(_NOTE_WHAT_WIDGETS_ASK)
        yield opened
        page.evaluate(_CLOSE)
    except BaseException:
        page.close()
        raise
    page.remove_listener("pageerror", failed)
    page.remove_listener("console", said)


def _jupyterlab(profile, address: str):
    """A page with JupyterLab in it and no document."""
    page = profile.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(address.format(path="lab"))
    page.wait_for_function(_STARTED)
    page.evaluate(_RESTORED)
    return page


def axe_source() -> str:
    """axe-core's script, installed from npm when it is not there yet; '' if it cannot be had."""
    here = Path(__file__).parent
    script = here / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists() and shutil.which("npm"):
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*command, "--ignore-scripts"], cwd=here, timeout=180, capture_output=True
            )
    return script.read_text(encoding="utf-8") if script.exists() else ""


NOTEBOOK = (".jp-OutputArea-output", ".jp-RenderedMarkdown")
"""A notebook's outputs and prose: JupyterLab's own frame is not the course's to mend."""

_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
_AXE = """async ([within, rules]) => {
  const found = await axe.run(within.length ? { include: within } : document, {
    runOnly: rules, resultTypes: ['violations'], preload: false,
  });
  // JupyterLab gives every markdown cell a scroll area of its own, which a rounded pixel fills.
  const frame = (v, n) => v.id === 'scrollable-region-focusable'
    && document.querySelector(n.target.join(' '))?.matches('.jp-MarkdownOutput');
  return found.violations.flatMap(v => v.nodes.filter(n => !frame(v, n)).map(
    n => `${v.id} (${v.impact}): ${n.target.join(' ')} ${n.html.slice(0, 200)}`));
}"""


def faults(page, axe: str, within: Sequence[str] = (), recoloured: bool = False) -> list[str]:
    """What axe-core finds in a page, or within parts of it, by WCAG 2.2 A and AA.

    Of what was looked at in one theme and is only `recoloured` now, the rules on colours alone.
    """
    if page.evaluate("() => !window.axe"):
        page.evaluate(axe)
    return page.evaluate(_AXE, [list(within), _COLOURS if recoloured else _WCAG])
