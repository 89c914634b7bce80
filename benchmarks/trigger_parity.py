"""Whether a vehicle finds what the pipeline finds: triggers over a drive's columns and sample by sample, bit for bit.

`python -m benchmarks.trigger_parity FOLDER [SEED …]` over drives that `benchmarks.trigger_drives` made, all or those
named; nothing is scored. Here belongs feeding a drive to the vehicle's form as a vehicle would: one instant after the
other, and of every tracked object only what its sensor said last. Exit status 1 where anything differs.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.simulated_drives import FULL_VEHICLE
from benchmarks.trigger_surroundings import SEEN
from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import DriveSignals, drive_signals
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.policy.trigger_runs import TriggerEvent, VehicleTracks, VehicleTriggers, drive_events
from fleet_assets.policy.triggers import CompiledTriggers, compile_triggers
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec

_NS_PER_S: Final = 1_000_000_000
Slot = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Parity:
    """How the two forms compare on one drive.

    Attributes:
        instants: Grid instants of the drive.
        objects: Slots of its sensors' object lists.
        columnar: Events by the columnar form.
        streamed: Events by the vehicle's form, in the same order.
        unequal: Names of signals over tracked objects of which some instant differs in some bit.
    """

    instants: int
    objects: int
    columnar: tuple[TriggerEvent, ...]
    streamed: tuple[TriggerEvent, ...]
    unequal: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing differs: `repr` of a number tells every bit of it, and a missing value is like another."""
        return repr(self.columnar) == repr(self.streamed) and not self.unequal


def bits(values: Any) -> NDArray[np.uint64]:
    """Every bit of some numbers; all missing ones are one."""
    column = np.array(values, dtype=np.float64)
    column[np.isnan(column)] = math.nan
    return column.view(np.uint64)


class _ObjectLists:
    """What each slot's sensor said last, told in order of time."""

    def __init__(self, tracks: pa.Table, columns: Sequence[str], hold_s: float) -> None:
        rows = tracks.select(["t_ns", "sensor", "track", *columns]).sort_by("t_ns").to_pylist()
        self._coming, self._columns = iter(rows), columns
        self._next: Mapping[str, Any] | None = next(self._coming, None)
        self._hold_ns = round(hold_s * _NS_PER_S)
        self._said: dict[Slot, tuple[int, dict[str, float]]] = {}

    def at(self, t_ns: int) -> dict[Slot, dict[str, float]]:
        """By slot, its latest message of the time until an instant, as long as that is valid."""
        while self._next is not None and self._next["t_ns"] <= t_ns:
            row = self._next
            values = {name: math.nan if row[name] is None else row[name] for name in self._columns}
            self._said[row["sensor"], row["track"]] = (row["t_ns"], values)
            self._next = next(self._coming, None)
        return {slot: values for slot, (said_ns, values) in self._said.items() if t_ns - said_ns <= self._hold_ns}

    @property
    def slots(self) -> int:
        """Slots heard of so far."""
        return len(self._said)


def parity_of(compiled: CompiledTriggers, drive: DriveSignals, tracks: pa.Table) -> Parity:
    """Compare both forms on one drive.

    Args:
        compiled: The triggers of its vehicle.
        drive: The drive as the pipeline joins it.
        tracks: Its rows of `silver.radar_tracks`.
    """
    derived = [one.name for one in compiled.tracks]
    own = {name: column for name, column in drive.columns.items() if name not in derived}
    said = _ObjectLists(tracks, sorted(compiled.track_columns), compiled.track_hold_s)
    vehicle_tracks, vehicle = VehicleTracks(compiled), VehicleTriggers(compiled)
    seen: dict[str, list[float]] = {name: [] for name in derived}
    found: list[TriggerEvent] = []
    for index, t_ns in enumerate(drive.t_ns.tolist()):
        sample = {name: float(column[index]) for name, column in own.items()}
        now = vehicle_tracks.step(t_ns, said.at(t_ns), sample)
        for name, value in now.items():
            seen[name].append(value)
        found += vehicle.step(t_ns, {**sample, **now})
    found += vehicle.finish()
    order = [one.name for one in compiled.triggers]
    streamed = sorted(found, key=lambda event: (event.start_ns, order.index(event.trigger), event.end_ns))
    unequal = [name for name in derived if not np.array_equal(bits(seen[name]), bits(drive.column(name)))]
    columnar = drive_events(compiled, drive.t_ns, drive.columns)
    return Parity(len(drive.t_ns), said.slots, tuple(columnar), tuple(streamed), tuple(unequal))


def made_drive(folder: Path, compiled: CompiledTriggers, policies: Policies) -> tuple[DriveSignals, pa.Table]:
    """A drive of the study as the pipeline joins it, and its object lists."""
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    name = f"vehicles/{FULL_VEHICLE}"
    spec = parse_vehicle_spec(policies[name], policies.digest(name), canonical)
    signals, tracks = (pq.read_table(folder / f"silver.{table}.parquet") for table in ("signals", "radar_tracks"))
    sources = {table: pq.read_table(path) for table in SEEN if (path := folder / f"{table}.parquet").exists()}
    return drive_signals(signals, tracks, sources, spec, canonical, compiled), tracks


def main(arguments: Sequence[str]) -> None:
    """Compare the drives of a folder and print one line for each."""
    folder, wanted = Path(arguments[0]), set(arguments[1:])
    policies = load_policies()
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    compiled = compile_triggers(policies["triggers"], policies.digest("triggers"), canonical, vehicle_spec=FULL_VEHICLE)
    made = [path.parent for path in folder.glob("*/made.json") if not wanted or path.parent.name in wanted]
    if not made or wanted - {one.name for one in made}:
        sys.exit(f"{folder} does not hold {', '.join(sorted(wanted)) or 'any drive'}: make it with trigger_drives")
    failed = 0
    for drive in sorted(made, key=lambda one: int(one.name)):
        parity = parity_of(compiled, *made_drive(drive, compiled, policies))
        failed += not parity.holds
        verdict = "the same" if parity.holds else f"DIFFERENT ({', '.join(parity.unequal) or 'events'})"
        counted = f"{parity.instants} instants, {parity.objects} object slots, {len(parity.columnar)} events"
        print(f"{drive.name}: {counted}: {verdict}", flush=True)
    print(f"{len(made) - failed} of {len(made)} drives give the same bits both ways, policy {compiled.version}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
