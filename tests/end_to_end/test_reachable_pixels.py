"""No path, table, preview or object that a later area can reach shows an unredacted pixel.

A fleet takes in a drive whose faces bear a mark. Then everything that a `Fleet` with class open can read is read, every
picture in it is decoded, and the mark is looked for. The same search finds it in what only ingestion may open.
"""

import re
import stat
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
    marked_picture,
    pictures_in_bytes,
    pictures_in_table,
    pictures_in_text,
    shows_mark,
    write_marked_drive,
)
from tests.harness import TestFleet, utc_ns
from tests.photo_factory import SPEC

DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
Picture = NDArray[np.uint8]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """A drive that is redacted as it should be; to be read only."""
    folder = tmp_path_factory.mktemp("taken")
    fleet = TestFleet(folder / "home", depots=("north",))
    write_marked_drive(folder / "sound", start_utc_ns=utc_ns("2024-05-01T08:00:00"), pictures=14)
    fleet.upload(folder / "sound", spec=SPEC, drive_id="sound")
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
    recordings = [raw.local(reference.sha256, "raw").read_bytes() for reference in raw.digests("raw")]
    marked = [data for data in recordings if any(shows_mark(one) for one in pictures_in_bytes(data))]
    assert len(marked) == 14
    for size in (1.0, 0.75, 0.5):
        smaller = cv2.resize(marked_picture(3), None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
        small = np.asarray(smaller, dtype=np.uint8)
        assert shows_mark(small)
        cv2.imwrite(str(tmp_path / "small.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 80])
        assert any(shows_mark(one) for one in pictures_in_bytes((tmp_path / "small.jpg").read_bytes()))


def test_nothing_that_a_later_area_reads_shows_an_unredacted_pixel(taken: TestFleet) -> None:
    fleet = later(taken)
    assert taken.sql("select count(*) as n from silver.keyframes")[0]["n"] > 0
    seen = {
        "tables": list(in_tables(fleet)),
        "objects": list(in_objects(fleet)),
        "metadata": list(in_metadata(taken)),
    }
    assert {place: sum(map(shows_mark, pictures)) for place, pictures in seen.items()} == dict.fromkeys(seen, 0)
    # Redacted media and keyframes are there, and so is the auditor's sheet: the search had something to look at.
    assert len(seen["objects"]) > 14
    assert len(seen["metadata"]) > 0


def test_raw_objects_are_closed_to_later_areas_in_every_way(taken: TestFleet, tmp_path: Path) -> None:
    fleet = later(taken)
    some = next(iter(taken.fleet.objects.digests("raw")))
    path = tmp_path / "x"
    path.write_bytes(b"x")
    attempts = (
        lambda: fleet.objects.local(some.sha256, "raw"),
        lambda: fleet.objects.exists(some.sha256, "raw"),
        lambda: list(fleet.objects.digests("raw")),
        lambda: fleet.objects.delete(some.sha256, "raw"),
        lambda: fleet.objects.put(path, "raw", ObjectRef("0" * 64, 1)),
        lambda: fleet.objects.local(some.sha256, "no such class"),
    )
    for attempt in attempts:
        with pytest.raises(AccessDeniedError):
            attempt()
    with pytest.raises(FileNotFoundError):
        fleet.objects.local(some.sha256, "open")
    folder = taken.home / "objects" / "raw" / some.sha256[:2]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


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
    assert query(later(taken), "select count(*) as n from bronze.drives") == [{"n": 1}]


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
