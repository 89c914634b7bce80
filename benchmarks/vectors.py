"""The vector index beside faiss: recall against latency, the price of drives, near-duplicates in little memory.

Vectors: features of real photos, their 128 principal components, extended to any number by a Gaussian mixture that is
fitted to them. Both sides are counted in CPU time. `python -m benchmarks.vectors PART FOLDER COUNT` does one of make,
search, scan and twins, and `add FOLDER DRIVES` adds drives to indices of all sizes in turns; `python -m benchmarks.run
vectors` runs all in processes of their own. VECTORS_COUNTS names other sizes.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.measure import ROOT, in_subprocess, report
from fleet_assets.perception.near_duplicates import near_duplicates
from fleet_assets.perception.projection import fit
from fleet_assets.perception.vectors import Space, Vectors, nearest, units, vector_sha256
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.ledger import Entry, Partition
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS
from resources.data_files import DataFiles
from resources.vectors import LanceVectors
from resources.vectors_database import LanceDatabase

PHOTOS: Final = ROOT.parent / "shared" / "data" / "road_sign_detection_cc0"
COUNTS: Final = tuple(int(one) for one in os.environ.get("VECTORS_COUNTS", "10000,100000").split(","))
WIDTH: Final = 128
MIXTURE: Final = 16
CLIPS_PER_DRIVE: Final = 500
NEW_CLIPS: Final = 50
GROWTH: Final = 0.06
"""Share of new vectors at which lists are made anew."""
CALLS: Final = 20
QUERIES: Final = 200
AT: Final = 10
LEAST: Final = 0.98
PROBES: Final = (0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4)
TWIN_COSINE: Final = 0.999
PARTITION: Final = ("2024-05-01", "north")
NEXT_DAY: Final = ("2024-05-02", "north")
ADDED: Final = 21
"""Drives that are added one by one."""
SPACE: Final = Space("image", "d" * 64, "mixture", WIDTH)


def real_features(most: int = 483) -> Vectors:
    """Features of real photos, float32[n, 1280]."""
    import cv2

    from fleet_assets.perception.embedding import FeatureNetwork
    from resources.weights import WeightStore

    opened = WeightStore(load_policies()).open("efficientnet_lite0")
    network = FeatureNetwork(opened.files["parameters"], opened.input)
    paths = sorted(path for path in PHOTOS.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})[:most]
    pictures = (cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths)
    return np.array([network(np.asarray(picture, np.uint8)) for picture in pictures if picture is not None])


def mixture(features: Vectors, count: int, seed: int) -> Iterator[Vectors]:
    """Unit vectors like the components of real ones, in blocks of a drive."""
    from sklearn.mixture import GaussianMixture

    own = units(features)
    components = fit(own, WIDTH, len(own))(own)
    model = GaussianMixture(MIXTURE, covariance_type="diag", reg_covar=1e-6, random_state=0).fit(components)
    generator = np.random.default_rng(seed)
    for start in range(0, count, CLIPS_PER_DRIVE):
        rows = min(CLIPS_PER_DRIVE, count - start)
        kinds = generator.choice(MIXTURE, rows, p=model.weights_)
        noise = generator.standard_normal((rows, WIDTH))
        yield units(model.means_[kinds] + noise * np.sqrt(model.covariances_[kinds]))


def _rows(drive: str, vectors: Vectors, partition: Partition) -> pa.Table:
    count = len(vectors)
    flat = pa.ListArray.from_arrays(np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32), vectors.ravel())
    texts = {
        "drive_id": drive, "day": partition[0], "depot": partition[1], "modality": SPACE.modality, "model": SPACE.model,
        "model_digest": SPACE.model_digest,
    }  # fmt: skip
    columns: dict[str, Any] = {name: pa.array([value] * count) for name, value in texts.items()}
    columns |= {"clip_id": pa.array([f"{drive}-{at:05d}" for at in range(count)])}
    columns |= {name: pa.array(range(count), pa.int64()) for name in ("start_ns", "end_ns")}
    columns |= {"items": pa.array([1] * count, pa.int64()), "vector": flat}
    columns["vector_sha256"] = pa.array([vector_sha256(one) for one in vectors])
    return CLIP_EMBEDDINGS.conform(pa.table(columns))


class Shelf:
    """Data files of the drives of a partition and an index over them."""

    def __init__(self, folder: Path, partition: Partition = PARTITION) -> None:
        self.folder, self.files, self.partition = folder, DataFiles({}), partition
        policy = {**load_policies()["embeddings"]["index"], "exact_up_to": 0, "reduce_to": WIDTH}
        self.index = LanceVectors(LanceDatabase(str(folder / "vectors"), {}), policy)

    def stage(self, drive: str, vectors: Vectors) -> Entry:
        """A drive's data file."""
        rows = _rows(drive, vectors, self.partition)
        return self.files.stage(str(self.folder / "lake"), self.partition, drive, "0" * 24, rows)

    def sync(self, entries: Sequence[Entry]) -> float:
        """CPU seconds of bringing the index to these drives."""
        before = time.process_time()
        self.index.sync(entries, lambda some: self.files.read(CLIP_EMBEDDINGS, some), self.partition)
        return time.process_time() - before


