"""Keyframes of drives that come twice, late, in another order or are taken out: the same rows and the same objects."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fleet_assets.provenance.requests import Request
from tests.end_to_end.fleets import assert_at_rest
from tests.harness import TestFleet, utc_ns
from tests.photo_factory import SPEC, write_photo_drive

pytestmark = pytest.mark.slow
FIRST, SECOND, THIRD = "p1", "p2", "p3"
STARTS = {FIRST: "2024-05-01T08:00:00", SECOND: "2024-05-01T09:00:00", THIRD: "2024-05-01T10:00:00"}


@pytest.fixture(scope="module")
def albums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("albums")
    for seed, (name, start) in enumerate(STARTS.items()):
        write_photo_drive(folder / name, start_utc_ns=utc_ns(start), pictures=24, seed=seed)
    return folder


def upload(fleet: TestFleet, albums: Path, name: str) -> None:
    fleet.upload(albums / name, spec=SPEC, drive_id=name)


def shown(fleet: TestFleet) -> list[dict[str, Any]]:
    return fleet.sql("select * from silver.keyframes order by drive_id, t_ns")


def opened(fleet: TestFleet) -> set[str]:
    """Digests of the shards that rows lead to; each is there, unharmed."""
    digests = {row["sha256"] for row in shown(fleet)}
    for digest in digests:
        assert hashlib.sha256(fleet.fleet.objects.local(digest, "open").read_bytes()).hexdigest() == digest
    return digests


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, albums: Path) -> TestFleet:
    """A fleet that saw two drives in order; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("two"))
    for name in (FIRST, SECOND):
        upload(fleet, albums, name)
    fleet.turn()
    return fleet


def test_keyframes_show_what_the_redacted_media_show_and_nothing_else(two: TestFleet) -> None:
    assert_at_rest(two)
    media = {row["drive_id"]: row["sha256"] for row in two.sql("select * from bronze.redacted_media")}
    rows = shown(two)
    assert [row["drive_id"] for row in rows] == [FIRST] * 3 + [SECOND] * 3
    for row in rows:
        shard = pq.read_table(two.fleet.objects.local(row["sha256"], "open")).to_pylist()[row["shard_row"]]
        redacted = pq.read_table(two.fleet.objects.local(media[row["drive_id"]], "open")).to_pylist()
        assert shard["jpeg"] == next(one["jpeg"] for one in redacted if one["frame"] == row["frame"])


def test_late_twice_reversed_and_taken_out_again_is_the_same_fleet(
    tmp_path: Path, albums: Path, two: TestFleet
) -> None:
    fleet = TestFleet(tmp_path)
    upload(fleet, albums, SECOND)
    upload(fleet, albums, THIRD)
    fleet.turn()
    assert {row["drive_id"] for row in shown(fleet)} == {SECOND, THIRD}
    fleet.upload(albums / SECOND, spec=SPEC, drive_id=f"{SECOND}-again")
    upload(fleet, albums, FIRST)
    body = {"drive_id": THIRD, "revision": 0, "reason": "a test"}
    fleet.fleet.requests.append(Request("withdrawal", body, "person:tester"))
    fleet.turn()
    assert_at_rest(fleet)
    assert fleet.digests() == two.digests()
    assert opened(fleet) == opened(two)
