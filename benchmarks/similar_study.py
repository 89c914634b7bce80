"""More like this, for each kind of simulated event: how many of the ten nearest clips show it too.

`python -m benchmarks.similar_study FOLDER [--tuning]` over drives that `benchmarks.trigger_drives` made. Clips are
embedded by the pipeline's operators; what they show comes from the simulator's truth, which no vector is made of.
Asked are clips that show an event, by motion and by description, and words: the trigger's description, and two ways in
which a person may put it. Clips of the drive that is asked about never count. Beside it: the clips that share most tags
(ties in every order), and clips drawn at random. Intervals are 95 %, resampled by drive.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.simulated_drives import FIRST_UNSEEN_SEED, FULL_VEHICLE
from benchmarks.trigger_truth import occurrences
from fleet_assets.evidence.bootstrap import cluster_bootstrap
from fleet_assets.evidence.intervals import Interval
from fleet_assets.ingestion.steps import CATALOG_STEP
from fleet_assets.mining.embeddings_and_vector_index.operators import open_sentences
from fleet_assets.mining.steps import CLIP_VECTORS_STEP, EVENTS_STEP
from fleet_assets.perception.vectors import Vectors, cosines, units
from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.restate import Moved, UnitTask
from fleet_assets.tables import Table, all_tables
from fleet_assets.tables.silver import CLIPS
from resources.data_files import DataFiles
from resources.objects import LocalObjects
from resources.weights import WeightStore

AT: Final = 10
GIVEN: Final = ("bronze.drives", "silver.signals", "silver.radar_tracks")
STEPS: Final = (CATALOG_STEP, EVENTS_STEP, CLIP_VECTORS_STEP)
PUT: Final[Mapping[str, tuple[str, str]]] = {
    "hard_brake": ("emergency braking", "the car brakes very hard"),
    "hard_acceleration": ("full throttle", "the car accelerates hard"),
    "harsh_cornering": ("taking a curve too fast", "strong sideways pull in a bend"),
    "cut_in": ("another vehicle cuts in close ahead", "somebody squeezes into our lane"),
    "tailgating": ("driving too close behind the car ahead", "short following distance"),
    "stationary_hazard": ("a broken down car stands on the road", "an obstacle in our lane"),
    "swerve": ("evasive steering around something", "a sudden steering movement"),
    "engagement": ("the autopilot is switched on", "driver assistance takes over"),
    "disengagement": ("the autopilot gives up", "driver assistance hands back control"),
    "driver_override": ("the driver intervenes against the assistance", "the human takes control back"),
    "near_miss": ("almost a collision", "a crash is narrowly avoided"),
}
"""What a person may type, by trigger. Written down before any of it was tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One clip of the study.

    Attributes:
        drive: Its drive's seed.
        shows: Kinds of events that truly overlap it.
        tags: Its tags.
        vectors: Unit vector by modality.
    """

    drive: int
    shows: frozenset[str]
    tags: frozenset[str]
    vectors: Mapping[str, NDArray[np.float32]]


def embedded(folder: Path, policies: Policies) -> list[Clip]:
    """The clips of one drive, by the pipeline's operators."""
    tables, files, true = all_tables(policies["canonical_signals"]), DataFiles({}), occurrences(folder / "truth")
    made = {name: pq.read_table(path) for name in GIVEN if (path := folder / f"{name}.parquet").exists()}
    (drive,) = made["bronze.drives"].to_pylist()
    drive["vehicle_spec"] = FULL_VEHICLE
    made["bronze.drives"] = tables["bronze.drives"].from_rows([drive])
    made[CLIPS.name] = _clips(made["silver.signals"], drive)
    with tempfile.TemporaryDirectory() as place:
        entries: dict[str, Entry] = {}

        def stage(name: str, rows: pa.Table) -> None:
            conformed = tables[name].conform(rows)
            entries[name] = files.stage(f"{place}/{name}", (), drive["drive_id"], "0" * 24, conformed)
            made[name] = conformed

        for name in list(made):
            stage(name, _fitting(made[name], tables[name]))
        context = {
            "drive": drive,
            "objects": LocalObjects(place, ("open",)),
            "weights": WeightStore(policies),
        }
        for step in STEPS:
            inputs = {name: entries[name] for name in step.operator.inputs if name in entries}
            task = UnitTask(drive["drive_id"], (drive["day"], drive["depot"]), inputs, context, policies, tables, files)
            computed = step.compute(task)
            for name, rows in (computed.outputs if isinstance(computed, Moved) else computed).items():
                stage(name, rows)
    return _told(made, true, int(folder.name))


def _fitting(rows: pa.Table, table: Table) -> pa.Table:
    """Rows by today's schema: drives may have been made under an older one."""
    columns = [
        rows[one.name] if one.name in rows.column_names else pa.nulls(rows.num_rows, one.type)
        for one in table.arrow_schema
    ]
    return pa.table(columns, names=table.arrow_schema.names)


def _clips(signals: pa.Table, drive: Mapping[str, Any]) -> pa.Table:
    known = {name: drive[name] for name in ("drive_id", "day", "depot")}
    spans = signals.group_by("clip_id").aggregate([("t_ns", "min"), ("t_ns", "max")]).to_pylist()
    return CLIPS.from_rows(
        [
            {**known, "clip_id": row["clip_id"], "start_ns": row["t_ns_min"], "end_ns": row["t_ns_max"] + 1}
            for row in spans
        ]
    )


