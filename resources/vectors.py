"""The vector index: derived from the lake and brought up to date drive by drive, in versions that stay readable.

Here belong the vectors themselves, the account of what there is, and versions. The index is no part of identity: it can
be deleted and is made again. The account says which data file of each drive the index has and is written after the
vectors, so that a run that dies leaves an account that is behind, never ahead. Readers see the last version that was
finished, whatever a run is doing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.perception.neighbours import IndexVersion, Neighbour, NoIndexError, Read, Synced
from fleet_assets.perception.vectors import Space, Vectors, by_space, cosines, drive_root, matrix, units
from fleet_assets.provenance.digests import merkle_root
from fleet_assets.provenance.ledger import Entry, Partition
from resources.vectors_database import LanceDatabase, forget_before, quoted, tidy, upsert
from resources.vectors_near import EXACT, IVF_PQ, Near, NearIndex, vectors_of
from resources.writer_lock import one_writer

DRIVES, SPACES, VERSIONS = "drives", "spaces", "versions"
KEYS: Final = ("clip_id", "drive_id")
DRIVES_PER_WRITE: Final = 64
SCANNED_ROWS: Final = 8192
_TIED: Final = 8
"""Further candidates, so that those that are as near as the last result can be put in order."""
_ABOUT: Final = {
    "clip_id": pa.string(),
    "drive_id": pa.string(),
    "day": pa.string(),
    "depot": pa.string(),
    "start_ns": pa.int64(),
    "end_ns": pa.int64(),
}
_ACCOUNT: Final = pa.schema([(name, pa.string()) for name in ("drive_id", "day", "depot", "digest", "roots")])
_SPACES: Final = pa.schema(
    [*[(name, pa.string()) for name in ("label", "modality", "model", "model_digest")], ("dimensions", pa.int64())]
)
_VERSIONS: Final = pa.schema(
    [
        *[(name, pa.string()) for name in ("label", "root", "near")],
        *[(name, pa.int64()) for name in ("number", "clips", "version", "near_version")],
    ]
)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class LanceVectors:
    """One index of all spaces; see `fleet_assets.perception.neighbours.VectorIndex`.

    Attributes:
        database: Where it lies.
        policy: Key `index` of the document `embeddings`.
    """

    database: LanceDatabase
    policy: Mapping[str, Any]

    # -- reading ---------------------------------------------------------------------------------------------------

    def held(self, partition: Partition | None = None) -> dict[tuple[Partition, str], str]:
        """See `VectorIndex.held`."""
        return {key: row["digest"] for key, row in self._account(partition).items()}

    def versions(self) -> list[IndexVersion]:
        """See `VectorIndex.versions`."""
        spaces = self._spaces()
        return [_told(spaces[row["label"]], row) for row in self._version_rows() if row["label"] in spaces]

    def vectors(self, space: Space, clips: Sequence[str]) -> Mapping[str, Any]:
        """See `VectorIndex.vectors`."""
        table, _ = self._finished(space, None)
        found = _of_clips(table, clips, ["clip_id", "vector"])
        return dict(zip(found["clip_id"].to_pylist(), vectors_of(found), strict=True))

    def placed(self, space: Space, clips: Sequence[str]) -> Mapping[str, Neighbour]:
        """See `VectorIndex.placed`."""
        rows = _of_clips(self._finished(space, None)[0], clips, list(_ABOUT)).to_pylist()
        return {row["clip_id"]: Neighbour(cosine=1.0, **row) for row in rows}

    def scan(self, space: Space) -> Iterator[tuple[Sequence[str], Vectors]]:
        """See `VectorIndex.scan`."""
        table, _ = self._finished(space, None)
        for rows, vectors in _blocks(table):
            yield rows["clip_id"].to_pylist(), vectors

    def search(
        self, space: Space, queries: Vectors, count: int, *, version: int | None = None
    ) -> list[list[Neighbour]]:
        """See `VectorIndex.search`."""
        table, row = self._finished(space, version)
        near = self._near.opened(row["near"], row["near_version"]) if row["near"] else None
        if near is None:
            return [_ranked(found, query, count) for found, query in _one_by_one(table, queries, count + _TIED)]
        return [self._by_candidates(table, near, query, count) for query in queries]

    def _by_candidates(self, table: Any, near: Near, query: Any, count: int) -> list[Neighbour]:
        clips = near.candidates(query, count * self.policy["candidates"], self.policy["probes"])
        return _ranked(_of_clips(table, clips, [*_ABOUT, "vector"]), query, count)

    def _finished(self, space: Space, version: int | None) -> tuple[Any, Row]:
        """A space's rows in its last finished version, or in the one asked for."""
        rows = [row for row in self._version_rows() if row["label"] == space.label]
        chosen = [row for row in rows if version in {None, row["number"]}]
        table = self.database.opened(space.label, chosen[-1]["version"]) if chosen else None
        if table is None:
            kept = ", ".join(str(row["number"]) for row in rows) or "none"
            raise NoIndexError(
                f"no vectors of {space.modality} by {space.model}"
                + ("" if version is None else f" in version {version}; kept: {kept}")
                + ". Ingest drives, or run `fleet reconcile` to make the index from the lake."
            )
        return table, chosen[-1]

    # -- writing ---------------------------------------------------------------------------------------------------

    def sync(self, entries: Sequence[Entry], read: Read, partition: Partition) -> Synced:
        """See `VectorIndex.sync`."""
        if self.database.is_new and not entries:
            return Synced(0, 0, ())
        with one_writer(self.database.folder):
            wanted = {entry.unit: entry for entry in entries}
            held = {drive: digest for (_, drive), digest in self.held(partition).items()}
            stale = [entry for drive, entry in sorted(wanted.items()) if held.get(drive) != entry.digest]
            gone = sorted(set(held) - set(wanted))
            for start in range(0, len(stale), DRIVES_PER_WRITE):
                part = stale[start : start + DRIVES_PER_WRITE]
                self._write(part, read(part), partition)
            if gone:
                self._remove(gone, partition)
            return Synced(len(stale), len(gone), self._settle())

    def collect(self, spare: int = 0) -> int:
        """See `VectorIndex.collect`."""
        if self.database.is_new:
            return 0
        with one_writer(self.database.folder):
            dropped = 0
            for label in sorted(self._spaces()):
                rows = [row for row in self._version_rows() if row["label"] == label]
                kept = rows[-self.policy["keep_versions"] :]
                if len(old := rows[: -self.policy["keep_versions"]]) > spare:
                    where = f"label = {quoted([label])} AND number < {kept[0]['number']}"
                    self.database.made(VERSIONS, _VERSIONS).delete(where)
                    forget_before(self.database.opened(label), kept[0]["version"])
                    needed = {row["near"]: row["near_version"] for row in reversed(kept) if row["near"]}
                    self._near.drop_all_but(needed, label)
                    dropped += len(old)
            return dropped

    def _write(self, entries: Sequence[Entry], rows: pa.Table, partition: Partition) -> None:
        """Write the vectors of some drives in place of those that are there, then the account of it."""
        drives = [entry.unit for entry in entries]
        roots: dict[str, dict[str, list[Any]]] = {drive: {} for drive in drives}
        own = {space.label: part for space, part in by_space(rows)} if rows.num_rows else {}
        for space, part in by_space(rows) if rows.num_rows else ():
            self._declare(space)
            for drive, told in _leaves(part).items():
                roots[drive][space.label] = [len(told), drive_root(told)]
        nears = {row["label"]: row["near"] for row in self._version_rows()}
        for label, space in sorted(self._spaces().items()):
            stored = _stored(own[label] if label in own else rows.slice(0, 0), space)
            table = self.database.made(label, _schema(space), KEYS)
            table.delete(f"drive_id IN ({quoted(drives)})")
            if stored.num_rows:
                table.add(stored)
            self._near.exchange(nears.get(label, ""), drives, stored, vectors_of(stored))
        day, depot = partition
        account = [
            {
                "drive_id": one.unit,
                "day": day,
                "depot": depot,
                "digest": one.digest,
                "roots": json.dumps(roots[one.unit]),
            }
            for one in entries
        ]
        table = self.database.made(DRIVES, _ACCOUNT)
        upsert(table, ["drive_id", "day", "depot"], pa.Table.from_pylist(account, _ACCOUNT))

    def _remove(self, drives: Sequence[str], partition: Partition) -> None:
        """Take drives out of a partition; one that moved to another partition keeps its vectors there."""
        where = f"drive_id IN ({quoted(drives)}) AND {_of(partition)}"
        nears = {row["label"]: row["near"] for row in self._version_rows()}
        for label, space in sorted(self._spaces().items()):
            self.database.made(label, _schema(space), KEYS).delete(where)
            self._near.remove(nears.get(label, ""), where)
        self.database.made(DRIVES, _ACCOUNT).delete(where)

    def _settle(self) -> tuple[IndexVersion, ...]:
        """Tidy what needs it, make the index of many vectors where they are many, and write down what is new."""
        roots = {key: json.loads(row["roots"]) for key, row in self._account(None).items()}
        latest = {row["label"]: row for row in self._version_rows()}
        settled = []
        for label, space in sorted(self._spaces().items()):
            members = {"|".join([*key[0], key[1]]): told[label] for key, told in roots.items() if label in told}
            table, before = self.database.made(label, _schema(space), KEYS), latest.get(label)
            clips = sum(told[0] for told in members.values())
            tidy(table)
            name, blocks = before["near"] if before else "", partial(_blocks, table)
            near = self._near.settled(label, name, clips, space.dimensions, blocks)
            root = merkle_root((name, told[1]) for name, told in members.items())
            row = {"label": label, "root": root, "clips": clips, "near": near[0], "near_version": near[1]}
            same = before is not None and (before["root"], before["near"]) == (root, near[0])
            number = 1 if before is None else before["number"] + (not same)
            row |= {"number": number, "version": table.version}
            if row != before:
                upsert(
                    self.database.made(VERSIONS, _VERSIONS), ["label", "number"], pa.Table.from_pylist([row], _VERSIONS)
                )
            settled.append(_told(space, row))
        return tuple(settled)

    # -- what there is ---------------------------------------------------------------------------------------------

    @property
    def _near(self) -> NearIndex:
        return NearIndex(self.database, self.policy)

    def _account(self, partition: Partition | None) -> dict[tuple[Partition, str], Row]:
        """Rows of the account; nothing is held for sure where vectors were lost."""
        table = self.database.opened(DRIVES)
        if table is None or any(self.database.opened(label) is None for label in self._spaces()):
            return {}
        rows = table.search().where(_of(partition)).to_list() if partition else table.to_arrow().to_pylist()
        return {((row["day"], row["depot"]), row["drive_id"]): row for row in rows}

    def _spaces(self) -> dict[str, Space]:
        table = self.database.opened(SPACES)
        rows = [] if table is None else table.to_arrow().to_pylist()
        return {
            row["label"]: Space(row["modality"], row["model_digest"], row["model"], row["dimensions"]) for row in rows
        }

    def _version_rows(self) -> list[Row]:
        table = self.database.opened(VERSIONS)
        rows = [] if table is None else table.to_arrow().to_pylist()
        return sorted(rows, key=lambda row: (row["label"], row["number"]))

    def _declare(self, space: Space) -> None:
        row = {
            "label": space.label,
            "modality": space.modality,
            "model": space.model,
            "model_digest": space.model_digest,
            "dimensions": space.dimensions,
        }
        if space.label not in self._spaces():
            upsert(self.database.made(SPACES, _SPACES), ["label"], pa.Table.from_pylist([row], _SPACES))


