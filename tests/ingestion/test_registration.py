"""Registering one drive: landed with its true start, or rejected with a reason; never dropped, never half."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fleet_assets.ingestion.recordings.dbc import DbcNotFoundError
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.operators import SUMMARISE_DAY, refuse, summarise_day
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.register import register_drive
from fleet_assets.ingestion.vehicle import vehicle_of
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.manifest import Manifest, ManifestFile, make_manifest
from fleet_assets.provenance.restate import Moved, UnitTask
from fleet_assets.tables import all_tables
from resources.landing import LocalLanding
from resources.objects import LocalObjects
from tests.harness import COMMA_SPEC, utc_ns
from tests.memory_lake import MemoryFiles
from tests.recordings_factory import write_comma2k19_drive

POLICIES = load_policies()
TABLES = all_tables(POLICIES["canonical_signals"])
START_NS = utc_ns("2024-05-01T08:00:00")
HOUR_NS = 3_600_000_000_000
PARTITION: Partition = ("2024-05-01", "north")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording") / "drive"
    write_comma2k19_drive(folder, start_utc_ns=START_NS, seconds=5)
    return folder


@dataclass
class Upload:
    """One upload in a landing zone of its own, and what registration makes of it."""

    folder: Path
    recording: Path
    stated_start_ns: int = START_NS
    overrides: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.landing = LocalLanding(self.folder / "landing")
        self.objects = LocalObjects(str(self.folder / "objects"), ("raw",))
        self.drive = self.folder / "landing" / "u1"
        shutil.copytree(self.recording, self.drive)

    def manifest(self) -> Manifest:
        """What the files are now."""
        paths = sorted(path for path in self.drive.rglob("*") if path.is_file())
        files = [ManifestFile(str(p.relative_to(self.drive)), p.stat().st_size, file_sha256(p)) for p in paths]
        return make_manifest(
            {
                "schema": "fleet.manifest/v1",
                "drive_id": "d1",
                "revision": 3,
                "vehicle_id": "car1",
                "vehicle_spec": COMMA_SPEC,
                "depot": "north",
                "start_ns": self.stated_start_ns,
                "time_source": "gnss",
                "files": [{"path": f.path, "bytes": f.size_bytes, "sha256": f.sha256} for f in files],
            }
        )

    def register(self, manifest: Manifest | None = None) -> Mapping[str, pa.Table] | Moved:
        """Run the operator's function."""
        made = manifest or self.manifest()
        context = {
            "manifest": made,
            "upload": "u1",
            "vehicle": vehicle_of(POLICIES, COMMA_SPEC, []),
            "landing": self.landing,
            "objects": self.objects,
            "first_day": "2024-04-01",
            "last_day": "2024-06-01",
        }
        task = UnitTask(
            "d1", (made.day, made.depot), {}, {**context, **self.overrides}, POLICIES, TABLES, MemoryFiles()
        )
        return register_drive(task)

    def row(self, manifest: Manifest | None = None) -> dict[str, Any]:
        """The drive's row."""
        made = self.register(manifest)
        outputs = made.outputs if isinstance(made, Moved) else made
        (row,) = outputs["bronze.drives"].to_pylist()
        return dict(row)

    def rejection(self, manifest: Manifest | None = None) -> str:
        """Why the drive was rejected; it has no files then."""
        made = self.register(manifest)
        assert not isinstance(made, Moved)
        assert made["bronze.drive_files"].num_rows == 0
        (row,) = made["bronze.drives"].to_pylist()
        assert row["status"] == "rejected"
        assert (row["day"], row["depot"], row["drive_id"], row["revision"]) == (*PARTITION, "d1", 3)
        return str(row["reason"])


@pytest.fixture
def upload(recording: Path, tmp_path: Path) -> Upload:
    return Upload(tmp_path, recording)


