"""The steps of this area in graph order: each operator with its function and the way it finds its units."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import AUDIT, audit
from fleet_assets.ingestion.integrity_and_pii_redaction.operators import FIND_BREACHES, HOLD_BACK, find, hold_back
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.operators import REDACT, redact
from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import MAPS_FOLDER, misnamed_maps
from fleet_assets.ingestion.metadata_extraction_and_catalog.operators import (
    CATALOGUE,
    DOCUMENT,
    catalog_drive,
    document_drive,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.operator import (
    EXTRACT_KEYFRAMES,
    extract_keyframes,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.operators import MAKE_SWEEPS, make_sweeps
from fleet_assets.ingestion.sensor_sync_and_format_conversion.operators import ALIGN, DECODE, align, decode
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.operators import (
    REFUSE,
    SUMMARISE_DAY,
    refuse,
    summarise_day,
)
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.register import REGISTER, register_drive
from fleet_assets.ingestion.units import IngestionState, Units, derived_units, registration_units
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.fingerprints import Operator, fingerprint
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.platform import Platform
from fleet_assets.provenance.restate import Compute, Step, UnitInput, Wanted

LANDING_UNIT: Final = "landing"


def read_state(platform: Platform) -> IngestionState:
    """Read everything that decides what ingestion should produce."""
    settings = platform.settings
    return IngestionState(
        lake=platform.lake,
        tables=platform.tables,
        policies=platform.policies,
        dbc_folders=(settings.dbc_folder,),
        uploads=platform.landing.uploads(),
        requests=platform.requests.all(),
        depots=settings.depots,
        first_day=settings.first_day,
        last_day=platform.last_day,
        landing=platform.landing,
        objects=platform.objects,
        weights=platform.weights,
    )


def _refused_units(state: IngestionState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    del partition
    uploads = [asdict(refusal) for refusal in state.admission.refused]
    misnamed = misnamed_maps(state.landing.batches(MAPS_FOLDER))
    refused = [{**refusal, "scope": "upload"} for refusal in (*uploads, *misnamed)]
    if not refused and not state.lake.entries(state.tables["landing.quarantine"]):
        return {}
    wanted = fingerprint(REFUSE, state.policies, [("refused", digest_of(refused))])
    return {(): Wanted({LANDING_UNIT: UnitInput(wanted, {}, {"refused": refused})})}


def _day_units(state: IngestionState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    by_day: dict[Partition, dict[str, list[Any]]] = {}
    for name in SUMMARISE_DAY.inputs:
        for entry in state.lake.entries(state.tables[name]):
            day: Partition = (entry.partition[0],)
            if partition in {None, day}:
                by_day.setdefault(day, {name: [] for name in SUMMARISE_DAY.inputs})[name].append(entry)
    units: dict[Partition, Wanted] = {}
    for day, entries in by_day.items():
        inputs = [(f"{name}/{entry.unit}", entry.digest) for name, found in entries.items() for entry in found]
        wanted = fingerprint(SUMMARISE_DAY, state.policies, inputs)
        units[day] = Wanted({day[0]: UnitInput(wanted, {}, {"entries": entries})})
    return units


def _step(operator: Operator, compute: Compute, units: Units) -> Step:
    return Step(operator, compute, read_state, units)


def _derived(operator: Operator) -> Callable[[IngestionState, Partition | None], dict[Partition, Wanted]]:
    return partial(_derived_units, operator)


def _derived_units(operator: Operator, state: IngestionState, partition: Partition | None) -> dict[Partition, Wanted]:
    return derived_units(state, operator, partition)


REGISTER_STEP: Final = _step(REGISTER, register_drive, registration_units)
REFUSE_STEP: Final = _step(REFUSE, refuse, _refused_units)
DECODE_STEP: Final = _step(DECODE, decode, _derived(DECODE))
FIND_STEP: Final = _step(FIND_BREACHES, find, _derived(FIND_BREACHES))
HOLD_BACK_STEP: Final = _step(HOLD_BACK, hold_back, _derived(HOLD_BACK))
REDACT_STEP: Final = _step(REDACT, redact, _derived(REDACT))
AUDIT_STEP: Final = _step(AUDIT, audit, _derived(AUDIT))
ALIGN_STEP: Final = _step(ALIGN, align, _derived(ALIGN))
SWEEPS_STEP: Final = _step(MAKE_SWEEPS, make_sweeps, _derived(MAKE_SWEEPS))
KEYFRAMES_STEP: Final = _step(EXTRACT_KEYFRAMES, extract_keyframes, _derived(EXTRACT_KEYFRAMES))
CATALOG_STEP: Final = _step(CATALOGUE, catalog_drive, _derived(CATALOGUE))
DOCUMENT_STEP: Final = _step(DOCUMENT, document_drive, _derived(DOCUMENT))
DAY_STEP: Final = _step(SUMMARISE_DAY, summarise_day, _day_units)
STEPS: Final = (
    REGISTER_STEP,
    REFUSE_STEP,
    DECODE_STEP,
    FIND_STEP,
    HOLD_BACK_STEP,
    REDACT_STEP,
    AUDIT_STEP,
    ALIGN_STEP,
    SWEEPS_STEP,
    KEYFRAMES_STEP,
    CATALOG_STEP,
    DOCUMENT_STEP,
    DAY_STEP,
)
