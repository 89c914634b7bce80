"""What the vector index keeps of its drives by bucket: counted where something changed, and equal to all at once."""

from pathlib import Path
from typing import Any

import pytest

from resources import vectors as module
from resources.vectors import LanceVectors
from resources.vectors_account import bucket_of, counts_of, from_text, rows_in
from resources.vectors_lists import ListFiles
from tests.vector_files import INDEX, NORTH, SMALL, SPACE, Embeddings, clips, exact, index_in


@pytest.fixture
def made(tmp_path: Path) -> Embeddings:
    return Embeddings(tmp_path)


@pytest.fixture
def index(tmp_path: Path) -> LanceVectors:
    return index_in(tmp_path)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Buckets of the account that runs counted, in order; None for all."""
    seen: list[Any] = []

    def count(account: Any, buckets: Any) -> Any:
        seen.append(None if buckets is None else set(buckets))
        return rows_in(account, buckets)

    monkeypatch.setattr(module, "rows_in", count)
    return seen


def test_one_more_drive_is_counted_in_its_own_bucket_alone_and_all_after_a_run_that_died(
    index: LanceVectors, made: Embeddings, counted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [made.drive(drive) for drive in "abcd"]
    index.sync(entries[:2], made.read, NORTH)
    counted.clear()
    index.sync(entries[:3], made.read, NORTH)
    index.sync(entries[:3], made.read, NORTH)
    index.sync([entries[0], entries[2]], made.read, NORTH)
    index.collect()
    index.sync(entries[:3], made.read, NORTH)
    own = {drive: bucket_of((*NORTH, drive)) for drive in "abcd"}  # type: ignore[arg-type]
    assert counted == [{own["c"]}, set(), {own["b"]}, {own["b"]}]

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt(len(arguments))

    with monkeypatch.context() as patch:
        patch.setattr(module, "tidy", die)
        with pytest.raises(KeyboardInterrupt):
            index.sync(entries, made.read, NORTH)
    counted.clear()
    assert index.sync(entries, made.read, NORTH).versions[0].clips == 24
    assert counted == [None]


@pytest.mark.parametrize("policy", [INDEX, SMALL], ids=["few", "many"])
def test_counts_kept_from_run_to_run_are_those_of_an_index_made_at_once(
    tmp_path: Path, made: Embeddings, policy: dict[str, Any]
) -> None:
    index, drives = index_in(tmp_path / "slowly", policy), [f"c{at:02d}" for at in range(16)]
    entries = {drive: made.drive(drive) for drive in drives}
    states = [drives[:3], drives[:12], drives[:13], [*drives[:5], *drives[6:14]], drives]
    for state in states:
        index.sync([entries[drive] for drive in state], made.read, NORTH)
    entries["c01"] = made.drive("c01", clips=4, seed=1)
    (last,) = index.sync(list(entries.values()), made.read, NORTH).versions
    anew = index_in(tmp_path / "at-once", policy)
    (whole,) = anew.sync(list(entries.values()), made.read, NORTH).versions
    assert (last.root, last.clips, last.kind) == (whole.root, whole.clips, whole.kind)
    rows = index.database.opened("versions").to_arrow().to_pylist()
    (row,) = [row for row in rows if row["number"] == last.number]
    kept = from_text(row["counts"])
    assert len(kept) == len({bucket_of((*NORTH, drive)) for drive in drives})  # type: ignore[arg-type]
    assert sum(one.clips for one in kept.values()) == 94
    known = ListFiles(Path(index.database.uri) / "lists", policy).made_of(row["near"])
    assert kept == counts_of(rows_in(index.database.opened("drives"), None), {SPACE.label: known})[SPACE.label]
    assert (sum(one.listed for one in kept.values()) > 60) == (policy is SMALL)


def test_an_index_of_an_older_make_is_made_again(index: LanceVectors, made: Embeddings) -> None:
    """Its tables lack the columns of counts and buckets."""
    entries = [made.drive("a"), made.drive("b")]
    before = index.sync(entries, made.read, NORTH).versions[0].root
    for name, lost in (("versions", ["counts", "counted_at"]), ("drives", ["bucket"])):
        rows = index.database.opened(name).to_arrow().drop_columns(lost)
        index.database.connection().create_table(name, data=rows, mode="overwrite")
    assert index.held() == {}
    assert clips(index, count=12) == exact("ab", 12)
    done = index.sync(entries, made.read, NORTH)
    assert (done.written, done.versions[0].root, done.versions[0].clips) == (2, before, 12)
    assert index.sync(entries, made.read, NORTH).written == 0
