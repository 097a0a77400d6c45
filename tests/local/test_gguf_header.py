"""GGUF headers: round trips with the gguf package, cut files, and files that lie."""

import os
import struct

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.local import gguf_header
from course_lib.local.engines.convert import converted
from course_lib.local.engines.with_llama_cpp import LlamaCppEngine
from course_lib.local.gguf_header import GgufError, read_gguf_header

Q = gguf.GGMLQuantizationType
VALUES = {"a.list": [1, 2, 3], "a.words": ["x", "é", ""], "a.flag": True, "a.float": 0.5}


def write(path, alignment=None):
    writer = gguf.GGUFWriter(path, "llama")
    if alignment:
        writer.add_custom_alignment(alignment)
    writer.add_uint32("a.number", 7)
    writer.add_int64("a.negative", -(2**40))
    writer.add_string("a.text", "Grüße")
    writer.add_bool("a.flag", VALUES["a.flag"])
    writer.add_float32("a.float", VALUES["a.float"])
    writer.add_array("a.list", VALUES["a.list"])
    writer.add_array("a.words", VALUES["a.words"])
    weights = np.arange(96 * 5, dtype=np.float32).reshape(5, 96)
    writer.add_tensor("full", weights)
    writer.add_tensor("half", weights.astype(np.float16))
    writer.add_tensor("vector", np.ones(3, np.float32))
    for kind in (Q.Q8_0, Q.Q4_0):
        writer.add_tensor(kind.name, gguf.quants.quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "good.gguf")


@pytest.mark.parametrize("alignment", [None, 64])
def test_round_trip(tmp_path, alignment):
    path = write(tmp_path / "x.gguf", alignment)
    header = read_gguf_header(path)
    assert header.file_bytes == header.present_bytes == path.stat().st_size
    assert header.complete
    for key, value in VALUES.items():
        assert header.metadata[key] == value
    assert header.metadata["a.number"] == 7
    assert header.metadata["a.negative"] == -(2**40)
    assert header.metadata["a.text"] == "Grüße"
    assert header.metadata["general.architecture"] == "llama"
    reader = gguf.GGUFReader(path)
    theirs = [
        (t.name, tuple(t.shape.tolist()), t.tensor_type.name, t.n_bytes) for t in reader.tensors
    ]
    assert [tuple(tensor) for tensor in header.tensors] == theirs
    assert header.parameters == 4 * 480 + 3


def test_a_file_cut_behind_its_header_still_tells_everything(good):
    whole = read_gguf_header(good)
    good.write_bytes(good.read_bytes()[: whole.file_bytes - 3000])
    cut = read_gguf_header(good)
    assert (cut.metadata, cut.tensors) == (whole.metadata, whole.tensors)
    assert cut.file_bytes == whole.file_bytes > cut.present_bytes
    assert not cut.complete


def test_every_cut_within_the_header_is_refused(good):
    content = good.read_bytes()
    header_end = content.index(b"Q4_0") + 4 + 4 + 16 + 4 + 8
    read_gguf_header_of(good, content[:header_end])
    for end in range(header_end):
        with pytest.raises(GgufError):
            read_gguf_header_of(good, content[:end])


def read_gguf_header_of(path, content):
    path.write_bytes(content)
    return read_gguf_header(path)


def header(entries=0, tensors=0, body=b"", version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + body


def text(content):
    return struct.pack("<Q", len(content)) + content


def tensor(name=b"t", shape=(32,), kind=0, offset=0):
    sizes = struct.pack(f"<{len(shape)}Q", *shape)
    return text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset)


def entry(kind, value, key=b"k"):
    return text(key) + struct.pack("<I", kind) + value


