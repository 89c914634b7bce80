"""How the files of one drive follow each other, for formats whose loggers cut a drive into several files.

Here belongs order: which files run side by side, where they leave a gap, and which of the files is a CAN database and
no recording. Reading them is the formats' business.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Loss

GAP_NS: Final = 2 * NS_PER_S
"""Silence between two files that is stated; receivers send once a second, so less says nothing."""
_DBC_MARKS: Final = (b"VERSION", b"NS_", b"BO_", b"BU_")


class TimedFile(Protocol):
    """A file that knows its place in time."""

    @property
    def name(self) -> str:
        """Relative name inside the drive."""
        ...

    @property
    def extent_ns(self) -> tuple[int, int]:
        """First and last time stamp."""
        ...


_File = TypeVar("_File", bound=TimedFile)


def is_dbc(head: bytes) -> bool:
    """Whether a file that travels with a recording is its CAN database and thus no recording file."""
    return b"\0" not in head and head.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(_DBC_MARKS)


def lanes(files: Sequence[_File]) -> list[list[_File]]:
    """Put files that follow each other in one lane, so that only overlapping ones are open at a time.

    Args:
        files: Files in the order of their time.
    """
    found: list[list[_File]] = []
    for file in files:
        free = next((lane for lane in found if lane[-1].extent_ns[1] <= file.extent_ns[0]), None)
        if free is None:
            found.append([file])
        else:
            free.append(file)
    return found


def transitions(files: Sequence[TimedFile]) -> list[Loss]:
    """State gaps and overlaps between files that follow each other.

    Args:
        files: Files in the order of their time, at least one.
    """
    stated = []
    last = files[0]
    for file in files[1:]:
        step = file.extent_ns[0] - last.extent_ns[1]
        if step > GAP_NS:
            reason = f"{file.name}: begins {step / NS_PER_S:.3f} s after {last.name} ends. Add the file in between"
            stated.append(Loss(file.name, 0, None, reason, "gap_between_files"))
        elif step < 0:
            reason = (
                f"{file.name}: begins {-step / NS_PER_S:.3f} s before {last.name} ends. Remove files twice uploaded"
            )
            stated.append(Loss(file.name, 0, 0, reason, "overlapping_files"))
        last = max(last, file, key=lambda item: item.extent_ns[1])
    return stated
