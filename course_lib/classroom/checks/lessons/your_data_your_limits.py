"""Lesson 07: what leaves the machine, what a model may call, what it finds, what a trace proves."""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from functools import partial

import numpy as np

from course_lib.classroom.checks.exercise import Case, Exercise, Mistake, case, draw


def _leaves(host: str, *, kind: str = "right") -> bool:
    name = host if kind == "case" else host.lower()
    if kind == "substring":
        return "localhost" not in name and "127.0.0.1" not in name and name != "::1"
    if kind == "prefix":
        return not (name.startswith(("127.", "localhost")) or name == "::1")
    if kind == "private":
        private = name.startswith(("192.168.", "10.", "172.16."))
        return not private and _leaves(host)
    if kind == "only localhost":
        return name != "localhost"
    if kind == "no localhost":
        return name == "localhost" or _leaves(host)
    if kind == "one address":
        return name not in ("localhost", "127.0.0.1", "::1")
    if kind == "no six":
        return name == "::1" or _leaves(host)
    if kind == "names stay":
        return bool(re.fullmatch(r"[0-9.:a-f]+", name)) and _leaves(host)
    if name == "localhost":
        return kind == "turned round"
    try:
        local = ipaddress.ip_address(name).is_loopback
    except ValueError:
        if kind == "crash":
            raise
        local = False
    return local if kind == "turned round" else not local


def _fresh_host(rng: np.random.Generator) -> Case:
    middle = ".".join(map(str, rng.integers(0, 250, 3)))
    first = int(rng.choice([127, 127, 8, 126, 128, 192]))
    return case(
        "127.0.0.0 to 127.255.255.255 is this machine; the rest is not", f"{first}.{middle}"
    )


_CALL = re.compile(r"<tool>(\w+):(.*?)</tool>", re.DOTALL)


def _tool(
    text: str, allowed: list[str], *, kind: str = "right", longest: int = 100
) -> tuple[str, str] | None:
    calls = _CALL.findall(text)
    if kind == "whole text":
        calls = _CALL.findall(text) if _CALL.fullmatch(text.strip()) else []
    if kind == "greedy":
        calls = re.findall(r"<tool>(\w+):(.*)</tool>", text, re.DOTALL)
    if kind in ("first", "last") and calls:
        calls = [calls[0 if kind == "first" else -1]]
    if len(calls) != 1:
        return None
    name, argument = calls[0]
    argument = argument if kind == "blanks" else argument.strip()
    if kind == "lower":
        name = name.lower()
    if name not in allowed and kind != "anything":
        return None
    if kind == "prefix" and not any(one.startswith(name) for one in allowed):
        return None
    if kind == "empty refused" and not argument:
        return None
    limit = {"no limit": math.inf, "one less": longest - 1}.get(kind, longest)
    if len(argument) > limit:
        return (name, argument[:longest]) if kind == "cut" else None
    return (argument, name) if kind == "exchanged" else (name, argument)


def _fresh_call(rng: np.random.Generator) -> Case:
    name = str(rng.choice(["calculate", "search", "delete"]))
    call = f"<tool>{name}: {'x' * int(rng.choice([1, 5, 100, 101]))} </tool>"
    return case(
        "one call, allowed, with at most 100 characters", f"so {call} then", ["calculate", "search"]
    )


def _scores(query: str, documents: list[str], kind: str = "right") -> list[float]:
    split = str.split if kind == "case" else (lambda text: text.lower().split())
    counts = [Counter(split(text)) for text in documents]
    words = split(query) if kind == "query twice" else dict.fromkeys(split(query))

    def rarity(word: str) -> float:
        having = sum(word in count for count in counts)
        if kind == "word total":
            having = sum(count[word] for count in counts)
        if kind == "plain":
            return 1.0
        if kind == "common":
            return having / len(documents)
        return math.log(len(documents) / having) if having else 0.0

    def score(count: Counter) -> float:
        found = {word: min(count[word], 1) if kind == "once" else count[word] for word in words}
        total = sum(found[word] * rarity(word) for word in words)
        return total / max(sum(count.values()), 1) if kind == "length" else total

    return [score(count) for count in counts]


