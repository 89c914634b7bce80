"""Answering a mining request: predicates, text and seeds narrow down; duplicates fall out; the list is chosen.

A pure function of the request and of the stock that it looks at: the same vectors, rows, budget and seed give the same
list. Where rows, vectors and pictures lie is not known here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.mining.scenario_mining import worth as worths
from fleet_assets.mining.scenario_mining.facility import Chosen, Problem, choose, feasible_core
from fleet_assets.mining.scenario_mining.predicates import ROWS, Judge
from fleet_assets.mining.scenario_mining.requests import InvalidMiningRequestError, MiningRequest, Quota
from fleet_assets.mining.scenario_mining.vectors import (
    Matrix,
    best,
    cosines,
    nearest_cosine,
    without_duplicates,
)
from fleet_assets.mining.scenario_mining.words import document_fields, listed, text_scores
from fleet_assets.perception.image_digests import differing_bits

SECONDS: Final = "seconds"
BYTES: Final = "bytes"
_LEAST_OF_SLICE: Final = 4
"""Times a quota's minimum that clips of its slice are looked at before all others."""


@dataclass(frozen=True)
class Stock:
    """What a request looks at.

    Attributes:
        relations: Rows by the relation that predicates see; `clips` lists the clips, ordered by their names.
        documents: Rows of `silver.search_documents`.
        rows: float32[n, k]: joined vectors of the clips, of length one; zeros where a clip has none. May lie on disk.
        sizes: Bytes of each clip, float64[n].
        used: Clips of earlier lists, with the digests of their pictures where there are any.
        golden: Clips of golden sets.
        picture: Perceptual digest of a clip; None without a picture.
        meaning: Cosine of each clip's text to the sentence that is asked for, float64[n], NaN for one without; None
            where the request asks for no meaning.
    """

    relations: Mapping[str, pa.Table]
    documents: pa.Table
    rows: Matrix
    sizes: NDArray[np.float64]
    used: Mapping[str, int | None]
    golden: frozenset[str]
    picture: Callable[[str], int | None]
    meaning: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Slice:
    """How a slice came out.

    Attributes:
        quota: What was asked.
        matched: Clips of the slice among the matches.
        chosen: Clips of the slice in the list.
        reachable: Whether any list keeps all minima within all limits.
    """

    quota: Quota
    matched: int
    chosen: int
    reachable: bool


@dataclass(frozen=True)
class Answer:
    """A list of clips, and how it came about.

    Attributes:
        candidates: What there is to say about each clip, in the order of choice.
        funnel: Clips that were left after each step.
        spent: Seconds and bytes of the list.
        slices: How the quotas came out.
        objective: What the list is worth.
        near: Pairs of candidates, or of a candidate and a clip that is used or golden, which are the same by vector.
    """

    candidates: Sequence[Mapping[str, Any]]
    funnel: Mapping[str, int]
    spent: Mapping[str, float]
    slices: Sequence[Slice]
    objective: float
    near: int


def mine(request: MiningRequest, stock: Stock, policy: Mapping[str, Any]) -> Answer:
    """Answer a request.

    Args:
        request: What is asked for.
        stock: What there is.
        policy: The document `mining`, with the fields of queries under `fields`.

    Raises:
        InvalidMiningRequestError: When predicates or text are not allowed, or a seed is not there.
    """
    return _Mining(request, stock, policy).answer()


