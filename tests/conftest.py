"""Shared by the tests: quiet libraries, and models small enough to make in a moment."""

import os
import tempfile

# Tests keep a learner's own answers out of it, in this process and in the kernels it starts.
os.environ["INSIDE_R1_HOME"] = tempfile.mkdtemp(prefix="inside-r1-")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest


def pytest_terminal_summary(terminalreporter):
    """Say at the end what a test has measured (`record_property("told", ...)`)."""
    for report in terminalreporter.stats.get("passed", []):
        for name, text in report.user_properties:
            if name == "told":
                terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def tokenizer():
    from course_lib.model import models

    return models.build_tokenizer()


@pytest.fixture(scope="session")
def random_models(tokenizer):
    """An untrained mini-V3, Qwen2 and Llama, by name: (name) -> model in evaluation mode."""
    import torch
    from transformers import AutoModelForCausalLM

    from course_lib.model import models
    from course_lib.runtime import use_threads

    use_threads()
    torch.manual_seed(0)
    configs = {
        "mini_v3": models.mini_v3_config(tokenizer),
        "qwen2": models.student_config(tokenizer, "qwen2"),
        "llama": models.student_config(tokenizer, "llama", hidden=64, layers=2),
    }
    return {name: AutoModelForCausalLM.from_config(c).eval() for name, c in configs.items()}
