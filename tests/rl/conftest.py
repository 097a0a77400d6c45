"""What the tests of R1-Zero's loop start from."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from course_lib.model import models


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer):
    """A folder with an untrained Llama of 16 dimensions and the course's tokenizer."""
    torch.manual_seed(0)
    config = models.student_config(tokenizer, "llama", hidden=16, layers=1)
    folder = tmp_path_factory.mktemp("base") / "model"
    models.save(AutoModelForCausalLM.from_config(config), tokenizer, folder)
    return folder