DEEP = struct.pack("<IQ", 9, 1) * 50
HOSTILE = {
    "empty": (b"", "does not begin with 'GGUF'"),
    "another format": (b"PK\x03\x04" * 99, "does not begin with 'GGUF'"),
    "version 1": (header(version=1), "version is 1"),
    "big-endian": (header(version=3 << 24), "only 2 and 3, little-endian"),
    "entries without end": (header(entries=2**63), "metadata entries is"),
    "too many entries": (header(entries=100_001), "metadata entries is 100001"),
    "tensors without end": (header(tensors=2**64 - 1), "number of tensors is"),
    "more entries than bytes": (header(entries=10_000), "ends within its header"),
    "a string past the end": (header(1, 0, struct.pack("<Q", 2**62)), "ends within its header"),
    "an array past the end": (
        header(1, 0, entry(9, struct.pack("<IQ", 4, 4_000_000))),
        "ends within its header",
    ),
    "an endless array": (header(1, 0, entry(9, struct.pack("<IQ", 4, 2**60))), "length of an arr"),
    "arrays in arrays": (header(1, 0, entry(9, DEEP)), "too deep"),
    "more texts than there can be": (
        header(1, 0, entry(9, struct.pack("<IQ", 8, 2**21 + 1) + b"\0" * 99)),
        "more than 2097152 values",
    ),
    "empty arrays without end": (
        header(1, 0, entry(9, struct.pack("<IQ", 9, 2**17 + 1) + b"\0" * 99)),
        "more than 2097152 values",
    ),
    "a value type": (header(1, 0, entry(77, b"\0" * 99)), "unknown type 77"),
    "a key twice": (header(2, 0, entry(0, b"\1") * 2), "'k' twice"),
    "a tensor twice": (header(0, 2, tensor() + tensor(offset=128)), "one name"),
    "too many dimensions": (header(0, 1, tensor(shape=(1,) * 5)), "dimensions of tensor 't' is 5"),
    "no elements": (header(0, 1, tensor(shape=(0, 4))), "impossible shape"),
    "a shape that overflows": (header(0, 1, tensor(shape=(2**32, 2**32))), "impossible shape"),
    "half a block": (header(0, 1, tensor(shape=(33,), kind=8)), "impossible shape"),
    "a format": (header(0, 1, tensor(kind=999)), "unknown format 999"),
    "a crooked offset": (header(0, 1, tensor(offset=3)), "wrong place"),
    "tensors that overlap": (
        header(0, 2, tensor() + tensor(name=b"u", offset=32)),
        "wrong place",
    ),
    "an alignment": (header(1, 0, entry(4, struct.pack("<I", 3), b"general.alignment")), "align"),
    "a worded alignment": (header(1, 0, entry(8, text(b"x"), b"general.alignment")), "alignment"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_one_clear_sentence(tmp_path, name):
    content, message = HOSTILE[name]
    with pytest.raises(GgufError, match=message) as caught:
        read_gguf_header_of(tmp_path / "evil.gguf", content)
    assert isinstance(caught.value, CourseError) and isinstance(caught.value, ValueError)
    assert str(caught.value).startswith("evil.gguf") and "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(GgufError, match=r"pipe\.gguf cannot be read: it is no file"):
        read_gguf_header(tmp_path / "pipe.gguf")


def test_texts_of_all_arrays_count_together(tmp_path, monkeypatch):
    arrays = [entry(9, struct.pack("<IQ", 8, 4) + text(b"") * 4, key=b"%d" % i) for i in range(3)]
    content = header(3, 0, b"".join(arrays))
    assert len(read_gguf_header_of(tmp_path / "x.gguf", content).metadata) == 3
    monkeypatch.setattr(gguf_header, "_MOST_VALUES", 10)
    with pytest.raises(GgufError, match="more than 10 values"):
        read_gguf_header(tmp_path / "x.gguf")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(GgufError, match=r"none\.gguf cannot be read"):
        read_gguf_header(tmp_path / "none.gguf")
    with pytest.raises(GgufError, match="cannot be read"):
        read_gguf_header(tmp_path)


def test_text_that_is_not_utf8_is_kept_readable(tmp_path):
    content = header(1, 0, entry(8, text(b"a\xff")))
    assert read_gguf_header_of(tmp_path / "x.gguf", content).metadata == {"k": "a\ufffd"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path, good, data):
    content = bytearray(good.read_bytes()[:1200])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, 1100))] = data.draw(st.integers(0, 255))
    try:
        assert read_gguf_header_of(tmp_path / "damaged.gguf", bytes(content)).file_bytes > 0
    except GgufError as error:
        assert "\n" not in str(error)


