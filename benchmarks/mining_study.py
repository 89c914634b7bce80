"""What a mined list covers: events in kinds of light and weather that the request does not know of.

`python -m benchmarks.mining_study FOLDER [PAGE]` over drives that `benchmarks.trigger_drives` made. Clips get figures,
events and vectors by the pipeline's operators; which kind of event truly happens in a clip, and whether it was made by
day, at night or in rain, comes from the simulator's truth and is asked only afterwards. A slice is a kind in a
condition with at least `LEAST` clips. The list is `fleet mine`'s own choice; beside it are the clips of greatest worth,
and clips drawn at random. Each is made anew on stocks of `STOCK` drives that have no drive in common, so that they are
independent: means over the stocks, and Student's 95 % intervals of these means.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import stats

from benchmarks.simulated_drives import FIRST_UNSEEN_SEED, FULL_VEHICLE
from benchmarks.trigger_drives import condition_of
from benchmarks.trigger_truth import occurrences
from fleet_assets.ingestion.steps import CATALOG_STEP
from fleet_assets.mining.scenario_mining.mine import Stock, mine
from fleet_assets.mining.scenario_mining.requests import parse_request
from fleet_assets.mining.scenario_mining.stock import LakeVectors, Reading, joined_rows
from fleet_assets.mining.scenario_mining.vectors import fit_embedding
from fleet_assets.mining.scenario_mining.worth import drawn_order, event_numbers, worth
from fleet_assets.mining.steps import CLIP_VECTORS_STEP, EVENTS_STEP
from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.restate import Moved, UnitTask
from fleet_assets.tables import Table, all_tables
from fleet_assets.tables.catalog import SEARCH_DOCUMENTS
from fleet_assets.tables.silver import CLIPS
from resources.data_files import DataFiles
from resources.objects import LocalObjects
from resources.weights import WeightStore

GIVEN: Final = ("bronze.drives", "silver.signals", "silver.radar_tracks", "silver.map_context", "silver.weather")
STEPS: Final = (CATALOG_STEP, EVENTS_STEP, CLIP_VECTORS_STEP)
MODALITIES: Final = ("text", "trajectory")
"""These drives have no camera."""
BUDGETS: Final = (10, 20, 40)
STOCK: Final = 24
DRAWS: Final = 200
LEAST: Final = 3
CONFIDENCE: Final = 0.95
WITH_PAGE: Final = 2
HEAD: Final = """# What a mined list covers

<!-- Made by `python -m benchmarks.mining_study FOLDER docs/mining_study.md`. Do not edit. -->

The request asks for all clips; which kinds of events truly happen in them, by day, at night or in rain, it is not
told."""
WAYS: Final = ("mined", "greatest worth", "random")


@dataclass(frozen=True)
class Study:
    """Drives as tables, and what truly happens in their clips.

    Attributes:
        policies: Policies in force.
        reading: Their files.
        slices: Slices of each clip.
    """

    policies: Policies
    reading: Reading
    slices: Mapping[str, frozenset[str]]


def put_through(folder: Path, place: str, policies: Policies) -> tuple[dict[str, Entry], dict[str, frozenset[str]]]:
    """One drive's files by table, and the slices of its clips."""
    tables, files = all_tables(policies["canonical_signals"]), DataFiles({})
    made = {name: pq.read_table(path) for name in GIVEN if (path := folder / f"{name}.parquet").exists()}
    (drive,) = made["bronze.drives"].to_pylist()
    drive["vehicle_spec"] = FULL_VEHICLE
    about = {name: drive[name] for name in ("drive_id", "day", "depot")}
    spans = made["silver.signals"].group_by("clip_id").aggregate([("t_ns", "min"), ("t_ns", "max")]).to_pylist()
    clips = [
        {**about, "clip_id": row["clip_id"], "start_ns": row["t_ns_min"], "end_ns": row["t_ns_max"] + 1}
        for row in spans
    ]
    made = {**made, "bronze.drives": tables["bronze.drives"].from_rows([drive]), CLIPS.name: CLIPS.from_rows(clips)}
    entries: dict[str, Entry] = {}
    for name, rows in made.items():
        data = _whole(rows, tables[name], about, clips)
        entries[name] = files.stage(f"{place}/{name}", (), folder.name, "0" * 24, data)
    context = {"drive": drive, "objects": LocalObjects(place, ("open",)), "weights": WeightStore(policies)}
    for step in STEPS:
        inputs = {name: entries[name] for name in step.operator.inputs if name in entries}
        task = UnitTask(folder.name, (drive["day"], drive["depot"]), inputs, context, policies, tables, files)
        computed = step.compute(task)
        for name, rows in (computed.outputs if isinstance(computed, Moved) else computed).items():
            entries[name] = files.stage(f"{place}/{name}", (), folder.name, "0" * 24, tables[name].conform(rows))
    true, condition = occurrences(folder / "truth"), condition_of(int(folder.name))
    slices = {
        row["clip_id"]: frozenset(
            f"{kind} · {condition}"
            for kind, events in true.items()
            if any(one.start_ns < row["end_ns"] and one.end_ns > row["start_ns"] for one in events)
        )
        for row in clips
    }
    return entries, slices


