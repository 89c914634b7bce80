"""An S3 on loopback, which answers lists in pages of three keys so that every listing has a second page."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from resources.s3 import s3_client

PAGE_KEYS = 3


@dataclass(frozen=True)
class S3:
    """A bucket of one's own."""

    endpoint_url: str
    bucket: str

    @property
    def client(self) -> Any:
        """The platform's own client."""
        return s3_client(self.endpoint_url)

    def keys(self) -> list[str]:
        """All keys of the bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]


@pytest.fixture(scope="session")
def _endpoint() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", str(PAGE_KEYS))
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def s3(_endpoint: str, request: pytest.FixtureRequest) -> S3:
    """An empty bucket."""
    bucket = f"bucket-{abs(hash(request.node.nodeid))}"
    s3_client(_endpoint).create_bucket(Bucket=bucket)
    return S3(_endpoint, bucket)
