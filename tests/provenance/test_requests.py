"""Requests are content-addressed: a retry is the same request, and none can cause itself."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.provenance.requests import CircularRequestError, Request, from_row, refuse_cycle
from fleet_assets.tables.ops import REQUESTS
from resources.iceberg import IcebergLake
from resources.requests import RequestBook

BODIES = st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5))


@pytest.fixture
def book(tmp_path: Path) -> RequestBook:
    properties = {"type": "sql", "uri": f"sqlite:///{tmp_path}/c.db", "warehouse": f"file://{tmp_path}/w"}
    return RequestBook(IcebergLake(properties))


def caused_by(request: Request) -> str:
    return f"request:{request.request_id}"


@given(BODIES, st.text(max_size=5))
def test_a_request_is_named_by_what_it_says(body: dict[str, object], cause: str) -> None:
    request = Request("label", body, cause)
    again = Request("label", dict(reversed(body.items())), cause)
    assert request.request_id == again.request_id
    assert from_row(request.row()) == request


def test_kind_body_and_cause_all_count() -> None:
    ids = {
        Request(*parts).request_id
        for parts in (("a", {"x": 1}, "c"), ("b", {"x": 1}, "c"), ("a", {"x": 2}, "c"), ("a", {"x": 1}, "d"))
    }
    assert len(ids) == 4


def test_the_same_request_twice_is_one(book: RequestBook) -> None:
    first = book.append(Request("release", {"drive_id": "d1", "rule": "gap"}, "person:ann"))
    snapshots = len(book.lake.catalog.load_table(REQUESTS.key).metadata.snapshots)  # type: ignore[attr-defined]
    second = book.append(Request("release", {"rule": "gap", "drive_id": "d1"}, "person:ann"))
    assert first.request_id == second.request_id
    assert book.all() == [first]
    assert len(book.lake.catalog.load_table(REQUESTS.key).metadata.snapshots) == snapshots  # type: ignore[attr-defined]


def test_the_book_gives_back_every_request_sorted_by_id(book: RequestBook) -> None:
    made = [
        book.append(Request("retry", {"drive_id": f"d{number}", "note": "é ✓"}, "person:ann")) for number in range(5)
    ]
    assert book.all() == sorted(made, key=lambda request: request.request_id)


def test_a_request_that_would_cause_itself_is_refused_with_the_chain(book: RequestBook) -> None:
    mine = book.append(Request("mine", {"clip": "c1"}, "monitoring/drift"))
    label = book.append(Request("label", {"clip": "c1"}, caused_by(mine)))
    with pytest.raises(CircularRequestError, match=r"mine would cause itself: mine\(.*label\(.*mine\(.*Break the loop"):
        book.append(Request("mine", {"clip": "c1"}, caused_by(label)))
    assert len(book.all()) == 2


def test_a_request_may_lead_to_another_one_of_its_kind(book: RequestBook) -> None:
    first = book.append(Request("mine", {"clip": "c1"}, "monitoring/drift"))
    book.append(Request("mine", {"clip": "c2"}, caused_by(first)))
    assert len(book.all()) == 2


def test_two_requests_with_the_same_words_and_other_causes_are_two(book: RequestBook) -> None:
    book.append(Request("mine", {"clip": "c1"}, "person:ann"))
    book.append(Request("mine", {"clip": "c1"}, "person:bob"))
    assert len(book.all()) == 2


def test_an_unknown_cause_is_refused(book: RequestBook) -> None:
    with pytest.raises(CircularRequestError, match="not a known request. Name an existing one"):
        book.append(Request("label", {}, "request:" + "0" * 64))
    assert book.all() == []


def test_a_loop_is_found_however_long_the_chain_is() -> None:
    chain = [Request("step0", {}, "person:ann")]
    for number in range(1, 50):
        chain.append(Request(f"step{number}", {}, caused_by(chain[-1])))
    refuse_cycle(Request("step50", {}, caused_by(chain[-1])), chain)
    with pytest.raises(CircularRequestError):
        refuse_cycle(Request("step0", {}, caused_by(chain[-1])), chain)
