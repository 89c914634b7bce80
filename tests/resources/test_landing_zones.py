"""What every landing zone promises (`fleet_assets/provenance/platform.py`): one suite, which each of them passes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet_assets.provenance.manifest import Manifest, ManifestFile, RefusedUploadError, make_manifest
from fleet_assets.provenance.platform import Landing
from resources.landing import LocalLanding
from tests.resources.loopback import PAGE_KEYS
from tests.resources.zones import KINDS, open_zone

SHA_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def document(drive_id: str = "d1", revision: int = 0, path: str = "log/a.bin") -> dict[str, object]:
    return {
        "schema": "fleet.manifest/v1",
        "drive_id": drive_id,
        "revision": revision,
        "vehicle_id": "car1",
        "vehicle_spec": "comma2k19_rav4",
        "depot": "north",
        "start_ns": 1_714_550_400_000_000_000,
        "time_source": "gnss",
        "files": [{"path": path, "bytes": 3, "sha256": SHA_OF_ABC}],
    }


@dataclass(frozen=True)
class Zone:
    """A landing zone, and how a vehicle puts files into it."""

    landing: Landing
    put: Callable[[str, bytes], object]

    def upload(self, name: str, **manifest: str) -> None:
        """A complete upload: file first, manifest last."""
        self.put(f"{name}/log/a.bin", b"abc")
        self.put(f"{name}/manifest.json", json.dumps(document(**manifest)).encode())  # type: ignore[arg-type]

    def names(self) -> list[str]:
        """Names of what has arrived."""
        return [upload.name for upload in self.landing.uploads()]


@pytest.fixture(params=KINDS)
def zone(request: pytest.FixtureRequest, tmp_path: Path) -> Zone:
    return Zone(*open_zone(request, tmp_path))


def test_an_empty_zone_has_no_uploads(zone: Zone) -> None:
    assert zone.landing.uploads() == []


def test_a_complete_upload_is_listed_with_its_manifest_and_its_files_are_there(zone: Zone) -> None:
    zone.upload("u1")
    (upload,) = zone.landing.uploads()
    assert (upload.name, upload.refusal) == ("u1", None)
    assert upload.manifest == make_manifest(document())
    assert zone.landing.file("u1", "log/a.bin").read_bytes() == b"abc"


def test_an_upload_counts_only_once_its_manifest_is_there(zone: Zone) -> None:
    zone.put("u1/log/a.bin", b"abc")
    assert zone.names() == []
    zone.put("u1/manifest.json", json.dumps(document()).encode())
    assert zone.names() == ["u1"]


def test_a_manifest_deeper_in_an_upload_is_not_one(zone: Zone) -> None:
    zone.put("u1/log/manifest.json", json.dumps(document()).encode())
    assert zone.names() == []


@pytest.mark.parametrize("payload", [b"", b"{", b'{"schema": "fleet.manifest/v1"}', b"\xff"])
def test_an_unreadable_manifest_is_listed_with_its_refusal_and_hides_no_other(zone: Zone, payload: bytes) -> None:
    zone.put("u1/manifest.json", payload)
    zone.upload("u2")
    bad, good = zone.landing.uploads()
    assert (bad.name, bad.manifest) == ("u1", None)
    assert bad.refusal is not None
    assert bad.refusal.rule in {"manifest_json", "manifest_schema"}
    assert good.manifest is not None


def test_a_manifest_that_was_replaced_is_read_again(zone: Zone) -> None:
    zone.upload("u1", drive_id="d1")
    assert [upload.manifest and upload.manifest.drive_id for upload in zone.landing.uploads()] == ["d1"]
    zone.put("u1/manifest.json", json.dumps(document("d2", 7)).encode())
    assert [upload.manifest and upload.manifest.drive_id for upload in zone.landing.uploads()] == ["d2"]


def test_a_file_that_was_replaced_is_read_again(zone: Zone) -> None:
    zone.upload("u1")
    assert zone.landing.file("u1", "log/a.bin").read_bytes() == b"abc"
    zone.put("u1/log/a.bin", b"xyz+")
    assert zone.landing.file("u1", "log/a.bin").read_bytes() == b"xyz+"


def test_a_missing_file_is_named_with_the_remedy(zone: Zone) -> None:
    zone.upload("u1")
    with pytest.raises(RefusedUploadError, match="missing_file: found log/b.bin.*Upload the file") as caught:
        zone.landing.file("u1", "log/b.bin")
    assert caught.value.rule == "missing_file"


@pytest.mark.parametrize("path", ["../u2/log/a.bin", "../../etc/passwd", "/etc/passwd", "log/../../u2/log/a.bin"])
def test_a_path_that_leaves_its_upload_is_refused(zone: Zone, path: str) -> None:
    zone.upload("u1")
    zone.upload("u2")
    with pytest.raises(RefusedUploadError) as caught:
        zone.landing.file("u1", path)
    assert caught.value.rule == "path_traversal"


def test_listing_that_loses_its_filter_after_page_1(zone: Zone) -> None:
    """ADDF's defect: where only the first page is asked for with the prefix, later pages hold everything."""
    names = [f"u{number}" for number in range(2 * PAGE_KEYS + 2)]
    for name in reversed(names):
        zone.upload(name, drive_id=name)
        zone.put(f"../other/{name}/manifest.json", json.dumps(document("elsewhere")).encode())
        zone.put(f"incomplete-{name}/a.bin", b"abc")
    assert zone.names() == names
    assert [upload.manifest and upload.manifest.drive_id for upload in zone.landing.uploads()] == names


