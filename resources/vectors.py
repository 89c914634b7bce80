"""The vector index: derived from the lake and brought up to date drive by drive, in versions that stay readable.

Here belong the vectors themselves, the account of what there is, and versions. The index is no part of identity: it can
be deleted and is made again. The account says which data file of each drive the index has and is written after the
vectors, so that a run that dies leaves an account that is behind, never ahead. Readers see the last version that was
finished, whatever a run is doing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.perception.neighbours import IndexVersion, Neighbour, NoIndexError, Read, Synced
from fleet_assets.perception.vectors import Space, Vectors, by_space, drive_root
from fleet_assets.provenance.ledger import Entry, Partition
from resources.vectors_account import (
    ACCOUNT,
    SPACE_COLUMNS,
    VERSION_COLUMNS,
    Count,
    account_rows,
    all_listed,
    as_text,
    bucket_of,
    counts_of,
    from_text,
    held_in,
    root_of,
    rows_in,
    where_of,
)
from resources.vectors_database import (
    FEW_FILES,
    LanceDatabase,
    forget_all_but_the_last,
    forget_before,
    quoted,
    tidy,
    upsert,
)
from resources.vectors_lists import DriveKey, ListFiles, Opened
from resources.vectors_near import Near, NearIndex, vectors_of
from resources.vectors_rows import (
    ABOUT,
    DRIVES,
    LISTS,
    Row,
    blocks_of,
    exactly,
    leaves_of,
    lists_as_of,
    ranked,
    rows_of_clips,
    schema_of,
    sources_of,
    stored_rows,
)
from resources.writer_lock import one_writer

SPACES, VERSIONS = "spaces", "versions"
KEYS: Final = ("clip_id", "drive_id")
EXACT, IVF_FLAT, IVF_PQ = "exact", "ivf_flat", "ivf_pq"
DRIVES_PER_WRITE: Final = 64


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
        table = self._account()
        return {} if table is None else held_in(table, partition)

    def versions(self) -> list[IndexVersion]:
        """See `VectorIndex.versions`."""
        spaces = self._spaces()
        return [_told(spaces[row["label"]], row, self._kind) for row in self._version_rows() if row["label"] in spaces]

    def vectors(self, space: Space, clips: Sequence[str]) -> Mapping[str, Any]:
        """See `VectorIndex.vectors`."""
        table = self._table(self._chosen(space, None))
        found = rows_of_clips(table, clips, ["clip_id", "vector"])
        return dict(zip(found["clip_id"].to_pylist(), vectors_of(found), strict=True))

    def placed(self, space: Space, clips: Sequence[str]) -> Mapping[str, Neighbour]:
        """See `VectorIndex.placed`."""
        rows = rows_of_clips(self._table(self._chosen(space, None)), clips, list(ABOUT)).to_pylist()
        return {row["clip_id"]: Neighbour(cosine=1.0, **row) for row in rows}

    def scan(self, space: Space) -> Iterator[tuple[Sequence[str], Vectors]]:
        """See `VectorIndex.scan`."""
        for rows, vectors in blocks_of(self._table(self._chosen(space, None))):
            yield rows["clip_id"].to_pylist(), vectors

    def search(
        self, space: Space, queries: Vectors, count: int, *, version: int | None = None
    ) -> list[list[Neighbour]]:
        """See `VectorIndex.search`."""
        row = self._chosen(space, version)
        if (opened := self._lists_of(row)) is not None:
            return [opened.nearest(query, count, self.policy) for query in queries]
        table, near = self._table(row), None
        if row["near"] and self._near is not None:
            near = self._near.opened(row["near"], row["near_version"])
        if near is None:
            return exactly(table, queries, count)
        return [self._by_candidates(table, near, query, count) for query in queries]

    def _by_candidates(self, table: Any, near: Near, query: Any, count: int) -> list[Neighbour]:
        clips = near.candidates(query, count * self.policy["candidates"], self.policy["probes"])
        return ranked(rows_of_clips(table, clips, [*ABOUT, "vector"]), query, count)

    def _lists_of(self, row: Row) -> Opened | None:
        """The lists that a version is searched by; None where it has none or they were lost."""
        if not row["near"] or self._lists is None or not self._lists.there(row["near"]):
            return None
        names = ("label", "root", "near", "version", "near_version")
        return lists_as_of(self._lists.folder.parent, tuple((name, row[name]) for name in names))

    def _chosen(self, space: Space, version: int | None) -> Row:
        """A space's last finished version, or the one asked for."""
        rows = [row for row in self._version_rows() if row["label"] == space.label]
        chosen = [row for row in rows if version in {None, row["number"]}]
        if not chosen:
            kept = ", ".join(str(row["number"]) for row in rows) or "none"
            raise NoIndexError(
                f"no vectors of {space.modality} by {space.model}"
                + ("" if version is None else f" in version {version}; kept: {kept}")
                + ". Ingest drives, or run `fleet reconcile` to make the index from the lake."
            )
        return chosen[-1]

    def _table(self, row: Row) -> Any:
        """The rows of a version."""
        table = self.database.opened(row["label"], row["version"])
        if table is None:
            raise NoIndexError(
                f"the vectors of {row['label']}, version {row['number']}, are not there any more. Ask again, or run "
                "`fleet reconcile` to make the index from the lake."
            )
        return table

    # -- writing ---------------------------------------------------------------------------------------------------

    def sync(self, entries: Sequence[Entry], read: Read, partition: Partition) -> Synced:
        """See `VectorIndex.sync`."""
        if self.database.is_new and not entries:
            return Synced(0, 0, ())
        with one_writer(self.database.folder):
            if self._is_broken():
                self.database.drop(DRIVES)  # what is left of it would tell of vectors that are not there
            counted = self._is_counted()
            wanted = {entry.unit: entry for entry in entries}
            held = {drive: digest for (_, drive), digest in self.held(partition).items()}
            stale = [entry for drive, entry in sorted(wanted.items()) if held.get(drive) != entry.digest]
            gone = sorted(set(held) - set(wanted))
            for start in range(0, len(stale), DRIVES_PER_WRITE):
                part = stale[start : start + DRIVES_PER_WRITE]
                self._write(part, read(part), partition)
            if gone:
                self._remove(gone, partition)
            day, depot = partition
            changed = {bucket_of((day, depot, drive)) for drive in [*gone, *(entry.unit for entry in stale)]}
            settled = self._settle(changed if counted else None)
            if gone:
                self._forget(gone, partition)
            return Synced(len(stale), len(gone), settled)

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
                    self.database.made(VERSIONS, VERSION_COLUMNS).delete(where)
                    forget_before(self.database.opened(label), kept[0]["version"])
                    self._drop_nears(label, kept)
                    dropped += len(old)
            self._forget_accounts()
            return dropped

    def _drop_nears(self, label: str, kept: Sequence[Row]) -> None:
        needed = {row["near"]: row["near_version"] for row in reversed(kept) if row["near"]}
        if self._lists is not None:
            self._lists.drop_all_but(needed, label)
        if self._near is not None:
            self._near.drop_all_but(needed, label)

    def _forget_accounts(self) -> None:
        """Drop accounts that no kept version is read by."""
        needed = [row["near_version"] for row in self._version_rows() if row["near"]]
        table = self.database.opened(DRIVES)
        if table is not None and self._lists is not None:
            before = table.version
            forget_before(table, min(needed, default=before))
            self._still_counted(before)

    def _write(self, entries: Sequence[Entry], rows: pa.Table, partition: Partition) -> None:
        """Write the vectors of some drives in place of those that are there, then the account of it."""
        drives = [entry.unit for entry in entries]
        roots: dict[str, dict[str, list[Any]]] = {drive: {} for drive in drives}
        own = {space.label: part for space, part in by_space(rows)} if rows.num_rows else {}
        for space, part in by_space(rows) if rows.num_rows else ():
            self._declare(space)
            for drive, told in leaves_of(part).items():
                roots[drive][space.label] = [len(told), drive_root(told)]
        nears = {row["label"]: row["near"] for row in self._version_rows()}
        for label, space in sorted(self._spaces().items()):
            stored = stored_rows(own[label] if label in own else rows.slice(0, 0), space)
            table = self.database.made(label, schema_of(space), KEYS)
            table.delete(f"drive_id IN ({quoted(drives)})")
            if stored.num_rows:
                table.add(stored)
            if self._near is not None:
                self._near.exchange(nears.get(label, ""), drives, stored, vectors_of(stored))
        rows = account_rows([(one.unit, one.digest, roots[one.unit]) for one in entries], partition)
        table = self.database.made(DRIVES, ACCOUNT)
        upsert(table, ["drive_id", "day", "depot"], rows)

    def _remove(self, drives: Sequence[str], partition: Partition) -> None:
        """Take drives out of a partition; one that moved to another partition keeps its vectors there.

        The account names them until nothing holds their vectors any more, with a digest that no data file has: a run
        that dies in between leaves them to the next one.
        """
        where = f"drive_id IN ({quoted(drives)}) AND {where_of(partition)}"
        nears = {row["label"]: row["near"] for row in self._version_rows()}
        for label, space in sorted(self._spaces().items()):
            self.database.made(label, schema_of(space), KEYS).delete(where)
            if self._near is not None:
                self._near.drop(nears.get(label, ""))
        self.database.made(DRIVES, ACCOUNT).update(where=where, values={"digest": "", "roots": "{}"})

    def _forget(self, drives: Sequence[str], partition: Partition) -> None:
        """Drop every version before the present one, and what files still hold of drives that were taken out."""
        (day, depot), latest = partition, {row["label"]: row for row in self._version_rows()}
        for label in sorted(self._spaces()):
            table = self.database.rewritten(label, KEYS)
            row = {**latest[label], "version": table.version}
            versions = self.database.made(VERSIONS, VERSION_COLUMNS)
            upsert(versions, ["label", "number"], pa.Table.from_pylist([row], VERSION_COLUMNS))
            versions.delete(f"label = {quoted([label])} AND number < {row['number']}")
            self._drop_nears(label, [row])
            if self._lists is not None:
                self._lists.withdraw(label, [(day, depot, drive) for drive in drives])
            forget_all_but_the_last(table)
        where = f"drive_id IN ({quoted(drives)}) AND {where_of(partition)}"
        account = self.database.made(DRIVES, ACCOUNT)
        before = account.version
        account.delete(where)
        self._still_counted(before)

    def _settle(self, changed: Collection[str] | None) -> tuple[IndexVersion, ...]:
        """Tidy what needs it, make the index of many vectors where they are many, and write down what is new.

        Args:
            changed: Buckets of drives that were written or taken out; None where all have to be counted.
        """
        latest = {row["label"]: row for row in self._version_rows()}
        account, spaces = self.database.made(DRIVES, ACCOUNT), sorted(self._spaces().items())
        known = {label: self._listed(latest[label]["near"]) for label, _ in spaces if label in latest}
        tidy(account, FEW_FILES)
        anew, settled = counts_of(rows_in(account, changed), known), []
        for label, space in spaces:
            table, before = self.database.made(label, schema_of(space), KEYS), latest.get(label)
            kept = from_text(before["counts"]) if before and changed is not None else {}
            counts = {bucket: one for bucket, one in kept.items() if bucket not in (changed or ())}
            counts |= anew.get(label, {})
            tidy(table)
            near, counts = self._searched_by(space, table, before["near"] if before else "", counts)
            root, clips = root_of(counts), sum(one.clips for one in counts.values())
            row = {"label": label, "root": root, "clips": clips, "near": near[0], "near_version": near[1]}
            same = before is not None and (before["root"], before["near"]) == (root, near[0])
            number = 1 if before is None else before["number"] + (not same)
            row |= {
                "number": number,
                "version": table.version,
                "counts": as_text(counts),
                "counted_at": account.version,
            }
            if row != before:
                versions = self.database.made(VERSIONS, VERSION_COLUMNS)
                upsert(versions, ["label", "number"], pa.Table.from_pylist([row], VERSION_COLUMNS))
            settled.append(_told(space, row, self._kind))
        if settled:
            tidy(self.database.made(VERSIONS, VERSION_COLUMNS), FEW_FILES)
        return tuple(settled)

    def _searched_by(
        self, space: Space, table: Any, name: str, counts: dict[str, Count]
    ) -> tuple[tuple[str, int], dict[str, Count]]:
        """What a space is to be searched by and the version of what that rests on, and the counts afterwards."""
        clips, blocks = sum(one.clips for one in counts.values()), partial(blocks_of, table)
        if self._lists is None:
            near = NearIndex(self.database, self.policy).settled(space.label, name, clips, space.dimensions, blocks)
            return near, counts
        listed, lost = sum(one.listed for one in counts.values()), not self._lists.there(name)
        account = self.database.made(DRIVES, ACCOUNT)
        found = self._lists.settled(space.label, name, (clips, listed), partial(self._sources, space.label), blocks)
        if found and (found != name or lost):
            counts = all_listed(counts)
        return (found, account.version if found else 0), counts

    def _sources(self, label: str) -> Mapping[DriveKey, int]:
        """The data file of every drive that has vectors of a space."""
        return sources_of(rows_in(self.database.made(DRIVES, ACCOUNT), None), label)

    def _listed(self, name: str) -> NDArray[np.int64]:
        """Data files that lists are made of, in order."""
        return np.empty(0, np.int64) if self._lists is None else self._lists.made_of(name)

    # -- what there is ---------------------------------------------------------------------------------------------

    @property
    def _lists(self) -> ListFiles | None:
        """Inverted lists in files, where there is a folder for them."""
        folder = self.database.folder
        return None if folder is None else ListFiles(folder / LISTS, self.policy)

    @property
    def _near(self) -> NearIndex | None:
        """LanceDB's own index of many vectors, where there is no folder."""
        return NearIndex(self.database, self.policy) if self._lists is None else None

    @property
    def _kind(self) -> str:
        return IVF_PQ if self._lists is None else IVF_FLAT

    def _is_broken(self) -> bool:
        return any(self.database.opened(label) is None for label in self._spaces())

    def _account(self) -> Any:
        """The account; None where nothing is held for sure, since it or vectors were lost, or it has another shape."""
        table = self.database.opened(DRIVES)
        return None if table is None or table.schema != ACCOUNT or self._is_broken() else table

    def _is_counted(self) -> bool:
        """Whether the latest versions of all spaces keep the counts of the present account."""
        table = self.database.opened(DRIVES)
        if table is None or table.schema != ACCOUNT:
            versions = self.database.opened(VERSIONS)
            if versions is not None and versions.schema == VERSION_COLUMNS:
                versions.update(values={"counted_at": 0})  # another account may come to the same number
            return False
        latest = {row["label"]: row["counted_at"] for row in self._version_rows()}
        return all(latest.get(label) == table.version for label in self._spaces())

    def _still_counted(self, before: int) -> None:
        """Say that counts of a version of the account hold for its present one, too."""
        now = self.database.made(DRIVES, ACCOUNT).version
        if now != before:
            versions = self.database.made(VERSIONS, VERSION_COLUMNS)
            versions.update(where=f"counted_at = {before}", values={"counted_at": now})

    def _spaces(self) -> dict[str, Space]:
        table = self.database.opened(SPACES)
        rows = [] if table is None else table.to_arrow().to_pylist()
        return {
            row["label"]: Space(row["modality"], row["model_digest"], row["model"], row["dimensions"]) for row in rows
        }

    def _version_rows(self) -> list[Row]:
        table = self.database.opened(VERSIONS)
        rows = [] if table is None else table.to_arrow().to_pylist()
        whole = ({"counts": "{}", "counted_at": 0, **row} for row in rows)  # older indices lack them
        return sorted(whole, key=lambda row: (row["label"], row["number"]))

    def _declare(self, space: Space) -> None:
        row = {
            "label": space.label,
            "modality": space.modality,
            "model": space.model,
            "model_digest": space.model_digest,
            "dimensions": space.dimensions,
        }
        if space.label not in self._spaces():
            upsert(self.database.made(SPACES, SPACE_COLUMNS), ["label"], pa.Table.from_pylist([row], SPACE_COLUMNS))


def _told(space: Space, row: Row, kind: str) -> IndexVersion:
    return IndexVersion(space, row["number"], row["root"], row["clips"], kind if row["near"] else EXACT)
