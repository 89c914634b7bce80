"""`fleet simulate` by itself: the same bytes however drives are made, maps of one's own, errors that say what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from fleet_assets.cli import main
from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.shifts import SHIFT_KINDS
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.osm_xml import from_osm, to_osm_xml

ORDER = (
    *("--drives", "3", "--seconds", "3", "--seed", "3", "--sensors", "can,imu,gnss,radar"),
    *("--shift", "2/region=prairie", "--shift", "night_share=0.4", "--event", "swerve@0.5", "--fault", "spike:imu@1"),
)


def simulate(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["simulate", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def content(folder: Path, drive: str = "") -> dict[str, bytes]:
    """Bytes of every file, of one drive if named."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and drive in str(path))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def by_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The order carried out by one process, drive after drive."""
    folder = tmp_path_factory.mktemp("one")
    assert simulate(*ORDER, "--workers", "1", "--out", str(folder)).exit_code in {0, 1}
    return folder


def test_two_workers_make_the_same_bytes_as_one(by_one: Path, tmp_path: Path) -> None:
    answer = simulate(*ORDER, "--workers", "2", "--out", str(tmp_path), "--json")
    rows = json.loads(answer.stdout)
    assert [row["drive_id"] for row in rows] == ["sim-3-0001", "sim-3-0002", "sim-3-0003"]
    assert content(tmp_path) == content(by_one)
    assert len({Path(row["recording"]).read_bytes() for row in rows}) == 3


def test_a_drive_alone_in_another_locale_and_hash_seed_is_the_drive_of_the_fleet(by_one: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "77", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}
    code = "from fleet_assets.cli import main; main()"
    command = [sys.executable, "-c", code, "simulate", *ORDER, "--only", "2", "--out", str(tmp_path)]
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode in {0, 1}
    alone = content(tmp_path, "sim-3-0002")
    assert len(alone) == 7
    assert alone == content(by_one, "sim-3-0002")


@pytest.mark.slow
def test_with_camera_and_lidar_the_bytes_do_not_depend_on_the_workers_either(tmp_path: Path) -> None:
    sensors = ("--drives", "2", "--seconds", "2", "--sensors", "gnss,lidar,camera", "--camera-hz", "3")
    shifts = ("--shift", "2/smeared_lens=0.5", "--shift", "2/camera_yaw_mrad=20")
    for workers in ("1", "2"):
        answer = simulate(*sensors, *shifts, "--workers", workers, "--out", str(tmp_path / workers))
        if "OpenGL" in answer.output and answer.exit_code == 2:
            pytest.skip(answer.output)
        assert answer.exit_code == 0, answer.output
    assert content(tmp_path / "1") == content(tmp_path / "2")


def test_truth_says_which_shift_applied_and_its_edges_are_those_of_the_map_beside_it(by_one: Path) -> None:
    documents = [json.loads(path.read_text()) for path in sorted(by_one.glob("truth/*/drive.json"))]
    assert [one["plan"]["shift"].get("region") for one in documents] == [None, "prairie", None]
    for one in documents:
        name, digest = one["plan"]["drive_id"], one["network_digest"]
        network = from_osm(by_one / "truth" / "maps" / f"{digest[:12]}.osm")
        assert network.digest == digest
        ego = pq.read_table(by_one / "truth" / name / "ego.parquet").to_pandas()
        assert set(ego["edge_id"]) <= network.edges.keys()
        for edge_id, rows in ego.groupby("edge_id"):
            edge = network.edges[int(edge_id)]
            assert rows["lane"].between(0, edge.lanes - 1).all()
            assert rows["edge_offset_mm"].between(0, round(edge.length_m * 1000) + 1).all()
            # The middle of the lane that it is in is at most a lane's width away, but for turns at junctions.
            middle = [np.interp(rows["edge_offset_mm"] / 1e3, edge.arc_m, edge.points_m[:, axis]) for axis in (0, 1)]
            away = np.hypot(rows["x_mm"] / 1e3 - middle[0], rows["y_mm"] / 1e3 - middle[1])
            assert np.quantile(away, 0.5) < (edge.lanes + 1) * edge.lane_width_m