# -- only folders can hold links, strange names and half a delivery ------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "landing" / "u1").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "landing"


@pytest.mark.parametrize("link", ["file", "folder", "chain"])
def test_a_link_that_leads_out_of_the_upload_is_refused(folder: Path, link: str) -> None:
    secret = folder.parent / "secret"
    if link == "file":
        (folder / "u1" / "a.bin").symlink_to(secret)
    elif link == "folder":
        (folder / "u1" / "sub").symlink_to(folder.parent)
    else:
        (folder / "u1" / "b").symlink_to(secret)
        (folder / "u1" / "a.bin").symlink_to("b")
    with pytest.raises(RefusedUploadError, match="Upload the file itself, not a link"):
        LocalLanding(folder).file("u1", "sub/secret" if link == "folder" else "a.bin")


def test_a_link_inside_the_upload_is_followed(folder: Path) -> None:
    (folder / "u1" / "real.bin").write_bytes(b"abc")
    (folder / "u1" / "a.bin").symlink_to("real.bin")
    assert LocalLanding(folder).file("u1", "a.bin").read_bytes() == b"abc"


@pytest.mark.parametrize("kind", ["loop", "folder", "pipe", "dangling"])
def test_what_is_no_file_counts_as_missing(folder: Path, kind: str) -> None:
    path = folder / "u1" / "a.bin"
    if kind == "loop":
        path.symlink_to("a.bin")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    with pytest.raises(RefusedUploadError) as caught:
        LocalLanding(folder).file("u1", "a.bin")
    assert caught.value.rule == "missing_file"


def test_hidden_folders_and_loose_files_are_no_uploads(folder: Path) -> None:
    for name in (".incoming-1-abc", ".hidden"):
        (folder / name).mkdir()
        (folder / name / "manifest.json").write_text(json.dumps(document()))
    (folder / "manifest.json").write_text(json.dumps(document()))
    assert LocalLanding(folder).uploads() == []


def test_a_folder_whose_name_no_table_can_hold_is_refused_and_hides_no_other(folder: Path) -> None:
    strange = os.fsencode(folder) + b"/\xff\xfe"
    os.mkdir(strange)  # noqa: PTH102 - a name that is no text
    Path(os.fsdecode(strange + b"/manifest.json")).write_text(json.dumps(document()))
    (folder / "u1" / "manifest.json").write_text(json.dumps(document()))
    uploads = {upload.name: upload for upload in LocalLanding(folder).uploads()}
    refused = uploads.pop(ascii(os.fsdecode(b"\xff\xfe")))
    assert refused.refusal is not None
    assert refused.refusal.rule == "upload_name"
    assert list(uploads) == ["u1"]


def deliver(landing: LocalLanding, source: Path, **manifest: object) -> tuple[str, Manifest]:
    staged, files = landing.stage([("log/a.bin", source)])
    stated = document(**manifest) | {  # type: ignore[arg-type]
        "files": [{"path": file.path, "bytes": file.size_bytes, "sha256": file.sha256} for file in files]
    }
    made = make_manifest(stated)
    return landing.publish(staged, made), made


def test_a_delivery_is_invisible_until_it_is_published(folder: Path) -> None:
    landing, source = LocalLanding(folder), folder.parent / "source"
    source.write_bytes(b"abc")
    copied: list[int] = []
    staged, files = landing.stage([("log/a.bin", source)], copied.append)
    assert files == [ManifestFile("log/a.bin", 3, SHA_OF_ABC)]
    assert sum(copied) == 3
    assert landing.uploads() == []
    name = landing.publish(staged, make_manifest(document()))
    assert [upload.name for upload in landing.uploads()] == [name] == ["d1-r0"]
    assert landing.file(name, "log/a.bin").read_bytes() == b"abc"
    assert not staged.exists()


def test_the_same_delivery_twice_is_one_upload(folder: Path) -> None:
    landing, source = LocalLanding(folder), folder.parent / "source"
    source.write_bytes(b"abc")
    first = deliver(landing, source)
    assert deliver(landing, source) == first
    assert len(landing.uploads()) == 1
    assert not list(folder.glob(".incoming-*"))


def test_another_content_under_the_same_drive_and_revision_arrives_beside_it(folder: Path) -> None:
    landing, source = LocalLanding(folder), folder.parent / "source"
    source.write_bytes(b"abc")
    first, _ = deliver(landing, source)
    source.write_bytes(b"abd")
    second, made = deliver(landing, source)
    assert second == f"d1-r0-{made.sha256[:12]}"
    assert deliver(landing, source) == (second, made)
    assert sorted(upload.name for upload in landing.uploads()) == sorted([first, second])


def test_what_a_killed_delivery_left_behind_is_cleared_and_that_of_a_living_one_is_not(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead, alive = folder / f".incoming-{int(done.stdout)}-aa", folder / f".incoming-{os.getppid()}-bb"
    for left in (dead, alive):
        left.mkdir()
        (left / "a.bin").write_bytes(b"ab")
    source = folder.parent / "source"
    source.write_bytes(b"abc")
    deliver(LocalLanding(folder), source)
    assert not dead.exists()
    assert alive.exists()
