"""A task for models that cannot do anything yet."""

from dataclasses import replace

from course_lib.rl.zero import PUZZLES


def lettered(puzzle, completion):
    """A reward that untrained models earn now and then."""
    return float(len(completion) % 3)


TASK = replace(PUZZLES, reward=lettered)
