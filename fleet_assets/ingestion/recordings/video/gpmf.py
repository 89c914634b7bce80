"""GoPro telemetry (GPMF): the streams of numbers inside the payloads of a video's metadata track.

Format: https://github.com/gopro/gpmf-parser. A stream becomes the channel ``gpmf/KEY`` after its four-character key (of
further devices ``gpmf/DEVICE/KEY``) with one column ``value``, scaled by SCAL and turned to the axis order of ORIO
where the stream states one. Here belongs what is in one payload; when its samples were taken is worked out in
`gpmf_clock.py`. What a stream means is the vehicle spec's business.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ENTRY: Final = "gpmd"
"""Sample description of tracks that hold such payloads."""
BEGINNING: Final = b"DEVC\0"
"""What every payload begins with."""
MAX_PAYLOAD_BYTES: Final = 1 << 25
"""Four devices with a full stream each; more can only be a damaged size."""
_KEY: Final = re.compile(rb"[A-Za-z0-9_ ]{4}")
_NEST: Final = 0
_STREAM_MARK: Final = re.compile(rb"STRM\0")
_NUMBERS: Final[Mapping[str, str]] = {
    "b": "i1", "B": "u1", "s": ">i2", "S": ">u2", "l": ">i4", "L": ">u4", "j": ">i8", "J": ">u8",
    "f": ">f4", "d": ">f8", "q": ">i4", "Q": ">i8",
}  # fmt: skip
_WHOLE: Final = "bBsSlLjJ"
_LONGEST_ABOUT: Final = 255
"""Bytes of the longest description of a device; anything longer is a stream whose name is damaged."""
_LONGEST_DELAY_S: Final = 10.0
_FIXED_POINT: Final = {"q": 2.0**16, "Q": 2.0**32}
_WIDTHS: Final = {"c": 1, "F": 4, "G": 16, "U": 16}
_COMPLEX: Final = "?"
_TYPES: Final = re.compile(r"([A-Za-z])(?:\[(\d{1,3})\])?")
# Items of a stream that describe the samples; the samples themselves come last.
_ABOUT: Final = frozenset(
    b"DVID DVNM STNM RMRK SCAL SIUN UNIT TYPE TSMP TIMO EMPT STMP STPS TICK TOCK MTRX ORIN ORIO TMPC QUAN VERS VPTS "
    b"GPSF GPSU GPSP GPSA".split()
)
_DAYS_SINCE: Final = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_DAY_S: Final = 86_400.0
_FIX_COLUMNS: Final = 9
"""Numbers of a GPS sample that states its own time: …, days since 2000, seconds since midnight, DOP, fix."""
GPS_FIELDS: Final = ("utc_s", "fix", "dop")


@dataclass(frozen=True, slots=True)
class Item:
    """Key, type, size of a sample, number of samples, and where their bytes lie in the payload."""

    key: bytes
    kind: int
    size: int
    repeat: int
    body: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """One stream's share of a payload.

    Attributes:
        device: Id of the device.
        key: Key of the samples.
        items: Where the samples are; several where each holds what was found at one instant.
        about: What describes them, by key.
        payload: The bytes.
    """

    device: int
    key: str
    items: tuple[Item, ...]
    about: Mapping[bytes, Item]
    payload: bytes = field(repr=False)

    @property
    def samples(self) -> int:
        """Samples, counted one by one."""
        return sum(item.repeat for item in self.items)

    @property
    def listed(self) -> bool:
        """Whether each item is one instant with a list of things, or what it holds are no numbers."""
        return len(self.items) > 1 or self.items[0].kind == _NEST or not self.columns()

    def integer(self, key: bytes) -> int | None:
        """A describing whole number, or None."""
        item = self.about.get(key)
        data = self.content(item) if item is not None and chr(item.kind) in _WHOLE else b""
        return int.from_bytes(data[: item.size], "big") if item is not None and data else None

    @property
    def delay_s(self) -> float:
        """Seconds that the samples come late by (TIMO)."""
        item = self.about.get(b"TIMO")
        if item is None or (chr(item.kind), item.size, item.repeat) != ("f", 4, 1):
            return 0.0
        delay: float = struct.unpack(">f", self.content(item))[0]
        return delay if abs(delay) < _LONGEST_DELAY_S else 0.0

    def content(self, item: Item) -> bytes:
        """Bytes of an item."""
        return self.payload[item.body : item.end]

    def text(self, key: bytes) -> str:
        """A describing text; several are joined by commas."""
        item = self.about.get(key)
        if item is None or not item.size:
            return ""
        data = self.content(item).decode("latin-1")
        if item.size == 1:
            return data.strip("\0 ")
        return ",".join(data[at : at + item.size].strip("\0 ") for at in range(0, len(data), item.size))

    def columns(self) -> tuple[tuple[str, int], ...]:
        """Numbers of one sample as (type, first byte); empty where there are none or they do not add up."""
        item = self.items[0]
        kind = chr(item.kind)
        return _columns(kind, item.size, self.text(b"TYPE") if kind == _COMPLEX else "")


@lru_cache(maxsize=256)
def _columns(kinds: str, size: int, types: str) -> tuple[tuple[str, int], ...]:
    """Numbers of a sample of some type and size; payload after payload has the same."""
    if kinds == _COMPLEX:
        kinds = "".join(letter * int(repeat or 1) for letter, repeat in _TYPES.findall(types.replace(",", "")))
    elif kinds in _NUMBERS:
        kinds *= size // np.dtype(_NUMBERS[kinds]).itemsize
    found, at = [], 0
    for kind in kinds[:256]:
        if kind in _NUMBERS:
            found.append((kind, at))
            at += np.dtype(_NUMBERS[kind]).itemsize
        elif kind in _WIDTHS:
            at += _WIDTHS[kind]
        else:
            return ()
    return tuple(found) if at == size else ()


def _items(payload: bytes, start: int, end: int) -> Iterator[Item | None]:
    """Walk key-length-value items; None where one makes no sense, which ends the walk."""
    at = start
    while at + 8 <= end:
        key, kind, size, repeat = struct.unpack_from(">4sBBH", payload, at)
        if start == 0 and not payload[at:end].strip(b"\0"):
            return
        last = at + 8 + size * repeat
        if not _KEY.fullmatch(key) or last > end:
            yield None
            return
        yield Item(key, kind, size, repeat, at + 8, last)
        at = at + 8 + (size * repeat + 3) // 4 * 4


def _stream(payload: bytes, device: int, start: int, end: int) -> Part | None:
    """Read one stream; None where it holds no samples now.

    Raises:
        ValueError: When it is damaged.
    """
    about: dict[bytes, Item] = {}
    samples: list[Item] = []
    for item in _items(payload, start, end):
        if item is None:
            raise ValueError("a stream with an item that makes no sense")
        if item.key in _ABOUT:
            about[item.key] = item
        elif samples and item.key != samples[-1].key:
            # The samples come last, so what came before described them.
            about[samples[-1].key] = samples[-1]
            samples = [item]
        else:
            samples.append(item)
    if not about and not samples:
        raise ValueError("a stream without content")
    if not samples or not any(item.repeat and item.size for item in samples):
        return None
    return Part(device, samples[0].key.decode("ascii").strip(), tuple(samples), about, payload)


def _streams(payload: bytes, device: int, start: int, end: int, problems: list[str]) -> Iterator[Part]:
    at = start
    while at < end:
        following = end
        for item in _items(payload, at, end):
            if item is None:
                problems.append("a device with an item that makes no sense")
                mark = _STREAM_MARK.search(payload, at + 5, end)
                following = mark.start() if mark else end
                break
            at = item.end
            if item.key == b"DVID":
                device = int.from_bytes(payload[item.body : item.end], "big")
            elif item.kind == _NEST:
                try:
                    part = _stream(payload, device, item.body, item.end)
                except ValueError as error:
                    problems.append(str(error))
                    continue
                if part is not None:
                    yield part
            elif item.key == b"STRM" or item.end - item.body > _LONGEST_ABOUT:
                problems.append(f"{item.end - item.body} bytes outside a stream")
        at = following


def read_payload(payload: bytes, problems: list[str]) -> list[Part]:
    """Find the streams of one payload.

    Args:
        payload: Content of one sample of the track.
        problems: Takes a sentence for every damage.
    """
    parts: list[Part] = []
    found = False
    for item in _items(payload, 0, len(payload)):
        found = True
        if item is not None and item.kind == _NEST:
            parts += _streams(payload, 0, item.body, item.end, problems)
        elif item is not None:
            problems.append(f"{item.end - item.body} bytes outside a device")
        else:
            problems.append("no whole device")
            mark = _STREAM_MARK.search(payload)
            if mark and not parts:
                parts += _streams(payload, 0, mark.start(), len(payload), problems)
    if not found:
        problems.append("a payload without content")
    return parts


def _numbers(part: Part, item: Item) -> NDArray[np.float64]:
    """Numbers of an item, float64[n, k], unscaled."""
    raw = np.frombuffer(part.payload, np.uint8, item.size * item.repeat, item.body).reshape(item.repeat, item.size)
    columns = part.columns()
    if len({kind for kind, _ in columns}) == 1 and chr(item.kind) != _COMPLEX:
        kind = columns[0][0]
        values = raw.reshape(-1).view(_NUMBERS[kind]).reshape(item.repeat, -1).astype(np.float64)
        return values / _FIXED_POINT[kind] if kind in _FIXED_POINT else values
    values = np.empty((item.repeat, len(columns)))
    for index, (kind, at) in enumerate(columns):
        width = np.dtype(_NUMBERS[kind]).itemsize
        column = np.ascontiguousarray(raw[:, at : at + width]).view(_NUMBERS[kind])[:, 0].astype(np.float64)
        values[:, index] = column / _FIXED_POINT.get(kind, 1.0)
    return values


def _scales(part: Part) -> NDArray[np.float64]:
    item = part.about.get(b"SCAL")
    kind = chr(item.kind) if item is not None else ""
    if item is None or kind not in _NUMBERS or item.size % np.dtype(_NUMBERS[kind]).itemsize:
        return np.ones(1)
    found = np.frombuffer(part.content(item), _NUMBERS[kind]).astype(np.float64) / _FIXED_POINT.get(kind, 1.0)
    return np.where((found == 0) | ~np.isfinite(found), 1.0, found) if len(found) else np.ones(1)


def _turned(part: Part, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring axes stored in the order ORIN into that of ORIO; another case of the letter is the opposite sign."""
    stored, wanted = part.text(b"ORIN").replace(",", ""), part.text(b"ORIO").replace(",", "")
    axes = stored.upper()
    if len(stored) != values.shape[1] or sorted(axes) != sorted(wanted.upper()) or len(set(axes)) < len(axes):
        return values
    order = [axes.index(letter.upper()) for letter in wanted]
    signs = [1.0 if stored[at] == letter else -1.0 for at, letter in zip(order, wanted, strict=True)]
    # Adding a zero turns -0.0 into 0.0, which has other bytes.
    return values[:, order] * signs + 0.0


