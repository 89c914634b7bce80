"""How fast the simulated fleet drives, against real time and against highway-env's own pictures.

`python -m benchmarks.run simulator`. CPU seconds of one process throughout; world, programs and the first picture are
made before the clock starts, since a fleet makes them once. Run with other work on the machine, both sides of a ratio
slow down, figures against real time fall.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import in_subprocess, report

SEED: Final = 4
START_NS: Final = 1_714_550_400_000_000_000
WITHOUT_RAYS: Final = ("can", "imu", "gnss", "radar")
ALL: Final = (*WITHOUT_RAYS, "lidar", "camera")
SIZE_PX: Final = (640, 360)
FRAMES: Final = 200
WEATHERS: Final = ("day", "overcast", "rain", "fog", "dusk", "night")
_DRIVES: Final = 4
_MIB: Final = 1024.0


def simulator(folder: Path) -> None:
    """Camera, whole drives and memory."""
    del folder
    camera, _ = in_subprocess("benchmarks.simulator", "camera")
    peer, _ = in_subprocess("benchmarks.simulator", "peer")
    rows = [
        {"what": f"camera, {weather}: JPEG, ids, depth, boxes", "frames_per_cpu_s": camera[weather]}
        for weather in WEATHERS
    ]
    rows += [
        {"what": "camera, mean", "frames_per_cpu_s": camera["mean"]},
        {"what": f"highway-env {peer['version']}, picture alone", "frames_per_cpu_s": peer["mean"]},
        {"what": "RATIO camera / highway-env", "frames_per_cpu_s": camera["mean"] / peer["mean"]},
    ]
    report(f"pictures of {SIZE_PX[0]} × {SIZE_PX[1]} on one core", rows)
    drives = []
    for name, sensors, seconds, least in (("everything, camera 10 Hz", ALL, 60, 3), ("no rays", WITHOUT_RAYS, 600, 50)):
        done, _ = in_subprocess("benchmarks.simulator", "drives", ",".join(sensors), str(seconds))
        drives.append({"what": name, **done, "at_least": least})
    report("drives: seconds driven per CPU second, truth included", drives)
    sizes = []
    for seconds in (60, 600):
        done, _ = in_subprocess("benchmarks.simulator", "memory", str(seconds))
        sizes.append({"seconds": seconds, **done})
    report("memory of a drive with all sensors (camera 1 Hz), the process and its growth over the start", sizes)


def camera() -> dict[str, float]:
    """Pictures per CPU second by weather; moments of simulated drives, weather set here."""
    import cv2

    from fleet_assets.policy.documents import load_policies
    from services.fleet_simulator.camera.contact_sheet import TILES, dressed
    from services.fleet_simulator.camera.from_truth import Stage
    from services.fleet_simulator.camera.renderer import CameraRenderer
    from services.fleet_simulator.camera.scene import CameraSpec
    from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
    from services.fleet_simulator.traffic.drive import simulate_drive
    from services.fleet_simulator.world.generate import generate_network

    cv2.setNumThreads(1)
    policy = load_policies()["simulation"]
    network = generate_network(SEED, policy["world"])
    renderer = CameraRenderer(network, policy, CameraSpec(*SIZE_PX))
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(policy["camera"]["jpeg_quality"])]
    scenes = []
    for seed in range(_DRIVES):
        depot = network.depots[seed % len(network.depots)].name
        stage = Stage(simulate_drive(DrivePlan("b", "b", depot, seed, START_NS, 30.0), network, policy))
        scenes += [stage.at(START_NS + 5 * NS_PER_S + k * NS_PER_S // 10) for k in range(FRAMES // _DRIVES)]
    found = {}
    for weather in WEATHERS:
        dressed_scenes = [dressed(scene, TILES[weather]) for scene in scenes]
        for scene in dressed_scenes:
            renderer.render(scene)
        start = time.process_time()
        for scene in dressed_scenes:
            cv2.imencode(".jpg", renderer.render(scene).bgr, quality)
        found[weather] = len(scenes) / (time.process_time() - start)
    return {**found, "mean": len(WEATHERS) / sum(1.0 / rate for rate in found.values())}


def peer() -> dict[str, Any]:
    """Pictures per CPU second of highway-env's highway with its usual 50 vehicles, drawn on a pygame surface."""
    import os
    from importlib import import_module
    from importlib.metadata import version

    os.environ["SDL_VIDEODRIVER"] = "dummy"
    gymnasium: Any = import_module("gymnasium")
    gymnasium.register_envs(import_module("highway_env"))
    config = {"screen_width": SIZE_PX[0], "screen_height": SIZE_PX[1], "offscreen_rendering": True, "duration": 10_000}
    env = gymnasium.make("highway-v0", render_mode="rgb_array", config=config)
    env.reset(seed=SEED)
    env.render()
    spent = 0.0
    for _ in range(FRAMES // 4):
        _, _, ended, stopped, _ = env.step(1)
        start = time.process_time()
        picture: Any = env.render()
        spent += time.process_time() - start
        if ended or stopped:
            env.reset()
    if picture.shape != (SIZE_PX[1], SIZE_PX[0], 3):
        raise RuntimeError(f"highway-env drew {picture.shape}, not {SIZE_PX}: the sizes must agree to be compared")
    env.close()
    return {"mean": FRAMES // 4 / spent, "version": version("highway-env")}


def _maker(camera_hz: float | None) -> tuple[Callable[[float, Path], None], Callable[[tuple[str, ...]], None]]:
    """A function that makes a drive of some seconds, and one that sets its sensors."""
    from fleet_assets.policy.documents import load_policies
    from services.fleet_simulator.drive_plans import FleetOrder, plan_drive
    from services.fleet_simulator.making import DriveMaker
    from services.fleet_simulator.world.generate import generate_network

    policy = load_policies()["simulation"]
    network = generate_network(SEED, policy["world"])
    maker = DriveMaker(network, policy, camera_hz)
    depots = tuple(depot.name for depot in network.depots)
    sensors: list[tuple[str, ...]] = [ALL]

    def make(seconds: float, folder: Path) -> None:
        plan = plan_drive(FleetOrder(SEED, depots, START_NS, seconds, sensors[0]), 1)
        maker.make(replace(plan, duration_s=seconds), folder / f"drive-{seconds}", folder / f"truth-{seconds}")

    def choose(names: tuple[str, ...]) -> None:
        sensors[0] = names

    return make, choose


def drives(sensors: str, seconds: str) -> dict[str, float]:
    """Seconds driven per CPU second."""
    make, choose = _maker(None)
    choose(tuple(sensors.split(",")))
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as folder:
        make(2.0, Path(folder))
        start = time.process_time()
        make(float(seconds), Path(folder))
        cpu_s = time.process_time() - start
    return {"seconds": float(seconds), "cpu_s": cpu_s, "times_real_time": float(seconds) / cpu_s}


def memory(seconds: str) -> dict[str, float]:
    """Peak memory of the process, MiB, and how much of it came after a drive of five seconds."""
    make, _ = _maker(1.0)
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as folder:
        make(5.0, Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
        make(float(seconds), Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
    return {"peak_mib": peak, "growth_mib": peak - before}


if __name__ == "__main__":
    _MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
        "camera": camera,
        "peer": peer,
        "drives": drives,
        "memory": memory,
    }
    print(json.dumps(_MEASURES[sys.argv[1]](*sys.argv[2:])))
