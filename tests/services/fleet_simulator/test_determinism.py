"""The same seed gives the same bytes, camera and truth included, whatever the surroundings of the process."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.fleet_simulator.camera.gpu import unavailable_reason

_REASON = unavailable_reason()
_SCRIPT = """
import hashlib, json, sys, tempfile
from pathlib import Path
from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.drive_plans import FleetOrder, plan_drive, with_depots
from services.fleet_simulator.making import DriveMaker
from services.fleet_simulator.world.generate import generate_network

seed, numbers = int(sys.argv[1]), [int(number) for number in sys.argv[2:]]
policy = load_policies()["simulation"]
maker = DriveMaker(with_depots(generate_network(3, policy["world"]), ("north", "south")), policy, 2.0)
sensors = ("can", "imu", "gnss", "radar", "lidar", "camera")
order = FleetOrder(seed, ("north", "south"), 1_714_550_400_000_000_000, 3.0, sensors)
found = {}
for number in numbers:
    folder = Path(tempfile.mkdtemp())
    maker.make(plan_drive(order, number), folder / "drive", folder / "truth")
    found[number] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()
    }
print(json.dumps(found))
"""


def made(seed: int, *numbers: int, **surroundings: str) -> dict[str, dict[str, str]]:
    """Digests of the files of drives, by drive and file, from a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **surroundings}
    command = [sys.executable, "-c", _SCRIPT, str(seed), *map(str, numbers)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(_REASON is not None, reason=str(_REASON))
def test_two_processes_in_other_surroundings_make_the_bytes_that_one_makes() -> None:
    with ThreadPoolExecutor(4) as pool:
        one = pool.submit(made, 3, 1, 2, 3, PYTHONHASHSEED="1", LC_ALL="C", LP_NUM_THREADS="0")
        first = pool.submit(made, 3, 3, 1, PYTHONHASHSEED="77", LC_ALL="C.UTF-8", LP_NUM_THREADS="2", TZ="Asia/Tokyo")
        second = pool.submit(made, 3, 2, PYTHONHASHSEED="0", LANG="tr_TR.UTF-8", OMP_NUM_THREADS="2")
        other = pool.submit(made, 4, 2)
    whole = one.result()
    assert {name for name in whole["1"] if name.startswith("camera_")} == {
        "camera_boxes.parquet",
        "camera_pii.parquet",
        "camera_pixels.parquet",
    }
    assert {**first.result(), **second.result()} == whole
    changed = [name for name, digest in other.result()["2"].items() if whole["2"].get(name) != digest]
    assert "camera_pixels.parquet" in changed
    assert "ego.parquet" in changed
