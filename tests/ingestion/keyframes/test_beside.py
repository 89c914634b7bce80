"""Which sweeps and positions a drive's keyframes are compared with."""

from typing import Any

import numpy as np
import pyarrow as pa

from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.beside import drive_instants
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec

POLICIES = load_policies()
LIMITS = POLICIES["keyframes"]["time_skew"]
POSITION = LIMITS["position"]
SIM_CAR = POLICIES["vehicles/sim_car"]["sensors"]
MS = 1_000_000


def instants(messages: int = 10, spec: str = "sim_car", stamps: tuple[int | None, ...] = (None,) * 3) -> dict[str, Any]:
    columns: dict[str, Any] = {"drive_id": ["a", "a", "b"], "camera": ["camera"] * 3, "t_ns": [5, 9, 1]}
    keyframes = pa.table(columns | {"stamp_ns": pa.array(stamps, pa.int64())})
    sweeps = pa.table({"drive_id": ["a", "b", "a"], "sensor": ["lidar"] * 3, "t_ns": [0, 7, 10], "end_ns": [4, 9, 20]})
    streams = pa.table({"drive_id": ["a", "b"], "sensor": ["lidar", "lidar"], "messages": [messages, 0]})
    columns = {"drive_id": ["a"] * 4, "t_ns": [0, 100, 200, 300]}
    columns |= {
        name: [1.0, None, 2.0, 3.0] if number else [1.0, 1.0, None, 3.0] for number, name in enumerate(POSITION)
    }
    return drive_instants(keyframes, sweeps, streams, pa.table(columns), dict.fromkeys("ab", spec_named(spec)), LIMITS)


def spec_named(name: str) -> Any:
    canonical = parse_canonical_signals(POLICIES["canonical_signals"], POLICIES.digest("canonical_signals"))
    return parse_vehicle_spec(POLICIES[f"vehicles/{name}"], POLICIES.digest(f"vehicles/{name}"), canonical)


def test_sweeps_count_by_their_middle_and_positions_where_all_their_signals_are_there() -> None:
    drive = instants()["a"]
    assert drive.keyframes.t_ns.tolist() == [5, 9]
    assert sorted(drive.sweeps.t_ns.tolist()) == [2, 15]
    assert drive.poses.t_ns.tolist() == [0, 300]


def test_what_the_spec_does_not_know_of_a_latency_is_what_is_not_known_of_its_times() -> None:
    drive = instants()["a"]
    unknown = {name: SIM_CAR[name]["latency_ms"]["uncertainty"] * MS for name in ("camera", "lidar", "gnss_position")}
    assert drive.keyframes.unknown_ns.tolist() == [unknown["camera"]] * 2
    assert drive.sweeps.unknown_ns.tolist() == [unknown["lidar"]] * 2
    assert drive.poses.unknown_ns.tolist() == [unknown["gnss_position"]] * 2


def test_a_camera_that_states_another_time_of_capture_is_believed_and_one_whose_clock_is_not_set_is_not() -> None:
    far = round(LIMITS["max_stamp_ms"] * MS)
    near, none = 1, 0
    for stamp, true, stated in (
        (5 - 300 * MS, 5 - 300 * MS, near),
        (6, 6, near),
        (5, 5, near),
        (5 - far, 5 - far, near),
        (6 + far, 5, none),
        (None, 5, none),
    ):
        drive = instants(stamps=(stamp, None, 1))["a"]
        assert drive.stated == stated
        assert drive.keyframes.t_ns.tolist() == [5, 9]
        assert drive.keyframes.true_ns.tolist() == [true, 9]


def test_a_lidar_that_sent_nothing_is_asked_for_nothing_and_one_that_did_is() -> None:
    assert instants()["b"].sweeps is None
    assert instants(messages=0)["a"].sweeps is None
    assert isinstance(instants()["a"].sweeps.t_ns, np.ndarray)


def test_a_vehicle_with_a_camera_alone_is_compared_with_nothing() -> None:
    drive = instants(spec="dashcam")["a"]
    assert (drive.sweeps, drive.poses) == (None, None)
