"""How well ingestion finds clocks: simulated drives of 20 to 600 s against the clocks that they had.

``python -m benchmarks.clock_study [--trips 20] [--seed 10000] [--workers 2] [--out FILE]``. The study can be stopped
and gone on with. It prints the table of `docs/clock_accuracy.md`; `--write` renews that page.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import ROOT
from benchmarks.resumable import run
from benchmarks.simulated_drives import FIRST_UNSEEN_SEED, Ingested, Workshop
from fleet_assets.evidence.intervals import clopper_pearson
from services.fleet_simulator.faults import FaultRequest
from services.fleet_simulator.recording import Recorded
from services.fleet_simulator.sensors.scene import Scene

SHORTEST_S, LONGEST_S, LONG_S = 20.0, 600.0, 300.0
UTC_SENSOR: Final = "gnss_time"
ALL, RECEIVER = ("can", "imu", "gnss"), ("gnss",)
DRIVES_PER_TRIP: Final = 25
"""Simulating traffic costs far more than recording: so many drives are stretches of one trip, each with clocks,
latencies and noise of its own."""
WHOLE_EVERY: Final = 25
"""Every so many drives have all sensors; the others have the receiver alone, by which the recorder's clock is known."""
JUMPS_EVERY: Final = 5
"""Every so many drives are recorded a second time, with the recorder's clock set at some moment."""
JUMP_MS: Final = (510.0, 5000.0)
OFFSET_MS: Final = 2.0
_NORMAL_97_5: Final = 1.959963984540054
_PAGE: Final = ROOT / "docs" / "clock_accuracy.md"


@cache
def _workshop(*groups: str) -> Workshop:
    return Workshop(Path(tempfile.mkdtemp(prefix="clock-study-")), groups)


def seconds_of(seed: int) -> float:
    """Length of the drive of a seed, spread evenly."""
    return float(np.random.default_rng([seed, 1]).uniform(SHORTEST_S, LONGEST_S))


def jump_of(seed: int) -> FaultRequest:
    """A jump for the drive of a seed: forward or back, somewhere in its middle half."""
    rng = np.random.default_rng([seed, 2])
    at_s = seconds_of(seed) * float(rng.uniform(0.25, 0.75))
    size = float(rng.uniform(*JUMP_MS)) * (1 if rng.random() < 0.5 else -1)  # noqa: PLR2004 - a coin
    return FaultRequest("clock_jump", at_s=at_s, magnitude=round(size, 3))


def study_trip(key: str) -> dict[str, Any]:
    """Everything that is counted of the drives of one trip."""
    trip = int(key)
    scene = _workshop(*ALL).scene(trip, LONGEST_S + 1)
    return {"drives": [_study(scene, trip * DRIVES_PER_TRIP + number) for number in range(DRIVES_PER_TRIP)]}


def _study(trip: Scene, seed: int) -> dict[str, Any]:
    seconds, is_whole = seconds_of(seed), seed % WHOLE_EVERY == 0
    shop = _workshop(*(ALL if is_whole else RECEIVER))
    first_s = float(np.random.default_rng([seed, 3]).uniform(0, LONGEST_S - seconds))
    scene = shop.part(trip, seed, first_s, seconds)
    path = shop.folder / f"clock-{seed}.mcap"
    try:
        recorded = shop.record(scene, (), path)
        found = shop.ingest(scene, (), path)
        result = {"seed": seed, "seconds": seconds, **_clock_errors(shop, recorded, found)}
        if is_whole:
            result["aligned"] = _aligned(shop, scene, found)
        if seed % JUMPS_EVERY == 0:
            faults = (jump_of(seed),)
            recorded = shop.record(scene, faults, path)
            result["jump"] = _jump_errors(recorded, shop.ingest(scene, faults, path), faults[0])
    finally:
        path.unlink(missing_ok=True)
    return result


