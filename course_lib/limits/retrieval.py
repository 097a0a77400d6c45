"""Answers past the knowledge cutoff: find the passages that matter, and give them to a reader.

The corpus is a folder of Markdown files; a passage is a paragraph under its file's title. The
passages are ranked by BM25 (the `bm25s` library): a passage scores for each word of the question
that it holds, more for rare words, less for its length. A reader gets the question and the best
passages and answers. Any engine can be the reader (`ask_engine`); the one that is always there is
a rule that reads out the sentence with the most telling words (`read_out`), and no model at all.
"""

import os
import re
import tomllib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import bm25s

from course_lib.errors import CourseError
from course_lib.limits.tools import Call, Tool, as_data, whole_reply
from course_lib.local.engines.base import Engine
from course_lib.runtime import ASSETS
from course_lib.task.traces import parse_trace

CORPUS = ASSETS / "corpus"
DO_NOT_KNOW = "I do not know."

_LONGEST_FILE = 1_000_000  # bytes
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# Chinese and Japanese have no spaces, so that each of their signs is a word.
_SIGN = "\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_SIGN}]|[^\W_{_SIGN}]+(?:[.,-][^\W_{_SIGN}]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_COMMON = frozenset(re.findall(r"\w+", """
    a an and are as at be by did do does for from had has have he how in is it its much many of on
    or she so than that the their them then there these they this to was were what when where which
    who whose why will with you
"""))  # fmt: skip


@dataclass(frozen=True)
class Passage:
    """A paragraph: the file it is in, the file's title, and its text on one line."""

    file: str
    title: str
    text: str


def words(text: str) -> list[str]:
    """The words that tell something: lower case, numbers whole (1,000), common words left out.

    Letters are those of any script; a Chinese or Japanese sign is a word of its own.
    """
    composed = unicodedata.normalize("NFC", text.lower())  # an accent may be a sign of its own
    return [word for word in _WORD.findall(composed) if word not in _COMMON]


def read_corpus(folder: str | Path = CORPUS) -> list[Passage]:
    """Every passage of the Markdown files in `folder`, comments left out.

    Raises CourseError for a folder without any, and for a file that is too large or no UTF-8 text.
    """
    passages: list[Passage] = []
    found = Path(folder).glob("*.md") if os.path.isdir(folder) else ()
    for path in sorted(one for one in found if one.is_file()):
        title, *paragraphs = _paragraphs(path)
        title = title.removeprefix("#").strip()
        passages += [Passage(path.name, title, text) for text in paragraphs]
    if not passages:
        raise CourseError(
            f"{folder} holds no passages; put .md files there, a title and paragraphs in each."
        )
    return passages


def _paragraphs(path: Path) -> list[str]:
    """The blocks of a file, each on one line; the title first."""
    if path.stat().st_size > _LONGEST_FILE:
        raise CourseError(f"{path.name} has more than {_LONGEST_FILE:,} bytes; cut it into parts.")
    try:
        text = _COMMENT.sub("", path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CourseError(f"{path.name} is not UTF-8 text; save it as such.") from error
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip()]
    return blocks if blocks and blocks[0].startswith("#") else [path.stem, *blocks]


