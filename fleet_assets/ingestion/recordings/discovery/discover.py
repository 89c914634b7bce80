"""Finding recordings in a folder: what is one drive, what is ignored and why. Told from content, never from names.

Here belongs the order in which that is told. Walking, joining the parts of a drive and finding copies have modules of
their own.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from fleet_assets.ingestion.recordings.discovery.copies import copies
from fleet_assets.ingestion.recordings.discovery.splits import Part, drives
from fleet_assets.ingestion.recordings.discovery.walk import Folder, Ignored, Tally, walk
from fleet_assets.ingestion.recordings.images.stills import kind_of
from fleet_assets.ingestion.recordings.open import FORMATS, open_recording, sniff_format
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.policy.documents import MAX_DOCUMENT_BYTES, InvalidPolicyError, parse_yaml
from fleet_assets.policy.table_layouts import TableLayout

ARRAY_FOLDER: Final = "processed_log"
ARRAYS: Final = "comma2k19"
TEXT_TABLES: Final = frozenset({"csv", "json_points"})
"""Formats that any text may look like: only a vehicle spec that says what the columns mean makes them recordings."""
PICTURES: Final = "images"
"""Pictures lie everywhere: only a vehicle spec that reads them makes a folder of them a recording."""
BAG: Final = "ros2"
BAG_METADATA: Final = "metadata.yaml"
_BAG_KEY: Final = "rosbag2_bagfile_information"
_ARRAY_TIMES, _ARRAY_VALUES = "t", "value"
_ARRAYS_TRIED: Final = 16
_NO_RECORDING: Final = "no recording of a known format"


@dataclass(frozen=True, slots=True)
class Found:
    """One recording.

    Attributes:
        root: Folder that its file names are relative to.
        format: Recording format.
        files: Files by relative name.
        notes: What a person should know about it, e.g. files that it should have and has not.
    """

    root: Path
    format: str
    files: dict[str, Path]
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(path.stat().st_size for path in self.files.values())

    @property
    def place(self) -> Path:
        """Where a person finds it: its file where it is one, else its folder."""
        return next(iter(self.files.values())) if len(self.files) == 1 else self.root


@dataclass(frozen=True, slots=True)
class Admission:
    """What the vehicle spec that the recordings are for can read.

    Attributes:
        name: The spec, for messages.
        formats: Formats that it reads.
        tables: Whether text tables are recordings.
        table: How their rows become messages; tables that it does not fit are left out. None to take any.
    """

    name: str
    formats: tuple[str, ...]
    tables: bool = True
    table: TableLayout | None = None

    def objection(self, kind: str) -> str | None:
        """Why a recording of this format is left out, or None."""
        if kind not in self.formats:
            return f"{kind} recording; {self.name} is for {', '.join(self.formats)}"
        if kind in TEXT_TABLES and not self.tables:
            return f"{kind} table; {self.name} does not say what its columns mean (key `table`)"
        return None


@dataclass(slots=True)
class _Search:
    """One search: what was found so far and what was left out."""

    admission: Admission | None
    tally: Tally = field(default_factory=Tally)
    found: list[Found] = field(default_factory=list)

    def add(self, found: Found) -> None:
        """Take a recording, unless the spec does not read it."""
        reason = self.admission.objection(found.format) if self.admission else None
        if reason is None:
            reason = self.table_problem(found)
        if reason is None:
            self.found.append(found)
            return
        for path in found.files.values():
            self.tally.add(path, reason)

    def table_problem(self, found: Found) -> str | None:
        """Why a text table of a folder is not of the kind that the spec describes, or None."""
        if found.format not in TEXT_TABLES or self.admission is None or self.admission.table is None:
            return None
        try:
            open_recording(found.files, self.admission.formats, self.admission.table).close()
        except UnreadableRecordingError as error:
            return f"{found.format} table that is not as {self.admission.name} says ({error.rule})"
        return None

    def leave_out(self, folder: Folder, names: Iterable[str], reason: str) -> None:
        for name in names:
            self.tally.add(f"{folder.path}/{name}", reason)


def _sniff(path: Path) -> tuple[str | None, str]:
    """The format, or None and what the file seems to be."""
    try:
        return sniff_format({path.name: path}), ""
    except UnreadableRecordingError as error:
        if error.rule == "mixed_formats":
            return None, f"{_NO_RECORDING} ({error.value})"
        # Only the kind counts here: the first bytes would give each file a reason of its own.
        what = error.value.partition(" (")[0] if error.value.startswith("unknown content") else error.value
        return None, "empty file" if what == "empty" else f"{_NO_RECORDING} ({what})"
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"


def _recording_kind(search: _Search, path: Path) -> tuple[str | None, str]:
    """The format, or None and why the file is no recording here."""
    kind, reason = _sniff(path)
    if kind == PICTURES and (search.admission is None or PICTURES not in search.admission.formats):
        with path.open("rb") as stream:
            return None, f"{_NO_RECORDING} ({kind_of(stream.read(16))} image)"
    return kind, reason


def _array_roots(folders: Sequence[Folder], top: Path) -> list[Path]:
    """Folders that hold arrays as comma2k19 lays them out, the outermost only."""
    times, values, roots = set(), set(), set()
    for folder in folders:
        path = Path(folder.path)
        if path.name == ARRAY_FOLDER and path != top:
            roots.add(path.parent)
        # A recording without the outer folder: its grandchildren hold times and values.
        if top not in {path, path.parent}:
            times |= {path.parent.parent} if _ARRAY_TIMES in folder.names else set()
            values |= {path.parent.parent} if _ARRAY_VALUES in folder.names else set()
    outermost: list[Path] = []
    for root in sorted(roots | (times & values), key=lambda path: (len(path.parts), path)):
        if not any(root.is_relative_to(other) for other in outermost):
            outermost.append(root)
    return outermost


def _holds_arrays(folders: Sequence[Folder]) -> bool:
    times = [Path(folder.path, _ARRAY_TIMES) for folder in folders if _ARRAY_TIMES in folder.names]
    others = [Path(folder.path, name) for folder in folders for name in folder.names]
    return any(_sniff(path)[0] == ARRAYS for path in (*times, *others)[:_ARRAYS_TRIED])


def _take_arrays(search: _Search, folders: list[Folder], top: Path) -> list[Folder]:
    """Take the array recordings; returns the folders that are left."""
    by_parent: dict[Path, list[Part]] = defaultdict(list)
    roots = set(_array_roots(folders, top))
    inside: dict[Path, list[Folder]] = defaultdict(list)
    for folder in folders if roots else ():
        path = Path(folder.path)
        root = next((place for place in (path, *path.parents) if place in roots), None)
        if root is not None:
            inside[root].append(folder)
    taken = set()
    for root, members in inside.items():
        if _holds_arrays(members):
            paths = [Path(folder.path, name) for folder in members for name in folder.names]
            files = {str(path.relative_to(root.parent)): path for path in paths}
            by_parent[root.parent].append(Part(root.name, files))
            taken |= {folder.path for folder in members}
    for parent, parts in by_parent.items():
        for route in drives(ARRAYS, parts):
            names = {PurePosixPath(name).parts[0] for name in route}
            # Several are segments of one route.
            place = parent if len(names) > 1 else parent / min(names)
            relative = {str(path.relative_to(place)): path for path in route.values()}
            search.add(Found(place, ARRAYS, relative))
    return [folder for folder in folders if folder.path not in taken]


def _listed_files(path: Path) -> list[str]:
    """Files that a bag's metadata lists.

    Raises:
        InvalidPolicyError: When it cannot be parsed or lists none.
    """
    with path.open("rb") as stream:
        document: Any = parse_yaml(stream.read(MAX_DOCUMENT_BYTES + 1), path.name)
    body = document.get(_BAG_KEY)
    listed = body.get("relative_file_paths") if isinstance(body, dict) else None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise InvalidPolicyError(f"{path.name}: no list {_BAG_KEY}/relative_file_paths.")
    return listed


def _take_bag(search: _Search, folder: Folder) -> Folder:
    """Take the ROS 2 bag that a folder's metadata describes; returns the folder without its files."""
    root = Path(folder.path)
    metadata = root / BAG_METADATA
    if BAG_METADATA not in folder.names or BAG not in FORMATS or _sniff(metadata)[0] != BAG:
        return folder
    notes = []
    try:
        listed = [PurePosixPath(name).name for name in _listed_files(metadata)]
    except InvalidPolicyError as error:
        notes.append(f"{error} What lies beside it is taken by its own content.")
        listed = []
    there = [name for name in dict.fromkeys(listed) if name in folder.names]
    missing = sorted(set(listed) - set(there))
    if missing:
        notes.append(f"{BAG_METADATA} lists {', '.join(missing)}, which is not there. Add what is missing")
    if not there:
        search.tally.add(metadata, notes[0] if notes else f"{BAG_METADATA} lists no files")
        return Folder(folder.path, tuple(name for name in folder.names if name != BAG_METADATA))
    taken = (BAG_METADATA, *there)
    search.add(Found(root, BAG, {name: root / name for name in sorted(taken)}, tuple(notes)))
    return Folder(folder.path, tuple(name for name in folder.names if name not in taken))