def _rank(query: str, documents: list[str], *, kind: str = "right") -> list[int]:
    scores = _scores(query, documents, kind)
    keep = [i for i, value in enumerate(scores) if value > 0 or kind == "all"]
    if kind == "worst first":
        return sorted(keep, key=lambda i: (scores[i], i))
    if kind == "late ties":
        return sorted(keep, key=lambda i: (-scores[i], -i))
    return sorted(keep, key=lambda i: (-scores[i], i))


_VOCABULARY = ("router", "expert", "bias", "token", "reward", "group", "the", "a")


def _fresh_documents(rng: np.random.Generator) -> Case:
    def make() -> tuple[str, list[str]]:
        texts = [" ".join(rng.choice(_VOCABULARY, rng.integers(3, 9))) for _ in range(5)]
        return " ".join(rng.choice(_VOCABULARY, 3, replace=False)), texts

    def clear(made: tuple[str, list[str]]) -> bool:
        found = np.sort([score for score in _scores(*made) if score > 0])
        return len(found) > 1 and bool((np.diff(found) > 1e-6).all())

    why = "count in the document x log(documents / documents with the word), summed"
    return case(why, *draw(make, clear))


def _first_wrong(numbers: tuple[int, ...], thinking: str, *, kind: str = "right") -> int | None:
    total, index = numbers[0], 0
    wrong = []
    for word in thinking.split():
        if word in ("yes", "no"):
            if kind != "no restart":
                total = numbers[0]
            index = 0 if kind == "per attempt" else index
            index += 1 if kind == "verdicts counted" else 0
            continue
        sign = -1 if word[0] == "-" else 1
        digit = int(word[1 : word.index("=")])
        written = int(word[word.index("=") + 1 :])
        if total + sign * digit != written:
            wrong.append(index)
        total, index = written, index + 1
    if not wrong:
        return {"minus one": -1, "length": index}.get(kind)
    if kind == "last":
        return wrong[-1]
    return wrong[0] + (1 if kind == "from one" else 0)


def _fresh_working(rng: np.random.Generator) -> Case:
    numbers = tuple(rng.integers(1, 10, 4).tolist())
    words: list[str] = []
    for _ in range(3):
        total = numbers[0]
        for digit in numbers[1:]:
            sign = str(rng.choice(["+", "-"]))
            total += digit if sign == "+" else -digit
            total += int(rng.random() < 0.15)
            words.append(f"{sign}{digit}={total}")
        words.append("no")
    return case("each step goes on from the total written before it", numbers, " ".join(words))


