"""The ledger is file names: what they say, and what follows from the difference between wanted and held."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.provenance.digests import EMPTY_ROOT
from fleet_assets.provenance.ledger import Entry, file_name, parse_file_name, plan, root

FINGERPRINTS = st.text("0123456789abcdef", min_size=24, max_size=24)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
UNITS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)


def entry(
    unit: str, fingerprint: str = "f", digest: str = "d", partition: tuple[str, ...] = ("2024-05-01", "n")
) -> Entry:
    return Entry(unit, partition, fingerprint, digest, 1, 10, f"{unit}.parquet")


@given(UNITS, FINGERPRINTS, DIGESTS)
def test_a_file_name_says_what_it_was_made_from(unit: str, fingerprint: str, digest: str) -> None:
    name = file_name(unit, fingerprint, digest)
    assert parse_file_name(name) == (unit, fingerprint, digest)
    assert parse_file_name(f"s3://bucket/lake/2024-05-01/north/{name}") == (unit, fingerprint, digest)


def test_a_drive_whose_name_looks_like_a_fingerprint_is_still_told_apart() -> None:
    unit = f"{'a' * 24}-{'b' * 64}"
    assert parse_file_name(file_name(unit, "c" * 24, "d" * 64)) == (unit, "c" * 24, "d" * 64)


@pytest.mark.parametrize(
    "name", ["00000-0-abc.parquet", "d1.parquet", f"d1-{'a' * 24}.parquet", f"-{'a' * 24}-{'b' * 64}.parquet"]
)
def test_a_file_of_another_writer_is_not_taken_for_one_of_ours(name: str) -> None:
    with pytest.raises(ValueError, match="not a data file of this lake"):
        parse_file_name(name)


def test_a_unit_is_current_only_when_every_output_has_it_as_wanted() -> None:
    made = plan(
        {"both": "f", "one": "f", "old": "f2", "new": "f"},
        [
            [entry("both"), entry("one"), entry("old"), entry("gone")],
            [entry("both"), entry("old"), entry("lost")],
        ],
    )
    assert made.current == ("both",)
    assert dict(made.stale) == {"one": "f", "old": "f2", "new": "f"}
    assert made.gone == ("gone", "lost")
    assert not made.is_done


def test_nothing_wanted_and_nothing_held_is_done() -> None:
    assert plan({}, [[], []]).is_done
    assert plan({"d1": "f"}, [[entry("d1")]]).is_done
    assert not plan({}, [[entry("d1")]]).is_done
    assert not plan({"d1": "f"}, [[]]).is_done


@given(st.dictionaries(UNITS, FINGERPRINTS, max_size=5), st.dictionaries(UNITS, FINGERPRINTS, max_size=5))
def test_every_unit_is_stale_gone_or_current_and_only_one_of_them(wanted: dict[str, str], held: dict[str, str]) -> None:
    made = plan(wanted, [[entry(unit, fingerprint) for unit, fingerprint in held.items()]])
    parts = [set(made.stale), set(made.gone), set(made.current)]
    assert set().union(*parts) == set(wanted) | set(held)
    assert sum(map(len, parts)) == len(set(wanted) | set(held))
    assert set(made.current) == {unit for unit in wanted if held.get(unit) == wanted[unit]}


def test_the_root_of_a_partition_depends_on_content_and_not_on_how_it_was_made_or_where_it_lies() -> None:
    one = [entry("d1", "f1", "1" * 64), entry("d2", "f1", "2" * 64)]
    two = [entry("d2", "f9", "2" * 64, ("x",)), entry("d1", "f9", "1" * 64, ("x",))]
    assert root(one) == root(two)
    assert root(one) != root([entry("d1", "f1", "1" * 64), entry("d2", "f1", "3" * 64)])
    assert root([]) == EMPTY_ROOT
