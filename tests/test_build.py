"""All definitions load for every profile, offline, and are what they were when someone last looked."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from fleet_assets.build import all_gates, build_defs
from fleet_assets.tables import TableKind
from resources.profiles import PROFILES, UnknownProfileError, local_fleet
from tests.snapshots.renew import RENEW, SNAPSHOT, definitions, described

REPOSITORY = Path(__file__).resolve().parents[1]
EXTERNAL = {dg.AssetKey(["ops", "requests"])}
"""Assets that nothing here makes. A misspelt dependency loads silently as one more of these."""
DERIVED = {dg.AssetKey(["silver", "search_index"])}
"""Assets that are no tables: they can be deleted and are made again from one."""
LATE = ("asammdf", "boto3", "duckdb", "evidently", "lancedb", "matplotlib", "pyiceberg", "torch")
"""Libraries that cost seconds or hundreds of megabytes; imported where they are used."""

LOAD_EVERYTHING = f"""
import socket, sys, warnings

def refuse(*args, **kwargs):
    raise OSError("the network was used while definitions loaded")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
warnings.simplefilter("ignore")
import fleet_assets.definitions
print("late:", sorted(set({LATE!r}) & set(sys.modules)))
import dagster as dg
from fleet_assets.build import build_defs
for profile in {PROFILES!r}:
    defs = build_defs(profile=profile)
    dg.Definitions.validate_loadable(defs)
    print(profile, len(defs.resolve_all_asset_keys()), defs.resources["ingestion"].bucket or "-")
