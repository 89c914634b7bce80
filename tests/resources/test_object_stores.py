"""What every object store promises (`fleet_assets/provenance/objects.py`): one suite, which each of them passes."""

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fleet_assets.provenance.objects import AccessDeniedError, ObjectMismatchError, ObjectRef, ObjectStore
from resources.objects import COPY_BYTES, LocalObjects
from resources.s3 import PART_BYTES, S3Objects
from tests.resources.loopback import PAGE_KEYS, S3


@dataclass(frozen=True)
class Store:
    """A store with all classes granted, and the same store with some."""

    full: ObjectStore
    granting: Callable[[tuple[str, ...]], ObjectStore]
    folder: Path

    def source(self, content: bytes, name: str = "source.bin") -> tuple[Path, ObjectRef]:
        """A file to put, and what is expected of it."""
        path = self.folder / name
        path.write_bytes(content)
        return path, ObjectRef(hashlib.sha256(content).hexdigest(), len(content))

    def put(self, content: bytes, access: str = "open") -> ObjectRef:
        """Put some bytes."""
        path, expected = self.source(content)
        return self.full.put(path, access, expected)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    both = ("raw", "open")
    if request.param == "local":
        local = LocalObjects(str(tmp_path / "objects"), both)
        return Store(local, lambda granted: replace(local, granted=granted), tmp_path)
    s3: S3 = request.getfixturevalue("s3")
    remote = S3Objects(s3.bucket, tmp_path / "cache", both, s3.endpoint_url)
    return Store(remote, lambda granted: replace(remote, granted=granted), tmp_path)


@pytest.mark.parametrize("size", [0, 1, 1000, COPY_BYTES + 1])
def test_what_was_put_is_there_byte_by_byte(store: Store, size: int) -> None:
    content = os.urandom(size)
    reference = store.put(content)
    assert reference == ObjectRef(hashlib.sha256(content).hexdigest(), size)
    assert store.full.exists(reference.sha256, "open")
    assert store.full.local(reference.sha256, "open").read_bytes() == content


