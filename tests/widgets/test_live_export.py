"""What goes into the live page: weights as they are, and nothing that it does not compute."""

import base64
import json
import re
import shutil
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.widgets.live import export, page


@pytest.fixture(params=[shipped for shipped, *_ in page.OFFERED.values()])
def shipped(request):
    return models.shipped(request.param)


@pytest.fixture
def copy(tmp_path):
    """A model folder that a test may damage."""
    return shutil.copytree(models.shipped("mini-r1-distill"), tmp_path / "model")


def test_every_weight_is_there_to_half_precision(shipped):
    header, weights = export.pack(shipped, "x")
    numbers = np.frombuffer(weights, "<f2")
    tensors = load_file(shipped / "model.safetensors")
    assert header["crc32"] == zlib.crc32(weights) and header["bytes"] == len(weights)
    assert header["parameters"] == len(numbers) == sum(t.size for t in tensors.values())
    for name, tensor in tensors.items():
        start, rows, columns = header["tensors"][name.removeprefix("model.")]
        packed = numbers[start : start + rows * columns].reshape(tensor.shape)
        np.testing.assert_array_equal(packed, tensor.astype(np.float16))


def test_the_vocabulary_spells_what_the_tokenizer_does(shipped):
    header, _ = export.pack(shipped, "x")
    _, tokenizer = models.load(shipped)
    for i, token in enumerate(header["tokens"]):
        text = token if isinstance(token, str) else bytes(token).decode("utf-8", "replace")
        assert text == tokenizer.decode([i], skip_special_tokens=False), i
    before, after = header["template"]
    asked = tokenizer.encode(f"{before}7 ? 3 = 4{after}", add_special_tokens=False)
    assert asked == models.chat_ids(tokenizer, "7 ? 3 = 4")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "gpt2"}, "of the type 'gpt2'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "does not compute"),
        ({"hidden_act": "gelu"}, "does not compute"),
        ({"use_sliding_window": True}, "does not compute"),
        ({"num_key_value_heads": None, "hidden_size": "x"}, "cannot be read"),
    ],
)
def test_another_architecture_is_refused_in_a_sentence(copy, changes, said):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CourseError, match=said):
        export.pack(copy, "x")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model_type": "qwen2"}'])
def test_a_damaged_configuration_is_a_sentence(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(CourseError):
        export.pack(copy, "x")


def test_weights_that_fp16_cannot_hold_or_a_page_are_refused(copy, monkeypatch):
    tensors = load_file(copy / "model.safetensors")
    save_file(tensors | {"model.norm.weight": np.full(96, 1e6, "f4")}, copy / "model.safetensors")
    with pytest.raises(CourseError, match=r"norm.weight holds numbers"):
        export.pack(copy, "x")
    monkeypatch.setattr(export, "MOST", 1000)
    with pytest.raises(CourseError, match="takes up to 1,000"):
        export.pack(copy, "x")


def test_cut_weights_and_another_tokenizer_are_refused(copy):
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[:1000])
    with pytest.raises(CourseError, match="cannot be read"):
        export.pack(copy, "x")
    (copy / "model.safetensors").write_bytes(whole)
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] += [["a", "b"]]
    tokenizer["model"]["vocab"]["ab"] = 900
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(CourseError, match="another tokenizer"):
        export.pack(copy, "x")


@settings(max_examples=50)
@given(st.binary(max_size=64), st.text(max_size=20))
def test_a_models_script_is_one_call_whatever_its_name(weights, name):
    script = page.as_script(name, {"name": name}, weights)
    found = re.fullmatch(r'insideR1\.receive\((".*"), (\{.*\}), "([A-Za-z0-9+/=]*)"\);\n', script)
    assert found and json.loads(found[1]) == json.loads(found[2])["name"] == name
    assert base64.b64decode(found[3]) == weights
    assert script.count("\n") == 1


def test_the_page_has_its_files_and_says_something_without_scripts(tmp_path):
    text = page.write(tmp_path).read_text()
    for address in re.findall(r'(?:src|href)="(assets/[^"]+)"', text):
        assert (tmp_path / address).is_file(), address
    still = re.search(r'<div id="live">(.*?)</div>', text, re.S)[1]
    assert "&lt;think&gt;" in still and "Right." in still and "7 ? 3 ? 5 ? 2 = 11" in still
    drawn = 'xmlns="http://www.w3.org/2000/svg"'  # a name, and no address
    assert "http" not in text.replace(drawn, "").replace("http-equiv", "")
    code = (tmp_path / "assets/live/live.js").read_text()
    assert "innerHTML" not in code and "eval(" not in code and "Function(" not in code
    assert re.findall(r"http[^\"]*", code) == ["http://www.w3.org/2000/svg"]
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "assets/live").iterdir()}
    assert sum(sizes.values()) < 6_500_000 and sizes["live.js"] < 100_000
