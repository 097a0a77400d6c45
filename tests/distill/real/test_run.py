"""A language model taught in one folder: its stages, going on, a GPU's numbers, what is kept.

The model is tiny and knows nothing; its teacher is the course's own mini-R1-Zero.
"""

import json
from dataclasses import replace

import pytest
import torch

from course_lib import __main__ as command_line
from course_lib.distill import trace_sft
from course_lib.distill.real import arms, language_model, recipe, run
from course_lib.errors import CourseError
from course_lib.local import export
from course_lib.local.engines.with_llama_cpp import LlamaCppEngine
from course_lib.local.engines.with_transformers import TransformersEngine
from course_lib.model import checkpoints, lora, models
from course_lib.rl import measure, microscope, zero
from course_lib.rl.experience import evaluate
from course_lib.task import puzzles

PLAN = run.Plan(
    seed=1,
    adapter=lora.Lora(4, 8),
    distil=replace(
        recipe.DISTIL, traces=16, rounds=2, steps=3, tokens=800, warmup=1,
        evaluate_puzzles=4, answer_tokens=12,
    ),
    rl=replace(
        recipe.REINFORCE, steps=2, puzzles=2, samples=4, max_new_tokens=8, checkpoint_every=1,
        evaluate_puzzles=3,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return out, list(run.run(out, PLAN, model=tiny))


def weights(folder):
    return (folder / lora.WEIGHTS).read_bytes()


def test_both_stages_say_what_they_do(whole):
    _, lines = whole
    assert [(x["stage"], x["step"]) for x in lines] == [
        *[("distillation", step) for step in range(4)],
        *[("RL", step) for step in range(3)],
    ]
    assert 0 < lines[0]["kept"] <= lines[0]["traces"] == 16
    assert {"accuracy", "thinking_tokens", "loss"} <= lines[3].keys()


def test_only_the_adapter_is_learnt_and_kept(whole, tiny):
    out, _ = whole
    taught, _ = models.load(out / "distil" / "model")
    base, _ = models.load(tiny)
    for name, layer in lora.layers(taught).items():
        assert torch.equal(layer.base_layer.weight, base.get_submodule(name).weight)
        assert bool(layer.lora_B.weight.any())
    kept = {path.name for path in (out / "distil" / "checkpoint").iterdir()}
    assert kept == {"adapter_config.json", lora.WEIGHTS, "trainer.json", "trainer.safetensors"}


def test_traces_have_crossed_as_text(whole, tiny):
    out, _ = whole
    _, tokenizer = models.load(tiny)
    for prompt, completion in json.loads((out / "distil/traces.json").read_text())["kept"]:
        text = tokenizer.decode(completion)
        assert text.startswith("<think> ") and text.endswith("<|im_end|>")
        assert puzzles.answer(text.removesuffix("<|im_end|>")) is not None
        assert "?" in tokenizer.decode(prompt)


@pytest.mark.parametrize("lines", [1, 2, 4, 6])
def test_a_run_that_is_killed_goes_on_to_the_same_adapter(
    whole, tiny, tmp_path, lines, monkeypatch
):
    monkeypatch.setattr("course_lib.distill.distill._EVERY", 1)
    out, said = whole
    steps = run.run(tmp_path, PLAN, model=tiny)
    for _ in range(lines):
        next(steps)
    steps.close()
    again = list(run.run(tmp_path, PLAN, model=tiny))
    assert again[-1]["step"] == said[-1]["step"]
    for part in ("distil/model", "rl/checkpoint", "adapter"):
        assert weights(tmp_path / part) == weights(out / part)


def test_rewards_alone_give_a_model_that_never_succeeds_no_gradient(whole, tmp_path):
    out, _ = whole
    nothing = zero.Task(puzzles.sample, puzzles.prompt, lambda *_: 0.0)
    lines = list(zero.run(tmp_path, replace(PLAN.rl, seed=1), base=out / "start", task=nothing))
    assert [line["grad_norm"] for line in lines[1:]] == [0.0, 0.0]
    assert weights(tmp_path / "checkpoint") == weights(out / "start")


def test_rewards_that_differ_move_the_adapter_and_nothing_else(whole, tmp_path, tiny):
    out, _ = whole
    task = zero.Task(puzzles.sample, puzzles.prompt, lambda _, text: float(len(text) % 3))
    lines = list(zero.run(tmp_path, replace(PLAN.rl, kl=0.1), base=out / "start", task=task))
    assert all(line["grad_norm"] > 0 for line in lines[1:])
    assert weights(tmp_path / "checkpoint") != weights(out / "start")
    taught, _ = models.load(tmp_path / "checkpoint")
    with lora.off(taught):
        ids = torch.arange(20)[None]
        assert torch.equal(taught(ids).logits, models.load(tiny)[0](ids).logits)


def test_what_is_taken_away_is_small_and_says_where_it_comes_from(whole, tiny):
    out, lines = whole
    kept = weights(out / "adapter")
    assert len(kept) < 0.6 * len(weights(out / "distil" / "model"))
    card = (out / "adapter" / "README.md").read_text(encoding="utf-8")
    assert f"base_model: {tiny.resolve()}" in card and "LoRA of rank 4 on 14 linear" in card
    last = next(x for x in reversed(lines) if x["stage"] == "distillation")
    assert f"| right answers | {last['accuracy']:.1%} |" in card
    with pytest.raises(CourseError, match="holds no adapter yet"):
        run.take_away(out / "start")


def test_in_a_gpus_numbers_it_trains_samples_and_goes_on(tiny, tmp_path, monkeypatch):
    """A base in bfloat16 under an adapter in float32, as on a GPU; the device is pretended."""
    monkeypatch.setattr(models, "on_gpu", lambda: True)
    lines = list(run.run(tmp_path, PLAN, model=tiny))
    assert lines[3]["loss"] < lines[1]["loss"]
    model, tokenizer = models.load(tmp_path / "distil" / "model")
    dtypes = {
        name.rpartition(".")[0].rpartition(".")[2]: p.dtype for name, p in model.named_parameters()
    }
    assert dtypes["base_layer"] == torch.bfloat16 and dtypes["lora_B"] == torch.float32
    task = zero.Task(puzzles.sample, puzzles.prompt, lambda _, text: float(len(text) % 3))
    steps = list(zero.run(tmp_path / "x", PLAN.rl, base=tmp_path / "distil/model", task=task))
    assert all(line["grad_norm"] > 0 for line in steps[1:])
    assert evaluate(model, tokenizer, n=2, max_new_tokens=4)["accuracy"] <= 1


def test_a_device_that_is_not_there_is_one_sentence(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("INSIDE_R1_DEVICE", "")
    options = ["real-model", "--out", str(tmp_path), "--model", str(tiny), "--device"]
    for name in ("cuda", "abacus"):
        if name == "cuda" and torch.cuda.is_available():
            continue
        assert command_line.main([*options, name]) == 1
        said = capsys.readouterr().err
        assert f"The device is '{name}'" in said and "`cpu` always works" in said


def test_the_command_runs_and_says_how_to_use_the_adapter(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(recipe, "DISTIL", PLAN.distil)
    monkeypatch.setattr(run.Plan, "__init__", run.Plan.__init__)
    small = replace(PLAN, rl=replace(PLAN.rl, steps=0))
    monkeypatch.setattr(run, "Plan", lambda seed: replace(small, seed=seed))
    assert command_line.main(["real-model", "--out", str(tmp_path), "--model", str(tiny)]) == 0
    said = capsys.readouterr().out
    assert "distillation, step 3: loss" in said and "python -m course_lib ask --model" in said


def test_evaluate_and_its_thoughts_work_on_an_adapter(whole, capsys):
    out, _ = whole
    folder = str(out / "adapter")
    assert command_line.main(["evaluate", "--model", folder, "--puzzles", "3"]) == 0
    assert {"accuracy", "thinking_tokens"} <= json.loads(capsys.readouterr().out).keys()
    found = measure.step_accuracy(*models.load(folder), n=2)
    assert found["accuracy"] <= 1


def test_rows_in_parts_are_the_same_answers(whole, monkeypatch):
    out, _ = whole
    model, tokenizer = models.load(out / "adapter")
    options = {"n": 6, "max_new_tokens": 5, "temperature": 0.0}
    together = evaluate(model, tokenizer, **options)
    monkeypatch.setattr("course_lib.model.rollout.rows_at_once", lambda *_: 4)
    assert evaluate(model, tokenizer, **options) == pytest.approx(together)


def test_the_microscope_takes_a_step_on_it_apart(whole):
    out, _ = whole
    model, tokenizer = models.load(out / "adapter")
    items = puzzles.sample(2, 0)
    found = zero.collect(
        model, tokenizer, zero.PUZZLES, items, PLAN.rl, torch.Generator().manual_seed(0)
    )
    mask = torch.ones_like(found.rollout.ids, dtype=torch.bool)
    with torch.no_grad():
        logp, _ = zero.completion_logprobs(model, found.rollout, mask, 1.0)
    advantages = torch.linspace(-1, 1, len(mask))
    anatomy = microscope.dissect(logp, logp, advantages, mask)
    words = tokenizer.batch_decode([[i] for i in found.rollout.ids[0].tolist()])
    lines = microscope.token_lines(anatomy, 0, words, 0.0, -1.0)
    assert len(lines) == mask.shape[1] and {line.direction for line in lines} == {"down"}


def test_greedy_text_is_the_same_merged_and_as_an_adapter_in_llama_cpp(whole, tiny, tmp_path):
    out, _ = whole
    folder = out / "distil" / "model"
    export.export_gguf(folder, tmp_path / "merged.gguf")
    export.export_gguf(tiny, tmp_path / "base.gguf")
    export.export_adapter(folder, tmp_path / "adapter.gguf")
    engines = [
        TransformersEngine(folder, context=256),
        LlamaCppEngine(tmp_path / "merged.gguf", context=256),
        LlamaCppEngine(tmp_path / "base.gguf", context=256, adapter=tmp_path / "adapter.gguf"),
        LlamaCppEngine(tmp_path / "base.gguf", context=256),
    ]
    texts = []
    for n in range(4):
        asked = [{"role": "user", "content": f"{n + 1} ? 3 ? 5 ? 2 = {n}"}]
        said = ["".join(e.stream(asked, max_tokens=16, temperature=0)) for e in engines]
        # bytes of letters that never come are held back here, and told as they come there
        shortest = min(said[:3], key=len)
        assert len(shortest) > 5 and all(text.startswith(shortest) for text in said[:3])
        texts.append(said)
    assert any(said[0] != said[3] for said in texts)  # the adapter does something
    for engine in engines[1:]:
        engine.close()


def test_the_modelfile_has_the_models_own_turns(whole, tmp_path):
    out, _ = whole
    text = export.export_gguf(out / "adapter", tmp_path / "m.gguf").read_text(encoding="utf-8")
    assert 'SYSTEM """You help."""' in text and "<|im_start|>{{ .Role }}" in text
    assert 'PARAMETER stop "<|im_end|>"' in text


def test_export_refuses_what_has_no_adapter(tiny, tmp_path):
    with pytest.raises(CourseError, match="holds no adapter; write the whole model"):
        export.export_adapter(tiny, tmp_path / "a.gguf")
    assert not list(tmp_path.iterdir())


def test_answers_alone_have_no_thought_in_any_tokenizer(tiny):
    _, tokenizer = models.load(tiny)
    trace = trace_sft.in_tokens_of(tokenizer, "7 ? 3 = 10", "<think> +3=10 yes</think> +")
    bare = arms.without_thinking(trace, tokenizer)
    assert bare.prompt == trace.prompt and tokenizer.decode(bare.completion) == " +<|im_end|>"


def test_a_log_is_read_again_as_it_was_said(whole):
    out, lines = whole
    said = [{k: v for k, v in line.items() if k != "stage"} for line in lines[:4]]
    assert checkpoints.read_log(out / "distil" / "metrics.jsonl") == said
    assert not language_model.lora.is_adapter(out)
