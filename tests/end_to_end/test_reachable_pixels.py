"""No path, table, preview or object that a later area can reach shows an unredacted pixel.

A fleet takes in drives whose faces bear a mark: as files of stills, as a video, as messages. Then everything that a
`Fleet` with class open can read is read, and so is every file of the home that does not lie where class raw does; every
picture in it is decoded, and the mark is looked for. The same search finds it in what only ingestion may open.
"""

import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from fleet_assets.build import build_defs
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.objects import AccessDeniedError, ObjectRef
from resources.platform import Fleet
from resources.sql import QueryError, query
from tests.end_to_end.marked_pictures import (
    TOPIC_VEHICLE,
    marked_picture,
    pictures_in_bytes,
    pictures_in_file,
    pictures_in_table,
    pictures_in_text,
    shows_mark,
    write_marked_drive,
    write_marked_topic,
    write_marked_video,
    write_topic_vehicle,
)
from tests.harness import TestFleet, utc_ns
from tests.photo_factory import SPEC, VIDEO_SPEC

DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
RAW = ("landing", "objects/raw")
"""Folders of a home that hold what is of class raw."""
STILLS, VIDEO, TOPIC = "stills", "video", "topic"
PICTURES = {STILLS: 14, VIDEO: 18, TOPIC: 12}
"""Drives, one of each format, and how many pictures they have."""
Picture = NDArray[np.uint8]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """Drives of each format that are redacted as they should be, in a home as a user has it; to be read only."""
    folder = tmp_path_factory.mktemp("taken")
    fleet = TestFleet(folder / "home", depots=("north",), durable=True)
    write_topic_vehicle(fleet.home / "policies")
    stills_ns, video_ns, topic_ns = (utc_ns(f"2024-05-01T{hour:02d}:00:00") for hour in (8, 9, 10))
    write_marked_drive(folder / STILLS, start_utc_ns=stills_ns, pictures=PICTURES[STILLS])
    video = write_marked_video(folder / "video.mp4", frames=PICTURES[VIDEO])
    topic = write_marked_topic(folder / "topic.mcap", start_utc_ns=topic_ns, pictures=PICTURES[TOPIC])
    fleet.upload(folder / STILLS, spec=SPEC, drive_id=STILLS)
    fleet.upload(video, spec=VIDEO_SPEC, drive_id=VIDEO, given_start_ns=video_ns)
    fleet.upload(topic, spec=TOPIC_VEHICLE, drive_id=TOPIC)
    fleet.turn()
    return fleet


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """A drive whose redaction sees no face, since its policy asks for a score that none has."""
    folder = tmp_path_factory.mktemp("blind")
    fleet = TestFleet(folder / "home", depots=("north",))
    policy = yaml.safe_load(yaml.safe_dump(dict(load_policies()["redaction"])))
    policy["detectors"][0]["least_score"] = 1.0
    path = fleet.home / "policies" / "redaction.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(policy))
    write_marked_drive(folder / "seen", start_utc_ns=utc_ns("2024-05-01T08:00:00"), pictures=14)
    fleet.upload(folder / "seen", spec=SPEC, drive_id="seen")
    fleet.turn()
    return fleet


def later(fleet: TestFleet) -> Fleet:
    """The platform as a later area has it."""
    return Fleet(home=str(fleet.home), granted=["open"], max_workers=1)


def in_tables(fleet: Fleet) -> Iterator[Picture]:
    for table in fleet.tables.values():
        if table.personal:
            with pytest.raises(AccessDeniedError, match=table.name):
                fleet.lake.rows(table)
            with pytest.raises(AccessDeniedError, match=table.name):
                fleet.lake.dataset(table)
            continue
        yield from pictures_in_table(fleet.lake.rows(table))
        for entry in fleet.lake.entries(table):
            yield from pictures_in_bytes(fleet.lake.files.read_bytes(entry.path))


def in_objects(fleet: Fleet) -> Iterator[Picture]:
    for reference in fleet.objects.digests("open"):
        yield from pictures_in_bytes(fleet.objects.local(reference.sha256, "open").read_bytes())


def in_files(fleet: TestFleet) -> Iterator[Picture]:
    """Pictures in every file of the home but those of class raw."""
    for path in sorted(fleet.home.rglob("*")):
        if path.is_file() and not any(path.is_relative_to(fleet.home / folder) for folder in RAW):
            yield from pictures_in_file(path)


def named_objects(fleet: Fleet) -> set[str]:
    """Every digest that a table which a later area can read leads to."""
    found: set[str] = set()
    for table in fleet.tables.values():
        if not table.personal:
            for row in fleet.lake.rows(table).to_pylist():
                found |= {digest for value in row.values() for digest in DIGEST.findall(str(value))}
    return found


def in_metadata(fleet: TestFleet) -> Iterator[Picture]:
    """Pictures that the assets show in Dagster."""
    with fleet.instance() as instance:
        for key in build_defs(resource_overrides={"ingestion": fleet.fleet}).resolve_asset_graph().get_all_asset_keys():
            records = instance.fetch_materializations(key, limit=50).records
            for record in records:
                materialization = record.asset_materialization
                for value in materialization.metadata.values() if materialization else ():
                    yield from pictures_in_text(str(value.value))


