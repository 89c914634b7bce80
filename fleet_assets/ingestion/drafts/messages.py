"""The kinds of messages of a recording with named values: fields of channels, and CAN messages by their databases.

Here belongs the matching of CAN databases with what is in the log. What the values mean is guessed in `signals.py`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.drafts.rules import DraftingRules
from fleet_assets.ingestion.drafts.survey import CanId, Sample, Survey, numeric_fields
from fleet_assets.ingestion.recordings.dbc import DbcText
from fleet_assets.ingestion.sensor_sync_and_format_conversion.can_decode import (
    CanDatabaseError,
    MessageLayout,
    decode_signals,
    parse_messages,
)

CAN: Final = "can"
OTHER: Final = "other"
_MESSAGE: Final = re.compile(r"^\s*BO_\s+(\d+)\s+(\w+)\s*:\s*(\d+)", re.MULTILINE)
_EXTENDED_FLAG: Final = 0x80000000
_ID_BITS: Final = 0x1FFFFFFF
_HIGHEST_STANDARD: Final = 0x7FF
_LONGEST_FRAME: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One kind of message of a recording.

    Attributes:
        channel: Channel of the recording.
        kind: Kind of sensor that it seems to come from.
        type: Message type, where the recording states one.
        bus: CAN bus.
        dbc: Name of the CAN database, or None.
        message: Name of the CAN message; empty for channels with named fields.
        messages: How many were seen.
        rate_hz: Their median rate.
        t_ns: int64[n], time stamps of the sample.
        values: float64[n] by field or CAN signal.
        units: Stated unit by field, where one is stated.
        spanning: Whether it is longer than one frame.
    """

    channel: str
    kind: str
    messages: int
    rate_hz: float | None
    t_ns: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]
    type: str = ""
    bus: int | None = None
    dbc: str | None = None
    message: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    spanning: bool = False

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.message or self.channel


@dataclass(frozen=True, slots=True)
class Database:
    """A CAN database as far as the log uses it.

    Attributes:
        text: The database.
        by_parameter_group: Whether its ids match by SAE J1939 parameter group.
        heard: Messages of the log that it describes.
        problems: Messages of the log that it describes wrongly.
    """

    text: DbcText
    by_parameter_group: bool
    heard: tuple[Heard, ...]
    problems: tuple[str, ...]
    taken: frozenset[CanId] = frozenset()


def field_messages(found: Survey, rules: DraftingRules) -> list[Heard]:
    """Channels with named fields, and those that cannot be decoded."""
    heard = []
    for name, sample in sorted(found.fields.items()):
        channel = found.channels[name]
        heard.append(
            Heard(
                channel=name,
                kind=rules.kind(name, channel.type) or OTHER,
                messages=sample.messages,
                rate_hz=sample.rate_hz,
                t_ns=sample.t_ns,
                values=(values := numeric_fields(sample)),
                type=channel.type,
                units={field: unit for field in values if (unit := rules.known_unit(name, field))},
            )
        )
    return heard


def _layouts(database: DbcText, names: Sequence[str], by_group: bool) -> tuple[dict[str, MessageLayout], list[str]]:
    layouts, problems = {}, []
    for name in names:
        try:
            layouts[name] = parse_messages(database.text, frozenset({name}), by_group)[name]
        except CanDatabaseError as error:
            problems.append(f"{database.origin}: {name}: {error}")
    return layouts, problems


def _ids(found: Survey) -> list[CanId]:
    return sorted(found.frames, key=lambda kind: (kind.bus, kind.can_id, kind.is_extended, kind.channel))


def _matches(layout: MessageLayout, kind: CanId) -> bool:
    same = bool(layout.matches_id(np.array([kind.can_id], dtype=np.uint32))[0])
    return same and kind.is_extended == layout.is_extended