def make(folder: Path, count: int) -> dict[str, Any]:
    """Build the index, and let it grow so far that its lists are made anew; CPU seconds."""
    features = np.load(folder / "features.npy")
    shelf = Shelf(folder / str(count))
    entries = [shelf.stage(f"d{at:06d}", block) for at, block in enumerate(mixture(features, count, 1))]
    built = shelf.sync(entries)
    more = round(count * GROWTH)
    entries += [shelf.stage(f"more{at:06d}", block) for at, block in enumerate(mixture(features, more, 5))]
    grown = shelf.sync(entries)
    return {"built_cpu_s": built, "growth_cpu_s_per_1000": 1000 * grown / more}


def add(folder: Path, drives: int) -> dict[str, Any]:
    """Add drives of the next day one by one to the indices of all sizes, in turns; quartiles of CPU seconds by size."""
    features = np.load(folder / "features.npy")
    shelves = {count: Shelf(folder / str(count), NEXT_DAY) for count in COUNTS}
    entries: dict[int, list[Entry]] = {count: [] for count in COUNTS}
    spent: dict[int, list[float]] = {count: [] for count in COUNTS}
    for at, block in enumerate(mixture(features, (drives + 1) * CLIPS_PER_DRIVE, 2)):
        for count in COUNTS if at % 2 else reversed(COUNTS):
            entries[count].append(shelves[count].stage(f"new{at}", block[:NEW_CLIPS]))
            spent[count].append(shelves[count].sync(entries[count]))
    # The first one loads code.
    return {str(count): np.quantile(own[1:], [0.25, 0.5, 0.75]).tolist() for count, own in spent.items()}