def test_the_search_finds_the_mark_where_it_is(taken: TestFleet, tmp_path: Path) -> None:
    raw = taken.fleet.objects
    files = taken.sql("select drive_id, sha256 from bronze.drive_files")
    found = Counter[str]()
    for row in files:
        shown = list(pictures_in_file(raw.local(row["sha256"], "raw")))
        found[row["drive_id"]] += sum(map(shows_mark, shown))
    # Every still and every message holds a small picture of itself besides.
    assert found == {STILLS: 2 * PICTURES[STILLS], VIDEO: PICTURES[VIDEO], TOPIC: 2 * PICTURES[TOPIC]}
    uploads = [path for path in taken.fleet.settings.landing.rglob("*") if path.suffix in {".jpg", ".mp4", ".mcap"}]
    assert all(any(map(shows_mark, pictures_in_file(path))) for path in uploads)
    assert len(uploads) == PICTURES[STILLS] + 2
    for size in (1.0, 0.75, 0.5):
        smaller = cv2.resize(marked_picture(3), None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
        small = np.asarray(smaller, dtype=np.uint8)
        assert shows_mark(small)
        cv2.imwrite(str(tmp_path / "small.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 80])
        assert any(shows_mark(one) for one in pictures_in_bytes((tmp_path / "small.jpg").read_bytes()))


def test_nothing_that_a_later_area_reads_shows_an_unredacted_pixel(taken: TestFleet) -> None:
    fleet = later(taken)
    assert {row["drive_id"] for row in taken.sql("select distinct drive_id from silver.keyframes")} == {*PICTURES}
    seen = {
        "tables": list(in_tables(fleet)),
        "objects": list(in_objects(fleet)),
        "metadata": list(in_metadata(taken)),
        "files": list(in_files(taken)),
    }
    assert {place: sum(map(shows_mark, pictures)) for place, pictures in seen.items()} == dict.fromkeys(seen, 0)
    # Redacted media and keyframes are there, and so is the auditor's sheet: the search had something to look at.
    assert len(seen["objects"]) > sum(PICTURES.values())
    assert len(seen["metadata"]) > 0
    # What the objects and Dagster's storage hold lies in files of the home, too.
    assert len(seen["files"]) >= len(seen["objects"]) + len(seen["metadata"])


def test_raw_objects_are_closed_to_later_areas_in_every_way(taken: TestFleet, tmp_path: Path) -> None:
    fleet = later(taken)
    # Redacted media that were let go lie in both classes; recordings never do.
    some = taken.sql("select sha256 from bronze.drive_files order by sha256")[0]["sha256"]
    (upload,) = [one.name for one in taken.fleet.landing.uploads() if one.name.startswith(STILLS)]
    assert shows_mark(next(pictures_in_file(taken.fleet.landing.file(upload, "00000.jpg"))))
    path = tmp_path / "x"
    path.write_bytes(b"x")
    attempts = (
        lambda: fleet.objects.local(some, "raw"),
        lambda: fleet.objects.exists(some, "raw"),
        lambda: list(fleet.objects.digests("raw")),
        lambda: fleet.objects.delete(some, "raw"),
        lambda: fleet.objects.put(path, "raw", ObjectRef("0" * 64, 1)),
        lambda: fleet.objects.local(some, "no such class"),
        lambda: list(fleet.landing.uploads()),
        lambda: fleet.landing.file(upload, "00000.jpg"),
        lambda: list(fleet.landing.batches()),
    )
    for attempt in attempts:
        with pytest.raises(AccessDeniedError):
            attempt()
    with pytest.raises(FileNotFoundError):
        fleet.objects.local(some, "open")
    folders = [path for path in taken.fleet.settings.landing.rglob("*") if path.is_dir()]
    folders += [taken.fleet.settings.landing, *(taken.home / "objects" / "raw").iterdir()]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_no_digest_in_a_readable_table_opens_an_object_with_the_mark(taken: TestFleet) -> None:
    fleet = later(taken)
    digests = named_objects(fleet)
    opened = [digest for digest in digests if fleet.objects.exists(digest, "open")]
    assert len(opened) >= 3
    for digest in opened:
        pictures = pictures_in_bytes(fleet.objects.local(digest, "open").read_bytes())
        assert not any(map(shows_mark, pictures))


def test_sql_of_a_later_area_knows_no_table_with_personal_data(taken: TestFleet) -> None:
    with pytest.raises(QueryError, match="drive_files"):
        query(later(taken), "select * from bronze.drive_files")
    assert query(later(taken), "select count(*) as n from bronze.drives") == [{"n": len(PICTURES)}]


def test_media_with_an_exposed_face_stay_closed_and_hold_their_partition(blind: TestFleet) -> None:
    fleet = later(blind)
    gates = {gate: outcome for (asset, gate, _), outcome in blind.gates().items() if asset == "bronze/redaction_audit"}
    assert gates["exposure"] == "fail"
    assert blind.sql("select distinct released from bronze.audited_media") == [{"released": False}]
    assert blind.sql("select * from silver.keyframes") == []
    pictures = [*in_tables(fleet), *in_objects(fleet), *in_metadata(blind)]
    assert not any(map(shows_mark, pictures))
    media = blind.sql("select sha256 from bronze.redacted_media")[0]["sha256"]
    assert not fleet.objects.exists(media, "open")
    assert any(map(shows_mark, pictures_in_bytes(blind.fleet.objects.local(media, "raw").read_bytes())))
