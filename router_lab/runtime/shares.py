"""Shares and numbers in words: what is not all is never called 100 %, what is below a limit is
seen to be below it, and one is one."""

from __future__ import annotations

MOST_DIGITS = 6


def part(share: float, unit: str = "%") -> str:
    """`40%`; a share that is neither none nor all with as many digits as it takes to see that:
    .9996 → `99.96%`."""
    for digits in range(MOST_DIGITS + 1):
        text = f"{100 * share + 0.0:.{digits}f}"
        if (float(text) in (0.0, 100.0)) == (share in (0.0, 1.0)):
            break
    return f"{text}{unit}"


def many(number: int, one: str, several: str) -> str:
    """`1 decision has`, `2,000 decisions have`."""
    return f"{number:,} {one if number == 1 else several}"


def below(share: float, limit: float) -> tuple[str, str]:
    """A share and the limit that it does not reach, with as many digits as it takes to see that it
    does not."""
    for digits in range(MOST_DIGITS + 1):
        texts = f"{100 * share:.{digits}f}%", f"{100 * limit:.{digits}f}%"
        if (texts[0] == texts[1]) == (share == limit):
            break
    return texts