def test_a_recording_larger_than_one_part_arrives_whole_and_reports_its_progress(store: Store) -> None:
    content = os.urandom(1 << 20) * (PART_BYTES // (1 << 20) + 1)
    path, expected = store.source(content)
    seen: list[int] = []
    store.full.put(path, "raw", expected, seen.append)
    assert sum(seen) == len(content)
    assert len(seen) > 1
    assert hashlib.sha256(store.full.local(expected.sha256, "raw").read_bytes()).hexdigest() == expected.sha256


def test_putting_the_same_again_does_nothing_and_needs_no_source(store: Store) -> None:
    path, expected = store.source(b"recording")
    store.full.put(path, "open", expected)
    path.unlink()
    seen: list[int] = []
    assert store.full.put(path, "open", expected, seen.append) == expected
    assert seen == []


@pytest.mark.parametrize(
    ("what", "change"),
    [("sha256", {"sha256": "0" * 64}), ("size", {"size_bytes": 3}), ("size", {"size_bytes": 30})],
)
def test_bytes_that_are_not_what_was_promised_are_not_stored(store: Store, what: str, change: dict[str, Any]) -> None:
    path, right = store.source(b"recording")
    wrong = replace(right, **change)
    with pytest.raises(ObjectMismatchError, match=f"source.bin: {what} is .*Upload the file again") as caught:
        store.full.put(path, "open", wrong)
    assert caught.value.what == what
    assert not store.full.exists(wrong.sha256, "open")
    assert list(store.full.digests("open")) == []
    assert store.full.put(path, "open", right) == right


def test_an_object_that_is_not_there_is_named_with_the_way_out(store: Store) -> None:
    assert not store.full.exists("a" * 64, "open")
    with pytest.raises(FileNotFoundError, match=f"object {'a' * 64} .open. is not in the store. Restore it or replay"):
        store.full.local("a" * 64, "open")


def test_a_deleted_object_is_gone_and_deleting_it_again_is_fine(store: Store) -> None:
    reference, kept = store.put(b"one"), store.put(b"two")
    assert store.full.local(reference.sha256, "open").exists()
    for _ in range(2):
        store.full.delete(reference.sha256, "open")
    assert not store.full.exists(reference.sha256, "open")
    with pytest.raises(FileNotFoundError):
        store.full.local(reference.sha256, "open")
    assert list(store.full.digests("open")) == [kept]


def test_the_same_bytes_in_two_classes_are_two_objects(store: Store) -> None:
    reference = store.put(b"face", "raw")
    assert not store.full.exists(reference.sha256, "open")
    store.put(b"face", "open")
    store.full.delete(reference.sha256, "raw")
    assert store.full.exists(reference.sha256, "open")


def test_a_holder_without_the_class_is_refused_whatever_it_tries(store: Store) -> None:
    reference = store.put(b"face", "raw")
    redacted = store.granting(("open",))
    path, expected = store.source(b"other")
    attempts: list[Callable[[], object]] = [
        lambda: redacted.local(reference.sha256, "raw"),
        lambda: redacted.exists(reference.sha256, "raw"),
        lambda: redacted.put(path, "raw", expected),
        lambda: redacted.delete(reference.sha256, "raw"),
        lambda: list(redacted.digests("raw")),
    ]
    for attempt in attempts:
        with pytest.raises(AccessDeniedError, match="'raw' are not readable here .granted: open.*redacted counterpart"):
            attempt()
    assert store.full.exists(reference.sha256, "raw")
    with pytest.raises(AccessDeniedError, match="'secret' does not exist. Known: raw, open"):
        store.full.exists(reference.sha256, "secret")


def test_a_holder_is_granted_open_objects_only_unless_it_asks_for_more() -> None:
    assert LocalObjects("somewhere").granted == S3Objects("bucket", Path("somewhere")).granted == ("open",)


def test_listing_that_loses_its_filter_after_page_1(store: Store) -> None:
    """ADDF's defect: where only the first page is asked for with the prefix, later pages hold everything."""
    count = 2 * PAGE_KEYS + 2
    mine = sorted((store.put(f"open {number}".encode(), "open") for number in range(count)), key=lambda r: r.sha256)
    raw = sorted((store.put(f"raw {number}".encode(), "raw") for number in range(count)), key=lambda r: r.sha256)
    assert list(store.full.digests("open")) == mine
    assert list(store.full.digests("raw")) == raw


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert list(store.full.digests("open")) == []


def test_a_source_that_cannot_be_read_leaves_no_object(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.full.put(store.folder / "absent", "open", ObjectRef("a" * 64, 5))
    assert not store.full.exists("a" * 64, "open")
    assert list(store.full.digests("open")) == []


def test_threads_that_put_the_same_object_at_once_end_with_one_whole_object(tmp_path: Path) -> None:
    store = LocalObjects(str(tmp_path / "objects"))
    content = os.urandom(COPY_BYTES + 10)
    (tmp_path / "source").write_bytes(content)
    expected = ObjectRef(hashlib.sha256(content).hexdigest(), len(content))
    errors: list[BaseException] = []

    def put() -> None:
        try:
            store.put(tmp_path / "source", "open", expected)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list(store.digests("open")) == [expected]
    assert store.local(expected.sha256, "open").read_bytes() == content


def test_raw_objects_lie_in_a_folder_that_only_its_owner_opens(tmp_path: Path) -> None:
    store = LocalObjects(str(tmp_path / "objects"), ("raw", "open"))
    (tmp_path / "source").write_bytes(b"face")
    store.put(tmp_path / "source", "raw", ObjectRef(hashlib.sha256(b"face").hexdigest(), 4))
    mode = store.local(hashlib.sha256(b"face").hexdigest(), "raw").parent.stat().st_mode
    assert mode & 0o077 == 0


def put_and_die(root: str, source: str, sha256: str, size: int) -> None:
    """Copy one buffer, then die as if the power went."""

    def die(_: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    LocalObjects(root).put(Path(source), "open", ObjectRef(sha256, size), die)


@pytest.mark.parametrize("damage", ["none", "truncated", "longer", "other bytes"])
def test_a_copy_that_was_cut_short_is_resumed_and_checked(tmp_path: Path, damage: str) -> None:
    content = os.urandom(3 * COPY_BYTES + 17)
    source = tmp_path / "source"
    source.write_bytes(content)
    expected = ObjectRef(hashlib.sha256(content).hexdigest(), len(content))
    store = LocalObjects(str(tmp_path / "objects"))
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=put_and_die, args=(store.root, str(source), expected.sha256, expected.size_bytes))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (partial,) = Path(store.root).rglob(".partial-*")
    assert not store.exists(expected.sha256, "open")
    assert list(store.digests("open")) == []
    held = partial.read_bytes()
    assert held == content[:COPY_BYTES]
    partial.write_bytes(
        {
            "none": held,
            "truncated": held[:1000],
            "longer": content + b"more",
            "other bytes": held[:-1] + bytes([held[-1] ^ 1]),
        }[damage]
    )
    copied: list[int] = []
    assert store.put(source, "open", expected, copied.append) == expected
    assert store.local(expected.sha256, "open").read_bytes() == content
    assert not list(Path(store.root).rglob(".partial-*"))
    if damage == "none":
        assert sum(copied) == len(content) - COPY_BYTES


def test_a_cut_copy_of_another_living_process_is_left_alone(tmp_path: Path) -> None:
    content = b"recording"
    (tmp_path / "source").write_bytes(content)
    expected = ObjectRef(hashlib.sha256(content).hexdigest(), len(content))
    store = LocalObjects(str(tmp_path / "objects"))
    folder = Path(store.root) / "open" / expected.sha256[:2]
    folder.mkdir(parents=True)
    other = folder / f".partial-{expected.sha256}-{os.getppid()}-1"
    other.write_bytes(b"rec")
    store.put(tmp_path / "source", "open", expected)
    assert other.read_bytes() == b"rec"
    assert store.local(expected.sha256, "open").read_bytes() == content


def test_a_failed_upload_to_s3_leaves_no_parts_behind(s3: S3, tmp_path: Path) -> None:
    store = S3Objects(s3.bucket, tmp_path / "cache", endpoint_url=s3.endpoint_url)
    (tmp_path / "source").write_bytes(b"recording")
    with pytest.raises(ObjectMismatchError):
        store.put(tmp_path / "source", "open", ObjectRef("0" * 64, 9))
    assert s3.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", []) == []
    assert s3.keys() == []
