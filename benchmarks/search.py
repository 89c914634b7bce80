"""Search latency on a million clips: `fleet search`'s index against the same query in DuckDB over the same rows.

`python -m benchmarks.run search`. The documents are synthetic: tags, words and figures as in the catalog, in one
data file per drive as in the lake. DuckDB asks the same of them, twice: of the lake's data files, as `fleet sql` does,
and of a table that it holds in memory. It has no ranking by text of its own, so it counts the words that occur. Both
sides run warm and in turns, on what threads they like; the ratio is that of the median elapsed times, beside it CPU.
"""

import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.measure import report
from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import query_fields
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.search_query import SearchQuery, parse_query
from fleet_assets.provenance.ledger import Entry
from fleet_assets.tables.catalog import FIGURES, LIGHTS, SEARCH_DOCUMENTS, WORD_COLUMNS
from resources.data_files import DataFiles
from resources.search_index import SearchIndex

DRIVES: Final = 2000
CLIPS: Final = 500
DAYS: Final = 10
PAGE: Final = 20
ROUNDS: Final = 9
DEEPEST: Final = 2000
START_NS: Final = 1_714_521_600_000_000_000
CLIP_NS: Final = 20_000_000_000
QUERIES: Final = (
    "night hard brake",
    "tailgating motorway tag:night speed>30",
    '"hard brake" -parked depot:north',
    "tag:hard_brake speed>30 light:night",
)


def _drive(number: int, policy: Mapping[str, Any]) -> pa.Table:
    """Documents of one drive."""
    random = np.random.default_rng(number)
    tags, words = sorted(policy["tags"]), policy["documents"]["words"]
    given = random.random((CLIPS, len(tags))) < random.uniform(0.01, 0.3, len(tags))
    day, depot = f"2024-05-{1 + number * DAYS // DRIVES:02d}", ("north", "south")[number % 2]
    starts = START_NS + number * CLIPS * CLIP_NS + np.arange(CLIPS) * CLIP_NS
    named = [[tag for tag, has in zip(tags, row, strict=True) if has] for row in given]
    texts = [
        " ".join([*(tag.replace("_", " ") for tag in own), "signals tracks", f"car{number % 300}", depot,
                  *(words.get(tag, "") for tag in own)])
        for own in named
    ]  # fmt: skip
    columns: dict[str, Any] = {
        **dict.fromkeys(("drive_id",), [f"drive-{number:05d}"] * CLIPS),
        "day": [day] * CLIPS,
        "depot": [depot] * CLIPS,
        "clip_id": [f"drive-{number:05d}-{clip:04d}" for clip in range(CLIPS)],
        "vehicle_id": [f"car{number % 300}"] * CLIPS,
        "vehicle_spec": ["sim_car"] * CLIPS,
        "format": ["mcap"] * CLIPS,
        "start_ns": starts,
        "end_ns": starts + CLIP_NS,
        "duration_s": np.full(CLIPS, CLIP_NS / 1e9),
        **{column.name: random.uniform(0, 1, CLIPS) for column in FIGURES},
        "speed_max_mps": random.uniform(0, 45, CLIPS),
        "light_condition": [LIGHTS[at] for at in random.integers(0, len(LIGHTS), CLIPS)],
        "h3_cells": [f"871e34c{cell:02x}ffffff" for cell in random.integers(0, 256, CLIPS)],
        "tags": [" ".join(own) for own in named],
        "has": ["signals tracks"] * CLIPS,
        "text": texts,
        "signals_uri": [f"lake://silver.signals/{day}/{depot}/drive-{number:05d}"] * CLIPS,
        **{name: pa.nulls(CLIPS, pa.string()) for name in ("media_uris", "keyframe_uris", "lidar_uris")},
        "dataset_version": [hashlib.sha256(str(number).encode()).hexdigest()] * CLIPS,
    }
    return SEARCH_DOCUMENTS.conform(pa.table(columns))


def _written(folder: Path, policy: Mapping[str, Any]) -> list[Entry]:
    files = DataFiles({})
    entries = []
    for number in range(DRIVES):
        rows = _drive(number, policy)
        partition = (rows["day"][0].as_py(), rows["depot"][0].as_py())
        entries.append(files.stage(str(folder / "lake"), partition, rows["drive_id"][0].as_py(), "0" * 24, rows))
    return entries


