"""What the vector index has of every drive, and what all drives come to: vectors, and a Merkle root over them.

Drives lie in buckets by a digest of their name. What each bucket comes to is kept with every version of the index, so
that a drive costs the same however many there are: its own bucket is counted anew, and the root of all is one over the
roots of the buckets. Counts say which state of the account they are of; those of any other state are made anew.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.provenance.digests import merkle_root
from fleet_assets.provenance.ledger import Partition
from resources.vectors_database import quoted
from resources.vectors_lists import DriveKey, source_of

ACCOUNT: Final = pa.schema([(name, pa.string()) for name in ("drive_id", "day", "depot", "bucket", "digest", "roots")])
SPACE_COLUMNS: Final = pa.schema(
    [*[(name, pa.string()) for name in ("label", "modality", "model", "model_digest")], ("dimensions", pa.int64())]
)
VERSION_COLUMNS: Final = pa.schema(
    [
        *[(name, pa.string()) for name in ("label", "root", "near", "counts")],
        *[(name, pa.int64()) for name in ("number", "clips", "version", "near_version", "counted_at")],
    ]
)
_DIGITS: Final = 2
"""Hexadecimal digits of a bucket's name: 256 buckets."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Count:
    """What the drives of one bucket come to in one space.

    Attributes:
        clips: Their vectors.
        root: Merkle root over the drives, each of which is one over (clip, model digest, vector digest).
        listed: Vectors that the space's inverted lists have.
    """

    clips: int
    root: str
    listed: int


Counts = Mapping[str, Count]
"""By bucket; one without vectors is left out."""


def bucket_of(drive: DriveKey) -> str:
    """The bucket of a drive in its partition."""
    return hashlib.sha256("|".join(drive).encode()).hexdigest()[:_DIGITS]


def account_rows(drives: Iterable[tuple[str, str, Mapping[str, Any]]], partition: Partition) -> pa.Table:
    """Rows of the account.

    Args:
        drives: Drive, digest of its data file, and by space how many vectors it has and the root over them.
        partition: Where they lie.
    """
    day, depot = partition
    rows = [
        {
            "drive_id": drive,
            "day": day,
            "depot": depot,
            "bucket": bucket_of((day, depot, drive)),
            "digest": digest,
            "roots": json.dumps(dict(roots)),
        }
        for drive, digest, roots in drives
    ]
    return pa.Table.from_pylist(rows, ACCOUNT)


def where_of(partition: Partition) -> str:
    """The condition of a partition's rows."""
    day, depot = partition
    return f"day = {quoted([day])} AND depot = {quoted([depot])}"


def held_in(account: Any, partition: Partition | None) -> dict[tuple[Partition, str], str]:
    """Digest of each drive's data file by partition and drive, of one partition or of all."""
    asked = account.search() if partition is None else account.search().where(where_of(partition))
    names = ("day", "depot", "drive_id", "digest")
    told = asked.select(list(names)).to_arrow()
    columns = (told[name].to_pylist() for name in names)
    return {((day, depot), drive): digest for day, depot, drive, digest in zip(*columns, strict=True)}


def rows_in(account: Any, buckets: Collection[str] | None) -> list[Row]:
    """Rows of the account in some buckets; all where None is said."""
    if buckets is None:
        rows: list[Row] = account.to_arrow().to_pylist()
        return rows
    return account.search().where(f"bucket IN ({quoted(sorted(buckets))})").to_list() if buckets else []


def counts_of(account: Iterable[Row], known: Mapping[str, NDArray[np.int64]]) -> dict[str, dict[str, Count]]:
    """What drives come to, by space and bucket.

    Args:
        account: Rows of all drives of the buckets that are counted.
        known: Data files that the lists of each space are made of, in order; none for a space without lists.
    """
    members: dict[tuple[str, str], list[tuple[str, int, str, int]]] = {}
    for row in account:
        drive = (row["day"], row["depot"], row["drive_id"])
        for label, (clips, root) in json.loads(row["roots"]).items():
            listed = clips if _among(source_of(drive, row["digest"]), known.get(label)) else 0
            members.setdefault((label, row["bucket"]), []).append(("|".join(drive), clips, root, listed))
    found: dict[str, dict[str, Count]] = {}
    for (label, bucket), own in members.items():
        root = merkle_root((name, root) for name, _, root, _ in own)
        found.setdefault(label, {})[bucket] = Count(sum(one[1] for one in own), root, sum(one[3] for one in own))
    return found


def _among(source: int, known: NDArray[np.int64] | None) -> bool:
    if known is None or not len(known):
        return False
    at = int(np.searchsorted(known, source))
    return at < len(known) and int(known[at]) == source


def root_of(counts: Counts) -> str:
    """Merkle root over the buckets of a space."""
    return merkle_root((bucket, one.root) for bucket, one in counts.items())


def all_listed(counts: Counts) -> dict[str, Count]:
    """The counts after lists were made of all vectors."""
    return {bucket: replace(one, listed=one.clips) for bucket, one in counts.items()}


def as_text(counts: Counts) -> str:
    """Counts as a version keeps them."""
    return json.dumps({bucket: [one.clips, one.root, one.listed] for bucket, one in sorted(counts.items())})


def from_text(text: str) -> dict[str, Count]:
    """The counts that a version keeps."""
    return {bucket: Count(*told) for bucket, told in json.loads(text).items()}
