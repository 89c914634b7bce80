"""Folders that only the user who runs the fleet may open: what lies in them is of class raw."""

import stat
from pathlib import Path
from typing import Final

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone. One that is there stays as it is."""
    missing = [one for one in folder.parents if not one.exists()]
    for one in (*reversed(missing), folder):
        one.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


def close_to_others(folder: Path) -> None:
    """Close a folder that is there to everybody but its owner.

    Raises:
        OSError: When it is open to others and not this user's to close.
    """
    if stat.S_IMODE(folder.stat().st_mode) & _OTHERS:
        folder.chmod(PRIVATE_FOLDER)
