"""Inverted lists in memory-mapped files: how many vectors are searched where the index lies in a folder.

Here belong the files, when they are made anew, and the search. They are derived from the tables of `vectors.py`, are
made in a folder of their own that gets its name in one step, and hold the exact vectors beside their principal
components, so that a query reads some lists and nothing else. Which drives a version of the index has is its account:
vectors in the files that it lacks are passed over, and those that the files lack are compared one by one.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.perception.neighbours import Neighbour
from fleet_assets.perception.projection import Projection, fit, sample
from fleet_assets.perception.vectors import Vectors, cosines

DriveKey = tuple[str, str, str]
"""Day, depot and drive."""
Blocks = Callable[[], Iterable[tuple[pa.Table, Vectors]]]
"""Reads all rows of a space, block by block: where each clip lies, and the unit vectors."""
Sources = Callable[[], Mapping[DriveKey, int]]
"""Reads the data file of every drive."""
UNTIDY_SHARE: Final = 0.05
"""Share of vectors outside the lists, each of which every query compares, that calls for making them anew."""
LEAST_PROBES: Final = 10
_ROUNDS: Final = 10
"""Of Lloyd's algorithm."""
_ASSIGNED_AT_ONCE: Final = 4096
_NUMBERS: Final = ("start_ns", "end_ns")
_DRIVE: Final = ("day", "depot", "drive_id")
_TEXTS: Final = ("clip_id", *_DRIVE)
_WITHDRAWN: Final = 0
"""In place of the source of a row whose vector was taken out of the files."""
Floats = NDArray[np.float32]


def source_of(drive: DriveKey, digest: str) -> int:
    """A number for a drive's data file in a partition, never that of a withdrawn row.

    Args:
        drive: The drive in its partition.
        digest: Digest of its data file.
    """
    told = hashlib.sha256("\x00".join([*drive, digest]).encode()).digest()
    return (int.from_bytes(told[:8], "little") >> 1) or 1


