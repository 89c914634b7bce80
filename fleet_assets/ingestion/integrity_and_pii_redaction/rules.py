"""All integrity rules over one drive.

Here belongs the order in which they are asked. The rules are in the modules `*_rules`, their limits in
`policies/integrity.yaml`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.ingestion.integrity_and_pii_redaction.clock_rules import clock_findings, clocks_as_found
from fleet_assets.ingestion.integrity_and_pii_redaction.findings import CUT, Examination, Finding
from fleet_assets.ingestion.integrity_and_pii_redaction.frozen_rules import frozen_findings
from fleet_assets.ingestion.integrity_and_pii_redaction.motion import Motion
from fleet_assets.ingestion.integrity_and_pii_redaction.motion_rules import motion_findings
from fleet_assets.ingestion.integrity_and_pii_redaction.sensor_rules import sensor_findings
from fleet_assets.ingestion.integrity_and_pii_redaction.value_rules import value_findings
from fleet_assets.ingestion.sensor_series import Series, split_series
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
    active = streams.filter(pc.greater(streams["messages"], 0))["sensor"].to_pylist()
    clocks = clocks_as_found(series, spec, canonical, rules, drive, sensors=active)
    extent = clocks.recording.correct(np.array([drive["start_ns"], drive["end_ns"]], dtype=np.int64))
    speed_signals = tuple(policy["speed_signals"])
    exam = Examination(drive, spec, canonical, rules, int(extent[1] - extent[0]), speed_signals)
    findings = [*sensor_findings(streams, series, clocks.sensors, exam), *clock_findings(clocks, exam)]
    # What a rule cuts out tells the later ones nothing: their findings would name the wrong cause.
    series = _remaining(series, findings)
    motion = Motion(series, speed_signals, canonical)
    findings += [*value_findings(series, exam), *frozen_findings(series, motion, exam)]
    series = _remaining(series, findings)
    findings += motion_findings(series, Motion(series, speed_signals, canonical), clocks.sensors, exam)
    return exam.table(findings)


def _remaining(series: Sequence[Series], findings: Sequence[Finding]) -> tuple[Series, ...]:
    """The series without the samples that findings cut out."""
    cuts = [finding for finding in findings if finding.severity == CUT]
    remaining = []
    for one in series:
        keep = np.ones(len(one), dtype=np.bool_)
        for cut in cuts:
            if cut.sensor == one.sensor and cut.signal in {None, one.signal} and cut.instance in {None, one.instance}:
                first, end = np.searchsorted(one.t_ns, [cut.t_ns, cut.end_ns + 1])
                keep[first:end] = False
        remaining.append(one if keep.all() else one.where(keep))
    return tuple(one for one in remaining if len(one))