def search(folder: Path, count: int) -> dict[str, Any]:
    """Recall and CPU milliseconds per query of both sides, each at its fastest setting with enough recall."""
    import faiss

    faiss.omp_set_num_threads(1)
    features = np.load(folder / "features.npy")
    queries = next(mixture(features, QUERIES, 3))
    index = Shelf(folder / str(count)).index
    blocks = [(list(names), vectors) for names, vectors in index.scan(SPACE)]
    exact = [{name for name, _ in own} for own in nearest(queries, blocks, AT)]
    names, every = [name for own, _ in blocks for name in own], np.concatenate([vectors for _, vectors in blocks])
    curves: dict[str, list[tuple[float, float, float]]] = {"ours": [], "faiss": []}
    index.search(SPACE, queries[:1], AT)  # opens the files
    for probes in PROBES:
        own = LanceVectors(index.database, {**index.policy, "probes": probes})
        before = time.process_time()
        found = [[one.clip_id for one in near] for near in own.search(SPACE, queries, AT)]
        curves["ours"].append((probes, _recall(found, exact), _ms(before)))
    lists = max(1, len(every) // index.policy["rows_per_list"])
    peer = faiss.IndexIVFFlat(faiss.IndexFlatIP(WIDTH), WIDTH, lists, faiss.METRIC_INNER_PRODUCT)
    peer.train(every[:: max(1, len(every) // 50_000)])
    peer.add(every)
    for probes in PROBES:
        peer.nprobe = max(1, round(probes * lists))
        before = time.process_time()
        places = [peer.search(query[None], AT)[1][0] for query in queries]
        curves["faiss"].append((probes, _recall([[names[at] for at in own] for own in places], exact), _ms(before)))
    best = {side: _fastest(curve) for side, curve in curves.items()}
    return {"curves": curves, "best": best, "alone_ms": _alone(index, queries, best["ours"])}


def _alone(index: LanceVectors, queries: Vectors, best: tuple[float, float, float] | None) -> float | None:
    """CPU milliseconds of a query that comes alone: the version is looked up, too."""
    if best is None:
        return None
    own = LanceVectors(index.database, {**index.policy, "probes": best[0]})
    before = time.process_time()
    for query in queries[:CALLS]:
        own.search(SPACE, query[None], AT)
    return (time.process_time() - before) * 1000 / CALLS


def _recall(found: Sequence[Sequence[str]], exact: Sequence[set[str]]) -> float:
    return float(np.mean([len(own & set(got)) / AT for own, got in zip(exact, found, strict=True)]))


def _ms(before: float) -> float:
    return (time.process_time() - before) * 1000 / QUERIES


def _fastest(curve: Sequence[tuple[float, float, float]]) -> tuple[float, float, float] | None:
    return min((one for one in curve if one[1] >= LEAST), key=lambda one: one[2], default=None)


def scan(folder: Path, count: int) -> dict[str, Any]:
    """Near-duplicates of some clips among all, exactly, block by block: how many planted ones, memory, CPU."""
    features = np.load(folder / "features.npy")
    index = Shelf(folder / str(count)).index
    (originals,) = (
        vectors[:QUERIES] for _, vectors in zip(range(1), mixture(features, CLIPS_PER_DRIVE, 1), strict=False)
    )
    copies = _copies(originals)
    before = time.process_time()
    found = nearest(copies, index.scan(SPACE), AT)
    twins = sum(
        any(clip == f"d000000-{at:05d}" and cosine >= TWIN_COSINE for clip, cosine in own)
        for at, own in enumerate(found)
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"planted": len(copies), "found": twins, "cpu_s": time.process_time() - before, "peak_mb": memory}


def twins(folder: Path, count: int) -> dict[str, Any]:
    """All pairs of near-duplicates among all vectors of the index and planted copies: how many, CPU, memory."""
    features = np.load(folder / "features.npy")
    index = Shelf(folder / str(count)).index
    copies = _copies(next(mixture(features, CLIPS_PER_DRIVE, 1))[:QUERIES])
    planted = [([f"copy-{at:05d}" for at in range(len(copies))], copies)]
    before = time.process_time()
    found = list(near_duplicates(chain(index.scan(SPACE), planted), TWIN_COSINE))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    expected = {(f"d000000-{at:05d}", f"copy-{at:05d}") for at in range(len(copies))}
    seen = len(expected & {(one.first, one.second) for one in found})
    spent = time.process_time() - before
    return {"planted": len(copies), "found": seen, "pairs": len(found), "cpu_s": spent, "peak_mb": memory}


def _copies(originals: Vectors) -> Vectors:
    """Near-copies of unit vectors, at a cosine of 0.9995."""
    noise = np.random.default_rng(4).standard_normal(originals.shape)
    across = noise - originals * (noise * originals).sum(axis=1, keepdims=True)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return units(0.9995 * originals + np.sqrt(1 - 0.9995**2) * across)


def vectors(folder: Path) -> None:
    """All of it, in processes of their own, and the tables."""
    if not PHOTOS.is_dir():
        print(f"left out: no photos at {PHOTOS}")
        return
    np.save(folder / "features.npy", real_features())
    kept, upkeep, scans, curves, pairs = [], [], [], [], []
    for count in COUNTS:
        made, _ = in_subprocess("benchmarks.vectors", "make", str(folder), str(count))
        upkeep.append({"vectors": count, **made})
        asked, _ = in_subprocess("benchmarks.vectors", "search", str(folder), str(count))
        for side, curve in asked["curves"].items():
            curves += [
                {"vectors": count, "side": side, "probes": p, "recall@10": r, "cpu_ms": ms} for p, r, ms in curve
            ]
        best = asked["best"]
        upkeep[-1]["lone_query_cpu_ms"] = asked["alone_ms"]
        kept += [
            {"vectors": count, "side": side, "probes": one[0], "recall@10": one[1], "cpu_ms": one[2]}
            for side, one in best.items()
            if one
        ]
        scanned, _ = in_subprocess("benchmarks.vectors", "scan", str(folder), str(count))
        scans.append({"vectors": count, **scanned})
        alike, _ = in_subprocess("benchmarks.vectors", "twins", str(folder), str(count))
        pairs.append({"vectors": count, **alike})
    added, _ = in_subprocess("benchmarks.vectors", "add", str(folder), str(ADDED))
    adding = [
        {"vectors": count, **dict(zip(("lower_quartile", "median", "upper_quartile"), added[str(count)], strict=True))}
        for count in COUNTS
    ]
    report("recall against CPU milliseconds per query", curves)
    report(f"the fastest setting with recall@10 of at least {LEAST}", kept)
    report("CPU of building, of growth with new lists, of a query alone", upkeep)
    report(f"CPU seconds of one more drive, {ADDED} of them added in turns to all sizes", adding)
    ratio = adding[-1]["median"] / adding[0]["median"]
    print(f"  one more drive, {COUNTS[-1]} vectors against {COUNTS[0]}: {ratio:.2f}")
    report("near-duplicates of 200 clips among all, exactly, in blocks", scans)
    report("all pairs of near-duplicates among all and 200 planted copies, exactly", pairs)


if __name__ == "__main__":
    part = {"make": make, "add": add, "search": search, "scan": scan, "twins": twins}[sys.argv[1]]
    print(json.dumps(part(Path(sys.argv[2]), int(sys.argv[3]))))