def _take_files(search: _Search, folder: Folder) -> None:
    """Take the recordings among the loose files of a folder."""
    by_format: dict[str, list[Part]] = defaultdict(list)
    for name in folder.names:
        path = Path(folder.path, name)
        kind, reason = _recording_kind(search, path)
        if kind is None:
            search.tally.add(path, reason)
        elif search.admission is not None and (objection := search.admission.objection(kind)):
            search.tally.add(path, objection)
        else:
            by_format[kind].append(Part(name, {name: path}))
    for kind, parts in sorted(by_format.items()):
        for files in drives(kind, _once(search, parts)):
            search.add(Found(Path(folder.path), kind, dict(files)))


def _once(search: _Search, parts: list[Part]) -> list[Part]:
    """Leave out files that are copies of others in their folder: they would tear a split drive apart."""
    # The shorter name is the older one: a copy is called `x (copy)` or `x_1`.
    preferred = sorted(parts, key=lambda part: (len(part.name), part.name))
    doubles = set()
    for double, of in copies(preferred):
        doubles.add(double.name)
        search.tally.add(double.files[double.name], f"copy of {of.name}")
    return [part for part in parts if part.name not in doubles]


def without_copies(founds: Sequence[Found], tally: Tally) -> list[Found]:
    """Take every content once; the recording with more files, else the one found first, stays."""
    doubles = {id(double): of for double, of in copies(founds)}
    for found in founds:
        if id(found) in doubles:
            tally.add(found.place, f"copy of {doubles[id(found)].place}")
    return [found for found in founds if id(found) not in doubles]