def test_drives_take_place_on_a_map_of_ones_own(tmp_path: Path) -> None:
    town = generate_network(8, load_policies()["simulation"]["world"])
    (tmp_path / "town.osm").write_bytes(to_osm_xml(town))
    answer = simulate(
        *("--map", str(tmp_path / "town.osm"), "--seconds", "3", "--depot", "harbour", "--depot", "airport"),
        *("--sensors", "gnss", "--out", str(tmp_path / "out")),
    )
    assert answer.exit_code == 0, answer.output
    document = json.loads((tmp_path / "out/truth/sim-1-0001/drive.json").read_text())
    assert document["network_digest"] == town.digest


@pytest.mark.real_data
def test_drives_take_place_in_a_real_extract(real_data: Path, tmp_path: Path) -> None:
    extract = real_data / "osm_extracts_and_gpx/sample/bayfront_singapore.osm.pbf"
    answer = simulate("--map", str(extract), "--seconds", "20", "--sensors", "gnss", "--out", str(tmp_path))
    assert answer.exit_code == 0, answer.output
    network = from_osm(extract)
    ego = pq.read_table(tmp_path / "truth/sim-1-0001/ego.parquet")
    assert set(ego["edge_id"].to_pylist()) <= network.edges.keys()
    assert ego["route_mm"][-1].as_py() > ego["route_mm"][0].as_py()


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("--sensors", "can,sonar"), "no sensor sonar.*can, imu"),
        (("--event", "moose@3"), "Kinds: hard_brake"),
        (("--event", "hard_brake@90"), "behind the end of drives of 60 s"),
        (("--fault", "dropout:sonar@1"), "no sensor sonar"),
        (("--fault", "dropout"), "names no sensor"),
        (("--fault", "4/wrong_digest"), "drive 4, which is not made"),
        (("--fault", "spike:imu@61"), "behind the end"),
        (("--shift", "fog"), "KIND.*smeared_lens"),
        (("--shift", "smeared_lens=2"), "from 0 to 1"),
        (("--shift", "region=atlantis"), "It has: old_town"),
        (("--shift", "9/rain_share=1"), "drive 9, which is not made"),
        (("--camera-hz", "5"), "--sensors can,imu,gnss,camera"),
        (("--map", "nowhere.osm"), "nowhere.osm"),
        (("--drives", "0"), "1"),
        (("--start", "yesterday"), "yesterday"),
    ],
)
def test_wrong_use_is_refused_with_what_to_do_before_anything_is_made(
    arguments: tuple[str, ...], remedy: str, tmp_path: Path
) -> None:
    import re

    answer = simulate(*arguments, "--out", str(tmp_path / "out"))
    assert answer.exit_code == 2
    assert re.search(remedy, answer.output, re.DOTALL), answer.output
    assert not (tmp_path / "out").exists()


def test_a_request_that_no_road_can_meet_is_reported_with_exit_code_1(tmp_path: Path) -> None:
    answer = simulate("--seconds", "2", "--event", "tailgating@1.8", "--sensors", "imu", "--out", str(tmp_path))
    assert answer.exit_code == 1
    assert "tailgating@1.8 did not happen. Ask for it earlier" in answer.output


def test_help_shows_how_to_use_it_by_itself_and_the_list_names_everything() -> None:
    shown = simulate("--help").output
    assert "It needs no fleet" in shown
    assert shown.count("fleet simulate --out") >= 5
    listed: dict[str, Any] = json.loads(simulate("--list", "--json").stdout)
    assert listed["shifts"].keys() == SHIFT_KINDS.keys()
    assert "camera" in listed["sensors"]
    assert {"engagement", "override", "near_miss"} <= listed["events"].keys()
    text = simulate("--list").output
    assert all(name in text for part in ("sensors", "events", "faults", "shifts", "regions") for name in listed[part])
