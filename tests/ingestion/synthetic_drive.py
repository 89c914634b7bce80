"""A small car and healthy drives of it with known truth, for tests of integrity and sync.

The car's clock, signals and rates are made here from closed formulas, independently of the code under test.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from fleet_assets.ingestion.integrity_and_pii_redaction.rules import find_breaches
from fleet_assets.ingestion.sensor_sync_and_format_conversion.align import align_drive
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import TimePairs
from fleet_assets.policy.canonical import CanonicalSignals, parse_canonical_signals
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from fleet_assets.policy.vehicles import VehicleSpec
from fleet_assets.tables.bronze import INTEGRITY_FINDINGS, SENSOR_SAMPLES, SENSOR_STREAMS
from fleet_assets.tables.silver import signals_table

S = 1_000_000_000
MS = 1_000_000
START_NS = 1_600_000_000 * S
KEYS = {"drive_id": "drive-1", "day": "2020-09-13", "depot": "north"}

POLICIES = load_policies()
CANONICAL: CanonicalSignals = parse_canonical_signals(POLICIES["canonical_signals"], "c" * 64)
SIGNALS_TABLE = signals_table(POLICIES["canonical_signals"])
INTEGRITY = POLICIES["integrity"]
SYNC = POLICIES["sync"]
RULES: Mapping[str, Mapping[str, Any]] = INTEGRITY["rules"]


def _sensor(rate_hz: float, signals: Mapping[str, str], *, required: bool, **more: Any) -> dict[str, Any]:
    return {
        "kind": "other",
        "channel": "data",
        "rate_hz": {"nominal": rate_hz, "tolerance": 0.1},
        "required": required,
        "latency_ms": {"mean": 0, "uncertainty": 50},
        "signals": {name: {"field": name, "unit": unit} for name, unit in signals.items()},
        **more,
    }


def spec_document() -> dict[str, Any]:
    """Five sensors: GNSS 1 Hz with UTC, IMU 100 Hz, wheels 50 Hz, pedals 10 Hz, radar with 4 slots 20 Hz."""
    tracks = {"track_distance_m": "m", "track_lateral_m": "m", "track_rel_speed_mps": "m/s"}
    return {
        "name": "small_car",
        "description": "A car of the tests",
        "format": "comma2k19",
        "dbc": {"adas": {"path": "adas.dbc"}},
        "sensors": {
            "gnss": _sensor(
                1,
                {"lat_deg": "deg", "lon_deg": "deg", "heading_deg": "deg", "gnss_speed_mps": "m/s"},
                required=True,
                kind="gnss",
                utc={"field": "utc", "unit": "s"},
            ),
            "imu": _sensor(100, {"accel_long_mps2": "m/s^2", "yaw_rate_radps": "rad/s"}, required=True),
            "wheels": _sensor(50, {"speed_mps": "m/s"}, required=False),
            "pedals": _sensor(10, {"brake_pressed": "1", "adas_engaged": "1"}, required=False),
            "radar": {
                **_sensor(20, {}, required=False, kind="radar"),
                "dbc": "adas",
                "messages": {"prefix": "TRACK_", "instances": 4},
                "signals": {name: {"signal": name, "unit": unit} for name, unit in tracks.items()},
            },
        },
        "clock": {"utc_from": ["gnss"]},
        "redundant_pairs": [{"a": "speed_mps", "b": "gnss_speed_mps"}],
    }


def parse_spec(document: Mapping[str, Any]) -> VehicleSpec:
    """Turn a document of the tests into a spec."""
    return parse_vehicle_spec(document, "d" * 64, CANONICAL)


SPEC = parse_spec(spec_document())


@dataclass(frozen=True)
class Part:
    """One series of samples."""

    sensor: str
    signal: str
    t_ns: np.ndarray
    value: np.ndarray
    valid: np.ndarray | None = None
    instance: int = 0

    def put(self, index: int | slice, value: float) -> "Part":
        """The same series with other values somewhere."""
        changed = self.value.astype(float).copy()
        changed[index] = value
        return replace(self, value=changed)

    def without(self, keep: np.ndarray) -> "Part":
        """The same series with some samples only."""
        valid = None if self.valid is None else self.valid[keep]
        return replace(self, t_ns=self.t_ns[keep], value=self.value[keep], valid=valid)

    def flagged(self, index: Any) -> "Part":
        """The same series with some samples that the sensor does not vouch for."""
        valid = np.ones(len(self.t_ns), dtype=bool)
        valid[index] = False
        return replace(self, valid=valid)


@dataclass(frozen=True)
class Recording:
    """Parts by (sensor, signal, instance) and the row of `bronze.drives`."""

    parts: Mapping[tuple[str, str, int], Part]
    drive: Mapping[str, Any]
    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def part(self, sensor: str, signal: str, instance: int = 0) -> Part:
        """One series."""
        return self.parts[sensor, signal, instance]

    def having(self, *parts: Part) -> "Recording":
        """The same recording with some parts replaced or added."""
        changed = {(part.sensor, part.signal, part.instance): part for part in parts}
        return replace(self, parts={**self.parts, **changed})

    def mapped(self, change: Any, sensors: Iterable[str] | None = None) -> "Recording":
        """Every part (of some sensors) changed by a function."""
        chosen = None if sensors is None else set(sensors)
        parts = {key: change(part) if chosen is None or key[0] in chosen else part for key, part in self.parts.items()}
        return replace(self, parts=parts)

    def stream(self, sensor: str, **columns: Any) -> "Recording":
        """The same recording with other columns in a row of the streams."""
        return replace(self, streams={**self.streams, sensor: {**self.streams.get(sensor, {}), **columns}})

    def lasting(self, **columns: Any) -> "Recording":
        """The same recording with other columns in its row of drives."""
        return replace(self, drive={**self.drive, **columns})

    @property
    def samples(self) -> pa.Table:
        """Rows of `bronze.sensor_samples`."""
        return samples_table(self.parts.values())

    @property
    def sensor_streams(self) -> pa.Table:
        """Rows of `bronze.sensor_streams`, one per sensor of the spec."""
        rows = {sensor: _stream_row(sensor, self.parts.values()) for sensor in SPEC.sensors}
        for sensor, columns in self.streams.items():
            rows[sensor] = {**rows.get(sensor, _stream_row(sensor, ())), **columns}
        return SENSOR_STREAMS.from_rows(list(rows.values()))


def samples_table(parts: Iterable[Part]) -> pa.Table:
    """Rows of `bronze.sensor_samples` in the table's order."""
    tables = [SENSOR_SAMPLES.empty()]
    for part in parts:
        value = np.asarray(part.value, dtype=float)
        constant = {**KEYS, "sensor": part.sensor, "signal": part.signal}
        columns = {
            **{name: pa.repeat(pa.scalar(text), len(value)) for name, text in constant.items()},
            "instance": np.full(len(value), part.instance, dtype=np.int32),
            "t_ns": np.asarray(part.t_ns, dtype=np.int64),
            "value": pa.array(value, from_pandas=True),
            "valid": ~np.isnan(value) if part.valid is None else np.asarray(part.valid, dtype=bool),
        }
        tables.append(pa.table(columns, schema=SENSOR_SAMPLES.arrow_schema))
    return SENSOR_SAMPLES.conform(pa.concat_tables(tables))


