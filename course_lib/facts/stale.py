"""`python -m course_lib facts`: the ledger's entries, and which are to be looked at again."""

import argparse
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from course_lib import facts
from course_lib.errors import CourseError

YEAR = timedelta(days=365)

CHANGES = ("api.", "ollama.", "full_model.", "safety.", "tools.", "mac.", "card.")
"""How the keys begin of what changes of itself: prices, tags, machines, services. What a paper or
a configuration says stays said."""


def stale(on: date) -> Iterator[str]:
    """A line for each entry that was last looked at more than a year before `on`."""
    for fact in facts.all():
        if fact.known_on < (on - YEAR).isoformat():
            yield f"{fact.key}: as known on {fact.known_on}; {facts.cite(fact.key)}"


def dated(on: date) -> Iterator[str]:
    """A line for each entry of a kind that changes whose source spoke more than a year before."""
    for fact in facts.all():
        if fact.key.startswith(CHANGES) and fact.date < (on - YEAR).isoformat()[: len(fact.date)]:
            yield f"{fact.key}: said {fact.date}, seen so on {fact.known_on}; {fact.source.title}"


def main(argv: list[str] | None = None) -> int:
    """Print entries whose key begins with PREFIX, or with `--stale` what to look at again."""
    parser = argparse.ArgumentParser(prog="python -m course_lib facts", description=__doc__)
    parser.add_argument("prefix", nargs="?", default="", help="how the keys begin (all)")
    parser.add_argument("--stale", action="store_true", help="only what is older than a year")
    parser.add_argument("--on", help="the day to count from, YYYY-MM-DD (today)")
    args = parser.parse_args(argv)
    try:
        on = date.fromisoformat(args.on) if args.on else datetime.now(UTC).date()
    except ValueError as error:
        raise CourseError(f"--on is {args.on!r:.20}; it takes a day such as 2026-11-26.") from error
    if not args.stale:
        if args.on:
            raise CourseError("--on is the day from which --stale counts; give both or neither.")
        shown = [fact.key for fact in facts.all() if fact.key.startswith(args.prefix)]
        if not shown:
            kinds = sorted({fact.key.split(".")[0] for fact in facts.all()})
            raise CourseError(
                f"No entry begins with {args.prefix!r:.40}; they begin with {', '.join(kinds)}."
            )
        print("\n".join(f"{key} = {facts.value(key)}, {facts.cite(key)}" for key in shown))
        return 0
    for title, found in (
        ("To be looked at again, not seen for more than a year", stale(on)),
        ("Of a kind that changes, and said more than a year ago", dated(on)),
    ):
        lines = [line for line in found if line.startswith(args.prefix)]
        print(f"{title}: {len(lines)}", *lines, sep="\n  ")
    return 0
