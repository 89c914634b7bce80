"""`fleet digest --objects` of drives with media: whatever happened on the way, the same objects are there at last.

Every object counts that a table names: recordings, redacted media, reports, crops of the audit, released media, shards
of keyframes, arrays of lidars. Each kind of recording has its own way through the store, so each is shown.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet_assets.commands.identity import lake_digests, object_digests
from fleet_assets.provenance.objects import ACCESS_CLASSES
from fleet_assets.provenance.requests import Request
from fleet_assets.tables.objects import OBJECT_COLUMNS
from tests import lidar_factory, photo_factory
from tests.end_to_end.fleets import assert_at_rest
from tests.end_to_end.killed_ingest import DRIVE_ID
from tests.end_to_end.test_kill import kill_at
from tests.harness import TestFleet, utc_ns

pytestmark = pytest.mark.slow
FIRST, SECOND, THIRD = "p1", "p2", "p3"
STARTS = {FIRST: "2024-05-01T08:00:00", SECOND: "2024-05-01T09:00:00", THIRD: "2024-05-01T10:00:00"}
WRONG = "wrong"
"""Another recording of the second drive, which the right one corrects."""
SECONDS = 2.0


@dataclass(frozen=True)
class Kind:
    """A kind of recording.

    Attributes:
        spec: Vehicle that makes it.
        record: Writes one into a folder: begin, and a number that tells its content from that of others.
        tables: Tables that name its objects.
        kills: Moments inside the work on it, and which of their calls.
        knows_time: Whether the recording says when it was.
    """

    spec: str
    record: Callable[[Path, int, int], object]
    tables: frozenset[str]
    kills: tuple[tuple[str, int], ...]
    knows_time: bool = True

    def start_ns(self, name: str) -> int | None:
        """The start that a person gives for a drive that does not know it."""
        return None if self.knows_time else utc_ns(STARTS.get(name, STARTS[SECOND]))


def photos(folder: Path, start_ns: int, seed: int) -> None:
    photo_factory.write_photo_drive(folder, start_utc_ns=start_ns, pictures=12, seed=seed)


def video(folder: Path, start_ns: int, seed: int) -> None:
    del start_ns
    frames = round(SECONDS * photo_factory.VIDEO_HZ)
    photo_factory.write_video(folder / "drive.mp4", (photo_factory.picture(one, seed) for one in range(frames)))


def lidar(folder: Path, start_ns: int, seed: int) -> None:
    lidar_factory.write_lidar_drive(folder, start_utc_ns=start_ns, seconds=SECONDS, half_room_m=8.0 + seed)


PICTURE_TABLES = frozenset(
    {
        "bronze.drive_files",
        "bronze.redacted_media",
        "bronze.redaction_report",
        "bronze.audited_media",
        "silver.keyframes",
    }
)
KINDS: Mapping[str, Kind] = {
    "photos": Kind(photo_factory.SPEC, photos, PICTURE_TABLES, (("write.middle", 12), ("commit.unpointed", 9))),
    "video": Kind(
        photo_factory.VIDEO_SPEC,
        video,
        PICTURE_TABLES,
        (("picture.redacted", 20), ("shard.stored", 1)),
        knows_time=False,
    ),
    "lidar": Kind(
        lidar_factory.SPEC,
        lidar,
        frozenset({"bronze.drive_files", "silver.lidar_shards", "silver.lidar_sweeps"}),
        (("sweep.added", 10), ("commit.unpointed", 9)),
    ),
}


@dataclass(frozen=True)
class Recordings:
    """Recordings of one kind, each in a folder of its drive's name."""

    kind: Kind
    folder: Path

    def put(self, fleet: TestFleet, name: str, drive_id: str = "", revision: int = 0) -> None:
        """Put one into the landing zone."""
        fleet.upload(
            self.folder / name,
            spec=self.kind.spec,
            drive_id=drive_id or name,
            revision=revision,
            given_start_ns=self.kind.start_ns(name),
        )


@pytest.fixture(scope="module", params=KINDS)
def recordings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    kind, folder = KINDS[request.param], tmp_path_factory.mktemp(request.param)
    for seed, (name, start) in enumerate({**STARTS, WRONG: STARTS[SECOND]}.items()):
        kind.record(folder / name, utc_ns(start), seed)
    return Recordings(kind, folder)


