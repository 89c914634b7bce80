"""Steps of the restatement benchmark, each in a process of its own: `python -m benchmarks.restatement_worker STEP …`.

A step prints what it did as JSON. Which operators ran on how many drives is read from the lake's own commits, by the
step `work` in a process that is not measured. With `CHANGED` set, one operator has the next version and, with
`CHANGED=output`, another output, here and in the workers.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

    from tests.harness import TestFleet

CHANGED: Final = "FLEET_BENCH_CHANGED"
FIRST_DAY: Final = "2024-04-01"
SPEC: Final = "sim_car"


def changed_find(task: Any) -> Mapping[str, "pa.Table"]:
    """The integrity operator with other words in its findings."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from fleet_assets.ingestion.integrity_and_pii_redaction.operators import find

    made = dict(find(task))
    for name, table in made.items():
        column = table.schema.get_field_index("message")
        words = pc.binary_join_element_wise(table["message"], pa.scalar("(reworded)"), " ")
        made[name] = table.set_column(column, "message", words)
    return made


def change_operator() -> None:
    """Give the integrity operator the next version in this process."""
    from fleet_assets.ingestion.integrity_and_pii_redaction.operators import FIND_BREACHES
    from fleet_assets.ingestion.steps import FIND_STEP

    object.__setattr__(FIND_BREACHES, "version", FIND_BREACHES.version + 1)
    if os.environ[CHANGED] == "output":
        object.__setattr__(FIND_STEP, "compute", changed_find)


def _fleet(home: str) -> "TestFleet":
    from tests.harness import TestFleet

    return TestFleet(Path(home), first_day=FIRST_DAY, durable=True)


def work(home: str) -> dict[str, int]:
    """Units that each operator was run on so far, as the commits of its first output say."""
    from fleet_assets.operators import STEPS

    fleet, done = _fleet(home).fleet, {}
    for step in STEPS:
        costs = fleet.lake.costs(fleet.table(step.operator.outputs[0]))
        done[step.operator.name] = sum(
            int(cost["units"]) for cost in costs if cost.get("operator") == step.operator.name
        )
    return done


def descendants(home: str) -> dict[str, Any]:
    """Operators that the changed one feeds, directly and through others, as the declarations say."""
    from fleet_assets.ingestion.integrity_and_pii_redaction.operators import FIND_BREACHES
    from fleet_assets.operators import STEPS

    del home
    fed, tables = {FIND_BREACHES.name}, set(FIND_BREACHES.outputs)
    while more := [s.operator for s in STEPS if s.operator.name not in fed and tables & set(s.operator.inputs)]:
        fed |= {operator.name for operator in more}
        tables |= {name for operator in more for name in operator.outputs}
    return {"changed": FIND_BREACHES.name, "fed": sorted(fed)}


