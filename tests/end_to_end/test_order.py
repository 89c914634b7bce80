"""The order in which drives arrive, and what is said about them twice, late or again, leaves no trace in the tables."""

import json
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fleet_assets.provenance.requests import Request
from tests.end_to_end.fleets import SIX, Drive, assert_at_rest, reachable_objects
from tests.harness import TestFleet, utc_ns

TWO = (SIX[0], SIX[4])


@dataclass(frozen=True)
class Outcome:
    """What is compared: roots of all tables, and the recordings that they refer to."""

    roots: Mapping[str, str]
    objects: Mapping[str, str]


def outcome(fleet: TestFleet) -> Outcome:
    assert_at_rest(fleet)
    return Outcome(fleet.digests(), reachable_objects(fleet))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Callable[[Sequence[Drive]], Outcome]:
    """Outcome of a fleet that saw these drives once, one after the other; each set is built once."""
    known: dict[tuple[Drive, ...], Outcome] = {}

    def built(drives: Sequence[Drive]) -> Outcome:
        key = tuple(drives)
        if key not in known:
            fleet = TestFleet(tmp_path_factory.mktemp("in_order"))
            for drive in key:
                drive.upload(fleet, recordings)
            fleet.turn()
            known[key] = outcome(fleet)
        return known[key]

    return built


def upload_again(fleet: TestFleet, drive: Drive) -> str:
    """Copy a drive's upload under another name, as a logger does that lost the acknowledgement."""
    landing = fleet.home / "landing"
    again = f"again-{drive.drive_id}"
    shutil.copytree(landing / f"{drive.drive_id}-r{drive.revision}", landing / again)
    return again


def withdraw(fleet: TestFleet, drive: Drive) -> None:
    """Ask for a drive to be taken out, as `fleet withdraw` does."""
    body = {"drive_id": drive.drive_id, "revision": drive.revision, "reason": "a test"}
    fleet.fleet.requests.append(Request("withdrawal", body, "person:tester"))


def test_two_drives_in_reverse_one_twice_and_one_late_are_the_same_fleet(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome]
) -> None:
    fleet = TestFleet(tmp_path)
    early, late = TWO[1], TWO[0]
    early.upload(fleet, recordings)
    again = upload_again(fleet, early)
    fleet.turn()
    late.upload(fleet, recordings)
    fleet.turn()
    assert outcome(fleet) == in_order(TWO)
    assert fleet.sql("select upload, event, detail from bronze.ingestion_log where event = 'duplicate'") == [
        {"upload": again, "event": "duplicate", "detail": f"same upload as {early.drive_id}-r0"}
    ]
    assert fleet.turn() == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_with_turns_in_between_gives_the_same_tables(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome], seed: int
) -> None:
    drives = list(SIX)
    random.Random(seed).shuffle(drives)  # noqa: S311 - an order of arrival
    fleet = TestFleet(tmp_path)
    for number, drive in enumerate(drives):
        drive.upload(fleet, recordings)
        if number % 2 == seed % 2:
            fleet.turn()
    fleet.turn()
    assert outcome(fleet) == in_order(SIX)


@pytest.mark.slow
def test_every_upload_twice_changes_nothing_and_is_logged(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome]
) -> None:
    fleet = TestFleet(tmp_path)
    for drive in SIX:
        drive.upload(fleet, recordings)
    names = {upload_again(fleet, drive) for drive in SIX[:3]}
    fleet.turn()
    names |= {upload_again(fleet, drive) for drive in SIX[3:]}
    fleet.turn()
    assert outcome(fleet) == in_order(SIX)
    logged = fleet.sql("select drive_id, upload, detail from bronze.ingestion_log where event = 'duplicate'")
    assert {row["upload"] for row in logged} == names
    assert fleet.turn() == []


@pytest.mark.slow
def test_the_same_recording_under_another_drive_id_is_one_drive_whichever_came_first(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome]
) -> None:
    fleet = TestFleet(tmp_path)
    original = SIX[0]
    fleet.upload(original.record(recordings), depot=original.depot, drive_id="z9")
    fleet.turn()
    original.upload(fleet, recordings)
    fleet.turn()
    assert outcome(fleet) == in_order([original])


@pytest.mark.slow
def test_a_corrected_drive_is_as_if_only_the_correction_had_ever_come(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome]
) -> None:
    corrected = replace(SIX[1], seed=20, revision=1)
    fleet = TestFleet(tmp_path)
    for drive in SIX:
        drive.upload(fleet, recordings)
    fleet.turn()
    corrected.upload(fleet, recordings)
    fleet.turn()
    assert outcome(fleet) == in_order([corrected if drive.drive_id == corrected.drive_id else drive for drive in SIX])