def _clock_errors(shop: Workshop, recorded: Recorded, found: Ingested) -> dict[str, Any]:
    """Errors of drift (ppm) and offset (ms) at each model's reference, where its offset holds."""
    drive = found.drive or {}
    models = {row["sensor"]: row for row in found.rows("silver.clock_models")}
    offsets = {}
    for name, model in models.items():
        stamp_ns = model["reference_ns"] - drive["clock_offset_ns"]
        clock = recorded.clock
        # The clock runs so little fast that reading it backwards in one step is right to a nanosecond.
        since_s = (stamp_ns - clock.offset_ns - clock.reference_ns) / 1e9
        ahead_ns = clock.offset_ns + since_s * clock.drift_ppb
        latency_ns = recorded.sensors[name]["timing"]["latency_ns"]
        error_ns = model["offset_ns"] + drive["clock_offset_ns"] + ahead_ns + latency_ns
        allowed = OFFSET_MS
        if name != UTC_SENSOR:
            spec = shop.vehicle.spec.sensors
            allowed += (spec[name].latency_uncertainty_ns + spec[UTC_SENSOR].latency_uncertainty_ns) / 1e6
        offsets[name] = [error_ns / 1e6, allowed]
    model = models[UTC_SENSOR]
    return {
        "drift_error_ppm": model["drift_ppm"] + recorded.clock.drift_ppb / 1e3,
        "drift_se_ppm": model["drift_se_ppm"],
        "offsets_ms": offsets,
        "segments": max(row["segment"] for row in found.rows("silver.clock_models")) + 1,
    }


def _jump_errors(recorded: Recorded, found: Ingested, fault: FaultRequest) -> dict[str, Any]:
    """Between which samples of the UTC sensor the jump was placed, against where it was."""
    drive = found.drive or {}
    (jump,) = recorded.clock.jumps
    after_ns = int(recorded.clock.read(np.array([jump.at_ns]))[0]) + drive["clock_offset_ns"]
    before_ns = after_ns - jump.step_ns
    timing = recorded.sensors[UTC_SENSOR]["timing"]
    rows = found.rows("bronze.integrity_findings", rule="clock_jump", sensor=UTC_SENSOR)
    models = sorted(found.rows("silver.clock_models", sensor=UTC_SENSOR), key=lambda row: int(row["segment"]))
    placed = [sorted((row["t_ns"], row["end_ns"])) for row in rows]
    # The last stamp before it and the first one after it lie on both sides of the jump, by a clock that was set back
    # the wrong way round.
    sides = [sorted((low - min(before_ns, after_ns), high - max(before_ns, after_ns))) for low, high in placed]
    return {
        "step_ms": fault.size,
        "found": len(rows),
        "sides_ms": [[low / 1e6, high / 1e6] for low, high in sides],
        "period_ms": (timing["period_ns"] + 4 * timing["jitter_ns"]) / 1e6,
        "step_error_ms": models[1]["jump_ns"] / 1e6 + fault.size if len(models) == 2 else None,  # noqa: PLR2004
        "others": sorted({row["rule"] for row in found.rows("bronze.integrity_findings")} - {"clock_jump"}),
    }


@dataclass(frozen=True)
class _Stated:
    """A signal's truth and its stated error: a part that is always there, one per unit of the value, and noise."""

    truth: Callable[[Scene, NDArray[np.int64]], NDArray[np.float64]]
    sensor: str
    constant: float
    per_unit: float = 0.0


def _signals(policy: Mapping[str, Any]) -> dict[str, _Stated]:
    """What `policies/simulation.yaml` states of each sensor's errors, as standard deviations."""
    can, imu, gnss = policy["can"], policy["imu"], policy["gnss"]

    def ego(name: str, scale: float = 1e-3) -> Callable[[Scene, NDArray[np.int64]], NDArray[np.float64]]:
        return lambda scene, t_ns: scene.ego(name, t_ns, scale)

    level = np.hypot(imu["acceleration"]["bias_sd"], imu["acceleration"]["wander_sd"])
    tilt = imu["mounting_sd_rad"] * 9.81
    still = float(np.sqrt(level**2 + tilt**2 + imu["acceleration"]["noise_sd"] ** 2))
    still_turn = float(np.sqrt(sum(imu["rate"][name] ** 2 for name in ("bias_sd", "wander_sd", "noise_sd"))))
    ahead, left, turn = (
        float(np.linalg.norm([base, imu[part]["vibration_sd"][axis], imu[part]["bounce_sd"][axis]]))
        for base, part, axis in ((still, "acceleration", 0), (still, "acceleration", 1), (still_turn, "rate", 2))
    )
    return {
        "speed_mps": _Stated(ego("speed_mmps"), "motion", can["speed_noise_mps"], can["speed_scale_sd"]),
        "gnss_speed_mps": _Stated(ego("speed_mmps"), "gnss_velocity", gnss["velocity_noise_mps"]),
        "accel_long_mps2": _Stated(ego("accel_mmps2"), "imu", ahead),
        "accel_lat_mps2": _Stated(ego("lateral_accel_mmps2"), "imu", left),
        "yaw_rate_radps": _Stated(ego("yaw_rate_uradps", 1e-6), "imu", turn),
        "steering_deg": _Stated(
            lambda scene, t_ns: np.degrees(scene.ego("steering_wheel_mrad", t_ns)),
            "steering",
            float(np.hypot(can["steering_offset_sd_deg"], can["steering_noise_deg"])),
        ),
    }


