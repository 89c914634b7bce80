"""The vector index: neighbours, upkeep drive by drive, versions, a run that dies, many vectors, readers, a bucket."""

import hashlib
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleet_assets.perception.neighbours import NoIndexError
from fleet_assets.perception.vectors import drive_root, units
from fleet_assets.provenance.digests import merkle_root
from fleet_assets.provenance.ledger import Entry
from resources import vectors as module
from resources import vectors_database
from resources.vectors import LanceVectors
from resources.vectors_database import LanceDatabase
from tests.resources.loopback import S3
from tests.vector_files import (
    INDEX,
    NORTH,
    QUERY,
    SMALL,
    SOUTH,
    SPACE,
    Embeddings,
    clips,
    embedding_rows,
    exact,
    index_in,
    vectors_of,
)


@pytest.fixture
def made(tmp_path: Path) -> Embeddings:
    return Embeddings(tmp_path)


@pytest.fixture
def index(tmp_path: Path) -> LanceVectors:
    return index_in(tmp_path)


def test_neighbours_are_the_exact_ones_with_their_places_and_cosines(index: LanceVectors, made: Embeddings) -> None:
    done = index.sync([made.drive("a"), made.drive("b")], made.read, NORTH)
    assert (done.written, done.removed, done.versions[0].clips, done.versions[0].kind) == (2, 0, 12, "exact")
    assert clips(index, count=5) == exact(["a", "b"], 5)
    own = units(vectors_of("a", 6))[2]
    (first, *_) = index.search(SPACE, own[None], 3)[0]
    assert (first.clip_id, first.drive_id, first.day, first.depot) == ("a-002", "a", *NORTH)
    assert first.cosine == pytest.approx(1.0, abs=1e-9)
    assert np.array_equal(index.vectors(SPACE, ["a-002", "nobody"])["a-002"], own)
    assert list(index.placed(SPACE, ["a-002", "nobody"])) == ["a-002"]


def test_many_questions_at_once_get_the_answers_that_each_gets_alone(index: LanceVectors, made: Embeddings) -> None:
    names = ["a", "b", "c", "d"]
    index.sync([made.drive(name) for name in names], made.read, NORTH)
    queries = np.vstack([QUERY, units(vectors_of("a", 6)), units(vectors_of("further", 6))])
    together = index.search(SPACE, queries, 7)
    assert together == [index.search(SPACE, query[None], 7)[0] for query in queries]
    clips = [f"{name}-{at:03d}" for name in names for at in range(6)]
    alike = queries.astype(np.float64) @ np.vstack([units(vectors_of(name, 6)) for name in names]).T
    for own, answer in zip(alike, together, strict=True):
        assert [one.clip_id for one in answer] == [clips[at] for at in np.argsort(-own, kind="stable")[:7]]


def test_the_root_is_that_of_the_vectors_and_not_of_the_files(tmp_path: Path, made: Embeddings) -> None:
    entries = [made.drive("a"), made.drive("b")]
    roots = []
    for order, name in ((entries, "one"), (entries[::-1], "other")):
        index = index_in(tmp_path / name)
        for at in range(2):
            index.sync(order[: at + 1], made.read, NORTH)
        index.sync(entries, made.read, NORTH)
        roots.append(index.versions()[-1].root)
    leaves = {
        drive: drive_root(
            (row["clip_id"], row["model_digest"], row["vector_sha256"])
            for row in embedding_rows(drive, vectors_of(drive, 6))
        )
        for drive in ("a", "b")
    }
    names = {f"2024-05-01|north|{drive}": root for drive, root in leaves.items()}
    buckets: dict[str, dict[str, str]] = {}
    for name, root in names.items():
        buckets.setdefault(hashlib.sha256(name.encode()).hexdigest()[:2], {})[name] = root
    assert set(roots) == {merkle_root((bucket, merkle_root(own.items())) for bucket, own in buckets.items())}


def test_a_second_sync_reads_nothing_and_a_changed_drive_alone_is_read_again(
    index: LanceVectors, made: Embeddings
) -> None:
    entries = [made.drive("a"), made.drive("b")]
    index.sync(entries, made.read, NORTH)
    before = made.reads
    assert index.sync(entries, made.read, NORTH).written == 0
    assert made.reads == before
    assert len(index.versions()) == 1
    changed = made.drive("b", clips=2, seed=1)
    done = index.sync([entries[0], changed], made.read, NORTH)
    assert (done.written, made.reads, done.versions[0].clips, done.versions[0].number) == (1, before + 1, 8, 2)
    assert {one for one in clips(index) if one.startswith("b")} == {"b-000", "b-001"}


