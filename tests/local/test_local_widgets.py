"""*Will it run?* and the trace viewer: their numbers are the library's, their text is safe."""

import pytest

from course_lib.local import hardware, memory, placement
from course_lib.local.engines.base import Stream, Summary
from course_lib.local.trace_html import describe, render
from course_lib.moe.architectures import CONFIGS
from course_lib.task.puzzles import Puzzle
from course_lib.widgets.trace_viewer import TraceViewer
from course_lib.widgets.will_it_run import WillItRun

PUZZLE = Puzzle((7, 3, 5, 2), 7)
TRACE = "<think> +3=10 +5=16 -2=14 no +3=10 -5=5 +2=7 yes</think> + - +"


def test_the_pages_machines():
    sizes = {machine.name: machine.memory // memory.GIB for machine in hardware.presets()}
    assert sizes["RTX 4090, 24 GB"] == 24 and sizes["two RTX 4090, 48 GB"] == 48
    assert hardware.here()[0].memory > memory.GIB
    assert hardware.bandwidth(0.01) > 1e8


@pytest.mark.parametrize(
    ("script", "cards"),
    [
        ("printf 'NVIDIA RTX 4090, 24564\nTesla, T4, [N/A]\nTesla, T4, 15360\n'", 2),
        ("echo 'NVIDIA-SMI has failed'; exit 9", 0),
        ("echo 'no devices were found'", 0),
        (None, 0),
    ],
)
def test_a_graphics_card_is_found_although_torch_knows_none(tmp_path, monkeypatch, script, cards):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    machine, *found = hardware.here()
    assert machine.name == "this machine" and len(found) == cards
    if cards:
        assert (found[0].name, found[0].memory) == ("NVIDIA RTX 4090", 24564 << 20)
        assert found[0].bandwidth == 1008e9 and found[0].cards == (24564 << 20,)
        assert found[1].name == "Tesla, T4" and found[1].memory == 15 << 30
        assert found[1].bandwidth == 272e9  # not known: the slowest of those that are


def test_a_32b_model_fits_a_24_gb_card_and_a_70b_in_part():
    card = "RTX 4090, 24 GB"
    widget = WillItRun("a", model="R1-Distill-Qwen-32B", machine=card, context=16_384)
    assert widget.plan().whole and widget.text().startswith("It fits; 22.8 GiB of RTX 4090")
    longest = placement.longest_context(CONFIGS["R1-Distill-Qwen-32B"], "q4_k_m", widget.machine())
    assert f"{longest:,} tokens" in widget.text() and "At 1,008 GB/s at most" in widget.text()
    assert "weights" in widget.picture() and "lent" in widget.static_html()
    widget.set(model="R1-Distill-Llama-70B")
    assert "It fits in part" in widget.text() and "(-ngl 41)" in widget.text()
    widget.set(machine="RTX 4060, 8 GB")
    assert "GiB are missing" in widget.text() and "tokens/s" not in widget.text()


def test_r1s_plain_cache_is_told_and_slots_and_caches_count():
    server = "CPU server, 12 channels DDR5-4800, 512 GB"
    widget = WillItRun("r1", model="R1", machine=server, context=16_384)
    assert "keeps plain keys and values: 76 GiB" in widget.text()
    before = sum(share.cache for share in widget.plan().shares)
    widget.set(slots=4, cache="q8_0")
    after = sum(share.cache for share in widget.plan().shares)
    assert after / before == pytest.approx(4 * 34 / 64, rel=0.01)


def test_the_measured_speed_stands_beside_the_published_one():
    widget = WillItRun("b", measured=("student in llama.cpp", 812.0), machine="RTX 4090, 24 GB")
    assert f"at most {widget.plan().speed(1.0):.1f} tokens/s" in widget.text()
    assert "student in llama.cpp, 812 tokens/s" in widget.text()


def test_every_character_of_a_trace_is_shown_and_escaped():
    evil = "<think><script>alert(1)</script> wait & see</think><img src=x onerror=y>"
    html = render(evil)
    assert "<script" not in html and "<img" not in html
    assert "&lt;script&gt;" in html and "&lt;img src=x onerror=y&gt;" in html


def test_wrong_steps_say_why_in_words():
    html = render(TRACE, PUZZLE)
    assert "✗ +5=16: 10 + 5 is 15" in html
    assert html.count("<span") == 5
    words = describe(TRACE, PUZZLE, tokens=20, budget=256)
    assert words.startswith("attempt: 2, check: 2, backtracking: 1, conclusion: 1.")
    assert "1 of them wrong, first: +5=16: 10 + 5 is 15." in words
    assert "20 of 256 tokens used." in words


def test_folding_hides_the_thought_and_keeps_the_answer():
    html = render(TRACE, PUZZLE, fold=True)
    assert "+3=10" not in html and "[thinking folded]" in html and "+ - +" in html
    assert "[thinking folded]" not in render("no thought", fold=True)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("<think>" + " +3=10 -5=5 +2=7 no" * 5, "in a loop: the end was said 5 times"),
        ("<think> +3=10", "The thought has not ended."),
    ],
)
def test_warnings(text, warning):
    assert warning in describe(text, PUZZLE)


def test_the_viewer_follows_a_stream_and_jumps_to_a_step():
    end = Summary("here", "student", "stop", 5, 7, 0.1, 0.1)
    stream = Stream(iter([*(TRACE[i : i + 9] for i in range(0, len(TRACE), 9)), end]))
    viewer = TraceViewer(puzzle=PUZZLE, key="follow", budget=50)
    assert viewer.widget is not None and "Nothing has come yet" in viewer.static_html()
    assert viewer.follow(stream) == TRACE
    assert "7 of 50 tokens used" in viewer.text() and "✗" in viewer._picture.value
    viewer.set(step=3)
    assert "Step 3 of 5 (attempt): +3=10 -5=5 +2=7" in viewer.text()
    assert "outline" in viewer.picture()


def test_every_step_can_be_jumped_to_however_long_the_trace():
    long = "<think>" + "So it goes. " * 90 + "</think>yes"
    assert TraceViewer(long, key="long")._controls["step"].max == 91
    viewer = TraceViewer(key="longer")
    viewer.follow(Stream(iter([long, Summary("here", "student", "stop", 5, 7, 0.1, 0.1)])))
    viewer.set(step=91)
    assert "Step 91 of 91 (conclusion): yes" in viewer.text()


def test_a_thought_that_a_server_had_opened_is_shown_as_one_in_the_end():
    viewer = TraceViewer(key="opened")
    viewer.follow(Stream(iter(["Hm.\n</think>", "\n\nyes"])))
    assert viewer.prefilled and [step.labels for step in viewer.steps()] == [(), ("conclusion",)]


def test_a_thought_that_the_prompt_had_opened_is_told_as_not_ended():
    assert "The thought has not ended" in TraceViewer("7+3=10 no", prefilled=True, key="a").text()
    assert "The thought has not ended" not in TraceViewer("7+3=10 no", key="b").text()
