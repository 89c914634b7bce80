"""ADDF's defects in listing what arrived: a filter that is lost after page 1, and filters that take look-alikes."""

import json
from pathlib import Path

import pytest

from resources.landing import LocalLanding
from resources.s3 import S3Landing, S3Objects, s3_client
from tests.resources.loopback import S3
from tests.resources.test_landing_zones import Zone, document, zone

__all__ = ["zone"]
LOOK_ALIKES = (
    "manifest.json.bak",
    "manifest.json~",
    "manifest.jsonl",
    "xmanifest.json",
    "old.manifest.json",
    "Manifest.json",
    "manifest.json/part",
    "MANIFEST.JSON",
)


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_name_that_only_ends_or_begins_like_a_manifest_completes_no_upload(zone: Zone, name: str) -> None:
    zone.upload("u1")
    zone.put(f"u2/{name}", json.dumps(document("d2")).encode())
    complete = [upload.name for upload in zone.landing.uploads() if upload.manifest is not None]
    assert complete == ["u1"]


@pytest.mark.parametrize("prefix", ["landing-old", "landing2", "Landing", "xlanding", "lan", "old/landing"])
def test_a_prefix_that_only_looks_like_the_landing_zone_is_not_listed(s3: S3, tmp_path: Path, prefix: str) -> None:
    landing = S3Landing(s3.bucket, tmp_path / "cache", s3.endpoint_url)
    for top, name in (("landing", "u1"), (prefix, "u2")):
        body = json.dumps(document(name)).encode()
        s3.client.put_object(Bucket=s3.bucket, Key=f"{top}/{name}/manifest.json", Body=body)
    assert [upload.name for upload in landing.uploads()] == ["u1"]


def test_an_upload_whose_name_begins_another_ones_is_not_mixed_up_with_it(zone: Zone) -> None:
    zone.upload("u1", drive_id="d1")
    zone.upload("u10", drive_id="d10")
    zone.put("u10/log/b.bin", b"abc")
    assert {upload.name: upload.manifest and upload.manifest.drive_id for upload in zone.landing.uploads()} == {
        "u1": "d1",
        "u10": "d10",
    }
    with pytest.raises(Exception, match="missing_file"):
        zone.landing.file("u1", "log/b.bin")


def test_objects_of_another_class_are_on_no_page_of_a_listing(s3: S3, tmp_path: Path) -> None:
    """Listing that loses its filter after page 1, for objects: both classes fill several pages."""
    client = s3_client(s3.endpoint_url)
    for number in range(20):
        digest = f"{number:02x}" * 32
        for access in ("open", "raw", "open-old", "opened"):
            client.put_object(Bucket=s3.bucket, Key=f"objects/{access}/{digest[:2]}/{digest}-{access}", Body=b"x")
    store = S3Objects(s3.bucket, tmp_path, ("open", "raw"), s3.endpoint_url)
    for access in ("open", "raw"):
        found = [ref.sha256 for ref in store.digests(access)]
        assert len(found) == 20
        assert {name.rsplit("-", 1)[1] for name in found} == {access}


@pytest.mark.slow
def test_more_than_a_thousand_uploads_among_other_keys_are_all_listed(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing that loses its filter after page 1, with as many keys as S3 itself puts on a page."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "1000")
    for number in range(1010):
        body = json.dumps(document(f"d{number}")).encode()
        s3.client.put_object(Bucket=s3.bucket, Key=f"landing/u{number:05d}/manifest.json", Body=body)
    for number in range(900, 1100):
        s3.client.put_object(Bucket=s3.bucket, Key=f"landing/u{number:05d}/manifest.json.part", Body=b"{")
        s3.client.put_object(Bucket=s3.bucket, Key=f"landingx/u{number:05d}/manifest.json", Body=body)
    landing = S3Landing(s3.bucket, tmp_path / "cache", s3.endpoint_url)
    assert [upload.name for upload in landing.uploads()] == [f"u{number:05d}" for number in range(1010)]


def test_more_than_a_thousand_folders_are_all_listed_and_nothing_else_is(tmp_path: Path) -> None:
    payload = json.dumps(document()).encode()
    for number in range(1200):
        for name, file in ((f"u{number:05d}", "manifest.json"), (f"v{number:05d}", "manifest.json.part")):
            (tmp_path / name).mkdir()
            (tmp_path / name / file).write_bytes(payload)
    assert [upload.name for upload in LocalLanding(tmp_path).uploads()] == [f"u{number:05d}" for number in range(1200)]
