"""Opening a drive's files with the right reader, told from their content and never from their names.

Here belongs the list of formats. What each reader does is in its own module.
"""

import codecs
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from fleet_assets.ingestion.recordings.arrays import comma2k19
from fleet_assets.ingestion.recordings.can_logs import asc, blf, candump
from fleet_assets.ingestion.recordings.images import stills
from fleet_assets.ingestion.recordings.mcap import reader as mcap
from fleet_assets.ingestion.recordings.mdf4 import reader as mdf4
from fleet_assets.ingestion.recordings.mdf4.layout import is_mdf4
from fleet_assets.ingestion.recordings.protocol import Files, Recording, UnreadableRecordingError
from fleet_assets.ingestion.recordings.ros_bags import ros1_bag, ros2_bag
from fleet_assets.ingestion.recordings.tables import csv_table, gpx, json_points
from fleet_assets.ingestion.recordings.video import annexb, video
from fleet_assets.policy.table_layouts import TableLayout

_HEAD_BYTES: Final = 4096
_KEPT_BYTES: Final = 1 << 24


def _open_stills(files: Files, table: TableLayout | None) -> Recording:
    stated = None if table is None else table.interval_ns
    return stills.ImagesRecording(files, stills.INTERVAL_NS if stated is None else stated)


_OPENERS: Final[Mapping[str, Callable[[Files, TableLayout | None], Recording]]] = {
    comma2k19.FORMAT: lambda files, _: comma2k19.Comma2k19Recording(files),
    mdf4.FORMAT: lambda files, _: mdf4.Mdf4Recording(files),
    mcap.FORMAT: lambda files, _: mcap.McapRecording(files),
    ros1_bag.FORMAT: lambda files, _: ros1_bag.Ros1BagRecording(files),
    ros2_bag.FORMAT: lambda files, _: ros2_bag.Ros2BagRecording(files),
    video.FORMAT: lambda files, _: video.VideoRecording(files),
    stills.FORMAT: _open_stills,
    blf.FORMAT: lambda files, _: blf.BlfRecording(files),
    asc.FORMAT: lambda files, _: asc.AscRecording(files),
    candump.FORMAT: lambda files, _: candump.CandumpRecording(files),
    gpx.FORMAT: lambda files, _: gpx.GpxRecording(files),
    json_points.FORMAT: json_points.JsonPointsRecording,
    csv_table.FORMAT: csv_table.CsvRecording,
}
_SNIFFERS: Final[Mapping[str, Callable[[bytes], bool]]] = {
    comma2k19.FORMAT: comma2k19.is_array,
    mdf4.FORMAT: is_mdf4,
    mcap.FORMAT: mcap.is_mcap,
    ros1_bag.FORMAT: ros1_bag.is_ros1,
    ros2_bag.FORMAT: ros2_bag.is_ros2,
    video.FORMAT: video.is_video,
    stills.FORMAT: stills.is_image,
    blf.FORMAT: blf.is_blf,
    asc.FORMAT: asc.is_asc,
    candump.FORMAT: candump.is_candump,
    gpx.FORMAT: gpx.is_gpx,
    json_points.FORMAT: json_points.is_json_points,
    csv_table.FORMAT: csv_table.is_csv,
}
FORMATS: Final = tuple(_OPENERS)
# Only to name what was found; https://en.wikipedia.org/wiki/List_of_file_signatures
_SIGNATURES: Final = (
    (b"#ROSBAG V1", "ROS bag of a format before 2.0"),
    (b"MDF     ", "MDF of a version before 4"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"PAR1", "Parquet"),
    (b"# .PCD", "PCD point cloud"),
    (b"\0\0\0\r\n\tOSMHeader", "OpenStreetMap extract"),
    (b"\0\0\0\x0e\n\tOSMHeader", "OpenStreetMap extract"),
    (b'VERSION "', "CAN database"),
    (b"%PDF-", "PDF"),
)
_UNPACK: Final = "Unpack archives first; use one of the formats: "


