"""Opening a drive's files with the right reader, told from their content and never from their names.

Here belongs the list of formats. What each reader does is in its own module.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fleet_assets.ingestion.recordings import comma2k19, mdf4
from fleet_assets.ingestion.recordings.mdf4_layout import is_mdf4
from fleet_assets.ingestion.recordings.protocol import Files, Recording, UnreadableRecordingError
from fleet_assets.policy.table_layouts import TableLayout

_HEAD_BYTES: Final = 4096
_OPENERS: Final[Mapping[str, Callable[[Files, TableLayout | None], Recording]]] = {
    comma2k19.FORMAT: lambda files, _: comma2k19.Comma2k19Recording(files),
    mdf4.FORMAT: lambda files, _: mdf4.Mdf4Recording(files),
}
_SNIFFERS: Final[Mapping[str, Callable[[bytes], bool]]] = {
    comma2k19.FORMAT: comma2k19.is_array,
    mdf4.FORMAT: is_mdf4,
}
FORMATS: Final = tuple(_OPENERS)
# Only to name what was found; https://en.wikipedia.org/wiki/List_of_file_signatures
_SIGNATURES: Final = (
    (b"\x89MCAP0\r\n", "MCAP"),
    (b"#ROSBAG V2.0", "ROS 1 bag"),
    (b"SQLite format 3\x00", "SQLite (ROS 2 bag?)"),
    (b"MDF     ", "MDF of a version before 4"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"PAR1", "Parquet"),
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
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
    return (
        "text"
        if head.isascii() and head.decode("ascii").replace("\n", " ").replace("\r", " ").isprintable()
        else f"unknown content ({head[:8].hex(' ')})"
    )


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
    found = {name: [path for path, head in heads.items() if knows(head)] for name, knows in _SNIFFERS.items()}
    matching = [name for name, paths in found.items() if paths]
    if len(matching) == 1:
        return matching[0]
    first = min(files, default="(no files)")
    if matching:
        mixed = ", ".join(f"{name} ({found[name][0]})" for name in matching)
        raise UnreadableRecordingError(
            first, "mixed_formats", value=mixed, limit="one format per drive", remedy="Make them two drives."
        )
    seen = sorted({_describe(head) for head in heads.values()})
    raise UnreadableRecordingError(
        first, "unknown_format", value=", ".join(seen) or "no files", remedy=_UNPACK + ", ".join(FORMATS) + "."
    )


def open_recording(files: Files, formats: Sequence[str] = (), table: TableLayout | None = None) -> Recording:
    """Open a drive's files.

    Args:
        files: Relative name → where the bytes are. Paths may be content-addressed, their own names mean nothing.
        formats: Formats that the vehicle spec admits; told from the content when empty.
        table: How rows of a text table become messages, as the vehicle spec says; only text tables need it.

    Raises:
        UnreadableRecordingError: When the format is unknown, is not what was stated, or nothing useful can be read.
    """
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
