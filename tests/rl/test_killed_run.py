"""A run of R1-Zero that is killed before any of its writes to disk goes on to the very same end."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from course_lib.errors import CourseError
from course_lib.model import checkpoints, models
from course_lib.rl import run_folder, zero
from course_lib.rl.identity import describe, digest
from course_lib.rl.zero import PUZZLES, ZeroConfig
from tests.rl.lettered import TASK, lettered

TINY = ZeroConfig(
    steps=4, puzzles=2, samples=4, max_new_tokens=6, evaluate_every=2, evaluate_puzzles=4,
    checkpoint_every=2,
)  # fmt: skip


def log(out):
    lines = checkpoints.read_log(out / "metrics.jsonl")
    return [{k: v for k, v in line.items() if "seconds" not in k} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, base):
    out = tmp_path_factory.mktemp("whole")
    list(zero.run(out, TINY, base=base, task=TASK))
    return out


# One import serves all: a child is forked for every event, and dies there.
CHILD = """
import os, signal, sys
from pathlib import Path
from tests.rl.test_killed_run import TASK, TINY, zero

KINDS = {"open": 0, "os.rename": 1, "shutil.rmtree": 0, "os.mkdir": 0, "os.remove": 0}
inside, base = Path(sys.argv[1]).resolve(), sys.argv[2]

def run(folder, death):
    seen = [0]
    def watch(event, args):
        if event not in KINDS or not isinstance(args[0], (str, os.PathLike)):
            return
        if event == "open" and (not isinstance(args[1], str) or args[1][:1] not in "wax"):
            return
        if folder not in Path(args[KINDS[event]]).absolute().parents:
            return
        seen[0] += 1
        if seen[0] == death:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    list(zero.run(folder / "run", TINY, base=base, task=TASK))
    (folder / "events").write_text(str(seen[0]))

def forked(death):
    folder = inside / str(death)
    folder.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        run(folder, death)
        os._exit(0)
    return os.waitpid(child, 0)[1]

assert forked(0) == 0
for death in range(1, int((inside / "0" / "events").read_text()) + 1):
    assert os.WTERMSIG(forked(death)) == signal.SIGKILL, death
