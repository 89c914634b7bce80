"""Runs every operator's function on a few fixed drives and takes the digest of each output table."""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fleet_assets.ingestion.map_and_weather_enrichment.charts import Region, chart_of
from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import MAPS_FOLDER, landed_maps, landing_name
from fleet_assets.ingestion.map_and_weather_enrichment.state import (
    COVER_STEP,
    ENRICH_STEP,
    MATCH_STEP,
    READ_MAP_STEP,
    READ_WEATHER_STEP,
    WEATHER_STEP,
)
from fleet_assets.ingestion.map_and_weather_enrichment.weather_join import WEATHER_FOLDER, reports_for
from fleet_assets.ingestion.steps import (
    ALIGN_STEP,
    AUDIT_STEP,
    CATALOG_STEP,
    DAY_STEP,
    DECODE_STEP,
    DOCUMENT_STEP,
    FIND_STEP,
    HOLD_BACK_STEP,
    KEYFRAMES_STEP,
    REDACT_STEP,
    REFUSE_STEP,
    REGISTER_STEP,
    SWEEPS_STEP,
)
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.admission import Refusal
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.judgement import Breach
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.messages import id_key
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.steps import (
    COLLECT_STEP,
    RECEIVE_STEP,
    REFUSE_LINES_STEP,
)
from fleet_assets.ingestion.vehicle import vehicle_of
from fleet_assets.mining.scenario_mining.requests import place
from fleet_assets.mining.scenario_mining.units import unit_of
from fleet_assets.mining.steps import EVENTS_STEP, MINE_STEP, MINING_STEPS
from fleet_assets.operators import STEPS
from fleet_assets.policy.documents import digest_of, load_policies
from fleet_assets.provenance.batches import BatchFile
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.fingerprints import Operator, policy_digest
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.manifest import Manifest, ManifestFile, make_manifest
from fleet_assets.provenance.restate import Moved, Step, UnitTask
from fleet_assets.tables import all_tables
from fleet_assets.tables.gold import EVENT_WINDOWS
from fleet_assets.tables.maps import DRIVE_CELLS, ROAD_CELLS, ROAD_EDGES, WEATHER_DAYS, WEATHER_OBSERVATIONS
from resources.data_files import DataFiles, parquet_bytes
from resources.landing import LocalLanding
from resources.objects import LocalObjects
from resources.weights import WeightStore
from tests.golden.enrichment import write_map, write_weather
from tests.harness import COMMA_SPEC, utc_ns
from tests.lidar_factory import SPEC as LIDAR_SPEC
from tests.lidar_factory import write_lidar_drive
from tests.mdf4_factory import MDF4_VEHICLE, write_mdf4_drive, write_mdf4_vehicle
from tests.photo_factory import SPEC as PHOTO_SPEC
from tests.photo_factory import write_photo_drive
from tests.recordings_factory import write_comma2k19_drive
from tests.telemetry import HOUR, HOUR_NS, jsonl, message, write_probe

START_NS = utc_ns("2024-05-01T08:00:00")
PARTITION = ("2024-05-01", "north")
WRITER = "pyarrow"
DERIVED = (
    DECODE_STEP,
    FIND_STEP,
    HOLD_BACK_STEP,
    REDACT_STEP,
    AUDIT_STEP,
    ALIGN_STEP,
    SWEEPS_STEP,
)
BEHIND_EVENTS = (
    KEYFRAMES_STEP,
    CATALOG_STEP,
    DOCUMENT_STEP,
    *(one for one in MINING_STEPS if one is not EVENTS_STEP and one is not MINE_STEP),
)
EVENT_MS = (410, 730)
"""Start and peak of the event that the filmed drive is given: a camera alone has none of its own."""


@dataclass(frozen=True)
class Case:
    """One drive.

    Attributes:
        name: Drive id.
        spec: Vehicle spec.
        write: Writes the recording into a folder and returns its files by name.
        fixed_bytes: Whether the recording has the same bytes whenever it is written.
    """

    name: str
    spec: str
    write: Callable[[Path], Mapping[str, Path]]
    fixed_bytes: bool = True


def _clean(folder: Path) -> Mapping[str, Path]:
    return write_comma2k19_drive(folder, start_utc_ns=START_NS, seconds=15, seed=7)


