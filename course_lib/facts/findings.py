"""The ledger of findings: every causal or comparative sentence, and the records that carry it.

Each entry of `data/findings/` is computed anew from its records whenever it is asked for. If a
record is missing, or has other seeds or other settings than the entry names, the finding is *not
shown here*. `python -m course_lib findings` prints all and fails where a sentence says too much.
"""

import argparse
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from course_lib import records
from course_lib.errors import CourseError
from course_lib.facts import finding_files, prose_numbers
from course_lib.facts.finding_files import STRENGTHS, Entered
from course_lib.facts.ledger import nearest
from course_lib.facts.paired import ENOUGH, Statistic, compare
from course_lib.facts.record_rows import Pick, figures, rows, settings, tested_on, version
from course_lib.show import theme

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_BRACKETS = re.compile(r"\(.*?\)")
_SEEDS = re.compile(rf"\b(\d+|{'|'.join(_WORDS)}) (?:seeds?|runs?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """A sentence of the course, computed from its records.

    `entered` is what the ledger's file says; `strength` is one of `STRENGTHS`, and never more than
    the records carry. `statistic` is None where the records cannot be used; `why` says why a
    finding is not shown, and `unlike` why it is not more than suggested although its pairs are
    enough. `conditions` are the numbers of its settings.
    """

    entered: Entered
    statistic: Statistic | None
    strength: str
    why: str = ""
    conditions: tuple[float, ...] = ()
    unlike: str = ""

    @property
    def key(self) -> str:
        """The dotted name by which a cell cites the finding."""
        return self.entered.key

    @property
    def claim(self) -> str:
        """The sentence, as it stands in the ledger; see `sentence` for what may be said."""
        return self.entered.claim

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that the finding is about; its records must have these and no others."""
        return self.entered.seeds

    @property
    def commands(self) -> tuple[str, ...]:
        """What makes its records again."""
        return _commands(self.entered)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The statistic's interval, in the figure's unit; None without records, or for one pair."""
        return self.statistic.interval if self.statistic else None

    @property
    def are_shares(self) -> bool:
        """Whether the figures are shares, which are written as percent."""
        found = self.statistic
        if found is None or found.ratio or self.entered.unit:
            return False
        return max(map(abs, (*found.first, *found.second))) <= 1

    @property
    def sentence(self) -> str:
        """The claim if anything carries it; else what is not shown, and why."""
        if self.strength != "not shown here":
            return self.claim
        return f"Not shown here: “{self.claim}” {self.why}".strip()

    @property
    def number(self) -> str:
        """What was found, in words: both means, their difference, its interval and the seeds."""
        found = self.statistic
        if found is None:
            return "no number"
        share = self.are_shares
        means = " against ".join(f"{100 * x:.1f} %" if share else f"{x:.4g}" for x in found.means)
        unit = "times" if found.ratio else self.entered.unit
        scale, unit = (100, " points") if share else (1, f" {unit}".rstrip())
        between = " to ".join(f"{scale * end:.3g}" for end in found.interval or ())
        said = f"{scale * found.value:{'' if found.ratio else '+'}.3g}{unit}"
        said += f" ({between})" if between else ""
        count = f"{found.wins} of {len(found.first)} pairs as claimed"
        return f"{means}: {said}; {count}; seeds {', '.join(map(str, self.seeds))}"


def all(folder: Path = records.RECORDED) -> list[Finding]:
    """Every finding, computed from the records in `folder`, in the order of the files."""
    return [_computed(key, folder) for key in _entries()]


def get(key: str, folder: Path = records.RECORDED) -> Finding:
    """The finding with this key. Raises UnknownFact (a KeyError) that suggests the nearest keys."""
    if key not in _entries():
        begun = ", ".join(dict.fromkeys(one.split(".")[0] for one in _entries()))
        raise nearest(key, _entries(), "finding", f"They begin with {begun}.")
    return _computed(key, folder)


def held() -> tuple[str, ...]:
    """The notebooks, by stem, in which every comparative sentence must have a finding."""
    return finding_files.read()[1]


@cache
def _entries() -> Mapping[str, Entered]:
    return finding_files.read()[0]


@cache
def _computed(key: str, folder: Path) -> Finding:
    return recompute(_entries()[key], folder)


# --- from records to a finding --------------------------------------------------------------------


def recompute(entry: Entered, folder: Path) -> Finding:
    """What the records in `folder` carry of an entry; nothing of it is kept from before."""
    try:
        kept = {name: _record(entry, name, folder) for name in entry.kept}
        statistic = _statistic(entry, kept)
    except CourseError as problem:
        return Finding(entry, None, "not shown here", str(problem))
    unlike = _tested_unlike(kept) or _timed_unlike(entry, kept)
    most = [strongest(statistic, len(entry.seeds)), "suggested" if unlike else "shown"]
    weaker = max(*most, entry.strength, key=STRENGTHS.index)
    why = "" if weaker != "not shown here" else "Its records do not carry it."
    picks = [pick for pick in (entry.a, entry.b) if isinstance(pick, Pick)]
    wheres = [[dict(pick.where), pick.after] for pick in picks]
    conditions = tuple(_numbers([*map(settings, kept.values()), *wheres]))
    return Finding(entry, statistic, weaker, why, conditions, unlike)


def _tested_unlike(kept: Mapping[str, records.Record]) -> str:
    """In one sentence, that the records were tested on unlike many puzzles; empty if they were not.

    Such pairs are not alike in all but the one thing that was changed.
    """
    sizes = {name: tested_on(record) for name, record in kept.items()}
    if len(set(sizes.values())) < 2:
        return ""
    told = ", ".join(f"{name.split('/')[-1]}: {size or 'not told'}" for name, size in sizes.items())
    return f"Tested on unlike many puzzles ({told}), so it also holds a difference of test sets."


def _timed_unlike(entry: Entered, kept: Mapping[str, records.Record]) -> str:
    """A sentence where a comparison at equal time is of unlike machines, else ""."""
    timed = any(isinstance(pick, Pick) and pick.after is not None for pick in (entry.a, entry.b))
    machines = {str(record.get("machine")) for record in kept.values()}
    if not timed or len(machines) < 2:
        return ""
    return f"Timed on unlike machines ({'; '.join(sorted(machines))})."


def strongest(found: Statistic, seeds: int) -> str:
    """The strongest of `STRENGTHS` that a statistic over so many seeds carries."""
    if not found.on_the_side or not seeds:
        return "not shown here"
    if seeds == 1:
        return "one run"
    return "shown" if seeds >= ENOUGH and found.p <= 0.05 else "suggested"


def _record(entry: Entered, name: str, folder: Path) -> records.Record:
    want = entry.kept[name]
    record = records.read(folder / f"{name}.json", want.command, check=rows)
    if version(record) != want.settings:
        raise CourseError(
            f"{name} was recorded with other settings ({version(record)}) than the finding names "
            f"({want.settings}); `{want.command}` makes it again."
        )
    return record


def _statistic(entry: Entered, kept: Mapping[str, records.Record]) -> Statistic:
    first = _figures(entry, entry.a, kept)
    if isinstance(entry.b, Pick):
        second = _figures(entry, entry.b, kept)
    else:
        second = dict.fromkeys(first, float(entry.b))
    if set(first) != set(second):
        raise CourseError(f"the runs of {entry.key} are no pairs: {_again(entry)}")
    pairs = sorted(first)
    a, b = ([side[pair] for pair in pairs] for side in (first, second))
    try:
        return compare(a, b, entry.relation, entry.margin, entry.ratio)
    except ValueError as error:
        raise CourseError(f"{entry.key} cannot be computed: {error}.") from error


def _figures(entry: Entered, pick: Pick, kept: Mapping[str, records.Record]) -> Mapping[Any, float]:
    record = kept[pick.record]
    try:
        found = figures(record, pick, entry.pair)
        seeds = figures(record, pick) if entry.pair == "seed" else {record["seed"]}
    except (LookupError, TypeError, ValueError) as error:
        raise CourseError(f"{pick.record} has no such figure ({error}): {_again(entry)}") from error
    if set(seeds) != set(entry.seeds):
        raise CourseError(
            f"{pick.record} has the seeds {sorted(seeds)}, and the finding is about "
            f"{sorted(entry.seeds)}: {_again(entry)}"
        )
    return found


def _again(entry: Entered) -> str:
    return "; ".join(f"`{command}`" for command in _commands(entry)) + " records it again."


def _commands(entry: Entered) -> tuple[str, ...]:
    """The commands of its records, each with no fewer seeds than the finding is about."""

    def enough(found: re.Match[str]) -> str:
        return f"--seeds {max(int(found[1]), len(entry.seeds))}"

    return tuple(re.sub(r"--seeds (\d+)", enough, kept.command) for kept in entry.kept.values())


def _numbers(value: Any) -> Iterator[float]:
    """Every number in settings, however deep."""
    if isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


# --- says no more than was shown ------------------------------------------------------------------


def overstated(finding: Finding) -> list[str]:
    """Where the sentence says more than the number, one sentence each; empty where it does not."""
    entry = finding.entered
    if entry.strength == "not shown here":
        return []
    problems = [*_too_strong(finding), *_wrong_seeds(finding), *_wrong_numbers(finding)]
    return [f"{finding.key} {problem}" for problem in problems]


def _too_strong(finding: Finding) -> Iterator[str]:
    entry = finding.entered
    if finding.strength != entry.strength:
        reason = finding.why or finding.unlike
        yield f"is entered as {entry.strength}, and is {finding.strength}. {reason}"
    if entry.strength == "one run" and not re.search(r"\bone (run|seed)\b", entry.claim, re.I):
        yield "rests on one run and does not say so"
    if entry.strength == "suggested" and not _SEEDS.search(entry.claim):
        yield "is suggested, and does not say by how many seeds"


def _wrong_seeds(finding: Finding) -> Iterator[str]:
    told = {len(finding.seeds), finding.statistic.wins if finding.statistic else 0}
    for written in _SEEDS.findall(finding.claim):
        count = int(written) if written.isdigit() else _WORDS.index(written.lower())
        if count not in told:
            yield f"speaks of {written} seeds, and has {len(finding.seeds)}"


def _wrong_numbers(finding: Finding) -> Iterator[str]:
    """Numbers that are not the recomputed ones; the ends of a range may stand in brackets only."""
    margin = finding.entered.margin or 0
    always = [*means(finding), *finding.conditions, *finding.entered.given, margin, 100 * margin]
    for text, backing in (
        (_BRACKETS.sub(" ", finding.claim), always),
        (" ".join(_BRACKETS.findall(finding.claim)), [*always, *ends(finding)]),
    ):
        for number in prose_numbers.in_text(prose_numbers.prose(text)):
            if not any(prose_numbers.matches(number, Decimal(str(v)), digits=1) for v in backing):
                yield f"says {number.text}, which its records do not: {finding.number}"


def means(finding: Finding) -> list[float]:
    """Both sides' means, the statistic and the counts; shares as percent or points as well."""
    found = finding.statistic
    if found is None:
        return []
    sides = _as_written(finding, [*found.means, abs(found.value)])
    return [*sides, found.wins, len(found.first)]


def ends(finding: Finding) -> list[float]:
    """The interval's ends, and the least and most of either side."""
    found = finding.statistic
    if found is None:
        return []
    spread = [end for side in (found.first, found.second) for end in (min(side), max(side))]
    return _as_written(finding, [*spread, *map(abs, found.interval or ())])


def _as_written(finding: Finding, values: list[float]) -> list[float]:
    return [*values, *(100 * value for value in values if finding.are_shares)]


# --- shown ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """A finding to be shown in a notebook: `html`, and its twin `text`."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def card(key: str) -> Card:
    """The sentence, its number, interval, seeds and strength, and the command that re-runs it.

    Raises UnknownFact for a key that is none.
    """
    finding = get(key)
    how = f"{finding.number}. {finding.statistic}. {finding.unlike}".strip()
    how = how if finding.statistic else "none."
    lines = {
        finding.strength.capitalize(): finding.sentence.removeprefix("Not shown here: "),
        "Number": how,
        "Refuted by": finding.entered.refuted_by,
    }
    text = "\n".join(f"{name}: {line}" for name, line in lines.items())
    body = "".join(
        f"<p><strong>{name}:</strong> {theme.escape(line)}</p>" for name, line in lines.items()
    )
    again = "".join(f"<br><code>{theme.escape(command)}</code>" for command in finding.commands)
    html = theme.card("recorded", finding.strength, body + f"<p><strong>Again:</strong>{again}</p>")
    return Card(html, text + "\nAgain: " + "; ".join(finding.commands))


def told(*keys: str) -> str:
    """Several findings in plain text, a line each: how sure, and the sentence.

    Raises UnknownFact for a key that is none.
    """
    found = [get(key) for key in keys]
    return "\n".join(f"{one.strength:15} {one.claim}" for one in found)


def main(argv: list[str] | None = None) -> int:
    """`python -m course_lib findings`: prints each, computed anew; 1 where one says too much."""
    parser = argparse.ArgumentParser(prog="python -m course_lib findings", description=__doc__)
    parser.add_argument("key", nargs="*", help="only these, or those below one: moe (all)")
    parser.add_argument(
        "--records", action="store_true", help="print the records' seeds and settings instead"
    )
    args = parser.parse_args(argv)
    keys = [[k for k in _entries() if f"{k}.".startswith(f"{a}.")] or [a] for a in args.key]
    found = list({k: get(k) for below in keys for k in below}.values()) if args.key else all()
    if args.records:
        only = {name for one in found for name in one.entered.kept} if args.key else ()
        print("\n".join(_listing(only)))
        return 0
    for finding in found:
        place = f"{finding.entered.lesson}, {finding.entered.section}"
        print(f"{finding.key} ({place}): {finding.strength}")
        print(f"  {finding.sentence}\n  {finding.number}\n  {finding.statistic or finding.why}")
        print(f"  {finding.unlike}\n" if finding.unlike else "")
    problems = [problem for finding in found for problem in overstated(finding)]
    print("\n".join(problems) or f"{len(found)} findings, none says more than its records.")
    return 1 if problems else 0


def _listing(only: Collection[str]) -> Iterator[str]:
    """Each record's name, settings and seeds, as an entry needs them; of some `only`, or of all."""
    for path in sorted(records.RECORDED.rglob("*.json")):
        name = path.relative_to(records.RECORDED).with_suffix("").as_posix()
        if only and name not in only:
            continue
        record = records.read(path, "python -m course_lib findings --records")
        try:
            seeds = sorted({row["seed"] for row in rows(record)})
        except (LookupError, TypeError, ValueError):
            seeds = []
        yield f'[record."{name}"]  # seeds {seeds}\nsettings = "{version(record)}"'
        yield f'command = "{record["command"]}"\n'
