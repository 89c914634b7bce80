"""The landing zone: one folder per upload, complete once its `manifest.json` is there, and telemetry batches.

Uploads are of class raw: whatever is written here, only this user may open. Who is handed a landing zone at all is the
platform's business (`platform.py`).
"""

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet_assets.provenance.batches import FOLDER, BatchFile, is_batch_name
from fleet_assets.provenance.canonical import canonical_json
from fleet_assets.provenance.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
    ManifestFile,
    RefusedUploadError,
    Upload,
    parse_manifest,
)
from resources.data_files import write_atomically
from resources.objects import copy_and_hash
from resources.private_folders import PRIVATE_FILE, make_private

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
        return [self._upload(folder) for folder in folders if os.path.lexists(folder / MANIFEST_NAME)]

    @staticmethod
    def _upload(folder: Path) -> Upload:
        if not _is_text(folder.name):
            remedy = "Rename the folder with UTF-8 characters only."
            refusal = RefusedUploadError("upload_name", ascii(folder.name), "a folder name in UTF-8", remedy)
            return Upload(ascii(folder.name), None, refusal)
        path = folder / MANIFEST_NAME
        try:
            state = path.lstat()
            if not stat.S_ISREG(state.st_mode):
                raise _unreadable(_KINDS.get(stat.S_IFMT(state.st_mode), "something else"))
            key = (str(path), state.st_size, state.st_mtime_ns, state.st_ino)
            if key not in _uploads:
                with path.open("rb") as stream:
                    payload = stream.read(MAX_MANIFEST_BYTES + 1)
                _uploads[key] = _parsed(folder.name, payload)
        except OSError as error:
            return Upload(folder.name, None, _unreadable(error.strerror or str(error)))
        except RefusedUploadError as error:
            return Upload(folder.name, None, error)
        return _uploads[key]

    def file(self, upload: str, path: str) -> Path:
        """See `Landing.file`.

        Raises:
            RefusedUploadError: When a link leads out of the upload folder, or the file is not there.
        """
        folder = (self.root / upload).resolve()
        try:
            target = (folder / path).resolve()
        except RuntimeError:  # links that lead to each other lead to no file
            target = folder / path
        if not target.is_relative_to(folder):
            remedy = "Upload the file itself, not a link."
            raise RefusedUploadError("path_traversal", path, "files inside the upload folder", remedy)
        if not target.is_file():
            remedy = "Upload the file, then run `fleet replay`."
            raise RefusedUploadError("missing_file", path, "every file of the manifest is uploaded", remedy)
        return target

    def batches(self, folder: str = FOLDER) -> list[BatchFile]:
        """See `Landing.batches`. Links are no batches: what they lead to may change unseen."""
        found = []
        top = self.root / folder
        for place, below, files in os.walk(top):
            below[:] = [name for name in below if is_batch_name(name)]
            for path in (Path(place, name) for name in files if is_batch_name(name)):
                try:
                    state = path.lstat()
                except FileNotFoundError:
                    continue  # taken away since it was listed
                if stat.S_ISREG(state.st_mode):
                    stamp = f"{state.st_size}-{state.st_mtime_ns}-{state.st_ino}"
                    found.append(BatchFile(path.relative_to(top).as_posix(), state.st_size, stamp))
        return sorted(found, key=lambda batch: batch.name)

    def batch(self, batch: BatchFile, folder: str = FOLDER) -> Path:
        """See `Landing.batch`."""
        return self.root / folder / batch.name

    def put_batch(
        self, source: Path, folder: str = FOLDER, named: Callable[[str], str] = lambda sha256: sha256[:32]
    ) -> tuple[str, str]:
        """Copy a file into a folder of the landing zone, in one rename. Returns (name, digest).

        The same content again is dropped.

        Args:
            source: The file.
            folder: Folder of the landing zone.
            named: Its name there, made of its digest.
        """
        staged, (file,) = self.stage([("batch", source)])
        target = self.root / folder / named(file.sha256)
        try:
            if not target.exists():
                make_private(target.parent)
                (staged / file.path).replace(target)
        finally:
            self.discard(staged)
        return target.relative_to(self.root / folder).as_posix(), file.sha256

    def stage(
        self, sources: Sequence[tuple[str, Path]], progress: Callable[[int], None] | None = None
    ) -> tuple[Path, list[ManifestFile]]:
        """Copy files into a hidden folder of the landing zone, hashing in the same pass.

        Args:
            sources: (path inside the upload, file to copy).
            progress: Called with the number of bytes just copied.

        Returns:
            The hidden folder and what is in it.
        """
        self._clear_dead_incoming()
        staged = self.root / f"{INCOMING_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        files = []
        try:
            for path, source in sources:
                copy = staged / path
                make_private(copy.parent)
                copy.touch(PRIVATE_FILE)
                digest = hashlib.sha256()
                with source.open("rb", buffering=0) as reader, copy.open("wb", buffering=0) as writer:
                    size = copy_and_hash(reader, writer, digest, progress)
                files.append(ManifestFile(path, size, digest.hexdigest()))
        except BaseException:
            self.discard(staged)
            raise
        return staged, files

    @staticmethod
    def discard(staged: Path) -> None:
        """Remove a staged upload, so that a full disk is not made fuller by what did not fit on it."""
        shutil.rmtree(staged, ignore_errors=True)

    def publish(self, staged: Path, manifest: Manifest) -> str:
        """Make a staged upload visible, manifest last, in one rename. Returns the upload's name.

        The same upload again is dropped; another one of the same drive and revision gets a name of its own, so that
        admission can name the conflict.
        """
        payload = canonical_json(manifest.as_json())
        for name in (
            f"{manifest.drive_id}-r{manifest.revision}",
            f"{manifest.drive_id}-r{manifest.revision}-{manifest.sha256[:12]}",
        ):
            target = self.root / name
            if (target / MANIFEST_NAME).is_file() and (target / MANIFEST_NAME).read_bytes() == payload:
                shutil.rmtree(staged)
                return name
            if not target.exists():
                write_atomically(staged / MANIFEST_NAME, payload)
                staged.replace(target)
                return name
        raise RefusedUploadError(
            "upload_exists",
            name,
            "one folder per upload",
            "Remove the folder from the landing zone.",
            manifest.drive_id,
        )

    def _clear_dead_incoming(self) -> None:
        """Drop what processes left behind that are gone."""
        for folder in self.root.glob(f"{INCOMING_PREFIX}*"):
            owner = folder.name.removeprefix(INCOMING_PREFIX).split("-", 1)[0]
            if not Path(f"/proc/{owner}").exists():
                shutil.rmtree(folder, ignore_errors=True)


_KINDS: Final = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe"}


def _unreadable(found: str) -> RefusedUploadError:
    remedy = f"Put the {MANIFEST_NAME} itself there, readable for the fleet."
    return RefusedUploadError("manifest_file", found, "a plain file", remedy)


def _parsed(name: str, payload: bytes) -> Upload:
    try:
        return Upload(name, parse_manifest(payload))
    except RefusedUploadError as error:
        return Upload(name, None, error)


def _is_text(name: str) -> bool:
    """Whether a file name can be written into a table; bytes that are no UTF-8 come as halves of surrogate pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


_uploads: dict[tuple[str, int, int, int], Upload] = {}
"""Parsed manifests by path, size, mtime and inode."""