"""


def same_end(out, whole):
    ours, theirs = (models.load(x / "checkpoint")[0].state_dict() for x in (out, whole))
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_at_any_write_a_run_goes_on_to_the_same_log_and_weights(tmp_path, base, whole):
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(base)]
    subprocess.run(command, check=True, timeout=900, env={**os.environ, "OMP_NUM_THREADS": "1"})
    folders = sorted(path for path in tmp_path.iterdir() if path.name != "0")
    assert len(folders) > 15
    for folder in folders:
        list(zero.run(folder / "run", TINY, base=base, task=TASK))
        assert log(folder / "run") == log(whole), folder.name
        assert same_end(folder / "run", whole), folder.name


def stopped(tmp_path, base):
    """A run that was stopped after its checkpoint at step 2 and before the one at step 4."""
    run = zero.run(tmp_path, TINY, base=base, task=TASK)
    while next(run)["step"] < 3:
        pass
    run.close()
    return tmp_path


SPOILT = {
    "no log": lambda out: (out / "metrics.jsonl").unlink(),
    "an empty log": lambda out: (out / "metrics.jsonl").write_text(""),
    "half a log": lambda out: (out / "metrics.jsonl").write_bytes(
        (out / "metrics.jsonl").read_bytes()[:700]
    ),
    "a log of something else": lambda out: (out / "metrics.jsonl").write_text('[1]\n{"a": 2}\n'),
    "a log that is no text": lambda out: (out / "metrics.jsonl").write_bytes(b"\xff\xfe\x00\n"),
    "no word of what it is": lambda out: (out / "run.json").unlink(),
    "an odd word of what it is": lambda out: (out / "run.json").write_text("[1, 2"),
    "a word of what it is too deep": lambda out: (out / "run.json").write_text("[" * 100_000),
    "a word of what it is not": lambda out: (out / "run.json").write_text(
        '{"made": {"seed": 5}, "date": "x", "steps": 4}'
    ),
    "a mark before each": lambda out: [
        (out / name).write_bytes(b"\xef\xbb\xbf" + (out / name).read_bytes())
        for name in ("run.json", "metrics.jsonl", "checkpoint/trainer.json")
    ],
    "a lock left behind": lambda out: (out / ".lock").write_text("someone"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_what_can_be_made_good_is_and_the_end_is_the_same(tmp_path, base, whole, kind):
    out = stopped(tmp_path, base)
    SPOILT[kind](out)
    list(zero.run(out, TINY, base=base, task=TASK))
    assert log(out) == log(whole) and same_end(out, whole)


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def rewrite(file, change):
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def state(out, **values):
    path = out / "trainer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


DAMAGE = {
    "a bit of the weights": lambda x: flip(x / "model.safetensors"),
    "a bit of the moments": lambda x: flip(x / "trainer.safetensors"),
    "a weight that is NaN": lambda x: rewrite(
        x / "model.safetensors", lambda t: next(iter(t.values())).fill_(torch.nan)
    ),
    "a weight that is gone": lambda x: rewrite(
        x / "model.safetensors", lambda t: t.pop(sorted(t)[0])
    ),
    "moments that are gone": lambda x: rewrite(
        x / "trainer.safetensors", lambda t: t.pop(sorted(t)[0])
    ),
    "no moments": lambda x: (x / "trainer.safetensors").unlink(),
    "no state": lambda x: (x / "trainer.json").unlink(),
    "no weights": lambda x: (x / "model.safetensors").unlink(),
    "a list for a state": lambda x: (x / "trainer.json").write_text("[]"),
    "no step": lambda x: (x / "trainer.json").write_text("{}"),
    "half a state": lambda x: (x / "trainer.json").write_text('{"step": 2'),
    "a step that is text": lambda x: state(x, step="2"),
    "a step below 0": lambda x: state(x, step=-1),
    "a state too deep": lambda x: (x / "trainer.json").write_text("[" * 100_000),
    "lines that are none": lambda x: state(x, lines=[1]),
    "sums that are no sums": lambda x: state(x, **{".kept": [1]}),
    "another tokenizer": lambda x: (x / "tokenizer.json").write_text("{}"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_told_in_a_sentence_and_left_as_it_is(tmp_path, base, kind):
    out = stopped(tmp_path, base)
    DAMAGE[kind](out / "checkpoint")
    before = sorted(p.name for p in (out / "checkpoint").iterdir())
    with pytest.raises(CourseError, match="is damaged") as told:
        list(zero.run(out, TINY, base=base, task=TASK))
    assert "\n" not in str(told.value)
    assert sorted(p.name for p in (out / "checkpoint").iterdir()) == before


@pytest.mark.parametrize(
    "words",
    [{}, {"config": [1], "run": None}, {"run": [1]}, {"run": {"made": {}, "date": ""}}],
    ids=["of another command", "a list", "a run that is a list", "a run without steps"],
)
def test_a_checkpoint_that_does_not_say_what_it_is_of_is_damaged(tmp_path, words):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "trainer.json").write_text(json.dumps({"step": 2} | words))
    with pytest.raises(CourseError, match="does not say what the run is made of"):
        run_folder.read(tmp_path)


PART = {"is": "0", "sum": "1"}


@pytest.mark.parametrize(
    "word",
    [
        [1],
        {"made": {}, "date": "x"},
        {"made": {"seed": 5}, "date": "x", "steps": 3},
        {"made": {"seed": {"is": "1"}}, "date": "x", "steps": 3},
        {"made": {"seed": PART}, "date": 3, "steps": 3},
        {"made": {"seed": PART}, "date": "x", "steps": "3"},
    ],
)
def test_a_word_that_says_of_no_run_is_none(tmp_path, word):
    (tmp_path / "run.json").write_text(json.dumps(word))
    assert run_folder.changed(run_folder.read(tmp_path), {"seed": PART}) == []
    with pytest.raises(CourseError, match="holds no run"):
        run_folder.about(tmp_path)


def test_a_run_of_another_command_is_told_before_its_first_checkpoint_too(tmp_path):
    checkpoints.claim(tmp_path, {"steps": 5, "seed": 0})  # as distill and pretrain begin
    with pytest.raises(CourseError, match="it is another command's"):
        list(zero.run(tmp_path, TINY, task=TASK))


def test_a_word_of_a_run_is_read_with_notepads_mark_too(tmp_path):
    word = json.dumps({"made": {"seed": PART}, "date": "2026-11-26", "steps": 3})
    (tmp_path / "run.json").write_bytes(b"\xef\xbb\xbf" + word.encode())
    assert "made with 3 steps, seed 0" in run_folder.about(tmp_path)


@pytest.mark.parametrize("where", ["save_file", "write", "replace"])
def test_a_full_disk_is_told_in_a_sentence_and_the_run_goes_on_later(
    tmp_path, base, whole, where, monkeypatch
):
    def full(*given, **named):
        raise OSError(28, "No space left on device")

    out = stopped(tmp_path, base)
    with monkeypatch.context() as now:
        if where == "save_file":
            now.setattr(checkpoints, "save_file", full)
        elif where == "write":
            plain = Path.open
            now.setattr(
                Path,
                "open",
                lambda p, mode="r", **k: (full if "a" in mode else plain)(p, mode, **k),
            )
        else:
            now.setattr("pathlib.Path.replace", full)
        with pytest.raises(CourseError, match="No space left on device"):
            list(zero.run(out, TINY, base=base, task=TASK))
    list(zero.run(out, TINY, base=base, task=TASK))
    assert log(out) == log(whole) and same_end(out, whole)


# --- one run a folder -----------------------------------------------------------------------------


def test_a_second_run_in_the_same_program_is_refused_and_a_closed_one_lets_go(tmp_path, base):
    first = zero.run(tmp_path, TINY, base=base, task=TASK)
    next(first)
    with pytest.raises(CourseError, match="in use by a run that has not ended"):
        next(zero.run(tmp_path, TINY, base=base, task=TASK))
    first.close()
    assert next(zero.run(tmp_path, TINY, base=base, task=TASK))["step"] == 0


HOLD = """
import sys, time
from tests.rl.test_killed_run import TASK, TINY, zero
run = zero.run(sys.argv[1], TINY, base=sys.argv[2], task=TASK)
next(run)
print("running", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_run_of_another_program_is_in_the_way_until_it_is_killed(tmp_path, base, whole):
    command = [sys.executable, "-c", HOLD, str(tmp_path), str(base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "running\n"
        with pytest.raises(CourseError, match="in use by a run"):
            next(zero.run(tmp_path, TINY, base=base, task=TASK))
        os.kill(other.pid, signal.SIGKILL)
    list(zero.run(tmp_path, TINY, base=base, task=TASK))
    assert log(tmp_path) == log(whole)


# --- what a run is --------------------------------------------------------------------------------


def bonus(amount):
    return lambda puzzle, completion: amount + lettered(puzzle, completion)


OTHERWISE = {
    "learning_rate": {"config": replace(TINY, learning_rate=1e-3)},
    "samples": {"config": replace(TINY, samples=5)},
    "reward": {"task": replace(PUZZLES, reward=bonus(0.5))},
    "verifier": {"task": replace(TASK, right=lettered)},
    "method": {"method": type("Mine", (zero.Learner,), {})},
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_changed_is_named_and_gets_its_own_folder(tmp_path, base, name):
    out = tmp_path / "zero"
    list(zero.run(out, TINY, base=base, task=TASK))
    options = {"config": TINY, "base": base, "task": TASK, **OTHERWISE[name]}
    with pytest.raises(
        CourseError, match=rf"\({name}\).*zero-{name}.*delete the folder \(.*again=True"
    ):
        next(zero.run(out, **options))
    assert zero.place(out, **options) == tmp_path / f"zero-{name}"


def test_a_closed_over_number_is_part_of_a_reward(tmp_path, base):
    out = tmp_path / "zero"
    next(zero.run(out, TINY, base=base, task=replace(PUZZLES, reward=bonus(0.5))))
    next(zero.run(out, TINY, base=base, task=replace(PUZZLES, reward=bonus(0.5))))
    with pytest.raises(CourseError, match=r"\(reward\)"):
        next(zero.run(out, TINY, base=base, task=replace(PUZZLES, reward=bonus(0.25))))


@pytest.mark.parametrize(
    ("name", "given"),
    [("kl", 2), ("clip", (0, 1)), ("banned", ["a", "b"]), ("learning_rate", np.float64(0.25))],
)
def test_a_setting_is_kept_as_it_was_given_and_as_earlier_versions_kept_it(name, given, base):
    """2 stays 2 in `run.json`: were it 2.0, a run that was begun before could not go on."""
    kept = {"made": {name: {"is": repr(given), "sum": digest(describe(given))}}}
    made = run_folder.made_with(replace(TINY, **{name: given}), TASK, base, {})
    assert run_folder.changed(kept, made) == []
    assert run_folder.changed(kept, run_folder.made_with(TINY, TASK, base, {})) == [name]


def test_another_base_is_named(tmp_path, base, tokenizer):
    next(zero.run(tmp_path, TINY, base=base, task=TASK))
    torch.manual_seed(1)
    config = models.student_config(tokenizer, "llama", hidden=16, layers=1)
    models.save(AutoModelForCausalLM.from_config(config), tokenizer, tmp_path / "other")
    with pytest.raises(CourseError, match=r"\(base\)"):
        next(zero.run(tmp_path, TINY, base=tmp_path / "other", task=TASK))


def test_more_steps_make_a_run_longer_and_again_sets_it_aside(tmp_path, base):
    list(zero.run(tmp_path, replace(TINY, steps=2), base=base, task=TASK))
    longer = list(zero.run(tmp_path, TINY, base=base, task=TASK))
    assert [line["step"] for line in longer] == [3, 4]
    assert [line["step"] for line in log(tmp_path)] == [0, 1, 2, 3, 4]
    assert list(zero.run(tmp_path, replace(TINY, steps=2), base=base, task=TASK)) == []
    anew = list(zero.run(tmp_path, TINY, base=base, task=TASK, again=True))
    assert [line["step"] for line in anew] == [0, 1, 2, 3, 4]
    assert (tmp_path / "earlier-1" / "checkpoint" / "config.json").is_file()


def test_a_notebook_is_told_which_run_it_sees(tmp_path, base, capsys):
    out, seen = tmp_path / "zero", []
    done = zero.follow(out, TINY, base=base, task=TASK, show=seen.append)
    assert done.folder == out and len(done.lines) == len(seen) == 5 and not capsys.readouterr().out
    zero.follow(out, TINY, base=base, task=TASK, show=seen.append)
    said = capsys.readouterr().out
    assert "This is the run of" in said and "4 steps" in said and "the reward `lettered`" in said
    assert "again=True" in said and len(seen) == 10
    other = zero.follow(out, replace(TINY, seed=3), base=base, task=TASK)
    assert other.folder == tmp_path / "zero-seed" and other.checkpoint.is_dir()
    assert "holds a run made otherwise; this one is in" in capsys.readouterr().out
    with pytest.raises(CourseError, match="holds no run"):
        run_folder.about(tmp_path / "nothing")


def test_an_interrupt_ends_in_one_line(tmp_path, base, capsys):
    def stop(line):
        if line["step"] == 3:
            raise KeyboardInterrupt

    found = zero.follow(tmp_path, TINY, base=base, task=TASK, show=stop)
    assert capsys.readouterr().out.count("\n") == 1 and len(found.lines) == 4
    seen = []
    zero.follow(tmp_path, TINY, base=base, task=TASK, show=seen.append)
    assert seen[-1]["step"] == 4


# --- a learner's own functions --------------------------------------------------------------------


def test_the_lessons_functions_train_as_the_librarys_do(tmp_path, base):
    from tests.rl.test_contract import group_advantages, policy_loss

    config = replace(TINY, std="sample", reduce="sequence")
    ours = list(zero.run(tmp_path / "a", config, base=base, task=TASK))
    mine = {"advantages": group_advantages, "loss": policy_loss}
    theirs = list(zero.run(tmp_path / "b", TINY, base=base, task=TASK, **mine))
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        assert a["step"] == b["step"] and a.get("reward") == b.get("reward")
        assert a.get("grad_norm") == pytest.approx(b.get("grad_norm"), rel=1e-4)


def test_a_loss_without_a_reference_cannot_be_held_to_one(tmp_path, base):
    def plain(logp, old_logp, advantages, mask):
        return -(((logp - old_logp).exp() * advantages[:, None] * mask).sum(1) / mask.sum(1)).mean()

    with pytest.raises(CourseError, match=r"`plain` takes no ref_logp"):
        next(zero.run(tmp_path, replace(TINY, kl=0.1), base=base, task=TASK, loss=plain))
    for name, value in {"clip": (0.1, 0.3), "reduce": "token", "truncate": 2.0}.items():
        config = replace(TINY, **{name: value})
        with pytest.raises(CourseError, match=f"{name} is .*, and `.*plain` is not asked to heed"):
            next(zero.run(tmp_path / name, config, base=base, task=TASK, loss=plain))
    config = replace(TINY, std="sample")
    with pytest.raises(CourseError, match=r"std is 'sample', and `.*<lambda>.*` is not asked"):
        next(zero.run(tmp_path / "std", config, base=base, task=TASK, advantages=lambda r: r - 1))
