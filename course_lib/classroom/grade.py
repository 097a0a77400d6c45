"""Grading a class: `python -m course_lib grade SUBMISSIONS --out report/`.

SUBMISSIONS is a folder with one notebook per student, or one folder per student. Every notebook
runs in a sandbox that the operating system keeps (`course_lib.classroom.checks.sandbox`). Exercises
are found by the names that they define and by what goes to `check`, so cells may be added, moved
and renamed.

What is protected: verdicts are made in this process, which runs no code of a student's and takes
nothing from a submission but values, bounded in size, number and time. So no submission can change
anyone's verdict but its own, and its own only by giving right values. Nothing here hides the
solutions: a student may import the course's own functions.
"""

import argparse
import contextlib
import hashlib
import io
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path, PurePosixPath

from course_lib.classroom.checks import catalogue, sandbox
from course_lib.classroom.checks.exercise import Exercise
from course_lib.classroom.checks.judge import Outcome, Verdict, judge
from course_lib.classroom.checks.remote import Limits, Process, RemoteCaller, memory_for
from course_lib.classroom.grade_files import (
    Submission,
    answered,
    collect,
    left_over,
    shown,
    written,
)
from course_lib.classroom.grade_report import write_report
from course_lib.classroom.grade_results import Grade, best, keep, load
from course_lib.errors import WHOLE, CourseError
from course_lib.runtime import LIBRARY, allowed_cores, new_folder

_MANY = 8  # notebooks of one lesson in one folder: perhaps of as many students
_TRIES = 4  # answers to one exercise in one notebook
_TOLD = 3  # notes where there is nothing to grade
_OFTEN = 2.0  # seconds between two reports while grading goes on

Asked = Mapping[str, Sequence[Exercise]]
"""By student the exercises that are graded."""


def lessons_of(submission: Submission) -> list[str]:
    """The lessons to whose exercises a submission defines an answer, or hands one to `check`."""
    every = list(catalogue.exercises().values())
    found: set[str] = set()
    with contextlib.suppress(OSError):
        notebooks, files = submission.read()
        for cells in notebooks.values():
            found |= answered(written(cells, files), every) if isinstance(cells, list) else set()
    return [one for one in catalogue.LESSONS if found & {e.name for e in catalogue.of_lesson(one)}]


def grade_one(
    submission: Submission,
    exercises: Sequence[Exercise],
    limits: Limits,
    *,
    inside: sandbox.Sandbox | None = None,
    stop: threading.Event | None = None,
) -> Grade:
    """Run all notebooks of a submission and judge all exercises, each by its best answer.

    `inside` is the sandbox (the first that works here), `stop` ends it from another thread. Never
    raises for what the submission is or does.
    """
    inside = inside or sandbox.find(())
    read, files, notes = _read(submission)
    unread = "" if read else notes[0]
    if not exercises and read:
        notes += ["Nothing in it answers an exercise (--lesson grades a lesson all the same)."]
    code = {name: written(cells, files) for name, cells in read.items()}
    answers = {name: answered(words, exercises) for name, words in code.items()}
    notes += _several(answers)
    verdicts: list[Verdict] = []
    ends = time.monotonic() + limits.total
    for name in sorted(read, key=lambda one: -len(answers[one])):  # time may run out
        words = "\n".join(code[name])
        asked = [one for one in exercises if one.symbol in words or one.name in words]
        folder = PurePosixPath(name).parent.as_posix()
        process = Process(read[name], files, limits, inside, stop, folder)
        process.ends = ends  # one for all notebooks
        with contextlib.closing(process):
            verdicts += [_judged(one, process) for one in asked]
        notes += [f"{shown(name)}: {note}" if len(read) > 1 else note for note in process.notes]
    found = best(verdicts)
    why = {one.name: unread or f"No notebook has {one.symbol}." for one in exercises}
    absent = [Verdict(name, Outcome.NOT_ATTEMPTED, told) for name, told in why.items()]
    return Grade(submission.student, tuple(found.get(e.exercise, e) for e in absent), tuple(notes))