# --- as llama.cpp sees it -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tokenizer):
    """A small Qwen2 as one GGUF file, and the same in three files."""
    import torch
    from transformers import AutoModelForCausalLM

    from course_lib.local import export
    from course_lib.model import models

    folder = tmp_path_factory.mktemp("gguf")
    torch.manual_seed(0)
    config = models.student_config(tokenizer, "qwen2", hidden=100)
    config.num_attention_heads, config.num_key_value_heads = 2, 1
    models.save(AutoModelForCausalLM.from_config(config), tokenizer, folder / "m")
    export.export_gguf(folder / "m", folder / "one.gguf")
    split(folder / "one.gguf", folder / "many.gguf")
    return folder


def split(path, out):
    """The file's tensors in files of twelve, by the gguf package's own writer."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(out, "qwen2", split_max_tensors=12)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_cpp_loads(path):
    """Whether llama.cpp itself takes a file that we take; of broken ones it may not return."""
    from course_lib.local.engines.with_llama_cpp import LlamaCppEngine

    engine = LlamaCppEngine(path)
    text = "".join(engine.stream([{"role": "user", "content": "7"}], max_tokens=4, temperature=0))
    engine.close()
    return bool(text)


def test_a_file_without_its_last_padding_is_whole_and_one_byte_less_is_not(exported, tmp_path):
    content = (exported / "one.gguf").read_bytes()
    ends = read_gguf_header(exported / "one.gguf").needed_bytes
    assert ends < len(content)  # or this would test nothing
    for size, whole in ((len(content), True), (ends, True), (ends - 1, False)):
        path = tmp_path / f"{size}.gguf"
        path.write_bytes(content[:size])
        assert read_gguf_header(path).complete is whole
        if whole:
            assert llama_cpp_loads(path)
        else:
            with pytest.raises(CourseError, match="cut short"):
                llama_cpp_loads(path)


def test_a_split_model_is_read_as_one(exported):
    first = exported / "many-00001-of-00004.gguf"
    whole, parts = read_gguf_header(exported / "one.gguf"), read_gguf_header(first)
    assert parts.complete and set(parts.tensors) == set(whole.tensors)
    assert parts.parameters == whole.parameters
    assert parts.present_bytes == sum(p.stat().st_size for p in exported.glob("many-*.gguf"))
    assert llama_cpp_loads(first)


def test_a_split_model_knows_what_is_missing(exported, tmp_path):
    names = [f"many-0000{i}-of-00004.gguf" for i in (1, 2, 3, 4)]
    for name in (*names[:2], names[3]):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    header = read_gguf_header(tmp_path / names[0])
    assert header.missing == (names[2],) and not header.complete
    with pytest.raises(GgufError, match=f"{names[2]} must lie beside it"):
        gguf_header.require_whole(tmp_path / names[0])
    with pytest.raises(GgufError, match="file 2 of a split model; give the first"):
        read_gguf_header(tmp_path / names[1])
    (tmp_path / names[2]).write_bytes((exported / names[1]).read_bytes())
    with pytest.raises(GgufError, match=r"do not belong together|give the first"):
        read_gguf_header(tmp_path / names[0])
    renamed = tmp_path / "renamed.gguf"
    renamed.write_bytes((exported / names[0]).read_bytes())
    with pytest.raises(GgufError, match="is not named so"):
        read_gguf_header(renamed)


@pytest.mark.parametrize("opened", [LlamaCppEngine, converted])
@pytest.mark.parametrize("key", ["llama.context_length", "tokenizer.ggml.tokens"])
def test_metadata_of_another_kind_is_a_sentence_in_every_engine(tmp_path, opened, key):
    writer = gguf.GGUFWriter(tmp_path / "odd.gguf", "llama")
    writer.add_string(key, "no number and no list")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(CourseError, match=r"cannot (load|read) odd\.gguf"):
        opened(tmp_path / "odd.gguf")
