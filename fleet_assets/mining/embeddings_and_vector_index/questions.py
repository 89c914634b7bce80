"""What the gates ask the index about a partition, and what an exact search answers to the same.

Here belongs the comparison of clips with the index and with the frozen reference. What follows from it is in
`verdicts.py`.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.mining.embeddings_and_vector_index.drift import shift
from fleet_assets.mining.embeddings_and_vector_index.verdicts import Answers, Compared
from fleet_assets.perception.neighbours import NoIndexError, VectorIndex
from fleet_assets.perception.vectors import Space, Vectors, by_space, cosines, matrix, units

_SAME: Final = 1e-6
"""Cosines of the same two vectors differ by less, however they were computed."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Clips that the index is asked about.

    Attributes:
        clips: Their names.
        vectors: Their unit vectors.
        copies: Unit vectors of their planted copies.
    """

    clips: Sequence[str]
    vectors: Vectors
    copies: Vectors


def answers_of(index: VectorIndex, rows: pa.Table, policy: Mapping[str, Any]) -> dict[str, Answers]:
    """Ask the index about the clips of a partition, and search exactly for the same, by modality.

    Args:
        index: The index.
        rows: Rows of `gold.clip_embeddings` of the partition.
        policy: Key `gates` of the document `embeddings`.
    """
    return (
        {space.modality: _answers(index, space, own, policy) for space, own in by_space(rows)} if rows.num_rows else {}
    )


def _answers(index: VectorIndex, space: Space, rows: pa.Table, policy: Mapping[str, Any]) -> Answers:
    clips, vectors = rows["clip_id"].to_pylist(), units(matrix(rows["vector"]))
    absent = _absent(index, space, clips, vectors)
    if absent:
        return Answers(len(clips), absent, (), (), (), 0)
    recall, duplicates = policy["recall"], policy["duplicates"]
    chosen = sorted(range(len(clips)), key=lambda at: _order(clips[at]))[: recall["queries"]]
    asked = _Asked([clips[at] for at in chosen], vectors[chosen], _copies(clips, vectors, chosen, duplicates["noise"]))
    most = max(recall["at"], duplicates["at"]) + 1
    found = [[one.clip_id for one in own] for own in index.search(space, asked.vectors, most)]
    led_to = [[one.clip_id for one in own] for own in index.search(space, asked.copies, duplicates["at"])]
    exact = _exact(index.scan(space), asked, [{*a, *b} for a, b in zip(found, led_to, strict=True)], most)
    hits, possible, copies, known = [], [], [], 0
    for clip, own, copy, (best, alike) in zip(asked.clips, found, led_to, exact, strict=True):
        others = [one for one in own if one != clip]
        level = best[min(recall["at"], len(best)) - 1] if len(best) else 1.0
        possible.append(min(recall["at"], len(best)))
        near = sum(bool(alike[one] >= level - _SAME) for one in others[: recall["at"]])
        hits.append(min(possible[-1], near))
        twins = min(duplicates["at"], int((best >= duplicates["cosine"]).sum()))
        seen = sum(alike[one] >= duplicates["cosine"] - _SAME for one in others[: duplicates["at"]])
        copies.append(seen >= twins and any(alike[one] >= duplicates["cosine"] - _SAME for one in copy))
        known += twins
    return Answers(len(clips), 0, tuple(hits), tuple(possible), tuple(copies), known)


def _order(clip: str) -> str:
    """Clips in an order that has nothing to do with what is in them."""
    return hashlib.sha256(clip.encode()).hexdigest()


def _absent(index: VectorIndex, space: Space, clips: Sequence[str], vectors: Vectors) -> int:
    """Clips that the index lacks, or has with another vector."""
    try:
        held = index.vectors(space, clips)
    except NoIndexError:
        return len(clips)
    return sum(
        clip not in held or not np.array_equal(held[clip], vector) for clip, vector in zip(clips, vectors, strict=True)
    )


def _copies(clips: Sequence[str], vectors: Vectors, chosen: Sequence[int], cosine: float) -> Vectors:
    """Vectors beside those of the clips, each so alike its own, in a direction that the clip's name decides."""
    made = []
    for at in chosen:
        seed = int.from_bytes(hashlib.sha256(clips[at].encode()).digest()[:8], "big")
        noise = np.random.Generator(np.random.PCG64(seed)).standard_normal(vectors.shape[1])
        own = vectors[at].astype(np.float64)
        across = noise - own * (noise @ own)
        made.append(cosine * own + np.sqrt(1.0 - cosine**2) * across / max(np.linalg.norm(across), 1e-300))
    return units(np.array(made))