def _aligned(shop: Workshop, scene: Scene, found: Ingested) -> dict[str, list[float]]:
    """Share of the grid's instants at which each signal is within three stated standard errors of the truth.

    The time of an instant is uncertain by the offset's bound and the latencies; over that time, and over one cell of
    the grid, the truth may take any of its values.
    """
    table = found.tables["silver.signals"]
    t_ns = table["t_ns"].to_numpy()
    spec = shop.vehicle.spec.sensors
    shares = {}
    for name, stated in _signals(shop.policies["simulation"]["sensors"]).items():
        value = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
        known = np.isfinite(value)
        late_ns = spec[stated.sensor].latency_uncertainty_ns + spec[UTC_SENSOR].latency_uncertainty_ns
        reach_ns = round(late_ns + OFFSET_MS * 1e6) + shop.vehicle.canonical.grid_ms * 500_000
        around = np.stack(
            [stated.truth(scene, t_ns[known] + lag) for lag in np.linspace(-reach_ns, reach_ns, 13).astype(int)]
        )
        error = 3 * np.sqrt(stated.constant**2 + (stated.per_unit * around.mean(axis=0)) ** 2)
        within = (value[known] >= around.min(axis=0) - error) & (value[known] <= around.max(axis=0) + error)
        shares[name] = [float(within.mean()) if known.any() else 1.0, float(known.mean())]
    return shares


