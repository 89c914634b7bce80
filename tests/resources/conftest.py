"""An S3 on loopback, one server per test run, one bucket per test."""

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from resources.s3 import s3_client
from tests.resources.loopback import PAGE_KEYS, S3


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
