"""The upload manifest: what a vehicle or `fleet ingest` promises about a drive. Parsing trusts nothing."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final

from fleet_assets.policy.documents import InvalidPolicyError, digest_of, load_schema, validate
from fleet_assets.provenance.canonical import canonical_json
from fleet_assets.provenance.digests import merkle_root

MANIFEST_NAME: Final = "manifest.json"
MAX_MANIFEST_BYTES: Final = 64 << 20
MAX_NAME_BYTES: Final = 255
"""Longest file or folder name that file systems take."""


class RefusedUploadError(ValueError):
    """An upload that cannot become a drive: the rule, what was found, what is allowed, what to do."""

    def __init__(self, rule: str, value: str, limit: str, remedy: str, drive_id: str | None = None) -> None:
        super().__init__(rule, value, limit, remedy)
        self.rule, self.value, self.limit, self.remedy, self.drive_id = rule, value, limit, remedy, drive_id

    def __str__(self) -> str:
        return f"{self.rule}: found {self.value}, allowed: {self.limit}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One promised file."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A parsed manifest. `sha256` is the digest of its canonical form: layout of the JSON does not matter."""

    drive_id: str
    revision: int
    vehicle_id: str
    vehicle_spec: str
    depot: str
    start_ns: int
    time_source: str
    files: tuple[ManifestFile, ...]
    sha256: str

    @property
    def day(self) -> str:
        """UTC day of the stated start."""
        return day_of(self.start_ns)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def content(self) -> str:
        """Digest of the files alone: equal for the same recording under another drive id."""
        return merkle_root((file.path, file.sha256) for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """The manifest as the JSON document that it came from."""
        return {
            "schema": "fleet.manifest/v1",
            "drive_id": self.drive_id,
            "revision": self.revision,
            "vehicle_id": self.vehicle_id,
            "vehicle_spec": self.vehicle_spec,
            "depot": self.depot,
            "start_ns": self.start_ns,
            "time_source": self.time_source,
            "files": [{"path": f.path, "bytes": f.size_bytes, "sha256": f.sha256} for f in self.files],
        }


@dataclass(frozen=True, slots=True)
class Upload:
    """One complete upload: its folder's name and its manifest, or why that could not be read."""

    name: str
    manifest: Manifest | None
    refusal: RefusedUploadError | None = None


def day_of(t_ns: int) -> str:
    """UTC day (YYYY-MM-DD) of an instant."""
    return datetime.fromtimestamp(t_ns // 1_000_000_000, tz=UTC).strftime("%Y-%m-%d")


def drive_id_of(vehicle_id: str, files: Sequence[ManifestFile]) -> str:
    """Default drive id: the same recording of the same vehicle always gets the same one."""
    content = merkle_root((file.path, file.sha256) for file in files)
    return hashlib.sha256(canonical_json([vehicle_id, content])).hexdigest()[:16]


def check_path(path: str, drive_id: str | None = None) -> None:
    """Refuse a path that is not a plain relative one, or that no file system could hold.

    Raises:
        RefusedUploadError: With the rule `path_traversal`.
    """
    pure = PurePosixPath(path)
    hostile = pure.is_absolute() or ".." in pure.parts or "\\" in path or "\x00" in path or str(pure) != path
    # Half of a surrogate pair is a character to JSON but to no file system and no table.
    unstorable = any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in pure.parts) or any(
        "\ud800" <= character <= "\udfff" for character in path
    )
    reserved = path == MANIFEST_NAME or any(part.startswith(".partial-") for part in pure.parts)
    if hostile or unstorable or reserved:
        raise RefusedUploadError(
            "path_traversal",
            ascii(path)[:500],
            "plain relative paths inside the upload folder",
            "Write the manifest again with the file's name inside the folder.",
            drive_id,
        )


def make_manifest(document: Mapping[str, Any]) -> Manifest:
    """Check a manifest document and build the manifest.

    Raises:
        RefusedUploadError: With the rule (`manifest_schema`, `path_traversal`, `duplicate_path`).
    """
    drive_id = document.get("drive_id")
    stated = drive_id if isinstance(drive_id, str) else None
    try:
        validate(document, load_schema("manifest"), MANIFEST_NAME)
    except InvalidPolicyError as error:
        remedy = "Write the manifest as policies/schemas/manifest.schema.json says and upload it again."
        raise RefusedUploadError("manifest_schema", str(error)[:500], "fleet.manifest/v1", remedy, stated) from error
    files = tuple(ManifestFile(entry["path"], entry["bytes"], entry["sha256"]) for entry in document["files"])
    for file in files:
        check_path(file.path, stated)
    paths = [file.path for file in files]
    if len(set(paths)) != len(paths):
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise RefusedUploadError(
            "duplicate_path", ", ".join(twice[:5]), "every path once", "Write the manifest again.", stated
        )
    ordered = tuple(sorted(files, key=lambda file: file.path))
    canonical = {**document, "revision": document.get("revision", 0)}
    canonical["files"] = [{"path": f.path, "bytes": f.size_bytes, "sha256": f.sha256} for f in ordered]
    return Manifest(
        drive_id=document["drive_id"],
        revision=canonical["revision"],
        vehicle_id=document["vehicle_id"],
        vehicle_spec=document["vehicle_spec"],
        depot=document["depot"],
        start_ns=document["start_ns"],
        time_source=document["time_source"],
        files=ordered,
        sha256=digest_of(canonical),
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of a document must not see two different ones."""
    document = dict(pairs)
    if len(document) != len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ValueError(f"key {twice!r} twice in one object")
    return document


def _no_fraction(text: str) -> int:
    raise ValueError(f"number {text}; all numbers of a manifest are integers, written without point or exponent")


def parse_manifest(payload: bytes) -> Manifest:
    """Parse the bytes of a manifest.

    Raises:
        RefusedUploadError: When it is too large, no JSON object, or breaks a rule of `make_manifest`.
    """
    remedy = "Write the manifest again as UTF-8 JSON and upload it."
    if len(payload) > MAX_MANIFEST_BYTES:
        raise RefusedUploadError("manifest_size", f"{len(payload)} bytes", f"{MAX_MANIFEST_BYTES} bytes", remedy)
    try:
        document = json.loads(
            payload, object_pairs_hook=_unique_keys, parse_float=_no_fraction, parse_constant=_no_fraction
        )
    except (ValueError, RecursionError) as error:
        raise RefusedUploadError("manifest_json", f"{error}"[:200], "one JSON object", remedy) from error
    if not isinstance(document, dict):
        raise RefusedUploadError("manifest_json", type(document).__name__, "one JSON object", remedy)
    return make_manifest(document)
