"""Snapshots of road networks: which extracts landed under which name, and what one becomes.

Here belong the names of landed extracts, the operator that reads one, and which snapshot of a region is in force.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fleet_assets.geo.osm_edges import RoadNetwork, road_network
from fleet_assets.geo.osm_limits import DEFAULT
from fleet_assets.geo.osm_ways import Extract, UnusableExtractError, read_extract
from fleet_assets.provenance.batches import BatchFile
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.maps import MAPS, ROAD_CELLS, ROAD_EDGES, ROAD_NETWORK, ROAD_NODES, SNAPSHOT

MAPS_FOLDER: Final = "maps"
"""Folder of the landing zone: `maps/REGION/AS_OF@DIGEST.SUFFIX`."""
ATTRIBUTION: Final = "© OpenStreetMap contributors, ODbL 1.0"
DIGEST_LENGTH: Final = 16
NAME_FORM: Final = "REGION/TIME@DIGEST.osm"
_TIME: Final = "%Y-%m-%dT%H%M%SZ"
_NAME: Final = re.compile(
    r"^(?P<region>[a-z0-9][a-z0-9_-]{0,62})/(?P<as_of>\d{4}-\d\d-\d\dT\d{6}Z)@(?P<digest>[0-9a-f]{16})\.osm\S*$"
)
_REGION: Final = re.compile(r"[^a-z0-9_]+")
READ_MAP: Final = Operator(
    name="map_and_weather_enrichment.read_map",
    version=2,
    inputs=(),
    outputs=tuple(table.name for table in MAPS),
    policy={"maps": ("extract", "speed_limits")},
    libraries=("osmium", "h3", "numpy"),
)


class MisnamedMapError(ValueError):
    """A name of a region or a time that a snapshot cannot have."""


@dataclass(frozen=True, slots=True)
class Landed:
    """One extract in the landing zone.

    Attributes:
        file: Where it lies.
        region: Region that it shows.
        as_of: Time that it shows, UTC, ISO 8601.
        digest: Beginning of its digest.
    """

    file: BatchFile
    region: str
    as_of: str
    digest: str

    @property
    def snapshot(self) -> str:
        """Partition key."""
        return f"{self.region}@{self.as_of}@{self.digest}"


def landed_maps(files: Iterable[BatchFile]) -> list[Landed]:
    """Extracts in the landing zone's folder of maps; files whose names tell nothing are none, see `misnamed_maps`."""
    matches = ((file, _NAME.match(file.name)) for file in files)
    found = [Landed(file, match["region"], match["as_of"], match["digest"]) for file, match in matches if match]
    return sorted(found, key=lambda landed: landed.snapshot)


def misnamed_maps(files: Iterable[BatchFile]) -> list[dict[str, Any]]:
    """Rows of the landing quarantine, without their scope, of files whose names tell neither region nor time.

    No snapshot can be made of such a file, not even a refused one: it belongs to no partition, and leaves the
    quarantine when it is taken away.
    """
    return [
        {
            "upload": f"{MAPS_FOLDER}/{file.printable}",
            "drive_id": None,
            "rule": "name",
            "value": file.printable,
            "limit": NAME_FORM,
            "remedy": f"Add the file with `fleet map add`; take this one out of {MAPS_FOLDER}/ in the landing zone.",
        }
        for file in files
        if not _NAME.match(file.name)
    ]


def region_name(text: str) -> str:
    """A region's name from what a person or a file name calls it.

    Raises:
        MisnamedMapError: When nothing is left of it.
    """
    plain = text.lower()
    for suffix in (".gz", ".bz2", ".pbf", ".xml", ".osm"):
        plain = plain.removesuffix(suffix)
    name = _REGION.sub("_", plain).strip("_")[:63]
    if not name:
        raise MisnamedMapError(
            f"region {text!r} has no letter or digit. Name it with --region, e.g. --region baltimore."
        )
    return name


