"""`python -m course_lib COMMAND`: what the notebooks do, without a notebook."""

import argparse
import collections
import importlib
import io
import itertools
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from course_lib.errors import COUNT, WHOLE, CourseError, printable
from course_lib.runtime import new_folder

_FULL = re.compile(r"allocate memory|out of memory", re.IGNORECASE)  # in torch's words

# Commands with a grammar of their own: name -> module with main(argv), and what it is for.
ELSEWHERE = {
    "experiment": ("rl.experiments", "Run a control or a variant of R1-Zero again."),
    "answers": ("rl.answers", "Follow the answers to one puzzle through a training."),
    "many-tries": ("rl.many_tries", "Sample base and R1-Zero many times at the same puzzles."),
    "pipeline": ("pipeline.pipeline", "The four stages from R1-Zero to R1."),
    "distill-lab": ("distill.distill_lab", "Run an experiment of the distillation lesson again."),
    "real-model": ("distill.real.run", "A real language model learns to reason: SmolLM2-135M."),
    "facts": ("facts.stale", "The ledger of facts; with --stale, what to look at again."),
    "findings": ("facts.findings", "Compute every finding of the course again."),
    "mtp": ("model.mtp_lab", "Train a head for the token after next, and measure what it brings."),
    "moe-race": ("moe.comparison", "Train the small models of lesson 2 again, with several seeds."),
    "ask": ("local.ask", "Ask any model here, in words or with a puzzle, and watch it think."),
    "grade": ("classroom.grade", "Grade a folder of submissions."),
    "teach": ("classroom.teaching", "Scripts by the minute, answer key, handout and slides."),
    "colab": ("show.colab", "The notebooks with a first cell for Google Colab."),
    "class": ("classroom.class_desk", "A class put together; or, with --form, its questions."),
    "progress": ("classroom.checks.progress_cli", "What you have done and what is next."),
}

# What the site's buttons lead to, where an address is given: option -> what it is.
SERVICES = {
    "repository_url": "the course's repository, which the other three need",
    "jupyterhub_url": "a JupyterHub to open notebooks in",
    "binderhub_url": "a BinderHub to open notebooks in",
    "colab_url": "Google Colab, or one like it, to open notebooks in",
}


def preflight(args: argparse.Namespace) -> None:
    """What this machine can run and how long it will take, measured."""
    from course_lib.local import preflight

    print(preflight.report(preflight.look(), preflight.probe()))


def pretrain(args: argparse.Namespace) -> None:
    """Make a base again, from random weights: the mini-V3, or a student's."""
    from course_lib.local import preflight
    from course_lib.model import models, pretrain

    preflight.require_memory()
    config = pretrain.PretrainConfig(seed=args.seed, **_given(args, "steps"))
    architecture = None
    if args.family != "mini-v3":
        architecture = models.student_config(models.build_tokenizer(), args.family)
    run = pretrain.run(args.out, config, architecture)
    _follow(run, config.steps, ("loss", "imbalance"))
    model, tokenizer = models.load(args.out / "checkpoint")
    models.save(model, tokenizer, args.out / "model")
    print(f"The base is in {args.out / 'model'}.")


def zero(args: argparse.Namespace) -> None:
    """R1-Zero: GRPO on the base, rewarded for right answers only.

    By `torchrun --nproc-per-node N -m course_lib zero --out DIR` N processes share the same run.
    """
    from course_lib.local import preflight
    from course_lib.model import team
    from course_lib.rl import zero

    preflight.require_memory()
    config = zero.ZeroConfig(seed=args.seed, **_given(args, "steps"))
    shown = ("reward", "accuracy", "thinking_tokens", "attempts")
    run = zero.run(args.out, config, base=args.base)
    if not team.join().lead:  # the first process shows the run
        collections.deque(run, maxlen=0)
        return
    print(json.dumps(_follow(run, config.steps, shown)))


def distill(args: argparse.Namespace) -> None:
    """Train a dense student on a teacher's correct traces."""
    from course_lib.distill import distill, trace_sft
    from course_lib.local import preflight

    preflight.require_memory()
    config = trace_sft.DistillConfig(seed=args.seed, **_given(args, "steps"))
    run = distill.run(args.teacher, args.out, config, base=args.base)
    last = _follow(run, config.steps, ("loss", "accuracy"))
    print(json.dumps(last))


def evaluate(args: argparse.Namespace) -> None:
    """Accuracy and habits on held-out puzzles, as one JSON object."""
    from course_lib.model import models
    from course_lib.rl import measure, zero
    from course_lib.runtime import use_threads

    use_threads()
    chosen = _given(args, "temperature", "max_new_tokens")
    if args.think and chosen:
        raise CourseError("--think has a temperature and tokens of its own; leave both out.")
    model, tokenizer = models.load(args.model)
    if args.think:
        found = measure.step_accuracy(model, tokenizer, n=args.puzzles, seed=args.seed)
    else:
        found = zero.evaluate(model, tokenizer, n=args.puzzles, seed=args.seed, **chosen)
    print(json.dumps(found | {"puzzles": args.puzzles}))


def export_gguf(args: argparse.Namespace) -> None:
    """Write a dense model as a GGUF file, with a Modelfile for Ollama; or an adapter alone."""
    from course_lib.local import export

    if args.adapter:
        print(f"The adapter is in {export.export_adapter(args.model, args.out)}.")
        return
    modelfile = export.export_gguf(args.model, args.out, args.type)
    made = shlex.quote(str(modelfile))
    print(f"The model is in {args.out}. For Ollama: ollama create NAME -f {made}")


