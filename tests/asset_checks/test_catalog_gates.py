"""The round trip of the catalog on data: each outcome, every comparison, and how often it errs."""

import hashlib
import importlib
import inspect
import random
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asset_checks import catalog
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.ingestion.metadata_extraction_and_catalog.operators import signals_address
from fleet_assets.ingestion.metadata_extraction_and_catalog.round_trip import (
    Claim,
    Span,
    Stored,
    round_trip_verdict,
)
from fleet_assets.ingestion.steps import CATALOG_STEP
from tests.asset_checks.gate_fleet import OLD, PARTITION, TABLES, GateFleet
from tests.gate_mutants import answers as answered
from tests.gate_mutants import built, mutants

CATALOG, SIGNALS, SWEEPS, KEYFRAMES, MEDIA, AUDITED = (
    TABLES[name]
    for name in (
        "silver.clip_catalog",
        "silver.signals",
        "silver.lidar_sweeps",
        "silver.keyframes",
        "bronze.redacted_media",
        "bronze.audited_media",
    )
)
OPERATOR = CATALOG_STEP.operator.name
PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
CLIP_NS, STEP_NS = 1000, 100
POINTS = 5
"""Points of a sweep."""
PICTURES = 9
"""Pictures of the camera."""
MODULE = "fleet_assets.ingestion.metadata_extraction_and_catalog.round_trip"
_folder = tempfile.TemporaryDirectory()