def _of(partition: Partition) -> str:
    day, depot = partition
    return f"day = {quoted([day])} AND depot = {quoted([depot])}"


def _schema(space: Space) -> pa.Schema:
    return pa.schema([*_ABOUT.items(), ("vector", pa.list_(pa.float32(), space.dimensions))])


def _told(space: Space, row: Row) -> IndexVersion:
    return IndexVersion(space, row["number"], row["root"], row["clips"], IVF_PQ if row["near"] else EXACT)


def _stored(rows: pa.Table, space: Space) -> pa.Table:
    """Rows of `gold.clip_embeddings` as the index has them: vectors of length one."""
    vectors = units(vectors_of(rows)) if rows.num_rows else np.empty((0, space.dimensions), dtype=np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), space.dimensions)
    return pa.table([*[rows[name].combine_chunks() for name in _ABOUT], lists], schema=_schema(space))


def _leaves(rows: pa.Table) -> dict[str, list[tuple[str, str, str]]]:
    """(clip, model digest, vector digest) of every drive."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in rows.select(["drive_id", "clip_id", "model_digest", "vector_sha256"]).to_pylist():
        found.setdefault(row["drive_id"], []).append((row["clip_id"], row["model_digest"], row["vector_sha256"]))
    return found


def _blocks(table: Any) -> Iterator[tuple[pa.Table, Vectors]]:
    names = ["clip_id", "drive_id", "day", "depot", "vector"]
    for batch in table.search().select(names).to_batches(SCANNED_ROWS):
        if batch.num_rows:
            rows = pa.table([batch[name] for name in names], names=names)
            yield rows, matrix(rows["vector"])


def _of_clips(table: Any, clips: Sequence[str], columns: Sequence[str]) -> pa.Table:
    where = f"clip_id IN ({quoted(clips)})" if clips else "false"
    return table.search().where(where).select(list(columns)).limit(max(1, len(clips))).to_arrow()


def _one_by_one(table: Any, queries: Vectors, count: int) -> Iterator[tuple[pa.Table, Any]]:
    for query in queries:
        found = table.search(query).distance_type("l2").bypass_vector_index().limit(count)
        yield found.select([*_ABOUT, "vector", "_distance"]).to_arrow(), query


def _ranked(found: pa.Table, query: Any, count: int) -> list[Neighbour]:
    """Rows by their exact cosines, equal ones by clip."""
    if not found.num_rows:
        return []
    likeness = cosines(query[None], vectors_of(found))[0].tolist()
    rows = zip(found.select(list(_ABOUT)).to_pylist(), likeness, strict=True)
    ordered = sorted(rows, key=lambda one: (-one[1], one[0]["clip_id"]))[:count]
    return [Neighbour(cosine=cosine, **row) for row, cosine in ordered]