def _exact(
    blocks: Iterable[tuple[Sequence[str], Vectors]], asked: _Asked, wanted: Sequence[set[str]], most: int
) -> list[tuple[NDArray[np.float64], dict[str, float]]]:
    """Per clip: cosines to its nearest others, best first, and those to the clips that the index came up with."""
    best = [np.empty(0) for _ in asked.clips]
    alike: list[dict[str, float]] = [{} for _ in asked.clips]
    for names, vectors in blocks:
        place = {name: at for at, name in enumerate(names)}
        for row, own in enumerate(cosines(asked.vectors, vectors)):
            for name in wanted[row] & place.keys():
                alike[row][name] = float(own[place[name]])
            others = np.delete(own, place[asked.clips[row]]) if asked.clips[row] in place else own
            best[row] = np.sort(np.concatenate([best[row], others]))[::-1][: most - 1]
    return list(zip(best, alike, strict=True))


def enough(rows: pa.Table, policy: Mapping[str, Any]) -> bool:
    """Whether newest drives suffice: there are enough of every modality that they have.

    Args:
        rows: Their rows of `gold.clip_embeddings`.
        policy: Key `drift` of the gates.
    """
    keys = rows.select(["modality", "drive_id"]).group_by(["modality", "drive_id"], use_threads=False).aggregate([])
    return min(Counter(keys["modality"].to_pylist()).values(), default=0) >= int(policy["least_drives"])


def compared(
    reference: pa.Table, newer: pa.Table, *, in_reference: bool, policy: Mapping[str, Any]
) -> dict[str, Compared]:
    """Hold the newest clips of a depot against its reference, by modality of the newer ones.

    Args:
        reference: Rows of `gold.clip_embeddings` of the reference.
        newer: Rows of the newest drives; the partition's own where it is part of the reference.
        in_reference: Whether it is.
        policy: Key `drift` of the gates.
    """
    before = (
        {(space.modality, space.model_digest): own for space, own in by_space(reference)} if reference.num_rows else {}
    )
    found = {}
    for space, own in by_space(newer) if newer.num_rows else ():
        held = before.get((space.modality, space.model_digest), reference.slice(0, 0))
        drives = [len(set(rows["drive_id"].to_pylist())) for rows in (held, own)]
        apart = None
        if not in_reference and min(drives) >= policy["least_drives"]:
            (one, one_drives), (other, other_drives) = (_few(rows, policy["clips"]) for rows in (held, own))
            apart = shift(
                one,
                one_drives,
                other,
                other_drives,
                permutations=policy["permutations"],
                seed=policy["seed"],
            )
        found[space.modality] = Compared(in_reference, drives[0], drives[1], apart)
    return found


def _few(rows: pa.Table, most: int) -> tuple[Vectors, list[str]]:
    """At most so many clips, spread over all drives, and the drive of each."""
    drives: dict[str, int] = {}
    ranks = []
    for at, drive in enumerate(rows["drive_id"].to_pylist()):
        drives[drive] = drives.get(drive, 0) + 1
        ranks.append((drives[drive], at))
    chosen = pa.array([at for _, at in sorted(ranks)[:most]], type=pa.int64())
    own = rows.take(chosen)
    return units(matrix(own["vector"])), own["drive_id"].to_pylist()
