"""All shipped triggers over many hours of signals, against one DuckDB scan with a window function per signal they use.

`python -m benchmarks.triggers DRIVES_FOLDER [HOURS]`, over drives that `benchmarks.trigger_drives` made (at least ten
hours for a figure to be quoted), repeated under new drive ids until there are so many hours. Both read the same Parquet
files, one per drive, as the lake has them; both are CPU seconds of a process of their own. Signals over tracked objects
and of other tables are columns of the files for both sides; what joining them costs is measured on the simulated hours
and counted as well.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import in_subprocess, report
from benchmarks.restatement import KEPT
from benchmarks.simulated_drives import FULL_VEHICLE
from benchmarks.trigger_drives import make
from benchmarks.trigger_surroundings import SEEN
from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import Floats, drive_signals, floats
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.trigger_runs import drive_events
from fleet_assets.policy.triggers import CompiledTriggers, compile_triggers
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec

STEPS_PER_HOUR: Final = 36_000
HOURS: Final = 1000
DRIVES_PER_HOUR: Final = 12
SEEDS: Final = range(11_540, 11_660)
"""Ten hours; the drives of the trigger study, so that a folder of it can be linked here."""
READ: Final = ("silver.signals", "silver.radar_tracks", *SEEN)
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


def canonical_of(made: CompiledTriggers) -> list[str]:
    """Signals of the grid that they read, as the operator reads them."""
    policies = load_policies()
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    return [one.name for one in canonical.on_grid if one.name in made.signals]


def _moved(table: pa.Table, by_ns: int) -> pa.Table:
    at = table.column_names.index("t_ns")
    return table.set_column(at, "t_ns", pa.array(table["t_ns"].to_numpy() + by_ns))


def hours_of(drives: Path, made: CompiledTriggers) -> Iterator[dict[str, pa.Table]]:
    """Simulated drives put together to drives of about an hour: rows by table, each right after the one before."""
    step_ns, columns = made.step_ms * 1_000_000, {READ[0]: ["clip_id", "t_ns", *canonical_of(made)]}
    folders = sorted(path.parent for path in drives.glob("*/made.json"))
    for first in range(0, len(folders), DRIVES_PER_HOUR):
        parts: dict[str, list[pa.Table]] = {}
        next_ns = 0
        for folder in folders[first : first + DRIVES_PER_HOUR]:
            tables = {
                name: pq.read_table(path, columns=columns.get(name))
                for name in READ
                if (path := folder / f"{name}.parquet").exists()
            }
            signals = tables[READ[0]]
            by_ns = next_ns - int(signals["t_ns"][0].as_py())
            for name, table in tables.items():
                parts.setdefault(name, []).append(_moved(table, by_ns))
            next_ns += signals.num_rows * step_ns
        yield {name: pa.concat_tables(found, promote_options="default") for name, found in parts.items()}


def lay_out(drives: Path, folder: Path, hours: float) -> dict[str, float]:
    """Write the files: drives of one hour put together of the simulated ones, over and over."""
    made, policies = compiled(), load_policies()
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    name = f"vehicles/{FULL_VEHICLE}"
    spec = parse_vehicle_spec(policies[name], policies.digest(name), canonical)
    names, spent = wanted(made), 0.0
    parts: list[dict[str, Floats]] = []
    for tables in hours_of(drives, made):
        signals, tracks = (tables.pop(table) for table in READ[:2])
        if not parts:
            drive_signals(signals, tracks, tables, spec, canonical, made)  # what a process pays once
        begun = time.process_time()
        joined = drive_signals(signals, tracks, tables, spec, canonical, made)
        spent += time.process_time() - begun
        parts.append({column: joined.column(column) for column in names})
    whole = {column: np.concatenate([part[column] for part in parts]) for column in names}
    rows = len(whole[names[0]])
    for number in range(round(hours)):
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
    return {"simulated_h": simulated_h, "joining_cpu_s": spent / simulated_h * hours}


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


def compare(drives: Path, hours: float, place: Path) -> None:
    """Lay the files out, measure both, print the ratio.

    Args:
        drives: Simulated drives.
        hours: Hours of signals.
        place: Where the files go.
    """
    laid = lay_out(drives, place, hours)
    own, _ = in_subprocess("benchmarks.triggers", "--ours", str(place))
    peer, _ = in_subprocess("benchmarks.triggers", "--duckdb", str(place))
    whole = own["cpu_s"] + laid["joining_cpu_s"]
    report(
        f"all shipped triggers, {own['rows']:,} rows ({laid['simulated_h']:.1f} h simulated)",
        [
            {"row": "all triggers", "cpu_s": own["cpu_s"], "memory_mb": own["memory_mb"]},
            {
                "row": "joining map, weather and tracked objects",
                "cpu_s": laid["joining_cpu_s"],
                "memory_mb": _peak_mb(),
            },
            {"row": f"DuckDB, {peer['signals']} windows", "cpu_s": peer["cpu_s"], "memory_mb": peer["memory_mb"]},
        ],
    )
    print(f"  events found: {own['events']}")
    print(
        f"  speed against DuckDB: {peer['cpu_s'] / own['cpu_s']:.2f}; with joining {peer['cpu_s'] / whole:.2f}", end=""
    )
    print(f" (at least {LEAST_SPEED}), memory {own['memory_mb']:.0f} MB (at most {MOST_MEMORY_MB})")


def triggers(folder: Path) -> None:
    """All shipped triggers over 1,000 h against one DuckDB scan; drives are made once and kept."""
    drives = KEPT / "triggers"
    make(drives, SEEDS)
    compare(drives, HOURS, folder)


if __name__ == "__main__":
    if sys.argv[1] in {"--ours", "--duckdb"}:
        side = ours if sys.argv[1] == "--ours" else duckdb_scan
        print(json.dumps(side(Path(sys.argv[2]))))
    else:
        with tempfile.TemporaryDirectory(prefix="fleet-bench-") as temporary:
            compare(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else HOURS, Path(temporary))  # noqa: PLR2004 - an argument
