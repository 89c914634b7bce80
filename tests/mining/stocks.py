"""Stocks of clips in memory: what a mining request looks at, without a lake."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.mining.scenario_mining.mine import Answer, Stock, mine
from fleet_assets.mining.scenario_mining.requests import parse_request
from fleet_assets.mining.scenario_mining.vectors import unit
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables.catalog import SEARCH_DOCUMENTS

POLICIES = load_policies()
POLICY = {**POLICIES["mining"], "fields": POLICIES["catalog"]["documents"]["fields"]}
FIRST_NS = 1_714_550_400_000_000_000


def asked(**parts: Any) -> dict[str, Any]:
    """A request's document."""
    plain = {"schema": "fleet.mining_request/v1", "name": "test", "where": ["true"], "budget": {"clips": 5}}
    return {**plain, **parts}


def stock(vectors: NDArray[Any], *, seed: int = 0, names: Sequence[str] | None = None, **parts: Any) -> Stock:
    """Clips with these vectors; a row of zeros is a clip without any.

    Args:
        vectors: float[n, k].
        seed: Of speeds, lights and events.
        names: Clips in any order; sorted here, as the lake gives them.
        parts: Other fields of the stock.
    """
    rng = np.random.default_rng(seed)
    count = len(vectors)
    clips = list(names) if names is not None else [f"d{n // 10:04}-{n % 10:04}" for n in range(count)]
    order = np.argsort(clips)
    starts = [FIRST_NS + n * 20_000_000_000 for n in range(count)]
    rows = {
        "clip_id": clips,
        "drive_id": [clip.rsplit("-", 1)[0] for clip in clips],
        "day": ["2024-05-01"] * count,
        "depot": ["north"] * count,
        "start_ns": starts,
        "end_ns": [start + 20_000_000_000 for start in starts],
        "duration_s": rng.integers(5, 21, count).astype(float),
        "light_condition": rng.choice(["day", "night"], count, p=[0.8, 0.2]),
        "speed_max_mps": rng.random(count) * 30,
    }
    with_event = rng.random(count) < 0.4
    events = pa.table({
        "clip_id": [clip for clip, there in zip(clips, with_event, strict=True) if there],
        "trigger": rng.choice(["hard_brake", "swerve", "cut_in"], int(with_event.sum())),
        **{name: rng.random(int(with_event.sum())) for name in ("score", "rarity", "uncertainty", "disagreement")},
    })  # fmt: skip
    whole = {
        "relations": {"clips": pa.table(rows).take(pa.array(order)), "events": events},
        "documents": SEARCH_DOCUMENTS.empty(),
        "rows": unit(np.asarray(vectors, dtype=np.float32)[order]),
        "sizes": rng.integers(1_000, 9_000, count).astype(np.float64),
        "used": {},
        "golden": frozenset[str](),
        "picture": lambda _: None,
    }
    return Stock(**{**whole, **parts})


def directions(count: int, seed: int = 0, width: int = 16) -> NDArray[np.float32]:
    """Random vectors of length one."""
    return unit(np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32))


def answered(document: Mapping[str, Any], clips: Stock, policy: Mapping[str, Any] = POLICY) -> Answer:
    """The answer to a request."""
    return mine(parse_request(document, policy), clips, policy)


def listed(answer: Answer) -> list[str]:
    """Its clips, best first."""
    return [row["clip"]["clip_id"] for row in answer.candidates]
