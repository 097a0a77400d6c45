"""The site to read without running, opened from its folder with the network off."""

import shutil

import pytest

from . import lab

# What an eye stumbled over, by kind: a part of the page and what is wrong with it.
FAULTS = """() => {
  const found = [];
  const look = (kind, selector, wrong) => document.querySelectorAll(selector).forEach((part) => {
    if (!part.checkVisibility() || !wrong(part)) return;
    found.push(`${kind}: ${part.textContent.trim().slice(0, 60)}`);
  });
  const cut = (part) => part.scrollWidth > part.clientWidth + 1;
  const outside = (words) => {
    const [is, room] = [words, words.ownerSVGElement].map((part) => part.getBoundingClientRect());
    return is.width && (is.left < room.left - 2 || is.right > room.right + 2);
  };
  const high = (part) => part.getBoundingClientRect().height;
  look("an empty head of a table", ".bd-article thead", (head) => !head.textContent.trim());
  look("a title wider than its figure", ".gtitle, .annotation-text", outside);
  look("blank under a figure", ".figure:has(.main-svg)", (figure) =>
    high(figure) > high(figure.querySelector(".main-svg")) + 40);
  if (innerWidth > 1200) {
    look("the list of contents is cut", ".bd-sidebar-secondary", cut);
    look("code is cut", ".cell_input pre", cut);
  }
  if (innerWidth < 500) {
    look("a row of sentences is cut", ":is(.wide, .ledger, .ir1-of-ClaimsBrowser) table",
      (table) => table.getBoundingClientRect().width > innerWidth);
  }
  return found;
}"""

WIDTHS = (390, 768, 1366)
BACK = tuple(reversed(lab.THEMES))


@pytest.fixture(scope="module")
def built(site, tmp_path_factory):
    """The site's folder, to write in, and its pages."""
    once, pages = site
    out = shutil.copytree(once, tmp_path_factory.mktemp("site") / "out")
    return out, [out / page.relative_to(once) for page in pages]


@pytest.fixture(scope="module")
def page(engine, built):
    """A page without network that takes notes."""
    context = engine.new_context(viewport={"width": 1280, "height": 900})
    context.set_offline(True)
    page = context.new_page()
    page.notes = []
    page.on("pageerror", lambda error: page.notes.append(str(error)))
    page.on("console", lambda said: quiet(said.text) or page.notes.append(said.text))
    page.on("request", lambda asked: outside(asked.url) and page.notes.append(asked.url))
    yield page
    context.close()


def quiet(text):
    """Whether a console's line is the theme's own report of what it does."""
    return text.startswith("[PST]: ")


def outside(url):
    """Whether a request leaves the folder of the site."""
    return not url.startswith(("file:", "data:", "blob:"))


def test_every_page_is_drawn_offline_and_clean_in_both_themes(page, built, axe):
    _, pages = built
    for path in pages:
        page.goto(path.as_uri())
        page.wait_for_timeout(100)
        figures = page.locator(".figure")
        for i in range(figures.count()):
            figures.nth(i).locator(".main-svg").first.wait_for(state="attached", timeout=20_000)
        drawn = page.locator(".figure:has(.main-svg)").count()
        assert drawn == figures.count() == path.read_text("utf-8").count('class="figure"')
        for number, width in enumerate(WIDTHS):
            page.set_viewport_size({"width": width, "height": 900})
            for name in (BACK, lab.THEMES)[number % 2]:  # a theme changes once a width
                page.emulate_media(color_scheme=name)
                wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, f"{path.name} is {wide} pixels too wide at {width}, {name}"
                page.evaluate(lab.DRAWN)
                assert page.evaluate(FAULTS) == [], f"{path.name} at {width}, {name}"
        for name in lab.THEMES:
            page.emulate_media(color_scheme=name)
            page.evaluate(lab.DRAWN)
            shown = page.evaluate("() => document.documentElement.dataset.theme ?? 'light'")
            assert shown == name or path.stem == "live", path.name
            if path.stem in ("index", "03_r1_zero"):
                picture = f"site-{path.parent.name}-{path.stem}-{name}.png"
                page.screenshot(path=lab.ARTEFACTS / picture)
            if axe:
                found = lab.faults(page, axe, recoloured=name == "dark")
                assert found == [], f"{path.name}, {name}"
        assert page.notes == [], path.name  # last: a page's faults may take a moment