def _share(label: str, hits: Sequence[bool], asked: str) -> str:
    told = clopper_pearson(sum(hits), len(hits), 0.95)
    return (
        f"| {label} | {len(hits)} | {sum(hits) / len(hits):.1%} | {told.low:.1%} to {told.high:.1%} | {asked} |"
        if hits
        else f"| {label} | 0 | | | {asked} |"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The report as lines of Markdown."""
    error = np.array([abs(row["drift_error_ppm"]) for row in rows])
    se = np.array([row["drift_se_ppm"] for row in rows])
    long = np.array([row["seconds"] >= LONG_S for row in rows])
    lines = ["| what | drives | share | 95 % interval | asked |", "|---|---|---|---|---|"]
    lines.append(_share("95 % interval of the drift covers the truth", list(error < _NORMAL_97_5 * se), "93 to 97 %"))
    lines.append(_share("drift within 2 ppm, drives of 5 min and more", list(error[long] < 2), "all"))  # noqa: PLR2004
    lines.append(_share("drift within 3 standard errors, shorter drives", list((error < 3 * se)[~long]), "all"))
    sensors = sorted({name for row in rows for name in row["offsets_ms"]})
    for name in sensors:
        told = [row["offsets_ms"][name] for row in rows if name in row["offsets_ms"]]
        lines.append(
            _share(f"offset of {name} within {told[0][1]:g} ms", [abs(e) <= limit for e, limit in told], "all")
        )
    lines.append(_share("one stretch where no clock was set", [row["segments"] == 1 for row in rows], "all"))
    jumps = [row["jump"] for row in rows if "jump" in row]
    lines.append(_share("jump found, once", [jump["found"] == 1 for jump in jumps], "95 %"))
    lines.append(_share("jump between the two neighbouring samples", [_located(jump) for jump in jumps], "all"))
    return lines


def _located(jump: Mapping[str, Any]) -> bool:
    """Whether the stamps beside the jump are the last before and the first after it, within one sample."""
    return len(jump["sides_ms"]) == 1 and all(abs(side) <= jump["period_ms"] for side in jump["sides_ms"][0])


def figures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sizes of the errors, as lines of Markdown."""
    lines = ["| error | median | 95 % | largest |", "|---|---|---|---|"]
    groups: list[tuple[str, list[float]]] = []
    for low, high in ((20, 60), (60, 150), (150, 300), (300, 600)):
        part = [abs(row["drift_error_ppm"]) for row in rows if low <= row["seconds"] < high]
        groups.append((f"drift, ppm, drives of {low} to {high} s (n = {len(part)})", part))
    groups.append((f"offset of {UTC_SENSOR}, ms", [abs(row["offsets_ms"][UTC_SENSOR][0]) for row in rows]))
    steps = [abs(row["jump"]["step_error_ms"]) for row in rows if row.get("jump", {}).get("step_error_ms") is not None]
    groups.append((f"size of a jump, ms (n = {len(steps)})", steps))
    for name, values in groups:
        if values:
            middle, most, largest = np.quantile(values, [0.5, 0.95, 1.0])
            lines.append(f"| {name} | {middle:.3g} | {most:.3g} | {largest:.3g} |")
    return lines


def alignment(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How often aligned signals lie within their stated error, as lines of Markdown."""
    lines = ["| aligned signal | drives | instants within the stated error | worst drive |", "|---|---|---|---|"]
    whole = [row for row in rows if row["seed"] % WHOLE_EVERY == 0]
    for name in sorted({name for row in whole for name in row["aligned"]}):
        shares = np.array([row["aligned"][name][0] for row in whole])
        weights = np.array([row["seconds"] * row["aligned"][name][1] for row in whole])
        lines.append(f"| {name} | {len(whole)} | {np.average(shares, weights=weights):.2%} | {shares.min():.1%} |")
    return lines


def page(rows: Sequence[Mapping[str, Any]], first_seed: int) -> str:
    """The page of the documentation."""
    trips = len(rows) // DRIVES_PER_TRIP
    return "\n".join(
        [
            "# How well clocks are found",
            "",
            f"{len(rows)} simulated drives of 20 to 600 s: stretches of {trips} trips of 600 s, each in a world of its "
            f"own (seeds {first_seed} to {first_seed + trips - 1}; limits were tuned on seeds below 1000). Offset, "
            "drift, jitter, latency and noise of recorder and sensors are drawn anew for every drive. All go through "
            "landing zone, admission and the operators. "
            f"One drive in {WHOLE_EVERY} has CAN and IMU besides the receiver and is held against the truth at every "
            f"instant of the grid. One in {JUMPS_EVERY} is recorded a second time with the recorder's clock set by "
            f"{JUMP_MS[0]:g} to {JUMP_MS[1]:g} ms, forward or back. Intervals are Clopper and Pearson's.",
            "",
            *table(rows),
            "",
            *figures(rows),
            "",
            *alignment(rows),
            "",
            "An offset is held against 2 ms plus the latency uncertainty that the vehicle spec states: that of the "
            f"sensor and that of {UTC_SENSOR}, by which the recorder's clock is known. The stated error of an aligned "
            "signal is three standard deviations of what `policies/simulation.yaml` says of its sensor, where the true "
            "value may be that of any instant within the same bound of time and half a cell of the grid. A drive "
            "whose sensor drew a constant error beyond three of its own standard deviations lies outside for its "
            "whole length.",
            "",
            "Made by `python -m benchmarks.clock_study --write`.",
            "",
        ]
    )


def main() -> None:
    """Run the study and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trips", type=int, default=20, help=f"{DRIVES_PER_TRIP} drives each")
    parser.add_argument("--seed", type=int, default=FIRST_UNSEEN_SEED, help="first seed of a trip")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("clock_study.jsonl"), help="ledger; delete it to begin anew")
    parser.add_argument("--write", action="store_true", help="renew docs/clock_accuracy.md")
    asked = parser.parse_args()
    keys = [str(trip) for trip in range(asked.seed, asked.seed + asked.trips)]
    rows = [row for trip in run(asked.out, study_trip, keys, asked.workers).values() for row in trip["drives"]]
    print("\n".join([*table(rows), "", *figures(rows), "", *alignment(rows)]))
    unlocated = [row for row in rows if "jump" in row and not _located(row["jump"])]
    for row in unlocated:
        print(f"seed {row['seed']}: {json.dumps(row['jump'])}")
    if asked.write:
        _PAGE.write_text(page(rows, asked.seed), encoding="utf-8")


if __name__ == "__main__":
    main()
