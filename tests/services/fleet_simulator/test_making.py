"""Whole drives from plan to files, traffic and camera included."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.camera.gpu import CameraUnavailableError
from services.fleet_simulator.drive_plans import FleetOrder, plan_drive, with_depots
from services.fleet_simulator.faults import parse_fault
from services.fleet_simulator.making import SOUND, DriveMaker
from services.fleet_simulator.world.generate import generate_network

START_NS = 1_714_550_400_000_000_000


def maker(camera_hz: float | None = None) -> DriveMaker:
    policy = load_policies()["simulation"]
    return DriveMaker(with_depots(generate_network(3, policy["world"]), ("north", "south")), policy, camera_hz)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_drive_is_the_same_alone_and_after_others(tmp_path: Path) -> None:
    order = FleetOrder(3, ("north", "south"), START_NS, 5.0, ("can", "imu", "gnss", "radar", "lidar"))
    together, alone = maker(), maker()
    for number in (1, 2):
        together.make(plan_drive(order, number), tmp_path / f"a{number}", tmp_path / f"ta{number}")
    alone.make(plan_drive(order, 2), tmp_path / "b2", tmp_path / "tb2")
    assert content(tmp_path / "a2") == content(tmp_path / "b2")
    assert content(tmp_path / "ta2") == content(tmp_path / "tb2")
    assert content(tmp_path / "a1").values() != content(tmp_path / "a2").values()


def test_a_corrected_drive_has_a_sound_recording_beside_the_faulty_one(tmp_path: Path) -> None:
    asked = {1: [parse_fault("corrected_reupload"), parse_fault("missing_sensor:imu")]}
    order = FleetOrder(3, ("north", "south"), START_NS, 4.0, ("can", "imu"), faults=asked)
    path = maker().make(plan_drive(order, 1), tmp_path / "drive", tmp_path / "truth")
    counts = []
    for one in (path, path.parent / SOUND / path.name):
        with one.open("rb") as stream:
            reader = make_reader(stream)
            counts.append(sum(channel.topic == "/imu/data" for _, channel, _ in reader.iter_messages()))
    assert counts[0] == 0
    assert counts[1] in {399, 400}


def test_pictures_lie_in_the_recording_and_their_boxes_in_the_truth(tmp_path: Path) -> None:
    order = FleetOrder(3, ("north", "south"), START_NS, 2.0, ("gnss", "camera"))
    try:
        path = maker(2.0).make(plan_drive(order, 1), tmp_path / "drive", tmp_path / "truth")
    except CameraUnavailableError as error:
        pytest.skip(str(error))
    with path.open("rb") as stream:
        messages = make_reader(stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages()
        pictures = [decoded for _, channel, _, decoded in messages if channel.topic == "/camera/front/compressed"]
    assert len(pictures) == 4
    assert all(picture.format == "jpeg" and bytes(picture.data[:3]) == b"\xff\xd8\xff" for picture in pictures)
    boxes = pq.read_table(tmp_path / "truth" / "camera_boxes.parquet")
    assert boxes.num_rows > 0
    assert len(set(boxes["t_ns"].to_pylist())) <= 4
