"""Export to GGUF: the same tokens and the same greedy text as transformers, and refusals."""

import pytest
import torch
from transformers import AutoModelForCausalLM, DeepseekV3ForCausalLM

from course_lib.errors import CourseError
from course_lib.local.engines.with_llama_cpp import LlamaCppEngine
from course_lib.local.engines.with_transformers import TransformersEngine
from course_lib.local.export import KINDS, export_gguf
from course_lib.local.gguf_header import read_gguf_header
from course_lib.model import models


def make(folder, family, **changes):
    torch.manual_seed(1)
    tokenizer = models.build_tokenizer()
    config = models.student_config(tokenizer, family)
    for name, value in changes.items():
        setattr(config, name, value)
    model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 or name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    models.save(model, tokenizer, folder)
    return folder


# Heads of 32 where hidden size over heads is 24: llama.cpp is told, and is the judge.
STUDENTS = {"qwen2": {}, "llama": {}, "llama, wide heads": {"head_dim": 32}}


@pytest.fixture(scope="module", params=STUDENTS)
def student(request, tmp_path_factory):
    family, changes = request.param.split(",")[0], STUDENTS[request.param]
    return make(tmp_path_factory.mktemp("models") / request.param, family, **changes)


def test_tokens_and_greedy_text_are_the_same(student, tmp_path):
    export_gguf(student, tmp_path / "m.gguf")
    one, two = TransformersEngine(student), LlamaCppEngine(tmp_path / "m.gguf")
    texts = [
        "<think> +3=10 -five=five +2=7 no -three=-two</think> + - +",
        "<｜begin▁of▁sentence｜><｜User｜>7 ? 3 ? 5 ? 2 = 9<｜Assistant｜>",
        "Grüße, what is 12345?\n\n\tIt's (this) <think>",
    ]
    for text in texts:
        theirs = two._wire.ask(
            "/tokenize", {"content": text, "add_special": True, "parse_special": True}
        )
        assert one._tokenizer.encode(text, add_special_tokens=False) == theirs["tokens"]
    for n in range(6):
        question = [{"role": "user", "content": f"{n + 1} ? 3 ? 5 ? 2 = {n}"}]
        answers = ["".join(e.stream(question, max_tokens=24, temperature=0)) for e in (one, two)]
        assert answers[0].rstrip("\ufffd") == answers[1].rstrip("\ufffd") != ""
    two.close()


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_and_sizes(student, tmp_path, kind):
    export_gguf(student, tmp_path / "m.gguf", kind)
    header = read_gguf_header(tmp_path / "m.gguf")
    model, _ = models.load(student)
    assert header.complete and header.parameters == models.parameters(model)
    kinds = {len(tensor.shape): tensor.type for tensor in header.tensors}
    assert kinds == {1: "F32", 2: kind.upper()}
    assert "output.weight" not in {tensor.name for tensor in header.tensors}  # tied


def test_rows_that_are_no_whole_blocks_stay_f16(tmp_path):
    tokenizer = models.build_tokenizer()
    config = models.student_config(tokenizer, hidden=48)
    models.save(AutoModelForCausalLM.from_config(config), tokenizer, tmp_path / "m")
    export_gguf(tmp_path / "m", tmp_path / "m.gguf", "q8_0")
    kinds = {t.name: t.type for t in read_gguf_header(tmp_path / "m.gguf").tensors}
    assert kinds["blk.0.attn_q.weight"] == "F16" and kinds["blk.0.ffn_down.weight"] == "Q8_0"


def test_the_modelfile(student, tmp_path):
    modelfile = export_gguf(student, tmp_path / "m.gguf").read_text(encoding="utf-8")
    assert modelfile.startswith("FROM ./m.gguf\n")
    assert "<｜User｜>{{ .Content }}" in modelfile and modelfile.count('"""') == 2
    assert "PARAMETER num_ctx 256\n" in modelfile and "temperature 0.6" in modelfile


def test_refusals_leave_nothing_behind(tmp_path):
    tokenizer = models.build_tokenizer()
    v3 = DeepseekV3ForCausalLM(models.mini_v3_config(tokenizer))
    models.save(v3, tokenizer, tmp_path / "v3")
    with pytest.raises(CourseError, match="type 'deepseek_v3'; GGUF files are written here for"):
        export_gguf(tmp_path / "v3", tmp_path / "m.gguf")
    with pytest.raises(CourseError, match="There is no folder"):
        export_gguf(tmp_path / "none", tmp_path / "m.gguf")
    with pytest.raises(CourseError, match="The type is 'q9'"):
        export_gguf(tmp_path / "v3", tmp_path / "m.gguf", "q9")
    with pytest.raises(CourseError, match=r"no folder .* to write m\.gguf into"):
        export_gguf(tmp_path / "v3", tmp_path / "no" / "m.gguf")
    with pytest.raises(CourseError, match="v3 is a folder; name the GGUF file"):
        export_gguf(tmp_path / "v3", tmp_path / "v3")
    assert [path.name for path in tmp_path.iterdir()] == ["v3"]


def test_a_token_added_without_a_row_for_it_is_refused(student, tmp_path):
    model, tokenizer = models.load(student)
    tokenizer.add_tokens(["[PAD]"])
    models.save(model, tokenizer, tmp_path / "more")
    with pytest.raises(CourseError, match=r"has tokens beyond the [0-9]+ that the model knows"):
        export_gguf(tmp_path / "more", tmp_path / "m.gguf")


def test_a_failed_write_keeps_the_file_that_was_there(student, tmp_path, monkeypatch):
    out = tmp_path / "m.gguf"
    out.write_bytes(b"precious")
    monkeypatch.setattr("course_lib.local.export._describe_tokenizer", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_gguf(student, out)
    assert out.read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 1