@dataclass(frozen=True, eq=False)
class Lists:
    """The files of one set of lists, opened.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    def _array(self, name: str) -> Any:
        return np.asarray(np.load(self.folder / f"{name}.npy", mmap_mode="r"))

    @cached_property
    def rows(self) -> Any:
        """Where each clip lies, list by list: a structured array; texts are UTF-8."""
        return self._array("rows")

    @cached_property
    def vectors(self) -> Floats:
        """Unit vectors, float32[n, d]."""
        own: Floats = self._array("vectors")
        return own

    @cached_property
    def near(self) -> Floats:
        """Their components, float32[n, r]; the vectors themselves where they are short."""
        return self.vectors if self.projection is None else self._array("near")

    @cached_property
    def half_squares(self) -> Floats:
        """Half the squared lengths of the components, float32[n]."""
        own: Floats = self._array("half_squares")
        return own

    @cached_property
    def offsets(self) -> list[int]:
        """First row of each list, and the end of the last."""
        return [int(one) for one in self._array("offsets")]

    @cached_property
    def centres(self) -> Floats:
        """Centres of the lists, float32[l, r]."""
        return np.array(self._array("centres"))

    @cached_property
    def sources(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The data files that the rows were made of, and the rows of each."""
        own: NDArray[np.int64] = self._array("sources")
        return own[0], own[1]

    @cached_property
    def projection(self) -> Projection | None:
        """What makes components of vectors; None where vectors are searched as they are."""
        if not (self.folder / "components.npy").exists():
            return None
        return Projection(np.array(self._array("mean")), np.array(self._array("components")), self.fitted_on)

    @cached_property
    def fitted_on(self) -> int:
        """Vectors that there were when components and centres were computed."""
        return int(self._array("fitted_on"))

    def candidates(self, query: Floats, count: int, probes: float, alive: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Rows that are probably nearest to a unit vector float32[d].

        Args:
            query: The vector.
            count: Rows wanted.
            probes: Share of the lists to read, of which ten at least are read.
            alive: Rows that count.
        """
        near = query if self.projection is None else self.projection(query[None])[0]
        likeness = self.centres @ near - 0.5 * (self.centres**2).sum(axis=1)
        read = np.sort(np.argsort(-likeness, kind="stable")[: max(LEAST_PROBES, round(probes * len(self.centres)))])
        spans = [(self.offsets[one], self.offsets[one + 1]) for one in read.tolist()]
        places = np.concatenate([np.arange(first, end) for first, end in spans])
        scores = np.concatenate([self.near[first:end] @ near - self.half_squares[first:end] for first, end in spans])
        scores[~alive[places]] = -np.inf
        found: NDArray[np.intp] = places[_largest(scores, count)]
        return found[alive[found]]


@dataclass(frozen=True, eq=False)
class Opened:
    """Lists as one version of the index sees them.

    Attributes:
        lists: The files.
        alive: Rows of them that the version has.
        rows: What the version has beside them, as the files have rows.
        vectors: Unit vectors of those, float32[m, d].
    """

    lists: Lists
    alive: NDArray[np.bool_]
    rows: Any
    vectors: Floats

    def nearest(self, query: Floats, count: int, policy: Mapping[str, Any]) -> list[Neighbour]:
        """The nearest clips to a unit vector, by exact cosines, equal ones by clip.

        Args:
            query: float32[d].
            count: Clips wanted.
            policy: Key `index` of the document `embeddings`.
        """
        most = count * policy["candidates"]
        listed = self.lists.candidates(query, most, policy["probes"], self.alive)
        beside = _largest(self.vectors @ query, most)
        rows = np.concatenate([self.lists.rows[listed], self.rows[beside]])
        likeness = cosines(query[None], np.concatenate([self.lists.vectors[listed], self.vectors[beside]]))[0]
        likeness[rows["source"] == _WITHDRAWN] = -np.inf
        best = np.lexsort((rows["clip_id"], -likeness))[:count]
        return [_neighbour(rows[at], float(likeness[at])) for at in best if likeness[at] > -np.inf]


def open_version(folder: Path, sources: Mapping[DriveKey, int], rows_of: Callable[[Sequence[DriveKey]], Any]) -> Opened:
    """Lists as a version sees them.

    Args:
        folder: Where the lists lie.
        sources: What the version has.
        rows_of: Reads rows and unit vectors of some of its drives.
    """
    lists = Lists(folder)
    held = np.fromiter(sources.values(), np.int64, len(sources))
    known, _ = lists.sources
    listed = np.isin(held, known).tolist()
    beside = [drive for drive, there in zip(sources, listed, strict=True) if not there]
    rows, vectors = rows_of(sorted(beside))
    places = _placed(rows, sources, _row_type(_widths(rows)))
    order = np.argsort(places["clip_id"], kind="stable")
    gone = known[~np.isin(known, held)]
    alive = np.isin(lists.rows["source"], gone, invert=True) if len(gone) else np.ones(len(lists.rows), dtype=bool)
    return Opened(lists, alive, places[order], vectors[order])


def _widths(rows: pa.Table) -> dict[str, int]:
    """Bytes of the longest value of each text."""
    return {name: max((len(one.encode()) for one in rows[name].unique().to_pylist()), default=1) for name in _TEXTS}


def _row_type(widths: Mapping[str, int]) -> Any:
    texts = [(name, f"S{max(1, widths[name])}") for name in _TEXTS]
    return np.dtype([*texts, *((name, "<i8") for name in (*_NUMBERS, "source"))])


def _placed(rows: pa.Table, sources: Mapping[DriveKey, int], dtype: Any) -> Any:
    """Rows of a table as the files have them."""
    told = {name: rows[name].to_pylist() for name in _TEXTS}
    made = np.zeros(rows.num_rows, dtype)
    for name in _TEXTS:
        made[name] = [value.encode() for value in told[name]]
    for name in _NUMBERS:
        made[name] = rows[name].to_numpy()
    drives = zip(told["day"], told["depot"], told["drive_id"], strict=True)
    made["source"] = [sources[drive] for drive in drives]
    return made


def _neighbour(row: Any, cosine: float) -> Neighbour:
    clip, drive, day, depot = (bytes(row[name]).decode() for name in ("clip_id", "drive_id", "day", "depot"))
    return Neighbour(clip, cosine, drive, day, depot, int(row["start_ns"]), int(row["end_ns"]))


def _largest(scores: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Places of the largest scores, in no order."""
    return np.argpartition(-scores, count - 1)[:count] if len(scores) > count else np.arange(len(scores))


@dataclass(frozen=True)
class ListFiles:
    """All lists of an index that lies in a folder.

    Attributes:
        folder: Where their folders lie.
        policy: Key `index` of the document `embeddings`.
    """

    folder: Path
    policy: Mapping[str, Any]

    def there(self, name: str) -> bool:
        """Whether lists of a name exist."""
        return bool(name) and (self.folder / name).is_dir()

    def settled(self, label: str, name: str, counted: tuple[int, int], sources: Sources, blocks: Blocks) -> str:
        """Name of the lists that a space should be searched by, made where that is needed; empty for none.

        Args:
            label: The space.
            name: Lists that it has now, if any.
            counted: Vectors that it has, and how many of them those lists have.
            sources: Reads the data file of each of its drives.
            blocks: Reads the vectors.
        """
        clips, listed = counted
        if clips <= self.policy["exact_up_to"]:
            return ""
        held = Lists(self.folder / name) if self.there(name) else None
        if held is None or clips >= self.policy["refit_at"] * held.fitted_on:
            return self._make(label, sources(), clips, blocks, None)
        if max(clips, len(held.rows)) - listed > UNTIDY_SHARE * clips:
            return self._make(label, sources(), clips, blocks, held)
        return name

    def made_of(self, name: str) -> NDArray[np.int64]:
        """Data files that lists are made of, in order; none where there are no such lists."""
        return Lists(self.folder / name).sources[0] if self.there(name) else np.empty(0, np.int64)

    def withdraw(self, label: str, drives: Sequence[DriveKey]) -> None:
        """Overwrite what the files of a space hold of some drives; other rows stay where they are."""
        for folder in self._of(label):
            rows = Lists(folder).rows
            own = np.zeros(len(rows), dtype=bool)
            for key in drives:
                own |= np.logical_and.reduce(
                    [rows[name] == value.encode() for name, value in zip(_DRIVE, key, strict=True)]
                )
            for name in ("rows", "vectors", "near") if own.any() else ():
                if (path := folder / f"{name}.npy").exists():
                    held = np.load(path, mmap_mode="r+")
                    held[own] = np.zeros((), held.dtype)
                    held.flush()

    def drop_all_but(self, names: Iterable[str], label: str) -> None:
        """Take away lists of a space that no version needs any more; who is reading them keeps them till the end."""
        for folder in self._of(label):
            if folder.name not in set(names):
                shutil.rmtree(folder)

    def _of(self, label: str) -> list[Path]:
        return sorted(self.folder.glob(f"{label}-*")) if self.folder.is_dir() else []

    def _make(self, label: str, sources: Mapping[DriveKey, int], clips: int, blocks: Blocks, old: Lists | None) -> str:
        """Write lists under another name, then give them their own; components and centres of old ones are kept."""
        making = self.folder / f".{label}"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        made_by = _MadeBy(old.projection, old.centres, old.fitted_on) if old else self._trained(clips, blocks)
        _fill(making, sources, blocks, made_by)
        for path in making.iterdir():
            _flushed(path)
        told = hashlib.sha256(np.sort(np.fromiter(sources.values(), np.int64, len(sources))).tobytes())
        told.update(made_by.centres.tobytes())
        target = self.folder / f"{label}-{told.hexdigest()[:16]}"
        shutil.rmtree(target, ignore_errors=True)
        making.rename(target)
        _flushed(self.folder)
        return target.name

    def _trained(self, clips: int, blocks: Blocks) -> "_MadeBy":
        """Components and centres, from a sample that depends on the vectors alone."""
        drawn = sample(((rows["clip_id"].to_pylist(), vectors) for rows, vectors in blocks()), self.policy["fit_on"])
        long = drawn.shape[1] > self.policy["reduce_to"]
        projection = fit(drawn, self.policy["reduce_to"], clips) if long else None
        own = drawn if projection is None else projection(drawn)
        centres = own[: max(1, min(len(own), clips // self.policy["rows_per_list"]))]
        for _ in range(_ROUNDS):
            lists = _assigned(own, centres)
            counts = np.bincount(lists, minlength=len(centres))
            sums = np.zeros(centres.shape)
            np.add.at(sums, lists, own)
            means = sums / np.maximum(counts, 1)[:, None]
            centres = np.where(counts[:, None] > 0, means, centres).astype(np.float32)
        return _MadeBy(projection, centres, clips)


@dataclass(frozen=True, eq=False)
class _MadeBy:
    """What decides into which list a vector goes."""

    projection: Projection | None
    centres: Floats
    fitted_on: int

    def near(self, vectors: Floats) -> Floats:
        """What is compared of vectors, float32[n, r]."""
        return vectors if self.projection is None else self.projection(vectors)

    def arrays(self) -> dict[str, Any]:
        """Itself, by file."""
        own: dict[str, Any] = {"centres": self.centres, "fitted_on": np.int64(self.fitted_on)}
        if self.projection is not None:
            own |= {"mean": self.projection.mean, "components": self.projection.components}
        return own


def _assigned(vectors: Floats, centres: Floats) -> NDArray[np.int32]:
    """The nearest centre of each vector."""
    half = 0.5 * (centres**2).sum(axis=1)
    parts = [
        (vectors[start : start + _ASSIGNED_AT_ONCE] @ centres.T - half).argmax(axis=1)
        for start in range(0, len(vectors), _ASSIGNED_AT_ONCE)
    ]
    return np.concatenate(parts).astype(np.int32) if parts else np.empty(0, np.int32)


def _fill(folder: Path, sources: Mapping[DriveKey, int], blocks: Blocks, made_by: _MadeBy) -> None:
    """Write all rows list by list; memory is that of one block and a few numbers for each vector."""
    lists, widths, width = [], dict.fromkeys(_TEXTS, 1), 0
    for rows, vectors in blocks():
        lists.append(_assigned(made_by.near(vectors), made_by.centres))
        width = vectors.shape[1]
        widths = {name: max(widths[name], wide) for name, wide in _widths(rows).items()}
    every = np.concatenate(lists)
    places = np.empty(len(every), np.int64)
    places[np.argsort(every, kind="stable")] = np.arange(len(every))
    kinds: dict[str, tuple[Any, tuple[int, ...]]] = {"rows": (_row_type(widths), ()), "vectors": ("<f4", (width,))}
    kinds |= {} if made_by.projection is None else {"near": ("<f4", (made_by.centres.shape[1],))}
    kinds |= {"half_squares": ("<f4", ())}
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.dtype(kind), (len(every), *shape))
        for name, (kind, shape) in kinds.items()
    }
    start = 0
    for rows, vectors in blocks():
        own, near = places[start : start + len(vectors)], made_by.near(vectors)
        values = {"rows": _placed(rows, sources, files["rows"].dtype), "vectors": vectors, "near": near}
        values["half_squares"] = 0.5 * (near**2).sum(axis=1)
        for name, file in files.items():
            file[own] = values[name]
        start += len(vectors)
    arrays = made_by.arrays()
    arrays["offsets"] = np.concatenate([[0], np.cumsum(np.bincount(every, minlength=len(made_by.centres)))])
    arrays["sources"] = np.array(np.unique(files["rows"]["source"], return_counts=True), np.int64)
    for name, value in arrays.items():
        np.save(folder / f"{name}.npy", value)


def _flushed(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
