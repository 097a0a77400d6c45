"""The tokenizer, the shipped models, and folders that are none."""

import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.task import numerals

_TOKENIZER = models.build_tokenizer()
TRACE = "<think> +3=10 -five=-twenty-six +2=-7 no -9=0 yes</think> + - +"


def test_a_step_is_two_tokens_and_a_verdict_is_one(tokenizer):
    tokens = tokenizer.tokenize(TRACE)
    assert tokens[:4] == ["<think>", " +3", "=10", " -five"]
    assert tokens[4] == "=-twenty-six" and len(tokens) == 15


def test_every_piece_is_one_token_and_the_vocabulary_is_small(tokenizer):
    ids = models.token_ids(tokenizer)
    assert len(set(ids.values())) == len(ids)
    assert len(tokenizer) < 600
    for n in numerals.WORDS:
        assert len(tokenizer.encode(f"={n}")) == len(tokenizer.encode(f"={numerals.word(n)}")) == 1


@given(st.text(max_size=80))
def test_any_text_comes_back_from_its_tokens(text):
    ids = _TOKENIZER.encode(text)
    assert _TOKENIZER.decode(ids, clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_every_loader_builds_the_same_tokenizer(tokenizer, tmp_path, family):
    tokenizer.save_pretrained(tmp_path)
    models.student_config(tokenizer, family).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert len(loaded) == len(tokenizer)
    for text in (TRACE, "7 ? 3 ? 5 ? 2 = 11", "ünïcode 123 \n\t x"):
        assert loaded.encode(text, add_special_tokens=False) == tokenizer.encode(text)


def test_the_chat_template_asks_and_does_not_feed_thinking_back(tokenizer):
    ids = models.chat_ids(tokenizer, "7 ? 3 = 4")
    assert tokenizer.decode(ids) == f"{models.BOS}{models.USER}7 ? 3 = 4{models.ASSISTANT}"
    turns = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think> secret</think> b"},
        {"role": "user", "content": "c"},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert "secret" not in text and text.startswith(f"{models.BOS}S{models.USER}a")


def test_the_shipped_base_is_a_small_v3_in_safetensors():
    folder = models.shipped("mini-v3-base")
    assert sum(f.stat().st_size for f in folder.glob("*.safetensors")) <= 4_000_000
    model, tokenizer = models.load(folder)
    config = model.config
    assert type(model).__name__ == "DeepseekV3ForCausalLM"
    assert models.parameters(model) < 2_000_000
    assert config.n_routed_experts >= 8 and config.num_experts_per_tok == 2
    assert config.n_shared_experts >= 1 and config.first_k_dense_replace >= 1
    assert config.kv_lora_rank and len(tokenizer) == config.vocab_size
    biases = [b for name, b in model.named_buffers() if name.endswith("e_score_correction_bias")]
    assert len(biases) == 2 and all(b.abs().max() > 0 for b in biases), "the bias was trained"


@pytest.mark.parametrize(("name", "least"), [("mini-v3-base", 0.995), ("qwen2-base", 0.99)])
def test_a_base_guesses_and_reasons_rightly_when_it_reasons(name, least):
    from course_lib.rl import measure, zero

    model, tokenizer = models.load(models.shipped(name))
    seldom = zero.evaluate(model, tokenizer, n=512)
    assert seldom["accuracy"] <= 0.20 and seldom["attempts"] < 0.5
    found = measure.step_accuracy(model, tokenizer, n=1000)
    assert found["attempts"] > 1
    assert found["steps_right"] >= least and found["verdicts_right"] >= least


def test_a_saved_model_loads_again_with_the_same_logits(random_models, tokenizer, tmp_path):
    model = random_models["mini_v3"]
    models.save(model, tokenizer, tmp_path / "m")
    models.save(model, tokenizer, tmp_path / "m")  # replaces the first
    again, other = models.load(tmp_path / "m")
    ids = torch.tensor([tokenizer.encode(TRACE)])
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert other.get_vocab() == tokenizer.get_vocab()
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_model_takes_no_other_works_place(random_models, tokenizer, tmp_path):
    """A run's folder named in place of one within it: everything in it would be gone."""
    log = tmp_path / "runs" / "seed-0" / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("an hour's work")
    whole, other = tmp_path / "whole", tmp_path / "other"
    models.save(random_models["llama"], tokenizer, whole)
    (whole / "runs").mkdir()
    other.mkdir()
    (other / "config.json").write_text("{}")
    for place in (tmp_path / "runs", log, whole, other):
        with pytest.raises(CourseError, match="holds other things than a model; give a folder of"):
            models.save(random_models["llama"], tokenizer, place)
    assert log.read_text() == "an hour's work"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").touch()
    models.save(random_models["llama"], tokenizer, tmp_path / "empty")
    assert (tmp_path / "empty" / "config.json").is_file()


@pytest.fixture
def folder(random_models, tokenizer, tmp_path):
    models.save(random_models["llama"], tokenizer, tmp_path / "m")
    return tmp_path / "m"


def _truncate(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def _garbage(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 4096)


def _pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _no_config(folder):
    (folder / "config.json").unlink()


def _broken_config(folder):
    (folder / "config.json").write_text("{")


def _unknown_type(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "nonsense"}))


