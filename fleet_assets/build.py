"""One function that composes everything: the only module that imports all five packages."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from asset_checks.audit import audit_gates
from asset_checks.catalog import catalog_gates
from asset_checks.enrichment import enrichment_gates
from asset_checks.gates import Gate, gate_checks
from asset_checks.ingestion import ingestion_gates
from asset_checks.keyframes import keyframe_gates
from asset_checks.mining import mining_gates
from asset_checks.redaction import redaction_gates
from asset_checks.scenario_mining import scenario_mining_gates
from asset_checks.schema import schema_gates
from asset_checks.telemetry import telemetry_gates
from asset_checks.vectors import vector_gates
from fleet_assets.ingestion.integrity_and_pii_redaction.assets import audit_assets, integrity_assets, redaction_assets
from fleet_assets.ingestion.map_and_weather_enrichment.assets import enrichment_assets, map_assets
from fleet_assets.ingestion.metadata_extraction_and_catalog.assets import catalog_assets
from fleet_assets.ingestion.sensor_sync_and_format_conversion.assets import keyframe_assets, sync_assets
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.assets import (
    registration_assets,
    roll_up_assets,
    telemetry_assets,
)
from fleet_assets.mining.embeddings_and_vector_index.assets import embedding_assets
from fleet_assets.mining.scenario_mining.assets import scenario_assets
from fleet_assets.mining.scene_detection_and_event_triggers.assets import event_assets
from fleet_assets.operators import STEPS
from fleet_assets.tables import Table, TableKind
from fleet_assets.tables.bronze import INGESTION_LOG
from fleet_assets.tables.gold import EVENT_WINDOWS
from fleet_assets.tables.maps import ROAD_NETWORK, SNAPSHOT, WEATHER_DAYS
from fleet_assets.tables.ops import REQUESTS
from fleet_assets.tables.redaction import REDACTION_SIGNATURES
from partitions.fleet import day_depot_partitions, day_partitions, hour_partitions, map_snapshot_partitions
from resources.platform import Fleet
from resources.profiles import Profile, profile_named
from sensors.automation import area_automation
from sensors.conditions import GATED, GATED_ROLLUP
from sensors.landing import landing_sensors
from sensors.maps import map_sensors
from sensors.mining import mining_sensors
from sensors.restatement import all_reports, sweep_sensor
from sensors.search_index import INDEX, outdated_index
from sensors.telemetry import telemetry_sensors
from sensors.vector_index import outdated_vectors
from sensors.verdicts import Guard

REQUEST_BOOK = dg.AssetSpec(
    dg.AssetKey(list(REQUESTS.key)),
    description=REQUESTS.description,
    group_name="ops",
    owners=["team:platform-engineering"],
    kinds={"iceberg"},
)
"""External and without deps: feedback edges are data, and this cuts their cycles."""


INGESTION: Final = "ingestion"
"""The area whose assets and gates may open class raw."""
OPEN: Final = "open"
"""Access class of every area but ingestion; whichever platform ingestion has, the others see the same one."""
GOLD_LAYER: Final = "gold"
_MAPS = dg.AssetSelection.assets(ROAD_NETWORK.key, WEATHER_DAYS.key)
"""Which snapshot or report holds for a drive enters through its fingerprint."""
_SETTLED_WITH_SIGNALS = dg.AssetSelection.assets(["bronze", "drives"], ["bronze", "quarantine"])
"""Inputs of the roll-up that are never newer than the signals of the same day, once those are there."""


def _gated(condition: dg.AutomationCondition[Any]) -> dg.AutomationCondition[Any]:
    """The request book is in the lineage but triggers nothing: its content enters through fingerprints."""
    return _ignoring(condition, dg.AssetSelection.assets(REQUEST_BOOK.key))


def _ignoring(condition: dg.AutomationCondition[Any], selection: dg.AssetSelection) -> dg.AutomationCondition[Any]:
    """The condition, blind to some upstream assets (built-in compound conditions all offer `ignore`)."""
    ignoring: dg.AutomationCondition[Any] = condition.ignore(selection)  # type: ignore[attr-defined]
    return ignoring


def _with_events(specs: Sequence[dg.AssetSpec]) -> set[dg.AssetKey]:
    """Gold, and what the ingestion area makes of events: requested together, so that one run does both."""
    found = {spec.key for spec in specs if spec.key.path[0] == GOLD_LAYER}
    behind = {dg.AssetKey(list(EVENT_WINDOWS.key))}
    while more := {spec.key for spec in specs if behind.intersection(dep.asset_key for dep in spec.deps)} - behind:
        behind |= more
    return found | behind


def all_gates(tables: Mapping[str, Table]) -> list[Gate]:
    """Every gate of the platform, generated ones first."""
    return [
        *schema_gates(list(tables.values())),
        *ingestion_gates(tables["silver.signals"]),
        *redaction_gates(),
        *audit_gates(),
        *keyframe_gates(),
        *catalog_gates(),
        *telemetry_gates(),
        *enrichment_gates(),
        *mining_gates(),
        *vector_gates(),
        *scenario_mining_gates(),
    ]


def build_defs(*, profile: str | None = None, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Compose assets, checks, sensors and resources.

    Args:
        profile: `local`, `aws` or `k8s`; None takes $FLEET_PROFILE, else `local`.
        resource_overrides: Resources that replace the profile's own, by key.
    """
    chosen: Profile = profile_named(profile or os.environ.get("FLEET_PROFILE", "local"))
    resources = {**chosen.resources, **(resource_overrides or {})}
    fleet: Fleet = resources["ingestion"]
    if "fleet" not in (resource_overrides or {}):
        resources["fleet"] = fleet.model_copy(update={"granted": [OPEN]})
    day_depot = day_depot_partitions(fleet.settings.first_day, fleet.settings.depots)
    day, hour = day_partitions(fleet.settings.first_day), hour_partitions(fleet.settings.first_day)
    snapshots = map_snapshot_partitions()
    tables = fleet.tables
    assets = [
        *registration_assets(day_depot),
        *sync_assets(day_depot, tables["silver.signals"], _gated(GATED)),
        *integrity_assets(day_depot, _gated(GATED)),
        *redaction_assets(day_depot, _gated(GATED)),
        *audit_assets(day_depot, _gated(GATED)),
        *keyframe_assets(day_depot, _gated(GATED)),
        *catalog_assets(day_depot, _gated(GATED)),
        *roll_up_assets(day, tables["silver.signals"], _ignoring(GATED_ROLLUP, _SETTLED_WITH_SIGNALS)),
        *telemetry_assets(hour),
        *map_assets(snapshots),
        *enrichment_assets(day_depot, tables["silver.signals"], _ignoring(_gated(GATED), _MAPS)),
        *event_assets(day_depot, _gated(GATED)),
        *embedding_assets(day_depot, _gated(GATED)),
        *scenario_assets(),
    ]
    by_columns = {(): None, ("hour",): hour, ("day",): day, ("day", "depot"): day_depot, (SNAPSHOT,): snapshots}
    named = all_gates(tables)
    guarded: dict[str, list[Guard]] = {}
    for gate in named:
        guarded.setdefault(gate.table.name, []).append(Guard(gate.key, gate.policy))
    conditional = [key for asset in assets for key in asset.keys if asset.automation_conditions_by_key.get(key)]
    specs = [spec for asset in assets for spec in asset.specs]
    with_events = _with_events(specs)
    gates = gate_checks(named, by_columns, {spec.key for spec in specs if spec.group_name == INGESTION})
    bulk = [dg.AssetKey(list(t.key)) for t in tables.values() if t.kind is TableKind.BULK]
    # Logs are written by the assets of bulk tables, which cannot be run without them.
    bulk += [dg.AssetKey(list(table.key)) for table in (INGESTION_LOG, REDACTION_SIGNATURES)]
    bulk.append(INDEX)
    automation = fleet.policies["automation"]
    return dg.Definitions(
        assets=[*assets, REQUEST_BOOK],
        asset_checks=gates,
        sensors=[
            *landing_sensors(automation["landing_interval_s"], guarded),
            *telemetry_sensors(automation["landing_interval_s"], guarded),
            *map_sensors(automation["landing_interval_s"], guarded),
            *mining_sensors(automation["landing_interval_s"], guarded),
            area_automation(INGESTION, [key for key in conditional if key not in with_events]),
            area_automation("mining", [key for key in conditional if key in with_events]),
            sweep_sensor(
                "restatement_sweep",
                STEPS,
                bulk,
                partition_by=("day", "depot"),
                interval_s=automation["sweep_interval_s"],
                description="Asks the ledger which partitions are stale and requests exactly those.",
                gates=guarded,
                also=all_reports(outdated_index, outdated_vectors),
            ),
            sweep_sensor(
                "roll_up_sweep",
                STEPS,
                [dg.AssetKey(["ops", "daily_coverage"])],
                partition_by=("day",),
                interval_s=automation["sweep_interval_s"],
                description="Asks the ledger which daily roll-ups are stale and requests exactly those.",
                gates=guarded,
            ),
        ],
        resources=resources,
        executor=chosen.executor,
    )