def _faulty(folder: Path) -> Mapping[str, Path]:
    """A spike, samples out of range, a gap, and time that runs backward."""
    files = write_comma2k19_drive(folder, start_utc_ns=START_NS, seconds=15, seed=8)
    imu = folder / "processed_log" / "IMU"
    accel = np.load(imu / "accelerometer" / "value")
    accel[400, 0], accel[800:803, 1] = -64.0, 90.0
    gyro_t = np.load(imu / "gyro" / "t")
    gyro_t[500:] += 1.7
    gyro_t[900] -= 0.05
    for path, array in ((imu / "accelerometer" / "value", accel), (imu / "gyro" / "t", gyro_t)):
        with path.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
    return files


def _held(folder: Path) -> Mapping[str, Path]:
    """A drive that is quarantined, for want of a required sensor."""
    files = write_comma2k19_drive(folder, start_utc_ns=START_NS, seconds=15, seed=9)
    shutil.rmtree(folder / "processed_log" / "IMU" / "accelerometer")
    return {name: path for name, path in files.items() if path.exists()}


def _frozen(folder: Path) -> Mapping[str, Path]:
    """A gyroscope that stands while the car drives, and samples at the end of the accelerometer's scale."""
    files = write_comma2k19_drive(folder, start_utc_ns=START_NS, seconds=15, seed=11)
    imu = folder / "processed_log" / "IMU"
    gyro, accel = np.load(imu / "gyro" / "value"), np.load(imu / "accelerometer" / "value")
    gyro[400:900], accel[600:605, 0] = gyro[400], 20.0
    for path, array in ((imu / "gyro" / "value", gyro), (imu / "accelerometer" / "value", accel)):
        with path.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
    return files


def _logged(folder: Path) -> Mapping[str, Path]:
    return write_mdf4_drive(folder, start_utc_ns=START_NS, seconds=15, seed=10, files=2, compression=2)


def _scanned(folder: Path) -> Mapping[str, Path]:
    """Packets of a lidar, some of them broken."""
    return write_lidar_drive(folder, start_utc_ns=START_NS, seconds=3, broken=True)


def _filmed(folder: Path) -> Mapping[str, Path]:
    """A face that crosses the picture, goes unseen for a while, and a picture that is cut off."""
    return write_photo_drive(folder, start_utc_ns=START_NS, pictures=52, without_face=range(7, 12), damaged=(30,))


CASES = (
    Case("clean", COMMA_SPEC, _clean),
    Case("faulty", COMMA_SPEC, _faulty),
    Case("held", COMMA_SPEC, _held),
    Case("frozen", COMMA_SPEC, _frozen),
    Case("logged", MDF4_VEHICLE, _logged, fixed_bytes=False),  # asammdf writes the time of writing
    Case("filmed", PHOTO_SPEC, _filmed),
    Case("scanned", LIDAR_SPEC, _scanned, fixed_bytes=False),  # rosbags states its own version
)
TELEMETRY = (
    *[message(f"m{i}", START_NS + i, payload={"level": i, "note": "ok"}) for i in range(5)],
    *[message("shared", START_NS + hour * HOUR_NS) for hour in (0, 1)],
    message("depot", depot="mars"),
    message("schema", schema="nothing/1.0.0"),
    message("payload", payload={"level": 99}),
    message("m1", START_NS, payload={"level": 9}),
    message("m0", START_NS, payload={"level": 0, "note": "ok"}),
    message("old", 0),
    b"broken",
    b"{}",
)


REQUEST = {
    "schema": "fleet.mining_request/v1",
    "name": "golden",
    "where": ["duration_s > 1", "not exists (select 1 from scenes where scenes.clip_id = clips.clip_id and score > 2)"],
    "text": {"words": "daylight -parked", "meaning": "a drive by day", "nearest": 6},
    "budget": {"clips": 3, "seconds": 60},
    "quotas": {"filmed": {"where": "keyframes > 0", "max": 1}, "moving": {"where": "distance_m > 10", "min": 1}},
    "excludes": {"drives": ["nobody"]},
    "seed": 7,
}
"""A mining request over the cases."""