def withdraw(fleet: TestFleet, name: str) -> None:
    body = {"drive_id": name, "revision": 0, "reason": "a test"}
    fleet.fleet.requests.append(Request("withdrawal", body, "person:tester"))


def digests(fleet: TestFleet) -> dict[str, str]:
    assert_at_rest(fleet)
    return lake_digests(fleet.fleet, objects=True)


def derived(fleet: TestFleet, recordings: Recordings) -> dict[str, set[str]]:
    """Digests of everything in the store, by class, but recordings: whether a table names it or not."""
    files = {hashlib.sha256(path.read_bytes()).hexdigest() for path in recordings.folder.rglob("*") if path.is_file()}
    return {access: {one.sha256 for one in fleet.fleet.objects.digests(access)} - files for access in ACCESS_CLASSES}


def naming(fleet: TestFleet, drive_id: str) -> set[str]:
    """Tables with an object of a drive, and the indexes that have something of it."""
    found = {
        one.table
        for one in OBJECT_COLUMNS
        for row in fleet.fleet.lake.rows(fleet.fleet.table(one.table)).to_pylist()
        if row["drive_id"] == drive_id and one.holds(row)
    }
    tables = ("silver.clip_catalog", "silver.search_documents")
    found |= {
        name for name in tables if drive_id in fleet.fleet.lake.rows(fleet.fleet.table(name))["drive_id"].to_pylist()
    }
    indexes = {"search index": fleet.fleet.search_index.held(), "vector index": fleet.fleet.vectors.held()}
    return found | {name for name, held in indexes.items() if drive_id in {drive for _, drive in held}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, recordings: Recordings) -> TestFleet:
    """A fleet that saw two drives once, in order; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("undisturbed"))
    recordings.put(fleet, FIRST)
    recordings.put(fleet, SECOND, revision=1)
    fleet.turn()
    return fleet


def test_every_kind_of_object_of_a_drive_counts(undisturbed: TestFleet, recordings: Recordings) -> None:
    named = {
        one
        for one in OBJECT_COLUMNS
        if any(one.holds(row) for row in undisturbed.fleet.lake.rows(undisturbed.fleet.table(one.table)).to_pylist())
    }
    assert {one.table for one in named} >= recordings.kind.tables
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
    tmp_path: Path, recordings: Recordings, undisturbed: TestFleet
) -> None:
    fleet = TestFleet(tmp_path)
    recordings.put(fleet, THIRD)
    recordings.put(fleet, WRONG, drive_id=SECOND)
    fleet.turn()
    everywhere = {*recordings.kind.tables, "silver.clip_catalog", "silver.search_documents", "search index"}
    assert naming(fleet, THIRD) >= everywhere
    first_time = derived(fleet, recordings)["open"]
    recordings.put(fleet, SECOND, revision=1)
    recordings.put(fleet, SECOND, drive_id=f"{SECOND}-again")
    withdraw(fleet, THIRD)
    fleet.turn()
    assert naming(fleet, THIRD) == set()
    before = derived(fleet, recordings)["open"]
    assert not before & first_time
    recordings.put(fleet, FIRST)
    fleet.turn()
    assert digests(fleet) == digests(undisturbed)
    # Media, shards and reports of what was withdrawn or corrected are not in the store, even for who knows a digest.
    assert derived(fleet, recordings) == derived(undisturbed, recordings)
    assert before < derived(undisturbed, recordings)["open"]


def test_killed_at_several_moments_and_run_again_is_the_same(tmp_path: Path, recordings: Recordings) -> None:
    kind = recordings.kind
    calm = TestFleet(tmp_path / "calm")
    recordings.put(calm, FIRST, drive_id=DRIVE_ID)
    calm.turn()
    home = tmp_path / "home"
    for moment, number in kind.kills:
        recording, start_ns = recordings.folder / FIRST, kind.start_ns(FIRST)
        kill_at(home, recording, tmp_path / moment, moment, number, spec=kind.spec, given_start_ns=start_ns)
    fleet = TestFleet(home, durable=True)
    recordings.put(fleet, FIRST, drive_id=DRIVE_ID)
    fleet.turn()
    assert digests(fleet) == digests(calm)
