"""When a picture was taken, and its size: what the head of a JPEG or PNG file states.

Here belongs reading one file's head. How pictures follow each other is in `stills.py`; pixels are not looked at.

Source: CIPA DC-008 (Exif 2.32), tags DateTimeOriginal, SubSecTimeOriginal and OffsetTimeOriginal.
"""

import re
import struct
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from fleet_assets.ingestion.recordings.protocol import NS_PER_S

_EXIF_IFD: Final = 0x8769
_TAKEN, _OFFSET, _SUBSECOND = 0x9003, 0x9011, 0x9291
_TIME: Final = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)\x00?\s*")
_ZONE: Final = re.compile(r"([+-])(\d\d):(\d\d)\x00?\s*")
_DIGITS: Final = re.compile(r"(\d{1,9})[\x00\s]*")
_BROKEN: Final = (OSError, ValueError, SyntaxError, struct.error, KeyError, IndexError, TypeError, OverflowError)
"""What Pillow raises for damaged files."""


class BrokenPictureError(Exception):
    """A file whose head is no picture's."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a picture's head states.

    Attributes:
        width: Columns as stored.
        height: Rows as stored.
        taken_ns: When it was taken, ns since 1970; None where it does not say. UTC where `zoned`, else the camera's
            local time counted as if it were UTC.
        exact: Whether it states fractions of a second.
        zoned: Whether it states its offset from UTC.
    """

    width: int
    height: int
    taken_ns: int | None = None
    exact: bool = False
    zoned: bool = False


def read_head(path: Path) -> Head:
    """Read a picture's head.

    Raises:
        BrokenPictureError: When it is damaged.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            width, height = image.size
            stated = _stated(image)
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise BrokenPictureError(str(error).partition(":")[0] or type(error).__name__) from error
    return Head(width, height, *_taken(stated))


def _stated(image: Any) -> dict[int, Any]:
    """EXIF entries; damaged ones are as good as none, for the picture is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return dict(image.getexif().get_ifd(_EXIF_IFD))
        except _BROKEN:
            return {}


def _taken(entries: dict[int, Any]) -> tuple[int | None, bool, bool]:
    """When it was taken, whether to the fraction of a second, and whether with an offset from UTC."""
    if not (match := _TIME.fullmatch(str(entries.get(_TAKEN, "")))):
        return None, False, False
    zone = _ZONE.fullmatch(str(entries.get(_OFFSET, "")))
    try:
        offset = UTC
        if zone:
            sign = -1 if zone[1] == "-" else 1
            offset = timezone(sign * timedelta(hours=int(zone[2]), minutes=int(zone[3])))
        year, month, day, hour, minute, second = map(int, match.groups())
        taken = datetime(year, month, day, hour, minute, second, tzinfo=offset)
    except ValueError:  # the thirteenth month, or an offset of a day
        return None, False, False
    fraction = _DIGITS.fullmatch(str(entries.get(_SUBSECOND, "")))
    below_ns = int(fraction[1].ljust(9, "0")) if fraction else 0
    return int(taken.timestamp()) * NS_PER_S + below_ns, fraction is not None, zone is not None