def _told(made: Mapping[str, pa.Table], true: Mapping[str, Sequence[Any]], seed: int) -> list[Clip]:
    rows, found = made["gold.clip_embeddings"], []
    for clip in made["silver.clip_catalog"].select(["clip_id", "start_ns", "end_ns", "tags"]).to_pylist():
        own = rows.filter(pc.equal(rows["clip_id"], clip["clip_id"]))
        told = zip(own["modality"].to_pylist(), own["vector"].to_pylist(), strict=True)
        vectors = {modality: units(vector) for modality, vector in told}
        shows = frozenset(
            kind
            for kind, events in true.items()
            if any(one.start_ns < clip["end_ns"] and one.end_ns > clip["start_ns"] for one in events)
        )
        found.append(Clip(seed, shows, frozenset(clip["tags"].split()), vectors))
    return found


def _precision(likeness: NDArray[np.float64], relevant: NDArray[np.bool_], may: NDArray[np.bool_]) -> float:
    """Share of relevant clips among the nearest ten; what is equally near shares the places that are left."""
    near, good = likeness[may], relevant[may]
    level = np.sort(near)[::-1][min(AT, len(near)) - 1]
    above, tied = near > level, near == level
    left = min(AT, len(near)) - above.sum()
    return float((good[above].sum() + left * good[tied].mean()) / min(AT, len(near)))


def _interval(values: Sequence[float], drives: Sequence[int]) -> str:
    if not values:
        return "none"
    names = sorted(set(drives))
    sums = [sum(v for v, d in zip(values, drives, strict=True) if d == name) for name in names]
    counts = [float(list(drives).count(name)) for name in names]
    found = cluster_bootstrap(sums, counts, confidence=0.95, seed=1, n_resamples=2000)
    told = f"{np.mean(values):.2f}"
    return f"{told} [{found.low:.2f}, {found.high:.2f}]" if isinstance(found, Interval) else told


def _by_clip(clips: Sequence[Clip], kind: str, modality: str) -> str:
    """Precision at ten, asked by clips that show a kind of event."""
    held = [clip for clip in clips if modality in clip.vectors]
    vectors = np.array([clip.vectors[modality] for clip in held])
    return _asked(held, kind, lambda own: cosines(vectors[own][None], vectors)[0])


def _by_tags(clips: Sequence[Clip], kind: str) -> str:
    def likeness(own: int) -> NDArray[np.float64]:
        tags = clips[own].tags
        return np.array([len(tags & other.tags) / max(1, len(tags | other.tags)) for other in clips])

    return _asked(clips, kind, likeness)


def _asked(clips: Sequence[Clip], kind: str, likeness: Any) -> str:
    relevant = np.array([kind in clip.shows for clip in clips])
    drives = np.array([clip.drive for clip in clips])
    queries = np.flatnonzero(relevant).tolist()
    values = [_precision(likeness(own), relevant, drives != drives[own]) for own in queries]
    return _interval(values, [clips[own].drive for own in queries])


def _by_words(clips: Sequence[Clip], kind: str, phrases: Vectors, draws: int = 200) -> str:
    """Precision at ten, asked by words; the corpus is resampled by drive for the interval."""
    held = [clip for clip in clips if "text" in clip.vectors]
    near = cosines(phrases, np.array([clip.vectors["text"] for clip in held]))
    relevant, drives = np.array([kind in clip.shows for clip in held]), np.array([clip.drive for clip in held])
    every = np.ones(len(held), dtype=bool)
    estimate = float(np.mean([_precision(row, relevant, every) for row in near]))
    names, generator, found = np.unique(drives), np.random.default_rng(1), []
    places = {name: np.flatnonzero(drives == name) for name in names}
    for _ in range(draws):
        chosen = np.concatenate([places[name] for name in generator.choice(names, len(names))])
        found.append(
            np.mean([_precision(row[chosen], relevant[chosen], np.ones(len(chosen), dtype=bool)) for row in near])
        )
    return f"{estimate:.2f} [{np.quantile(found, 0.025):.2f}, {np.quantile(found, 0.975):.2f}]"


def study(folder: Path, seeds: range) -> None:
    """Embed all drives of a folder and print the table.

    Args:
        folder: Where the drives are.
        seeds: Seeds that count.
    """
    policies = load_policies()
    made = sorted(int(path.parent.name) for path in folder.glob("*/made.json") if int(path.parent.name) in seeds)
    clips = [clip for seed in made for clip in embedded(folder / str(seed), policies)]
    network = open_sentences(policies["embeddings"]["words"], WeightStore(policies))
    triggers = policies["triggers"]["triggers"]
    print(f"{len(made)} drives, {len(clips)} clips")
    print("| event | clips | random | tags | motion → clip | description → clip | words → clip |")
    print("|---|---|---|---|---|---|---|")
    for kind, put in PUT.items():
        shown = [clip for clip in clips if kind in clip.shows]
        if not shown:
            print(f"| {kind} | 0 | | | | | |")
            continue
        phrases = units(np.array([network(text)[0] for text in (triggers[kind]["description"], *put)]))
        cells = [
            kind,
            str(len(shown)),
            f"{len(shown) / len(clips):.2f}",
            _by_tags(clips, kind),
            _by_clip(clips, kind, "trajectory"),
            _by_clip(clips, kind, "text"),
            _by_words(clips, kind, phrases),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    tuning = "--tuning" in sys.argv
    study(Path(sys.argv[1]), range(1000) if tuning else range(FIRST_UNSEEN_SEED, 10**9))
