"""Finding the CAN databases that a vehicle spec names: beside spec and recording, or in an installed package.

Here belong lookup and digest. Parsing is done where frames are decoded.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Final

from fleet_assets.policy.vehicles import DbcRef, VehicleSpec

MAX_DBC_BYTES: Final = 32_000_000
_FOLDER: Final = "dbc"
_PARENTS_SEARCHED: Final = 3


class DbcNotFoundError(Exception):
    """A file that a spec names and that is nowhere to be found, or may not be read from where the spec points."""


@dataclass(frozen=True, slots=True)
class DbcText:
    """One CAN database.

    Attributes:
        name: Name that the spec gives it.
        origin: File name, for messages.
        text: Its content.
        sha256: Digest of its bytes, hex.
    """

    name: str
    origin: str
    text: str
    sha256: str


def _dbc_text(name: str, origin: str, content: bytes) -> DbcText:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # The format predates UTF-8; Vector's own tools write the Windows code page.
        text = content.decode("cp1252", errors="replace")
    return DbcText(name, origin, text.replace("\r\n", "\n"), hashlib.sha256(content).hexdigest())


@lru_cache(maxsize=1)
def _generated_opendbc() -> Mapping[str, str]:
    from opendbc.dbc.generator.generator import generate_all

    generated: Mapping[str, str] = generate_all()
    return generated


def _opendbc(file: str) -> bytes | None:
    shipped = resources.files("opendbc") / "dbc" / file
    if shipped.is_file():
        return shipped.read_bytes()
    text = _generated_opendbc().get(file.removesuffix(".dbc"))
    return None if text is None else text.encode()


_PACKAGES: Final[Mapping[str, Callable[[str], bytes | None]]] = {"opendbc": _opendbc}


def _from_package(ref: DbcRef, package: str, file: str) -> DbcText:
    if package not in _PACKAGES:
        raise DbcNotFoundError(f"dbc {ref.name}: package {package!r} is not known. Use one of: {', '.join(_PACKAGES)}")
    try:
        content = _PACKAGES[package](file)
    except ModuleNotFoundError as error:
        raise DbcNotFoundError(f"dbc {ref.name}: package {package} is not installed. pip install {package}") from error
    if content is None:
        raise DbcNotFoundError(
            f"dbc {ref.name}: package {package} has no file {file!r}. "
            "Correct the name, install the version that has it, or give a `path` instead"
        )
    return _dbc_text(ref.name, f"{package}/{file}", content)


def read_beside(what: str, path: str, search: Sequence[Path]) -> bytes:
    """Content of a file that a spec names, from the first search folder that has it.

    Args:
        what: What the file is, for messages, e.g. `dbc powertrain`.
        path: Relative name.
        search: Folders, in order. A link that leads out of its folder is not followed.

    Raises:
        DbcNotFoundError: Naming the file, where it was looked for and what to do.
    """
    relative = PurePosixPath(path.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or ":" in path:
        raise DbcNotFoundError(
            f"{what}: path {path!r} leads out of the search folders. Give a name relative to one of them"
        )
    for folder in search:
        candidate = (folder / relative).resolve()
        if not candidate.is_file() or not candidate.is_relative_to(folder.resolve()):
            continue
        if candidate.stat().st_size > MAX_DBC_BYTES:
            raise DbcNotFoundError(f"{what}: {candidate} is larger than {MAX_DBC_BYTES} bytes. Use another file")
        return candidate.read_bytes()
    looked = ", ".join(str(folder) for folder in search) or "(no folder given)"
    raise DbcNotFoundError(
        f"{what}: no file {path!r} in {looked}. Put the file in one of these folders; "
        "it need not be shipped with the spec"
    )


def find_dbcs(spec: VehicleSpec, search: Sequence[Path]) -> dict[str, DbcText]:
    """Find every CAN database that a spec names.

    Args:
        spec: The vehicle spec.
        search: Folders for databases given by path, in this order. A link that leads out of its folder is not followed.

    Raises:
        DbcNotFoundError: Naming the database, where it was looked for and what to do.
    """
    found = {}
    for name, ref in spec.dbc.items():
        if ref.path is not None:
            content = read_beside(f"dbc {name}", ref.path, search)
            found[name] = _dbc_text(name, PurePosixPath(ref.path).name, content)
        else:
            found[name] = _from_package(ref, ref.package or "", ref.file or "")
    return found


def dbc_folders(recording: Path) -> tuple[Path, ...]:
    """Folders beside a recording in which people keep its CAN databases.

    Args:
        recording: Folder or file of the recording.

    Returns:
        The recording's own folder, its `dbc` folder, and the `dbc` folders of its next parents; only those that exist.
    """
    own = recording if recording.is_dir() else recording.parent
    places: Iterable[Path] = (own, *(folder / _FOLDER for folder in (own, *own.parents[:_PARENTS_SEARCHED])))
    return tuple(place for place in places if place.is_dir())
