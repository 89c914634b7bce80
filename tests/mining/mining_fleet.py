"""A fleet in memory as scenario mining sees it: drives in all tables that it reads, a request book, restatement.

Nothing is stated: which requests are wanted, what they give and how they are judged is what the code says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from fleet_assets.mining.scenario_mining.operators import MINE
from fleet_assets.mining.scenario_mining.requests import place
from fleet_assets.mining.scenario_mining.units import unit_of
from fleet_assets.mining.steps import MINE_STEP
from fleet_assets.perception.vectors import vector_sha256
from fleet_assets.policy.documents import Policies
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.requests import Request
from fleet_assets.provenance.restate import Report, Step, Wanted, restate
from fleet_assets.tables import Table
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS
from fleet_assets.tables.mining import CANDIDATE_SETS, MINING_REQUESTS
from resources.weights import WeightStore
from tests.asset_checks.gate_fleet import GateFleet
from tests.memory_lake import InlineEngine
from tests.mining.stocks import asked, directions

PARTITION: Final = ("2024-05-01", "north")
FIRST_NS: Final = 1_714_550_400_000_000_000
CLIP_NS: Final = 20_000_000_000
WIDTH: Final = 8


@dataclass
class MiningFleet(GateFleet):
    """Drives with clips, vectors and events."""

    book: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.requests = SimpleNamespace(all=lambda: sorted(self.book, key=lambda request: request.request_id))
        self.weights = WeightStore(self.policies)

    def wanted(self, step: Step, partition: Partition) -> Wanted:
        """See `Fleet.wanted`."""
        return step.units(step.read_state(self), partition).get(partition, Wanted())

    def add_drive(
        self, drive: str, clips: int = 10, *, seed: int = 0, blank: Iterable[int] = (), vectors: Any = None
    ) -> "MiningFleet":
        """Put a drive into all tables that mining reads.

        Args:
            drive: Its name.
            clips: How many clips it has.
            seed: Of its vectors, lights and events.
            blank: Clips that have no vector.
            vectors: float[clips, n], random where not given.
        """
        rng = np.random.default_rng(seed)
        rows = directions(clips, seed, WIDTH) if vectors is None else np.asarray(vectors, dtype=np.float32)
        about = [
            {
                "clip_id": f"{drive}-{number:04}",
                "start_ns": FIRST_NS + number * CLIP_NS,
                "end_ns": FIRST_NS + (number + 1) * CLIP_NS,
                "duration_s": 20.0,
                "light_condition": "night" if rng.random() < 0.3 else "day",
                "text": "a clip",
                "trigger": "hard_brake",
                "event_id": f"{drive}-hard_brake-{number}",
                **{name: float(rng.random()) for name in ("rarity", "uncertainty", "disagreement")},
            }
            for number in range(clips)
        ]
        embedded = [
            {
                **row,
                "modality": "trajectory",
                "model": "m",
                "model_digest": "0" * 64,
                "items": 1,
                "vector": rows[number].tolist(),
                "vector_sha256": vector_sha256(rows[number]),
            }
            for number, row in enumerate(about)
            if number not in set(blank)
        ]
        special: Mapping[str, Sequence[Mapping[str, Any]]] = {
            CLIP_EMBEDDINGS.name: embedded,
            "gold.event_windows": about[::3],
            **dict.fromkeys(("silver.keyframes", "bronze.redacted_media", "silver.clip_coverage"), []),
        }
        for name in MINE.inputs:
            self.put_rows(self.tables[name], drive, special.get(name, about))
        return self

    def put_rows(self, table: Table, drive: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a drive's file, of each row those values that the table has columns for."""
        known = set(table.arrow_schema.names)
        self.put(table, drive, [{key: row[key] for key in row if key in known} for row in rows])

    def ask(self, *, golden: Iterable[str] = (), drives: Iterable[str] | None = None, **parts: Any) -> Request:
        """Place a request over all drives that there are, or over these."""
        there = [entry.unit for entry in self.lake.entries(self.tables[MINE.inputs[0]])]
        modalities = {"modalities": {"trajectory": 1.0}}
        document = asked(**{"embedding": modalities, **parts})
        request = place(document, there if drives is None else drives, golden, "test", self.book)
        if request not in self.book:
            self.book.append(request)
        return request

    def answer(self) -> Report:
        """Let the step answer what can be answered, until nothing changes."""
        while True:
            found = self.wanted(MINE_STEP, ())
            report = restate(
                MINE, (), found.units, MINE_STEP.compute, lake=self.lake, files=self.lake.files, engine=InlineEngine(),
                policies=self.policies, tables=self.tables, keep=found.waiting,
            )  # fmt: skip
            if report.plan.is_done:
                return report

    def rows_of(self, request: Request, table: Table = CANDIDATE_SETS) -> list[dict[str, Any]]:
        """A request's rows."""
        found: list[dict[str, Any]] = self.lake.rows(table).to_pylist()
        return [row for row in found if row["request_id"] == request.request_id]

    def tamper(self, request: Request, rows: Sequence[Mapping[str, Any]], table: Table = CANDIDATE_SETS) -> None:
        """Replace a request's rows, under the fingerprint that the right ones have."""
        unit = unit_of(request.request_id)
        made = self.wanted(MINE_STEP, ()).units[unit].fingerprint
        self.lake.commit(table, [self.lake.stage(table, (), unit, made, table.from_rows([dict(row) for row in rows]))])

    def under(self, **pool: Any) -> "MiningFleet":
        """The same fleet under another policy for the pool."""
        body = {**self.policies["mining"], "pool": {**self.policies["mining"]["pool"], **pool}}
        documents = {**self.policies.documents, "mining": body}
        return replace(self, policies=Policies(documents, self.policies.folders))


__all__ = ["CANDIDATE_SETS", "MINING_REQUESTS", "MiningFleet"]
