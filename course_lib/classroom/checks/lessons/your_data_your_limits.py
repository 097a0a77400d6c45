"""Lesson 07: what leaves the machine, what a model may call, what it finds, what a trace proves."""

import ipaddress
import math
import re
from collections import Counter
from itertools import pairwise
from typing import Any

from course_lib.classroom.checks.cards import exercise, value
from course_lib.classroom.checks.draws import assume, st
from course_lib.classroom.checks.exercise import Case, Draw, case


def _leaves(host: str, *, kind: str = "right") -> bool:
    name = host if kind == "case" else host.lower()
    try:
        local = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        if kind == "crash":
            raise
        local = False
    wrong = {
        "substring": "localhost" in name or "127.0.0.1" in name or name == "::1",
        "prefix": name.startswith(("127.", "localhost")) or name == "::1",
        "private": local or name.startswith(("192.168.", "10.", "172.16.")),
        "only localhost": name == "localhost",
        "no localhost": local and name != "localhost",
        "one address": name in ("localhost", "127.0.0.1", "::1"),
        "no six": local and ":" not in name,
        "names stay": local or not re.fullmatch(r"[0-9.:a-f]+", name),
        "turned round": not local,
    }
    return not wrong.get(kind, local)


_CALL = re.compile(r"<tool>(\w+):(.*?)</tool>", re.DOTALL)


def _tool(text: str, allowed: list[str], *, kind: str = "right") -> tuple[str, str] | None:
    found = _CALL.findall(text)
    calls = {
        "whole text": found if _CALL.fullmatch(text.strip()) else [],
        "greedy": re.findall(r"<tool>(\w+):(.*)</tool>", text, re.DOTALL),
        "allowed first": [one for one in found if one[0] in allowed],
        "twice is once": list(dict.fromkeys(found)),
        "first": found[:1],
        "last": found[-1:],
    }.get(kind, found)
    if len(calls) != 1:
        return None
    name, raw = calls[0]
    argument = raw if kind == "blanks" else raw.strip()
    if kind == "lower":
        name = name.lower()
    if name not in allowed and kind != "anything":
        return None
    if kind == "empty refused" and not argument:
        return None
    limit = {"no limit": math.inf, "one less": 99}.get(kind, 100)
    measured: Any = {"raw length": raw, "bytes": argument.encode()}.get(kind, argument)
    if len(measured) > limit:
        return (name, argument[:100]) if kind == "cut" else None
    return (argument, name) if kind == "exchanged" else (name, argument)


def _scores(query: str, documents: list[str], kind: str = "right") -> list[float]:
    split = str.split if kind == "case" else (lambda text: text.lower().split())
    counts = [Counter(split(text)) for text in documents]
    words = split(query) if kind == "query twice" else dict.fromkeys(split(query))

    def rarity(word: str) -> float:
        total = kind == "word total"
        having = sum(count[word] if total else word in count for count in counts)
        wrong = {"plain": 1.0, "common": having / len(documents)}
        return wrong.get(kind, math.log(len(documents) / having) if having else 0.0)

    def score(count: Counter) -> float:
        found = {word: min(count[word], 1) if kind == "once" else count[word] for word in words}
        total = sum(found[word] * rarity(word) for word in words)
        return total / max(sum(count.values()), 1) if kind == "length" else total

    return [score(count) for count in counts]


def _rank(query: str, documents: list[str], *, kind: str = "right") -> list[int]:
    scores = _scores(query, documents, kind)
    keep = [i for i, value in enumerate(scores) if value > 0 or kind == "all"]
    order, ties = (1 if kind == "worst first" else -1), (-1 if kind == "late ties" else 1)
    return sorted(keep, key=lambda i: (order * scores[i], ties * i))


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


_HOSTS = (
    "localhost", "LOCALHOST", "mylocalhost", "localhost.com", "router", "0.0.0.0", "::", "::1",
    "0:0:0:0:0:0:0:1", "::2", "0000::0001", "127.0.0.1.com", "my127.0.0.1", "128.0.0.1", "10.0.0.1",
    "127.255.255.255", "172.16.0.1", "192.168.0.1", "169.254.1.1", "fe80::1", "fd00::1", "1.1.1.1",
    "local", "host", "xn--localhost", "localhost1", "126.255.255.255", "2001:db8::1", "a.local",
    "a.localhost", "localhost.localdomain", "ip6-localhost", "localhost6", "0::1",
    "::01", "0:0::1", "1::", "0:1::",
)  # fmt: skip


def _a_host(draw: Draw) -> Case:
    numbers = st.ip_addresses(v=4, network="127.0.0.0/8") | st.ip_addresses(v=4)
    host = draw(st.sampled_from(_HOSTS) | numbers.map(str) | st.ip_addresses(v=6).map(str))
    assume("." not in host or ":" not in host)  # IPv4 inside of IPv6: Python's versions differ
    return case("127.0.0.0 to 127.255.255.255, ::1 and localhost are this machine", host)