def _read(submission: Submission) -> tuple[dict[str, list[str]], dict[str, bytes], list[str]]:
    """Code cells by notebook, the files that lie there, and what there is to tell of them.

    Notebooks are files as well, for another may run one: their code, without what came out.
    """
    if submission.problem:
        return {}, {}, [submission.problem, *submission.notes]
    try:
        notebooks, files = submission.read()
    except OSError as error:
        return {}, {}, [f"The files cannot be read: {error.strerror}.", *submission.notes]
    read = {name: cells for name, cells in notebooks.items() if isinstance(cells, list)}
    unread = [text for text in notebooks.values() if isinstance(text, str)]
    files |= {name: _as_file(cells) for name, cells in read.items()}
    return read, files, [*unread, *submission.notes]


def _as_file(cells: Sequence[str]) -> bytes:
    """A notebook of these code cells."""
    code: dict = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    made = [code | {"source": one} for one in cells]
    whole = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(whole).encode("ascii")


def _several(answers: dict[str, set[str]]) -> list[str]:
    """What to say where several notebooks answer the same exercises."""
    told = []
    for lesson in catalogue.LESSONS:
        names = {one.name for one in catalogue.of_lesson(lesson)}
        having = [shown(name) for name, found in answers.items() if found & names]
        if len(having) > 1:
            note = f"{len(having)} notebooks answer {lesson}: {', '.join(having[:_MANY])}. "
            note += "Of each exercise the best answer counts."
            if len(having) > _MANY:
                note += " If they are of several students, grade this folder by itself."
            told.append(note)
    return told


def _judged(exercise: Exercise, process: Process) -> Verdict:
    """The best verdict on a notebook's answers to an exercise.

    One that cannot be reached must not take the rest of the class with it.
    """
    verdicts: list[Verdict] = []
    for which in range(_TRIES):
        caller = RemoteCaller(process, exercise, which)
        try:
            verdicts.append(judge(exercise, caller))
        except Exception as error:
            headline = f"The grader could not judge what came out ({type(error).__name__})."
            verdicts.append(Verdict(exercise.name, Outcome.ERROR, headline))
        if verdicts[-1].outcome is Outcome.RIGHT or not caller.more:
            break
    return best(verdicts)[exercise.name]


def grade_class(
    folder: Path,
    *,
    lessons: Sequence[str] = (),
    jobs: int = 0,
    limits: Limits | None = None,
    trust: bool = False,
    book: "Book | None" = None,
) -> list[Grade]:
    """Grade every submission in `folder`, `jobs` at a time (as many as there are cores by default).

    Each on all exercises of `lessons`, or else of the lessons that it answers anything of. `book`
    keeps the results. Raises CourseError if there is nothing to grade or, unless `trust`, no
    sandbox to do it in.
    """
    book = book or Book()
    submissions = collect(folder, book.hidden)
    asked: dict[str, list[Exercise]] = {}
    for one in submissions:
        names = dict.fromkeys(lessons or lessons_of(one))
        asked[one.student] = [each for name in names for each in catalogue.of_lesson(name)]
    if not any(asked.values()):
        notes = [note for one in submissions for note in _read(one)[2]]
        nothing = "No submission defines anything that an exercise asks for."
        raise CourseError(" ".join((nothing, *notes[:_TOLD])))
    inside = sandbox.TRUSTED if trust else sandbox.find((folder, Path.home(), *book.hidden))
    to_do = book.begin(submissions, asked)
    jobs = jobs or allowed_cores()
    for one, grade in _each(to_do, asked, limits or Limits(memory=memory_for(jobs)), inside, jobs):
        book.add(one, grade)
    return book.grades


