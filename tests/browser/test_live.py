"""The live page in Chromium with the network off: it agrees with torch, and is used by keyboard."""

import base64
import json
import random

import pytest
import torch

from course_lib.model import models, rollout
from course_lib.task import puzzles
from course_lib.widgets.live import export, script
from course_lib.widgets.live import page as live

from . import lab
from .test_site import outside

PUZZLES = 500
ANSWERS = """async ([puzzles, model]) => {
  const texts = [];
  for (const puzzle of puzzles) texts.push(await insideR1.answer(puzzle, { model }));
  return texts;
}"""
LOGITS = """async ([ids, model]) =>
  (await insideR1.load(model)).logits(ids).map((row) => Array.from(row))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return live.write(tmp_path_factory.mktemp("live"))


def opened(engine, site, notes, **settings):
    context = engine.new_context(**{"viewport": {"width": 1366, "height": 900}} | settings)
    context.set_offline(True)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.on("pageerror", lambda error: notes.append(str(error)))
    page.on("console", lambda said: notes.append(f"{said.type}: {said.text}"))
    page.on("request", lambda asked: outside(asked.url) and notes.append(asked.url))
    page.goto(site.as_uri())
    return page


@pytest.fixture
def notes():
    found = []
    yield found
    assert found == []


@pytest.fixture
def page(engine, site, notes):
    page = opened(engine, site, notes)
    yield page
    page.context.close()


def status(page, words):
    """Wait until the line that is spoken says `words`; returns all it says."""
    line = page.locator(f".live-status:has-text({json.dumps(words)})")
    line.wait_for()
    return line.inner_text()


def answer(page, puzzle="7 ? 3 ? 5 ? 2 = 11", pace="as fast as it can"):
    page.get_by_label("Puzzle").fill(puzzle)
    page.get_by_label("Pace").select_option(pace)
    page.get_by_role("button", name="Answer", exact=True).click()


def half(name):
    """A shipped model with its weights rounded to fp16, as the page has them, in float32."""
    model, tokenizer = models.load(models.shipped(live.OFFERED[name][0]))
    with torch.no_grad():
        for tensor in model.state_dict().values():  # rotary speeds are not in it, and stay
            tensor.copy_(tensor.half().float())
    return model, tokenizer


def greedy(model, tokenizer, asked):
    ids = [models.chat_ids(tokenizer, puzzle) for puzzle in asked]
    sampled = rollout.generate(
        model, ids, max_new_tokens=96, eos=tokenizer.eos_token_id, temperature=0
    )
    return ids, sampled, models.decode(tokenizer, sampled.ids.tolist())


@pytest.mark.slow
@pytest.mark.parametrize("name", live.OFFERED)
def test_it_answers_as_torch_does(page, name):
    model, tokenizer = half(name)
    asked = [str(puzzle) for puzzle in puzzles.sample(PUZZLES, 21, "test")]
    ids, sampled, texts = greedy(model, tokenizer, asked)
    said = [
        text
        for start in range(0, PUZZLES, 50)
        for text in page.evaluate(ANSWERS, [asked[start : start + 50], name])
    ]
    assert said == texts
    assert len(set(texts)) > 3, "it would be seen if all answers were one"
    for row in range(0, PUZZLES, 50):
        whole = ids[row] + sampled.ids[row, : int(sampled.lengths[row])].tolist()
        with torch.no_grad():
            wanted = model(torch.tensor([whole])).logits[0]
        found = torch.tensor(page.evaluate(LOGITS, [whole, name]))
        assert (found - wanted).abs().max() < 1e-3


@pytest.mark.slow
def test_another_model_and_another_number_would_be_seen(page):
    model, tokenizer = half("r1-zero")
    asked = [str(puzzle) for puzzle in puzzles.sample(20, 22, "test")]
    ids, _, texts = greedy(model, tokenizer, asked)
    assert page.evaluate(ANSWERS, [asked, "base"]) != texts
    with torch.no_grad():
        model.model.layers[1].mlp.gate.e_score_correction_bias.zero_()
        wanted = model(torch.tensor([ids[0]])).logits[0]
    found = torch.tensor(page.evaluate(LOGITS, [ids[0], "r1-zero"]))
    assert (found - wanted).abs().max() > 1e-3


def test_the_verifier_is_the_librarys(page):
    draw = random.Random(3)
    parts = [
        "<think>",
        "</think>",
        " +",
        " -",
        "+",
        "-",
        " ",
        "\n",
        "x",
        " +3=10 yes",
        "\t",
        "\x1c",
    ]
    texts = ["".join(draw.choices(parts, k=draw.randrange(8))) for _ in range(3000)]
    puzzle = puzzles.parse("7 ? 3 ? 5 ? 2 = 11")
    right = [" - + +", "<think> a</think> - + +", " <think></think>-++", "</think>\n-\n+ +"]
    right += ["<think></think>\r\n\r\n- + +\t"]
    texts += [*right, "<think></think></think> - + +", " " * 20_001 + "-++"]
    found = page.evaluate(
        "([texts, p]) => texts.map((t) => insideR1.puzzle.reward(insideR1.puzzle.parse(p), t))",
        [texts, str(puzzle)],
    )
    assert found == [puzzles.reward(puzzle, text) for text in texts]
    assert sum(found) >= len(right)


def test_a_puzzle_is_what_the_library_takes_for_one(page):
    draw = random.Random(4)
    letters = "1237 ?=0\n\t\x0b\x1c\u00a0\u3000\uff17\uff1f²٣x"
    texts = ["".join(draw.choices(letters, k=draw.randrange(9))) for _ in range(3000)]
    for _ in range(1000):
        text, at = "7 ? 3 ?5= 15", draw.randrange(12)
        texts.append(text[:at] + draw.choice(letters) + text[at + draw.randrange(2) :])
    texts += ["7?3=4", " 7 ? 3 ? 5 = 15 ", "1?1?1?1?1?1?1?1=8", "1?1?1?1?1?1?1?1?1=9", "7?3=100"]
    found = page.evaluate(
        """(texts) => texts.map((text) => {
          try {
            const puzzle = insideR1.puzzle.parse(text);
            return [...puzzle.numbers, puzzle.target, insideR1.puzzle.solutions(puzzle).length];
          } catch { return null; }
        })""",
        texts,
    )
    wanted = []
    for text in texts:
        try:
            read = puzzles.parse(text)
            wanted.append([*read.numbers, read.target, len(puzzles.solutions(read))])
        except ValueError:
            wanted.append(None)
    assert found == wanted
    assert sum(puzzle is not None for puzzle in wanted) > 100


@pytest.mark.parametrize("theme", lab.THEMES)
@pytest.mark.parametrize("width", [390, 768, 1366])
def test_it_is_drawn_at_every_width_in_both_themes(engine, site, notes, axe, theme, width):
    page = opened(engine, site, notes, color_scheme=theme, viewport={"width": width, "height": 900})
    answer(page)
    status(page, "token")
    page.locator(".live-token").last.click()
    page.locator(".live-pane").first.locator(".live-token").nth(9).click()
    page.get_by_role("button", name="Sample sixteen answers").click()
    status(page, "of 16 answers of Base are right")
    wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    lab.ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=lab.ARTEFACTS / f"live-{width}-{theme}.png", full_page=True)
    if axe:
        assert lab.faults(page, axe) == []
    page.context.close()


def test_from_start_to_finish_by_keyboard_alone(page):
    keys = page.keyboard

    def focused():
        return page.evaluate(
            "() => document.activeElement.getAttribute('aria-label') "
            "?? document.activeElement.textContent"
        )

    def tab_to(words):
        for _ in range(60):
            keys.press("Tab")
            if words in focused():
                return
        raise AssertionError(f"{words} is not reached by Tab")

    page.get_by_role("button", name="Answer", exact=True).wait_for()
    keys.press("Tab")
    assert focused() == "Skip to the model"
    keys.press("Enter")
    keys.press("Tab")  # the link after it, or the puzzle
    while page.evaluate("() => document.activeElement.type") != "text":
        keys.press("Tab")
    keys.press("Control+a")
    keys.insert_text("9 ? 4 ? 1 ? 2 = 8")
    tab_to("2 tokens a second")
    keys.press("End")
    tab_to("One token")
    keys.press("Enter")
    status(page, "Base:")
    keys.press("Shift+Tab")
    keys.press("Enter")
    said = status(page, "R1-Zero, ")
    assert ("Right" in said or "Wrong" in said) and focused() == "Answer"
    tab_to("Token 1:")
    for _ in range(9):
        keys.press("ArrowRight")
    assert focused().startswith("Token 10:")
    taken = page.locator(".live-inspector")
    assert taken.locator("h4").first.inner_text().startswith("Token 10 of Base")
    assert taken.locator("caption:has-text('Layer 2: experts')").count() == 1
    tab_to("Sample sixteen answers")
    keys.press("Enter")
    status(page, "of 16 answers of Base are right")
    tab_to("Show answer 1")
    keys.press("Enter")
    status(page, "Base: ")
    assert focused().startswith("Token")


def test_a_route_adds_up(page):
    answer(page)
    status(page, "token")
    page.locator(".live-pane").nth(1).locator(".live-token").nth(14).click()
    rows = page.locator(".live-inspector table:has(caption:has-text('Layer 2')) .live-marked")
    cells = [rows.nth(i).locator("td").all_inner_texts() for i in range(rows.count())]
    assert len(cells) == 2
    weights = [float(row[-1].split("=")[1]) for row in cells]
    scores = [float(row[1]) for row in cells]
    assert sum(weights) == pytest.approx(1, abs=2e-3)
    assert weights[0] == pytest.approx(scores[0] / sum(scores), abs=2e-3)


def test_a_groups_advantages_are_those_of_the_library(page):
    from course_lib.rl.grpo import group_advantages

    page.get_by_label("Temperature").fill("1")
    answer(page)
    status(page, "token")
    page.get_by_role("button", name="Sample sixteen answers").click()
    status(page, "of 16 answers of Base are right")
    rows = page.locator(".live-group table").first.locator("tbody tr")
    cells = [rows.nth(i).locator("td").all_inner_texts() for i in range(rows.count())]
    rewards = torch.tensor([[float(row[3]) for row in cells]])
    for column, std in ((4, "none"), (5, "sample")):
        shown = [float(row[column].replace("−", "-")) for row in cells]
        assert shown == pytest.approx(group_advantages(rewards, std=std)[0].tolist(), abs=6e-3)


@pytest.mark.parametrize(
    "typed", ["", "what is love", "7 ? 3 = 4" * 1200, "<img src=x onerror=alert(1)>", "7 ? 0 = 7"]
)
def test_what_is_no_puzzle_is_told_in_a_sentence_and_stays_text(page, typed):
    page.get_by_label("Puzzle").fill("7 ? 3 = 4")
    answer(page, typed)
    assert status(page, "is not a puzzle").count("\n") == 0
    assert page.locator("#live img").count() == 0
    assert len(page.locator(".live-status").inner_text()) < 250
    refused = page.evaluate(
        "async (typed) => insideR1.answer(typed).catch((error) => error.message)", typed
    )
    assert "is not a puzzle" in refused


def test_a_puzzle_without_a_solution_is_tried_and_told(page):
    answer(page, "7 ? 3 = 5")
    said = status(page, "No choice of signs reaches 5")
    assert "In training every puzzle had four digits" in said


def test_it_stops_and_goes_on(page):
    answer(page, pace="2 tokens a second")
    page.get_by_role("button", name="Stop").click()
    status(page, "Stopped.")
    assert page.locator(".live-verdict").last.inner_text() == "", "it has not come to its end"
    page.get_by_label("Pace").select_option("as fast as it can")
    page.get_by_role("button", name="Go on").click()
    status(page, "R1-Zero, ")


def test_answers_are_repeatable_and_bad_settings_are_told(page):
    ask = "async (o) => insideR1.answer('7 ? 3 ? 5 ? 2 = 11', o).catch((error) => error.message)"
    hot = {"model": "base", "temperature": 1, "seed": 7}
    assert page.evaluate(ask, hot) == page.evaluate(ask, hot)
    several = {page.evaluate(ask, hot | {"seed": seed}) for seed in range(10)}
    assert len(several) > 1
    assert "allowed is 0 to 5" in page.evaluate(ask, {"temperature": -1})
    assert "There is no model" in page.evaluate(ask, {"model": "<b>"})


@pytest.mark.parametrize("cut", ["half", "a letter", "gone"])
def test_a_model_file_cut_short_is_told_and_the_others_work(engine, tmp_path, cut):
    broken = live.write(tmp_path)
    file = tmp_path / "assets/live/r1-zero.js"
    whole = file.read_text()
    if cut == "gone":
        file.unlink()
    else:
        at = len(whole) // 2
        file.write_text(whole[:at] if cut == "half" else whole[:at] + whole[at + 4 :])
    page = opened(engine, broken, [])
    answer(page)
    said = status(page, "The file of the model r1-zero is")
    assert said.count(".") == 1 and page.locator(".live-token").count() == 0
    page.get_by_label("beside it").select_option("nothing")
    answer(page)
    status(page, "Base, ")
    page.context.close()


def test_without_scripts_there_is_text(engine, site, notes):
    page = opened(engine, site, notes, java_script_enabled=False)
    assert page.get_by_text("This page needs JavaScript").is_visible()
    assert "<think>" in page.locator("dd").last.inner_text()
    page.context.close()


def test_the_same_explorer_runs_as_a_notebooks_widget(engine, tmp_path, notes):
    header, weights = export.pack(models.shipped("mini-r1-distill"), "mine")
    offer = {"label": "Mine", "about": "<b>tried</b>", "header": header}
    module = script.as_module("widget.js").replace("export default", "const widget =")
    code = f"""{module}
        const weights = new DataView(Uint8Array.from(atob(
            "{base64.b64encode(weights).decode()}"), (c) => c.charCodeAt(0)).buffer);
        const models = [{{ ...{json.dumps(offer)}, weights }}];
        const given = {{ models, puzzle: "7 ? 3 ? 5 ? 2 = 11" }};
        widget.render({{ model: {{ get: (name) => given[name] }}, el: document.body }});"""
    site = tmp_path / "notebook.html"
    site.write_text(f'<html lang="en"><title>x</title><script type="module">{code}</script></html>')
    page = opened(engine, site, notes)
    answer(page)
    assert "Mine, " in status(page, "token")
    page.locator(".live-token").nth(5).click()
    assert "A dense model" in page.locator(".live-inspector").inner_text()
    assert page.locator(".live b").count() == 0
    page.context.close()
