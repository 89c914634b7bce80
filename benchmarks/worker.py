"""Jobs that the benchmarks measure in a process of their own: `python -m benchmarks.worker JOB ARGUMENTS`."""

import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers import DECODED, asammdf_frames

J1939_GROUP = 0x03FFFF00
"""Bits of an id that name its parameter group (SAE J1939-21); priority and source vary from vehicle to vehicle."""
WHOLE_ID = 0x1FFFFFFF
FIRST_DAY = {"husky": "2015-05-01"}
"""First days of fleets whose recording is older than the usual one: ticks cost more with every day."""


def nothing() -> dict[str, Any]:
    """Only start, with the imports that the platform makes."""
    import fleet_assets.build  # noqa: F401
    import resources.iceberg  # noqa: F401

    return {}


def library_decode(recording: str, spec: str) -> dict[str, Any]:
    """Decode every message of the buses that the spec uses with the libraries alone, frame by frame."""
    import cantools

    from fleet_assets.ingestion.recordings.dbc import dbc_folders
    from fleet_assets.ingestion.recordings.discovery.discover import discover
    from fleet_assets.ingestion.vehicle import vehicle_of
    from fleet_assets.policy.documents import load_policies

    root = Path(recording)
    found = discover(root)[0][0]
    if found.format in DECODED:
        path = next(path for name, path in sorted(found.files.items()) if not name.endswith(".yaml"))
        start = time.process_time()
        count = DECODED[found.format][1](path)
        return {"all": count, "decoded": count, "cpu_s": time.process_time() - start}
    vehicle = vehicle_of(load_policies(), spec, dbc_folders(root))
    known: dict[int | None, dict[int, Any]] = {}
    masks: dict[int | None, int] = {}
    for sensor in vehicle.spec.sensors.values():
        if sensor.dbc is None:
            continue
        masks[sensor.bus] = J1939_GROUP if vehicle.spec.dbc[sensor.dbc].by_parameter_group else WHOLE_ID
        database: Any = cantools.database.load_string(vehicle.dbcs[sensor.dbc].text, strict=False)
        known[sensor.bus] = {message.frame_id & masks[sensor.bus]: message for message in database.messages}
    read = _asammdf_frames if found.format == "mdf4" else _own_frames
    next(read(found.files))  # imports are not what is compared
    frames = read(found.files)
    messages: Counter[str] = Counter()
    start = time.process_time()
    for count, *columns in frames:
        messages["all"] += count
        for bus, can_id, length, data in zip(*columns, strict=True):
            key = bus if bus in known else None
            message = known[key].get(can_id & masks[key]) if key in known else None
            if message is not None:
                message.decode(data[:length].tobytes(), decode_choices=False, allow_truncated=True)
                messages["decoded"] += 1
    return {**messages, "cpu_s": time.process_time() - start}


Frames = Iterator[tuple[Any, ...]]
"""Messages of a stretch, and of the CAN frames among them bus, id, length and data."""


def _asammdf_frames(files: Mapping[str, Path]) -> Frames:
    for path in files.values():
        for frames in asammdf_frames(path):
            names = ("BusChannel", "ID", "DataLength")
            columns = (frames[f"CAN_DataFrame.{name}"].astype("i8").tolist() for name in names)
            yield len(frames), *columns, frames["CAN_DataFrame.DataBytes"]


def _own_frames(files: Mapping[str, Path]) -> Frames:
    """Arrays of frames have no library beyond NumPy, which is what reads them here."""
    from fleet_assets.ingestion.recordings.open import open_recording

    for batch in open_recording(files).batches():
        names = ("bus", "can_id", "length", "data")
        is_can = "can_id" in batch.columns
        columns = [batch.columns[name] if is_can else batch.t_ns[:0] for name in names]
        yield len(batch), *(column.tolist() for column in columns[:3]), columns[3]


def vector_decode(recording: str, spec: str) -> dict[str, Any]:
    """Decode with this project's own vectorised decoder, nothing else: the stricter yardstick."""
    from fleet_assets.ingestion.recordings.dbc import dbc_folders
    from fleet_assets.ingestion.recordings.discovery.discover import discover
    from fleet_assets.ingestion.recordings.open import open_recording
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.decode import decode_drive
    from fleet_assets.ingestion.vehicle import vehicle_of
    from fleet_assets.policy.documents import load_policies

    root = Path(recording)
    vehicle = vehicle_of(load_policies(), spec, dbc_folders(root))
    opened = open_recording(discover(root)[0][0].files)
    keys = {"drive_id": "x", "day": "2020-01-01", "depot": "x"}
    start = time.process_time()
    samples, _ = decode_drive(
        opened, vehicle.spec, vehicle.canonical, vehicle.dbcs, clock_offset_ns=0, drive_columns=keys
    )
    return {"samples": samples.num_rows, "cpu_s": time.process_time() - start}


def land(home: str, recording: str, spec: str, passes: str) -> dict[str, Any]:
    """Landing to silver for one recording, again and again; the first pass starts workers and imports."""
    from fleet_assets.ingestion.recordings.dbc import dbc_folders
    from tests.harness import TestFleet

    fleet = TestFleet(Path(home), first_day=FIRST_DAY.get(spec, "2018-01-01"), durable=True)
    root, turns = Path(recording), []
    for number in range(1 + int(passes)):
        vehicle, depot = f"vehicle{number}", ("north", "south")[number % 2]
        fleet.upload(root, spec=spec, dbc_folders=dbc_folders(root), vehicle_id=vehicle, depot=depot)
        turns.append(_turn(fleet))
    return {"first": turns[0], "warm": turns[1:]}


DRIVES = "select status from bronze.drive_status"
FIRST_OUTPUTS = (
    "bronze/drive_files",
    "bronze/sensor_streams",
    "bronze/integrity_findings",
    "bronze/quarantine",
    "silver/clips",
)
"""One output of each operator on the way to silver: all outputs of an operator report the same CPU seconds."""


def _turn(fleet: Any) -> dict[str, Any]:
    start = time.process_time()
    runs = fleet.turn()
    main_cpu_s = time.process_time() - start
    by_operator = {name: sum(run.worker_cpu_s.get(name, 0.0) for run in runs) for name in FIRST_OUTPUTS}
    return {
        "runs": len(runs),
        "main_cpu_s": main_cpu_s,
        "worker_cpu_s": sum(by_operator.values()),
        "by_operator": by_operator,
        "ok": all(run.success for run in runs) and all(row["status"] == "clean" for row in fleet.sql(DRIVES)),
    }


def many(home: str, count: str) -> dict[str, Any]:
    """Landing to silver for many short synthetic drives over five days and two depots."""
    from tests.harness import TestFleet

    folder = Path(home)
    fleet = TestFleet(folder / "home", durable=True)
    fleet.upload_synthetic(folder / "warm", "2024-05-06T00:00:00", seed=9999, seconds=12.0)
    _turn(fleet)
    for index in range(int(count)):
        day, depot = index % 5 + 1, ("north", "south")[index % 2]
        start = f"2024-05-{day:02d}T{index // 60 % 24:02d}:{index % 60:02d}:00"
        fleet.upload_synthetic(folder / f"drive{index}", start, seed=index, seconds=12.0, depot=depot)
    return _turn(fleet)


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    function.__name__: function for function in (nothing, library_decode, vector_decode, land, many)
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(JOBS[sys.argv[1]](*sys.argv[2:])))
