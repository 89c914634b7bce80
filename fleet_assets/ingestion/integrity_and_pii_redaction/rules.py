"""All integrity rules over one drive.

Here belongs the order in which they are asked. The rules are in `value_rules`, `sensor_rules` and `clock_rules`, their
limits in `policies/integrity.yaml`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from fleet_assets.ingestion.integrity_and_pii_redaction.clock_rules import clock_findings, clocks_as_found
from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination
from fleet_assets.ingestion.integrity_and_pii_redaction.sensor_rules import sensor_findings
from fleet_assets.ingestion.integrity_and_pii_redaction.value_rules import value_findings
from fleet_assets.ingestion.sensor_series import split_series
from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.vehicles import VehicleSpec


def find_breaches(  # noqa: PLR0917 - what is examined, then what it is held against
    samples: pa.Table,
    streams: pa.Table,
    spec: VehicleSpec,
    canonical: CanonicalSignals,
    policy: Mapping[str, Any],
    drive: Mapping[str, Any],
) -> pa.Table:
    """Hold one drive against every integrity rule.

    Args:
        samples: Its rows of `bronze.sensor_samples`, in any order; text columns may be dictionary-encoded.
        streams: Its rows of `bronze.sensor_streams`.
        spec: Its vehicle spec.
        canonical: Canonical signals.
        policy: The document `integrity`.
        drive: Its row of `bronze.drives`.

    Returns:
        Rows of `bronze.integrity_findings` in the table's order; neighbouring breaches of one rule by one signal are
        one row. Rows about the drive as a whole have the sensor `*`.
    """
    series = split_series(samples)
    rules = policy["rules"]
    clocks = clocks_as_found(series, spec, canonical, rules, drive)
    extent = clocks.recording.correct(np.array([drive["start_ns"], drive["end_ns"]], dtype=np.int64))
    exam = Examination(drive, spec, canonical, rules, int(extent[1] - extent[0]))
    findings = [
        *sensor_findings(streams, series, exam),
        *clock_findings(clocks, exam),
        *value_findings(series, exam),
    ]
    return exam.table(findings)
