"""More like this: clips nearest to a clip or to words, and clips that are nearly the same; for programs and commands.

Here belongs which vectors are compared, and what to say where there are none. The index is handed in.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fleet_assets.mining.embeddings_and_vector_index.operators import open_sentences
from fleet_assets.perception.near_duplicates import Twins, near_duplicates
from fleet_assets.perception.neighbours import IndexVersion, Neighbour, NoIndexError, VectorIndex
from fleet_assets.perception.vectors import units
from fleet_assets.perception.weights import WeightSource

PARTS = ("pictures", "motion", "words")
"""Parts of the policy `embeddings` that make vectors, in the order in which a clip's are looked for."""


class UnknownModalityError(ValueError):
    """A modality or model that there are no vectors of."""


class UnknownClipError(LookupError):
    """A clip that has no vector, or does not exist."""


@dataclass(frozen=True, slots=True)
class Similar:
    """The clips that are most like something.

    Attributes:
        query: Clip or words that were asked for.
        version: State of the index that answered.
        neighbours: Best first; the clip itself is left out.
    """

    query: str
    version: IndexVersion
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Clips that are nearly the same.

    Attributes:
        version: State of the index that was looked through.
        pairs: How many pairs there are.
        clips: How many clips are in some pair.
        best: The pairs most alike, as many as were asked for.
    """

    version: IndexVersion
    pairs: int
    clips: int
    best: tuple[Twins, ...]


def modalities(policy: Mapping[str, Any]) -> list[str]:
    """Names of the modalities, in the order in which a clip's vectors are looked for."""
    return [policy[part]["modality"] for part in PARTS]


def similar_to_clip(
    index: VectorIndex,
    policy: Mapping[str, Any],
    clip_id: str,
    count: int,
    *,
    modality: str | None = None,
    model: str | None = None,
    version: int | None = None,
) -> Similar:
    """The clips that are most like a clip.

    Args:
        index: The index.
        policy: The document `embeddings`.
        clip_id: The clip.
        count: Clips wanted.
        modality: What of it is compared; the first of `modalities` that it has a vector of when None.
        model: Name of the model, or first digits of its digest, where there are several.
        version: Number of a kept state of the index; the latest one when None.

    Raises:
        NoIndexError: When there is no index yet, or no such version.
        UnknownModalityError: Naming those that there are.
        UnknownClipError: When the clip has no such vector.
    """
    wanted = modalities(policy) if modality is None else [modality]
    for state in _states(index, policy, wanted, model, version):
        held = index.vectors(state.space, [clip_id])
        if clip_id in held:
            found = index.search(state.space, held[clip_id][None], count + 1, version=version)[0]
            return Similar(clip_id, state, tuple(one for one in found if one.clip_id != clip_id)[:count])
    raise UnknownClipError(
        f"clip {clip_id!r} has no vector of {' or '.join(wanted)}. Its rows in gold.missing_embeddings say why; "
        "`fleet search` finds the ids of clips."
    )


def similar_to_words(
    index: VectorIndex,
    policy: Mapping[str, Any],
    words: str,
    count: int,
    weights: WeightSource,
    *,
    model: str | None = None,
    version: int | None = None,
) -> Similar:
    """The clips whose description is most like words; arguments and errors are those of `similar_to_clip`.

    Args:
        index: The index.
        policy: The document `embeddings`.
        words: A sentence.
        count: Clips wanted.
        weights: Where the weights of the model of texts are.
        model: See `similar_to_clip`.
        version: See `similar_to_clip`.
    """
    state = _states(index, policy, [policy["words"]["modality"]], model, version)[0]
    vector, _ = open_sentences(policy["words"], weights)(words)
    found = index.search(state.space, units(np.asarray(vector)[None]), count, version=version)[0]
    return Similar(words, state, tuple(found))


def duplicate_clips(
    index: VectorIndex,
    policy: Mapping[str, Any],
    least_cosine: float,
    count: int,
    *,
    modality: str | None = None,
    model: str | None = None,
) -> Duplicates:
    """All pairs of clips that are nearly the same, counted; the vectors are read once and not held.

    Args:
        index: The index.
        policy: The document `embeddings`.
        least_cosine: Least cosine of a pair, above 0 and at most 1.
        count: Pairs wanted, the most alike ones.
        modality: See `similar_to_clip`.
        model: See `similar_to_clip`.

    Raises:
        NoIndexError: When there is no index yet.
        UnknownModalityError: Naming those that there are.
    """
    wanted = modalities(policy) if modality is None else [modality]
    state = _states(index, policy, wanted, model, None)[0]
    clips: set[str] = set()
    pairs = 0
    best: list[tuple[float, int, Twins]] = []
    for twins in near_duplicates(index.scan(state.space), least_cosine):
        pairs += 1
        clips |= {twins.first, twins.second}
        heapq.heappush(best, (twins.cosine, -pairs, twins))
        if len(best) > count:
            heapq.heappop(best)
    return Duplicates(state, pairs, len(clips), tuple(one for _, _, one in sorted(best, reverse=True)))


def _states(
    index: VectorIndex, policy: Mapping[str, Any], wanted: Sequence[str], model: str | None, version: int | None
) -> list[IndexVersion]:
    """States of the index to ask, in the order of the modalities; of one modality the largest comes first."""
    kept = index.versions()
    if not kept:
        raise NoIndexError(
            "there is no vector index yet. Ingest drives, or run `fleet reconcile` to make it from the lake."
        )
    if unknown := sorted(set(wanted) - set(modalities(policy))):
        raise UnknownModalityError(f"no modality {unknown[0]!r}. There are: {', '.join(modalities(policy))}.")
    latest = {state.space: state for state in kept if version in {None, state.number}}
    fit = [
        state
        for state in latest.values()
        if state.clips and (model is None or model == state.space.model or state.space.model_digest.startswith(model))
    ]
    chosen = [state for state in fit if state.space.modality in wanted]
    if not chosen:
        told = sorted({f"{one.space.modality} by {one.space.model}, version {one.number}" for one in kept if one.clips})
        raise UnknownModalityError(
            f"no vectors of {' or '.join(wanted)}"
            + (f" by model {model!r}" if model else "")
            + (f" in version {version}" if version else "")
            + f". There are: {'; '.join(told) or 'none'}."
        )
    return sorted(chosen, key=lambda one: (wanted.index(one.space.modality), -one.clips, one.space))
