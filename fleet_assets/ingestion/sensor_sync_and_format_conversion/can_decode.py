"""CAN frames to physical values, a whole column at a time.

Here belong message layouts and bit extraction. cantools parses the database; decoding frame by frame with it would cost
hundreds of times more. Which messages a sensor uses is said by the vehicle spec (`decode.py`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.bits import BYTE_BITS, as_numbers, take_bits

_HIGHEST_STANDARD_ID: Final = 0x7FF
_EXTENDED_FLAG: Final = 0x80000000
_STRING: Final = re.compile(r'"(?:\\"|[^"])*"')
_STATEMENT: Final = re.compile(r"^[ \t]*(?=[A-Z][A-Z_0-9]*[ \t:]|[A-Z][A-Z_0-9]*$)", re.MULTILINE)
_MESSAGE: Final = re.compile(r"BO_\s+(?P<id>\d+)\s+(?P<name>\w+)\s*:")
_SIGNAL: Final = re.compile(r"SG_\s+[A-Za-z_]\w*\s*(?:M|m\d+M?)?\s*:")
_ABOUT_MESSAGE: Final = re.compile(r"(?:SIG_VALTYPE_|SG_MUL_VAL_)\s+(?P<id>\d+)\b")
_BARE_FRACTION: Final = re.compile(r"(?<=[(,\[|-])\.(?=\d)")
# SAE J1939-21: priority and source address vary; below 240 the low byte of the parameter group is a destination.
_J1939_BROADCAST_MASK: Final = 0x03FFFF00
_J1939_ADDRESSED_MASK: Final = 0x03FF0000
_J1939_FIRST_BROADCAST_FORMAT: Final = 240


class CanDatabaseError(ValueError):
    """A CAN database that cannot be parsed, or that lacks a message or signal that is asked for."""


@dataclass(frozen=True, slots=True)
class Multiplexer:
    """A signal is in the frame only when the selector's raw value is one of these."""

    selector: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SignalLayout:
    """Where a signal's bits are and what they mean.

    Attributes:
        name: Name in the database.
        start: Start bit as DBC counts: least significant bit for little endian, most significant for big endian.
        length: Bits.
        big_endian: Motorola byte order.
        signed: Two's complement.
        floating: IEEE 754 of 16, 32 or 64 bits.
        scale: Factor of the physical value.
        offset: Offset of the physical value.
        unit: Unit as the database states it.
        multiplexer: When the signal is there, or None for always.
    """

    name: str
    start: int
    length: int
    big_endian: bool
    signed: bool
    floating: bool
    scale: float
    offset: float
    unit: str = ""
    multiplexer: Multiplexer | None = None

    @property
    def bytes(self) -> tuple[tuple[int, int], ...]:
        """(byte index, left shift) of each byte that holds a part; a negative shift goes right."""
        first, within = divmod(self.start, BYTE_BITS)
        if self.big_endian:
            highest = first * BYTE_BITS + BYTE_BITS - 1 - within
            last, below = divmod(highest + self.length - 1, BYTE_BITS)
            unused = BYTE_BITS - 1 - below
            return tuple((last - k, BYTE_BITS * k - unused) for k in range(last - first + 1))
        end = (self.start + self.length - 1) // BYTE_BITS
        return tuple((first + k, BYTE_BITS * k - within) for k in range(end - first + 1))

    @property
    def bytes_needed(self) -> int:
        """Shortest frame that holds the whole signal."""
        return max(index for index, _ in self.bytes) + 1