def _stream_row(sensor: str, parts: Iterable[Part]) -> dict[str, Any]:
    times = [part.t_ns for part in parts if part.sensor == sensor and len(part.t_ns)]
    longest = max(map(np.unique, times), key=len, default=np.empty(0, np.int64))
    return {
        **KEYS,
        "sensor": sensor,
        "messages": len(longest),
        "first_t_ns": int(min(t[0] for t in times)) if times else None,
        "last_t_ns": int(max(t[-1] for t in times)) if times else None,
        "rate_hz": S / float(np.median(np.diff(longest))) if len(longest) > 1 else None,
        "backward_steps": 0,
        "lost_bytes": 0,
        "lost_messages": 0,
        "broken_rule": None,
        "message": None,
    }


def every(rate_hz: float, duration_s: float, phase_ns: int = 0) -> np.ndarray:
    """Time stamps at a steady rate from the start of the drive, end included."""
    return START_NS + phase_ns + np.arange(round(duration_s * rate_hz) + 1) * round(S / rate_hz)


def speed(t_ns: np.ndarray) -> np.ndarray:
    """Truth: speed in m/s."""
    t = (np.asarray(t_ns) - START_NS) / S
    return 15 + 4 * np.sin(0.5 * t) + 1.5 * np.sin(1.3 * t + 1) + 0.7 * np.sin(2.1 * t + 2)


