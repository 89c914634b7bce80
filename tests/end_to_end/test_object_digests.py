"""`fleet digest --objects` of drives with pictures: whatever happened on the way, the same objects are there at last.

Every object counts that a table names: recordings, redacted media, reports, crops of the audit, released media, shards.
"""

import hashlib
from pathlib import Path

import pytest

from fleet_assets.commands.identity import lake_digests, object_digests
from fleet_assets.provenance.objects import ACCESS_CLASSES
from fleet_assets.provenance.requests import Request
from fleet_assets.tables.objects import OBJECT_COLUMNS
from tests.end_to_end.fleets import assert_at_rest
from tests.end_to_end.killed_ingest import DRIVE_ID
from tests.end_to_end.test_kill import kill_at
from tests.harness import TestFleet, utc_ns
from tests.photo_factory import SPEC, write_photo_drive

pytestmark = pytest.mark.slow
FIRST, SECOND, THIRD = "p1", "p2", "p3"
STARTS = {FIRST: "2024-05-01T08:00:00", SECOND: "2024-05-01T09:00:00", THIRD: "2024-05-01T10:00:00"}
WRONG = "wrong"
"""Another recording of the second drive, which the right one corrects."""


@pytest.fixture(scope="module")
def albums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("albums")
    for seed, (name, start) in enumerate({**STARTS, WRONG: STARTS[SECOND]}.items()):
        write_photo_drive(folder / name, start_utc_ns=utc_ns(start), pictures=12, seed=seed)
    return folder


def withdraw(fleet: TestFleet, name: str) -> None:
    body = {"drive_id": name, "revision": 0, "reason": "a test"}
    fleet.fleet.requests.append(Request("withdrawal", body, "person:tester"))


def digests(fleet: TestFleet) -> dict[str, str]:
    assert_at_rest(fleet)
    return lake_digests(fleet.fleet, objects=True)


def derived(fleet: TestFleet, albums: Path) -> dict[str, set[str]]:
    """Digests of everything in the store, by class, but recordings: whether a table names it or not."""
    recordings = {hashlib.sha256(path.read_bytes()).hexdigest() for path in albums.rglob("*") if path.is_file()}
    return {
        access: {one.sha256 for one in fleet.fleet.objects.digests(access)} - recordings for access in ACCESS_CLASSES
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, albums: Path) -> TestFleet:
    """A fleet that saw two drives once, in order; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("undisturbed"))
    fleet.upload(albums / FIRST, spec=SPEC, drive_id=FIRST)
    fleet.upload(albums / SECOND, spec=SPEC, drive_id=SECOND, revision=1)
    fleet.turn()
    return fleet


def test_every_kind_of_object_of_a_drive_with_pictures_counts(undisturbed: TestFleet) -> None:
    named = {
        one
        for one in OBJECT_COLUMNS
        if any(one.holds(row) for row in undisturbed.fleet.lake.rows(undisturbed.fleet.table(one.table)).to_pylist())
    }
    assert {one.table for one in named} >= {
        "bronze.drive_files", "bronze.redacted_media", "bronze.redaction_report", "bronze.audited_media",
        "silver.keyframes",
    }  # fmt: skip
    counted = object_digests(undisturbed.fleet)
    for one in named:
        rows = undisturbed.fleet.lake.rows(undisturbed.fleet.table(one.table), None, one.columns).to_pylist()
        assert {(f"{one.access}/{row[one.column]}", row[one.column]) for row in rows if one.holds(row)} <= set(counted)


def test_one_object_more_or_less_is_another_digest(undisturbed: TestFleet) -> None:
    counted = dict(object_digests(undisturbed.fleet))
    (name,) = [one for one in counted if one.startswith("open/")][:1]
    stored = undisturbed.fleet.objects.local(counted[name], "open")
    before, content = digests(undisturbed), stored.read_bytes()
    stored.unlink()
    try:
        without = lake_digests(undisturbed.fleet, objects=True)
    finally:
        stored.write_bytes(content)
    assert {key for key in before if before[key] != without[key]} == {"objects"}
    assert digests(undisturbed) == before


def test_late_twice_reversed_corrected_and_taken_out_is_the_same(
    tmp_path: Path, albums: Path, undisturbed: TestFleet
) -> None:
    fleet = TestFleet(tmp_path)
    fleet.upload(albums / THIRD, spec=SPEC, drive_id=THIRD)
    fleet.upload(albums / WRONG, spec=SPEC, drive_id=SECOND)
    fleet.turn()
    fleet.upload(albums / SECOND, spec=SPEC, drive_id=SECOND, revision=1)
    fleet.upload(albums / SECOND, spec=SPEC, drive_id=f"{SECOND}-again")
    withdraw(fleet, THIRD)
    fleet.turn()
    before = derived(fleet, albums)["open"]
    fleet.upload(albums / FIRST, spec=SPEC, drive_id=FIRST)
    fleet.turn()
    assert digests(fleet) == digests(undisturbed)
    # Media, shards and reports of what was withdrawn or corrected are not in the store, even for who knows a digest.
    assert derived(fleet, albums) == derived(undisturbed, albums)
    assert before < derived(undisturbed, albums)["open"]


def test_killed_at_several_moments_and_run_again_is_the_same(tmp_path: Path, albums: Path) -> None:
    calm = TestFleet(tmp_path / "calm")
    calm.upload(albums / FIRST, spec=SPEC, drive_id=DRIVE_ID)
    calm.turn()
    home = tmp_path / "home"
    for moment, number in (("write.middle", 12), ("commit.unpointed", 9)):
        kill_at(home, albums / FIRST, tmp_path / moment, moment, number, spec=SPEC)
    fleet = TestFleet(home, durable=True)
    fleet.upload(albums / FIRST, spec=SPEC, drive_id=DRIVE_ID)
    fleet.turn()
    assert digests(fleet) == digests(calm)
