"""`python -m course_lib ask`: a question in words, or a puzzle, to any model."""

import argparse

from course_lib.errors import COUNT, WHOLE, CourseError, printable
from course_lib.local import engines
from course_lib.local.engines.base import CONTEXT, Engine
from course_lib.local.engines.with_ollama import ADDRESS, OllamaEngine, listed
from course_lib.task import puzzles, traces

_LOOK = 50  # pieces from one look for a circle to the next
_SHORT, _LONG, _LONGER = 12, 800, 1900  # characters: rows of zeros or blanks may go on for longer
_CIRCLE = "\nStopped: it goes round in a circle. Ask with another --seed, or --temperature above 0."
_WORDS = 1000  # tokens; the course's own models know far fewer, a language needs more


def main(argv: list[str]) -> int:
    """Ask, print the answer as it comes, who answered and, of a puzzle, whether it is right."""
    args = _parser().parse_args(argv)
    puzzle = _puzzle(args.question)
    asked = puzzles.prompt(puzzle) if puzzle else args.question
    if not asked.strip():
        raise CourseError("The question is empty; write one in quotes.")
    engine = _open(args)
    print(printable(f"{engine} answers."), flush=True)
    if not puzzle and 0 < engine.vocabulary < _WORDS:
        print('It has read only puzzles such as "7 ? 3 ? 5 = 9", and knows no words.', flush=True)
    messages = [{"role": "user", "content": asked}]
    options = {"max_tokens": args.max_tokens, "seed": args.seed}
    try:
        with engine.stream(messages, temperature=args.temperature, **options) as stream:
            print(traces.OPEN * stream.prefilled, end="")
            for number, piece in enumerate(stream):
                print(printable(piece), end="", flush=True)
                if number % _LOOK == 0 and _is_circle(stream.text):
                    print(_CIRCLE, end="")
                    break
    finally:
        engine.close()
    print(f"\n{printable(stream.summary.text()) if stream.summary else ''}")
    if puzzle:
        print(verdict(puzzle, stream.text))
    return 0


def _is_circle(text: str) -> bool:
    """Whether a text ends in a stretch said again and again: `_LONG` characters of it in all."""
    found = traces.find_loop(text)
    if found is None:
        return False
    return len(found.unit) * found.times >= (_LONG if len(found.unit) >= _SHORT else _LONGER)


def _open(args: argparse.Namespace) -> Engine:
    """The model that is named, or the best that is here."""
    address = ADDRESS if args.ollama is None else args.ollama
    if args.model:
        more = {"context": args.context, "send_to": args.send_to}
        engine = engines.named(args.model, ollama=address, **more)
        if (args.ollama or args.send_to) and engine.kind != OllamaEngine.kind:
            engine.close()
            raise CourseError(f"{engine} is not Ollama's; leave out --ollama and --send-to.")
        return engine
    if args.context or args.send_to:
        raise CourseError("--context and --send-to are for a model that you name with --model.")
    if args.ollama is not None:
        listed(args.ollama)  # one that does not answer is told, and nobody else answers for it
    return engines.best(ollama=address)


def _puzzle(question: str) -> puzzles.Puzzle | None:
    """The puzzle that a question is, or None where it is words."""
    try:
        return puzzles.parse(question)
    except ValueError as error:
        if set("?=") <= set(puzzles.plain(question)) and not any(map(str.isalpha, question)):
            raise CourseError(str(error)) from error  # meant as a puzzle, and none
        return None


def verdict(puzzle: puzzles.Puzzle, completion: str) -> str:
    """What the verifier says of a completion, in a sentence."""
    signs = puzzles.answer(completion)
    if not puzzles.solutions(puzzle):
        return f"No choice of + and - makes {puzzle}, so no answer can be right."
    if signs is None or len(signs) != len(puzzle.numbers) - 1:
        return "That is not exactly one answer, so it is worth 0."
    total = puzzles.total(puzzle.numbers, signs)
    verdict = "right" if total == puzzle.target else "wrong"
    return f"{puzzles.written(puzzle, signs)} = {total}: {verdict}."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib ask",
        description="Ask a model on this machine, in words or with a puzzle. Ctrl-C stops it.",
    )
    parser.add_argument(
        "--model",
        default="",
        help="a model folder, a GGUF file, a tag that Ollama has such as deepseek-r1:7b, or the "
        "URL of an OpenAI-compatible server, URL#NAME where it has several (the best that is here)",
    )
    parser.add_argument("--seed", type=WHOLE, help="equal seeds give equal answers")
    parser.add_argument("--temperature", type=float, default=0.6, help="0 is greedy (0.6)")
    parser.add_argument("--max-tokens", type=COUNT, help="end the answer here (the context's end)")
    parser.add_argument("--ollama", help=f"where Ollama listens ({ADDRESS})")
    parser.add_argument("--context", type=COUNT, help=f"tokens it may hold in mind ({CONTEXT:,})")
    parser.add_argument("--send-to", default="", metavar="HOST", help="where else it may live")
    parser.add_argument("question", help='in quotes: "Why is the sky blue?" or "7 ? 3 ? 5 = 9"')
    return parser