class Library:
    """Passages that can be searched."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        """Index `passages`. Raises ValueError if there are none, or no word that tells anything."""
        if not passages:
            raise ValueError("a library needs at least one passage")
        self.passages = list(passages)
        self._index = bm25s.BM25()
        texts = [words(f"{one.title} {one.text}") for one in self.passages]
        if not any(texts):
            raise ValueError("a library needs a passage with a word other than the most common")
        self._index.index(texts, show_progress=False)

    def search(self, question: str, most: int = 3) -> list[Passage]:
        """The best passages for a question, best first; those without a word of it are left out."""
        known = [word for word in words(question) if word in self._index.vocab_dict]
        if not known or most < 1:
            return []
        count = min(most, len(self.passages))
        found, scores = self._index.retrieve([known], k=count, show_progress=False)
        ranked = zip(found[0].tolist(), scores[0].tolist(), strict=True)
        return [self.passages[i] for i, score in ranked if score > 0]

    def tool(self, most: int = 2) -> Tool:
        """The search as a tool for `tools.use_tools`; it reads these passages and nothing else."""

        def run(question: str) -> str:
            found = self.search(question, most)
            return "\n".join(f"[{one.file}] {one.text}" for one in found) or "nothing was found"

        return Tool("search", "passages on DeepSeek-R1 from 2025 and 2026 for some words", run)


# --- readers --------------------------------------------------------------------------------------

Reader = Callable[[str, Sequence[Passage]], str]


def read_out(question: str, passages: Sequence[Passage]) -> str:
    """A reader by rule: the sentence that holds most of the question's words, of a tie the first.

    It says that it does not know where no sentence, title included, holds half of them. It
    understands nothing: it is here to show what retrieval by itself can and cannot do.
    """
    asked = set(words(question))
    sentences = [(one, s) for one in passages for s in _SENTENCE_END.split(one.text)]
    if not sentences or not asked:
        return DO_NOT_KNOW

    def shared(pair: tuple[Passage, str]) -> int:
        return len(asked & set(words(f"{pair[0].title} {pair[1]}")))

    best = max(sentences, key=shared)
    return best[1] if 2 * shared(best) >= len(asked) else DO_NOT_KNOW


def ask_engine(engine: Engine, max_tokens: int | None = None) -> Reader:
    """A reader that is a model: the passages stand in its prompt as data, before the question.

    It is told what to answer where it does not know. What it thinks stands in its reply too.
    """

    def read(question: str, passages: Sequence[Passage]) -> str:
        found = "\n".join(f"[{one.file}] {one.text}" for one in passages)
        context = f"{as_data(Call('search', question, found))}\n\n" if found else ""
        unknown = "the pages do not say" if found else "you do not know"
        asked = f"{context}If {unknown}, answer: {DO_NOT_KNOW}\n\n{question}"
        messages = [{"role": "user", "content": asked}]
        return whole_reply(engine.stream(messages, max_tokens=max_tokens, temperature=0))

    return read


# --- measuring ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A question on the corpus; `answer` is what a right answer holds, "" if there is none.

    `key` is the ledger's entry that the answer comes from, and `file` where it stands.
    """

    text: str
    answer: str
    key: str = ""
    file: str = ""


_ASKED = tomllib.loads(Path(__file__).with_name("questions.toml").read_text(encoding="utf-8"))
QUESTIONS = tuple(Question(**one) for one in _ASKED["question"])


@dataclass(frozen=True)
class Score:
    """Right answers, wrong ones, and those where the reader said that it does not know."""

    right: int
    wrong: int
    silent: int


_SILENT = re.compile(
    r"\bi (?:do not|don't) know\b|\b(?:page|passage)s? (?:do|does)(?: not|n't) say\b", re.IGNORECASE
)
# A number in groups of three, all set apart alike, and no part of another number.
_GROUPED = re.compile(r"(?<![\w.,])[0-9]{1,3}([, '])[0-9]{3}(?:\1[0-9]{3})*(?!\w|,[0-9])")

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]*\.?"  # in full or shortened
_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_SIZES = {"k": 3, "thousand": 3, "m": 6, "million": 6}
# How a thing can be written otherwise, and what it becomes, in this order.
_ALIKE: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\\[a-z]+\{([^{}]*)\}", r"\1"),  # \boxed{17}
    (r"[*\\]", ""),
    (_GROUPED.pattern, lambda number: number[0].replace(number[1], "")),
    (rf"\b({'|'.join(_NUMBERS)})\b", lambda word: str(_NUMBERS.index(word[1]))),
    (r"(?<=[0-9]) ?(?:%|per cent\b)", " percent"),
    (rf"(?<![\w.])([0-9.]*[0-9])[ -]?({'|'.join(_SIZES)})\b", lambda one: _in_full(one[1], one[2])),
    (r"(?<![.\w])([0-9]+)\.0+(?!\w|\.[0-9])", r"\1"),
    (r"(?:\bus)?\$ ?([0-9.]*[0-9])(?: dollars)?", r"\1 dollars"),
    (r"(?<=[0-9])[ -]?(?:b|billion)\b", "b"),
    (rf"\b{_MONTH} ([0-9]{{1,2}})(?:st|nd|rd|th)?,? ([0-9]{{4}})\b", r"\2 \1 \3"),
    (rf"\b0?([0-9]{{1,2}})(?:st|nd|rd|th)? (?:of )?{_MONTH},? ([0-9]{{4}})\b", r"\1 \2 \3"),
    (r"\b([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})\b", lambda day: _day(*day.group(1, 3, 4))),
    (r"(?<=[0-9])[ -]page\b", " pages"),
)
# What takes back the few words behind it, to the end of a clause.
_DENIED = re.compile(
    r"(?:\b(?:can)?not|n't|\brather than|\binstead of)(?! only| just|.* until)(?: [\w$]+){0,2} $"
)
_CLAUSE = re.compile(r"[,;:.!?](?![0-9])|\bbut\b")


