"""Reading traces: thought and answer apart, the steps of a thought, their counts, and loops.

Read `reader` (thought and answer), `attempts` (the course's own working, step by step and exactly),
`labels` (natural language, by stated rules) and `loops` (text that repeats itself).

Any text can be read. Nothing here raises for what a model wrote, and all of it takes linear time.
"""

from course_lib.task.traces.attempts import Attempt, TraceCounts, WorkStep, count, read_attempts
from course_lib.task.traces.labels import (
    ATTEMPT,
    BACKTRACK,
    CHECK,
    CONCLUSION,
    CUES,
    LABELS,
    Step,
    label_steps,
)
from course_lib.task.traces.loops import Loop, find_loop
from course_lib.task.traces.reader import (
    CLOSE,
    OPEN,
    Trace,
    TraceReader,
    begins_inside,
    parse_trace,
)

__all__ = [
    "ATTEMPT",
    "BACKTRACK",
    "CHECK",
    "CLOSE",
    "CONCLUSION",
    "CUES",
    "LABELS",
    "OPEN",
    "Attempt",
    "Loop",
    "Step",
    "Trace",
    "TraceCounts",
    "TraceReader",
    "WorkStep",
    "begins_inside",
    "count",
    "find_loop",
    "label_steps",
    "parse_trace",
    "read_attempts",
]