class _Mining:
    """The steps of one answer; arrays have one entry per clip."""

    def __init__(self, request: MiningRequest, stock: Stock, policy: Mapping[str, Any]) -> None:
        self.request, self.stock, self.policy = request, stock, policy
        self.clips: list[str] = stock.relations[ROWS]["clip_id"].to_pylist()
        self.index = {clip: number for number, clip in enumerate(self.clips)}
        self.order = worths.drawn_order(self.clips, request.seed)
        self.has_vector = _has_vector(stock.rows, policy["pool"]["block"])
        self.judge = Judge(stock.relations, policy["functions"], **policy["sql"])
        self.used = stock.used if request.without_used else {}
        self.funnel: dict[str, int] = {"clips": len(self.clips)}
        self.reasons: list[tuple[str, NDArray[np.float64]]] = []

    def answer(self) -> Answer:
        fits = self._narrowed()
        numbers = self._numbers(fits)
        value = worths.worth(numbers, self.request.weights)
        self.funnel["without_vector"] = int((fits & ~self.has_vector).sum())
        matched = fits & self.has_vector
        members = np.array([self.judge(one.where, f"quotas/{one.name}") for one in self.request.quotas], dtype=np.bool_)
        members = members.reshape(len(self.request.quotas), len(self.clips))
        pool, pictures = self._pool(matched, value, members)
        ground = np.flatnonzero(matched)
        ground = ground[np.argsort(self.order[ground])][: self.policy["pool"]["ground"]]
        similarity = np.clip(cosines(self.stock.rows[pool], self.stock.rows[ground]), 0.0, 1.0)
        facets = self.policy["facets"]
        _, has = worths.facets(self.stock.relations[ROWS], self.stock.relations["events"], facets)
        targets, weights = worths.with_facets(
            similarity,
            value[ground] ** self.policy["emphasis"],
            has[pool],
            np.asarray(has[matched].any(axis=0), dtype=np.bool_),
            facets["share"],
        )
        problem = self._problem(pool, targets, value, members, weights)
        chosen = choose(problem)
        picked = pool[list(chosen.indices)]
        self.funnel["chosen"] = len(picked)
        return Answer(
            self._candidates(
                picked,
                chosen,
                similarity=similarity,
                numbers=numbers,
                value=value,
                members=members,
                pictures=pictures,
            ),
            self.funnel,
            {name: float(costs[picked].sum()) for name, costs in self._costs().items()},
            self._slices(picked, matched, members, problem),
            chosen.objective,
            self._near(picked),
        )

    def _narrowed(self) -> NDArray[np.bool_]:
        """Clips that fulfil predicates and words and are not excluded."""
        request, stock = self.request, self.stock
        fits = np.ones(len(self.clips), dtype=np.bool_)
        for number, predicate in enumerate(request.where):
            fits &= self.judge(predicate, f"where/{number}")
        self.funnel["where"] = int(fits.sum())
        if request.words is not None:
            self.reasons.append(("says", self._text(request.words)))
            fits &= self.reasons[-1][1] > 0.0
        self.funnel["words"] = int(fits.sum())
        drives = stock.relations[ROWS]["drive_id"].to_pylist()
        for name, refused in (
            ("excluded", [clip in request.without_clips for clip in self.clips]),
            ("drives", [drive in request.without_drives for drive in drives]),
            ("used", [clip in self.used for clip in self.clips]),
            ("golden", [clip in stock.golden for clip in self.clips]),
            ("seeds", [clip in request.seeds for clip in self.clips]),
        ):
            fits &= ~np.array(refused, dtype=np.bool_)
            self.funnel[f"without_{name}"] = int(fits.sum())
        return fits

    def _text(self, words: str) -> NDArray[np.float64]:
        documents = listed(self.stock.documents)
        judge = Judge({ROWS: documents}, self.policy["functions"], **self.policy["sql"])
        scores = text_scores(words, documents, document_fields(self.policy["fields"]), judge)
        found = np.zeros(len(self.clips), dtype=np.float64)
        for clip, score in zip(documents["clip_id"].to_pylist(), scores, strict=True):
            if clip in self.index:
                found[self.index[clip]] = score
        return found

    def _numbers(self, fits: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        """What each clip is worth, number by number; narrows down to the nearest of seeds and meaning on the way."""
        request, stock, block = self.request, self.stock, self.policy["pool"]["block"]
        asked = [scores for _, scores in self.reasons]
        if stock.meaning is not None:
            fits &= ~np.isnan(stock.meaning)
            found = np.nan_to_num(stock.meaning, nan=-1.0)
            asked.append(self._keep_nearest("means", found, fits, request.meaning_nearest))
        self.funnel["meaning"] = int(fits.sum())
        if request.seeds:
            wanted = stock.rows[self._seed_rows()]
            found = _by_block(stock.rows, block, lambda rows: nearest_cosine(rows, wanted))
            asked.append(self._keep_nearest("like", found, fits, request.seeds_nearest, self.has_vector))
        self.funnel["nearest"] = int(fits.sum())
        used = stock.rows[self._known(self.used)]
        return {
            "relevance": worths.relevance(asked, len(self.clips)),
            "novelty": worths.novelty(_by_block(stock.rows, block, lambda rows: nearest_cosine(rows, used))),
            **worths.event_numbers(self.clips, stock.relations["events"]),
        }

    def _keep_nearest(
        self,
        name: str,
        cosine: NDArray[np.float64],
        fits: NDArray[np.bool_],
        most: int,
        told: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Leave the nearest, and those that nothing is told of: they are counted later."""
        able = np.flatnonzero(fits if told is None else fits & told)
        lost = fits.copy() if told is None else told.copy()
        lost[able[best(cosine[able], self.order[able], most)]] = False
        fits &= ~lost
        self.reasons.append((name, cosine))
        return np.asarray((1.0 + cosine) / 2.0, dtype=np.float64)

    def _seed_rows(self) -> list[int]:
        missing = [clip for clip in self.request.seeds if clip not in self.index]
        blank = [clip for clip in self.request.seeds if clip in self.index and not self.has_vector[self.index[clip]]]
        if missing or blank:
            why = f"{missing[0]!r} is no clip of the drives looked at" if missing else f"{blank[0]!r} has no vector"
            raise InvalidMiningRequestError(f"seeds/clips: {why}. `fleet search` lists clips.")
        return [self.index[clip] for clip in self.request.seeds]

    def _known(self, clips: Iterable[str]) -> list[int]:
        there = sorted(self.index[clip] for clip in clips if clip in self.index)
        return [number for number in there if self.has_vector[number]]

    def _pool(
        self, matched: NDArray[np.bool_], value: NDArray[np.float64], members: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], dict[int, int | None]]:
        """Clips to choose from without duplicates, the best of each quota's slice first; and digests of pictures."""
        pool, stock = self.policy["pool"], self.stock
        able = np.flatnonzero(matched)
        first = [
            able[members[number][able]][: 0 if not quota.least else None]
            for number, quota in enumerate(self.request.quotas)
        ]
        parts = [
            own[best(value[own], self.order[own], _LEAST_OF_SLICE * quota.least)]
            for own, quota in zip(first, self.request.quotas, strict=True)
        ]
        parts.append(able[best(value[able], self.order[able], pool["walk"])])
        walk = np.array(list(dict.fromkeys(np.concatenate(parts).tolist())), dtype=np.int64)
        known = [digest for digest in self.used.values() if digest is not None]
        pictures: dict[int, int | None] = {}

        def is_new(place: int) -> bool:
            clip = int(walk[place])
            digest = stock.picture(self.clips[clip])
            pictures[clip] = digest
            bits = self.policy["duplicates"]["bits"]
            if digest is None:
                return True
            if any(differing_bits(digest, other) <= bits for other in known):
                return False
            known.append(digest)
            return True

        kept = without_duplicates(
            stock.rows[walk],
            stock.rows[self._known(set(self.used) | stock.golden)],
            is_new,
            threshold=self.policy["duplicates"]["cosine"],
            most=pool["most"],
            block=pool["block"],
        )
        self.funnel["looked_at"], self.funnel["pool"] = len(walk), len(kept)
        return walk[kept], pictures

    def _costs(self) -> dict[str, NDArray[np.float64]]:
        seconds = np.asarray(self.stock.relations[ROWS]["duration_s"].to_numpy(), dtype=np.float64)
        return {SECONDS: seconds, BYTES: self.stock.sizes}

    def _problem(
        self,
        pool: NDArray[np.int64],
        similarity: NDArray[np.float64],
        value: NDArray[np.float64],
        members: NDArray[np.bool_],
        weights: NDArray[np.float64],
    ) -> Problem:
        costs = self._costs()
        limits = {name: float(self.request.budget[name]) for name in costs if name in self.request.budget}
        quotas = self.request.quotas
        return Problem(
            similarity=similarity,
            worth=value[pool],
            coverage=self.policy["coverage"],
            most=int(self.request.budget["clips"]),
            order=self.order[pool],
            costs={name: costs[name][pool] for name in limits},
            limits=limits,
            members=members[:, pool],
            least=[quota.least for quota in quotas],
            caps=[len(pool) if quota.most is None else quota.most for quota in quotas],
            weights=weights,
        )

    def _slices(
        self,
        picked: NDArray[np.int64],
        matched: NDArray[np.bool_],
        members: NDArray[np.bool_],
        problem: Problem,
    ) -> list[Slice]:
        counts = members[:, picked].sum(axis=1)
        missed = any(count < quota.least for count, quota in zip(counts, self.request.quotas, strict=True))
        reachable = not missed or bool(feasible_core(problem))
        return [
            Slice(quota, int((members[number] & matched).sum()), int(counts[number]), reachable)
            for number, quota in enumerate(self.request.quotas)
        ]

    def _near(self, picked: NDArray[np.int64]) -> int:
        """Counted once more on the list as it is, whatever was done before."""
        rows, threshold = self.stock.rows[picked], self.policy["duplicates"]["cosine"]
        known = self.stock.rows[self._known(set(self.used) | self.stock.golden)]
        among = int((np.triu(cosines(rows, rows), 1) >= threshold).sum())
        return among + (int((cosines(rows, known) >= threshold).any(axis=1).sum()) if len(known) else 0)

    def _candidates(
        self,
        picked: NDArray[np.int64],
        chosen: Chosen,
        *,
        similarity: NDArray[np.float64],
        numbers: Mapping[str, NDArray[np.float64]],
        value: NDArray[np.float64],
        members: NDArray[np.bool_],
        pictures: Mapping[int, int | None],
    ) -> list[dict[str, Any]]:
        stands_for = np.zeros(len(picked), dtype=np.int64)
        if len(picked) and similarity.shape[1]:
            nearest = similarity[list(chosen.indices)].argmax(axis=0)
            stands_for = np.bincount(nearest, minlength=len(picked))
        about = self.stock.relations[ROWS].take(pa.array(picked)).to_pylist()
        return [
            {
                "clip": about[rank],
                "rank": rank + 1,
                "gain": chosen.gains[rank],
                "worth": float(value[clip]),
                **{name: float(found[clip]) for name, found in numbers.items()},
                "stands_for": int(stands_for[rank]),
                "slices": [quota.name for quota, own in zip(self.request.quotas, members, strict=True) if own[clip]],
                "bytes": int(self.stock.sizes[clip]),
                "picture": pictures.get(int(clip)),
                "said": {name: float(found[clip]) for name, found in self.reasons},
            }
            for rank, clip in enumerate(picked.tolist())
        ]


def _by_block(rows: Matrix, size: int, of: Callable[[Matrix], NDArray[np.float64]]) -> NDArray[np.float64]:
    """A number per row, so many rows at a time."""
    parts = [of(np.asarray(rows[start : start + size])) for start in range(0, len(rows), size)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float64)


def _has_vector(rows: Matrix, size: int) -> NDArray[np.bool_]:
    return np.asarray(_by_block(rows, size, lambda own: np.abs(own).max(axis=1, initial=0.0)) > 0.0, dtype=np.bool_)