def stored(home: str) -> dict[str, tuple[int, int]]:
    """Size and time of every file of the lake and the objects."""
    files = [path for part in ("lake", "objects") for path in (Path(home) / part).rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def _turned(fleet: "TestFleet") -> dict[str, Any]:
    cpu = time.process_time()
    runs = fleet.turn()
    spent = time.process_time() - cpu
    failed = sorted({run.error or "gate" for run in runs if not run.success})
    return {"runs": len(runs), "main_cpu_s": spent, "failed": failed}


def deliver(home: str, *recordings: str) -> dict[str, Any]:
    """Put drives into the landing zone, then turn the crank until nothing is requested."""
    fleet = _fleet(home)
    for name in recordings:
        path, _, depot_revision = name.partition("=")
        depot, _, revision = depot_revision.partition(":")
        folder = Path(path)
        vehicle = folder.name
        fleet.upload(
            folder,
            spec=SPEC,
            vehicle_id=vehicle,
            depot=depot or "north",
            revision=int(revision or 0),
            drive_id=vehicle,
            dbc_folders=[folder.parent / "dbc"],
        )
    return _turned(fleet)


def turn(home: str) -> dict[str, Any]:
    """Turn the crank with nothing delivered."""
    return _turned(_fleet(home))


def conditions(home: str) -> dict[str, Any]:
    """Tick the automation conditions twice, as the daemon does: what they ask for where nothing changed."""
    import dagster as dg

    from fleet_assets.build import build_defs

    fleet = _fleet(home)
    defs = build_defs(resource_overrides={"ingestion": fleet.fleet})
    with fleet.instance() as instance:
        first = dg.evaluate_automation_conditions(defs, instance)
        second = dg.evaluate_automation_conditions(defs, instance, cursor=first.cursor)
    return {"requested": first.total_requested + second.total_requested}


def planning(home: str) -> dict[str, Any]:
    """Ask the ledger what is stale: nothing. Imports apart, from cold caches."""
    import tempfile

    from fleet_assets.operators import STEPS
    from fleet_assets.provenance.staleness import stale_partitions

    with tempfile.TemporaryDirectory() as empty:
        stale_partitions(_fleet(empty).fleet, STEPS)
    fleet = _fleet(home)
    before = time.process_time()
    _ = fleet.fleet.lake.catalog
    opened = time.process_time() - before
    before = time.process_time()
    stale = stale_partitions(fleet.fleet, STEPS)
    return {"stale": len(stale), "cpu_s": time.process_time() - before, "catalog_cpu_s": opened}


def force(home: str) -> dict[str, Any]:
    """Run every asset of every partition again, as a person would from the UI."""
    import dagster as dg

    from fleet_assets.build import build_defs
    from fleet_assets.crank import Crank
    from fleet_assets.operators import STEPS
    from partitions.keys import to_dagster

    fleet = _fleet(home)
    files = stored(home)
    wanted: dict[tuple[str, ...], set[str]] = {}
    for step in STEPS:
        for name in step.operator.outputs:
            for entry in fleet.fleet.lake.entries(fleet.fleet.table(name)):
                wanted.setdefault(entry.partition, set()).update(step.operator.outputs)
    with fleet.instance() as instance:
        defs = build_defs(resource_overrides={"ingestion": fleet.fleet})
        crank = Crank(defs, instance)
        runs = [
            crank.run(
                "forced",
                dg.RunRequest(
                    partition_key=to_dagster(partition) if partition else None,
                    asset_selection=sorted(
                        dg.AssetSelection.assets(*(dg.AssetKey(name.split(".")) for name in names))
                        .required_multi_asset_neighbors()
                        .resolve([asset for asset in defs.assets or () if isinstance(asset, dg.AssetsDefinition)])
                    ),
                ),
            )
            for partition, names in sorted(wanted.items())
        ]
    after = stored(home)
    written = sum(size for path, (size, _) in after.items() if files.get(path) != after[path])
    failed = sorted({run.error or "gate" for run in runs if not run.success})
    return {"runs": len(runs), "written_bytes": written, "failed": failed}


def digests(home: str) -> dict[str, Any]:
    """Roots of all tables and of the reachable objects."""
    from fleet_assets.commands.identity import lake_digests

    return dict(lake_digests(_fleet(home).fleet, objects=True))


def nothing(home: str) -> dict[str, Any]:
    """Only start: interpreter, imports, catalog."""
    import fleet_assets.build  # noqa: F401

    _ = _fleet(home).fleet.lake.catalog
    return {}


def workers(home: str) -> dict[str, Any]:
    """The same, and the engine's workers with what they import before the first drive."""
    from resources.engine import ProcessPoolEngine

    nothing(home)
    list(ProcessPoolEngine(2).run(_imports, [("1", None), ("2", None)]))
    return {}


def _imports(_: None) -> None:
    import fleet_assets.operators  # noqa: F401


def loop(*recordings: str) -> dict[str, Any]:
    """The sequential script that most teams have: decode every message of every drive with the `mcap` library."""
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    messages = 0
    for name in recordings:
        for path in sorted(Path(name.partition("=")[0]).glob("*.mcap")):
            with path.open("rb") as stream:
                for _ in make_reader(stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages():
                    messages += 1
    return {"messages": messages}


STEPS_BY_NAME: dict[str, Callable[..., dict[str, Any]]] = {
    function.__name__: function
    for function in (
        deliver,
        turn,
        conditions,
        planning,
        force,
        digests,
        work,
        descendants,
        nothing,
        workers,
        loop,
    )
}

if CHANGED in os.environ and __name__ in {"__main__", "__mp_main__"}:
    change_operator()

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(STEPS_BY_NAME[sys.argv[1]](*sys.argv[2:])))
