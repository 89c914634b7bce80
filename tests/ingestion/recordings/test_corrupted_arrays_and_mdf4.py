"""Damaged comma2k19 arrays and MDF 4 files, read under limits: no crash, no hang, nothing disappears without a word."""

import re

import pytest

from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, assert_survives, read_limited
from tests.mdf4_factory import write_mdf4_drive
from tests.recordings_factory import write_comma2k19_drive

START_NS = 1_700_000_000_000_000_000
SEEDS = [*FAST_SEEDS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SLOW_SEEDS)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("mdf4")
    return next(iter(write_mdf4_drive(folder, start_utc_ns=START_NS, seconds=5.0).values())).read_bytes()


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    files = write_comma2k19_drive(tmp_path_factory.mktemp("arrays"), start_utc_ns=START_NS, seconds=2.0)
    return {name: path.read_bytes() for name, path in files.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_mdf4_file_is_read_or_refused_and_what_is_missing_is_named(log: bytes, seed: int) -> None:
    intact = read_limited({"log": log}, ("mdf4",)).total
    blocks = [match.start() for match in re.finditer(rb"##[A-Z]{2}", log)]
    fields = [at + 8 * step for at in blocks for step in range(14)]
    assert_survives(log, seed, name="log", formats=("mdf4",), intact=intact, boundaries=fields)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_array_is_read_or_refused_and_what_is_missing_is_named(arrays: dict[str, bytes], seed: int) -> None:
    intact = read_limited(arrays, ("comma2k19",))
    name = sorted(arrays)[seed * 7 % len(arrays)]
    others = {other: content for other, content in arrays.items() if other != name}
    outcome = assert_survives(
        arrays[name],
        seed,
        name=name,
        formats=("comma2k19",),
        intact=intact.total,
        boundaries=range(0, 128, 2),
        others=others,
    )
    assert outcome.state == "read"