def landing_name(region: str, as_of: str, sha256: str) -> str:
    """Name of an extract in the landing zone.

    Args:
        region: Region.
        as_of: Time that it shows, ISO 8601.
        sha256: Digest of the file.

    Raises:
        MisnamedMapError: When the time is none.
    """
    try:
        time = datetime.fromisoformat(as_of)
    except ValueError as error:
        raise MisnamedMapError(f"--as-of {as_of!r}: {error}. Write e.g. 2024-05-01T00:00:00Z.") from error
    utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return f"{region_name(region)}/{utc.strftime(_TIME)}@{sha256[:DIGEST_LENGTH]}.osm"


def read_map(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of the tables of one snapshot; a file that cannot be used gives one row that says why."""
    landed: Landed = task.context["landed"]
    path: Path = task.context["landing"].batch(landed.file, MAPS_FOLDER)
    rules = task.policies["maps"]
    head: dict[str, Any] = {
        SNAPSHOT: landed.snapshot,
        "region": landed.region,
        "as_of": landed.as_of,
        "file": landed.file.printable,
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
        "attribution": ATTRIBUTION,
    }
    tables: dict[str, pa.Table] = {table.name: table.empty() for table in MAPS}
    try:
        extract, network = _read(landed, path, head["sha256"], rules)
    except UnusableExtractError as error:
        refused = {**_counts({}), "status": "refused", "rule": error.rule, "message": str(error)}
        return {**tables, ROAD_NETWORK.name: ROAD_NETWORK.from_rows([{**head, **refused}])}
    return {
        ROAD_NETWORK.name: ROAD_NETWORK.from_rows([{**head, **_summary(extract, network)}]),
        ROAD_CELLS.name: ROAD_CELLS.from_rows(_with(network.cells, landed)),
        ROAD_NODES.name: ROAD_NODES.from_rows(_with(network.nodes, landed)),
        ROAD_EDGES.name: ROAD_EDGES.from_rows(_with(network.edges, landed)),
    }


def _read(landed: Landed, path: Path, sha256: str, rules: Mapping[str, Any]) -> tuple[Extract, RoadNetwork]:
    """Network of a landed file.

    Raises:
        UnusableExtractError: When it has none, or its name tells another content.
    """
    name = landed.file.printable
    if not sha256.startswith(landed.digest):
        remedy = "Add the file again with `fleet map add`."
        raise UnusableExtractError("digest", name, sha256, landed.digest, remedy)
    extract = read_extract(path, rules["extract"], name)
    network = road_network(extract, rules)
    if not network.edges:
        remedy = "Export the extract with the nodes of its ways."
        raise UnusableExtractError("no_nodes", name, "no nodes of its ways", "complete ways", remedy)
    return extract, network


def _with(rows: list[dict[str, Any]], landed: Landed) -> list[dict[str, Any]]:
    return [{SNAPSHOT: landed.snapshot, **row} for row in rows]


def _counts(found: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "highway_ways", "car_ways", "other_ways", "closed_ways", "broken_ways", "incomplete_ways",
        "cut_off_ways", "lengthless_ways", "edges", "nodes", "junctions", "cells", "length_km", "tagged_limits",
    )  # fmt: skip
    return {name: found.get(name, 0) for name in names}


def _summary(extract: Extract, network: RoadNetwork) -> dict[str, Any]:
    counts = {
        **extract.counts,
        "incomplete_ways": network.incomplete_ways,
        "cut_off_ways": network.cut_off_ways,
        "lengthless_ways": network.lengthless_ways,
        "edges": len(network.edges),
        "nodes": len(network.nodes),
        "junctions": sum(node["junction"] for node in network.nodes),
        "cells": len(network.cells),
        "length_km": round(sum(edge["length_m"] for edge in network.edges) / 1000, 3),
        "tagged_limits": sum(_states_a_limit(edge) for edge in network.edges),
    }
    bounds = dict(zip(("south_deg", "west_deg", "north_deg", "east_deg"), network.bounds, strict=True))
    return {"status": "usable", "country": network.country, **bounds, **_counts(counts)}


def _states_a_limit(edge: Mapping[str, Any]) -> bool:
    return not {edge["speed_limit_source"], edge["speed_limit_back_source"]} <= {DEFAULT, None}
