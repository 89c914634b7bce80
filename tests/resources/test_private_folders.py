"""Uploads are of class raw: only the user that runs the fleet opens the landing zone and what was fetched of it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_assets.provenance.batches import BatchFile
from fleet_assets.provenance.manifest import make_manifest
from resources.home import HomeError, open_home
from resources.landing import LocalLanding
from resources.s3 import S3Landing
from tests.resources.loopback import S3
from tests.resources.test_landing_zones import document


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """A umask that keeps nothing from anybody."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(top: Path) -> dict[str, int]:
    """Mode of a folder and of everything below it."""
    return {str(path.relative_to(top)): stat.S_IMODE(path.stat().st_mode) for path in (top, *top.rglob("*"))}


def private(top: Path) -> dict[str, int]:
    """The same as it should be."""
    return {str(path.relative_to(top)): 0o700 if path.is_dir() else 0o600 for path in (top, *top.rglob("*"))}


def test_a_new_home_has_a_landing_zone_of_its_own_user_alone(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    assert modes(home.landing) == {".": 0o700}
    assert modes(home.lake) == {".": 0o777}


def test_a_landing_zone_that_an_older_home_left_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir(mode=0o755)
    home = open_home(tmp_path)
    assert modes(home.landing) == {".": 0o700}
    home.landing.chmod(0o2750)
    open_home(tmp_path)
    assert modes(home.landing) == {".": 0o700}


def test_one_that_is_not_this_users_to_close_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "landing").mkdir(mode=0o755)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(HomeError, match=r"landing: uploads are open to other users .*chown, chmod 700"):
        open_home(tmp_path)


def test_uploads_and_batches_are_for_their_own_user_whoever_else_could_read_the_files(tmp_path: Path) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(b"abc")
    landing = LocalLanding(tmp_path / "landing")
    staged, _ = landing.stage([("log/deep/a.bin", source)])
    assert modes(staged) == private(staged)
    landing.publish(staged, make_manifest(document(path="log/deep/a.bin")))
    landing.put_batch(source)
    landing.put_batch(source, "maps", lambda sha256: f"town/{sha256[:8]}")
    assert len(modes(landing.root)) == 11
    assert modes(landing.root) == private(landing.root)


def test_what_is_fetched_from_a_bucket_is_for_its_own_user(tmp_path: Path, s3: S3) -> None:
    landing = S3Landing(s3.bucket, tmp_path / "home" / "cache", s3.endpoint_url)
    s3.client.put_object(Bucket=s3.bucket, Key="landing/u1/log/a.bin", Body=b"abc")
    s3.client.put_object(Bucket=s3.bucket, Key="landing/telemetry/b.jsonl", Body=b"{}")
    landing.file("u1", "log/a.bin")
    (batch,) = landing.batches()
    assert isinstance(batch, BatchFile)
    landing.batch(batch)
    assert len([path for path in landing.cache.rglob("*") if path.is_file()]) == 2
    assert modes(landing.cache) == private(landing.cache)
