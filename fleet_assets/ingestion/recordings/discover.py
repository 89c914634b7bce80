"""Finding recordings in a folder: what is one drive, what is ignored and why. Told from content, never from names."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleet_assets.ingestion.recordings.open import FORMATS, open_recording, sniff_format
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError

ARRAY_FOLDER = "processed_log"


@dataclass(frozen=True, slots=True)
class Found:
    """One recording.

    Attributes:
        root: Folder that its file names are relative to.
        format: Recording format.
        files: Files by relative name.
    """

    root: Path
    format: str
    files: dict[str, Path]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A path that holds no recording, and why."""

    path: Path
    reason: str


def _all_files(root: Path) -> dict[str, Path]:
    return {
        str(path.relative_to(root)): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    }


def _sniff(path: Path) -> str | None:
    try:
        return sniff_format({path.name: path})
    except UnreadableRecordingError:
        return None


def _start_ns(path: Path) -> int | None:
    recording = open_recording({path.name: path})
    try:
        return recording.container_start_ns
    finally:
        recording.close()


def _split_groups(files: list[Path]) -> Iterator[list[Path]]:
    """Files of one folder that state the same container start are the parts of one drive."""
    groups: dict[object, list[Path]] = defaultdict(list)
    for path in files:
        try:
            start_ns = _start_ns(path)
        except UnreadableRecordingError:
            start_ns = None
        groups[path if start_ns is None else start_ns].append(path)
    yield from groups.values()


def discover(path: Path) -> tuple[list[Found], list[Ignored]]:
    """Find the recordings at a path.

    Args:
        path: A recording's file, its folder, or a folder with many of them.

    Returns:
        The recordings, sorted by place, and what was ignored.

    Raises:
        UnreadableRecordingError: When the path does not exist.
    """
    if not path.exists():
        raise UnreadableRecordingError(str(path), "missing_file", remedy="Check the path.")
    if path.is_file():
        kind = _sniff(path)
        if kind is None:
            return [], [Ignored(path, f"no recording of a known format ({', '.join(FORMATS)})")]
        return [Found(path.parent, kind, {path.name: path})], []
    found: list[Found] = []
    ignored: list[Ignored] = []
    _walk(path, found, ignored)
    return found, ignored


def _walk(folder: Path, found: list[Found], ignored: list[Ignored]) -> None:
    if (folder / ARRAY_FOLDER).is_dir() or _is_array_root(folder):
        files = _all_files(folder)
        arrays = next((kind for path in files.values() if (kind := _sniff(path))), None)
        if arrays is not None:
            found.append(Found(folder, arrays, files))
            return
    by_format: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")):
        kind = _sniff(path)
        if kind is None:
            ignored.append(Ignored(path, "no recording of a known format"))
        else:
            by_format[kind].append(path)
    for kind, files_of_kind in sorted(by_format.items()):
        groups = _split_groups(files_of_kind)
        found.extend(Found(folder, kind, {path.name: path for path in group}) for group in groups)
    for entry in sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith(".")):
        _walk(entry, found, ignored)


def _is_array_root(folder: Path) -> bool:
    """A folder whose grandchildren are arrays named t beside value: a recording without the outer folder."""
    return any(folder.glob("*/*/t")) and any(folder.glob("*/*/value"))