@dataclass(frozen=True, slots=True)
class MessageLayout:
    """One CAN message.

    Attributes:
        name: Name in the database.
        frame_id: CAN id without flags.
        is_extended: 29-bit id.
        id_mask: Bits of the id that must agree.
        signals: Signal by name.
    """

    name: str
    frame_id: int
    is_extended: bool
    id_mask: int
    signals: Mapping[str, SignalLayout]

    def matches_id(self, can_id: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each id (uint32[n]) is this message's, as far as the mask compares."""
        same: NDArray[np.bool_] = (can_id & np.uint32(self.id_mask)) == np.uint32(self.frame_id & self.id_mask)
        return same


@dataclass(frozen=True, slots=True)
class Decoded:
    """One signal over the frames of one message.

    Attributes:
        values: float64[n]; NaN where the frame does not hold the signal.
        present: bool[n]; False where the multiplexer selects others.
        short: bool[n]; True where the frame ends before the signal does.
    """

    values: NDArray[np.float64]
    present: NDArray[np.bool_]
    short: NDArray[np.bool_]


def _statements(text: str) -> Iterator[str]:
    """Yield the statements of a database, strings over several lines (comments) emptied."""
    flat = _STRING.sub(lambda match: match[0] if "\n" not in match[0] else '""', text)
    starts = [match.start() for match in _STATEMENT.finditer(flat)]
    for first, end in zip(starts, (*starts[1:], len(flat)), strict=True):
        yield flat[first:end].strip()


@dataclass(frozen=True, slots=True)
class _Text:
    """A message's text: its id as written, its head from the name on, its signals, and statements about it."""

    number: str
    head: str
    signals: list[str]
    notes: list[str]


@lru_cache(maxsize=8)
def _message_texts(text: str) -> Mapping[str, tuple[_Text, ...]]:
    """Texts by message name; signals whose names no parser takes are left out."""
    found: dict[str, list[_Text]] = {}
    by_number: dict[str, _Text] = {}
    open_message: _Text | None = None
    for statement in _statements(text):
        if match := _MESSAGE.match(statement):
            open_message = _Text(match["id"], statement[match.start("name") :], [], [])
            found.setdefault(match["name"], []).append(open_message)
            by_number[match["id"]] = open_message
        elif open_message is not None and statement.startswith("SG_ "):
            if _SIGNAL.match(statement):
                open_message.signals.append(_BARE_FRACTION.sub("0.", statement))
        else:
            open_message = None
            about = _ABOUT_MESSAGE.match(statement)
            if about and about["id"] in by_number:
                by_number[about["id"]].notes.append(statement)
    return {name: tuple(texts) for name, texts in found.items()}


def excerpt(text: str, messages: frozenset[str]) -> str:
    """Cut a database down to some messages.

    Databases found in the wild often fail a strict parser over comments, value tables or messages that nobody asked
    for, and a whole parse costs more than decoding a drive. Ids above 11 bits without the flag for 29 bits receive it,
    and `.25` becomes `0.25`.

    Args:
        text: The database.
        messages: Names of the wanted messages.

    Raises:
        CanDatabaseError: When a message is missing or defined twice.
    """
    texts = _message_texts(text)
    if missing := messages - texts.keys():
        raise CanDatabaseError(f"no message {', '.join(sorted(missing))}. Correct the name or use another database")
    if twice := [name for name in sorted(messages) if len(texts[name]) > 1]:
        raise CanDatabaseError(f"message {', '.join(twice)} is defined twice. Remove one definition")
    lines: list[str] = ['VERSION ""', "NS_ :", "BS_:", "BU_:"]
    notes: list[str] = []
    for name in sorted(messages):
        (message,) = texts[name]
        number = int(message.number)
        flagged = str(number | _EXTENDED_FLAG if number > _HIGHEST_STANDARD_ID else number)
        lines += [f"BO_ {flagged} {message.head}", *(f" {signal}" for signal in message.signals)]
        notes += [note.replace(message.number, flagged, 1) for note in message.notes]
    return "\n".join([*lines, *notes]) + "\n"


def _id_mask(frame_id: int, by_parameter_group: bool) -> int:
    if not by_parameter_group:
        return 0xFFFFFFFF
    broadcast = (frame_id >> 16) & 0xFF >= _J1939_FIRST_BROADCAST_FORMAT
    return _J1939_BROADCAST_MASK if broadcast else _J1939_ADDRESSED_MASK


def _layout(signal: Any) -> SignalLayout:
    ids = signal.multiplexer_ids
    return SignalLayout(
        name=signal.name,
        start=signal.start,
        length=signal.length,
        big_endian=signal.byte_order == "big_endian",
        signed=signal.is_signed,
        floating=signal.is_float,
        scale=float(signal.scale),
        offset=float(signal.offset),
        unit=signal.unit or "",
        multiplexer=Multiplexer(signal.multiplexer_signal, tuple(ids)) if ids else None,
    )


@lru_cache(maxsize=64)
def parse_messages(text: str, messages: frozenset[str], by_parameter_group: bool) -> Mapping[str, MessageLayout]:
    """Parse the wanted messages of a database; kept per process.

    Args:
        text: The database.
        messages: Names of the wanted messages.
        by_parameter_group: Whether ids match by SAE J1939 parameter group.

    Raises:
        CanDatabaseError: When it cannot be parsed or a message is missing.
    """
    import cantools

    try:
        database: Any = cantools.database.load_string(excerpt(text, messages), "dbc", strict=False)
    except CanDatabaseError:
        raise
    except (cantools.Error, ValueError, KeyError) as error:
        raise CanDatabaseError(f"not a valid CAN database: {error}. Correct the line that it names") from error
    return {
        message.name: MessageLayout(
            name=message.name,
            frame_id=message.frame_id,
            is_extended=message.is_extended_frame,
            id_mask=_id_mask(message.frame_id, by_parameter_group),
            signals={signal.name: _layout(signal) for signal in message.signals},
        )
        for message in database.messages
    }


def _physical(signal: SignalLayout, raw: NDArray[np.uint64]) -> NDArray[np.float64]:
    numbers = as_numbers(raw, signal.length, signed=signal.signed, floating=signal.floating)
    with np.errstate(invalid="ignore", over="ignore"):
        return numbers.astype(np.float64) * signal.scale + signal.offset


def decode_signals(
    message: MessageLayout, names: tuple[str, ...], payload: NDArray[np.uint8], length: NDArray[Any]
) -> dict[str, Decoded]:
    """Decode some signals of many frames of one message.

    Args:
        message: The message that all frames are of.
        names: Signals wanted.
        payload: uint8[n, width], bytes beyond a frame's own length are ignored.
        length: Frame lengths in bytes, integer[n].

    Raises:
        CanDatabaseError: When the message has no such signal.
    """
    raw: dict[str, tuple[NDArray[np.uint64], Decoded]] = {}

    def one(name: str) -> tuple[NDArray[np.uint64], Decoded]:
        if name in raw:
            return raw[name]
        signal = message.signals.get(name)
        if signal is None:
            known = ", ".join(message.signals)
            raise CanDatabaseError(f"message {message.name} has no signal {name!r}. Use one of: {known}")
        short = length < signal.bytes_needed
        narrow = payload.shape[1] < signal.bytes_needed
        bits = np.zeros(len(payload), dtype=np.uint64) if narrow else take_bits(payload, signal.bytes, signal.length)
        short = np.ones(len(payload), dtype=np.bool_) if narrow else short
        present = np.ones(len(payload), dtype=np.bool_)
        if signal.multiplexer is not None:
            selected, selector = one(signal.multiplexer.selector)
            present = selector.present & ~selector.short
            present &= np.isin(selected, np.array(signal.multiplexer.values, dtype=np.uint64))
        values = _physical(signal, bits)
        unusable = short | ~present
        if unusable.any():
            values[unusable] = np.nan
        raw[name] = (bits, Decoded(values, present, short & present))
        return raw[name]

    return {name: one(name)[1] for name in names}
