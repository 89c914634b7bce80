"""The landing zone: one folder per upload, complete once its `manifest.json` is there."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet_assets.policy.documents import canonical_json
from fleet_assets.provenance.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
    RefusedUploadError,
    Upload,
    parse_manifest,
)
from resources.data_files import write_atomically

INCOMING_PREFIX: Final = ".incoming-"


@dataclass(frozen=True, slots=True)
class LocalLanding:
    """Landing zone in a folder.

    Attributes:
        root: The folder.
    """

    root: Path

    def uploads(self) -> list[Upload]:
        """See `Landing.uploads`. A manifest is parsed once per (size, mtime, inode)."""
        if not self.root.is_dir():
            return []
        folders = sorted(entry for entry in self.root.iterdir() if not entry.name.startswith("."))
        return [self._upload(folder) for folder in folders if (folder / MANIFEST_NAME).is_file()]

    @staticmethod
    def _upload(folder: Path) -> Upload:
        path = folder / MANIFEST_NAME
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if key not in _uploads:
            try:
                with path.open("rb") as stream:
                    _uploads[key] = Upload(folder.name, parse_manifest(stream.read(MAX_MANIFEST_BYTES + 1)))
            except RefusedUploadError as error:
                _uploads[key] = Upload(folder.name, None, error)
        return _uploads[key]

    def file(self, upload: str, path: str) -> Path:
        """See `Landing.file`.

        Raises:
            RefusedUploadError: When a link leads out of the upload folder, or the file is not there.
        """
        folder = (self.root / upload).resolve()
        target = (folder / path).resolve()
        if not target.is_relative_to(folder):
            remedy = "Upload the file itself, not a link."
            raise RefusedUploadError("path_traversal", path, "files inside the upload folder", remedy)
        if not target.is_file():
            remedy = "Upload the file, then run `fleet replay`."
            raise RefusedUploadError("missing_file", path, "every file of the manifest is uploaded", remedy)
        return target

    def place(
        self, manifest: Manifest, sources: Sequence[tuple[str, Path]], progress: Callable[[int], None] | None = None
    ) -> str:
        """Put an upload there as a vehicle would: files first, manifest last. Returns the upload's name.

        Args:
            manifest: What the upload promises.
            sources: (path inside the upload, file to copy).
            progress: Called with the bytes of each finished file.
        """
        name = f"{manifest.drive_id}-r{manifest.revision}"
        target = self.root / name
        payload = canonical_json(manifest.as_json())
        if (target / MANIFEST_NAME).is_file() and (target / MANIFEST_NAME).read_bytes() == payload:
            return name
        if target.exists():
            name = f"{name}-{manifest.sha256[:12]}"
            target = self.root / name
        incoming = self.root / f"{INCOMING_PREFIX}{name}"
        for path, source in sources:
            copy = incoming / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists() or copy.stat().st_size != source.stat().st_size:
                shutil.copyfile(source, copy)
            if progress is not None:
                progress(source.stat().st_size)
        write_atomically(incoming / MANIFEST_NAME, payload)
        if not target.exists():
            incoming.replace(target)
        return name


_uploads: dict[tuple[str, int, int, int], Upload] = {}
"""Parsed manifests by path, size, mtime and inode."""