def _indexed(folder: Path, entries: Sequence[Entry]) -> SearchIndex:
    """The index, brought up to date partition by partition."""
    index, files = SearchIndex(str(folder / "index"), {}), DataFiles({})
    for partition in sorted({entry.partition for entry in entries}):
        own = [entry for entry in entries if entry.partition == partition]
        index.sync(own, lambda part: files.read(SEARCH_DOCUMENTS, part), partition)
    index.tidy()
    return index


def _sql(query: SearchQuery, table: str) -> str:
    """The same query for DuckDB: documents by how many of the words they have."""
    asked = [f"contains(' ' || text || ' ', ' {word} ')" for word in (*query.words, *query.phrases)]
    terms = [f"contains(' ' || text || ' ', ' {word} ')" for word in query.words]
    rank = " + ".join(f"{term}::int" for term in asked) or "0"
    held = [f"contains(' ' || text || ' ', ' {phrase} ')" for phrase in query.phrases]
    held += [f"NOT contains(' ' || text || ' ', ' {word} ')" for word in query.excluded]
    held += [f"({' OR '.join(terms)})"] if terms and not query.phrases else []
    where = query.where or "true"
    for name in WORD_COLUMNS:
        where = where.replace(f"array_has({name}, ", f"array_has(string_split({name}, ' '), ")
    conditions = " AND ".join([where, *held])
    order = f"{rank} DESC, clip_id" if asked else "start_ns DESC, clip_id"
    return f"SELECT * FROM {table} WHERE {conditions} ORDER BY {order} LIMIT {PAGE}"  # noqa: S608 - our own words


def _rounds(sides: Mapping[str, Callable[[], Any]]) -> dict[str, tuple[float, float]]:
    """Median elapsed and CPU milliseconds of each side, in turns; the first round only warms up."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):
        for name, ask in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            ask()
            taken[name].append(((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3))
    medians = {
        name: [statistics.median(part) for part in zip(*found[1:], strict=True)] for name, found in taken.items()
    }
    return {name: (wall, cpu) for name, (wall, cpu) in medians.items()}


def _fetched(connection: Any, sql: str) -> list[Any]:
    rows: list[Any] = connection.execute(sql).fetchall()
    return rows


def _measured(index: SearchIndex, connection: Any, policy: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for text in QUERIES:
        query = parse_query(text, query_fields(policy))
        sides: dict[str, Callable[[], Any]] = {
            "index": partial(index.search, query, limit=PAGE, deepest=DEEPEST),
            "files": partial(_fetched, connection, _sql(query, "files")),
            "memory": partial(_fetched, connection, _sql(query, "memory")),
        }
        found = index.search(query, limit=PAGE, deepest=DEEPEST)
        told = connection.execute(_sql(query, "memory")).fetchall()
        if len(found.rows) != len(told):
            raise RuntimeError(f"{text}: the index gives {len(found.rows)} clips, DuckDB {len(told)}")
        times = _rounds(sides)
        yield {
            "query": text,
            **{f"{name}_ms": times[name][0] for name in sides},
            **{f"{name}_cpu_ms": times[name][1] for name in sides},
            "index_to_files": times["index"][0] / times["files"][0],
            "index_to_memory": times["index"][0] / times["memory"][0],
        }


def search(folder: Path) -> None:
    """One row per query."""
    import duckdb

    policy = load_policies()["catalog"]
    entries = _written(folder, policy)
    began = time.process_time()
    index = _indexed(folder, entries)
    built_s = time.process_time() - began
    connection = duckdb.connect()
    paths = ", ".join(f"'{entry.path}'" for entry in entries)
    connection.execute(f"CREATE VIEW files AS SELECT * FROM read_parquet([{paths}])")  # noqa: S608 - our own paths
    connection.execute("CREATE TABLE memory AS SELECT * FROM files")
    clips = connection.execute("SELECT count(*) FROM memory").fetchall()[0][0]
    report(
        f"search among {clips} clips of {DRIVES} drives, {ROUNDS} rounds", list(_measured(index, connection, policy))
    )
    print(f"  the index was made in {built_s:.0f} CPU seconds, {built_s / clips * 1e6:.0f} µs per clip")