class GoldenRun:
    """Some drives through all operators, in order, without a lake: each output file is the next one's input."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_mdf4_vehicle(folder / "policies")
        write_probe(folder / "policies")
        self.policies = load_policies(folder / "policies")
        self.tables = all_tables(self.policies["canonical_signals"])
        self.files = DataFiles({})
        self.objects = LocalObjects(str(folder / "objects"), ("raw", "open"))
        self.outputs: dict[str, dict[str, str]] = {}
        self.regions: list[Region] = []
        self.days: dict[str, list[dict[str, Any]]] = {}
        self.observations: dict[str, Entry] = {}

    def run(self, cases: Sequence[Case] = CASES) -> dict[str, dict[str, Any]]:
        """Operator name → its version, and the digest of each output table by drive."""
        held = [self._drive(case) for case in cases]
        entries = {name: [own[name] for own in held] for name in DAY_STEP.operator.inputs}
        self._step(DAY_STEP, {}, {"entries": entries}, PARTITION[0])
        self._mine({case.name: own for case, own in zip(cases, held, strict=True) if case.fixed_bytes})
        refusal = Refusal("upload-1", None, "manifest_json", "list", "one JSON object", "Write the manifest again.")
        self._step(REFUSE_STEP, {}, {"refused": [{**asdict(refusal), "scope": "upload"}]}, "landing")
        self._telemetry()
        return {
            step.operator.name: {
                "version": step.operator.version,
                "policy": digest_of(
                    {case.spec: policy_digest(step.operator, self.policies, case.spec) for case in cases}
                ),
                "outputs": self.outputs[step.operator.name],
            }
            for step in STEPS
        }

    def _drive(self, case: Case) -> dict[str, Entry]:
        vehicle = vehicle_of(self.policies, case.spec, [self.folder / "policies" / "vehicles"])
        landing, manifest = self._upload(case)
        registration = {
            "manifest": manifest,
            "upload": case.name,
            "vehicle": vehicle,
            "landing": landing,
            "objects": self.objects,
            "first_day": "2024-04-01",
            "last_day": "2024-06-01",
        }
        entries: dict[str, Entry] = {}
        self._step(REGISTER_STEP, entries, registration, case.name, recorded=case.fixed_bytes)
        drive = self.files.read(self.tables["bronze.drives"], [entries["bronze.drives"]]).to_pylist()[0]
        assert drive["status"] == "landed", drive["reason"]
        context = {
            "drive": drive,
            "vehicle": vehicle,
            "objects": self.objects,
            "requests": [],
            "weights": WeightStore(self.policies),
        }
        for step in DERIVED:
            self._step(step, entries, context, case.name)
        self._enrich(entries, context, case)
        self._step(EVENTS_STEP, entries, context, case.name)
        if case.name == "filmed":
            entries[EVENT_WINDOWS.name] = self._event(case, entries)
        for step in BEHIND_EVENTS:
            self._step(step, entries, context, case.name)
        return entries

    def _event(self, case: Case, entries: Mapping[str, Entry]) -> Entry:
        clip = self.files.read(self.tables["silver.clips"], [entries["silver.clips"]]).to_pylist()[0]["clip_id"]
        start_ns, peak_ns = (START_NS + at * 1_000_000 for at in EVENT_MS)
        shares = dict.fromkeys(("score", "rarity", "uncertainty", "disagreement", "diversity"), 0.5)
        row = {
            "drive_id": case.name, "day": PARTITION[0], "depot": PARTITION[1], "event_id": "golden", "clip_id": clip,
            "trigger": "golden", "start_ns": start_ns, "peak_ns": peak_ns, "end_ns": peak_ns + 1, "value": None,
            "unit": "1", "cut": False, **shares, "ttc_s": None, "thw_s": None, "drac_mps2": None,
            "rss_violated": None, "policy_version": "1.0.0", "policy_digest": "0" * 64,
        }  # fmt: skip
        made = EVENT_WINDOWS.from_rows([row])
        return self.files.stage(str(self.folder / EVENT_WINDOWS.name), (), case.name, "0" * 24, made)

    def _mine(self, held: Mapping[str, Mapping[str, Entry]]) -> None:
        """One request with everything that can be asked, over the drives whose recordings have fixed bytes."""
        request = place(REQUEST, held, [], "file:golden", [])
        context = {
            "request": request,
            "entries": {name: [own[name] for own in held.values()] for name in MINE_STEP.operator.inputs},
            "earlier": [],
            "objects": self.objects,
            "weights": WeightStore(self.policies),
        }
        self._step(MINE_STEP, {}, context, unit_of(request.request_id))

    def _enrich(self, entries: dict[str, Entry], context: Mapping[str, Any], case: Case) -> None:
        """Workflow 5: the clean drive lies on a map and near a station, the others on none."""
        self._step(COVER_STEP, entries, context, case.name)
        cells = self.files.read(DRIVE_CELLS, [entries[DRIVE_CELLS.name]]).to_pylist()
        if case.name == "clean":
            self._land_map_and_weather(self.files.read(self.tables["silver.signals"], [entries["silver.signals"]]))
        chart = chart_of(cells, self.regions)
        self._step(MATCH_STEP, entries, {**context, "chart": chart}, case.name)
        reports = reports_for(cells, self.days, self.observations, self.policies["weather"]["join"])
        self._step(WEATHER_STEP, entries, {**context, "reports": reports}, case.name)
        self._step(ENRICH_STEP, entries, context, case.name)

    def _land_map_and_weather(self, signals: pa.Table) -> None:
        landing = LocalLanding(self.folder / "landing")
        source = self.folder / "source"
        write_map(source, signals)
        landing.put_batch(source, MAPS_FOLDER, partial(landing_name, "golden", "2024-01-01"))
        (landed,) = landed_maps(landing.batches(MAPS_FOLDER))
        made: dict[str, Entry] = {}
        self._step(READ_MAP_STEP, made, {"landed": landed, "landing": landing}, landed.snapshot)
        digests = {
            row["cell"]: row["digest"] for row in self.files.read(ROAD_CELLS, [made[ROAD_CELLS.name]]).to_pylist()
        }
        self.regions = [Region("golden", landed.as_of, made[ROAD_EDGES.name], digests)]
        write_weather(source, signals)
        landing.put_batch(source, WEATHER_FOLDER, lambda sha256: "golden.csv")
        (file,) = landing.batches(WEATHER_FOLDER)
        made = {}
        self._step(READ_WEATHER_STEP, made, {"file": file, "landing": landing}, "weather")
        self.days = {"weather": self.files.read(WEATHER_DAYS, [made[WEATHER_DAYS.name]]).to_pylist()}
        self.observations = {"weather": made[WEATHER_OBSERVATIONS.name]}

    def _telemetry(self) -> None:
        """One batch: messages of two hours that share an id, one of each kind that is held back, and broken lines."""
        landing = LocalLanding(self.folder / "landing")
        source = self.folder / "batch"
        source.write_bytes(jsonl(TELEMETRY))
        name, sha256 = landing.put_batch(source)
        receipt = {
            "batches": [(BatchFile(name, source.stat().st_size, "stamp"), sha256)],
            "landing": landing,
            "received_day": PARTITION[0],
        }
        entries: dict[str, Entry] = {}
        self._step(RECEIVE_STEP, entries, receipt, "receipt")
        lines = entries["bronze.telemetry_lines"]
        hour = {
            "sources": [(lines, [HOUR, "2024-05-01-09:00"])],
            "shared_ids": (id_key("shared"),),
            "depots": (PARTITION[1],),
        }
        self._step(COLLECT_STEP, entries, hour, HOUR)
        outside = {"1970-01-01-00:00": Breach("before_first_day", "1970-01-01-00:00", "2024-04-01 or later")}
        self._step(REFUSE_LINES_STEP, entries, {"sources": [(lines, outside)]}, "telemetry")

    def _upload(self, case: Case) -> tuple[LocalLanding, Manifest]:
        files = case.write(self.folder / "landing" / case.name)
        listed = [ManifestFile(name, path.stat().st_size, file_sha256(path)) for name, path in sorted(files.items())]
        document = {
            "schema": "fleet.manifest/v1",
            "drive_id": case.name,
            "vehicle_id": "car1",
            "vehicle_spec": case.spec,
            "depot": PARTITION[1],
            "start_ns": START_NS,
            "time_source": "gnss",
            "files": [{"path": f.path, "bytes": f.size_bytes, "sha256": f.sha256} for f in listed],
        }
        return LocalLanding(self.folder / "landing"), make_manifest(document)

    def _step(
        self, step: Step, entries: dict[str, Entry], context: Mapping[str, Any], unit: str, *, recorded: bool = True
    ) -> None:
        inputs = {name: entries[name] for name in step.operator.inputs if name in entries}
        task = UnitTask(unit, PARTITION, inputs, context, self.policies, self.tables, self.files)
        computed = step.compute(task)
        tables = computed.outputs if isinstance(computed, Moved) else computed
        digests = self.outputs.setdefault(step.operator.name, {})
        for name, data in tables.items():
            conformed = self.tables[name].conform(data)
            entries[name] = self.files.stage(str(self.folder / name), (), unit, "0" * 24, conformed)
            if recorded:
                digests[f"{unit}: {name}"] = hashlib.sha256(parquet_bytes(conformed)).hexdigest()


def libraries(operators: Sequence[Operator]) -> dict[str, str]:
    """Versions of the numeric libraries that the operators name, and of the file writer."""
    names = {WRITER, *(name for operator in operators for name in operator.libraries)}
    return {name: metadata.version(name) for name in sorted(names)}