@pytest.mark.slow
def test_a_correction_that_comes_first_stands_against_the_older_revision(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome]
) -> None:
    corrected = replace(SIX[0], seed=20, revision=1)
    fleet = TestFleet(tmp_path)
    corrected.upload(fleet, recordings)
    fleet.turn()
    SIX[0].upload(fleet, recordings)
    fleet.turn()
    assert outcome(fleet) == in_order([corrected])


@pytest.mark.slow
def test_a_withdrawn_drive_is_as_if_it_had_never_been_there(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome]
) -> None:
    fleet = TestFleet(tmp_path)
    for drive in SIX:
        drive.upload(fleet, recordings)
    fleet.turn()
    withdraw(fleet, SIX[1])  # shares its partition with another drive
    withdraw(fleet, SIX[3])  # was alone in its partition
    fleet.turn()
    rest = [drive for drive in SIX if drive not in {SIX[1], SIX[3]}]
    assert outcome(fleet) == in_order(rest)
    gone = fleet.sql("select drive_id from bronze.ingestion_log where event = 'withdrawn' order by drive_id")
    assert [row["drive_id"] for row in gone] == [SIX[1].drive_id, SIX[3].drive_id]


@pytest.mark.slow
def test_a_withdrawn_drive_comes_back_with_a_higher_revision_only(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome]
) -> None:
    fleet = TestFleet(tmp_path)
    SIX[0].upload(fleet, recordings)
    fleet.turn()
    withdraw(fleet, SIX[0])
    fleet.turn()
    upload_again(fleet, SIX[0])
    fleet.turn()
    assert outcome(fleet) == in_order([])
    returned = replace(SIX[0], revision=1)
    returned.upload(fleet, recordings)
    fleet.turn()
    assert outcome(fleet) == in_order([returned])
    withdraw(fleet, returned)
    fleet.turn()
    assert outcome(fleet) == in_order([])
    assert len(fleet.sql("select * from bronze.ingestion_log where event = 'withdrawn'")) == 2


def announce(fleet: TestFleet, drive: Drive, start: str) -> None:
    """Have the manifest state another start than the recording's own."""
    path = fleet.home / "landing" / f"{drive.drive_id}-r{drive.revision}" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "start_ns": utc_ns(start)}))


def test_a_drive_announced_before_midnight_lands_on_the_day_of_its_corrected_start_and_moves_back_with_a_correction(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome]
) -> None:
    after = Drive("mid", "2024-05-02T00:00:02", "north", 30)
    before = Drive("mid", "2024-05-01T23:59:30", "north", 31, revision=1)
    fleet = TestFleet(tmp_path)
    after.upload(fleet, recordings)
    announce(fleet, after, "2024-05-01T23:59:58")
    fleet.turn()
    assert_at_rest(fleet)
    assert fleet.sql("select distinct day from silver.signals") == [{"day": "2024-05-02"}]
    assert fleet.sql("select day, drives from ops.daily_coverage where depot = '*'") == [
        {"day": "2024-05-02", "drives": 1}
    ]
    snapshots = len(fleet.fleet.lake.costs(fleet.fleet.table("bronze.drives")))
    before.upload(fleet, recordings)
    fleet.turn()
    assert outcome(fleet) == in_order([before])
    assert len(fleet.fleet.lake.costs(fleet.fleet.table("bronze.drives"))) == snapshots + 1
    assert fleet.sql("select day, drives from ops.daily_coverage where depot = '*'") == [
        {"day": "2024-05-01", "drives": 1}
    ]


@pytest.mark.slow
def test_a_correction_over_midnight_leaves_the_neighbours_of_both_days_alone(
    tmp_path: Path, recordings: Path, in_order: Callable[[Sequence[Drive]], Outcome]
) -> None:
    neighbours = (SIX[0], SIX[3])
    before = Drive("mid", "2024-05-01T23:59:30", "north", 31)
    after = Drive("mid", "2024-05-02T00:00:02", "north", 30, revision=1)
    fleet = TestFleet(tmp_path)
    for drive in (*neighbours, before):
        drive.upload(fleet, recordings)
    fleet.turn()
    after.upload(fleet, recordings)
    announce(fleet, after, "2024-05-01T23:59:59")
    fleet.turn()
    reference = TestFleet(tmp_path / "reference")
    for drive in (*neighbours, after):
        drive.upload(reference, recordings)
    announce(reference, after, "2024-05-01T23:59:59")
    reference.turn()
    assert outcome(fleet) == outcome(reference)
    assert fleet.sql("select day from bronze.drives where drive_id = 'mid'") == [{"day": "2024-05-02"}]