print("late:", sorted(set({LATE!r}) & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return definitions(tmp_path_factory.mktemp("build") / "home")


def test_every_profile_loads_without_network_and_credentials_and_without_heavy_libraries(tmp_path: Path) -> None:
    """The environment holds a path and a home, nothing else: no key, no region, no profile."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD_EVERYTHING],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "FLEET_HOME": str(tmp_path / "fleet")},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    late, *profiles, late_after = done.stdout.splitlines()
    assert late == late_after == "late: []"
    assert [line.split()[0] for line in profiles] == list(PROFILES)
    assert len({line.split()[1] for line in profiles}) == 1
    assert [line.split()[2] for line in profiles] == ["-", "fleet-assets", "fleet-assets"]


def test_an_unknown_profile_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownProfileError, match="profile 'azure' does not exist. Set FLEET_PROFILE to one of: local"):
        build_defs(profile="azure")


def test_the_profile_comes_from_the_environment_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLEET_PROFILE", "azure")
    monkeypatch.setenv("FLEET_HOME", str(tmp_path))
    with pytest.raises(UnknownProfileError):
        build_defs()


def test_resources_can_be_replaced_by_key(tmp_path: Path) -> None:
    fleet = local_fleet(tmp_path / "mine")
    made = build_defs(profile="local", resource_overrides={"ingestion": fleet})
    assert (made.resources or {})["ingestion"] is fleet


def test_only_ingestion_may_open_raw_recordings(defs: dg.Definitions) -> None:
    resources = defs.resources or {}
    assert {name: resource.granted for name, resource in resources.items()} == {
        "ingestion": ["raw", "open"],
        "fleet": ["open"],
    }


def test_the_asset_graph_is_what_it_was_when_someone_last_looked(defs: dg.Definitions) -> None:
    """Keys, owners, dependencies and gates are what others build on; a change of them is made on purpose."""
    assert described(defs) == json.loads(SNAPSHOT.read_text()), f"Meant so? Run `{RENEW}` and read the diff."


def test_every_dependency_is_an_asset_that_exists(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert set(graph.external_asset_keys) == EXTERNAL
    made = {spec.key for spec in defs.resolve_all_asset_specs()}
    assert {dep.asset_key for spec in defs.resolve_all_asset_specs() for dep in spec.deps} <= made


def test_the_request_book_has_no_dependencies_so_that_it_cuts_the_cycles(defs: dg.Definitions) -> None:
    (book,) = [spec for spec in defs.resolve_all_asset_specs() if spec.key in EXTERNAL]
    assert list(book.deps) == []


def test_every_gate_guards_an_asset_that_exists_with_its_partitions_and_blocks(defs: dg.Definitions) -> None:
    """Without the asset's partitions a failed day is let through when a later one passes (Dagster 1.13.27)."""
    assets = {spec.key: spec for spec in defs.resolve_all_asset_specs()}
    gates = [spec for checks in defs.asset_checks or () for spec in checks.check_specs]
    assert len(gates) == len({spec.key for spec in gates}) > 10
    for spec in gates:
        assert spec.asset_key in assets, spec.key
        assert spec.blocking, spec.key
        assert spec.partitions_def == assets[spec.asset_key].partitions_def, spec.key


def test_every_table_that_is_part_of_identity_has_a_blocking_gate(defs: dg.Definitions, tmp_path: Path) -> None:
    tables = local_fleet(tmp_path / "home").tables
    guarded = {gate.table.name for gate in all_gates(tables)}
    assert guarded == {name for name, table in tables.items() if table.kind is not TableKind.LOG}
    keys = {spec.key for spec in defs.resolve_all_asset_specs()}
    assert keys - DERIVED == {dg.AssetKey(list(table.key)) for table in tables.values()}


def test_every_asset_says_what_it_is_and_whose(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.group_name in {"ingestion", "mining", "ops"}, spec.key
        if spec.key not in EXTERNAL:
            assert spec.code_version, spec.key
            assert "dagster/column_schema" in spec.metadata, spec.key


def test_every_bulk_asset_is_backfilled_one_partition_per_run(defs: dg.Definitions) -> None:
    """With any policy, even `multi_run(1)`, runs are over ranges and record check results without a partition."""
    for made in defs.assets or ():
        if isinstance(made, dg.AssetsDefinition) and made.partitions_def is not None:
            assert made.backfill_policy is None, made.keys


def test_no_gate_has_a_condition_of_its_own(defs: dg.Definitions) -> None:
    """A check with a condition runs only when it is asked for by name: a backfill would leave it out of its runs."""
    checks = list(defs.asset_checks or ())
    assert checks
    for made in checks:
        for spec in made.check_specs:
            assert spec.automation_condition is None, spec.key


def test_gates_of_one_table_have_names_of_their_own(tmp_path: Path) -> None:
    gates = all_gates(local_fleet(tmp_path / "home").tables)
    assert len({gate.key for gate in gates}) == len(gates)


def test_what_a_condition_may_ask_for_is_looked_after_by_a_sweep_too(defs: dg.Definitions) -> None:
    """Conditions can lose an edge, and commands turn the sweeps alone."""
    graph = defs.resolve_asset_graph()
    swept = {
        key
        for sensor in defs.sensors or ()
        if isinstance(sensor, dg.SensorDefinition) and not isinstance(sensor, dg.AutomationConditionSensorDefinition)
        for key in (sensor.asset_selection.resolve(graph) if sensor.asset_selection is not None else ())
    }
    conditional = {spec.key for spec in defs.resolve_all_asset_specs() if spec.automation_condition is not None}
    assert conditional
    assert conditional <= swept


def test_events_and_all_that_is_made_of_them_are_asked_for_together(defs: dg.Definitions) -> None:
    """Conditions of two sensors are asked one after the other: what follows would come a wave later each time."""
    graph = defs.resolve_asset_graph()
    specs = list(defs.resolve_all_asset_specs())
    sensors = {sensor.name: sensor for sensor in defs.sensors or ()}
    asked = {
        name: sensors[name].asset_selection.resolve(graph)  # type: ignore[union-attr]
        for name in ("ingestion_automation", "mining_automation")
    }
    events = dg.AssetKey(["gold", "event_windows"])
    behind = dg.AssetSelection.assets(events).downstream().resolve(graph)
    conditional = {spec.key for spec in specs if spec.automation_condition is not None}
    assert {("silver", name) for name in ("keyframes", "clip_catalog", "search_documents")} <= {
        tuple(key.path) for key in behind
    }
    assert behind & conditional <= asked["mining_automation"]
    assert not behind & asked["ingestion_automation"]
    assert (
        dg.AssetSelection.assets(events).upstream(include_self=False).resolve(graph) & asked["mining_automation"]
        == set()
    )


def test_sensors_are_on_and_their_names_are_those_that_the_crank_turns(defs: dg.Definitions) -> None:
    from fleet_assets.crank import Crank

    with dg.DagsterInstance.ephemeral() as instance:
        crank = Crank(defs, instance)
    sensors = {sensor.name: sensor for sensor in defs.sensors or ()}
    ticked = {
        name for name, sensor in sensors.items() if not isinstance(sensor, dg.AutomationConditionSensorDefinition)
    }
    assert set(crank.sensors) == ticked
    for sensor in sensors.values():
        assert isinstance(sensor, dg.SensorDefinition)
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name
