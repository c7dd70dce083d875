"""Days as providers bill: in UTC, whatever the clock of the machine says."""

from __future__ import annotations

import datetime as dt


def utc(text: str) -> dt.datetime:
    """An ISO timestamp in UTC; without an offset it is UTC already, which is how Inspect reads its
    own older logs."""
    moment = dt.datetime.fromisoformat(text)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def today() -> dt.date:
    """The day in UTC."""
    return dt.datetime.now(dt.UTC).date()


def midday(day: dt.date) -> dt.datetime:
    """The middle of a day, for prices that are asked for by the day."""
    return dt.datetime.combine(day, dt.time(12), tzinfo=dt.UTC)
