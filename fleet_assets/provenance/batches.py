"""Telemetry batches in a landing zone: small files under `telemetry/`, each complete once its name is there.

Here belongs what names a batch. Reading one is the ingestion area's business, listing and putting the landing zone's.
"""

from dataclasses import dataclass
from typing import Final

FOLDER: Final = "telemetry"
"""Folder of the landing zone that batches are put into; folders inside it are as good."""
_UNFINISHED: Final = (".tmp", ".temp", ".part", ".partial", ".incoming", ".crdownload", "~")


@dataclass(frozen=True, slots=True)
class BatchFile:
    """One file as the landing zone lists it, unread.

    Attributes:
        name: Path inside the folder, with forward slashes.
        size_bytes: Size.
        stamp: Changes whenever the file is replaced: equal name and stamp mean equal bytes.
    """

    name: str
    size_bytes: int
    stamp: str

    @property
    def printable(self) -> str:
        """The name as a table can hold it; bytes that are no UTF-8 are written out."""
        return printable(self.name)


def printable(name: str) -> str:
    """A file name as valid Unicode."""
    return name.encode("utf-8", "backslashreplace").decode()


def is_batch_name(name: str) -> bool:
    """Whether a path names a complete batch: hidden and temporary names are files that are still being written."""
    parts = name.split("/")
    return all(part and not part.startswith((".", "~")) for part in parts) and not name.lower().endswith(_UNFINISHED)
