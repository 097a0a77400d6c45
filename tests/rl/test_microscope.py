"""The parts sum to the loss, and the gradients are those of autograd and of finite differences."""

import pytest
import torch
from torch import tensor

from course_lib.model import logprobs
from course_lib.rl import grpo
from course_lib.rl.microscope import TokenLine, dissect, explain, token_lines

OPTIONS = [
    {"reduce": "sequence"},
    {"reduce": "token", "kl": 0.1},
    {"reduce": "constant", "max_length": 9, "clip": (0.1, 0.3)},
    {"reduce": "sequence", "kl": 0.5, "clip": (0.05, 0.05)},
    {"reduce": "token", "kl": 0.5, "estimator": "k1"},
    {"reduce": "sequence", "kl": 0.5, "estimator": "k2"},
    {"reduce": "sequence", "level": "sequence", "clip": (0.1, 0.1)},
    {"reduce": "token", "level": "sequence", "kl": 0.1, "estimator": "k2"},
]


def batch(seed=0, temperature=1.0):
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    logits, ids = normal(4, 5, 7), torch.randint(0, 7, (4, 5), generator=random)
    logp = logprobs.token_logprobs(logits, ids, temperature)
    old, ref = logp + 0.3 * normal(4, 5), logp + 0.3 * normal(4, 5)
    mask = torch.arange(5) < torch.randint(1, 6, (4, 1), generator=random)
    return logits, ids, old, ref, normal(4), mask


@pytest.mark.parametrize("options", OPTIONS)
def test_the_parts_sum_to_the_loss(options):
    logits, ids, old, ref, advantages, mask = batch()
    logp = logprobs.token_logprobs(logits, ids)
    loss, stats = grpo.policy_loss(logp, old, advantages, mask, ref_logp=ref, **options)
    seen = dissect(logp, old, advantages, mask, ref_logp=ref, **options)
    assert seen.loss == loss.item()
    assert seen.part.sum().item() == pytest.approx(seen.loss, abs=1e-12)
    assert seen.clipped.sum() / mask.sum() == pytest.approx(stats["clip_fraction"])
    for values in (seen.part, seen.slope, seen.gradient, seen.kl, seen.ratio, seen.weight):
        assert values[~mask].eq(0).all()


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_gradient_on_the_chosen_logit_is_that_of_autograd(options, temperature):
    logits, ids, old, ref, advantages, mask = batch(1, temperature)
    logits.requires_grad_()
    logp = logprobs.token_logprobs(logits, ids, temperature)
    grpo.policy_loss(logp, old, advantages, mask, ref_logp=ref, **options)[0].backward()
    expected = logits.grad.gather(-1, ids[..., None])[..., 0]
    seen = dissect(logp, old, advantages, mask, ref_logp=ref, temperature=temperature, **options)
    torch.testing.assert_close(seen.gradient, expected, rtol=1e-9, atol=1e-12)
    assert not seen.gradient.requires_grad


def test_the_gradient_is_the_finite_difference_of_the_loss_shown():
    logits, ids, old, ref, advantages, mask = batch(2)

    def seen(logits):
        logp = logprobs.token_logprobs(logits, ids)
        return dissect(logp, old, advantages, mask, ref_logp=ref, kl=0.2)

    here, step = seen(logits), 1e-6
    for i, t in mask.nonzero().tolist():
        moved = logits.clone()
        moved[i, t, ids[i, t]] += step
        slope = (seen(moved).loss - here.loss) / step
        assert slope == pytest.approx(here.gradient[i, t].item(), abs=1e-5)


def test_lines_of_a_completion_worked_by_hand():
    logp, old = tensor([[0.7, 0.5, 0.9]]).log(), tensor([[0.5, 0.5, 0.9]]).log()
    seen = dissect(logp, old, tensor([2.0]), tensor([[1, 1, 0]]))
    first, second = token_lines(seen, 0, [" +3", "=10"], reward=1.0, advantage=2.0)
    assert (first.clipped, first.gradient, first.direction) == (True, 0.0, "still")
    assert first.ratio == pytest.approx(1.4) and first.part == pytest.approx(-1.2)
    assert second.gradient == pytest.approx(-0.5) and second.direction == "up"
    assert second.position == 2 and second.token == "=10" and second.reward == 1.0
    with pytest.raises(ValueError, match="tokens has 3 texts; completion 0 has 2"):
        token_lines(seen, 0, ["a", "b", "c"], 1.0, 2.0)


def line(**changes):
    given = {
        "position": 1, "token": " no", "reward": 0.0, "advantage": -0.5, "probability": 0.25,
        "ratio": 1.0, "clipped": False, "kl": 0.0, "part": 0.01, "gradient": 0.002,
    }  # fmt: skip
    return TokenLine(**{**given, **changes})


def test_every_kind_of_line_says_what_happens():
    assert "+2.00e-03: a step moves it down" in explain(line())
    assert "moves it up" in explain(line(gradient=-0.002))
    assert "nothing to learn" in explain(line(gradient=0.0))
    assert explain(line(clipped=True, gradient=0.0)).endswith("no longer moves it.")
    assert "the KL term moves its logit up" in explain(line(clipped=True, gradient=-0.1))
    assert "' no'" in explain(line()) and "reward 0, advantage -0.5" in explain(line())


@pytest.fixture
def widget(monkeypatch):
    base = pytest.importorskip("course_lib.widgets.base")
    monkeypatch.setattr(base, "_STATES", {})
    from course_lib.widgets.microscope import TokenMicroscope

    logp = tensor([[0.7, 0.5], [0.5, 0.2]]).log()
    old = tensor([[0.5, 0.5], [0.5, 0.2]]).log()
    seen = dissect(logp, old, tensor([2.0, -1.0]), tensor([[1, 1], [1, 0]]))
    return TokenMicroscope(seen, [[" +3", "<b>"], [" no"]], [1.0, 0.0], [2.0, -1.0])


def test_the_widget_shows_every_token_and_the_sum(widget):
    assert "<b>" not in widget.picture() and "&lt;b&gt;" in widget.picture()
    assert widget.picture().count("<tr") == 3 and "aria-current" in widget.picture()
    loss = widget.anatomy.loss
    assert f"all 2 together make {loss:+.4g}, and the loss is {loss:+.4g}" in widget.text()
    assert "no longer moves it" in widget.text()
    widget.set(completion=1, token=2)  # that completion has one token only
    assert "' no'" in widget.text() and "moves it down" in widget.text()
    assert "▼" in widget.picture() and "down" in widget.static_html()


def test_the_widget_refuses_what_does_not_belong_together(widget):
    from course_lib.widgets.microscope import TokenMicroscope

    with pytest.raises(ValueError):
        TokenMicroscope(widget.anatomy, [["a", "b"]], [1.0, 0.0], [2.0, -1.0])
    with pytest.raises(ValueError, match="tokens has 1 texts; completion 0 has 2"):
        TokenMicroscope(widget.anatomy, [["a"], ["b"]], [1.0, 0.0], [2.0, -1.0])