_ARGUMENTS = st.sampled_from([
    "1", " 7 + 3 ", "a: b", "1 < 2", "a > b", "</", "", "  ", "a\nb", "\n", "x" * 99, "x" * 100,
    "x" * 101, f"  {'x' * 100} ", f"{'x' * 50} {'y' * 49}", "</b>", "tool", "A", "\ta\r\n",
    '"a b"', "1 &lt; 2",
])  # fmt: skip
_NAMES = st.sampled_from(
    ["search", "search", "calculate", "look_up2", "delete", "calc", "Search", "calculate2"]
)


_SPOILT = (
    "<TOOL>{}:{}</TOOL>", "<tool>{} {}</tool>", "<tool>{}:{}", "{}:{}</tool>",
    "<tool> {}:{}</tool>", "<tools>{}:{}</tools>", "<tool>my-{}:{}</tool>",
)  # fmt: skip


def _a_request(draw: Draw) -> Case:
    call = st.builds("<tool>{}:{}</tool>".format, _NAMES, _ARGUMENTS)
    spoilt = st.builds(draw(st.sampled_from(_SPOILT)).format, _NAMES, _ARGUMENTS)
    one = draw(call)
    others = draw(st.sampled_from([(), (), (), (one,), (draw(call),), (draw(spoilt),)]))
    text = draw(st.sampled_from(["", "so ", "a: b\n"])) + " and ".join((one, *others))
    if draw(st.integers(0, 5)) == 0:
        text = draw(spoilt)
    assume(text.count("<tool>") == text.count("</tool>") or text.count("<tool>") < 2)
    allowed = draw(
        st.sampled_from([["calculate", "search", "look_up2"], ["search"], ["Search"], []])
    )
    return case("one call, allowed, with at most 100 characters", text, allowed)


_WORDS = ("x", "xx", "cat", "cat,", "Cat", "router", "ROUTER", "the", "a", "(a)", "x-y")


def _some_documents(draw: Draw) -> Case:
    few = st.lists(st.sampled_from(_WORDS), min_size=2, max_size=3)  # they meet more often
    words = st.lists(st.sampled_from(draw(st.just(_WORDS) | few)), max_size=5)
    gap = draw(st.sampled_from([" ", " ", "\n", "  "]))
    documents = [gap.join(one) for one in draw(st.lists(words, min_size=1, max_size=5))]
    query = draw(st.sampled_from([" ", " ", "\n"])).join(draw(words)[:3])
    scores = sorted(_scores(query, documents))
    # a tie is one word against one word; sums that rounding could tip are left out
    assume(all(b == a or b - a > 1e-6 for a, b in pairwise(scores)))
    why = "count in the document x log(documents / documents with it), summed"
    return case(why, query, documents)


def _some_working(draw: Draw) -> Case:
    numbers = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    words: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        total = numbers[0]
        for digit in numbers[1:]:
            sign = draw(st.sampled_from("+-"))
            total += digit if sign == "+" else -digit
            total += draw(st.sampled_from([0, 0, 0, 0, 0, 1, -10]))
            words.append(f"{sign}{digit}={total}")
        words += draw(st.sampled_from([["no"], ["no"], ["yes"], ["yes"]]))
    if words and draw(st.booleans()):
        words = words[:-1]  # the last attempt has no verdict
    text = " ".join(words)
    return case("each step goes on from the total written before it", numbers, text)


def _answer_calls(
    replies: list[str], documents: list[str], allowed: list[str], *, kind: str = ""
) -> list[Any]:
    results: list[Any] = []
    for reply in replies:
        call = _tool(reply, allowed)
        if call is None:
            results += [] if kind == "left out" else ["" if kind == "empty" else None]
            continue
        found = _rank(call[1], documents) if call[0] == "search" else []
        if kind == "crash" and call[0] == "search":
            found[0]  # an IndexError where nothing was found
        best = found[-1 if kind == "worst" else 0] if found else None
        results.append("" if best is None else best if kind == "number" else documents[best])
    return results


def _some_replies(draw: Draw) -> Case:
    (_, documents), allowed = _some_documents(draw).args, draw(st.sampled_from(_ALLOWED))
    asked = st.builds("<tool>search: {}</tool>".format, st.sampled_from([*_WORDS, "the cat", ""]))
    other = st.sampled_from(["<tool>calculate: 1</tool>", "no call", "<tool>search: a", ""])
    replies = draw(st.lists(asked | asked | other, max_size=4))
    for reply in replies:
        scores = sorted(_scores(reply[14:-7], documents))
        assume(all(b == a or b - a > 1e-6 for a, b in pairwise(scores)))
    return case("one result for every reply", replies, documents[:3], allowed)


_ALLOWED = [["search"], ["search"], ["search", "calculate"], ["calculate"]]


EXERCISES = (
    value("audit.by_hand"),
    exercise("data.leaves_machine", _leaves, _a_host),
    exercise("tools.parse_call", _tool, _a_request),
    exercise("retrieval.rank", _rank, _some_documents),
    exercise("audit.first_wrong_step", _first_wrong, _some_working),
    exercise("tools.answer_calls", _answer_calls, _some_replies),
)