def site(args: argparse.Namespace) -> None:
    """Write the course as pages and as a book (EPUB; PDF by Chromium), to read without running."""
    from course_lib.widgets.site import build

    launch = _given(args, *SERVICES)
    if launch and not args.repository_url:  # the book's theme fails without it, after minutes
        raise CourseError("--repository-url is missing; the buttons to other services need it.")
    pages = build.build(args.out, launch=launch)
    print(f"{len(pages)} pages; begin with {args.out / 'index.html'}")
    print("As a book:", ", ".join(map(str, build.book(args.out))))


def _given(args: argparse.Namespace, *names: str) -> dict:
    """The options that were given, so that defaults stand in one place."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _follow(run: Iterator[dict], steps: int, shown: tuple[str, ...]) -> dict:
    """Run to the end with a progress bar; Ctrl-C keeps the last checkpoint."""
    from tqdm import tqdm

    first = next(run, None)  # what is wrong shows here, before there is a bar
    if first is None:
        raise CourseError("This run is finished; give another --out, or delete the folder.")
    known: dict[str, float] = {}
    with tqdm(total=steps, unit="step", file=sys.stderr) as bar:
        for line in itertools.chain([first], run):
            known |= {k: round(line[k], 3) for k in shown if k in line}
            bar.n = line["step"]
            bar.set_postfix(known)
    return line


def _address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise argparse.ArgumentTypeError(f"an address begins with https://, unlike {text!r:.80}")
    return text


def _add(
    commands: argparse._SubParsersAction, act: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    name = act.__name__.replace("_", "-")
    parser = commands.add_parser(name, help=act.__doc__, description=act.__doc__)
    parser.set_defaults(act=act)
    return parser


def _training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=new_folder, required=True, help="folder for checkpoint and log"
    )
    parser.add_argument("--seed", type=WHOLE, default=0, help="equal seeds give equal runs (0)")
    parser.add_argument("--steps", type=COUNT, help="stop after this many steps")


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    main = argparse.ArgumentParser(prog="python -m course_lib", description=__doc__)
    commands = main.add_subparsers(required=True, metavar="COMMAND")
    for name, (_, purpose) in ELSEWHERE.items():
        commands.add_parser(name, help=purpose, add_help=False)
    _add(commands, preflight)
    command = _add(commands, pretrain)
    _training_options(command)
    command.add_argument("--family", choices=("mini-v3", "qwen2", "llama"), default="mini-v3")
    command = _add(commands, zero)
    _training_options(command)
    command.add_argument("--base", type=Path, help="model folder to start from (the shipped base)")
    command = _add(commands, distill)
    command.add_argument("--teacher", type=Path, required=True, help="model folder of the teacher")
    command.add_argument("--base", type=Path, help="the student's base (the shipped one)")
    _training_options(command)
    command = _add(commands, evaluate)
    command.add_argument("--model", type=Path, required=True, help="model folder")
    command.add_argument("--puzzles", type=COUNT, default=512, help="how many (512)")
    command.add_argument("--temperature", type=float, help="0 is greedy (1.0)")
    command.add_argument(
        "--tokens", type=COUNT, dest="max_new_tokens", metavar="N", help="room for an answer (96)"
    )
    command.add_argument("--seed", type=WHOLE, default=0)
    command.add_argument(
        "--think", action="store_true", help="begin every answer with <think>; count right steps"
    )
    command = _add(commands, export_gguf)
    command.add_argument("--model", type=Path, required=True, help="model folder, Qwen2 or Llama")
    command.add_argument("--out", type=Path, required=True, help="the GGUF file to write")
    either = command.add_mutually_exclusive_group()  # an adapter alone is always f32
    either.add_argument("--type", default="f32", help="f32 (default), f16 or q8_0")
    either.add_argument("--adapter", action="store_true", help="the adapter alone, not merged")
    command = _add(commands, site)
    command.add_argument("--out", type=new_folder, required=True, help="a new or empty folder")
    for name, what in SERVICES.items():
        option = f"--{name.replace('_', '-')}"
        command.add_argument(option, type=_address, help=f"address of {what}")
    return main


def _act(argv: list[str]) -> int:
    """Do what the command line says; commands with a grammar of their own get the rest of it."""
    if argv and argv[0] in ELSEWHERE:
        module, _ = ELSEWHERE[argv[0]]
        return importlib.import_module(f"course_lib.{module}").main(argv[1:]) or 0
    args = parser().parse_args(argv)
    args.act(args)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run one command; a problem is one sentence on stderr and an exit status that is not 0."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows console may know few signs
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _act(sys.argv[1:] if argv is None else argv)
        print(end="", flush=True)  # also where there is no stdout at all
        return status
    except CourseError as error:
        print(printable(str(error)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        said = "Stopped. Where a run keeps checkpoints, the same command goes on from the last."
        print(f"\n{said}", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _FULL.search(str(error)):
            raise
        print("Memory ran out; close other programs and give the command again.", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who read this has read enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        full = f"not read or written whole; is there room on the disk? ({error!s:.160})"
        print(f"{error.filename or 'A file'}: {error.strerror or full}.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
