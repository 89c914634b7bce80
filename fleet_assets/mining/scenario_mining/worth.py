"""What a clip is worth: how well it answers, how new it is, and what the events in it say. Numbers from 0 to 1."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NUMBERS: Final = ("relevance", "novelty", "rarity", "uncertainty", "disagreement")
"""Names of the numbers, which the policy weighs."""
OF_EVENTS: Final = ("rarity", "uncertainty", "disagreement")
_DECIMALS: Final = 6
Numbers = NDArray[np.float64]


def event_numbers(clips: Sequence[str], events: pa.Table) -> dict[str, Numbers]:
    """The largest rarity, uncertainty and disagreement of the events of each clip, float64[n]; 0 where none is.

    Args:
        clips: Clips, without doubles.
        events: `clip_id` and the three numbers.
    """
    index = {clip: number for number, clip in enumerate(clips)}
    places = np.array([index.get(clip, -1) for clip in events["clip_id"].to_pylist()], dtype=np.int64)
    found = {}
    for name in OF_EVENTS:
        values = np.asarray(events[name].to_numpy(), dtype=np.float64)
        found[name] = np.zeros(len(clips), dtype=np.float64)
        np.maximum.at(found[name], places[places >= 0], values[places >= 0])
    return found


def facets(clips: pa.Table, events: pa.Table, columns: Mapping[str, str]) -> tuple[list[str], NDArray[np.bool_]]:
    """Kinds of events, told apart by a column of the clips, and which clips have them.

    Args:
        clips: `clip_id` and the column.
        events: `clip_id` and the kind.
        columns: Key `facets` of the document `mining`.

    Returns:
        Names of the facets in order of text, and bool[n, f].
    """
    index = {clip: number for number, clip in enumerate(clips["clip_id"].to_pylist())}
    apart = clips[columns["clips"]].to_pylist()
    pairs = zip(events["clip_id"].to_pylist(), events[columns["events"]].to_pylist(), strict=True)
    found = {(index[clip], f"{kind} {apart[index[clip]]}") for clip, kind in pairs if clip in index}
    names = sorted({name for _, name in found})
    places = {name: number for number, name in enumerate(names)}
    has = np.zeros((len(index), len(names)), dtype=np.bool_)
    for clip, name in found:
        has[clip, places[name]] = True
    return names, has


def with_facets(
    similarity: Numbers, weights: Numbers, has: NDArray[np.bool_], there: NDArray[np.bool_], share: float
) -> tuple[Numbers, Numbers]:
    """Similarities and weights with the facets as further things to stand for.

    Args:
        similarity: float64[n, m], of the clips to choose from to the ground set.
        weights: float64[m], what each clip of the ground set counts.
        has: bool[n, f], which facets the clips to choose from have.
        there: bool[f], facets that any match has.
        share: What all facets count together.
    """
    columns = has[:, there].astype(np.float64)
    if not columns.shape[1] or not len(weights):
        return similarity, weights
    even = weights if weights.any() else np.ones(len(weights))
    each = np.full(columns.shape[1], share / columns.shape[1])
    return np.hstack([similarity, columns]), np.concatenate([even / even.sum() * (1.0 - share), each])


def novelty(nearest_used: Numbers) -> Numbers:
    """How far each clip is from whatever was chosen before: 1 minus the cosine to the nearest; 1 where none was.

    Args:
        nearest_used: Cosine to the nearest clip of an earlier list, -1 where there is none.
    """
    return np.asarray(1.0 - np.clip(nearest_used, 0.0, 1.0), dtype=np.float64)


def relevance(parts: Sequence[Numbers], size: int) -> Numbers:
    """Mean of what text and seeds say; 1 where only predicates were asked.

    Args:
        parts: float64[n] in 0 to 1, one per thing that was asked.
        size: n.
    """
    if not parts:
        return np.ones(size, dtype=np.float64)
    return np.asarray(np.mean(np.vstack(list(parts)), axis=0), dtype=np.float64)


def worth(numbers: Mapping[str, Numbers], weights: Mapping[str, float]) -> Numbers:
    """Weighted mean of the numbers, float64[n]; 0 where all weights are."""
    whole = sum(weights[name] for name in NUMBERS)
    size = len(numbers[NUMBERS[0]])
    if whole <= 0.0:
        return np.zeros(size, dtype=np.float64)
    mean = sum((weights[name] / whole * numbers[name] for name in NUMBERS), np.zeros(size, dtype=np.float64))
    return np.asarray(np.round(mean, _DECIMALS), dtype=np.float64)


def drawn_order(clips: Sequence[str], seed: int) -> NDArray[np.int64]:
    """A place for each clip, int64[n], drawn by the seed and by its name alone, so that other clips do not move it."""
    drawn = [hashlib.sha256(f"{seed}|{clip}".encode()).digest()[:8] for clip in clips]
    keys = np.frombuffer(b"".join(drawn), dtype=">u8")
    order = np.empty(len(clips), dtype=np.int64)
    order[np.lexsort((np.arange(len(clips)), keys))] = np.arange(len(clips))
    return order
