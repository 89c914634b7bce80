"""The rows of the vector index as it writes and reads them: one table a space, block by block, by clip, or in lists.

Here belongs what a row is made of and what is read of it. When rows are written is in `vectors.py`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from fleet_assets.perception.neighbours import Neighbour
from fleet_assets.perception.vectors import Space, Vectors, cosines, matrix, nearest, units
from resources.vectors_database import LanceDatabase, quoted
from resources.vectors_lists import DriveKey, Opened, open_version, source_of
from resources.vectors_near import vectors_of

DRIVES, LISTS = "drives", "lists"
SCANNED_ROWS: Final = 8192
_READ_AT_ONCE: Final = 64
"""Drives."""
_FEW_QUERIES: Final = 4
"""For these LanceDB's own search is cheaper than to take all vectors out: ten times for one query of 10,000 vectors."""
_TIED: Final = 8
"""Further candidates, so that those that are as near as the last result can be put in order."""
ABOUT: Final = {
    "clip_id": pa.string(),
    "drive_id": pa.string(),
    "day": pa.string(),
    "depot": pa.string(),
    "start_ns": pa.int64(),
    "end_ns": pa.int64(),
}
Row = Mapping[str, Any]


def schema_of(space: Space) -> pa.Schema:
    """Columns of a space's table."""
    return pa.schema([*ABOUT.items(), ("vector", pa.list_(pa.float32(), space.dimensions))])


def stored_rows(rows: pa.Table, space: Space) -> pa.Table:
    """Rows of `gold.clip_embeddings` as the index has them: vectors of length one."""
    vectors = units(vectors_of(rows)) if rows.num_rows else np.empty((0, space.dimensions), dtype=np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), space.dimensions)
    return pa.table([*[rows[name].combine_chunks() for name in ABOUT], lists], schema=schema_of(space))


@lru_cache(maxsize=4)
def lists_as_of(folder: Path, key: tuple[tuple[str, Any], ...]) -> Opened:
    """Lists as one version sees them; the key is its row, whose root says what is in it."""
    row, database = dict(key), LanceDatabase(str(folder), {})
    told = (
        database.opened(DRIVES, row["near_version"])
        .search()
        .select(["drive_id", "day", "depot", "digest", "roots"])
        .to_list()
    )
    table = database.opened(row["label"], row["version"])

    def rows_of(drives: Sequence[DriveKey]) -> tuple[pa.Table, Vectors]:
        parts = [table.search().select([*ABOUT, "vector"]).limit(0).to_arrow()]
        for start in range(0, len(drives), _READ_AT_ONCE):
            where = f"drive_id IN ({quoted([drive for _, _, drive in drives[start : start + _READ_AT_ONCE]])})"
            parts.append(table.search().where(where).select([*ABOUT, "vector"]).to_arrow())
        rows, wanted = pa.concat_tables(parts), set(drives)
        keys = zip(*(rows[name].to_pylist() for name in ("day", "depot", "drive_id")), strict=True)
        own = rows.filter(pa.array([key in wanted for key in keys], pa.bool_()))
        return own.drop_columns(["vector"]), vectors_of(own)

    return open_version(folder / LISTS / row["near"], sources_of(told, row["label"]), rows_of)


def sources_of(account: Iterable[Row], label: str) -> dict[DriveKey, int]:
    """The data file of every drive that has vectors of a space."""
    drives = {(row["day"], row["depot"], row["drive_id"]): row for row in account if label in json.loads(row["roots"])}
    return {drive: source_of(drive, row["digest"]) for drive, row in drives.items()}


def blocks_of(table: Any) -> Iterator[tuple[pa.Table, Vectors]]:
    """All rows of a table and their unit vectors, block by block."""
    for batch in table.search().select([*ABOUT, "vector"]).to_batches(SCANNED_ROWS):
        if batch.num_rows:
            rows = pa.table([batch[name] for name in ABOUT], names=list(ABOUT))
            yield rows, matrix(pa.chunked_array([batch["vector"]]))


def rows_of_clips(table: Any, clips: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Rows of some clips."""
    where = f"clip_id IN ({quoted(clips)})" if clips else "false"
    return table.search().where(where).select(list(columns)).limit(max(1, len(clips))).to_arrow()


def exactly(table: Any, queries: Vectors, count: int) -> list[list[Neighbour]]:
    """The rows nearest to each query, found by reading all of them: once for many queries, in LanceDB for few."""
    if len(queries) > _FEW_QUERIES:
        return _read_through(table, queries, count)
    found = []
    for query in queries:
        asked = table.search(query).distance_type("l2").bypass_vector_index().limit(count + _TIED)
        found.append(ranked(asked.select([*ABOUT, "vector", "_distance"]).to_arrow(), query, count))
    return found


def _read_through(table: Any, queries: Vectors, count: int) -> list[list[Neighbour]]:
    blocks = ((rows["clip_id"].to_pylist(), vectors) for rows, vectors in blocks_of(table))
    found = nearest(queries, blocks, count)
    clips = sorted({clip for own in found for clip, _ in own})
    about = {row["clip_id"]: row for row in rows_of_clips(table, clips, list(ABOUT)).to_pylist()}
    return [[Neighbour(cosine=cosine, **about[clip]) for clip, cosine in own] for own in found]


def ranked(found: pa.Table, query: Any, count: int) -> list[Neighbour]:
    """Rows by their exact cosines, equal ones by clip."""
    if not found.num_rows:
        return []
    likeness = cosines(query[None], vectors_of(found))[0].tolist()
    rows = zip(found.select(list(ABOUT)).to_pylist(), likeness, strict=True)
    ordered = sorted(rows, key=lambda one: (-one[1], one[0]["clip_id"]))[:count]
    return [Neighbour(cosine=cosine, **row) for row, cosine in ordered]


def leaves_of(rows: pa.Table) -> dict[str, list[tuple[str, str, str]]]:
    """(clip, model digest, vector digest) of every drive."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in rows.select(["drive_id", "clip_id", "model_digest", "vector_sha256"]).to_pylist():
        found.setdefault(row["drive_id"], []).append((row["clip_id"], row["model_digest"], row["vector_sha256"]))
    return found
