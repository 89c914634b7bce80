"""SHA-256 digests and Merkle roots: what "the same bytes" means in this project."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256(b"").hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file, read in chunks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def merkle_root(leaves: Iterable[tuple[str, str]]) -> str:
    """Merkle root over named digests, independent of their order.

    Leaf and inner hashes carry different prefixes (RFC 6962, section 2.1), so that no inner node passes for a leaf;
    an odd node is promoted unchanged.

    Args:
        leaves: (name, hex digest) pairs with unique names.

    Returns:
        Hex digest; the hash of nothing for no leaves.

    Raises:
        ValueError: When a name occurs twice.
    """
    ordered = sorted(leaves)
    names = [name for name, _ in ordered]
    if len(set(names)) != len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise ValueError(f"{twice}: two digests for one name. A drive has one file per table and partition.")
    level = [hashlib.sha256(b"\x00" + f"{name}\x00{digest}".encode()).digest() for name, digest in ordered]
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        paired = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2])]  # noqa: B905
        level = paired + ([level[-1]] if len(level) % 2 else [])
    return level[0].hex()
