"""Objects and landing zone on S3. The same promises as the local ones; the same contract tests."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet_assets.provenance.batches import FOLDER, BatchFile, is_batch_name
from fleet_assets.provenance.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    RefusedUploadError,
    Upload,
    check_path,
    parse_manifest,
)
from fleet_assets.provenance.objects import ObjectRef, check_access, check_content
from resources.private_folders import PRIVATE_FILE, make_private

PART_BYTES: Final = 16 << 20
_clients: dict[str, Any] = {}
_uploads: dict[tuple[str, str, str], Upload] = {}


def s3_client(endpoint_url: str) -> Any:
    """One S3 client per endpoint and process; credentials come from the environment or the pod's role."""
    if endpoint_url not in _clients:
        import boto3
        from botocore.config import Config

        config = Config(
            retries={"mode": "adaptive", "max_attempts": 10},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        _clients[endpoint_url] = boto3.client("s3", endpoint_url=endpoint_url or None, config=config)
    return _clients[endpoint_url]


def _list(client: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """All keys under a prefix, over all pages."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])


def _fetch(client: Any, bucket: str, key: str, target: Path) -> Path:
    """Download to a cache file of this user alone, whose name only ever shows whole content."""
    if not target.exists():
        make_private(target.parent)
        partial = target.with_name(f".partial-{target.name}-{os.getpid()}-{threading.get_ident()}")
        client.download_file(bucket, key, str(partial))
        partial.chmod(PRIVATE_FILE)
        partial.replace(target)
    return target


@dataclass(frozen=True, slots=True)
class S3Objects:
    """Objects as `objects/<class>/<first two hex digits>/<digest>` of one bucket.

    Attributes:
        bucket: The bucket.
        cache: Folder for fetched objects.
        granted: Access classes that this holder may use.
        endpoint_url: Endpoint, where it is not AWS itself.
    """

    bucket: str
    cache: Path
    granted: tuple[str, ...] = ("open",)
    endpoint_url: str = ""

    def _key(self, sha256: str, access: str) -> str:
        check_access(self.granted, access)
        return f"objects/{access}/{sha256[:2]}/{sha256}"

    def put(
        self, source: Path, access: str, expected: ObjectRef, progress: Callable[[int], None] | None = None
    ) -> ObjectRef:
        """See `ObjectStore.put`; a multipart upload that is only completed when digest and size are right."""
        key, client = self._key(expected.sha256, access), s3_client(self.endpoint_url)
        if self.exists(expected.sha256, access):
            return expected
        upload = client.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
        try:
            parts, size, digest = self._send(client, key, upload, source, progress)
            check_content(source.name, ObjectRef(digest, size), expected)
            client.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
            raise
        return expected

    def _send(
        self, client: Any, key: str, upload: str, source: Path, progress: Callable[[int], None] | None
    ) -> tuple[list[dict[str, Any]], int, str]:
        digest, size = hashlib.sha256(), 0
        parts: list[dict[str, Any]] = []
        with source.open("rb") as reader:
            while (chunk := reader.read(PART_BYTES)) or not parts:
                digest.update(chunk)
                size += len(chunk)
                number = len(parts) + 1
                answer = client.upload_part(Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=chunk)
                parts.append({"ETag": answer["ETag"], "PartNumber": number})
                if progress is not None:
                    progress(len(chunk))
        return parts, size, digest.hexdigest()

    def local(self, sha256: str, access: str) -> Path:
        """Cached copy of the object.

        Raises:
            FileNotFoundError: Naming the digest, when the object is not in the store.
        """
        key = self._key(sha256, access)
        if not self.exists(sha256, access):
            raise FileNotFoundError(f"object {sha256} ({access}) is not in the store. Restore it or replay its drive.")
        return _fetch(s3_client(self.endpoint_url), self.bucket, key, self.cache / access / sha256)

    def exists(self, sha256: str, access: str) -> bool:
        """Whether the object is there."""
        from botocore.exceptions import ClientError

        try:
            s3_client(self.endpoint_url).head_object(Bucket=self.bucket, Key=self._key(sha256, access))
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:  # noqa: PLR2004 - HTTP not found
                return False
            raise
        return True

    def digests(self, access: str) -> Iterator[ObjectRef]:
        """All objects of one class, sorted by digest."""
        prefix = self._key("00", access).removesuffix("00/00")
        for item in _list(s3_client(self.endpoint_url), self.bucket, prefix):
            yield ObjectRef(item["Key"].rsplit("/", 1)[-1], item["Size"])

    def delete(self, sha256: str, access: str) -> None:
        """Remove an object and its cached copy; absent ones are fine."""
        s3_client(self.endpoint_url).delete_object(Bucket=self.bucket, Key=self._key(sha256, access))
        (self.cache / access / sha256).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class S3Landing:
    """Landing zone as `landing/<upload>/…` of one bucket.

    Attributes:
        bucket: The bucket.
        cache: Folder for fetched files.
        endpoint_url: Endpoint, where it is not AWS itself.
    """

    bucket: str
    cache: Path
    endpoint_url: str = ""

    def uploads(self) -> list[Upload]:
        """See `Landing.uploads`. A manifest is fetched once per version (ETag)."""
        client = s3_client(self.endpoint_url)
        found = []
        for item in _list(client, self.bucket, "landing/"):
            _, _, rest = item["Key"].partition("/")
            name, _, file = rest.partition("/")
            if file == MANIFEST_NAME:
                found.append(self._upload(client, item, name))
        return sorted(found, key=lambda upload: upload.name)

    def _upload(self, client: Any, item: dict[str, Any], name: str) -> Upload:
        key = (self.bucket, item["Key"], item["ETag"])
        if key not in _uploads:
            body = client.get_object(Bucket=self.bucket, Key=item["Key"])["Body"]
            try:
                _uploads[key] = Upload(name, parse_manifest(body.read(MAX_MANIFEST_BYTES + 1)))
            except RefusedUploadError as error:
                _uploads[key] = Upload(name, None, error)
        return _uploads[key]

    def file(self, upload: str, path: str) -> Path:
        """Cached copy of one uploaded file.

        Raises:
            RefusedUploadError: When the path leaves the upload folder, or the file is not there.
        """
        from botocore.exceptions import ClientError

        check_path(path)
        key = f"landing/{upload}/{path}"
        client = s3_client(self.endpoint_url)
        try:
            etag = client.head_object(Bucket=self.bucket, Key=key)["ETag"].strip('"')
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:  # noqa: PLR2004 - HTTP not found
                remedy = "Upload the file, then run `fleet replay`."
                raise RefusedUploadError(
                    "missing_file", path, "every file of the manifest is uploaded", remedy
                ) from error
            raise
        return _fetch(client, self.bucket, key, self.cache / "landing" / upload / etag / path)

    def batches(self, folder: str = FOLDER) -> list[BatchFile]:
        """See `Landing.batches`. An object's name only ever shows whole content, and its ETag changes with it."""
        prefix = f"landing/{folder}/"
        listed = _list(s3_client(self.endpoint_url), self.bucket, prefix)
        found = [BatchFile(item["Key"].removeprefix(prefix), item["Size"], item["ETag"].strip('"')) for item in listed]
        return sorted((batch for batch in found if is_batch_name(batch.name)), key=lambda batch: batch.name)

    def batch(self, batch: BatchFile, folder: str = FOLDER) -> Path:
        """Cached copy of one batch; see `Landing.batch`."""
        from botocore.exceptions import ClientError

        name = hashlib.sha256(f"{batch.name}\0{batch.stamp}".encode()).hexdigest()
        key = f"landing/{folder}/{batch.name}"
        try:
            return _fetch(s3_client(self.endpoint_url), self.bucket, key, self.cache / "batches" / name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:  # noqa: PLR2004 - HTTP not found
                raise FileNotFoundError(f"{key} is not in the landing zone any more.") from error
            raise
