"""A bucket of an S3 on loopback, as contract tests hold it."""

from dataclasses import dataclass
from typing import Any, Final

from resources.s3 import s3_client

PAGE_KEYS: Final = 3
"""Keys that the S3 on loopback answers at once, so that every listing has a second page."""


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
