"""Each recording reader against the usual library's bare iteration, and its memory on small and large recordings.

Each runs in a process of its own (what one frees or caches in the C library is no help to another), turn about, and the
medians of their CPU seconds are compared, and the least of them too.
"""

import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import in_subprocess, report
from benchmarks.peers import BARE, DECODED, FLOORS, OTHERS, VIDEOS, Peer
from benchmarks.videos import write_fragmented_video, write_telemetry

SECONDS: Final = {"mdf4": 20_000.0, "csv": 20_000.0, "gpx": 30_000.0, "json_points": 30_000.0, "mp4": 5000.0}
"""Lengths at which reading outweighs opening; 900 s otherwise."""
START_NS: Final = 1_714_550_400_000_000_000
ROUNDS: Final = 9
IMAGES: Final = " of images"
IMAGES_MB: Final = 200
VIDEO_LENGTHS: Final = {"mp4 in fragments": 5000, "gpmf": 600}
"""Frames, a fragment each; payloads of telemetry, one per second."""
WRITERS: Final = {"mp4 in fragments": write_fragmented_video, "gpmf": write_telemetry}
ROS_FORMATS: Final = ("mcap", "ros1", "ros2")
SIZES_MB: Final = {
    "mcap": (400, 4000),
    "ros1": (400, 4000),
    "ros2": (400, 4000),
    "mdf4": (40, 400),
    "candump": (40, 400),
}
"""Small and large; logs of CAN frames only are a day of driving at 400 MB."""


def make_recording(folder: Path, name: str) -> tuple[Path, dict[str, Any] | None]:
    """A recording of one format, and the table layout that its spec would state."""
    from tests import formats_factory, tracks_factory
    from tests.recordings_factory import write_comma2k19_drive

    seconds = SECONDS.get(name, 900.0)
    if name == "comma2k19":
        write_comma2k19_drive(folder, start_utc_ns=START_NS, seconds=seconds)
        return folder, None
    if name in VIDEOS:
        folder.mkdir(parents=True)
        return WRITERS[name](folder / "drive.mp4", VIDEO_LENGTHS[name]), None
    if name.endswith(IMAGES):
        write_bulky(str(folder), name.removesuffix(IMAGES), str(IMAGES_MB))
    elif name in formats_factory.TOPIC_FORMATS:
        formats_factory.write_topic_drive(folder, name, start_utc_ns=START_NS, seconds=seconds)
    elif name in formats_factory.CAN_FORMATS:
        formats_factory.write_can_drive(folder, name, start_utc_ns=START_NS, seconds=seconds)
    else:
        folder.mkdir(parents=True)
        return tracks_factory.write_other(folder, name, start_utc_ns=START_NS, seconds=seconds)
    return next(path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".yaml"), None


def _ours(path: Path, name: str, table: dict[str, Any] | None) -> int:
    from fleet_assets.ingestion.recordings.open import open_recording
    from fleet_assets.policy.table_layouts import parse_table_layout

    folder = path if path.is_dir() else path.parent
    files = {str(item.relative_to(folder)): item for item in folder.rglob("*") if item.is_file()}
    recording = open_recording(files, (name,), parse_table_layout(table))
    try:
        return sum(len(batch) for batch in recording.batches())
    finally:
        recording.close()


def _answer(asked: Connection, function: Callable[[], int]) -> None:
    """In a process of its own: warm up (imports, the page cache), then run once for every question."""
    function()
    asked.send(None)
    while asked.recv():
        start = time.process_time()
        count = function()
        asked.send((time.process_time() - start, count))


def _turn_about(runners: dict[str, Callable[[], int]]) -> tuple[dict[str, list[float]], dict[str, int]]:
    """CPU seconds of every round of every runner, and what each counted."""
    forking = multiprocessing.get_context("fork")
    ends: dict[str, Connection] = {}
    for label, run in runners.items():
        ends[label], far = forking.Pipe()
        forking.Process(target=_answer, args=(far, run), daemon=True).start()
        far.close()
        ends[label].recv()
    spent: dict[str, list[float]] = {label: [] for label in runners}
    counts = {}
    for _ in range(ROUNDS):
        for label, end in ends.items():
            end.send(True)
            cpu_s, counts[label] = end.recv()
            spent[label].append(cpu_s)
    for end in ends.values():
        end.send(False)
    return spent, counts


