"""Text that repeats itself without end, as small models sampled greedily often do."""

from dataclasses import dataclass

_LOOP_WINDOW = 2000  # characters looked at, from the end
_LOOP_LEAST = 60  # shorter repetition is ordinary


@dataclass(frozen=True)
class Loop:
    """The text ends with `unit` said `times` times over."""

    unit: str
    times: int


def find_loop(text: str, *, times: int = 3) -> Loop | None:
    """Whether the text ends in a loop: the same stretch at least `times` times without a break.

    The end of the text is turned round, and the failure function of Knuth, Morris and Pratt gives
    the shortest period of every beginning of it. The longest repetition of 60 characters or more
    is taken; only the last 2,000 characters are looked at, so a stream may ask again and again.
    """
    end = text[-_LOOP_WINDOW:][::-1]
    failure = [0] * (len(end) + 1)
    border, best = 0, None
    for i in range(1, len(end)):
        while border and end[i] != end[border]:
            border = failure[border]
        border += end[i] == end[border]
        failure[i + 1] = border
        period = i + 1 - border
        if i + 1 >= max(_LOOP_LEAST, times * period):
            best = (period, (i + 1) // period)
    return Loop(end[: best[0]][::-1], best[1]) if best else None
