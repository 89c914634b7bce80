"""Pixels of one picture: out of JPEG, PNG and raw rows, and into JPEG without anything but the picture.

Here belongs what is done to a single picture. A JPEG's metadata (EXIF with position and serial number, thumbnails that
would show what was blurred, comments, further pictures behind the end) never leaves this module.

Source: ITU-T T.81, annex B (markers); REP 118 and common_interfaces/sensor_msgs/image_encodings.hpp (raw encodings).
"""

import io
import re
import struct
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.media_messages import RAW
from fleet_assets.ingestion.recordings.messages.media_messages import Picture as StoredPicture

Pixels = NDArray[np.uint8]
"""uint8[height, width, 3], blue, green, red, upright."""
MOST_PIXELS: Final = 1 << 26
"""Pictures larger than this (8192 x 8192) are not decoded: a few bytes can claim them."""
_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = 1
_MIRRORED: Final = (2, 4, 5, 7)
_QUARTER_TURNS: Final[Mapping[Any, int]] = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}
"""Turns to the left that make a picture upright, after mirroring where it is mirrored."""
_FORMATS: Final = ("JPEG", "PNG")
_KEPT_MODES: Final = ("L", "RGB")
_SOI, _EOI, _SOS, _APP0, _ADOBE = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE
_PICTURE_SEGMENTS: Final = frozenset({*range(0xC0, 0xC8), *range(0xC9, 0xD0), 0xDB, 0xDC, 0xDD, _SOS})
_ADOBE_BYTES: Final = 12
_PLAIN_JFIF: Final = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
"""Says how colours are coded; density 1:1, no thumbnail."""
_SCAN_END: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_BROKEN: Final = (OSError, ValueError, SyntaxError, struct.error, KeyError, IndexError, TypeError, OverflowError)
"""What Pillow raises for damaged files, metadata included."""


class UndecodablePictureError(Exception):
    """A picture that cannot be decoded; the message is a short reason without numbers, so that it can be counted."""


def decoded(picture: StoredPicture) -> tuple[Pixels, bytes | None]:
    """Decode a picture.

    Returns:
        The pixels, upright, and the JPEG file without metadata where the picture is an upright JPEG; decoding that
        gives the same pixels.

    Raises:
        UndecodablePictureError: When it is damaged, too large, or of an unknown raw encoding.
    """
    return (_raw(picture), None) if picture.format == RAW else _file(picture)


def _file(picture: StoredPicture) -> tuple[Pixels, bytes | None]:
    from PIL import Image

    data = bytes(picture.data)
    # What is shown is decoded from what is kept, so that nobody can see in it what was not looked at.
    kept = without_metadata(data) if picture.format == "jpeg" else None
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as stated:
            orientation = _orientation(stated)
        with Image.open(io.BytesIO(kept or data), formats=_FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise UndecodablePictureError("larger than allowed")
            opened.load()
            plain = opened.mode in _KEPT_MODES and orientation == _UPRIGHT
            pixels = _turned(_pixels(opened), orientation)
    except Image.DecompressionBombError as error:
        raise UndecodablePictureError("larger than allowed") from error
    except _BROKEN as error:
        raise UndecodablePictureError("a damaged file") from error
    return pixels, kept if plain else None


def _turned(pixels: Pixels, orientation: Any) -> Pixels:
    """Turn a picture upright; EXIF orientations 2, 4, 5 and 7 are mirrored ones."""
    if orientation in _MIRRORED:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, _QUARTER_TURNS.get(orientation, 0)))


