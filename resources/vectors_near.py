"""The index of many vectors in a bucket: IVF-PQ over principal components finds candidates to compare exactly.

Here belong when it is made, made anew and searched. Where there is a folder, `vectors_lists.py` has files that are
mapped into memory instead, which answer ten times as fast. It is derived from the exact vectors of `vectors.py`; its
components are kept beside it, so that every version is searched by those that it was made of.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.perception.projection import Projection, fit, sample
from fleet_assets.perception.vectors import Vectors, matrix
from resources.vectors_database import NEVER, LanceDatabase, forget_before, quoted, tidy, upsert

PROJECTIONS: Final = "projections"
LEAST_PROBES: Final = 10
UNTIDY_SHARE: Final = 0.1
"""Share of vectors outside the lists, which are read through for every query, that calls for tidying."""
_INDEX: Final = "near_idx"
_TRAINED_ON: Final = 256
"""Vectors of each list that the coarse quantiser is trained on."""
_PROJECTIONS: Final = pa.schema(
    [
        ("near", pa.string()),
        ("fitted_on", pa.int64()),
        ("mean", pa.list_(pa.float32())),
        ("components", pa.list_(pa.float32())),
    ]
)
Blocks = Callable[[], Iterable[tuple[pa.Table, Vectors]]]
"""Reads all rows of a space, block by block: `clip_id`, `drive_id`, `day`, `depot`, and the unit vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """One version of the index of many vectors.

    Attributes:
        table: Its rows.
        projection: Components that it is made of.
        lists: Lists of the coarse quantiser.
    """

    table: Any
    projection: Projection
    lists: int

    def candidates(self, query: Any, count: int, probes: float) -> list[str]:
        """Clips that are probably nearest to a unit vector float32[d].

        Args:
            query: The vector.
            count: Clips wanted.
            probes: Share of the lists to read.
        """
        asked = self.table.search(self.projection(query[None])[0]).distance_type("l2")
        asked = asked.nprobes(max(LEAST_PROBES, round(probes * self.lists))).limit(count)
        found: list[str] = asked.select(["clip_id", "_distance"]).to_arrow()["clip_id"].to_pylist()
        return found


def _schema(dimensions: int) -> pa.Schema:
    texts = [(name, pa.string()) for name in ("clip_id", "drive_id", "day", "depot")]
    return pa.schema([*texts, ("near", pa.list_(pa.float32(), dimensions))])


def lists_for(rows: int, rows_per_list: int) -> int:
    """Lists of the coarse quantiser for so many vectors."""
    return max(1, rows // rows_per_list)


@dataclass(frozen=True)
class NearIndex:
    """Indices of many vectors in one database.

    Attributes:
        database: The database.
        policy: Key `index` of the document `embeddings`.
    """

    database: LanceDatabase
    policy: Mapping[str, Any]

    def opened(self, name: str, version: int | None = None) -> Near | None:
        """One index; None where there is none."""
        table, held = self.database.opened(name, version), self.database.opened(PROJECTIONS)
        told = [] if held is None else held.search().where(f"near = {quoted([name])}").to_list()
        if table is None or not told:
            return None
        mean = np.array(told[0]["mean"], dtype=np.float32)
        components = np.array(told[0]["components"], dtype=np.float32).reshape(-1, len(mean))
        fitted_on = told[0]["fitted_on"]
        return Near(table, Projection(mean, components, fitted_on), lists_for(fitted_on, self.policy["rows_per_list"]))

    def exchange(self, name: str, drives: Sequence[str], rows: pa.Table, vectors: Vectors) -> None:
        """Put vectors of some drives in place of those that are there.

        Args:
            name: The index; nothing is done where that is empty.
            drives: The drives.
            rows: Their rows.
            vectors: Their unit vectors.
        """
        near = self.opened(name) if name else None
        if near is None:
            return
        near.table.delete(f"drive_id IN ({quoted(drives)})")
        if rows.num_rows:
            near.table.add(_projected(rows, vectors, near.projection))

    def drop(self, name: str) -> None:
        """Take an index away, of which some vectors must not stay; the next `settled` makes another."""
        if name:
            self.database.drop(name)

    def settled(self, label: str, name: str, clips: int, dimensions: int, blocks: Blocks) -> tuple[str, int]:
        """Name and version of the index that a space should be searched by, made or tidied; empty for none.

        Args:
            label: The space.
            name: Index that it has now, if any.
            clips: Vectors that it has.
            dimensions: Their length.
            blocks: Reads them.
        """
        if clips <= self.policy["exact_up_to"]:
            return "", 0
        near = self.opened(name) if name else None
        if near is None or clips >= self.policy["refit_at"] * near.projection.fitted_on:
            name, near = self._build(label, clips, dimensions, blocks)
        stats = near.table.index_stats(_INDEX)
        if stats is not None and stats.num_unindexed_rows > UNTIDY_SHARE * clips:
            near.table.optimize(cleanup_older_than=NEVER)
        tidy(near.table)
        return name, near.table.version

    def drop_all_but(self, needed: Mapping[str, int], label: str) -> None:
        """Take away the indices of a space, and versions of them, that no version of the space needs any more.

        Args:
            needed: Oldest version that is needed, by index.
            label: The space.
        """
        held = self.database.opened(PROJECTIONS)
        told = [] if held is None else held.search().select(["near"]).to_arrow()["near"].to_pylist()
        for name in sorted(one for one in told if one.startswith(f"{label}-") and one not in needed):
            self.database.drop(name)
            held.delete(f"near = {quoted([name])}")
        for name, version in needed.items():
            if (table := self.database.opened(name)) is not None:
                forget_before(table, version)

    def _build(self, label: str, clips: int, dimensions: int, blocks: Blocks) -> tuple[str, Near]:
        from lancedb.index import IvfPq

        given = ((rows["clip_id"].to_pylist(), vectors) for rows, vectors in blocks())
        projection = fit(sample(given, self.policy["fit_on"]), min(self.policy["reduce_to"], dimensions), clips)
        name, width = f"{label}-{projection.digest[:12]}", len(projection.components)
        self.database.drop(name)
        table = self.database.made(name, _schema(width), ["drive_id"])
        table.add(
            pa.RecordBatchReader.from_batches(
                _schema(width),
                (batch for rows, vectors in blocks() for batch in _projected(rows, vectors, projection).to_batches()),
            )
        )
        lists = lists_for(clips, self.policy["rows_per_list"])
        codes = max(1, width // self.policy["components_per_code"])
        config = IvfPq(distance_type="l2", num_partitions=lists, num_sub_vectors=codes, sample_rate=_TRAINED_ON)
        table.create_index("near", config=config)
        told = {
            "near": name,
            "fitted_on": clips,
            "mean": projection.mean.tolist(),
            "components": projection.components.ravel().tolist(),
        }
        upsert(self.database.made(PROJECTIONS, _PROJECTIONS), ["near"], pa.Table.from_pylist([told], _PROJECTIONS))
        return name, Near(table, projection, lists)


def _projected(rows: pa.Table, vectors: Vectors, projection: Projection) -> pa.Table:
    width = len(projection.components)
    near = pa.FixedSizeListArray.from_arrays(pa.array(projection(vectors).ravel()), width)
    columns = [rows[name].combine_chunks() for name in ("clip_id", "drive_id", "day", "depot")]
    return pa.table([*columns, near], schema=_schema(width))


def vectors_of(rows: pa.Table) -> Vectors:
    """The column `vector` as float32[n, d]."""
    return matrix(rows["vector"])