def _each(
    submissions: Sequence[Submission],
    asked: Asked,
    limits: Limits,
    inside: sandbox.Sandbox,
    jobs: int,
) -> Iterator[tuple[Submission, Grade]]:
    """Every submission with its grade, as they are finished; all that runs ends with this."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(jobs)
    try:
        running = {
            pool.submit(grade_one, one, asked[one.student], limits, inside=inside, stop=stop): one
            for one in submissions
        }
        for done in as_completed(running):
            one = running[done]
            yield one, _result(done, one, asked[one.student])
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _result(done: Future[Grade], submission: Submission, exercises: Sequence[Exercise]) -> Grade:
    error = done.exception()
    if error is None:
        return done.result()
    problem = f"The grader failed on this submission ({type(error).__name__}: {error})."
    verdicts = tuple(Verdict(one.name, Outcome.ERROR, problem) for one in exercises)
    return Grade(submission.student, verdicts, (problem,))


def _version() -> str:
    """What a result depends on beside what was handed in and asked: the code that checks."""
    files = sorted((LIBRARY / "classroom").rglob("*"))  # the cards too
    code = [path.read_bytes() for path in files if path.suffix in (".py", ".toml")]
    return hashlib.sha256(b"\0".join(code)).hexdigest()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib grade", description="Grade a folder of submissions."
    )
    add = parser.add_argument
    add("submissions", type=Path, help="a folder of notebooks or of folders")
    add("--out", type=new_folder, default=Path("report"), help="where the report goes")
    add("--lesson", action="append", default=[], help="only this one, whole; may be repeated")
    add("--jobs", type=WHOLE, default=0, help="how many at a time (default: cores)")
    add("--again", action="store_true", help="grade also what was graded before")
    add("--part", default="", metavar="K/N", help="only the K-th of N parts, without a report")
    add("--trust", action="store_true", help="without a sandbox: what was handed in runs as you")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: grade a class, keeping every result as soon as it is there."""
    given = _arguments(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console may know few characters
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    book = Book(given.out, given.part, given.again)
    try:
        grade_class(
            given.submissions, lessons=given.lesson, jobs=given.jobs, trust=given.trust, book=book
        )
    except KeyboardInterrupt:
        print(f"\nStopped: {len(book.done)} of {len(book.submissions)} are graded and kept. "
              "The same command goes on with the rest.", file=sys.stderr)  # fmt: skip
        return 130
    finally:
        left = left_over(given.submissions) if book.done else []
        written = book.write(left)
    print("\n".join((*left, *map(str, written))))
    return 0


class Book:
    """The results of a class: those kept by earlier runs in `folder`, and those of this one.

    Without a folder nothing is kept or shown. `part` is "K/N" for the K-th of N parts, whose
    results stand in a file of their own.
    """

    def __init__(self, folder: Path | None = None, part: str = "", again: bool = False) -> None:
        self.folder, self.again = folder, again
        self.number, self.parts = _part(part)
        self.name = f"results-{self.number + 1}.jsonl" if part else "results.jsonl"
        self.hidden = (folder,) if folder else ()
        self.submissions: list[Submission] = []
        self.done: dict[str, Grade] = {}
        self.written = 0.0

    @property
    def grades(self) -> list[Grade]:
        """The results there are, in the order of the submissions."""
        return [self.done[one.student] for one in self.submissions if one.student in self.done]

    def begin(self, submissions: list[Submission], asked: Asked) -> list[Submission]:
        """What has no result yet, of this part; says which lessons there are."""
        self.submissions, version = submissions, _version()
        names = {student: [one.name for one in exercises] for student, exercises in asked.items()}
        self.keys = {one.student: one.digest(version, *names[one.student]) for one in submissions}
        known = load(self.folder) if self.folder and not self.again else {}
        self.done = {name: known[key] for name, key in self.keys.items() if key in known}
        if self.folder:
            graded = {catalogue.lesson_of(one) for some in names.values() for one in some}
            print(f"Lessons: {', '.join(one for one in catalogue.LESSONS if one in graded)}")
        own = submissions[self.number :: self.parts]
        return [one for one in own if one.student not in self.done]

    def add(self, submission: Submission, grade: Grade) -> None:
        """Keep and show a result, and renew the report if that was not just done."""
        grade = replace(grade, key=self.keys[submission.student])
        self.done[submission.student] = grade
        if self.folder:
            keep(grade, self.folder / self.name)
            came = f"{grade.right} of {len(grade.verdicts)} right"
            came = came if grade.verdicts else " ".join(grade.notes)
            print(f"{grade.student}: {came}", flush=True)
        if time.monotonic() - self.written > _OFTEN:
            self.write()
            self.written = time.monotonic()

    def write(self, left: Sequence[str] = ()) -> tuple[Path, ...]:
        """Write the report on what is done (a part writes none); its files."""
        whole = self.folder and self.grades and self.name == "results.jsonl"
        return write_report(self.grades, self.folder, left) if whole and self.folder else ()


def _part(text: str) -> tuple[int, int]:
    """The index of the part and how many there are. Raises CourseError."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text or "1/1")
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise CourseError(f"--part is {text!r}; it takes K/N with K from 1 to N, such as 2/8.")
    return int(found[1]) - 1, int(found[2])
