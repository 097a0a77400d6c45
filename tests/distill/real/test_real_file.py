"""SmolLM2 itself with the course's adapter: what it solves, here and in llama.cpp.

The file comes out of a package, by pip; where that cannot be had these tests are skipped.
"""

import pytest
import torch

from course_lib.distill.real import language_model
from course_lib.local import export
from course_lib.local.engines import catalogue
from course_lib.local.engines.with_llama_cpp import LlamaCppEngine
from course_lib.local.engines.with_transformers import TransformersEngine
from course_lib.model import lora, models
from course_lib.rl.experience import evaluate
from course_lib.task import puzzles

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SHIPPED = models.shipped(catalogue.TAUGHT)


@pytest.fixture(scope="module")
def taught(smollm2):
    return models.load(SHIPPED)


def test_the_adapter_is_small_and_has_a_card():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 6e6
    settings = lora.settings_of(SHIPPED)
    assert settings.base == language_model.NAME
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert f"base_model: {language_model.NAME}" in card and "| right answers |" in card


def test_it_solves_more_than_half_with_it_and_nothing_without(taught):
    model, tokenizer = taught
    options = {"n": 32, "seed": 11, "max_new_tokens": 160, "temperature": 0.7}
    found = evaluate(model, tokenizer, **options)
    assert found["accuracy"] > 0.5 and found["attempts"] > 1
    with lora.off(model):
        before = evaluate(model, tokenizer, **options | {"n": 16})
    assert before["accuracy"] == 0 and before["attempts"] == 0


def test_off_it_is_the_base_to_the_bit(taught, smollm2):
    model, tokenizer = taught
    base, _ = models.load(smollm2)
    ids = torch.tensor([models.chat_ids(tokenizer, "What is the capital of France?")])
    with torch.no_grad(), lora.off(model):
        assert torch.equal(model(ids).logits, base(ids).logits)
        lora_off = model(ids).logits
    with torch.no_grad():
        assert not torch.equal(model(ids).logits, lora_off)


def is_greedy(model, tokenizer, puzzle, text, most):
    """Whether torch, having read a text so far, would go on with each next token of it.

    That is what greedy text is, found in one pass. A token may fall short of the likeliest by a
    logit of 0.001; a text of fewer than `most` tokens must have come to its end.
    """
    asked = models.chat_ids(tokenizer, puzzles.prompt(puzzle))
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) <= most
    ids += [tokenizer.eos_token_id] * (len(ids) < most)
    with torch.no_grad():
        logits = model(torch.tensor([asked + ids])).logits[0, len(asked) - 1 : -1]
    taken = logits.gather(1, torch.tensor(ids)[:, None])[:, 0]
    return bool((logits.max(1).values - taken < 1e-3).all())


def test_greedy_text_is_the_same_in_llama_cpp_for_twenty_puzzles(taught, smollm2, tmp_path):
    """Merged, in float32 on both sides; token by token, and as an adapter, for four of them.

    Each reads 48 tokens of them. Texts may part only where two tokens are as likely as each other.
    """
    model, tokenizer = taught
    export.export_gguf(SHIPPED, tmp_path / "merged.gguf")
    export.export_gguf(smollm2, tmp_path / "base.gguf")
    export.export_adapter(SHIPPED, tmp_path / "adapter.gguf")
    one = TransformersEngine(SHIPPED, context=512)
    two = LlamaCppEngine(tmp_path / "merged.gguf", context=512)
    three = LlamaCppEngine(tmp_path / "base.gguf", context=512, adapter=tmp_path / "adapter.gguf")
    for n, puzzle in enumerate(puzzles.sample(20, 5, "test")):
        asked = [{"role": "user", "content": puzzles.prompt(puzzle)}]
        texts = [
            "".join(engine.stream(asked, max_tokens=48, temperature=0))
            for engine in ((one, two, three) if n < 4 else (two,))
        ]
        assert texts[0].startswith("<think>") and len(texts[0]) > 20
        assert all(is_greedy(model, tokenizer, puzzle, text, 48) for text in texts), texts
    assert not is_greedy(model, tokenizer, puzzles.sample(1, 6, "test")[0], texts[0], 48)
    two.close()
    three.close()