def _utc_s(part: Part) -> float:
    """UTC that GPSU states (``yymmddhhmmss.sss``), seconds since 1970; NaN where it makes no sense."""
    text = part.text(b"GPSU").replace(",", "")
    try:
        whole = datetime.strptime(text[:12], "%y%m%d%H%M%S").replace(tzinfo=UTC)
        return whole.timestamp() + float(f"0{text[12:]}" if text[12:] else "0")
    except ValueError:
        return np.nan


def _gps(part: Part, values: NDArray[np.float64], late_s: float) -> dict[str, NDArray[Any]]:
    count, width = values.shape
    if width == _FIX_COLUMNS:
        return {
            "utc_s": _DAYS_SINCE + values[:, 5] * _DAY_S + values[:, 6],
            "fix": values[:, 8],
            "dop": values[:, 7],
        }
    # GPSU is the newest UTC of the receiver when the payload was begun: against the payloads' own times it is steady to
    # one period of the receiver, against the first sample's only to three (MAX sample; its very first one is stale).
    utc_s = np.full(count, np.nan)
    utc_s[0] = _utc_s(part) + late_s
    fix, dop = part.integer(b"GPSF"), part.integer(b"GPSP")
    return {
        "utc_s": utc_s,
        "fix": np.full(count, np.nan if fix is None else float(fix)),
        "dop": np.full(count, np.nan if dop is None else dop / 100.0),
    }


