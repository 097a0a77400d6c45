"""All benchmarks in one run, as one table: `python -m tests.benchmarks --out DIR`.

What is run and which figures are read off stands in `benchmarks.toml`. `DIR` gets
`benchmarks.json`, `benchmarks.md` and what each program printed; `--readme README.md` puts the
table between that file's two `<!-- benchmarks -->` lines. One that fails says so, the rest go on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from course_lib import runtime

SET = Path(__file__).with_name("benchmarks.toml")
MARK = "<!-- benchmarks -->"
_VERSIONS = ("torch", "transformers", "trl", "nbgrader")


def machine() -> dict[str, Any]:
    """Where and when: what a figure means nothing without."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        told = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        cpu = told[1].strip() if told else cpu
    found = {"cpu": cpu, "cores": runtime.allowed_cores(), "free": runtime.free_cores()}
    versions = {"Python": platform.python_version()}
    for name in _VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    moment = datetime.now(UTC).isoformat(timespec="minutes")
    return found | {"date": moment, "versions": versions}


def run(bench: dict[str, Any], out: Path) -> dict[str, Any]:
    """Run one benchmark; what it printed is kept, and how long it took and how it ended is told."""
    command = [sys.executable, *(part.format(out=out) for part in bench["command"])]
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=bench.get("most", 900)
        )
        printed, errors, code = done.stdout, done.stderr, str(done.returncode)
    except subprocess.TimeoutExpired:
        printed, errors, code = "", "", "took too long"
    (out / f"{bench['name']}.txt").write_text(printed + errors)
    told = "python " + " ".join(bench["command"]).replace("{out}", "DIR")
    seconds = time.perf_counter() - began
    return {"name": bench["name"], "command": told, "seconds": seconds, "code": code,
            "rows": [read(row, printed, seconds) for row in bench["row"]]}  # fmt: skip


def read(row: dict[str, Any], printed: str, seconds: float) -> dict[str, Any]:
    """One row of the table: figures by their patterns; without one, the seconds of the command."""

    def figure(pattern: str) -> float | None:
        found = re.search(pattern, printed, re.S)
        return float(found[1].replace(",", "")) if found else None

    ours = figure(row["ours"]) if "ours" in row else seconds
    theirs = figure(row["theirs"]) if "theirs" in row else None
    ratio = None
    if ours and theirs:
        ratio = ours / theirs if row.get("more") else theirs / ours
    return {name: row.get(name, "") for name in ("what", "unit", "beside")} | {
        "ours": ours, "theirs": theirs, "ratio": ratio}  # fmt: skip


def table(page: dict[str, Any]) -> str:
    """The page as Markdown: machine, versions and date, then a row a figure."""
    versions = ", ".join(f"{name} {number}" for name, number in page["versions"].items())
    said = f"{page['date']}, {page['cpu']}, {page['cores']} cores ({page['free']} free); {versions}"
    lines = [said, "", "| what | here | beside it | ratio |", "|---|---|---|---|"]
    for bench in page["benchmarks"]:
        failed = "" if bench["code"] == "0" else f" (the program ended with {bench['code']})"
        for row in bench["rows"]:
            here = "not measured" if row["ours"] is None else f"{row['ours']:.3g} {row['unit']}"
            there = f"{row['theirs']:.3g} by {row['beside']}" if row["theirs"] else ""
            ratio = f"{row['ratio']:.1f}" if row["ratio"] else ""
            lines.append(f"| {row['what']} | {here}{failed} | {there} | {ratio} |")
    return "\n".join(lines) + "\n"


def into(text: str, made: str) -> str:
    """A file's text with the table between its two marks. Raises ValueError where they are not."""
    parts = text.split(MARK)
    if len(parts) != 3:
        raise ValueError(f"The file has {len(parts) - 1} lines {MARK}; put two around the table.")
    return f"{parts[0]}{MARK}\n{made}{MARK}{parts[2]}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=[], help="names of benchmarks")
    parser.add_argument("--set", type=Path, default=SET, help=argparse.SUPPRESS)
    parser.add_argument("--readme", type=Path, help="a file whose table is to be made anew")
    args = parser.parse_args(argv)
    benches = tomllib.loads(args.set.read_text())["bench"]
    unknown = set(args.only) - {bench["name"] for bench in benches}
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; {[b['name'] for b in benches]}")
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[2]))
    page = machine() | {"benchmarks": []}
    for bench in benches:
        if not args.only or bench["name"] in args.only:
            print(f"{bench['name']} ...", flush=True)
            page["benchmarks"].append(run(bench, args.out.resolve()))
            (args.out / "benchmarks.json").write_text(json.dumps(page, indent=1))
            (args.out / "benchmarks.md").write_text(table(page))
    print(table(page))
    if args.readme:
        args.readme.write_text(into(args.readme.read_text(), table(page)))
    return int(any(bench["code"] != "0" for bench in page["benchmarks"]))


if __name__ == "__main__":
    sys.exit(main())