EXERCISES = (
    Exercise(
        name="audit.by_hand",
        symbol="audit_by_hand",
        title="Audit a trace, by hand",
        what_for="A right answer with wrong working: legible is not faithful.",
        difficulty=1,
        minutes=4,
        needs="the trace in the cell above the stub, and addition",
        hints=(
            "Check every step from the total written just before it.",
            "The steps are numbered from 0: +3=10 is step 0 and it is right.",
            "10 - 5 is 5, not 4; and do the signs + - + reach 7 if you add them yourself?",
        ),
        reference=lambda: (1, True),
        cases=(
            case("the number of the first wrong step, and whether the answer is right after all"),
        ),
        mistakes=(
            Mistake("Steps are numbered from 0.", lambda: (2, True)),
            Mistake(
                "Add the answer's signs yourself: working and answer can part.", lambda: (1, False)
            ),
            Mistake("Step 0 is right: 7 + 3 is 10.", lambda: (0, True)),
            Mistake(
                "There is a wrong step: check each one from the total before it.",
                lambda: (None, True),
            ),
            Mistake(
                "Steps are numbered from 0; and add the answer's signs yourself.",
                lambda: (2, False),
            ),
        ),
    ),
    Exercise(
        name="data.leaves_machine",
        symbol="leaves_machine",
        title="Does it leave the machine?",
        what_for="The lesson's list of connections is only as good as this function.",
        difficulty=2,
        minutes=8,
        needs="the ipaddress module",
        hints=(
            "localhost stays, in any capitals; every other *name* leaves.",
            "All of 127.0.0.0/8 is this machine, not only 127.0.0.1; so is ::1.",
            "ipaddress.ip_address(host).is_loopback, and ValueError means that it is a name.",
        ),
        reference=_leaves,
        cases=(
            case("the usual loopback address", "127.0.0.1", expected=False),
            case(
                "every address that begins with 127 is this machine", "127.8.9.10", expected=False
            ),
            case("the same in IPv6", "::1", expected=False),
            case("by name", "localhost", expected=False),
            case("by name, in any capitals", "LocalHost", expected=False),
            case("a name that only looks local", "localhost.evil.com", expected=True),
            case("a name that begins like an address", "127.0.0.1.nip.io", expected=True),
            case("the network at home is not this machine", "192.168.1.5", expected=True),
            case("a public address", "8.8.8.8", expected=True),
            case("a public address in IPv6", "2001:db8::1", expected=True),
            case("any other name", "api.deepseek.com", expected=True),
        ),
        fresh=_fresh_host,
        mistakes=(
            Mistake(
                "A name that merely contains localhost or 127.0.0.1 can be anybody's.",
                partial(_leaves, kind="substring"),
            ),
            Mistake(
                "A name that begins like a local one can be anybody's.",
                partial(_leaves, kind="prefix"),
            ),
            Mistake(
                "The network at home is not this machine: it has left.",
                partial(_leaves, kind="private"),
            ),
            Mistake(
                "Addresses can be local too, not only the name.",
                partial(_leaves, kind="only localhost"),
            ),
            Mistake("The name localhost is this machine.", partial(_leaves, kind="no localhost")),
            Mistake("Capitals do not matter in names.", partial(_leaves, kind="case")),
            Mistake("All of 127.0.0.0/8 is this machine.", partial(_leaves, kind="one address")),
            Mistake("::1 is this machine in IPv6.", partial(_leaves, kind="no six")),
            Mistake("A name that is not localhost leaves.", partial(_leaves, kind="names stay")),
            Mistake(
                "Names are no addresses: ip_address raises ValueError for them.",
                partial(_leaves, kind="crash"),
            ),
            Mistake(
                "Turned round: True means that it leaves.", partial(_leaves, kind="turned round")
            ),
        ),
    ),
    Exercise(
        name="tools.parse_call",
        symbol="parse_call",
        title="Which tool may it call?",
        what_for="What the model writes is data from a stranger; the orchestrator decides.",
        difficulty=3,
        minutes=12,
        needs="the re module",
        hints=(
            "Find every `<tool>name: argument</tool>`; two calls at once are refused.",
            "The pattern must not be greedy: `.*?`; let the dot match line ends.",
            "calls = re.findall(r'<tool>(\\w+):(.*?)</tool>', text, re.DOTALL); exactly one, "
            "allowed, at most 100 characters without blanks around it.",
        ),
        reference=_tool,
        cases=(
            case(
                "one call in the middle of other text",
                "so <tool>calculate: 7 + 3 </tool> then",
                ["calculate", "search"],
                expected=("calculate", "7 + 3"),
            ),
            case("no call", "7 + 3 is 10", ["calculate"], expected=None),
            case(
                "a tool that is not allowed",
                "<tool>delete: all</tool>",
                ["calculate"],
                expected=None,
            ),
            case(
                "two calls at once",
                "<tool>search: a</tool><tool>search: b</tool>",
                ["search"],
                expected=None,
            ),
            case(
                "100 characters are allowed",
                f"<tool>search:{'x' * 100}</tool>",
                ["search"],
                expected=("search", "x" * 100),
            ),
            case(
                "101 characters are refused, not cut",
                f"<tool>search: {'x' * 101}</tool>",
                ["search"],
                expected=None,
            ),
            case("a call that was cut off", "<tool>search: a", ["search"], expected=None),
            case(
                "an argument over two lines",
                "<tool>search: a\nb</tool>",
                ["search"],
                expected=("search", "a\nb"),
            ),
            case(
                "an empty argument is the tool's business",
                "<tool>search:</tool>",
                ["search"],
                expected=("search", ""),
            ),
            case("names are exact", "<tool>Search: a</tool>", ["search"], expected=None),
        ),
        fresh=_fresh_call,
        mistakes=(
            Mistake(
                "Any tool is let through: look into `allowed`.", partial(_tool, kind="anything")
            ),
            Mistake(
                "Two calls at once must be refused, not the first taken.",
                partial(_tool, kind="first"),
            ),
            Mistake(
                "Two calls at once must be refused, not the last taken.",
                partial(_tool, kind="last"),
            ),
            Mistake("A greedy pattern swallows two calls as one.", partial(_tool, kind="greedy")),
            Mistake(
                "The call may stand in the middle of other text.", partial(_tool, kind="whole text")
            ),
            Mistake("Blanks around the argument must go.", partial(_tool, kind="blanks")),
            Mistake(
                "An argument may have any length in your code; 100 is the most.",
                partial(_tool, kind="no limit"),
            ),
            Mistake("Exactly 100 characters are allowed.", partial(_tool, kind="one less")),
            Mistake(
                "A long argument is refused, not cut: half an argument is another one.",
                partial(_tool, kind="cut"),
            ),
            Mistake("Name first, argument second.", partial(_tool, kind="exchanged")),
            Mistake("Names are exact, capitals too.", partial(_tool, kind="lower")),
            Mistake(
                "An empty argument is the tool's business, not the parser's.",
                partial(_tool, kind="empty refused"),
            ),
        ),
    ),
    Exercise(
        name="retrieval.rank",
        symbol="rank_documents",
        title="Find the right document",
        what_for="Retrieval is how a model answers past its cutoff; this is its plainest form.",
        difficulty=3,
        minutes=15,
        needs="collections.Counter, math.log",
        hints=(
            "A word that every document has tells nothing: log(N / documents with it) is 0.",
            "A document's score: for each different word of the query, its count in the document "
            "times its rarity.",
            "Sort by (-score, index) and leave out what has no score; lower() both sides.",
        ),
        reference=_rank,
        cases=(
            case(
                "the word is in one document",
                "router",
                ["the router", "the reward", "the end"],
                expected=[0],
            ),
            case("twice is more than once", "bias", ["bias", "bias bias", "none"], expected=[1, 0]),
            case(
                "`the` is everywhere and counts nothing",
                "the group",
                ["the the the", "the group", "the"],
                expected=[1],
            ),
            case(
                "a rare word beats a common one",
                "token expert",
                ["token token", "expert", "token", "token x", "y"],
                expected=[1, 0, 2, 3],
            ),
            case("capitals do not matter", "Router", ["a", "ROUTER b", "c"], expected=[1]),
            case(
                "of a tie the earlier document comes first", "a b", ["a", "b", "c"], expected=[0, 1]
            ),
            case(
                "a word written twice in the query counts once",
                "a a b",
                ["a", "b b", "c"],
                expected=[1, 0],
            ),
            case(
                "rarity counts documents, not occurrences",
                "x y",
                ["x x x x", "y y y", "y", "z"],
                expected=[0, 1, 2],
            ),
            case(
                "a long document is not worth less",
                "q r",
                ["q q a a a a a a", "q", "r", "z"],
                expected=[0, 2, 1],
            ),
            case("a word that nobody has", "zebra", ["a", "b"], expected=[]),
        ),
        fresh=_fresh_documents,
        mistakes=(
            Mistake("Capitals do not matter: lower() both sides.", partial(_rank, kind="case")),
            Mistake(
                "Each different word of the query counts once.", partial(_rank, kind="query twice")
            ),
            Mistake(
                "All words weigh the same; rare ones must weigh more.", partial(_rank, kind="plain")
            ),
            Mistake(
                "Common words weigh more than rare ones: turn the fraction round and take "
                "its logarithm.",
                partial(_rank, kind="common"),
            ),
            Mistake(
                "Rarity counts documents that have the word, not its occurrences.",
                partial(_rank, kind="word total"),
            ),
            Mistake(
                "A word that stands twice in a document counts twice.", partial(_rank, kind="once")
            ),
            Mistake(
                "The score is not divided by the document's length here.",
                partial(_rank, kind="length"),
            ),
            Mistake("Documents without a score are left out.", partial(_rank, kind="all")),
            Mistake("The best document comes first.", partial(_rank, kind="worst first")),
            Mistake("Of a tie the earlier document comes first.", partial(_rank, kind="late ties")),
        ),
    ),
    Exercise(
        name="audit.first_wrong_step",
        symbol="first_wrong_step",
        title="The step that broke it",
        what_for="Debugging from a trace, as the page promises, needs exactly this.",
        difficulty=3,
        minutes=12,
        needs="strings; a puzzle's numbers, of which the first is where every attempt starts",
        hints=(
            "Every attempt starts from numbers[0]; a verdict (yes or no) ends it.",
            "Judge a step from the total that the trace itself wrote before, so that one slip is "
            "one wrong step.",
            "Split a step at =; compare total + (sign and digit) with what is written; then go on "
            "from what is written.",
        ),
        reference=_first_wrong,
        cases=(
            case("10 - 5 is not 4", (7, 3, 5, 2), "+3=10 -5=4 +2=6 no", expected=1),
            case("all of it is right", (7, 3, 5, 2), "+3=10 -5=5 +2=7 yes", expected=None),
            case(
                "a verdict starts over from 7; verdicts are not numbered",
                (7, 3, 5, 2),
                "+3=10 -5=5 +2=7 no -3=4 -5=0 +2=2 no",
                expected=4,
            ),
            case(
                "the slip is step 0; what follows goes on from what is written, and again wrong",
                (2, 3, 4),
                "+3=6 +4=10 no +3=5 -4=2 yes",
                expected=0,
            ),
            case(
                "after a slip the next steps are right by what is written",
                (9, 1, 1, 1),
                "-1=8 -1=7 -1=5 no -1=8 -1=7 -1=6 yes",
                expected=2,
            ),
            case(
                "two slips that cancel are two wrong steps, the first is 0",
                (5, 5, 5),
                "+5=11 -5=5 yes",
                expected=0,
            ),
            case("below zero", (1, 2, 3), "-2=-1 -3=-4 no", expected=None),
            case("no steps at all", (1, 2), "", expected=None),
            case(
                "the first attempt's slip is carried on in it, the second is clean",
                (4, 4, 1),
                "+4=8 +1=9 no -4=0 +1=1 no -4=1 +1=2 no",
                expected=4,
            ),
        ),
        fresh=_fresh_working,
        mistakes=(
            Mistake(
                "Every attempt starts over from numbers[0].",
                partial(_first_wrong, kind="no restart"),
            ),
            Mistake(
                "Steps are numbered through all attempts, not in each anew.",
                partial(_first_wrong, kind="per attempt"),
            ),
            Mistake(
                "Verdicts are no steps and are not numbered.",
                partial(_first_wrong, kind="verdicts counted"),
            ),
            Mistake(
                "The first wrong step is asked for, not the last.",
                partial(_first_wrong, kind="last"),
            ),
            Mistake("Steps are numbered from 0.", partial(_first_wrong, kind="from one")),
            Mistake(
                "Where nothing is wrong the answer is None, not -1.",
                partial(_first_wrong, kind="minus one"),
            ),
            Mistake(
                "Where nothing is wrong the answer is None, not the number of steps.",
                partial(_first_wrong, kind="length"),
            ),
        ),
    ),
)