def _whole(rows: pa.Table, table: Table, about: Mapping[str, str], clips: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows with all columns of their table: the drive's folder has only those that triggers read."""
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    if "t_ns" in columns and "clip_id" not in columns:
        ordered = sorted(clips, key=lambda row: row["start_ns"])
        places = np.searchsorted([row["start_ns"] for row in ordered], rows["t_ns"].to_numpy(), side="right") - 1
        columns["clip_id"] = pa.array([ordered[max(0, at)]["clip_id"] for at in places.tolist()])
    for one in table.arrow_schema:
        if one.name not in columns:
            value = about.get(one.name)
            columns[one.name] = (
                pa.nulls(rows.num_rows, one.type) if value is None else pa.array([value] * rows.num_rows)
            )
    return table.conform(pa.table(columns).select(table.arrow_schema.names))


def read_drives(folder: Path, place: str) -> Study:
    """All drives of unseen seeds below a folder."""
    policies = load_policies()
    entries: dict[str, list[Entry]] = {}
    slices: dict[str, frozenset[str]] = {}
    for one in sorted(path for path in folder.iterdir() if path.name.isdigit() and int(path.name) >= FIRST_UNSEEN_SEED):
        own, told = put_through(one, place, policies)
        slices |= told
        for name, entry in own.items():
            entries.setdefault(name, []).append(entry)
    return Study(policies, Reading(entries, all_tables(policies["canonical_signals"]), DataFiles({})), slices)


def stock_of(study: Study, drives: frozenset[str], folder: Path) -> Stock:
    """What a request sees of some drives."""
    entries = {name: [one for one in own if one.unit in drives] for name, own in study.reading.entries.items()}
    reading = Reading(entries, study.reading.tables, study.reading.files)
    clips = reading.rows("silver.clip_catalog").sort_by("clip_id")
    names: list[str] = clips["clip_id"].to_pylist()
    policy = study.policies["mining"]
    vectors = LakeVectors(reading, MODALITIES)
    weights = {name: policy["embedding"]["modalities"][name] for name in MODALITIES}
    size = policy["pool"]["block"]
    dimensions = policy["embedding"]["dimensions"]
    embedding = fit_embedding(vectors, weights, dimensions, normalise=True, sample=len(names), block=size)
    return Stock(
        relations={"clips": clips, "events": reading.rows("gold.event_windows")},
        documents=SEARCH_DOCUMENTS.empty(),
        rows=joined_rows(vectors, embedding, names, block=size, folder=folder),
        sizes=np.zeros(len(names)),
        used={},
        golden=frozenset(),
        picture=lambda _: None,
    )


def listed(study: Study, stock: Stock, budget: int, seed: int) -> dict[str, list[list[str]]]:
    """Lists of clips by way; several for what is drawn."""
    policy = {**study.policies["mining"], "fields": study.policies["catalog"]["documents"]["fields"]}
    document = {"name": "all", "where": ["true"], "budget": {"clips": budget}, "seed": seed}
    asked = parse_request(document, policy)
    names: list[str] = stock.relations["clips"]["clip_id"].to_pylist()
    same = np.ones(len(names))
    value = worth(
        {"relevance": same, "novelty": same, **event_numbers(names, stock.relations["events"])}, asked.weights
    )
    best = np.lexsort((drawn_order(names, seed), -value))[:budget]
    rng = np.random.default_rng(seed)
    return {
        "mined": [[row["clip"]["clip_id"] for row in mine(asked, stock, policy).candidates]],
        "greatest worth": [[names[index] for index in best]],
        "random": [[names[index] for index in rng.choice(len(names), budget, replace=False)] for _ in range(DRAWS)],
    }


def covered(study: Study, stock: Stock, lists: Sequence[Sequence[str]]) -> float:
    """Mean share of the slices of a stock of which a list has a clip."""
    counts = Counter(one for clip in stock.relations["clips"]["clip_id"].to_pylist() for one in study.slices[clip])
    there = {name for name, count in counts.items() if count >= LEAST}
    shares = [len({one for clip in clips for one in study.slices[clip]} & there) / len(there) for clips in lists]
    return float(np.mean(shares))


def stocks_of(study: Study) -> list[frozenset[str]]:
    """Drives in stocks that have none in common, in order of their seeds; what is left over takes no part."""
    drives = sorted({entry.unit for entry in study.reading.entries[CLIPS.name]}, key=int)
    return [frozenset(drives[first : first + STOCK]) for first in range(0, len(drives) - STOCK + 1, STOCK)]


def measured(study: Study) -> tuple[dict[tuple[str, int], NDArray[np.float64]], list[int]]:
    """Shares by way and budget, one for each stock; and how many clips each stock has."""
    found: dict[tuple[str, int], list[float]] = {}
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        for number, drives in enumerate(stocks_of(study)):
            stock = stock_of(study, drives, Path(folder))
            sizes.append(len(stock.sizes))
            for budget in BUDGETS:
                for way, lists in listed(study, stock, budget, number).items():
                    found.setdefault((way, budget), []).append(covered(study, stock, lists))
    return {key: np.array(shares) for key, shares in found.items()}, sizes


def page(found: Mapping[tuple[str, int], Any], sizes: Sequence[int], slices: int, seeds: tuple[int, int]) -> str:
    """The result as Markdown."""
    lines = [f"| clips in the list | {' | '.join(WAYS)} | mined above worth | mined above random |"]
    lines.append("|---" * (3 + len(WAYS)) + "|")
    for budget in BUDGETS:
        cells = [_cell(found[way, budget]) for way in WAYS]
        above = [_cell(found["mined", budget] - found[way, budget]) for way in WAYS[1:]]
        lines.append(f"| {budget} | {' | '.join([*cells, *above])} |")
    told = (
        f"{len(sizes)} stocks of {STOCK} simulated drives of five minutes each, no drive in two of them (seeds "
        f"{seeds[0]} to {seeds[1]}, no camera), with {min(sizes)} to {max(sizes)} clips; {slices} slices (kind of "
        f"event · condition) with at least {LEAST} clips in all drives. Share of a stock's slices of which the list "
        f"has a clip: mean over the stocks, and Student's {CONFIDENCE:.0%} interval of that mean."
    )
    return "\n".join([told, "", *lines])


def _cell(shares: NDArray[np.float64]) -> str:
    error = stats.sem(shares) * stats.t.ppf((1.0 + CONFIDENCE) / 2.0, len(shares) - 1)
    return f"{shares.mean():.2f} ({shares.mean() - error:.2f} – {shares.mean() + error:.2f})"


def main() -> None:
    """Write the page, or print it."""
    with tempfile.TemporaryDirectory() as place:
        study = read_drives(Path(sys.argv[1]), place)
        found, sizes = measured(study)
        counts = Counter(one for own in study.slices.values() for one in own)
        seeds = sorted(int(drive) for stock in stocks_of(study) for drive in stock)
        text = page(found, sizes, sum(count >= LEAST for count in counts.values()), (seeds[0], seeds[-1]))
    if len(sys.argv) > WITH_PAGE:
        Path(sys.argv[WITH_PAGE]).write_text(f"{HEAD}\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
