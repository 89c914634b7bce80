"""Walking a folder that may hold anything: bounded, never out of the folder, every entry accounted for.

Here belong links, hidden entries and folders that cannot be listed. What a file is, is told in `discover.py`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_ENTRIES: Final = 1_000_000
"""Entries that are looked at; a mistyped path such as / must come to an end."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Files that are no recording for one common reason.

    Attributes:
        path: The first of them in the order of paths.
        reason: Why.
        files: How many there are.
    """

    path: Path
    reason: str
    files: int = 1


class Tally:
    """Counts what is left out by reason, so that a folder with 10^5 pictures gives one line."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, int]] = {}

    def add(self, path: str | Path, reason: str) -> None:
        """Count one entry."""
        text = str(path)
        first, files = self._found.get(reason, (text, 0))
        self._found[reason] = (min(first, text), files + 1)

    def rows(self) -> list[Ignored]:
        """One row per reason, in the order of their first paths."""
        rows = [Ignored(Path(first), reason, files) for reason, (first, files) in self._found.items()]
        return sorted(rows, key=lambda row: (str(row.path), row.reason))


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of the tree.

    Attributes:
        path: Where it is.
        names: Names of its plain files, sorted.
    """

    path: str
    names: tuple[str, ...]


def _is_text(name: str) -> bool:
    """Whether a name can be written into a manifest; bytes that are no UTF-8 come as halves of surrogate pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _link(entry: os.DirEntry[str], root: str) -> str | None:
    """Why a link is not followed, or None for one to a file inside the folder that is not met otherwise."""
    try:
        target = os.path.realpath(entry.path, strict=True)
    except OSError:
        return "link that leads nowhere"
    if os.path.commonpath((target, root)) != root:
        return "link that leads out of the folder; ingest its target by its own path"
    # Data versioning tools keep contents in hidden folders; such links are the only way to them.
    hidden = any(part.startswith(".") for part in Path(os.path.relpath(target, root)).parts)
    if hidden and os.path.isfile(target):  # noqa: PTH113 - entries are kept as text, 10^6 of them
        return None
    return "link to something that is looked at in its own place"


def _exclusion(entry: os.DirEntry[str], root: str) -> str | None:
    """Why an entry that is no folder is left out; None for a file."""
    if not _is_text(entry.name):
        return "a name that is no UTF-8; rename it"
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_symlink():
        return _link(entry, root)
    return None if entry.is_file(follow_symlinks=False) else "no plain file (pipe, socket or device)"


def _entries(folder: str, tally: Tally) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        tally.add(folder, f"folder that cannot be listed ({error.strerror})")
        return []


def _is_open_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".") and _is_text(entry.name)


def walk(root: Path, tally: Tally, most: int = MAX_ENTRIES) -> Iterator[Folder]:
    """Visit a folder and those in it, parents first, in the order of names.

    Links are not followed out of the folder, nor to folders, nor to files that are met anyway; a loop is thus no loop.

    Args:
        root: The folder.
        tally: Receives what is left out.
        most: Entries after which the walk ends and says so.
    """
    top = os.path.realpath(root)
    waiting, looked_at = [top], 0
    while waiting:
        folder = waiting.pop()
        entries = _entries(folder, tally)
        if looked_at + len(entries) > most:
            tally.add(folder, f"not looked at, since {most:,} entries are the most; ingest its folders one by one")
            return
        looked_at += len(entries)
        names, folders = [], []
        for entry in entries:
            if _is_open_folder(entry):
                folders.append(entry.path)
            elif (reason := _exclusion(entry, top)) is None:
                names.append(entry.name)
            else:
                tally.add(_printable(entry.path), reason)
        waiting += reversed(folders)
        yield Folder(folder, tuple(names))


def _printable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