def test_the_notes_would_hold_a_request_to_another_server_and_an_error(page, built):
    out, _ = built
    bad = out / "bad.html"
    bad.write_text('<title>x</title><img alt="" src="http://a.example/p.png"><script>no()</script>')
    page.goto(bad.as_uri())
    page.wait_for_timeout(300)
    assert "http://a.example/p.png" in page.notes
    assert any("no is not defined" in note for note in page.notes)
    page.notes.clear()


def test_axe_sees_pale_words_after_a_change_of_colours_too(page, built, axe):
    if not axe:
        pytest.skip("axe-core could not be installed from npm")
    out, _ = built
    pale = '<p style="color: #999; background: #fff">pale</p><img src="data:,">'
    (out / "bad.html").write_text(f'<html lang="en"><title>x</title><main>{pale}</main></html>')
    page.goto((out / "bad.html").as_uri())
    kinds = [[fault.split()[0] for fault in lab.faults(page, axe, recoloured=r)] for r in (0, 1)]
    assert kinds == [["color-contrast", "image-alt"], ["color-contrast"]]
    page.notes.clear()


def test_each_kind_of_fault_would_be_seen(page, built):
    out, _ = built
    long = "x" * 400
    title = '<text class="gtitle" y="20">longer than it is wide</text>'
    narrow = 'style="width: 90px; overflow: auto"'
    (out / "bad.html").write_text(f"""<title>x</title><div class="bd-article">
      <table><thead><tr><th><p></p></th></tr></thead><tr><td>1</td></tr></table>
      <div class="figure" style="height: 300px">
        <svg class="main-svg" width="50" height="50">{title}</svg></div>
      <div class="bd-sidebar-secondary" {narrow}>{long}</div>
      <div class="cell_input"><pre {narrow}>{long}</pre></div>
      <div class="ledger"><table><tr><td>{long}</td></tr></table></div></div>""")
    page.goto((out / "bad.html").as_uri())
    seen = set()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        seen |= {fault.split(":")[0] for fault in page.evaluate(FAULTS)}
    assert len(seen) == FAULTS.count('look("')
    page.notes.clear()


def test_the_pages_are_turned_and_the_text_is_reached_by_keyboard(page, built):
    out, _ = built
    page.goto((out / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to main content"
    page.keyboard.press("Enter")

    def tab_to(address):
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement.getAttribute('href')") == address:
                return
        raise AssertionError(f"{address} is not reached by Tab")

    tab_to("live.html")
    tab_to("notebooks/01_cost_reset.html")
    page.keyboard.press("Enter")
    page.wait_for_url("**/01_cost_reset.html")
    page.locator("a.right-next").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/02_mixture_of_experts.html")


def test_what_is_searched_is_found_without_a_server(page, built):
    out, _ = built
    page.goto(f"{(out / 'search.html').as_uri()}?q=advantage")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    page.locator("#search-results li a[href*='glossary.html']").first.wait_for()
    assert page.notes == []


@pytest.mark.parametrize(("name", "other"), [("light", "dark"), ("dark", "light")])
def test_the_live_page_follows_the_theme_that_was_chosen(page, built, name, other):
    out, _ = built
    page.emulate_media(color_scheme=name)
    page.goto((out / "index.html").as_uri())
    page.evaluate("(mode) => localStorage.setItem('mode', mode)", other)
    page.goto((out / "live.html").as_uri())
    paper = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.evaluate("() => localStorage.removeItem('mode')")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 27)"}[other]


def test_a_figure_is_live(page, built):
    out, _ = built
    page.goto((out / "notebooks" / "03_r1_zero.html").as_uri())
    folded = page.locator("details:has(.figure) > summary").first
    folded.click()
    plot = page.locator("details[open] .figure .js-plotly-plot").first
    plot.scroll_into_view_if_needed()
    wide = "(plot) => plot.querySelector('.nsewdrag').getBoundingClientRect().width > 300"
    # A figure that was folded away is drawn again, as wide as its page.
    page.wait_for_function(wide, arg=plot.element_handle(), timeout=20_000)
    box = plot.locator(".nsewdrag").first.bounding_box()
    for part in range(1, 10):
        page.mouse.move(box["x"] + box["width"] * part / 10, box["y"] + box["height"] / 2)
        page.wait_for_timeout(150)
        if plot.locator(".hovertext").count():
            return
    raise AssertionError("no value appears under the pointer")