def _in_full(number: str, size: str) -> str:
    """ "2.5" and "million" as "2500000"; as it stands where that is no number."""
    if number.count(".") > 1 or number.startswith("."):
        return f"{number} {size}"
    return f"{Decimal(number).scaleb(_SIZES[size]).normalize():f}"


def _day(year: str, month: str, day: str) -> str:
    """A day by its numbers, as "14 feb 2025"; as it stands where there is no such month."""
    named = dict(enumerate(_MONTHS, start=1)).get(int(month))
    return f"{int(day)} {named} {year}" if named else f"{year}-{month}-{day}"


def _plain(text: str) -> str:
    """The text in small letters, on one line, and one form for what `_ALIKE` says is the same."""
    text = " ".join(text.lower().replace("’", "'").split())
    for written, becomes in _ALIKE:
        text = re.sub(written, becomes, text)
    return text


def judge(question: Question, reply: str) -> str:
    """`right`, `wrong` or `silent`: right holds the answer; of no answer, silence is right.

    What counts is what stands after the thought. A number is the same however its thousands are
    set apart, in digits or as a word up to ten, with %, $, k or million spelt or not; so is a
    day however it is written. An answer behind "not", "rather than" or "instead of" is not given,
    nor is a number inside a sum (+8=26). Words in another order, or another unit, are not seen.
    """
    said, answer = _plain(parse_trace(reply).answer), _plain(question.answer)
    silent = _SILENT.search(said)
    if not answer:
        return "right" if silent else "wrong"
    if silent:
        return "silent"
    for found in re.finditer(rf"(?<![\w.,])(?<!\d[=+]){re.escape(answer)}(?![\w=]|[.,]\d)", said):
        before = said[max(0, found.start() - 200) : found.start()]  # all of it takes ages in a loop
        if not _DENIED.search(_CLAUSE.split(before)[-1]):
            return "right"
    return "wrong"


def measure(
    reader: Reader,
    library: Library | None,
    questions: Sequence[Question] = QUESTIONS,
    most: int = 3,
) -> Score:
    """How a reader does on the questions, with the best `most` passages or, without, on its own."""
    verdicts = [
        judge(one, reader(one.text, library.search(one.text, most) if library else []))
        for one in questions
    ]
    return Score(*(verdicts.count(verdict) for verdict in ("right", "wrong", "silent")))


def found_share(
    library: Library, questions: Sequence[Question] = QUESTIONS, most: int = 3
) -> float:
    """The share of answerable questions whose file is among the best `most` passages."""
    asked = [one for one in questions if one.file]
    if not asked:
        raise ValueError("none of the questions has a file; give at least one that does.")
    hits = [one.file in {p.file for p in library.search(one.text, most)} for one in asked]
    return sum(hits) / len(hits)
