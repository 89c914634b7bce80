"""Truth beside a drive: complete, deterministic, and enough to check a recording with."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from kinematic_drive import START_NS, drive, network, scene

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.faults import parse_fault
from services.fleet_simulator.recording import record
from services.fleet_simulator.truth import write_truth


def test_truth_says_where_everybody_was_what_clocks_showed_and_which_faults_there_were(tmp_path: Path) -> None:
    policies = load_policies()
    world = network(policies)
    asked = (parse_fault("dropout:imu@2+1"), parse_fault("clock_jump@4=500"), parse_fault("wrong_digest"))
    truth = drive(world, seconds=6, faults=asked)
    facts = record(tmp_path / "drive.mcap", scene(policies, world, truth))
    for folder in ("a", "b"):
        write_truth(tmp_path / folder, truth, facts)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == [
        "agents.parquet",
        "clocks.parquet",
        "drive.json",
        "ego.parquet",
        "lights.parquet",
        "tracks.parquet",
    ]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)

    document = json.loads((tmp_path / "a" / "drive.json").read_text())
    assert document["plan"]["drive_id"] == "sim-a"
    assert [(fault["kind"], fault["sensor"], fault["affected"]) for fault in document["faults"]] == [
        ("dropout", "imu", 100),
        ("clock_jump", "", None),
    ]
    assert document["uploads"][0]["changed_bytes"] == 1
    assert document["messages"]["/imu/data"] == 500

    ego = pq.read_table(tmp_path / "a" / "ego.parquet")
    assert ego.num_rows == 601
    assert (ego["t_ns"][0].as_py(), ego["x_mm"].to_pylist()) == (START_NS, truth.ego.x_mm.tolist())
    assert {"edge_id", "edge_offset_mm", "lane", "lane_offset_mm", "adas"} <= set(ego.column_names)
    tracks = pq.read_table(tmp_path / "a" / "tracks.parquet").to_pandas().groupby("agent_id")
    assert {agent: len(rows) for agent, rows in tracks} == {1: 121, 2: 121}
    clocks = pq.read_table(tmp_path / "a" / "clocks.parquet")
    steps = np.diff(np.array(clocks["recorder"]) - np.array(clocks["t_ns"]))
    assert np.flatnonzero(np.abs(steps) > 1e8).tolist() == [3]