def _describe(head: bytes) -> str:
    if not head:
        return "empty"
    if not head.strip(b"\x00"):
        return "zeros only"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    return "text" if _is_text(head) else f"unknown content ({head[:8].hex(' ')})"


def _is_text(head: bytes) -> bool:
    """Whether a file begins as UTF-8 text; the last character may be cut."""
    try:
        text = head.decode() if len(head) < _HEAD_BYTES else codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() or character == "\ufeff" for character in text)


def _heads(files: Files) -> dict[str, bytes]:
    heads = {}
    for name in sorted(files):
        with files[name].open("rb") as stream:
            heads[name] = stream.read(_HEAD_BYTES)
    return heads


def sniff_format(files: Files) -> str:
    """Tell the recording format from the first bytes of the files.

    Args:
        files: The drive's files.

    Raises:
        UnreadableRecordingError: Naming what was found when no format is recognised, or when files of two formats lie
            in one drive.
    """
    heads = _heads(files)
    if any(map(ros2_bag.is_ros2_metadata, heads.values())):
        # The files that a bag's metadata lists are of whatever format its recorder stores.
        heads = {name: head for name, head in heads.items() if not ros2_bag.is_part(head)}
        heads["metadata.yaml"] = ros2_bag.METADATA_MARK
    found = {name: [path for path, head in heads.items() if knows(head)] for name, knows in _SNIFFERS.items()}
    matching = [name for name, paths in found.items() if paths]
    if len(matching) > 1:
        # Previews lie beside recordings of every format.
        matching = [name for name in matching if name != stills.FORMAT]
    if len(matching) == 1:
        return matching[0]
    first = min(files, default="(no files)")
    if matching:
        mixed = ", ".join(f"{name} ({found[name][0]})" for name in matching)
        raise UnreadableRecordingError(
            first, "mixed_formats", value=mixed, limit="one format per drive", remedy="Make them two drives."
        )
    for name, head in heads.items():
        if codec := annexb.codec_of(head):
            raise annexb.refusal(name, files[name], codec)
    seen = sorted({_describe(head) for head in heads.values()})
    raise UnreadableRecordingError(
        first, "unknown_format", value=", ".join(seen) or "no files", remedy=_UNPACK + ", ".join(FORMATS) + "."
    )


def _keep_freed_memory() -> None:
    """Let the C library keep some freed memory for the next large messages instead of giving it back each time.

    From the largest block that was freed, glibc learns how much to keep (mallopt(3), ``M_MMAP_THRESHOLD``); pages given
    back are cleared by the kernel when they come again, which costs as much as reading a picture does.
    """
    np.empty(_KEPT_BYTES, np.uint8)  # pages never touched cost nothing


def open_recording(files: Files, formats: Sequence[str] = (), table: TableLayout | None = None) -> Recording:
    """Open a drive's files.

    Args:
        files: Relative name → where the bytes are. Paths may be content-addressed, their own names mean nothing.
        formats: Formats that the vehicle spec admits; told from the content when empty.
        table: How rows of a text table become messages, or how far apart pictures are, as the vehicle spec says.

    Raises:
        UnreadableRecordingError: When the format is unknown, is not what was stated, or nothing useful can be read.
    """
    _keep_freed_memory()
    if unknown := [name for name in formats if name not in _OPENERS]:
        raise UnreadableRecordingError(
            min(files, default="(no files)"),
            "unknown_format",
            value=", ".join(unknown),
            remedy=_UNPACK + ", ".join(FORMATS) + ".",
        )
    found = sniff_format(files)
    if formats and found not in formats:
        raise UnreadableRecordingError(
            min(files),
            "wrong_format",
            value=found,
            limit=" or ".join(formats),
            remedy="Name the vehicle spec of this recorder, or correct `format` in the spec.",
        )
    return _OPENERS[found](files, table)
