"""Every format takes the same way: the same drive gives the same silver tables, whatever happened on the way."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from fleet_assets.provenance.requests import Request
from tests.end_to_end.fleets import assert_at_rest, reachable_objects
from tests.end_to_end.killed_ingest import DRIVE_ID
from tests.end_to_end.test_kill import kill_at
from tests.formats_factory import (
    CAN_FORMATS,
    CAN_VEHICLE,
    TOPIC_FORMATS,
    TOPIC_VEHICLE,
    write_can_drive,
    write_can_vehicle,
    write_topic_drive,
    write_topic_vehicle,
)
from tests.harness import TestFleet, utc_ns
from tests.photo_factory import SPEC as PHOTO_VEHICLE
from tests.photo_factory import write_photo_drive
from tests.tracks_factory import OTHER_FORMATS, write_other, write_other_vehicle

SILVER: Final = ("silver.signals", "silver.clips", "silver.radar_tracks")
PHOTOS: Final = "images"
"""A folder of pictures in which a face is seen."""
EVERY: Final = tuple(dict.fromkeys([*CAN_FORMATS, *OTHER_FORMATS, PHOTOS]))
QUICK: Final = ("mcap", "csv", PHOTOS)


def fleet_in(home: Path, *, durable: bool = False) -> TestFleet:
    """A fleet that knows the factory's vehicles."""
    fleet = TestFleet(home, durable=durable)
    write_can_vehicle(fleet.fleet.settings.policies)
    write_topic_vehicle(fleet.fleet.settings.policies)
    for format in OTHER_FORMATS:
        write_other_vehicle(fleet.fleet.settings.policies, format)
    fleet.fleet.forget()
    return fleet


def silver(fleet: TestFleet) -> dict[str, str]:
    roots = fleet.digests()
    return {name: roots[name] for name in SILVER}


@pytest.mark.parametrize(
    ("formats", "vehicle", "write"),
    [(CAN_FORMATS, CAN_VEHICLE, write_can_drive), (TOPIC_FORMATS, TOPIC_VEHICLE, write_topic_drive)],
    ids=["CAN frames", "ROS topics"],
)
def test_the_same_drive_gives_the_same_silver_tables_in_every_format(
    tmp_path: Path, formats: tuple[str, ...], vehicle: str, write: Callable[..., Path]
) -> None:
    fleet = fleet_in(tmp_path / "home")
    found = {}
    for revision, name in enumerate(formats):
        recording = write(tmp_path / name, name, start_utc_ns=utc_ns("2024-05-01T08:00:00"))
        fleet.upload(recording, spec=vehicle, drive_id="one", revision=revision)
        fleet.turn()
        assert fleet.sql("select format, status from bronze.drives") == [{"format": name, "status": "landed"}]
        assert set(fleet.gates().values()) == {"pass"}, name
        found[name] = silver(fleet)
    assert fleet.sql("select count(*) as n from silver.signals where speed_mps is not null")[0]["n"] > 100
    different = {name: roots for name, roots in found.items() if roots != found[formats[0]]}
    assert different == {}


def vehicle_of(format: str) -> str:
    if format in OTHER_FORMATS:
        return f"factory_{format}"
    if format == PHOTOS:
        return PHOTO_VEHICLE
    return TOPIC_VEHICLE if format in TOPIC_FORMATS else CAN_VEHICLE


@dataclass(frozen=True)
class Trip:
    """One drive of the turbulent fleet."""

    drive_id: str
    start: str
    depot: str
    seed: int
    revision: int = 0

    def record(self, folder: Path, format: str) -> Path:
        """The recording's folder, written when it is not there yet."""
        path = folder / f"{self.drive_id}-{self.revision}"
        if path.exists():
            return path
        start_ns = utc_ns(self.start)
        if format in OTHER_FORMATS:
            path.mkdir(parents=True)
            # A film is told from another by its number of frames only; each fifth of them is searched for faces.
            rows = (75.0 if format == "mp4" else 750.0) + self.seed
            write_other(path, format, start_utc_ns=start_ns, seconds=rows, seed=self.seed)
        elif format == PHOTOS:
            write_photo_drive(path, start_utc_ns=start_ns, pictures=12, seed=self.seed)
        else:
            write = write_topic_drive if format in TOPIC_FORMATS else write_can_drive
            write(path, format, start_utc_ns=start_ns, seed=self.seed)
        return path

    def upload(self, fleet: TestFleet, folder: Path, format: str, recording: Path | None = None) -> None:
        """Put the drive, or the recording of another, into the landing zone."""
        path = self.record(folder, format) if recording is None else recording
        fleet.upload(
            path,
            spec=vehicle_of(format),
            depot=self.depot,
            drive_id=self.drive_id,
            revision=self.revision,
            given_start_ns=utc_ns(self.start) if format == "mp4" else None,
        )


A: Final = Trip("a", "2024-05-01T08:00:00", "north", 1)
B: Final = Trip("b", "2024-05-01T09:00:00", "north", 2)
C: Final = Trip("c", "2024-05-02T08:00:00", "south", 3)
GONE: Final = Trip("gone", "2024-05-01T10:00:00", "north", 4)
CORRECTED: Final = replace(A, seed=7, revision=1)


@pytest.mark.parametrize(
    "format",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in EVERY],
)
def test_order_duplicates_corrections_late_and_withdrawn_drives_leave_no_trace(tmp_path: Path, format: str) -> None:
    recordings = tmp_path / "recordings"
    calm = fleet_in(tmp_path / "calm")
    for trip in (CORRECTED, B, C):
        trip.upload(calm, recordings, format)
    calm.turn()
    assert_at_rest(calm)
    fleet = fleet_in(tmp_path / "turbulent")
    for trip in (GONE, B, A):
        trip.upload(fleet, recordings, format)
    fleet.turn()
    C.upload(fleet, recordings, format)
    CORRECTED.upload(fleet, recordings, format)
    replace(B, drive_id="b_again").upload(fleet, recordings, format, recordings / "b-0")
    body = {"drive_id": GONE.drive_id, "revision": 0, "reason": "a test"}
    fleet.fleet.requests.append(Request("withdrawal", body, "person:tester"))
    fleet.turn()
    assert_at_rest(fleet)
    assert fleet.digests() == calm.digests()
    assert reachable_objects(fleet) == reachable_objects(calm)
    assert fleet.turn() == []


@pytest.mark.slow
@pytest.mark.parametrize("format", EVERY)
def test_a_drive_of_any_format_survives_kills_inside_copy_write_and_commit(tmp_path: Path, format: str) -> None:
    recording, spec = A.record(tmp_path / "recordings", format), vehicle_of(format)
    calm = fleet_in(tmp_path / "calm")
    given_ns = utc_ns(A.start) if format == "mp4" else None
    calm.upload(recording, spec=spec, drive_id=DRIVE_ID, given_start_ns=given_ns)
    calm.turn()
    home = tmp_path / "killed"
    fleet = fleet_in(home, durable=True)
    for moment, number in (("copy.middle", 1), ("write.middle", 4), ("commit.unpointed", 3), ("commit.after", 5)):
        kill_at(home, recording, tmp_path / moment, moment, number, spec=spec, given_start_ns=given_ns)
    fleet.upload(recording, spec=spec, drive_id=DRIVE_ID, given_start_ns=given_ns)
    fleet.turn()
    assert fleet.digests() == calm.digests()
    assert reachable_objects(fleet) == reachable_objects(calm)
    assert_at_rest(fleet)
