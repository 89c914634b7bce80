"""Four real lidars against the sweeps that TIER IV's decoder made of the same packets.

That decoder has two defects for Velodyne, which the comparison has to reproduce (`nebula_vlp16`, `nebula_vlp32`); that
they are defects is shown by the packets themselves, without either decoder.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import TURN, Firing, Returns
from fleet_assets.policy.lidar_calibration import LidarCalibration
from tests.ingestion.lidar.nebula import MODELS, Scans, calibration_of, decoded, device_calibration, scans_of

pytestmark = pytest.mark.real_data
CENTIMETRE = 0.01
SINGLE_FIRING_US, FIRING_CYCLE_US = 2.304, 55.296


def nebula_vlp16(firing: Firing, calibration: LidarCalibration) -> NDArray[np.float64]:
    """Azimuths as that decoder has them: the second returns get the next pair's, the last pair of a packet its own."""
    azimuth = firing.azimuth.astype(float)
    after = np.concatenate((azimuth[:, 1:], azimuth[:, -1:]), axis=1)
    own = azimuth[firing.packet, firing.group]
    turned = ((after - azimuth) % TURN)[firing.packet, firing.group]
    first = own + turned * (calibration.unit_ns / calibration.group_ns)[firing.unit]
    return np.asarray(np.round(np.where(firing.second == 1, own + turned, first)))


def nebula_vlp32(firing: Firing, calibration: LidarCalibration) -> NDArray[np.float64]:
    """Azimuths as that decoder has them: one laser fires after the other, and in the last block all at once."""
    del calibration
    azimuth = firing.azimuth.astype(float)
    turned = np.concatenate(((azimuth[:, 1:] - azimuth[:, :-1]) % TURN, np.zeros((len(azimuth), 1))), axis=1)
    place = firing.packet, firing.group
    return np.asarray(np.round(azimuth[place] + turned[place] * firing.unit * SINGLE_FIRING_US / FIRING_CYCLE_US))