@dataclass
class Objects:
    """Objects of class `open` as files."""

    gone: set[str] = field(default_factory=set)

    def put(self, name: str, write: Callable[[Path], Any]) -> str:
        """Store what a function writes; its digest."""
        path = Path(_folder.name) / name
        if not path.exists():
            write(path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        stored = path.with_name(sha256)
        stored.write_bytes(path.read_bytes())
        return sha256

    def local(self, sha256: str, access: str) -> Path:
        """See `ObjectStore.local`."""
        assert access == "open"
        if sha256 in self.gone:
            raise FileNotFoundError(sha256)
        return Path(_folder.name) / sha256


def _zip(sweeps: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("sweep_start/c/0", (np.arange(sweeps + 1, dtype="<i8") * POINTS).tobytes())

    return write


def _pictures(first_ns: int, last_ns: int, count: int) -> Callable[[Path], None]:
    t_ns = np.linspace(first_ns, last_ns, count).astype(np.int64)
    return lambda path: pq.write_table(pa.table({"t_ns": t_ns}), path)


def _damaged(path: Path) -> None:
    path.write_bytes(b"nothing that can be read")


def _shard(t_ns: list[int]) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table({"t_ns": t_ns}), path)


def uri(sha256: str) -> str:
    return f"objects://open/{sha256}"


def clip_row(clip: int, **values: Any) -> dict[str, Any]:
    span = {"start_ns": clip * CLIP_NS, "end_ns": (clip + 1) * CLIP_NS}
    return {"clip_id": f"d-{clip}", **span, "tags": "", "has": "", "instants": 10, **values}


def recorded(**changes: Any) -> GateFleet:
    """One drive of two clips with signals, sweeps, keyframes and pictures of a camera, all in the catalog.

    Args:
        changes: What is otherwise: `signals`, `sweeps`, `keyframes` (instants stored), `rows` (changes of the catalog's
            rows by number), `gone` (kinds whose object is gone), `forgotten` (kinds that no row names), `released`,
            `made`, `waiting`; `sweeps_inside`, `video_inside` (what the object holds), `damaged` (kinds whose object
            cannot be read).
    """
    fleet = GateFleet().drive("d")
    objects = Objects()
    fleet = replace(fleet, objects=objects)
    signals = changes.get("signals", list(range(0, 2 * CLIP_NS, STEP_NS)))
    sweeps = changes.get("sweeps", [100, 600, 1100])
    inside = changes.get("sweeps_inside", len(sweeps))
    stored = changes.get("keyframes", [200, 1200, 1999])
    named = changes.get("keyframe_rows", stored)
    damaged = changes.get("damaged", ())
    zipped = objects.put(*(("zd", _damaged) if "lidar" in damaged else (f"z{inside}", _zip(inside))))
    shard = objects.put(f"k{stored}", _shard(stored))
    first, last = changes.get("video", (500, 1500))
    held = changes.get("video_inside", (first, last, PICTURES))
    video = objects.put(*(("md", _damaged) if "media" in damaged else (f"m{held}", _pictures(*held))))
    fleet.put(SIGNALS, "d", [{"clip_id": f"d-{min(t // CLIP_NS, 1)}", "t_ns": t} for t in signals])
    sweep = {"sensor": "roof", "uri": uri(zipped), "sha256": zipped}
    fleet.put(
        SWEEPS,
        "d",
        [
            {
                **sweep,
                "clip_id": f"d-{t // CLIP_NS}",
                "t_ns": t,
                "sweep": n,
                "first_point": n * POINTS + changes.get("points_moved", 0),
                "points": POINTS + changes.get("points_more", 0) * (n == 1),
            }
            for n, t in enumerate(sweeps)
        ],
    )
    picture = {"camera": "front", "uri": uri(shard), "sha256": shard}
    fleet.put(KEYFRAMES, "d", [{**picture, "clip_id": f"d-{t // CLIP_NS}", "t_ns": t} for t in named])
    media = {"camera": "front", "uri": uri(video), "sha256": video, "first_t_ns": first, "last_t_ns": last}
    fleet.put(MEDIA, "d", [{**media, "media": "frames", "frames": PICTURES}] if "no_media" not in changes else [])
    fleet.put(AUDITED, "d", [{"camera": "front", "sha256": video, "released": changes.get("released", True)}])
    (entry,) = fleet.lake.entries(SIGNALS, PARTITION)
    addresses: dict[str, str | None] = {
        "signals_uri": signals_address(entry),
        "lidar_uris": uri(zipped),
        "keyframe_uris": uri(shard),
        "media_uris": uri(video),
    }
    addresses = {kind: None if kind in changes.get("forgotten", ()) else value for kind, value in addresses.items()}
    counts = [{"sweeps": 2, "keyframes": 1}, {"sweeps": 1, "keyframes": 2}]
    rows = [clip_row(clip, **addresses, **counts[clip]) for clip in range(2)]
    for clip, change in changes.get("rows", {}).items():
        rows[clip].update(change)
    objects.gone |= {{"lidar": zipped, "keyframe": shard, "media": video}[kind] for kind in changes.get("gone", ())}
    version = {"made": changes["made"]} if "made" in changes else {}
    fleet.put(CATALOG, "d", rows, **version)
    waiting = changes.get("waiting", False)
    return fleet.plan(OPERATOR, [] if waiting else ["d"], ["d"] if waiting else [])


def file_gone() -> GateFleet:
    fleet = recorded()
    read = fleet.lake.read

    def refusing(table: Any, entries: Any, columns: Any = None) -> Any:
        if table is SIGNALS:
            raise FileNotFoundError(entries[0].path)
        return read(table, entries, columns)

    fleet.lake.read = refusing  # type: ignore[method-assign]
    return fleet


def camera_only() -> GateFleet:
    return recorded(signals=[], rows={n: {"instants": 0, "signals_uri": None} for n in range(2)})


ONE = {"lidar_uris": None, "sweeps": 0}
SCENARIOS: dict[str, tuple[Callable[[], GateFleet], Outcome]] = {
    "nothing": (GateFleet, PASS),
    "all there": (recorded, PASS),
    "no signals, only media": (camera_only, PASS),
    "the file of the signals is gone": (file_gone, FAIL),
    "the row names another file": (lambda: recorded(rows={0: {"signals_uri": "lake://silver.signals/x"}}), FAIL),
    "an instant fewer than the catalog says": (lambda: recorded(rows={0: {"instants": 11}}), FAIL),
    "an instant more than the catalog says": (lambda: recorded(rows={1: {"instants": 9}}), FAIL),
    "an instant after the clip's end": (lambda: recorded(signals=[*range(0, 1900, 100), 2000]), FAIL),
    "the last instant before the clip's end": (lambda: recorded(signals=[*range(0, 1900, 100), 1999]), PASS),
    "an instant before the clip": (lambda: recorded(rows={0: {"start_ns": 1}}), FAIL),
    "no instant of a clip": (lambda: recorded(signals=list(range(1000, 2000, 100)), rows={0: {"instants": 0}}), FAIL),
    "signals that no row names": (
        lambda: recorded(rows={n: {"signals_uri": None, "instants": 0} for n in range(2)}), FAIL,
    ),
    "instants without an address": (lambda: recorded(rows={0: {"signals_uri": None}}), FAIL),
    "the sweeps' object is gone": (lambda: recorded(gone=["lidar"]), FAIL),
    "a sweep fewer in the object": (lambda: recorded(sweeps_inside=2), FAIL),
    "a sweep more in the object": (lambda: recorded(sweeps_inside=4), FAIL),
    "sweeps of other points": (lambda: recorded(points_moved=1), FAIL),
    "a sweep of more points": (lambda: recorded(points_more=1), FAIL),
    "sweeps that cannot be read": (lambda: recorded(damaged=["lidar"]), FAIL),
    "sweeps that no row names": (lambda: recorded(rows=dict.fromkeys(range(2), ONE)), FAIL),
    "sweeps that one row does not name": (lambda: recorded(rows={1: ONE}), FAIL),
    "the shard is gone": (lambda: recorded(gone=["keyframe"]), FAIL),
    "a picture of the shard lies in another clip": (
        lambda: recorded(keyframes=[200, 300, 1999], keyframe_rows=[200, 1200, 1999]), FAIL,
    ),
    "a picture of the shard at the clip's end": (
        lambda: recorded(keyframes=[200, 1200, 2000], keyframe_rows=[200, 1200, 1999]), FAIL,
    ),
    "a picture of the shard at the clip's start": (
        lambda: recorded(keyframes=[0, 1200, 1999], keyframe_rows=[0, 1200, 1999]), PASS,
    ),
    "the video is gone": (lambda: recorded(gone=["media"]), FAIL),
    "a video that cannot be read": (lambda: recorded(damaged=["media"]), FAIL),
    "a video of a picture more": (lambda: recorded(video_inside=(500, 1500, PICTURES + 1)), FAIL),
    "a video of a picture less": (lambda: recorded(video_inside=(500, 1500, PICTURES - 1)), FAIL),
    "a video of another time": (lambda: recorded(video_inside=(501, 1501, PICTURES)), FAIL),
    "a video that is longer": (lambda: recorded(video_inside=(500, 1501, PICTURES)), FAIL),
    "a video that no row names": (lambda: recorded(forgotten=["media_uris"]), FAIL),
    "a video outside of all clips": (lambda: recorded(video=(3000, 4000), forgotten=["media_uris"]), PASS),
    "a video up to the first clip": (
        lambda: recorded(video=(-500, 0), rows={1: {"media_uris": None}}), PASS,
    ),
    "a video that ends before the clip that names it": (lambda: recorded(video=(0, 999)), FAIL),
    "a video that begins at the end of the clip that names it": (lambda: recorded(video=(1000, 1500)), FAIL),
    "a video that does not exist": (lambda: recorded(no_media=True), FAIL),
    "a video that is not released and that no row names": (
        lambda: recorded(released=False, forgotten=["media_uris"]), PASS,
    ),
    "a video that is not released": (lambda: recorded(released=False), FAIL),
    "stale": (lambda: recorded(made=OLD), INCONCLUSIVE),
    "stale and wrong": (lambda: recorded(made=OLD, rows={0: {"instants": 99}}), INCONCLUSIVE),
    "waiting": (lambda: recorded(waiting=True), INCONCLUSIVE),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_round_trip_says(name: str) -> None:
    fleet, outcome = SCENARIOS[name]
    verdict = catalog.judge_round_trip(fleet(), PARTITION)  # type: ignore[arg-type]
    assert verdict.outcome is outcome, verdict.figures


def test_a_breach_names_clip_address_and_numbers() -> None:
    verdict = catalog.judge_round_trip(recorded(rows={0: {"instants": 11}}), PARTITION)  # type: ignore[arg-type]
    assert (
        verdict.figures["first_breaches"] == "d-0, rows of signals: 10 rows of signals are stored, the catalog says 11"
    )
    late = catalog.judge_round_trip(recorded(waiting=True), PARTITION)  # type: ignore[arg-type]
    assert late.missing == ("the catalog of d: materialize silver/clip_catalog of this partition, then ask again",)


def test_the_gate_reads_its_tolerance_from_the_policy() -> None:
    fleet = recorded(signals=[*range(0, 1900, 100), 2000 + 999_999])
    assert catalog.judge_round_trip(fleet, PARTITION).outcome is FAIL  # type: ignore[arg-type]
    lenient = fleet.with_policy("catalog", round_trip={"time_tolerance_ms": 1})
    assert catalog.judge_round_trip(lenient, PARTITION).outcome is PASS  # type: ignore[arg-type]


# -- how often it errs -------------------------------------------------------------------------------------------------


def partition(seed: int) -> tuple[list[Claim], dict[str, Stored]]:
    """A sound partition: some drives with some clips, each with signals, most with media."""
    draw = random.Random(seed)  # noqa: S311 - data of a test
    claims, stored = [], {}
    for drive in range(draw.randint(1, 4)):
        clips = [(f"{drive}-{n}", n * 100, (n + 1) * 100) for n in range(draw.randint(1, 5))]
        for kind in ("signals", "sweeps", "keyframes")[: draw.randint(1, 3)]:
            address = f"{kind}/{drive}"
            spans = {name: Span(draw.randint(1, 9), start, end - 1) for name, start, end in clips}
            stored[address] = Stored(str(drive), spans)
            claims += [
                Claim(name, str(drive), kind, (address,), start, end, spans[name].rows) for name, start, end in clips
            ]
    return claims, stored


def damaged(seed: int) -> tuple[list[Claim], dict[str, Stored]]:
    """The same with one defect."""
    claims, stored = partition(seed)
    draw = random.Random(seed + 1)  # noqa: S311 - data of a test
    at = draw.randrange(len(claims))
    claim = claims[at]
    address = claim.addresses[0]
    span = stored[address].spans[claim.clip]
    others = {name: one for name, one in stored[address].spans.items() if name != claim.clip}
    moved = {
        "gone": replace(stored[address], problem="gone"),
        "early": replace(stored[address], spans={**others, claim.clip: replace(span, first_ns=claim.start_ns - 1)}),
        "late": replace(stored[address], spans={**others, claim.clip: replace(span, last_ns=claim.end_ns)}),
        "fewer": replace(stored[address], spans={**others, claim.clip: replace(span, rows=span.rows - 1)}),
        "more": replace(stored[address], spans={**others, claim.clip: replace(span, rows=span.rows + 1)}),
        "nothing": replace(stored[address], spans=others),
    }
    what = draw.choice([*moved, "unknown", "forgotten"])
    if what in moved:
        stored[address] = moved[what]
    elif what == "unknown":
        del stored[address]
    else:
        stored[f"{address}/again"] = stored[address]
    return claims, stored


def judge(claims: list[Claim], stored: dict[str, Stored]) -> Outcome:
    return round_trip_verdict(claims, stored, (), tolerance_ns=0, policy_digest="0" * 64).outcome


def test_no_sound_partition_fails_and_no_single_defect_passes() -> None:
    """2000 of each: an error rate above 0.15 % would show itself with 95 % confidence."""
    tried = 2000
    false_alarms = sum(judge(*partition(seed)) is not PASS for seed in range(10_000, 10_000 + tried))
    misses = sum(judge(*damaged(seed)) is not FAIL for seed in range(10_000, 10_000 + tried))
    assert (false_alarms, misses) == (0, 0)
    assert clopper_pearson(0, tried, 0.95, side="upper").high < 0.0015


# -- no comparison can be turned round ---------------------------------------------------------------------------------


def asked(claim: dict[str, Any], stored: Stored | None, waiting: tuple[str, ...] = (), tolerance: int = 0) -> Any:
    base = {"clip": "c", "drive": "d", "kind": "k", "addresses": ("a",), "start_ns": 10, "end_ns": 20, "rows": 3}
    held = {"a": stored} if stored is not None else {}
    return lambda gate: gate(
        [Claim(**{**base, **claim})], held, waiting, tolerance_ns=tolerance, policy_digest="0" * 64
    )


def holding(rows: int = 3, first: int = 10, last: int = 19, clip: str = "c", problem: str = "") -> Stored:
    return Stored("d", {clip: Span(rows, first, last)}, problem)


PURE = [
    asked({}, holding()),
    asked({}, None),
    asked({}, holding(problem="gone")),
    asked({}, holding(clip="other")),
    asked({}, holding(rows=4)),
    asked({}, holding(rows=2)),
    asked({}, holding(first=9)),
    asked({}, holding(first=9), tolerance=1),
    asked({}, holding(first=8), tolerance=1),
    asked({}, holding(last=20)),
    asked({}, holding(last=20), tolerance=1),
    asked({}, holding(last=21), tolerance=1),
    asked({"rows": None}, holding(rows=9, first=0, last=99)),
    asked({"rows": None}, holding(clip="other")),
    asked({"addresses": (), "rows": 0}, holding()),
    asked({"addresses": (), "rows": 0}, Stored("d", {})),
    asked({"addresses": (), "rows": 0}, holding(), ("d",)),
    asked({}, holding(rows=4), ("d",)),
    asked({}, holding(), ("other",)),
    lambda gate: gate([], {}, (), tolerance_ns=0, policy_digest="0" * 64),
    lambda gate: gate([], {"a": holding()}, (), tolerance_ns=0, policy_digest="0" * 64),
]


def test_no_comparison_of_the_judgement_can_be_turned_round() -> None:
    module = importlib.import_module(MODULE)
    expected = answered(round_trip_verdict, PURE)
    found = list(mutants(inspect.getsource(module), ("_breach", "round_trip_verdict")))
    assert len(found) >= 10
    survivors = [
        mutant.place for mutant in found if answered(built(mutant.tree, module).round_trip_verdict, PURE) == expected
    ]
    assert survivors == []


def test_no_comparison_of_what_is_looked_up_can_be_turned_round() -> None:
    fleets = [make() for make, _ in SCENARIOS.values()]

    def look(judge: Any, fleet: Any) -> Any:
        verdict = judge(fleet, PARTITION)
        return verdict.outcome, dict(verdict.figures)

    def said(module: Any) -> list[Any]:
        return answered(module.judge_round_trip, [lambda judge, one=fleet: look(judge, one) for fleet in fleets])

    parts = (
        "judge_round_trip",
        "_claims",
        "_stored_signals",
        "_stored_sweeps",
        "_by_clip",
        "_stored_media",
        "_media_problem",
    )
    expected = said(catalog)
    assert not [one for one in expected if isinstance(one, str)]
    found = list(mutants(inspect.getsource(catalog), parts))
    assert len(found) >= 8
    assert [mutant.place for mutant in found if said(built(mutant.tree, catalog)) == expected] == []