def _remote_code(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoModelForCausalLM": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("import pathlib; pathlib.Path('pwned').touch()")


def _without_a_layer(folder):
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.1." not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def _without_a_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def _quantised(folder):
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 128}
    (folder / "config.json").write_text(json.dumps(config))


def _of_no_heads(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_attention_heads": 0}))


@pytest.mark.parametrize(
    "damage",
    [_truncate, _garbage, _pickle, _no_config, _broken_config, _unknown_type, _remote_code,
     _without_a_layer, _without_a_tokenizer, _of_no_heads, _quantised, shutil.rmtree],
)  # fmt: skip
def test_a_folder_that_is_no_sound_model_is_one_clear_sentence(folder, damage):
    damage(folder)
    with pytest.raises(CourseError) as error:
        models.load(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)
    assert not (folder / "pwned").exists()


def test_a_quantised_folder_is_told_apart_from_a_damaged_one(folder):
    _quantised(folder)
    with pytest.raises(CourseError, match=r"is quantised in a way .* or a GGUF file of it"):
        models.load(folder)


def _of_a_shard_that_is_not_there(folder):
    told = {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_truncate, "Error while deserializing"),
        (_without_a_tokenizer, "lacks the tokenizer"),
        (_of_a_shard_that_is_not_there, "model-00002-of-00002.safetensors"),
        (
            lambda f: (f / "config.json").write_text('{"quantization_config": {'),
            "config.json is no",
        ),
    ],
)
def test_a_damaged_folder_is_not_blamed_on_being_quantised(folder, damage, said):
    _quantised(folder)
    damage(folder)
    with pytest.raises(CourseError, match=f"cannot be read .*{said}.*; make or copy it again"):
        models.load(folder)


def test_a_lack_of_memory_is_not_blamed_on_the_folder(folder, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(models.AutoModelForCausalLM, "from_pretrained", full)
    with pytest.raises(MemoryError):
        models.load(folder)


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        shutil.Error([("a", "b", "No space left on device")] * 99),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_failed_save_leaves_what_was_there(folder, error):
    before = (folder / "model.safetensors").read_bytes()
    with (
        pytest.raises(CourseError, match=r"No space left.*untouched\. Make room") as told,
        models.replacing(folder) as aside,
    ):
        (aside / "half").write_text("x")
        raise error
    assert len(str(told.value)) < 400 + len(str(folder))
    assert (folder / "model.safetensors").read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == ["m"]


def test_a_replacement_killed_between_its_renames_is_put_back(folder):
    folder.rename(folder.with_name(".m.old"))
    models.recover(folder)
    models.load(folder)
