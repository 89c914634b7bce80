"""All shipped triggers over many hours of signals, against one DuckDB scan with a window function per signal they use.

`python -m benchmarks.triggers DRIVES_FOLDER [HOURS]`, over drives that `benchmarks.trigger_drives` made (at least ten
hours for a figure to be quoted), repeated under new drive ids until there are so many hours. Both read the same Parquet
files, one per drive, as the lake has them; both are CPU seconds of a process of their own. Signals over tracked objects
are columns of the files for both sides; what making them costs is told beside.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import in_subprocess, report
from benchmarks.simulated_drives import FULL_VEHICLE
from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import drive_signals, floats
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.trigger_runs import drive_events
from fleet_assets.policy.triggers import CompiledTriggers, compile_triggers
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec

STEPS_PER_HOUR: Final = 36_000
HOURS: Final = 1000
LEAST_SPEED: Final = 0.5
MOST_MEMORY_MB: Final = 2048


def compiled() -> CompiledTriggers:
    """The shipped triggers for the simulated car."""
    policies = load_policies()
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    return compile_triggers(policies["triggers"], policies.digest("triggers"), canonical, vehicle_spec=FULL_VEHICLE)


def wanted(made: CompiledTriggers) -> list[str]:
    """Signals that the triggers themselves read."""
    return sorted({name for one in made.triggers for name in one.signals})


def lay_out(drives: Path, folder: Path, hours: float) -> dict[str, float]:
    """Write the files: drives of one hour put together of the simulated ones, over and over."""
    made, policies = compiled(), load_policies()
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    name = f"vehicles/{FULL_VEHICLE}"
    spec = parse_vehicle_spec(policies[name], policies.digest(name), canonical)
    names, parts, spent = wanted(made), [], 0.0
    for drive in sorted(path.parent for path in drives.glob("*/made.json")):
        signals, tracks = (pq.read_table(drive / f"silver.{table}.parquet") for table in ("signals", "radar_tracks"))
        begun = time.process_time()
        joined = drive_signals(signals, tracks, {}, spec, canonical, made)
        spent += time.process_time() - begun
        parts.append({column: joined.column(column) for column in names})
    whole = {column: np.concatenate([part[column] for part in parts]) for column in names}
    rows = len(whole[names[0]])
    count = round(hours)
    for number in range(count):
        first = number * STEPS_PER_HOUR % rows
        index = (first + np.arange(STEPS_PER_HOUR)) % rows
        columns: dict[str, Any] = {
            column: pa.array(values[index], mask=np.isnan(values[index])) for column, values in whole.items()
        }
        drive_id = pa.DictionaryArray.from_arrays(np.zeros(STEPS_PER_HOUR, np.int32), [f"drive-{number:05d}"])
        t_ns = np.arange(STEPS_PER_HOUR, dtype=np.int64) * made.step_ms * 1_000_000
        table = pa.table({"drive_id": drive_id, "t_ns": t_ns, **columns})
        pq.write_table(table, folder / f"drive-{number:05d}.parquet", compression="zstd")
    simulated_h = rows / STEPS_PER_HOUR
    return {"simulated_h": simulated_h, "track_signals_cpu_s_per_1000_h": spent / simulated_h * 1000}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(folder: Path) -> dict[str, Any]:
    """Every trigger over every file."""
    made = compiled()
    names = wanted(made)
    begun, events, rows = time.process_time(), 0, 0
    for path in sorted(folder.glob("*.parquet")):
        table = pq.read_table(path, columns=["t_ns", *names], use_threads=False)
        events += len(drive_events(made, table["t_ns"].to_numpy(), {name: floats(table[name]) for name in names}))
        rows += table.num_rows
    return {"cpu_s": time.process_time() - begun, "rows": rows, "events": events, "memory_mb": _peak_mb()}


def duckdb_scan(folder: Path) -> dict[str, Any]:
    """One scan with one window function per signal: the mean of the last five samples of the drive."""
    import duckdb

    names = wanted(compiled())
    windows = ", ".join(f"avg({name}) over w as {name}" for name in names)
    sums = ", ".join(f"sum({name})" for name in names)
    text = (
        f"select {sums} from (select {windows} from read_parquet('{folder}/*.parquet') "  # noqa: S608 - own names
        "window w as (partition by drive_id order by t_ns rows between 4 preceding and current row))"
    )
    begun = time.process_time()
    connection = duckdb.connect()
    connection.execute(
        f"set threads = 1; set memory_limit = '{MOST_MEMORY_MB}MB'; set temp_directory = '{folder}/spill'"
    )
    connection.execute(text).fetchall()
    return {"cpu_s": time.process_time() - begun, "signals": len(names), "memory_mb": _peak_mb()}


def compare(drives: Path, hours: float) -> None:
    """Lay the files out, measure both, print the ratio."""
    with tempfile.TemporaryDirectory(dir=drives) as folder:
        laid = lay_out(drives, Path(folder), hours)
        own, _ = in_subprocess("benchmarks.triggers", "--ours", folder)
        peer, _ = in_subprocess("benchmarks.triggers", "--duckdb", folder)
    report(
        f"all shipped triggers, {own['rows']:,} rows ({laid['simulated_h']:.1f} h simulated)",
        [
            {"row": "all triggers", "cpu_s": own["cpu_s"], "memory_mb": own["memory_mb"]},
            {"row": f"DuckDB, {peer['signals']} windows", "cpu_s": peer["cpu_s"], "memory_mb": peer["memory_mb"]},
            {
                "row": "making the track signals",
                "cpu_s": laid["track_signals_cpu_s_per_1000_h"] * hours / 1000,
                "memory_mb": 0.0,
            },
        ],
    )
    speed = peer["cpu_s"] / own["cpu_s"]
    print(f"  events found: {own['events']}")
    print(f"  speed against DuckDB: {speed:.2f} (at least {LEAST_SPEED}), memory {own['memory_mb']:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1] in {"--ours", "--duckdb"}:
        side = ours if sys.argv[1] == "--ours" else duckdb_scan
        print(json.dumps(side(Path(sys.argv[2]))))
    else:
        compare(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else HOURS)  # noqa: PLR2004 - an argument
