"""Headers of Vector ASC logs: date, base of numbers, kind of time stamps.

Here belongs what is said before the first event. Dates are written in the language of the tool's user and without a
time zone: they are read as UTC, and that is stated.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from fleet_assets.ingestion.recordings.can_logs.frames import Losses, plausible_utc

HEADER_BYTES: Final = 1 << 16
_DATE: Final = re.compile(rb"^[ \t]*date[ \t]+([^\r\n]{1,100})", re.MULTILINE | re.IGNORECASE)
_TRIGGER: Final = re.compile(
    rb"^[ \t]*begin[ \t]+triggerblock[ \t]+([^\r\n]{1,100})(?:[\r\n]+[ \t]*(\d{1,20}\.\d{1,9}))?",
    re.MULTILINE | re.IGNORECASE,
)
_BASE: Final = re.compile(
    rb"^[ \t]*base[ \t]+(hex|dec)\b(?:[ \t]+timestamps[ \t]+(absolute|relative))?", re.MULTILINE | re.IGNORECASE
)
_STAMP: Final = re.compile(
    r"(?P<month>[^\W\d]{3})\w*\.?\s+(?P<day>\d{1,2})\s+(?P<hour>\d{1,2}):(?P<minute>\d{2}):(?P<second>\d{2})"
    r"(?:\.(?P<fraction>\d{1,6}))?\s*(?P<half>[AaPp][Mm])?\s+(?P<year>\d{4})"
)
# English and German, as Vector's tools write them.
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        ("jan", "feb", "mar mär mrz", "apr", "may mai", "jun", "jul", "aug", "sep", "oct okt", "nov", "dec dez"), 1
    )
    for name in names.split()
}
_HOURS: Final = 12


@dataclass(frozen=True, slots=True)
class AscHeader:
    """What the header says.

    Attributes:
        start_ns: Date of the measurement's start read as UTC, ns; None where no plausible one is stated.
        base: 10 or 16.
        relative: Whether a time stamp counts from the event before.
        stated_base: Whether the header states the base.
    """

    start_ns: int | None
    base: int
    relative: bool
    stated_base: bool


def parse_date(text: bytes) -> int | None:
    """Nanoseconds since 1970 of a date such as ``Wed Apr 16 09:21:13.159 am 2014``, read as UTC; None if it is none."""
    try:
        words = text.decode("utf-8")
    except UnicodeDecodeError:
        words = text.decode("latin-1")
    match = _STAMP.search(words)
    month = _MONTHS.get(match["month"].lower()) if match else None
    if match is None or month is None:
        return None
    hour = int(match["hour"])
    if match["half"]:
        hour = hour % _HOURS + (_HOURS if match["half"].lower() == "pm" else 0)
    try:
        moment = datetime(
            int(match["year"]), month, int(match["day"]), hour, int(match["minute"]), int(match["second"]), tzinfo=UTC
        )
    except ValueError:
        return None
    micros = int((match["fraction"] or "").ljust(6, "0"))
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * 1_000_000_000 + micros * 1000


def read_header(path: Path) -> AscHeader:
    """Read what a file says before its events.

    The first trigger block's date counts where its events begin at zero: converters write the date of the conversion
    into the header, and recorders the same date into both.
    """
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    date, trigger, base = _DATE.search(head), _TRIGGER.search(head), _BASE.search(head)
    start = parse_date(date[1]) if date else None
    if trigger and trigger[2] and float(trigger[2]) == 0.0:
        start = parse_date(trigger[1]) or start
    return AscHeader(
        start_ns=start if start is not None and plausible_utc(start) else None,
        base=10 if base and base[1].lower() == b"dec" else 16,
        relative=bool(base and base[2] and base[2].lower() == b"relative"),
        stated_base=base is not None,
    )


def state_header(header: AscHeader, losses: Losses) -> None:
    """State what a reader of the recording has to know about its header."""
    if header.start_ns is None:
        losses.add("no_start", "no plausible date in the header. Time stamps count from the measurement's start")
    else:
        losses.add("local_time", "the header's date has no time zone and was read as UTC")
    if not header.stated_base:
        losses.add("missing_header", "no base of numbers is stated; hexadecimal was taken")