def test_a_drive_lands_with_the_start_of_its_gnss_and_all_its_files(upload: Upload) -> None:
    manifest = upload.manifest()
    made = upload.register()
    assert not isinstance(made, Moved)
    (row,) = made["bronze.drives"].to_pylist()
    assert (row["status"], row["reason"], row["time_source"], row["format"]) == ("landed", None, "gnss", "comma2k19")
    assert abs(row["start_ns"] - START_NS) < 200_000_000
    assert row["duration_s"] == pytest.approx(5, abs=0.3)
    assert row["end_ns"] - row["start_ns"] == pytest.approx(row["duration_s"] * 1e9)
    assert (row["bytes"], row["manifest_sha256"]) == (manifest.size_bytes, manifest.sha256)
    files = made["bronze.drive_files"].to_pylist()
    assert {file["path"]: file["sha256"] for file in files} == {file.path: file.sha256 for file in manifest.files}
    assert all(upload.objects.exists(file["sha256"], "raw") for file in files)


def test_registering_again_gives_the_same_rows_even_when_the_upload_was_cleared(upload: Upload) -> None:
    manifest = upload.manifest()
    first = upload.row(manifest)
    shutil.rmtree(upload.drive)
    assert upload.row(manifest) == first


def test_a_drive_that_began_on_another_day_than_its_manifest_says_goes_there(upload: Upload) -> None:
    upload.stated_start_ns = START_NS + 20 * HOUR_NS
    made = upload.register()
    assert isinstance(made, Moved)
    assert made.partition == PARTITION
    assert made.outputs["bronze.drives"]["day"].to_pylist() == ["2024-05-01"]
    assert set(made.outputs["bronze.drive_files"]["day"].to_pylist()) == {"2024-05-01"}


@pytest.mark.parametrize(("first", "last"), [("2024-05-02", "2024-06-01"), ("2024-04-01", "2024-04-30")])
def test_a_corrected_start_outside_the_fleets_days_is_rejected_with_the_remedy(
    upload: Upload, first: str, last: str
) -> None:
    upload.overrides = {"first_day": first, "last_day": last}
    reason = upload.rejection()
    assert "corrected_start_out_of_range: found 2024-05-01 by gnss" in reason
    assert f"{first} to {last}" in reason
    assert "first_day" in reason


def test_a_file_whose_bytes_changed_on_the_way_is_named(upload: Upload) -> None:
    manifest = upload.manifest()
    target = upload.drive / "processed_log" / "IMU" / "gyro" / "value"
    content = bytearray(target.read_bytes())
    content[-1] ^= 1
    target.write_bytes(content)
    reason = upload.rejection(manifest)
    assert reason.startswith("sha256_mismatch: value: sha256 is ")
    assert "Upload the file again" in reason


def test_a_file_that_was_cut_short_is_named(upload: Upload) -> None:
    manifest = upload.manifest()
    target = upload.drive / "processed_log" / "IMU" / "gyro" / "value"
    target.write_bytes(target.read_bytes()[:-8])
    assert upload.rejection(manifest).startswith("size_mismatch: value: size is ")


def test_a_file_that_never_arrived_is_named(upload: Upload) -> None:
    manifest = upload.manifest()
    (upload.drive / "processed_log" / "IMU" / "gyro" / "value").unlink()
    reason = upload.rejection(manifest)
    assert reason.startswith("missing_file: found processed_log/IMU/gyro/value")
    assert "fleet replay" in reason


def test_a_link_to_another_file_of_the_machine_is_not_followed(upload: Upload, tmp_path: Path) -> None:
    target = upload.drive / "processed_log" / "IMU" / "gyro" / "value"
    target.replace(tmp_path / "elsewhere")
    target.symlink_to(tmp_path / "elsewhere")
    assert upload.rejection().startswith("path_traversal: ")


def test_a_recording_without_any_clock_is_rejected_and_says_how_to_give_one(upload: Upload) -> None:
    gnss = upload.drive / "processed_log" / "GNSS" / "live_gnss_ublox"
    value = np.load(gnss / "value")
    value[:, 3] = 0
    with (gnss / "value").open("wb") as stream:
        np.save(stream, value)
    assert "--start" in upload.rejection()


