"""Data files are the identity of everything: the same rows give the same bytes, on any machine, at any time."""

import getpass
import hashlib
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.provenance.ledger import Partition, parse_file_name
from resources.data_files import ROW_GROUP_ROWS, DataFiles, local_path, parquet_bytes, write_atomically
from tests.resources.lake_writer import FIRST, TABLE, rows

REPOSITORY = Path(__file__).resolve().parents[2]
PRINT_DIGEST = """
import hashlib, locale, time
import numpy as np, pyarrow as pa
try:
    locale.setlocale(locale.LC_ALL, "")
except locale.Error:
    pass
from resources.data_files import parquet_bytes
numbers = np.random.default_rng(7).normal(size=300_000)
table = pa.table({
    "drive_id": pa.array(["d%d" % (n % 40) for n in range(300_000)]).dictionary_encode(),
    "t_ns": np.arange(300_000, dtype=np.int64),
    "value": pa.array(numbers, mask=numbers > 2),
    "text": pa.array(["é%d" % (n % 1000) for n in range(300_000)]),
    "ok": pa.array(numbers > 0),
})
print(hashlib.sha256(parquet_bytes(table)).hexdigest())
"""


def digest_in(**environment: str) -> str:
    """Digest of one table as a process of another environment writes it."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST],
        env={**kept, **environment},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_bytes_do_not_depend_on_hash_seed_time_zone_locale_or_threads() -> None:
    plain = digest_in(PYTHONHASHSEED="0", TZ="UTC", LC_ALL="C")
    other = digest_in(PYTHONHASHSEED="12345", TZ="Asia/Kathmandu", LC_ALL="de_DE.UTF-8", OMP_NUM_THREADS="1")
    assert plain == other
    assert len(plain) == 64


def test_the_bytes_name_no_time_no_host_and_no_user() -> None:
    data = rows("d1", FIRST, list(range(100)))
    payload = parquet_bytes(data)
    metadata = pq.read_metadata(pa.BufferReader(payload))
    assert metadata.metadata in (None, {})
    assert metadata.created_by.startswith("parquet-cpp-arrow version")
    for name in (socket.gethostname(), getpass.getuser(), str(Path.home())):
        # Short names such as "vm" would be found in any bytes.
        assert len(name) < 6 or name.encode() not in payload
    assert payload == parquet_bytes(data)


def test_how_the_rows_came_together_does_not_matter() -> None:
    """Chunks, slices and offsets are an accident of how an operator works."""
    whole = rows("d1", FIRST, list(range(50)))
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 13), whole.slice(20)])
    sliced = rows("d1", FIRST, list(range(60))).slice(0, 50)
    encoded = whole.set_column(0, "drive_id", whole["drive_id"].dictionary_encode())
    presorted = replace(TABLE, presorted=True)
    found = {
        hashlib.sha256(parquet_bytes(presorted.conform(data))).digest() for data in (whole, pieces, sliced, encoded)
    }
    assert len(found) == 1


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30), st.randoms(use_true_random=False))
def test_the_order_in_which_an_operator_returns_rows_does_not_matter(values: list[int], rng: object) -> None:
    values = sorted(set(values))
    shuffled = list(values)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert parquet_bytes(rows("d1", FIRST, values)) == parquet_bytes(rows("d1", FIRST, shuffled))


def test_one_changed_value_changes_the_bytes() -> None:
    assert parquet_bytes(rows("d1", FIRST, [1, 2])) != parquet_bytes(rows("d1", FIRST, [1, 3]))
    assert parquet_bytes(rows("d1", FIRST, [])) == parquet_bytes(TABLE.conform(TABLE.empty()))


def test_a_staged_file_is_named_by_what_it_holds_and_reads_back(tmp_path: Path) -> None:
    files = DataFiles({})
    data = rows("d1", FIRST, [3, 1, 2])
    entry = files.stage(f"file://{tmp_path}/toy/", FIRST, "d1", "f" * 24, data)
    path = local_path(entry.path)
    assert path is not None
    assert parse_file_name(entry.path) == ("d1", "f" * 24, hashlib.sha256(path.read_bytes()).hexdigest())
    assert path.parent == tmp_path / "toy" / "data" / FIRST[0] / FIRST[1]
    assert (entry.rows, entry.size_bytes) == (3, path.stat().st_size)
    assert files.read_bytes(entry.path) == path.read_bytes()
    found = files.read(TABLE, [entry])
    assert found["value"].to_pylist() == [1, 2, 3]
    assert found.schema == TABLE.arrow_schema


@pytest.mark.parametrize("kept", [0, 40, -40])
def test_a_damaged_file_is_named_with_the_remedy_and_a_lost_one_as_lost(tmp_path: Path, kept: int) -> None:
    files = DataFiles({})
    entry = files.stage(str(tmp_path), FIRST, "car1", "f" * 24, rows("car1", FIRST, [1, 2, 3]))
    path = Path(entry.path.removeprefix("file://"))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(OSError, match=r"damaged data file .*`fleet verify --mend`") as damaged:
        files.read(TABLE, [entry])
    assert damaged.value.filename == entry.path
    path.unlink()
    with pytest.raises(FileNotFoundError):
        files.read(TABLE, [entry])


def test_files_are_read_in_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    files = DataFiles({})
    partition: Partition = FIRST
    entries = [
        files.stage(str(tmp_path), partition, unit, "f" * 24, rows(unit, partition, values))
        for unit, values in (("b", [2]), ("a", [1]), ("c", []))
    ]
    assert files.read(TABLE, entries)["drive_id"].to_pylist() == ["b", "a"]
    assert files.read(TABLE, entries[::-1], ["value"]).to_pydict() == {"value": [1, 2]}
    assert files.read(TABLE, []).schema == TABLE.arrow_schema


def test_a_drive_larger_than_a_row_group_reads_back_whole(tmp_path: Path) -> None:
    count = ROW_GROUP_ROWS + 5
    keys = {
        name: pa.array([value] * count)
        for name, value in zip(("drive_id", "day", "depot"), ("d1", *FIRST), strict=True)
    }
    nothing = {
        name: pa.nulls(count, kind)
        for name, kind in (("note", pa.string()), ("speed_mps", pa.float64()), ("ok", pa.bool_()))
    }
    data = TABLE.conform(pa.table({**keys, "value": pa.array(range(count)), **nothing}))
    entry = DataFiles({}).stage(str(tmp_path), FIRST, "d1", "f" * 24, data)
    assert pq.read_metadata(local_path(entry.path)).num_row_groups == 2
    assert DataFiles({}).read(TABLE, [entry], ["value"])["value"].to_pylist() == list(range(count))


def test_a_write_that_fails_leaves_neither_a_file_nor_a_trace(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, "no bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("address", "path"),
    [("file:///a/b c/d", "/a/b c/d"), ("/a/b", "/a/b"), ("s3://bucket/a", None), ("gs://bucket/a", None)],
)
def test_only_addresses_of_this_machine_have_a_path(address: str, path: str | None) -> None:
    assert local_path(address) == (None if path is None else Path(path))