def healthy(duration_s: float = 30.0) -> Recording:
    """A drive that breaks no rule; stamps are UTC, so that every clock is right."""
    gnss, imu, wheels, pedals, radar = (every(rate, duration_s) for rate in (1, 100, 50, 10, 20))
    t = (gnss - START_NS) / S
    parts = [
        Part("gnss", "gnss_utc_offset_s", gnss, np.zeros(len(gnss))),
        Part("gnss", "lat_deg", gnss, 48 + 1e-4 * t),
        Part("gnss", "lon_deg", gnss, 11 + 1e-4 * t),
        Part("gnss", "heading_deg", gnss, np.mod(350 + t, 360)),
        Part("gnss", "gnss_speed_mps", gnss, speed(gnss)),
        Part("imu", "accel_long_mps2", imu, np.sin((imu - START_NS) / S)),
        Part("imu", "yaw_rate_radps", imu, 0.1 * np.cos((imu - START_NS) / S)),
        Part("wheels", "speed_mps", wheels, speed(wheels)),
        Part("pedals", "brake_pressed", pedals, (np.arange(len(pedals)) // 50 % 2).astype(float)),
        Part("pedals", "adas_engaged", pedals, np.zeros(len(pedals))),
    ]
    for instance in range(2):
        moved = radar + instance * MS
        parts += [
            Part("radar", "track_distance_m", moved, 30.0 + 10 * instance + np.zeros(len(radar)), instance=instance),
            Part("radar", "track_lateral_m", moved, 0.5 * instance + np.zeros(len(radar)), instance=instance),
            Part("radar", "track_rel_speed_mps", moved, -1.0 + np.zeros(len(radar)), instance=instance),
        ]
    drive = {
        **KEYS,
        "vehicle_spec": SPEC.name,
        "start_ns": START_NS,
        "end_ns": START_NS + round(duration_s * S),
        "bytes": 1_000_000,
        "time_source": "gnss",
        "status": "landed",
        "reason": None,
    }
    return Recording({(part.sensor, part.signal, part.instance): part for part in parts}, drive)


def cut(sensor: str, first_ns: int, last_ns: int, signal: str | None = None, instance: int | None = None) -> pa.Table:
    """One finding of severity cut."""
    return INTEGRITY_FINDINGS.from_rows(
        [
            {
                **KEYS,
                "sensor": sensor,
                "signal": signal,
                "instance": instance,
                "rule": "range",
                "severity": "cut",
                "t_ns": int(first_ns),
                "end_ns": int(last_ns),
                "value": None,
                "limit": None,
                "message": "of the tests",
            }
        ]
    )


def examine(recording: Recording, **policy: object) -> list[dict]:
    rules = {**RULES, **{name: {**RULES[name], **changes} for name, changes in policy.items()}}
    found = find_breaches(
        recording.samples, recording.sensor_streams, SPEC, CANONICAL, {**INTEGRITY, "rules": rules}, recording.drive
    )
    return found.to_pylist()


def rules_of(found: list[dict]) -> list[str]:
    return [row["rule"] for row in found]


def leap(recording: Recording, at_s: float, by_s: float, sensors=None) -> Recording:
    """The recorder's clock is set by so much at a moment: all later stamps move, and UTC minus stamp with them."""
    at_ns, by_ns = START_NS + round(at_s * S), round(by_s * S)

    def change(part: Part) -> Part:
        later = part.t_ns >= at_ns
        value = part.value - by_s * later if part.signal == "gnss_utc_offset_s" else part.value
        t_ns = part.t_ns + by_ns * later
        order = np.argsort(t_ns, kind="stable")
        return Part(part.sensor, part.signal, t_ns[order], value[order], instance=part.instance)

    return recording.mapped(change, sensors)


def align(recording, findings=None, spec=SPEC, samples=None):
    table = recording.samples if samples is None else samples
    findings = INTEGRITY_FINDINGS.empty() if findings is None else findings
    return align_drive(
        table, recording.sensor_streams, findings, spec, CANONICAL, recording.drive, SIGNALS_TABLE, policy=SYNC
    )


def column(tables, name):
    """A column of the signals with NaN for null."""
    values = tables["silver.signals"][name].to_pylist()
    return np.array([math.nan if value is None else float(value) for value in values])


def instants(tables):
    return tables["silver.signals"]["t_ns"].to_numpy()


def pairs_of(seconds, offset_s) -> TimePairs:
    t_ns = START_NS + np.rint(np.asarray(seconds) * S).astype(np.int64)
    return TimePairs(t_ns, np.rint(np.asarray(offset_s) * S).astype(np.int64))