def test_a_recording_that_is_none_is_rejected(upload: Upload) -> None:
    shutil.rmtree(upload.drive)
    upload.drive.mkdir()
    (upload.drive / "notes.txt").write_text("no recording")
    assert upload.rejection()


def test_a_vehicle_whose_can_database_is_nowhere_is_rejected_with_where_to_put_it(upload: Upload) -> None:
    upload.overrides = {
        "vehicle": DbcNotFoundError("adas: no file adas.dbc. Put it into FLEET_HOME/policies/vehicles.")
    }
    reason = upload.rejection()
    assert reason.startswith("missing_dbc: ")
    assert "Put it into FLEET_HOME/policies/vehicles" in reason


# -- the landing quarantine and the daily roll-up ----------------------------------------------------------------------


def summary(drives: list[str], held: list[tuple[str, str | None]], speeds: Mapping[str, list[float | None]]) -> Any:
    files = MemoryFiles()
    tables = {name: TABLES[name] for name in SUMMARISE_DAY.inputs}

    def stage(name: str, depot: str, rows: list[dict[str, Any]]) -> Any:
        keys = {"day": PARTITION[0], "depot": depot}
        nothing: dict[str, Any] = {
            field.name: None if field.nullable else ("" if pa.types.is_string(field.type) else 0)
            for field in tables[name].arrow_schema
        }
        whole = [{**nothing, **keys, **row} for row in rows]
        return files.stage(name, (), depot, "0" * 24, tables[name].from_rows(whole))

    depots = sorted({drive.split("-")[0] for drive in drives})
    entries = {
        "bronze.drives": [
            stage("bronze.drives", d, [{"drive_id": x} for x in drives if x.startswith(d)]) for d in depots
        ],
        "bronze.quarantine": [
            stage(
                "bronze.quarantine",
                drive.split("-")[0],
                [{"drive_id": drive, "scope": "drive", "rule": rule, "released_by": by} for rule in ("a", "b")],
            )
            for drive, by in held
        ],
        "silver.signals": [
            stage(
                "silver.signals",
                drive.split("-")[0],
                [{"drive_id": drive, "t_ns": n, "speed_mps": v} for n, v in enumerate(values)],
            )
            for drive, values in speeds.items()
        ],
    }
    task = UnitTask(PARTITION[0], (PARTITION[0],), {}, {"entries": entries}, POLICIES, TABLES, files)
    return {row["depot"]: row for row in summarise_day(task)["ops.daily_coverage"].to_pylist()}


def test_a_day_is_summed_by_depot_and_over_the_fleet() -> None:
    rows = summary(
        ["north-1", "north-2", "south-1"],
        [("north-2", None), ("south-1", "person:ann")],
        {"north-1": [10.0, 20.0, None, 30.0], "south-1": [-36.0]},
    )
    assert set(rows) == {"north", "south", "*"}
    assert {depot: (row["drives"], row["quarantined"]) for depot, row in rows.items()} == {
        "north": (2, 1),
        "south": (1, 0),
        "*": (3, 1),
    }
    assert {row["depots_reported"] for row in rows.values()} == {2}
    grid_s = POLICIES["canonical_signals"]["grid_ms"] / 1000
    assert rows["north"]["distance_km"] == pytest.approx(60 * grid_s / 1000)
    assert rows["south"]["distance_km"] == pytest.approx(36 * grid_s / 1000)
    assert rows["*"]["hours"] == pytest.approx(5 * grid_s / 3600, abs=1e-6)


def test_a_day_without_drives_has_no_rows() -> None:
    assert summary([], [], {}) == {}


def test_refused_uploads_are_listed_with_rule_and_remedy() -> None:
    refused = {
        "upload": "u1", "drive_id": None, "scope": "upload", "rule": "manifest_json", "value": "[]",
        "limit": "one JSON object", "remedy": "Write the manifest again.",
    }  # fmt: skip
    task = UnitTask("landing", (), {}, {"refused": [refused]}, POLICIES, TABLES, MemoryFiles())
    assert refuse(task)["landing.quarantine"].to_pylist() == [refused]