def compare(folder: str, name: str) -> dict[str, Any]:
    """Median CPU seconds of our reader and of every peer on one recording."""
    path, table = make_recording(Path(folder), name)
    name = name.removesuffix(IMAGES)
    own = "mp4" if name in VIDEOS else name
    runners: dict[str, Callable[[], int]] = {"ours": lambda: _ours(path, own, table)}

    def add(label: str, peer: Peer) -> None:
        runners[label] = lambda: peer(path)

    add(f"bare {BARE[name][0]}", BARE[name][1])
    for label, peer in OTHERS.get(name, ()):
        add(f"other {label}", peer)
    for label, peers in (("decoded", DECODED), ("floor", FLOORS)):
        if name in peers:
            add(f"{label} {peers[name][0]}", peers[name][1])
    spent, counts = _turn_about(runners)
    return {
        "cpu_s": {label: statistics.median(some) for label, some in spent.items()},
        "least_cpu_s": {label: min(some) for label, some in spent.items()},
        "messages": counts,
    }


def peak(folder: str, name: str, megabytes: str) -> dict[str, Any]:
    """Peak resident memory of reading one small topic of a recording that is mostly blobs."""
    # Writing in a process of its own: what a process once held counts as the peak of those that it starts.
    written, _ = in_subprocess("benchmarks.readers", "write_bulky", folder, name, megabytes)
    done, _ = in_subprocess("benchmarks.readers", "read_bulky", folder, name)
    return {**written, **done}


def write_bulky(folder: str, name: str, megabytes: str) -> dict[str, Any]:
    """Write a recording of about so many megabytes."""
    from benchmarks.bulky import write_bulky_drive

    path = write_bulky_drive(Path(folder), name, megabytes=int(megabytes), start_utc_ns=START_NS)
    return {"bytes": sum(item.stat().st_size for item in path.rglob("*") if item.is_file())}


def read_bulky(folder: str, name: str) -> dict[str, Any]:
    """Read everything, blobs included, in this process, and say what it took at most."""
    from fleet_assets.ingestion.recordings.open import open_recording

    files = {item.name: item for item in sorted(Path(folder).rglob("*")) if item.is_file()}
    recording = open_recording(files, (name,))
    messages = sum(len(batch) for batch in recording.batches())
    recording.close()
    return {"messages": messages, "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def readers(folder: Path) -> None:
    """CPU of each reader against the usual library's bare iteration and the fastest other library."""
    rows = []
    for name in (*BARE, *(f"{name}{IMAGES}" for name in ROS_FORMATS)):
        done, _ = in_subprocess("benchmarks.readers", "compare", str(folder / name), name)
        cpu_s, ours, least = done["cpu_s"], done["cpu_s"]["ours"], done["least_cpu_s"]
        bare = next(value for label, value in cpu_s.items() if label.startswith("bare"))
        fastest = min((value, label) for label, value in cpu_s.items() if label.startswith(("bare", "other")))
        rows.append(
            {
                "format": name,
                "messages": done["messages"]["ours"],
                "ours_cpu_s": ours,
                "usual library": BARE[name.removesuffix(IMAGES)][0],
                "ratio to its bare iteration (at most 1.3)": ours / bare,
                "of the least": least["ours"]
                / next(value for label, value in least.items() if label.startswith("bare")),
                "fastest": fastest[1].partition(" ")[2],
                "ratio to the fastest": ours / fastest[0],
                "ratio to decoding all": _over(cpu_s, "decoded"),
                "ratio to the floor": _over(cpu_s, "floor"),
                "floor's own ratio": "-" if (floor := _of(cpu_s, "floor")) is None else f"{floor / bare:.3f}",
            }
        )
    report("readers: CPU of reading and decoding every channel", rows)


def _of(cpu_s: dict[str, float], kind: str) -> float | None:
    return next((value for label, value in cpu_s.items() if label.startswith(kind)), None)


def _over(cpu_s: dict[str, float], kind: str) -> str:
    other = _of(cpu_s, kind)
    return "-" if other is None else f"{cpu_s['ours'] / other:.3f}"


def memory(folder: Path) -> None:
    """Peak memory of a recording against that of one a tenth of its size."""
    rows = []
    for name, sizes in SIZES_MB.items():
        peaks = []
        for megabytes in sizes:
            own = folder / f"{name}{megabytes}"
            done = peak(str(own), name, str(megabytes))
            peaks.append(done)
            for path in sorted(own.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
        small, large = peaks
        rows.append(
            {
                "format": name,
                "small_mb": small["bytes"] / 1e6,
                "large_mb": large["bytes"] / 1e6,
                "small_peak_mib": small["peak_kib"] / 1024,
                "large_peak_mib": large["peak_kib"] / 1024,
                "ratio (at most 1.5)": large["peak_kib"] / small["peak_kib"],
            }
        )
    report("memory: peak of a large recording against a small one", rows)


JOBS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "compare": compare,
    "write_bulky": write_bulky,
    "read_bulky": read_bulky,
}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](*sys.argv[2:])))
