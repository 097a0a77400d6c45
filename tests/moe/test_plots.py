"""The lesson's pictures: what they draw is what their words say."""

import pytest
import torch

from course_lib.model.accounting import count_parameters
from course_lib.moe import plots
from course_lib.moe.architectures import CONFIGS
from course_lib.moe.training import Run


def run(name, busiest):
    """60 steps of one layer with four experts, the first with `busiest` times an even share."""
    rest = (4 - busiest) / 3
    loads = torch.tensor([busiest, rest, rest, rest]).expand(60, 1, 4)
    return Run(name, [2.0] * 10 + [1.0] * 50, loads, 1.0)


def flat(pair):
    """The figure, and its words on one line."""
    figure, text = pair
    return figure, " ".join(text.split())


def test_loads_say_who_is_busy_and_who_is_dead():
    figure, text = flat(plots.loads([run("none", 4.0), run("bias", 1.0)]))
    assert [len(trace.z) for trace in figure.data] == [4, 4]
    assert list(figure.data[0].y) == ["1.0", "1.1", "1.2", "1.3"]
    assert figure.data[0].z[0][0] == 4.0 and figure.data[0].x[-1] == 60
    assert "busiest expert gets 4.00 times" in text
    assert "3 of 4 experts get less than a tenth" in text and "0 of 4 experts" in text


def test_the_loss_is_drawn_as_it_is_said():
    runs = [run("none", 4.0), run("bias", 1.0)]
    figure, text = flat(plots.losses(runs, "title"))
    assert figure.data[0].y[0] == 1.5 and figure.data[0].y[-1] == 1.0
    assert figure.layout.title.text == "title" and "none 1.000, bias 1.000" in text
    assert len(plots.losses([run("none", 1.0)] * 9, "more than there are dashes")[0].data) == 9


def test_spread_names_first_choices_and_what_moved():
    before = {"sign": torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.4, 0.5]])}
    after = {"sign": torch.tensor([[0.5, 0.0, 0.5], [0.1, 0.4, 0.5]])}
    figure, text = flat(plots.spread({"base": before, "R1-Zero": after}))
    assert len(figure.data) == 4 and list(figure.data[3].z[0])[:2] == pytest.approx([0.1, 0.4])
    assert "base, most frequent expert by MoE layer: sign to expert 0 (50%), expert 2 (50%)" in text
    assert "Choices that moved from the first to the second: sign 25%." in text
    assert "moved" not in plots.spread({"base": before})[1]


def test_memory_against_compute_has_every_model_and_the_dense_line():
    figure, text = flat(plots.hold_against_compute(CONFIGS))
    line, *points = figure.data
    assert len(points) == len(CONFIGS) and [p.name for p in points] == list(CONFIGS)
    assert all(y == 2 * x for x, y in zip(line.x, line.y, strict=True))
    assert points[-1].y[0] < 0.1 * 2 * points[-1].x[0]  # R1 lies far below the line
    assert "R1 671.0 GB and 73.3 GFLOP" in text


def test_reads_grow_from_the_active_to_the_total():
    figure, text = flat(plots.reads_by_batch(CONFIGS["R1"], [1, 64, 4096]))
    sparse, total, active = (trace.y for trace in figure.data)
    assert list(sparse) == sorted(sparse) and sparse[-1] == pytest.approx(total[0], rel=0.01)
    assert sparse[0] == pytest.approx(active[0], rel=0.03)
    assert total[0] == count_parameters(CONFIGS["R1"]).total / 1e9
    assert "37 GB for 1, 584 GB for 64" in text