def test_a_removed_drive_is_found_no_more_and_a_moved_one_stays(index: LanceVectors, made: Embeddings) -> None:
    index.sync([made.drive("a"), made.drive("b")], made.read, NORTH)
    index.sync([made.drive("b", partition=SOUTH)], made.read, SOUTH)
    done = index.sync([made.drive("a")], made.read, NORTH)
    assert (done.removed, done.versions[0].clips) == (1, 12)
    assert sorted(index.held()) == [(NORTH, "a"), (SOUTH, "b")]
    assert sorted(clips(index)) == sorted(f"{drive}-{at:03d}" for drive in "ab" for at in range(6))
    assert index.placed(SPACE, ["b-000"])["b-000"].depot == "south"


def test_a_drive_that_lost_its_pictures_loses_their_vectors_and_keeps_the_others(
    index: LanceVectors, made: Embeddings
) -> None:
    both = [*embedding_rows("a", vectors_of("a", 2)), *embedding_rows("a", vectors_of("a", 2, 5), modality="words")]
    done = index.sync([made.entry("a", both)], made.read, NORTH)
    assert [(one.space.modality, one.clips) for one in done.versions] == [("image", 2), ("words", 2)]
    done = index.sync([made.entry("a", both[2:])], made.read, NORTH)
    assert [(one.space.modality, one.clips) for one in done.versions] == [("image", 0), ("words", 2)]
    assert clips(index) == []


def test_versions_stay_readable_until_they_are_collected(tmp_path: Path, made: Embeddings) -> None:
    index = index_in(tmp_path, {**INDEX, "keep_versions": 2})
    entries = [made.drive(drive) for drive in "abcd"]
    for at in range(4):
        index.sync(entries[: at + 1], made.read, NORTH)
    assert [one.number for one in index.versions()] == [1, 2, 3, 4]
    assert clips(index, version=2, count=5) == exact("ab", 5)
    assert index.collect(spare=2) == 0
    assert index.collect() == 2
    assert [one.number for one in index.versions()] == [3, 4]
    assert clips(index, version=3, count=5) == exact("abc", 5)
    with pytest.raises(NoIndexError, match="version 2; kept: 3, 4"):
        clips(index, version=2)


