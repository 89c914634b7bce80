"""The landing zones that one suite of tests runs against: a folder, and a bucket of the S3 on loopback."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_assets.provenance.platform import Landing
from resources.landing import LocalLanding
from resources.s3 import S3Landing
from tests.resources.loopback import S3

KINDS = ("local", "s3")


def open_zone(request: pytest.FixtureRequest, folder: Path) -> tuple[Landing, Callable[[str, bytes], object]]:
    """A landing zone of the kind that the fixture's parameter names, and how a vehicle puts a file into it."""
    if request.param == "local":
        root = folder / "landing"

        def write(key: str, content: bytes) -> None:
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            (root / key).write_bytes(content)

        return LocalLanding(root), write
    s3: S3 = request.getfixturevalue("s3")

    def send(key: str, content: bytes) -> None:
        s3.client.put_object(Bucket=s3.bucket, Key=f"landing/{key}", Body=content)

    return S3Landing(s3.bucket, folder / "cache", s3.endpoint_url), send
