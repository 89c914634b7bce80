"""Operators of workflow 2: find breaches of the integrity rules, then hold back what they concern."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from fleet_assets.ingestion.integrity_and_pii_redaction.quarantine import quarantine_rows
from fleet_assets.ingestion.integrity_and_pii_redaction.rules import find_breaches
from fleet_assets.ingestion.sensor_series import SAMPLE_COLUMNS
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.policy.personal_text import READS
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.requests import Request
from fleet_assets.provenance.restate import UnitTask

FIND_BREACHES: Final = Operator(
    name="integrity_and_pii_redaction.find_breaches",
    version=2,
    inputs=("bronze.drives", "bronze.sensor_samples", "bronze.sensor_streams"),
    outputs=("bronze.integrity_findings",),
    policy={"integrity": (), "canonical_signals": ("signals",), "vehicles/*": (), **READS},
    libraries=("numpy", "scipy"),
)
HOLD_BACK: Final = Operator(
    name="integrity_and_pii_redaction.hold_back",
    version=1,
    inputs=("bronze.drives", "bronze.integrity_findings"),
    outputs=("bronze.quarantine",),
    policy=READS,
    reads_requests=("release",),
)


def find(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `bronze.integrity_findings` of one drive; a rejected one has none, it is held back as a whole."""
    drive, vehicle = task.context["drive"], task.context["vehicle"]
    if drive["status"] != "landed" or not isinstance(vehicle, Vehicle):
        return {"bronze.integrity_findings": task.tables["bronze.integrity_findings"].empty()}
    breaches = find_breaches(
        task.read("bronze.sensor_samples", SAMPLE_COLUMNS, encoded=True),
        task.read("bronze.sensor_streams"),
        vehicle.spec,
        vehicle.canonical,
        task.policies["integrity"],
        drive,
    )
    return {"bronze.integrity_findings": breaches}


def hold_back(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `bronze.quarantine` of one drive, with the releases that people asked for."""
    requests: list[Request] = task.context["requests"]
    rows = quarantine_rows(
        task.read("bronze.drives"),
        task.read("bronze.integrity_findings"),
        [dict(request.body) for request in requests],
    )
    return {"bronze.quarantine": rows}
