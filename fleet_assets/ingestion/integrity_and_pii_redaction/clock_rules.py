"""Rules about clocks: jumps, stamps that occur twice after a clock was set back, and drift.

Here belongs the judgement; the estimates are those of the sync workflow, so that both see the same jumps.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fleet_assets.ingestion.integrity_and_pii_redaction.findings import Examination, Finding
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_series import Series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockBounds
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import (
    DriveClocks,
    SensorClock,
    drive_clocks,
)
from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.vehicles import VehicleSpec

_CERTAIN_SES: Final = 2.0
"""A drift is too large only when it is so beyond this many standard errors."""


def clocks_as_found(
    series: Sequence[Series],
    spec: VehicleSpec,
    canonical: CanonicalSignals,
    rules: Mapping[str, Mapping[str, Any]],
    drive: Mapping[str, Any],
    *,
    sensors: Iterable[str] = (),
) -> DriveClocks:
    """Estimate the clocks without any prior, so that a wild drift shows; see `drive_clocks`."""
    bounds = ClockBounds(
        min_jump_s=rules["clock_jump"]["max_step_s"],
        drift_prior_sd_ppm=math.inf,
        outlier_mads=rules["clock_drift"]["outlier_mads"],
        max_standing_s=rules["frozen"]["max_utc_s"],
    )
    return drive_clocks(series, spec, canonical, drive, bounds, sensors=sensors)


def clock_findings(clocks: DriveClocks, exam: Examination) -> Iterator[Finding]:
    """Examine the clocks of one drive."""
    limit = exam.rules["clock_jump"]["max_step_s"]
    for sensor, jumps in sorted(clocks.jumps.items()):
        for jump in jumps:
            step_s = jump.step_ns / NS_PER_S
            first, last = sorted((jump.before_ns, jump.after_ns))
            words = (
                f"{sensor}: UTC minus time stamp steps by {step_s:+.3f} s at {exam.since_start(jump.before_ns)}, "
                f"allowed is {limit:g} s"
            )
            yield exam.finding("clock_jump", sensor, words, between=(first, last), value=step_s, limit=limit)
        yield from _drift_findings(clocks.sensors[sensor], exam)
    for clock in clocks.sensors.values():
        for first, last in clock.repeated_ns:
            words = (
                f"{clock.sensor}: the clock was set back; time stamps from {exam.since_start(first)} to "
                f"{exam.since_start(last)} stand for two instants each"
            )
            yield exam.finding("clock_overlap", clock.sensor, words, between=(first, last))


def _drift_findings(clock: SensorClock, exam: Examination) -> Iterator[Finding]:
    limit = exam.rules["clock_drift"]["max_drift_ppm"]
    for segment in clock.segments:
        if segment.drift_se_ppm is None or abs(segment.drift_ppm) - _CERTAIN_SES * segment.drift_se_ppm <= limit:
            continue
        words = (
            f"{clock.sensor}: the clock drifts by {segment.drift_ppm:.1f} ± {segment.drift_se_ppm:.1f} ppm "
            f"(standard error), allowed is {limit:g} ppm"
        )
        between = (segment.start_ns, max(segment.start_ns, exam.end_ns))
        yield exam.finding("clock_drift", clock.sensor, words, between=between, value=segment.drift_ppm, limit=limit)
