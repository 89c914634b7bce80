"""Planning a fleet of which nothing is stale, by number of drives: `python -m benchmarks.run planning`.

The ledger is written, not computed: every table holds an empty file per drive under the fingerprint that is wanted, so
that a thousand drives cost seconds to make. What is read of it is what planning reads of a real one: catalog, manifests
of the tables, manifests of the uploads, rows of `bronze.drives`.
"""

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import in_subprocess, report

if TYPE_CHECKING:
    from fleet_assets.provenance.ledger import Entry, Partition
    from fleet_assets.provenance.manifest import Manifest
    from resources.platform import Fleet

DRIVES: Final = tuple(int(count) for count in os.environ.get("FLEET_BENCH_LEDGERS", "40,200,1000").split(","))
WORKER: Final = "benchmarks.planning"
SPEC: Final = "gopro"
DEPOTS: Final = ("north", "south")
DAYS: Final = ("2024-05-01", "2024-05-02")


def planning(folder: Path) -> None:
    """CPU seconds of planning, in a process of its own each time, by number of drives."""
    rows = []
    for count in DRIVES:
        home = str(folder / str(count))
        in_subprocess(WORKER, "write", home, str(count))
        told, whole = in_subprocess(WORKER, "plan", home)
        if told["stale"]:
            raise RuntimeError(f"{count} drives: {told['stale']} partitions are stale, so planning had more to do")
        rows.append(
            {
                "drives": count,
                "files_in_the_ledger": told["files"],
                "planning_cpu_s": told["cpu_s"],
                "again_cpu_s": told["again_cpu_s"],
                "process_cpu_s": whole.cpu_s,
                "us_per_file": 1e6 * told["cpu_s"] / told["files"],
            }
        )
    report("planning with nothing stale: a new process, and once more in it", rows)


def _manifest(number: int, partition: "Partition") -> "Manifest":
    from fleet_assets.provenance.digests import merkle_root
    from fleet_assets.provenance.manifest import make_manifest

    start = datetime.fromisoformat(f"{partition[0]}T08:00:00").replace(tzinfo=UTC)
    content = merkle_root([("drive", str(number))])
    return make_manifest(
        {
            "schema": "fleet.manifest/v1",
            "drive_id": f"drive-{number:05d}",
            "revision": 0,
            "vehicle_id": "car1",
            "vehicle_spec": SPEC,
            "depot": partition[1],
            "start_ns": int(start.timestamp()) * 1_000_000_000 + number,
            "time_source": "gnss",
            "files": [{"path": "drive.mp4", "bytes": 1000 + number, "sha256": content}],
        }
    )


def _write_uploads(fleet: "Fleet", count: int) -> dict[str, "Manifest"]:
    from fleet_assets.provenance.canonical import canonical_json
    from fleet_assets.provenance.manifest import MANIFEST_NAME

    partitions = [(day, depot) for day in DAYS for depot in DEPOTS]
    made = {}
    for number in range(count):
        partition = partitions[number % len(partitions)]
        manifest = _manifest(number, partition)
        upload = fleet.settings.landing / f"{manifest.drive_id}-r0"
        upload.mkdir()
        (upload / MANIFEST_NAME).write_bytes(canonical_json(manifest.as_json()))
        made[manifest.drive_id] = manifest
    return made


def write(home: str, count: str) -> dict[str, Any]:
    """A home in which every operator is done with every drive."""
    from fleet_assets.operators import STEPS
    from fleet_assets.provenance.staleness import stale_partitions

    fleet = _fleet(home)
    uploads = _write_uploads(fleet, int(count))
    while stale := stale_partitions(fleet, STEPS):
        for item in stale:
            made = item.plan.stale
            for table in (fleet.table(name) for name in item.step.operator.outputs):
                if table.name == "bronze.drives":
                    rows = {unit: table.from_rows([_drive_row(uploads[unit])]) for unit in made}
                    entries = [fleet.lake.stage(table, item.partition, unit, made[unit], rows[unit]) for unit in made]
                else:
                    entries = [_empty(home, table.name, item.partition, unit, made[unit]) for unit in made]
                fleet.lake.commit(table, entries)
    return {}


def _empty(home: str, table: str, partition: "Partition", unit: str, fingerprint: str) -> "Entry":
    """A file without rows, which nobody opens."""
    from fleet_assets.provenance.digests import merkle_root
    from fleet_assets.provenance.ledger import Entry, file_name

    digest = merkle_root([(table, unit)])
    path = f"file://{home}/none/{table}/{file_name(unit, fingerprint, digest)}"
    return Entry(unit, partition, fingerprint, digest, 0, 0, path)


def _drive_row(manifest: "Manifest") -> dict[str, Any]:
    return {
        "drive_id": manifest.drive_id,
        "day": manifest.day,
        "depot": manifest.depot,
        "vehicle_id": manifest.vehicle_id,
        "vehicle_spec": manifest.vehicle_spec,
        "format": "video",
        "start_ns": manifest.start_ns,
        "end_ns": manifest.start_ns + 40_000_000_000,
        "duration_s": 40.0,
        "time_source": manifest.time_source,
        "clock_offset_ns": 0,
        "bytes": manifest.size_bytes,
        "manifest_sha256": manifest.sha256,
        "revision": 0,
        "status": "landed",
        "reason": None,
    }


def plan(home: str) -> dict[str, Any]:
    """Ask the ledger what is stale, imports apart, from cold caches, and once more."""
    from fleet_assets.operators import STEPS
    from fleet_assets.provenance.staleness import stale_partitions

    with tempfile.TemporaryDirectory() as empty:
        stale_partitions(_fleet(empty), STEPS)
    fleet = _fleet(home)
    _ = fleet.lake.catalog
    before = time.process_time()
    stale = stale_partitions(fleet, STEPS)
    first = time.process_time()
    fleet.forget()
    stale_partitions(fleet, STEPS)
    again = time.process_time()
    files = sum(len(fleet.lake.entries(table)) for table in fleet.tables.values())
    return {"stale": len(stale), "files": files, "cpu_s": first - before, "again_cpu_s": again - first}


def _fleet(home: str) -> "Fleet":
    from resources.home import open_home
    from resources.profiles import local_fleet

    settings = open_home(Path(home))
    for depot in DEPOTS:
        settings = settings.with_depot(depot)
    replace(settings, first_day="2024-04-01").save()
    return local_fleet(Path(home))


STEPS_BY_NAME: dict[str, Callable[..., dict[str, Any]]] = {function.__name__: function for function in (write, plan)}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(STEPS_BY_NAME[sys.argv[1]](*sys.argv[2:])))
