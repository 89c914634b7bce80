"""UTC hours as partition keys. Which hours are taken is decided in `state.py`."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

NS_PER_HOUR: Final = 3_600_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def hour_of(t_ns: int) -> str:
    """UTC hour (YYYY-MM-DD-HH:00) of an instant."""
    return _text(t_ns // NS_PER_HOUR)


@lru_cache(maxsize=65_536)
def _text(hours: int) -> str:
    return (_EPOCH + timedelta(hours=hours)).strftime("%Y-%m-%d-%H:00")


def day_of_hour(hour: str) -> str:
    """UTC day of an hour."""
    return hour[:10]


def days_before(day: str, count: int) -> str:
    """The day so many days before another."""
    return (date.fromisoformat(day) - timedelta(days=count)).isoformat()
