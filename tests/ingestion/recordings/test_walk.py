"""What a tree of files can do to a walk through it: links, loops, permissions, size, depth, listings in any order."""

import os
import random
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.discovery.discover import discover
from fleet_assets.ingestion.recordings.discovery.walk import Tally, walk
from tests.ingestion.recordings.folders import JPEG, START_NS, reasons
from tests.mdf4_factory import write_mdf4_drive


def test_links_out_of_the_folder_are_not_followed_and_loops_end(mdf4: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    shutil.copyfile(mdf4 / "00000001.mf4", secret / "other.MF4")
    (mdf4 / "outside").symlink_to(secret)
    (mdf4 / "outside.MF4").symlink_to(secret / "other.MF4")
    (mdf4 / "loop").symlink_to(mdf4)
    (mdf4 / "me").symlink_to("me")
    (mdf4 / "again.MF4").symlink_to("00000001.mf4")
    (found,), ignored = discover(mdf4)
    assert len(found.files) == 3
    assert reasons(ignored) == {
        "link that leads out of the folder; ingest its target by its own path": 2,
        "link to something that is looked at in its own place": 2,
        "link that leads nowhere": 1,
    }


def test_links_into_the_hidden_store_of_a_data_versioning_tool_are_followed(mdf4: Path) -> None:
    store = mdf4 / ".annex" / "objects"
    store.mkdir(parents=True)
    for path in sorted(mdf4.glob("*.mf4")):
        path.rename(store / path.name)
        path.symlink_to(store / path.name)
    (found,), ignored = discover(mdf4)
    assert len(found.files) == 3
    assert reasons(ignored) == {"hidden": 1}


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of a user without privileges, who this test becomes."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    yield folder
    os.seteuid(user)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


def test_files_and_folders_without_permission_are_named_and_hide_no_other(as_nobody: Path) -> None:
    write_mdf4_drive(as_nobody / "card", start_utc_ns=START_NS, seconds=2, files=2)
    (as_nobody / "card").chmod(0o755)
    for path in (as_nobody / "card").iterdir():
        path.chmod(0o644)
    shutil.copyfile(as_nobody / "card" / "00000001.mf4", as_nobody / "locked.MF4")
    (as_nobody / "locked.MF4").chmod(0)
    (as_nobody / "closed").mkdir(mode=0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    (found,), ignored = discover(as_nobody)
    assert len(found.files) == 2
    assert reasons(ignored) == {
        "cannot be read (Permission denied)": 1,
        "folder that cannot be listed (Permission denied)": 1,
    }


def test_a_tree_that_is_too_large_is_cut_off_and_said(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        for file in range(10):
            (tmp_path / str(number) / str(file)).touch()
    tally = Tally()
    folders = list(walk(tmp_path, tally, most=30))
    assert sum(len(folder.names) for folder in folders) == 20
    assert "30 entries are the most" in tally.rows()[0].reason


def test_a_deep_tree_is_walked_without_recursion(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(400):
        deep = deep / "d"
    deep.mkdir(parents=True)
    write_mdf4_drive(tmp_path, start_utc_ns=START_NS, seconds=1)
    shutil.move(tmp_path / "00000001.mf4", deep)
    (found,), _ = discover(tmp_path)
    assert found.root == deep


@given(st.randoms(use_true_random=False))
def test_the_order_in_which_files_were_written_never_matters(rng: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        contents = {"a.jpg": JPEG, "b.txt": b"text", "x/c.jpg": JPEG, "x/d": b"", "y/e": b"\0" * 9, "z/f": b"\1\2\0"}
        order = list(contents)
        rng.shuffle(order)
        for name in order:
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(contents[name])
        founds, ignored = discover(Path(folder))
        assert founds == []
        assert [(str(item.path.relative_to(Path(folder).resolve())), item.files) for item in ignored] == [
            ("a.jpg", 2), ("b.txt", 1), ("x/d", 1), ("y/e", 1), ("z/f", 1),
        ]  # fmt: skip


def test_listing_that_loses_its_filter_after_its_first_page(tmp_path: Path) -> None:
    """ADDF's defect, for folders: what the first thousand entries are judged by, all the others are too."""
    write_mdf4_drive(tmp_path / "source", start_utc_ns=START_NS, seconds=1)
    (path,) = (tmp_path / "source").iterdir()
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(2500):
        (folder / f"{number:05d}.MF4").write_bytes(JPEG)
    shutil.copyfile(path, folder / "zzz.dat")
    (found,), ignored = discover(folder)
    assert list(found.files) == ["zzz.dat"]
    assert [item.files for item in ignored] == [2500]


@pytest.mark.parametrize("name", ["00000001.mf4.part", "00000001.mf4.bak", "xmf4", "00000001.MF4~", "mf4"])
def test_a_suffix_neither_makes_nor_unmakes_a_recording(tmp_path: Path, name: str) -> None:
    """ADDF's defect: a suffix filter that also takes look-alikes, and misses files of another spelling."""
    write_mdf4_drive(tmp_path, start_utc_ns=START_NS, seconds=1)
    (tmp_path / "00000001.mf4").rename(tmp_path / name)
    (tmp_path / "fake.MF4").write_bytes(JPEG)
    (found,), _ = discover(tmp_path)
    assert list(found.files) == [name]
