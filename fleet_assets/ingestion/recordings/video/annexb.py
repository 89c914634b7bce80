"""Raw H.264 and H.265 streams without a container (ITU-T H.264 and H.265, Annex B): recognised, counted, refused.

Such a stream states at most a nominal frame rate, never when a frame was taken or which frames the recorder dropped, so
its messages have no time. Inside another recording it is a companion file. Videos with times are read by `video.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError

_START: Final = b"\0\0\1"
_BLOCK: Final = 1 << 20
_UNIT_HEAD: Final = 3
_H265_FIRST_TYPES: Final = (32, 33, 34, 35, 39)
_H264_FIRST_TYPES: Final = (6, 7, 8, 9)
_H264_SLICES: Final = (1, 5)
_H265_LAST_SLICE: Final = 31
_FIRST_SLICE_BIT: Final = 0x80
_CONTAIN: Final = (
    "Wrap it into a container at the rate that it was recorded with: ffmpeg -framerate 20 -i IN -c copy OUT.mp4. If "
    "the recorder kept the frames' times in another file, upload the folder that holds both"
)


def codec_of(head: bytes) -> str | None:
    """``h264`` or ``hevc`` where a file begins as such a stream does, with parameter sets or a delimiter."""
    at = head.find(_START)
    if at not in (0, 1) or head[:at].strip(b"\0") or len(head) < at + 2 * _UNIT_HEAD:
        return None
    first, second = head[at + 3], head[at + 4]
    # H.265 has two bytes of header: type in bits 1 to 6, layer 0, temporal id + 1 of 1.
    if second == 1 and first >> 1 in _H265_FIRST_TYPES and not first & 1:
        return "hevc"
    return "h264" if first & 0x1F in _H264_FIRST_TYPES and not first & 0x80 else None


def _unit_heads(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        carried = b""
        while block := stream.read(_BLOCK):
            data = carried + block
            at, reach = data.find(_START), len(data) - len(_START) - _UNIT_HEAD
            while 0 <= at <= reach:
                yield data[at + 3 : at + 3 + _UNIT_HEAD]
                at = data.find(_START, at + 3)
            carried = data[at:] if at >= 0 else data[-2:]
        if carried.startswith(_START) and len(carried) > len(_START) + 1:
            yield carried[3 : 3 + _UNIT_HEAD]


def frame_count(path: Path, codec: str) -> int:
    """Number of frames: of units that are the first slice of a picture."""
    if codec == "hevc":
        heads = (head for head in _unit_heads(path) if len(head) == _UNIT_HEAD)
        return sum(1 for head in heads if head[0] >> 1 <= _H265_LAST_SLICE and head[2] & _FIRST_SLICE_BIT)
    heads = (head for head in _unit_heads(path) if len(head) > 1)
    return sum(1 for head in heads if head[0] & 0x1F in _H264_SLICES and head[1] & _FIRST_SLICE_BIT)


def refusal(name: str, path: Path, codec: str) -> UnreadableRecordingError:
    """Why such a stream alone is no recording.

    Args:
        name: Relative name inside the drive.
        path: Where its bytes are.
        codec: Codec, from `codec_of`.
    """
    found = f"{frame_count(path, codec)} frames of raw {codec}"
    return UnreadableRecordingError(name, "no_time", value=found, limit="frames with times", remedy=f"{_CONTAIN}.")