def discover(path: Path, admission: Admission | None = None) -> tuple[list[Found], list[Ignored]]:
    """Find the recordings at a path.

    Args:
        path: A recording's file, its folder, or a folder with many of them.
        admission: What the vehicle spec reads; everything that any reader knows when None.

    Returns:
        The recordings, sorted by place, and what was ignored, one row per reason.

    Raises:
        UnreadableRecordingError: When the path does not exist.
    """
    if not path.exists():
        raise UnreadableRecordingError(str(path), "missing_file", remedy="Check the path.")
    search = _Search(admission)
    if path.is_file():
        _take_single(search, path)
        return search.found, search.tally.rows()
    top = Path(path).resolve()
    folders = _take_arrays(search, list(walk(top, search.tally)), top)
    for folder in folders:
        _take_files(search, _take_bag(search, folder))
    found = sorted(search.found, key=lambda found: (str(found.root), min(found.files)))
    return without_copies(found, search.tally), search.tally.rows()


def _take_single(search: _Search, path: Path) -> None:
    """A file that a person names is taken or refused for itself; a bag's metadata stands for the bag."""
    kind, reason = _recording_kind(search, path)
    if kind is None:
        search.tally.add(path, f"{reason}. Known are: {', '.join(FORMATS)}")
    elif kind == BAG and path.name == BAG_METADATA:
        _take_bag(search, Folder(str(path.parent), tuple(entry.name for entry in path.parent.iterdir())))
    elif search.admission is not None and (objection := search.admission.objection(kind)):
        search.tally.add(path, objection)
    else:
        search.found.append(Found(path.parent, kind, {path.name: path}))
