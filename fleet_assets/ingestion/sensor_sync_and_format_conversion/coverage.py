"""The two gates of the silver signals: are they there, and do the sensors agree in time.

Here belong pure functions from tables to verdicts. Limits come from the policy `sync`; conservation of drives is not
asked here. Each partition's verdict is the conjunction over the drives whose vehicles give signals, so a partition that
is empty, or holds nothing but camera or lidar drives, passes and says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import pyarrow as pa

from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, all_of, evidence_digest
from fleet_assets.ingestion.sensor_sync_and_format_conversion.skew import NS_PER_MS
from fleet_assets.policy.canonical import CanonicalSignals
from fleet_assets.policy.vehicles import VehicleSpec


def _summarised(verdicts: Mapping[str, Verdict], figures: Mapping[str, Figure], policy_digest: str) -> Verdict:
    """Conjunction of the drives' verdicts, with figures about all of them instead of each one's."""
    named: dict[str, Figure] = {
        f"{outcome.value}_drives": ", ".join(sorted(name for name, part in verdicts.items() if part.outcome is outcome))
        for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE)
    }
    told = {name: drives for name, drives in named.items() if drives}
    joint = all_of(verdicts)
    return replace(joint, figures={"drives": len(verdicts), **figures, **told}, policy_digest=policy_digest)


def _without_spec(name: str, policy_digest: str) -> Verdict:
    missing = (f"vehicle spec {name!r} or a CAN database that it names; put it among the policies to judge the drive",)
    return Verdict(Outcome.INCONCLUSIVE, {}, evidence_digest({"vehicle_spec": name}), policy_digest, missing)


def required_signals(spec: VehicleSpec, canonical: CanonicalSignals) -> tuple[str, ...]:
    """Signals on the grid that the required sensors of a vehicle give all the time, sorted.

    A course is not among them: it exists only while the vehicle moves.
    """
    return tuple(
        sorted(
            {
                name
                for sensor in spec.sensors.values()
                if sensor.required
                for name, body in sensor.signals.items()
                if canonical.signals[name].grid and body.least_length is None
            }
        )
    )


def _giving(
    drives: pa.Table, specs: Mapping[str, VehicleSpec], gives: Callable[[VehicleSpec], bool]
) -> tuple[list[tuple[str, str]], dict[str, Figure]]:
    """Name and spec of the drives to judge, and the figure that tells of the others.

    A drive whose vehicle gives no signal, only a camera's or lidar's messages, has nothing in silver to be judged. One
    whose spec is not known is judged, and that cannot be done.
    """
    rows = [(row["drive_id"], row["vehicle_spec"]) for row in drives.select(["drive_id", "vehicle_spec"]).to_pylist()]
    judged = [(name, spec) for name, spec in rows if spec not in specs or gives(specs[spec])]
    others = len(rows) - len(judged)
    return judged, {"drives_without_signals": others} if others else {}


def coverage_verdict(
    signals: pa.Table,
    drives: pa.Table,
    specs: Mapping[str, VehicleSpec],
    canonical: CanonicalSignals,
    policy: Mapping[str, Any],
    *,
    policy_digest: str,
) -> Verdict:
    """Ask whether every signal of every required sensor is present at enough grid instants of every drive.

    The shares are counted over all instants, so nothing is estimated. A partition with less time on the grid than the
    policy's minimum, or a drive without any instant, is inconclusive. Drives of vehicles that give no signal on the
    grid are left out and counted.

    Args:
        signals: Rows of `silver.signals` of one partition.
        drives: Rows of `bronze.drives` of the drives that are not held back.
        specs: Vehicle spec by name; a drive whose spec is not among them is inconclusive.
        canonical: Canonical signals.
        policy: The document `sync`.
        policy_digest: Its digest.

    Returns:
        Verdict with the figures drives, seconds, and where there are drives the worst share with its drive and signal.
    """
    limit = policy["coverage"]["min_share"]
    counts = _present(signals, canonical)
    on_grid = {signal.name for signal in canonical.on_grid}
    judged, others = _giving(
        drives, specs, lambda spec: any(not on_grid.isdisjoint(sensor.signals) for sensor in spec.sensors.values())
    )
    verdicts, worst = {}, (2.0, "", "")
    for name, spec_name in judged:
        spec = specs.get(spec_name)
        if spec is None:
            verdicts[name] = _without_spec(spec_name, policy_digest)
            continue
        present = counts.get(name, {})
        shares = _shares(present, required_signals(spec, canonical))
        verdicts[name] = _drive_coverage(shares, present.get("t_ns", 0), limit, policy_digest)
        worst = min([worst, *((share, name, signal) for signal, share in shares.items())])
    seconds = sum(counts.get(name, {}).get("t_ns", 0) for name in verdicts) * canonical.grid_ms / 1000
    figures: dict[str, Figure] = {"seconds": seconds, "min_share": limit, **others}
    if worst[1]:
        figures |= {"worst_share": worst[0], "worst_drive": worst[1], "worst_signal": worst[2]}
    verdict = _summarised(verdicts, figures, policy_digest)
    needed = policy["coverage"]["min_evidence_s"]
    if verdicts and seconds < needed:
        missing = f"{seconds:g} s on the grid in {len(verdicts)} drives, at least {needed:g} s are needed to judge"
        return replace(verdict, outcome=Outcome.INCONCLUSIVE, missing=(missing,))
    return verdict


def _present(signals: pa.Table, canonical: CanonicalSignals) -> dict[str, dict[str, int]]:
    """Number of values by drive and column; `t_ns` counts the instants."""
    columns = ["t_ns", *(signal.name for signal in canonical.on_grid)]
    grouped = signals.group_by("drive_id", use_threads=False).aggregate([(name, "count") for name in columns])
    return {row["drive_id"]: {name: row[f"{name}_count"] for name in columns} for row in grouped.to_pylist()}


def _shares(present: Mapping[str, int], required: Iterable[str]) -> dict[str, float]:
    instants = present.get("t_ns", 0)
    return {name: present[name] / instants for name in required} if instants else {}


def _drive_coverage(shares: Mapping[str, float], instants: int, limit: float, policy_digest: str) -> Verdict:
    digest = evidence_digest({"instants": instants, "shares": dict(shares)})
    if not instants:
        missing = ("no grid instant in silver.signals; materialize its silver, or quarantine it when it is too short",)
        return Verdict(Outcome.INCONCLUSIVE, {}, digest, policy_digest, missing)
    outcome = Outcome.PASS if min(shares.values(), default=1.0) >= limit else Outcome.FAIL
    return Verdict(outcome, {}, digest, policy_digest)


def skew_verdict(
    clock_models: pa.Table,
    drives: pa.Table,
    specs: Mapping[str, VehicleSpec],
    policy: Mapping[str, Any],
    *,
    policy_digest: str,
) -> Verdict:
    """Ask whether the sensors of every drive agree in time within the policy's bound.

    A drive with measured lags is judged by each lag ± z standard errors: within the bound it passes, beyond it fails,
    across it is inconclusive; either decision is wrong with probability (1 - confidence) / 2 at most. A drive without a
    measured lag passes when the latency uncertainty that its vehicle spec states for the sensors that were active, with
    the uncertainty of their clocks, is within the bound; a statement never fails a drive, and no statement leaves it
    inconclusive. Drives of vehicles that give no signals are left out and counted.

    Args:
        clock_models: Rows of `silver.clock_models` of one partition.
        drives: Rows of `bronze.drives` of the drives that are not held back.
        specs: Vehicle spec by name; a drive whose spec is not among them is inconclusive.
        policy: The document `sync`.
        policy_digest: Its digest.

    Returns:
        Verdict with the figures drives, measured (drives judged by a lag), the bound, and the worst of what was judged.
    """
    limits = policy["skew"]
    z = NormalDist().inv_cdf((1 + limits["confidence"]) / 2)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in clock_models.to_pylist():
        rows.setdefault(row["drive_id"], []).append(row)
    judged, others = _giving(drives, specs, lambda spec: spec.gives_signals)
    verdicts, measured, worst = {}, 0, (-1.0, "", "")
    for name, spec_name in judged:
        spec = specs.get(spec_name)
        if spec is None:
            verdicts[name] = _without_spec(spec_name, policy_digest)
            continue
        models = rows.get(name, [])
        lags = {row["sensor"]: (row["skew_ns"], row["skew_se_ns"] * z) for row in models if row["skew_ns"] is not None}
        if lags:
            measured += 1
            bounds, settles = lags, True
        else:
            bounds, settles = _stated(models, spec, z), False
        verdicts[name] = _drive_skew(bounds, settles, limits["max_skew_ms"], policy_digest)
        worst = max([worst, *((abs(lag) / NS_PER_MS, name, sensor) for sensor, (lag, _) in bounds.items())])
    figures: dict[str, Figure] = {"measured": measured, "max_skew_ms": limits["max_skew_ms"], **others}
    if worst[1]:
        figures |= {"worst_ms": worst[0], "worst_drive": worst[1], "worst_sensor": worst[2]}
    return _summarised(verdicts, figures, policy_digest)


def _stated(models: Sequence[Mapping[str, Any]], spec: VehicleSpec, z: float) -> dict[str, tuple[float, float]]:
    """What the spec says of each active sensor's latency, with its clock's uncertainty; empty when it is silent."""
    said = {}
    for row in models:
        uncertainty_ns = spec.sensors[row["sensor"]].latency_uncertainty_ns
        if uncertainty_ns > 0:
            said[row["sensor"]] = (float(uncertainty_ns), z * (row["offset_se_ns"] or 0.0))
    return said


def _drive_skew(
    bounds: Mapping[str, tuple[float, float]], settles: bool, max_skew_ms: float, policy_digest: str
) -> Verdict:
    digest = evidence_digest({sensor: list(pair) for sensor, pair in bounds.items()})
    limit_ns = max_skew_ms * NS_PER_MS
    if not bounds:
        missing = ("no measured lag and no stated latency uncertainty; state latency_ms in the vehicle spec",)
        return Verdict(Outcome.INCONCLUSIVE, {}, digest, policy_digest, missing)
    if settles and any(abs(lag) - half > limit_ns for lag, half in bounds.values()):
        return Verdict(Outcome.FAIL, {}, digest, policy_digest)
    open_ones = {sensor: pair for sensor, pair in bounds.items() if abs(pair[0]) + pair[1] > limit_ns}
    if not open_ones:
        return Verdict(Outcome.PASS, {}, digest, policy_digest)
    missing_lags = tuple(
        f"{sensor}: {abs(lag) / NS_PER_MS:.0f} ± {half / NS_PER_MS:.0f} ms {'measured' if settles else 'stated'}, "
        f"allowed are {max_skew_ms:g} ms; a drive with more changes of speed, or a redundant pair, would settle it"
        for sensor, (lag, half) in sorted(open_ones.items())
    )
    return Verdict(Outcome.INCONCLUSIVE, {}, digest, policy_digest, missing_lags)