def is_gps(part: Part) -> bool:
    """Whether a stream states fixes of a receiver: beside its samples, or inside each."""
    return b"GPSU" in part.about or (part.key.startswith("GPS") and len(part.columns()) == _FIX_COLUMNS)


def sample_count(part: Part, listed: bool) -> int:
    """Samples of a part, counted as lists or one by one."""
    return len(part.items) if listed else part.samples


def decode(part: Part, *, listed: bool, gps: bool, late_s: float = 0.0) -> dict[str, NDArray[Any]]:
    """Columns of a part.

    Args:
        part: The part.
        listed: Whether the channel counts lists instead of numbers.
        gps: Whether the channel has the columns of a receiver.
        late_s: Time of the first sample after the payload's beginning.

    Returns:
        ``value.length`` uint32[n] of a listed channel, otherwise ``value`` float64[n, k], with ``utc_s``, ``fix``
        (0 none, 2 two-dimensional, 3 three-dimensional) and ``dop`` of a receiver.
    """
    if listed:
        return {"value.length": np.array([item.repeat for item in part.items], np.uint32)}
    values = np.concatenate([_numbers(part, item) for item in part.items])
    scales = _scales(part)
    values = values / (scales[: values.shape[1]] if len(scales) >= values.shape[1] else scales[0])
    return {"value": _turned(part, values), **(_gps(part, values, late_s) if gps else {})}
