"""What a content-addressed object is and what a store of them promises. Stores themselves live in `resources/`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fleet_assets.tables import Table

RAW: Final = "raw"
ACCESS_CLASSES: Final = (RAW, "open")
"""`raw`: as recorded, may hold personal data, ingestion only. `open`: fit for every area."""


class AccessDeniedError(PermissionError):
    """An object of a class that the holder of this store is not granted."""


class ObjectMismatchError(ValueError):
    """Bytes that are not what their digest or size promised."""

    def __init__(self, name: str, what: str, found: str, expected: str) -> None:
        super().__init__(name, what, found, expected)
        self.name, self.what, self.found, self.expected = name, what, found, expected

    def __str__(self) -> str:
        return f"{self.name}: {self.what} is {self.found}, expected {self.expected}. Upload the file again."


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Address and size of one object."""

    sha256: str
    size_bytes: int


class ObjectStore(Protocol):
    """Put and get bytes by digest, inside granted access classes.

    An object's address is the SHA-256 of its bytes. Its access class decides who may open it: a store is built with the
    classes that its holder is granted, and raises `AccessDeniedError` for every other one.
    """

    def put(
        self, source: Path, access: str, expected: ObjectRef, progress: Callable[[int], None] | None = None
    ) -> ObjectRef:
        """Copy and hash in one pass; resume a copy that was cut short; do nothing when the object is there.

        Raises:
            ObjectMismatchError: When size or digest differ from `expected`; nothing is stored then.
        """
        ...

    def local(self, sha256: str, access: str) -> Path:
        """Path on this machine with the object's bytes (fetched first, where the store is remote).

        Raises:
            FileNotFoundError: Naming the digest, when the object is not in the store.
        """
        ...

    def exists(self, sha256: str, access: str) -> bool:
        """Whether the object is there, whole."""
        ...

    def digests(self, access: str) -> Iterator[ObjectRef]:
        """All objects of one class, sorted by digest."""
        ...

    def delete(self, sha256: str, access: str) -> None:
        """Remove an object; absent ones are fine."""
        ...


def check_access(granted: tuple[str, ...], access: str) -> None:
    """Refuse an access class that is not granted.

    Raises:
        AccessDeniedError: Naming the class, what is granted, and the way out.
    """
    if access not in ACCESS_CLASSES:
        raise AccessDeniedError(f"access class {access!r} does not exist. Known: {', '.join(ACCESS_CLASSES)}.")
    if access not in granted:
        raise AccessDeniedError(
            f"objects of class {access!r} are not readable here (granted: {', '.join(granted)}). "
            "Use the redacted counterpart."
        )


def check_table(granted: tuple[str, ...], table: Table) -> None:
    """Refuse a table with personal data to whoever is not granted class raw.

    Raises:
        AccessDeniedError: Naming the table and the way out.
    """
    if table.personal and RAW not in granted:
        raise AccessDeniedError(
            f"{table.name} holds personal data and is not readable here (granted: {', '.join(granted)}). "
            "Use the tables of silver, in which positions near the ends of trips are withheld."
        )


def check_landing(granted: tuple[str, ...]) -> None:
    """Refuse the landing zone to whoever is not granted class raw: uploads are recordings as they came.

    Raises:
        AccessDeniedError: Naming what is granted and the way out.
    """
    if RAW not in granted:
        raise AccessDeniedError(
            f"the landing zone holds uploads of class {RAW!r}, which are not readable here "
            f"(granted: {', '.join(granted)}). Use what ingestion made of them: tables, and objects of class open."
        )


def check_content(name: str, found: ObjectRef, expected: ObjectRef) -> None:
    """Compare copied bytes with what the manifest promised.

    Raises:
        ObjectMismatchError: Naming size or digest, whichever differs first.
    """
    if found.size_bytes != expected.size_bytes:
        raise ObjectMismatchError(name, "size", str(found.size_bytes), str(expected.size_bytes))
    if found.sha256 != expected.sha256:
        raise ObjectMismatchError(name, "sha256", found.sha256, expected.sha256)
