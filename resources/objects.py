"""Stores of content-addressed objects (`fleet_assets/provenance/objects.py` says what they promise)."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet_assets.provenance.objects import ObjectMismatchError, ObjectRef, check_access, check_content

COPY_BYTES: Final = 4 << 20


def copy_and_hash(source: Any, target: Any, digest: Any, progress: Callable[[int], None] | None = None) -> int:
    """Copy a stream to another, hashing on the way. Returns the number of bytes copied.

    Raises:
        OSError: When the target takes no more; an unbuffered one first takes a part, which is no error to it.
    """
    buffer = memoryview(bytearray(COPY_BYTES))
    copied = 0
    while count := source.readinto(buffer):
        digest.update(buffer[:count])
        written = 0
        while written < count:
            written += target.write(buffer[written:count])
        copied += count
        if progress is not None:
            progress(count)
    return copied


@dataclass(frozen=True, slots=True)
class LocalObjects:
    """Objects as files: `ROOT/<class>/<first two hex digits>/<digest>`.

    Attributes:
        root: Folder of the store.
        granted: Access classes that this holder may use.
    """

    root: str
    granted: tuple[str, ...] = ("open",)

    def _path(self, sha256: str, access: str) -> Path:
        check_access(self.granted, access)
        return Path(self.root) / access / sha256[:2] / sha256

    def put(
        self, source: Path, access: str, expected: ObjectRef, progress: Callable[[int], None] | None = None
    ) -> ObjectRef:
        """See `ObjectStore.put`.

        Raises:
            ObjectMismatchError: When size or digest differ from what the manifest promised; nothing is stored then.
        """
        target = self._path(expected.sha256, access)
        if target.exists() and target.stat().st_size == expected.size_bytes:
            return expected
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if access == "raw" else 0o755)
        partial = target.with_name(f".partial-{expected.sha256}-{os.getpid()}-{threading.get_ident()}")
        self._adopt_orphan(target, partial)
        digest = hashlib.sha256()
        with (
            source.open("rb", buffering=0) as reader,
            partial.open("r+b" if partial.exists() else "w+b", buffering=0) as writer,
        ):
            done = _resume(reader, writer, digest)
            size = done + copy_and_hash(reader, writer, digest, progress)
            writer.truncate(size)
            os.fsync(writer.fileno())
        try:
            check_content(source.name, ObjectRef(digest.hexdigest(), size), expected)
        except ObjectMismatchError:
            partial.unlink()
            raise
        partial.replace(target)
        return expected

    @staticmethod
    def _adopt_orphan(target: Path, partial: Path) -> None:
        """Continue where a killed process stopped: take over its partial copy when the process is gone."""
        prefix = f".partial-{target.name}-"
        for orphan in sorted(target.parent.glob(f"{prefix}*")):
            if not _is_alive(*orphan.name.removeprefix(prefix).split("-")):
                with contextlib.suppress(FileNotFoundError):  # another process took it over first
                    orphan.replace(partial)

    def local(self, sha256: str, access: str) -> Path:
        """Path of the object.

        Raises:
            FileNotFoundError: Naming the digest, when the object is not in the store.
            AccessDeniedError: When the class is not granted.
        """
        path = self._path(sha256, access)
        if not path.exists():
            raise FileNotFoundError(f"object {sha256} ({access}) is not in the store. Restore it or replay its drive.")
        return path

    def exists(self, sha256: str, access: str) -> bool:
        """Whether the object is there; a name only ever shows whole objects."""
        return self._path(sha256, access).exists()

    def digests(self, access: str) -> Iterator[ObjectRef]:
        """All objects of one class, sorted by digest."""
        root = self._path("00", access).parent.parent
        for path in sorted(root.glob("[0-9a-f][0-9a-f]/[0-9a-f]*")):
            yield ObjectRef(path.name, path.stat().st_size)

    def delete(self, sha256: str, access: str) -> None:
        """Remove an object; absent ones are fine."""
        self._path(sha256, access).unlink(missing_ok=True)


def _is_alive(process: str, thread: str) -> bool:
    if process == str(os.getpid()):
        return thread in {str(other.ident) for other in threading.enumerate()}
    return Path(f"/proc/{process}").exists()


def _resume(reader: Any, writer: Any, digest: Any) -> int:
    """Hash what an earlier copy already wrote, verify it against the source, and return where to go on."""
    done = 0
    while True:
        have = writer.read(COPY_BYTES)
        if not have:
            break
        if reader.read(len(have)) != have:
            reader.seek(done)
            writer.seek(done)
            writer.truncate(done)
            break
        digest.update(have)
        done += len(have)
    return done