def _candidates(text: str, kinds: Sequence[CanId], by_group: bool) -> list[str]:
    """Names of messages that may be in the log, told from the ids alone: databases can have thousands."""
    groups = {kind.can_id & 0x03FF0000 for kind in kinds if kind.is_extended}
    exact = {(kind.can_id, kind.is_extended) for kind in kinds}
    found = []
    for number, name, _ in _MESSAGE.findall(text):
        flagged, can_id = int(number) > _HIGHEST_STANDARD, int(number) & _ID_BITS
        if (can_id, flagged) in exact or (by_group and flagged and can_id & 0x03FF0000 in groups):
            found.append(name)
    return list(dict.fromkeys(found))


def _heard(
    database: DbcText, layout: MessageLayout, kinds: Sequence[CanId], found: Survey, rules: DraftingRules
) -> Heard:
    """One CAN message on one bus; of several senders the most frequent one is looked at."""
    samples = [found.frames[kind] for kind in kinds]
    sample = max(samples, key=lambda one: one.messages)
    values: dict[str, NDArray[np.float64]] = {}
    data, length = sample.column("data"), sample.column("length")
    spanning = max((signal.bytes_needed for signal in layout.signals.values()), default=0) > data.shape[1]
    if not spanning:
        decoded = decode_signals(layout, tuple(layout.signals), data, length)
        values = {name: one.values for name, one in decoded.items()}
    return Heard(
        channel=kinds[0].channel,
        kind=rules.kind(layout.name) or CAN,
        messages=sum(one.messages for one in samples),
        rate_hz=_rate(samples),
        t_ns=sample.t_ns,
        values=values,
        bus=kinds[0].bus,
        dbc=database.name,
        message=layout.name,
        units={name: signal.unit for name, signal in layout.signals.items() if signal.unit},
        spanning=spanning,
    )


def _rate(samples: Sequence[Sample]) -> float | None:
    """Rate of the messages of all senders together, as a sensor of the spec hears them."""
    if len(samples) == 1:
        return samples[0].rate_hz
    last = max(sample.last_t_ns for sample in samples)
    first = min(sample.first_t_ns for sample in samples)
    count = sum(sample.messages for sample in samples)
    return (count - 1) * 1e9 / (last - first) if last > first else None


def match_database(database: DbcText, found: Survey, rules: DraftingRules) -> Database:
    """Find the messages of a log that a CAN database describes.

    Ids match as a whole, or, where only that finds 29-bit ids of the log, by SAE J1939 parameter group.
    """
    kinds = _ids(found)
    exact, wrong = _layouts(database, _candidates(database.text, kinds, by_group=False), False)
    whole = {name: [kind for kind in kinds if _matches(layout, kind)] for name, layout in exact.items()}
    layouts, matched, by_group = exact, whole, False
    grouped, also_wrong = _layouts(database, _candidates(database.text, kinds, by_group=True), True)
    by_pgn = {name: [kind for kind in kinds if _matches(layout, kind)] for name, layout in grouped.items()}
    if sum(map(bool, by_pgn.values())) > sum(map(bool, whole.values())):
        layouts, matched, by_group, wrong = grouped, by_pgn, True, also_wrong
    heard = []
    for name, mine in matched.items():
        for place in sorted({(kind.channel, kind.bus) for kind in mine}):
            here = [kind for kind in mine if (kind.channel, kind.bus) == place]
            heard.append(_heard(database, layouts[name], here, found, rules))
    taken = frozenset(kind for mine in matched.values() for kind in mine)
    return Database(database, by_group, tuple(heard), tuple(wrong), taken)


def match_databases(databases: Sequence[DbcText], found: Survey, rules: DraftingRules) -> list[Database]:
    """Match all databases; those that describe nothing are left out, each message is taken from the best one."""
    matched = [match_database(database, found, rules) for database in databases]
    matched.sort(key=lambda one: (-len(one.taken), one.text.name))
    used: set[tuple[str, int | None, str]] = set()
    taken: set[CanId] = set()
    kept = []
    for one in matched:
        fresh = tuple(item for item in one.heard if (item.channel, item.bus, item.message) not in used)
        if fresh and one.taken - taken:
            kept.append(replace(one, heard=fresh))
            used |= {(item.channel, item.bus, item.message) for item in fresh}
            taken |= one.taken
    return kept