def _orientation(image: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return image.getexif().get(_ORIENTATION, _UPRIGHT)
        except _BROKEN:  # the picture itself need not be damaged
            return _UPRIGHT


def _pixels(image: Any) -> Pixels:
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    colours = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    return np.ascontiguousarray(colours[:, :, ::-1])


def without_metadata(data: bytes) -> bytes | None:
    """A JPEG file reduced to what decoding its (first) picture needs.

    Args:
        data: The file.

    Returns:
        The file without metadata, further pictures and anything behind the end; None where its segments do not add up,
        or it has no end.
    """
    if data[:2] != b"\xff\xd8":
        return None
    parts, at, scans = [b"\xff\xd8"], 2, 0
    while at + 2 <= len(data):
        if data[at] != 0xFF:  # noqa: PLR2004 - every marker begins so
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            at += 1
            continue
        if marker == _EOI:
            return b"".join((*parts, b"\xff\xd9")) if scans else None
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4:
            return None
        parts.append(_kept(marker, data[at:end]))
        at = end
        if marker == _SOS:
            found = _SCAN_END.search(data, at)
            end = len(data) if found is None else found.start()
            parts.append(data[at:end])
            at, scans = end, scans + 1
    return None


def _kept(marker: int, segment: bytes) -> bytes:
    if marker in _PICTURE_SEGMENTS:
        return segment
    if marker == _APP0 and segment[4:9] == b"JFIF\x00":
        return _PLAIN_JFIF
    if marker == _ADOBE and segment[4:9] == b"Adobe" and len(segment) >= 4 + _ADOBE_BYTES:
        return b"\xff\xee\x00\x0e" + segment[4 : 4 + _ADOBE_BYTES]
    return b""


def jpeg_of(pixels: Pixels, quality: int, *, is_rgb: bool = False) -> bytes:
    """Encode pixels as JPEG without metadata; the same pixels give the same bytes.

    Args:
        pixels: uint8[height, width, 3], blue, green, red.
        quality: As libjpeg counts it.
        is_rgb: Whether they are red, green, blue instead.
    """
    from PIL import Image

    sink = io.BytesIO()
    rgb = pixels if is_rgb else pixels[:, :, ::-1]
    Image.fromarray(np.ascontiguousarray(rgb)).save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def _rows(picture: StoredPicture, pixel_bytes: int) -> NDArray[np.uint8]:
    """uint8[height, width, pixel_bytes] of rows that may be longer than their pixels."""
    width, height, step = picture.width, picture.height, picture.step
    if width * height > MOST_PIXELS:
        raise UndecodablePictureError("larger than allowed")
    if step < width * pixel_bytes or step * height > len(picture.data):
        raise UndecodablePictureError("shorter than its rows")
    rows = np.frombuffer(picture.data, np.uint8, step * height).reshape(height, step)
    return rows[:, : width * pixel_bytes].reshape(height, width, pixel_bytes)


def _taken(pixel_bytes: int, *order: int) -> Callable[[StoredPicture], NDArray[np.uint8]]:
    return lambda picture: _rows(picture, pixel_bytes)[:, :, list(order)]


def _deep(picture: StoredPicture) -> NDArray[np.uint8]:
    # Little-endian: the second byte of each value is the more significant one.
    return _rows(picture, 2)[:, :, [1, 1, 1]]


def _converted(name: str, pixel_bytes: int) -> Callable[[StoredPicture], Any]:
    def convert(picture: StoredPicture) -> Any:
        import cv2

        rows = _rows(picture, pixel_bytes)
        if min(rows.shape[:2]) < 4 or rows.shape[0] % 2 or rows.shape[1] % 2:  # noqa: PLR2004 - whole cells
            raise UndecodablePictureError("of odd size for its encoding")
        return cv2.cvtColor(np.ascontiguousarray(rows), getattr(cv2, name))

    return convert


# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first row's first two.
_ENCODINGS: Final[Mapping[str, Callable[[StoredPicture], Any]]] = {
    "mono8": _taken(1, 0, 0, 0), "8UC1": _taken(1, 0, 0, 0), "mono16": _deep, "16UC1": _deep,
    "bgr8": _taken(3, 0, 1, 2), "8UC3": _taken(3, 0, 1, 2), "rgb8": _taken(3, 2, 1, 0),
    "bgra8": _taken(4, 0, 1, 2), "8UC4": _taken(4, 0, 1, 2), "rgba8": _taken(4, 2, 1, 0),
    "bayer_rggb8": _converted("COLOR_BayerBG2BGR", 1), "bayer_bggr8": _converted("COLOR_BayerRG2BGR", 1),
    "bayer_gbrg8": _converted("COLOR_BayerGR2BGR", 1), "bayer_grbg8": _converted("COLOR_BayerGB2BGR", 1),
    "yuv422": _converted("COLOR_YUV2BGR_UYVY", 2), "uyvy": _converted("COLOR_YUV2BGR_UYVY", 2),
    "yuv422_yuy2": _converted("COLOR_YUV2BGR_YUY2", 2), "yuyv": _converted("COLOR_YUV2BGR_YUY2", 2),
}  # fmt: skip


def _raw(picture: StoredPicture) -> Pixels:
    convert = _ENCODINGS.get(picture.encoding)
    if convert is None:
        raise UndecodablePictureError(f"of raw encoding {picture.encoding[:40]!r}, which is not known")
    return np.ascontiguousarray(convert(picture))