@pytest.mark.parametrize("step", ["vectors", "account", "version"])
def test_a_run_that_dies_is_made_good_by_the_next(
    index: LanceVectors, made: Embeddings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Readers keep the last finished version; the next run gives what a run that lived would have given."""
    first, second = made.drive("a"), made.drive("b")
    index.sync([first], made.read, NORTH)

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt(len(arguments))

    targets = {"vectors": (module, "stored_rows"), "account": (module, "upsert"), "version": (module, "tidy")}
    with monkeypatch.context() as patch:
        patch.setattr(*targets[step], die)
        with pytest.raises(KeyboardInterrupt):
            index.sync([first, second], made.read, NORTH)
    assert clips(index) == exact("a", 6)
    done = index.sync([first, second], made.read, NORTH)
    assert done.written == (0 if step == "version" else 1)
    assert clips(index, count=12) == exact("ab", 12)
    assert done.versions[0].clips == 12


def holding(index: LanceVectors, drive: str, seed: int = 0) -> list[str]:
    """Files of the index that hold a vector of a drive, byte by byte."""
    folder, own = Path(index.database.uri), units(vectors_of(drive, 6, seed=seed))
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [str(path.relative_to(folder)) for path, told in files.items() if any(one.tobytes() in told for one in own)]


@pytest.mark.parametrize("policy", [INDEX, SMALL], ids=["few", "many"])
def test_a_withdrawn_drives_vectors_are_in_no_version_and_in_no_file_after_the_same_run(
    tmp_path: Path, made: Embeddings, policy: dict[str, Any]
) -> None:
    index = index_in(tmp_path, policy)
    drives = [f"w{at:02d}" for at in range(14)]
    entries = [made.drive(drive) for drive in drives]
    for known in (5, 12, 13, 14):
        index.sync(entries[:known], made.read, NORTH)
    assert len(index.versions()) == 4
    assert holding(index, "w03")
    done = index.sync([*entries[:3], *entries[4:]], made.read, NORTH)
    assert holding(index, "w03") == []
    assert holding(index, "w04")
    assert [one.number for one in index.versions()] == [done.versions[0].number] == [5]
    assert (done.versions[0].clips, done.versions[0].kind) == (78, "ivf_flat" if policy is SMALL else "exact")
    assert clips(index, count=8) == exact([*drives[:3], *drives[4:]], 8)
    with pytest.raises(NoIndexError, match="version 4; kept: 5"):
        clips(index, version=4)


@pytest.mark.parametrize("step", ["_settle", "_forget"])
def test_a_withdrawal_that_dies_is_finished_by_the_next_run(
    index: LanceVectors, made: Embeddings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    entries = [made.drive("a"), made.drive("b")]
    index.sync(entries, made.read, NORTH)

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt(len(arguments))

    with monkeypatch.context() as patch:
        patch.setattr(LanceVectors, step, die)
        with pytest.raises(KeyboardInterrupt):
            index.sync(entries[:1], made.read, NORTH)
    assert index.held()[NORTH, "b"] == ""  # so that the sweep runs the partition again
    assert index.sync(entries[:1], made.read, NORTH).removed == 1
    assert list(index.held()) == [(NORTH, "a")]
    assert holding(index, "b") == []
    assert index.sync(entries, made.read, NORTH).versions[0].clips == 12


def test_lists_that_were_lost_cost_time_and_no_answer(tmp_path: Path, made: Embeddings) -> None:
    index = index_in(tmp_path, SMALL)
    drives = [f"l{at:02d}" for at in range(12)]
    entries = [made.drive(drive) for drive in drives]
    index.sync(entries, made.read, NORTH)
    shutil.rmtree(Path(index.database.uri) / "lists")
    assert clips(index, count=10) == exact(drives, 10)
    index.sync(entries, made.read, NORTH)
    assert list((Path(index.database.uri) / "lists").iterdir())
    assert clips(index, count=10) == exact(drives, 10)


def test_drives_that_come_after_the_lists_are_found_and_so_are_their_longer_names(
    tmp_path: Path, made: Embeddings
) -> None:
    index = index_in(tmp_path, {**SMALL, "probes": 1.0})
    drives = [f"l{at:02d}" for at in range(30)]
    entries = [made.drive(drive) for drive in drives]
    index.sync(entries, made.read, NORTH)
    name = index.database.opened("versions").to_arrow().to_pylist()[-1]["near"]
    late = "a-drive-with-a-much-longer-name"
    index.sync([*entries, made.drive(late)], made.read, NORTH)
    assert index.database.opened("versions").to_arrow().to_pylist()[-1]["near"] == name
    assert clips(index, count=15) == exact([*drives, late], 15)
    own = units(vectors_of(late, 6))[:1]
    assert index.search(SPACE, own, 1)[0][0].drive_id == late
    changed = made.drive("l00", seed=1)
    index.sync([changed, *entries[1:]], made.read, NORTH)
    found = index.search(SPACE, units(vectors_of("l00", 6))[:1], 1)[0][0]
    assert found.cosine < 0.9999
    assert index.search(SPACE, units(vectors_of("l00", 6, seed=1))[:1], 1)[0][0].cosine == pytest.approx(1.0)


def test_an_index_that_lost_its_vectors_is_made_again_partition_by_partition(
    index: LanceVectors, made: Embeddings
) -> None:
    """What one partition's run makes again must not pass for what the others had."""
    north, south = made.drive("a"), made.drive("b", partition=SOUTH)
    index.sync([north], made.read, NORTH)
    index.sync([south], made.read, SOUTH)
    shutil.rmtree(Path(index.database.uri) / f"{SPACE.label}.lance")
    index.sync([north], made.read, NORTH)
    assert list(index.held()) == [(NORTH, "a")]
    assert index.sync([south], made.read, SOUTH).written == 1
    assert clips(index, count=12) == exact("ab", 12)


@pytest.mark.parametrize("lost", ["drives.lance", f"{SPACE.label}.lance", "."])
def test_an_index_that_lost_a_part_is_made_again(index: LanceVectors, made: Embeddings, lost: str) -> None:
    entries = [made.drive("a"), made.drive("b")]
    before = index.sync(entries, made.read, NORTH).versions[0].root
    shutil.rmtree(Path(index.database.uri) / lost)
    assert index.held() == {}
    done = index.sync(entries, made.read, NORTH)
    assert (done.written, done.versions[0].root, done.versions[0].clips) == (2, before, 12)
    assert clips(index, count=12) == exact("ab", 12)


def test_many_vectors_are_found_by_their_components_and_ordered_exactly(tmp_path: Path, made: Embeddings) -> None:
    index = index_in(tmp_path, SMALL)
    drives = [f"d{at:02d}" for at in range(24)]
    entries: list[Entry] = []
    kinds = []
    for start in range(0, 24, 4):
        entries += [made.drive(drive) for drive in drives[start : start + 4]]
        kinds.append(index.sync(entries, made.read, NORTH).versions[0].kind)
    assert kinds == ["exact", "exact", "ivf_flat", "ivf_flat", "ivf_flat", "ivf_flat"]
    found = [clips(index, query, 10) for query in range(3)]
    hits = sum(len(set(own) & set(exact(drives, 10, query))) for query, own in enumerate(found))
    assert hits >= 28
    assert found[0] == [one for one in exact(drives, 144) if one in found[0]]
    gone = index.sync(entries[1:], made.read, NORTH)
    assert gone.versions[0].kind == "ivf_flat"
    assert not [one for one in clips(index, 0, 40) if one.startswith("d00")]
    assert index.sync(entries[:2], made.read, NORTH).versions[0].kind == "exact"
    assert clips(index, count=12) == exact(drives[:2], 12)


@pytest.mark.parametrize("policy", [INDEX, SMALL], ids=["few", "many"])
def test_tidying_comes_by_itself_and_changes_no_answer_of_any_version(
    tmp_path: Path, made: Embeddings, monkeypatch: pytest.MonkeyPatch, policy: dict[str, Any]
) -> None:
    monkeypatch.setattr(vectors_database, "UNTIDY_FILES", 4)
    index = index_in(tmp_path, {**policy, "keep_versions": 30})
    drives = [f"t{at:02d}" for at in range(14)]
    entries = [made.drive(drive) for drive in drives]
    for at in range(14):
        index.sync(entries[: at + 1], made.read, NORTH)
    told = index.database.opened(SPACE.label).stats()["fragment_stats"]["num_fragments"]
    assert told < 14
    for at in (3, 9, 14):
        found = clips(index, count=10, version=at)
        assert len(set(found) & set(exact(drives[:at], 10))) >= (10 if policy is INDEX else 8)
    assert index.collect() == 0


def test_searching_goes_on_while_drives_are_written_and_never_sees_half_of_one(
    index: LanceVectors, made: Embeddings
) -> None:
    entries = [made.drive("w", clips=20, seed=seed) for seed in range(6)]
    index.sync([entries[0]], made.read, NORTH)
    states = [units(vectors_of("w", 20, seed=seed)) for seed in range(6)]
    seen: list[bool] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            found = np.array([one.cosine for one in index.search(SPACE, QUERY[:1], 20)[0]])
            whole = [np.sort((state @ QUERY[0]).astype(float))[::-1] for state in states]
            seen.append(any(len(found) == 20 and np.allclose(found, one, atol=1e-5) for one in whole))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for entry in entries[1:]:
            index.sync([entry], made.read, NORTH)
    finally:
        done.set()
        reader.join()
    assert len(seen) > 1
    assert all(seen)


def test_searching_before_anything_was_indexed_says_what_to_do(index: LanceVectors) -> None:
    with pytest.raises(NoIndexError, match="Ingest drives, or run `fleet reconcile`"):
        clips(index)
    assert index.held() == {}
    assert index.versions() == []
    assert not Path(index.database.uri).exists()


def test_an_index_in_a_bucket_behaves_alike(s3: S3, made: Embeddings) -> None:
    storage = {"aws_endpoint": s3.endpoint_url, "allow_http": "true"}
    index = LanceVectors(LanceDatabase(f"s3://{s3.bucket}/vectors", storage), SMALL)
    assert index.held() == {}
    entries = [made.drive(drive) for drive in "abcdefghijkl"]
    assert index.sync(entries[:2], made.read, NORTH).versions[0].clips == 12
    assert clips(index, count=12) == exact("ab", 12)
    assert index.sync(entries, made.read, NORTH).versions[0].kind == "ivf_pq"
    assert index.sync(entries[:1], made.read, NORTH).removed == 11
    assert clips(index, count=6) == exact("a", 6)
    assert any(key.startswith(f"vectors/{SPACE.label}.lance/") for key in list(s3.keys()))
