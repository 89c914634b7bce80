"""What every landing zone promises about telemetry batches: one suite, which each of them passes."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet_assets.provenance.batches import BatchFile, is_batch_name
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.platform import Landing
from resources.landing import LocalLanding
from tests.resources.zones import KINDS, open_zone


@dataclass(frozen=True)
class Zone:
    """A landing zone, and how a vehicle puts files into it."""

    landing: Landing
    put: Callable[[str, bytes], object]

    def names(self) -> list[str]:
        """Names of the batches that have arrived."""
        return [batch.name for batch in self.landing.batches()]


@pytest.fixture(params=KINDS)
def zone(request: pytest.FixtureRequest, tmp_path: Path) -> Zone:
    return Zone(*open_zone(request, tmp_path))


def test_an_empty_zone_has_no_batches(zone: Zone) -> None:
    assert zone.landing.batches() == []


def test_batches_are_listed_by_name_over_all_pages_and_folders(zone: Zone) -> None:
    names = ["a", "b.jsonl", "car1/2024-05-01/x.jsonl.gz", "z.zst"]
    for name in reversed(names):
        zone.put(f"telemetry/{name}", b"{}\n")
    assert zone.names() == names
    assert [zone.landing.batch(batch).read_bytes() for batch in zone.landing.batches()] == [b"{}\n"] * 4


@pytest.mark.parametrize("name", [".hidden", "a.tmp", "a.jsonl.part", "a.jsonl~", ".incoming-1/a", "~a", "A.TMP"])
def test_what_is_still_being_written_is_no_batch(zone: Zone, name: str) -> None:
    zone.put(f"telemetry/{name}", b"{}")
    assert zone.names() == []


def test_batches_are_no_uploads_and_uploads_no_batches(zone: Zone) -> None:
    zone.put("telemetry/a", b"{}")
    zone.put("u1/log/a.bin", b"abc")
    assert zone.landing.uploads() == []
    assert zone.names() == ["a"]


def test_a_batch_that_was_replaced_has_another_stamp_and_is_read_again(zone: Zone) -> None:
    zone.put("telemetry/a", b"one")
    (before,) = zone.landing.batches()
    assert zone.landing.batch(before).read_bytes() == b"one"
    assert zone.landing.batches() == [before]
    zone.put("telemetry/a", b"other")
    (after,) = zone.landing.batches()
    assert after.stamp != before.stamp
    assert zone.landing.batch(after).read_bytes() == b"other"


def test_a_batch_that_is_gone_is_named(zone: Zone) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        zone.landing.batch(BatchFile("gone", 1, "x")).open()


def test_a_link_and_a_folder_are_no_batches(tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "telemetry"
    (folder / "inside").mkdir(parents=True)
    (tmp_path / "secret").write_text("{}")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to(folder)
    assert LocalLanding(tmp_path / "landing").batches() == []


def test_a_batch_is_put_once_under_its_digest(tmp_path: Path) -> None:
    source = tmp_path / "batch.jsonl"
    source.write_bytes(b"{}\n")
    landing = LocalLanding(tmp_path / "landing")
    first, second = landing.put_batch(source), landing.put_batch(source)
    assert first == second == (file_sha256(source)[:32], file_sha256(source))
    assert [batch.name for batch in landing.batches()] == [first[0]]
    assert sorted(path.name for path in (tmp_path / "landing").iterdir()) == ["telemetry"]


def test_a_name_that_is_no_text_can_still_be_listed_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "telemetry"
    folder.mkdir(parents=True)
    os.close(os.open(bytes(folder) + b"/\xff.jsonl", os.O_CREAT | os.O_WRONLY))
    (batch,) = LocalLanding(tmp_path / "landing").batches()
    assert batch.printable == "\\udcff.jsonl"
    assert LocalLanding(tmp_path / "landing").batch(batch).read_bytes() == b""


def test_names_of_batches_are_told_from_those_of_unfinished_files() -> None:
    assert is_batch_name("car1/a.jsonl")
    assert not is_batch_name("car1/")
    assert not is_batch_name("")
