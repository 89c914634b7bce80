"""Roots are those of RFC 6962's tree over sorted names, computed here a second time from the text of the RFC."""

import hashlib
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.provenance.digests import EMPTY_ROOT, file_sha256, merkle_root

# Test vectors of the reference implementation (google/certificate-transparency, merkletree/merkle_tree_test.cc).
VECTOR_LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
)]  # fmt: skip
VECTOR_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def rfc_6962_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + rfc_6962_root(leaves[:k]) + rfc_6962_root(leaves[k:])).digest()


def leaf(name: str, digest: str) -> bytes:
    return f"{name}\x00{digest}".encode()


def digest_number(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


LEAVES = st.dictionaries(st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), st.integers(0, 99).map(digest_number))


def test_the_oracle_of_this_file_gives_the_published_roots() -> None:
    for count, root in enumerate(VECTOR_ROOTS, start=1):
        assert rfc_6962_root(VECTOR_LEAVES[:count]).hex() == root


@pytest.mark.parametrize("count", range(10))
def test_the_root_of_some_drives_is_that_of_the_rfc(count: int) -> None:
    leaves = [(f"drive{number}", digest_number(number)) for number in range(count)]
    assert merkle_root(leaves) == rfc_6962_root([leaf(*pair) for pair in sorted(leaves)]).hex()


def test_no_drives_have_the_hash_of_nothing() -> None:
    assert merkle_root([]) == EMPTY_ROOT == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(LEAVES)
def test_any_drives_have_the_root_of_the_rfc(drives: dict[str, str]) -> None:
    assert merkle_root(drives.items()) == rfc_6962_root([leaf(*pair) for pair in sorted(drives.items())]).hex()


def test_the_order_of_arrival_does_not_matter() -> None:
    leaves = [(f"d{number}", digest_number(number)) for number in range(5)]
    assert len({merkle_root(order) for order in permutations(leaves)}) == 1


@given(LEAVES, LEAVES)
def test_other_drives_have_another_root(one: dict[str, str], two: dict[str, str]) -> None:
    assert (merkle_root(one.items()) == merkle_root(two.items())) == (one == two)


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    """Second preimage: without the RFC's prefixes a tree of two leaves equals one leaf that holds both hashes."""
    left, right = (hashlib.sha256(b"\x00" + leaf(*pair)).digest() for pair in (("a", "1" * 64), ("b", "2" * 64)))
    root = merkle_root([("a", "1" * 64), ("b", "2" * 64)])
    assert root == hashlib.sha256(b"\x01" + left + right).hexdigest()
    assert root != hashlib.sha256(b"\x00" + left + right).hexdigest()


def test_a_promoted_odd_leaf_is_not_hashed_with_itself() -> None:
    """CVE-2012-2459: where an odd leaf is doubled, two different lists have one root."""
    leaves = [(f"d{number}", digest_number(number)) for number in range(3)]
    level = [hashlib.sha256(b"\x00" + leaf(*pair)).digest() for pair in leaves]
    pair = hashlib.sha256(b"\x01" + level[0] + level[1]).digest()
    assert merkle_root(leaves) == hashlib.sha256(b"\x01" + pair + level[2]).hexdigest()


def test_two_digests_for_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="d1: two digests for one name"):
        merkle_root([("d1", "1" * 64), ("d2", "1" * 64), ("d1", "2" * 64)])


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (1 << 20) + 1])
def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "file").write_bytes(content[:size])
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content[:size]).hexdigest()