def paired(ours: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Distance of each point of the truth from the point of ours that is its own: no point serves two."""
    distance, index = cKDTree(ours).query(truth, k=4)
    taken = np.full(len(ours), False)
    found = np.full(len(truth), np.inf)
    for row in np.argsort(distance[:, 0], kind="stable"):
        for gap, place in zip(distance[row], index[row], strict=True):
            if not taken[place]:
                taken[place], found[row] = True, gap
                break
    return found


@pytest.mark.parametrize("folder", MODELS)
def test_every_range_of_the_truth_is_one_of_ours_to_the_last_unit(real_data: Path, folder: str) -> None:
    scans = scans_of(real_data, folder)
    calibration = calibration_of(folder)
    ranges = np.linalg.norm(scans.places, axis=1) / calibration.distance_unit_m
    units = np.rint(ranges).astype(int)
    assert np.abs(ranges - units).max() < 0.002  # what float32 leaves of a unit
    found = np.concatenate([one.distance for one in decoded(scans, calibration)])
    ours, truth = np.bincount(found, minlength=1 << 16), np.bincount(units, minlength=1 << 16)
    assert (ours >= truth).all()


def vlp16_sweep(scans: Scans, found: list[Returns]) -> NDArray[np.float32]:
    """The returns of the truth's sweep.

    That decoder begins it with the last packet of the message before, and ends it at 359 degrees.
    """
    before, own = found[scans.truth_at - 1], found[scans.truth_at]
    late = before.firing.packet == before.firing.azimuth.shape[0] - 1
    last = own.firing.packet == own.firing.azimuth.shape[0] - 1
    x, y, _ = own.points.xyz
    angle = np.degrees(np.arctan2(-y, x)) % 360
    beyond = last & ((angle < 180.0) | (angle > 359.0))
    return np.concatenate((before.points.xyz[:, late], own.points.xyz[:, ~beyond]), axis=1).T


def test_the_vlp16_has_the_truths_points_and_no_others(real_data: Path) -> None:
    scans = scans_of(real_data, "velodyne_vlp16")
    ours = vlp16_sweep(scans, decoded(scans, calibration_of("velodyne_vlp16"), nebula_vlp16))
    assert len(ours) == len(scans.truth) == 14_831
    assert paired(ours, scans.places).max() < CENTIMETRE


def test_the_vlp32_has_the_truths_points_and_no_others(real_data: Path) -> None:
    scans = scans_of(real_data, "velodyne_vlp32")
    # That decoder was told to look to the right half of the circle only, 270 to 90 degrees.
    calibration = calibration_of("velodyne_vlp32", view_deg={"first": 270.0, "last": 90.0})
    ours = decoded(scans, calibration, nebula_vlp32)[scans.truth_at].points.xyz.T
    assert len(ours) == len(scans.truth) == 26_216
    assert paired(ours, scans.places).max() < CENTIMETRE


def test_intensities_and_rings_of_the_vlp16_are_the_truths(real_data: Path) -> None:
    scans = scans_of(real_data, "velodyne_vlp16")
    found = decoded(scans, calibration_of("velodyne_vlp16"), nebula_vlp16)
    own = found[scans.truth_at]
    # A second return that got the next pair's azimuth may lie exactly on that pair's first one.
    _, where, times = np.unique(scans.places, axis=0, return_index=True, return_counts=True)
    alone = scans.truth[where[times == 1]]
    distance, index = cKDTree(scans.places[where[times == 1]]).query(own.points.xyz.T)
    same = distance < 1e-5
    assert same.mean() > 0.9  # the others are off by a rounding of the azimuth
    assert (alone["intensity"][index[same]] == own.points.intensity[same]).mean() > 0.9999
    assert (alone["channel"][index[same]] == own.points.ring[same]).mean() > 0.9999


@pytest.mark.parametrize(("folder", "steering"), [("velodyne_vlp16", nebula_vlp16), ("velodyne_vlp32", nebula_vlp32)])
def test_a_steady_head_agrees_with_our_azimuths_and_not_with_the_truths(
    real_data: Path, folder: str, steering: Any
) -> None:
    scans, calibration = scans_of(real_data, folder), calibration_of(folder)
    ours, theirs = decoded(scans, calibration)[0], decoded(scans, calibration, steering)[0]

    def off_a_steady_turn(found: Returns) -> NDArray[np.float64]:
        """Azimuth of the head minus that of a head that turns steadily from block to block, degrees.

        The packets state where the head is when a group begins; between groups of two packets it cannot stand.
        """
        firing, groups = found.firing, found.firing.azimuth.shape[1]
        blocks = np.unwrap(np.radians(firing.azimuth.ravel() / 100.0))
        begin_ns = np.arange(len(blocks)) * calibration.group_ns
        at_ns = (firing.packet * groups + firing.group) * calibration.group_ns + calibration.unit_ns[firing.unit]
        inside = at_ns < begin_ns[-1]
        x, y, _ = found.points.xyz.astype(np.float64)
        offset = calibration.azimuth[calibration.channel_of[firing.unit]]
        turned = np.arctan2(-y, x) - offset - np.interp(at_ns, begin_ns, blocks)
        wrapped = (turned + np.pi) % (2 * np.pi) - np.pi
        return np.asarray(np.degrees(np.abs(wrapped[inside & (firing.packet < 70)])))

    assert off_a_steady_turn(ours).max() < 0.002
    step = float(np.median(ours.firing.step)) / 100
    assert off_a_steady_turn(theirs).max() > 0.5 * step


def match_by_range(scans: Scans, found: list[Returns], calibration: LidarCalibration) -> tuple[Any, ...]:
    """Returns of equal range that each point of the truth may be: row of the truth, channel, azimuth, elevation."""
    head = np.concatenate([one.firing.azimuth[one.firing.packet, one.firing.group] for one in found])
    channel = np.concatenate([calibration.channel_of[one.firing.unit] for one in found])
    units = np.concatenate([one.distance for one in found])
    azimuth, elevation = np.radians(head / 100) + calibration.azimuth[channel], calibration.elevation[channel]
    ranges = np.linalg.norm(scans.places, axis=1)
    wanted = scans.places / ranges[:, None]
    # A unit of range outweighs every direction, so that only returns of equal range are near.
    tree = cKDTree(np.column_stack([directions(azimuth, elevation), units * 10.0]))
    place = np.column_stack([wanted, np.rint(ranges / calibration.distance_unit_m) * 10.0])
    distance, index = tree.query(place, k=5)
    row, rank = np.nonzero((distance < np.radians(0.5)) & (channel[index] == channel[index[:, :1]]))
    chosen = index[row, rank]
    return row, channel[chosen], azimuth[chosen], elevation[chosen]


def directions(azimuth: NDArray[np.float64], elevation: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = np.cos(elevation)
    return np.stack([flat * np.sin(azimuth), flat * np.cos(azimuth), np.sin(elevation)], axis=1)


def fitted(
    scans: Scans, found: list[Returns], calibration: LidarCalibration, half: NDArray[np.bool_]
) -> tuple[LidarCalibration, NDArray[np.float64], NDArray[np.float64]]:
    """The calibration corrected per ring on half of the truth; corrections of azimuth and elevation in degrees."""
    truth, channels = scans.places[half], len(calibration.azimuth)
    row, channel, seen, raised = match_by_range(replace(scans, truth=scans.truth[half]), found, calibration)
    turn = (np.arctan2(truth[row, 0], truth[row, 1]) - seen + np.pi) % (2 * np.pi) - np.pi
    rise = np.arctan2(truth[row, 2], np.hypot(truth[row, 0], truth[row, 1])) - raised
    azimuth, elevation = np.zeros(channels), np.zeros(channels)
    for ring in np.unique(channel):
        azimuth[ring], elevation[ring] = mode_of(turn[channel == ring]), np.median(rise[channel == ring])
    corrected = replace(calibration, azimuth=calibration.azimuth + azimuth, elevation=calibration.elevation + elevation)
    return corrected, np.degrees(azimuth), np.degrees(elevation)


def mode_of(values: NDArray[np.float64]) -> float:
    """The most frequent value: a neighbour of equal range is off by a step, to one side or the other."""
    rounded, counts = np.unique(np.round(values, 5), return_counts=True)
    return float(np.median(values[np.abs(values - rounded[counts.argmax()]) < 2e-5]))


@pytest.mark.parametrize(
    ("folder", "most_turn_deg", "most_rise_deg"), [("hesai_40p", 0.001, 0.0885), ("hesai_xt32", 0.131, 0.085)]
)
def test_hesais_lidars_agree_to_the_centimetre_once_each_ring_is_corrected(
    real_data: Path, folder: str, most_turn_deg: float, most_rise_deg: float
) -> None:
    scans, calibration = scans_of(real_data, folder), calibration_of(folder)
    found = decoded(scans, calibration)
    azimuth = np.degrees(np.arctan2(scans.places[:, 0], scans.places[:, 1]))
    half = np.floor(azimuth) % 2 == 0
    corrected, turned, risen = fitted(scans, found, calibration, half)
    # These devices deviate from the nominal angles by this much, not the decoding: see the next test. Asked is 0.1
    # degrees: the four lowest rings of this XT32 are turned by more, 0.102 to 0.130.
    assert np.abs(turned).max() < most_turn_deg
    assert np.abs(risen).max() < most_rise_deg
    ours = np.concatenate([one.points.xyz for one in decoded(scans, corrected)], axis=1).T
    distance, _ = cKDTree(ours).query(scans.places[~half])
    assert len(distance) > 25_000
    assert distance.max() < CENTIMETRE


@pytest.mark.parametrize("folder", ["hesai_40p", "hesai_xt32"])
def test_what_a_ring_has_to_be_corrected_by_is_the_devices_own_calibration(real_data: Path, folder: str) -> None:
    scans, nominal, device = scans_of(real_data, folder), calibration_of(folder), device_calibration(folder)
    found = decoded(scans, nominal)
    corrected, _, _ = fitted(scans, found, nominal, np.full(len(scans.truth), True))
    _, seen, _, _ = match_by_range(scans, found, nominal)
    rings = np.unique(seen)
    assert len(rings) >= 32
    for name in ("azimuth", "elevation"):
        off_deg = np.degrees(getattr(corrected, name) - getattr(device, name))[rings]
        assert np.abs(off_deg).max() < 0.002


@pytest.mark.parametrize("folder", ["hesai_40p", "hesai_xt32"])
def test_with_the_devices_own_calibration_every_point_is_within_a_centimetre(real_data: Path, folder: str) -> None:
    scans = scans_of(real_data, folder)
    ours = np.concatenate([one.points.xyz for one in decoded(scans, device_calibration(folder))], axis=1).T
    distance, _ = cKDTree(ours).query(scans.places)
    assert len(distance) > 56_000
    assert distance.max() < CENTIMETRE
