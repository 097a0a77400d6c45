"""LoRA from scratch: equal to peft's, off and back to the bit, and its folder is peft's own."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from course_lib.errors import CourseError
from course_lib.model import lora, models, rollout
from course_lib.rl.learner import completion_logprobs

peft = pytest.importorskip("peft", reason="peft is in tests/requirements.txt")


@pytest.fixture(scope="module")
def plain(random_models):
    return random_models["llama"].eval()


@pytest.fixture
def base(plain, tokenizer, tmp_path):
    models.save(plain, tokenizer, tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def model(plain, base):
    """A model with an adapter that has learnt something: B is not zero."""
    mine = lora.add(copy.deepcopy(plain), lora.Lora(4, 8, base=str(base)), seed=3)
    torch.manual_seed(5)
    for layer in lora.layers(mine).values():
        torch.nn.init.normal_(layer.lora_B.weight, std=0.05)
    return mine


IDS = torch.arange(24).view(2, 12) * 5 % 200


def logits(model):
    return model(IDS, use_cache=False).logits


def test_a_fresh_adapter_changes_nothing_and_trains_alone(plain):
    mine = lora.add(copy.deepcopy(plain), lora.Lora(4, 8))
    assert torch.equal(logits(mine), logits(plain))
    trained = [p for p in mine.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in lora.parameters(mine)}
    assert len(lora.layers(mine)) == 7 * plain.config.num_hidden_layers
    again = lora.add(copy.deepcopy(plain), lora.Lora(4, 8))
    pairs = zip(lora.parameters(mine), lora.parameters(again), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_forward_and_gradient_are_pefts(model, base, tmp_path):
    lora.write(model, tmp_path)
    theirs = peft.PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype="float32"), tmp_path, is_trainable=True
    ).eval()
    assert torch.allclose(logits(model), logits(theirs), atol=1e-6)
    for one in (model, theirs):
        one(IDS, labels=IDS, use_cache=False).loss.backward()
    found = {
        n.replace(".default", ""): p.grad for n, p in theirs.named_parameters() if p.requires_grad
    }
    ours = {f"base_model.model.{n}": p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert ours.keys() == found.keys()
    for name, grad in ours.items():
        assert torch.allclose(grad, found[name], atol=1e-6), name
        assert bool(grad.any()), name


def test_off_is_the_base_to_the_bit(model, plain):
    with_it = logits(model)
    with lora.off(model):
        assert torch.equal(logits(model), logits(plain))
    assert torch.equal(logits(model), with_it) and not torch.equal(with_it, logits(plain))


def test_merged_says_the_same_and_unmerged_has_the_same_bits(model, plain):
    before, weights = logits(model), copy.deepcopy(dict(plain.named_parameters()))
    lora.merge(model)
    assert torch.allclose(logits(model), before, atol=1e-5)
    with pytest.raises(CourseError, match="merged"), lora.off(model):
        pass
    lora.merge(model)  # once more is nothing more
    assert torch.allclose(logits(model), before, atol=1e-5)
    lora.unmerge(model)
    assert torch.equal(logits(model), before)
    for name, layer in lora.layers(model).items():
        assert torch.equal(layer.base_layer.weight, weights[f"{name}.weight"])


def test_folded_is_an_ordinary_model(model, plain):
    before = logits(model)
    folded = lora.fold(model)
    assert not lora.has(folded)
    assert folded.state_dict().keys() == plain.state_dict().keys()
    assert torch.allclose(logits(folded), before, atol=1e-5)


def test_a_folder_of_an_adapter_is_a_model_folder(model, tokenizer, tmp_path):
    models.save(model, tokenizer, tmp_path / "adapter")
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors"}
    again, same = models.load(tmp_path / "adapter")
    assert torch.equal(logits(again), logits(model))
    assert same.get_vocab() == tokenizer.get_vocab()
    assert [p.requires_grad for p in lora.parameters(again)] == [True] * len(lora.parameters(again))


def test_pefts_own_folders_are_read(plain, base, tmp_path):
    config = peft.LoraConfig(
        r=3, lora_alpha=6, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"
    )
    theirs = peft.get_peft_model(copy.deepcopy(plain), config)
    for name, p in theirs.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    theirs.peft_config["default"].base_model_name_or_path = str(base)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, _ = models.load(tmp_path / "theirs")
    assert torch.allclose(logits(ours), logits(theirs.eval()), atol=1e-6)


def test_half_precision_is_stored_as_such(model, tmp_path):
    lora.write(model, tmp_path, "float16")
    kept = load_file(tmp_path / "adapter_model.safetensors")
    assert {t.dtype for t in kept.values()} == {torch.float16}
    with pytest.raises(KeyError):
        lora.write(model, tmp_path, "int3")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"use_rslora": True}, "use_rslora"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights"),
        ({"init_lora_weights": "olora"}, "init_lora_weights"),
        ({"peft_type": "IA3"}, "its kind"),
        ({"target_modules": ".*proj"}, "its kind"),
        ({"r": 0}, "rank 0"),
        ({"r": "many"}, "describes no adapter"),
        ({"lora_alpha": float("inf")}, "alpha inf"),
        ({"target_modules": ["no_such"]}, "no linear layers named no_such"),
        ({"r": 5}, "does not fit"),
        ({"target_modules": ["q_proj"]}, "does not fit"),
        ({"base_model_name_or_path": "nobody/nothing"}, "adapter of nobody/nothing, which is not"),
        ({"base_model_name_or_path": "../.."}, "not on this machine"),
    ],
)  # fmt: skip
def test_adapters_that_are_not_understood_are_one_sentence(
    model, tmp_path, change, said, monkeypatch
):
    monkeypatch.setenv("INSIDE_R1_CACHE", str(tmp_path / "no cache"))
    lora.write(model, tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CourseError, match=said):
        models.load(tmp_path)


def test_an_adapters_settings_are_read_with_notepads_mark_and_not_when_too_deep(model, tmp_path):
    lora.write(model, tmp_path)
    path = tmp_path / "adapter_config.json"
    before = lora.settings_of(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert lora.settings_of(tmp_path) == before
    path.write_text("[" * 100_000)
    with pytest.raises(CourseError, match="nested too deep"):
        lora.settings_of(tmp_path)


@pytest.mark.parametrize("spoil", ["cut", "nan", "missing", "garbage"])
def test_damaged_weights_are_one_sentence(model, tmp_path, spoil):
    lora.write(model, tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    first = next(iter(tensors))
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif spoil == "garbage":
        path.write_bytes(b"\x80\x04pickle")
    else:
        kept = tensors.pop(first)
        nan = {first: torch.full_like(kept, torch.nan)} if spoil == "nan" else {}
        save_file(tensors | nan, path)
    with pytest.raises(CourseError, match=r"cannot be read|does not fit"):
        models.load(tmp_path)


def test_a_second_adapter_is_refused(model):
    with pytest.raises(CourseError, match="has an adapter already"):
        lora.add(model, lora.Lora())


def test_what_prompts_share_is_read_once_and_nothing_changes(model, tokenizer):
    """Sampling and its log-probabilities, with a beginning of ten tokens and without."""
    eos = tokenizer.eos_token_id
    prompts = [[*range(20, 30), 40 + i, *range(50, 50 + i)] for i in range(4)]
    options = {"max_new_tokens": 6, "eos": eos, "temperature": 0.0, "samples": 2}
    shared = rollout.generate(model, prompts, **options)
    alone = [rollout.generate(model, [p], **options) for p in prompts]
    assert shared.shared == 10 and shared.prompt_mask[:, :10].all()
    for i, one in enumerate(alone):
        assert one.shared == 0
        width = one.ids.shape[1]
        assert shared.ids[2 * i : 2 * i + 2, :width].tolist() == one.ids.tolist()
    mask = torch.ones_like(shared.ids, dtype=torch.bool)
    logp, _ = completion_logprobs(model, shared, mask, 1.0)
    for i, one in enumerate(alone):
        width = one.ids.shape[1]
        theirs, _ = completion_logprobs(model, one, torch.ones_like(one.ids, dtype=torch.bool), 1.0)
        assert torch.allclose(logp[2 * i : 2 * i + 2, :width], theirs, atol=1e-4)


def test_a_head_that_is_the_embedding_is_refused(random_models):
    tied = copy.deepcopy(random_models["qwen2"])
    tied.lm_head.weight = tied.model.embed_tokens.weight
    with pytest.raises(CourseError, match="lm_head shares its weights with the embedding"):
        lora.add(tied, lora.Lora(targets=("q_proj", "lm_head")))
    lora.add(tied, lora.Lora())


def test_settings_of_numpy_and_the_name_of_one_layer_are_kept_and_read(plain, base, tmp_path):
    """A trained adapter could not be written, or was one of the layers q, _, p, r, o and j."""
    settings = lora.Lora(np.int64(2), np.float32(4), "q_proj", str(base))
    models.save(lora.add(copy.deepcopy(plain), settings), None, tmp_path / "adapter")
    assert lora.settings_of(tmp_path / "adapter") == lora.Lora(2, 4.0, ("q_proj",), str(base))
    assert lora.Lora(targets=["q_proj"]) == lora.Lora(targets=("q_proj",))
