"""All benchmarks, printed as ratios: `make bench`, or `python -m benchmarks.run NAME …`."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.lidar import lidar
from benchmarks.measure import ROOT, in_subprocess, report, spent
from benchmarks.media import keyframes, redaction
from benchmarks.planning import planning
from benchmarks.readers import memory, readers
from benchmarks.restatement import restatement
from benchmarks.search import search
from benchmarks.simulator import simulator
from benchmarks.triggers import triggers
from benchmarks.vectors import vectors

REAL_DATA = ROOT.parent / "shared" / "data"
RECORDINGS = {
    "comma2k19_rav4": REAL_DATA / "comma2k19_example" / "sample",
    "css_canedge": REAL_DATA / "css_canedge_mf4" / "sample" / "3BA199E2_trip164_morning",
    "j1939_truck": REAL_DATA / "css_canedge_mf4" / "sample" / "j1939_truck_00000001.MF4",
    "husky": REAL_DATA / "robot_localization_bag" / "sample" / "husky_imu_gps_odom_test1.bag",
    "boreas": REAL_DATA / "boreas_cc_by" / "sample" / "boreas-2021-08-05-13-34" / "lidar_poses.csv",
}
COPY_BYTES = 400 << 20
PASSES = 5
"""Of each side where a pass is short, so that a busy moment decides nothing."""
DRIVES = (10, 200)


def copy_and_hash(folder: Path) -> None:
    """Ingest's one pass (copy + SHA-256 + fsync) against `cp` followed by `sha256sum`, same file, same disk."""
    from fleet_assets.provenance.digests import file_sha256
    from fleet_assets.provenance.objects import ObjectRef
    from resources.objects import LocalObjects

    source = folder / "recording"
    with source.open("wb") as stream:
        for _ in range(COPY_BYTES >> 20):
            stream.write(os.urandom(1 << 20))
    expected = ObjectRef(file_sha256(source), source.stat().st_size)

    def ours(root: str) -> None:
        LocalObjects(str(folder / root), ("raw",)).put(source, "raw", expected)

    def peer(target: str) -> None:
        subprocess.run(["cp", source, folder / target], check=True)
        subprocess.run(["sync", folder / target], check=True)
        subprocess.run(["sha256sum", folder / target], check=True, stdout=subprocess.DEVNULL)

    rows = []
    for attempt in range(3):
        (_, own), (_, other) = spent(lambda n=attempt: ours(f"o{n}")), spent(lambda n=attempt: peer(f"p{n}"))
        rows.append(
            {
                "attempt": attempt,
                "ours_wall_s": own.wall_s,
                "cp_sha256sum_wall_s": other.wall_s,
                "speed_ratio_wall": other.wall_s / own.wall_s,
                "speed_ratio_cpu": other.cpu_s / own.cpu_s,
            }
        )
    report("copy + hash: speed against cp, sync and sha256sum (1 = as fast; at least 0.8)", rows)


def landing_to_silver(folder: Path) -> None:
    """CPU from landing to silver against only decoding every message with the libraries, medians of several passes."""
    _, start = in_subprocess("benchmarks.worker", "nothing")
    rows: list[dict[str, Any]] = []
    for spec, recording in RECORDINGS.items():
        if not recording.exists():
            print(f"left out {spec}: no recording at {recording}")
            continue
        bare = [_library_s(recording, spec) for _ in range(PASSES)]
        landed, cost = in_subprocess("benchmarks.worker", "land", str(folder / spec), str(recording), spec, str(PASSES))
        bare += [_library_s(recording, spec) for _ in range(PASSES)]  # the machine's other guests come and go
        first, warm = landed["first"], landed["warm"]
        if not all(turn["ok"] for turn in (first, *warm)):
            raise RuntimeError(f"{spec}: the drive did not reach silver, so there is nothing to compare")
        engine = [turn["worker_cpu_s"] for turn in warm]
        main, decode = median(turn["main_cpu_s"] for turn in warm), median(bare)
        figures = {
            "decode every message, libraries only": decode,
            "landing → silver, engine (warm)": median(engine),
            "landing → silver, engine (warm), least": min(engine),
            "process start: interpreter and imports": start.cpu_s,
            "worker start: imports and DBC parsing, once per worker": first["worker_cpu_s"] - median(engine),
            f"Dagster: {warm[0]['runs']} runs, ticks, gates, plots": main,
            f"whole process tree, {1 + len(warm)} passes": cost.cpu_s,
            "RATIO engine / libraries (at most 1.5)": median(engine) / decode,
            "RATIO of the least": min(engine) / min(bare),
            "SHARE of orchestration in a warm pass": main / (main + median(engine)),
        }
        rows += [{"recording": spec, "row": name, "cpu_s": value} for name, value in figures.items()]
    if rows:
        report("landing → silver", rows)


def _library_s(recording: Path, spec: str) -> float:
    told, _ = in_subprocess("benchmarks.worker", "library_decode", str(recording), spec)
    return float(told["cpu_s"])


def flat_cost(folder: Path) -> None:
    """CPU per drive from 10 to 200 drives: flat within 20 %."""
    rows = []
    for count in DRIVES:
        done, cost = in_subprocess("benchmarks.worker", "many", str(folder / str(count)), str(count))
        rows.append(
            {
                "drives": count,
                "runs": done["runs"],
                "engine_cpu_s_per_drive": done["worker_cpu_s"] / count,
                "main_cpu_s_per_drive": done["main_cpu_s"] / count,
                "tree_cpu_s": cost.cpu_s,
                "wall_s": cost.wall_s,
                "all_ok": done["ok"],
            }
        )
    small, large = rows
    report("cost per drive", rows)
    ratio = large["engine_cpu_s_per_drive"] / small["engine_cpu_s_per_drive"]
    print(f"  engine CPU per drive, {DRIVES[1]} against {DRIVES[0]} drives: {ratio:.2f} (0.8 to 1.2 is flat)")
    share = large["main_cpu_s_per_drive"] / (large["main_cpu_s_per_drive"] + large["engine_cpu_s_per_drive"])
    print(f"  orchestration share at {DRIVES[1]} drives: {share:.2f}")


BENCHMARKS: dict[str, Callable[[Path], None]] = {
    function.__name__: function
    for function in (
        copy_and_hash,
        readers,
        memory,
        landing_to_silver,
        flat_cost,
        planning,
        restatement,
        simulator,
        keyframes,
        redaction,
        lidar,
        search,
        triggers,
        vectors,
    )
}


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    for name in names or list(BENCHMARKS):
        with tempfile.TemporaryDirectory(prefix="fleet-bench-") as folder:
            BENCHMARKS[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
