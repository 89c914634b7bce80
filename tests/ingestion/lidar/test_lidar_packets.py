"""Packets made byte by byte: places, times, dual returns, and packets that are broken."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.models import fields_of
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import Returns, packet_times, returns_of
from fleet_assets.policy.documents import InvalidPolicyError, load_policies
from fleet_assets.policy.lidar_calibration import LidarCalibration, parse_lidar_calibration
from tests.ingestion.lidar.packets import NOTHING, Unit, pandar40p_packet, velodyne_packet, xt32_packet

STEADY = [1000 + 20 * block for block in range(12)]


def calibration_of(name: str, **changes: Any) -> LidarCalibration:
    document = load_policies()[f"calibrations/{name}"]
    return parse_lidar_calibration({**document, **changes})


def decoded(
    calibration: LidarCalibration,
    packets: list[bytes],
    *,
    before: int | None = None,
    packet_ns: list[int] | None = None,
) -> tuple[list[Returns], dict[str, int]]:
    broken: dict[str, int] = {}
    found = []
    for rows, fields in fields_of(calibration.model, packets, broken):
        times = np.array(packet_ns or [0] * len(packets), dtype=np.int64)[rows]
        found.append(returns_of(fields, times, calibration, azimuth_before=before))
    return found, broken


def one(calibration: LidarCalibration, packets: list[bytes], **more: Any) -> Returns:
    (found,), broken = decoded(calibration, packets, **more)
    assert not broken
    return found


def only(block: int, unit: int, value: Unit) -> Any:
    return lambda b, u: value if (b, u) == (block, unit) else NOTHING


@pytest.mark.parametrize(
    ("azimuth_deg", "unit", "expected"),
    [
        # Laser 0 looks down by 15 degrees, laser 1 up by 1 degree; azimuth grows clockwise: 90 degrees is to the right.
        (0, 0, (10 * np.cos(np.radians(15)), 0.0, -10 * np.sin(np.radians(15)))),
        (90, 0, (0.0, -10 * np.cos(np.radians(15)), -10 * np.sin(np.radians(15)))),
        (180, 0, (-10 * np.cos(np.radians(15)), 0.0, -10 * np.sin(np.radians(15)))),
    ],
)
def test_a_velodyne_return_lies_where_the_manual_says(
    azimuth_deg: int, unit: int, expected: tuple[float, float, float]
) -> None:
    packet = velodyne_packet([azimuth_deg * 100] * 12, only(0, unit, (5000, 77)))
    found = one(calibration_of("velodyne_vlp16"), [packet])
    np.testing.assert_allclose(found.points.xyz[:, 0], expected, atol=1e-5)
    assert found.points.intensity.tolist() == [77]
    assert found.points.ring.tolist() == [0]


def test_the_head_turns_on_while_the_lasers_of_a_block_fire() -> None:
    # Laser 15 of the second firing is 55.296 + 15 * 2.304 us into a block of 110.592 us, in which the head turns 0.4°.
    packet = velodyne_packet([100 + 40 * block for block in range(12)], only(3, 31, (5000, 1)))
    found = one(calibration_of("velodyne_vlp16"), [packet])
    x, y, _ = found.points.xyz[:, 0]
    assert np.degrees(np.arctan2(-y, x)) == pytest.approx(1.0 + 3 * 0.4 + 0.4 * (55.296 + 34.56) / 110.592, abs=1e-5)
    assert found.points.t_ns.tolist() == [3 * 110_592 + 55_296 + 34_560]


def test_the_last_block_of_a_packet_turns_as_far_as_the_next_packet_tells() -> None:
    packets = [
        velodyne_packet([0 + 40 * block for block in range(12)], only(11, 16, (5000, 1))),
        velodyne_packet([480 + 40 * block for block in range(12)], only(11, 16, (5000, 1))),
    ]
    x, y, _ = one(calibration_of("velodyne_vlp16"), packets).points.xyz
    np.testing.assert_allclose(np.degrees(np.arctan2(-y, x)), [4.6, 9.4], atol=1e-5)


def test_two_lasers_of_the_vlp32_fire_at_once_and_look_past_each_other() -> None:
    packet = velodyne_packet([0] * 12, lambda b, u: (2500, 1) if b == 2 and u < 4 else NOTHING)
    found = one(calibration_of("velodyne_vlp32c"), [packet])
    assert found.points.t_ns.tolist() == [2 * 55_296, 2 * 55_296, 2 * 55_296 + 2304, 2 * 55_296 + 2304]
    x, y, _ = found.points.xyz
    np.testing.assert_allclose(np.degrees(np.arctan2(-y, x)), [1.4, -4.2, 1.4, -1.4], atol=1e-4)


def test_ranges_on_the_bounds_count_and_those_beyond_do_not() -> None:
    calibration = calibration_of("velodyne_vlp16", range_m={"min": 0.5, "max": 20.0})
    distances = [0, 1, 249, 250, 10_000, 10_001, 65_535]
    packet = velodyne_packet(STEADY, lambda b, u: (distances[u], 9) if b == 0 and u < len(distances) else NOTHING)
    assert one(calibration, [packet]).distance.tolist() == [250, 10_000]


def test_two_equal_returns_are_one_and_two_different_ones_are_two() -> None:
    pairs = [azimuth for azimuth in STEADY[::2] for _ in range(2)]
    values = {(0, 0): (5000, 10), (1, 0): (5000, 10), (0, 1): (6000, 5), (1, 1): (7000, 8), (1, 2): (8000, 3)}
    packet = velodyne_packet(pairs, lambda b, u: values.get((b, u), NOTHING), mode=0x39)
    found = one(calibration_of("velodyne_vlp16"), [packet])
    assert sorted(found.distance.tolist()) == [5000, 6000, 7000, 8000]
    # Both returns of a firing have its time.
    assert set(found.points.t_ns.tolist()) == {0, 2304, 4608}


def test_hesai_keeps_the_last_of_two_returns_that_are_equal_or_hardly_apart() -> None:
    pairs = [1000, 1000, 1020, 1020, 1040, 1040, 1060, 1060, 1080, 1080]
    values = {
        (0, 0): (1000, 10), (1, 0): (1000, 10),
        (0, 1): (1000, 10), (1, 1): (1024, 20),
        (0, 2): (1000, 10), (1, 2): (1025, 20),
    }  # fmt: skip
    packet = pandar40p_packet(pairs, lambda b, u: values.get((b, u), NOTHING), mode=0x39)
    found = one(calibration_of("hesai_pandar40p"), [packet])
    kept = {
        (int(u), int(s)): int(d) for u, s, d in zip(found.firing.unit, found.firing.second, found.distance, strict=True)
    }
    # 0.1 m are 25 units.
    assert kept == {(0, 1): 1000, (1, 1): 1024, (2, 0): 1000, (2, 1): 1025}


def test_a_pandar_return_lies_where_the_manual_says() -> None:
    # Channel 1 of a Pandar40P looks up by 14.882 degrees (15 in the manual's rounded list) and lags by 1.042 degrees;
    # y is straight ahead of the connector.
    packet = pandar40p_packet([1104] * 10, only(9, 0, (2500, 30)))
    found = one(calibration_of("hesai_pandar40p"), [packet], packet_ns=[10**9])
    azimuth, flat = np.radians(10.0), 10 * np.cos(np.radians(14.882))
    expected = (flat * np.sin(azimuth - np.radians(0.002)), flat * np.cos(azimuth), 10 * np.sin(np.radians(14.882)))
    np.testing.assert_allclose(found.points.xyz[:, 0], expected, atol=2e-3)
    assert found.points.ring.tolist() == [39]
    # The last block begins 28.58 us before the time of the packet, channel 1 another 42.22 us before.
    assert found.points.t_ns.tolist() == [10**9 - 28_580 - 42_220]


def test_an_xt32_return_has_the_time_of_its_block_and_channel() -> None:
    packet = xt32_packet([500] * 8, lambda b, u: (1000, 1) if u == 10 else NOTHING)
    found = one(calibration_of("hesai_pandarxt32"), [packet])
    expected = [5632 - 50_000 * (7 - block) + 368 + 1512 * 10 for block in range(8)]
    assert found.points.t_ns.tolist() == expected
    assert set(found.points.ring.tolist()) == {21}


def test_a_turn_ends_where_the_azimuth_falls() -> None:
    packets = [
        velodyne_packet([35_700 + 20 * block for block in range(12)], lambda b, u: (5000, 1) if u == 0 else NOTHING),
        velodyne_packet([35_940, 35_960, 35_980, *range(0, 180, 20)], lambda b, u: (5000, 1) if u == 0 else NOTHING),
    ]
    assert one(calibration_of("velodyne_vlp16"), packets).points.turn.tolist() == [0] * 15 + [1] * 9
    half_a_circle = [
        velodyne_packet([26_000 - 16_000 * (block // 6) + 20 * block for block in range(12)], lambda b, u: (5000, u))
    ]
    turns = one(calibration_of("velodyne_vlp16"), half_a_circle).points.turn
    assert (turns.min(), turns.max()) == (0, 1)


def full(block: int, unit: int) -> Unit:
    return 5000, 1


HOSTILE: Mapping[str, tuple[bytes, str, int]] = {
    "short": (velodyne_packet(STEADY, full)[:1205], "bytes 1205", 0),
    "empty": (b"", "bytes 0", 0),
    "unknown mode": (velodyne_packet(STEADY, full, mode=0x42), "return mode 0x42", 0),
    "wrong mark": (velodyne_packet(STEADY, full, marks={4: 0xDDFF}), "", 1),
    "all marks wrong": (velodyne_packet(STEADY, full, marks=dict.fromkeys(range(12), 0)), "", 12),
    "absurd azimuth": (velodyne_packet([*STEADY[:5], 36_000, *STEADY[6:]], full), "", 1),
    "largest azimuth": (velodyne_packet([*STEADY[:5], 65_535, *STEADY[6:]], full), "", 1),
    "jumping azimuth": (velodyne_packet([*STEADY[:5], 20_000, *STEADY[6:]], full), "", 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_packet_is_named_and_its_neighbours_give_what_they_have(name: str) -> None:
    packet, reason, blocks = HOSTILE[name]
    sound = [velodyne_packet([value + shift for value in STEADY], full) for shift in (-240, 240)]
    calibration = calibration_of("velodyne_vlp16")
    found, broken = decoded(calibration, [sound[0], packet, sound[1]])
    assert broken == ({reason: 1} if reason else {})
    assert sum(run.broken_blocks for run in found) == blocks
    own = 0 if reason else 12 - blocks
    assert sum(len(run.points) for run in found) == (24 + own) * 32
    assert all(np.isfinite(run.points.xyz).all() for run in found)
    assert {int(turn) for run in found for turn in np.unique(run.points.turn)} <= {0}


def test_random_bytes_never_stop_the_decoder() -> None:
    rng = np.random.default_rng(5)
    for name in ("velodyne_vlp16", "velodyne_vlp32c", "hesai_pandar40p", "hesai_pandarxt32"):
        calibration = calibration_of(name)
        packets = [rng.integers(0, 256, int(size), dtype=np.uint8).tobytes() for size in rng.integers(0, 1500, 200)]
        modes = [0x37, 0x39]
        packets += [bytes(p[:1204]) + bytes([modes[i % 2]]) + p[1205:] for i, p in enumerate(packets) if len(p) > 1205]
        found, broken = decoded(calibration, packets)
        assert sum(broken.values()) + sum(len(run.firing.azimuth) for run in found) == len(packets)
        assert all(np.isfinite(run.points.xyz).all() for run in found)


def test_packets_are_spaced_as_the_lidar_states_them_across_its_hour() -> None:
    hour = 3_600_000_000_000
    arrival = np.array([0, 1_900_000, 2_000_000], dtype=np.int64) + 10**18
    stated = np.array([hour - 1_000_000, 0, 1_000_000], dtype=np.int64)
    assert (packet_times(arrival, stated, hour, 10**7) - 10**18).tolist() == [0, 1_000_000, 2_000_000]


def test_a_lidar_clock_that_runs_at_half_speed_is_not_trusted() -> None:
    arrival = np.arange(0, 10**8, 10**6, dtype=np.int64)
    assert packet_times(arrival, arrival // 2, 3_600 * 10**9, 10**7).tolist() == arrival.tolist()


def test_a_correction_moves_its_ring_and_renames_none() -> None:
    document = dict(load_policies()["calibrations/velodyne_vlp16"])
    corrections = {"elevation_correction_deg": [3.0] + [0.0] * 15, "azimuth_correction_deg": [0.0] * 15 + [1.0]}
    document["angles"] = {**document["angles"], **corrections}
    corrected, nominal = parse_lidar_calibration(document), calibration_of("velodyne_vlp16")
    assert np.degrees(corrected.elevation - nominal.elevation)[0] == pytest.approx(3.0)
    assert np.degrees(corrected.azimuth - nominal.azimuth)[15] == pytest.approx(1.0)
    assert corrected.ring.tolist() == nominal.ring.tolist()


def test_a_calibration_whose_lists_do_not_fit_is_refused_by_name() -> None:
    document = dict(load_policies()["calibrations/velodyne_vlp16"])
    short = {**document, "angles": {**document["angles"], "azimuth_deg": [0.0] * 15}}
    with pytest.raises(InvalidPolicyError, match=r"velodyne_vlp16\.yaml: angles/azimuth_deg has 15 values"):
        parse_lidar_calibration(short)
    beyond = {**document, "firing": {**document["firing"], "channels": [16] * 32}}
    with pytest.raises(InvalidPolicyError, match="channels up to 16"):
        parse_lidar_calibration(beyond)


def test_what_lies_outside_the_view_is_no_point() -> None:
    calibration = calibration_of("velodyne_vlp16", view_deg={"first": 359.0, "last": 1.0})
    azimuths = [35_800, 35_900, 35_950, 35_990, 30, 70, 100, 101, 150, 200, 250, 300]
    packet = velodyne_packet(azimuths, lambda b, u: (5000, b) if u == 0 else NOTHING)
    assert one(calibration, [packet]).points.intensity.tolist() == [1, 2, 3, 4, 5, 6]
