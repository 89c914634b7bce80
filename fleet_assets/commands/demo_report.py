"""How the demo fleet stands: what became of each drive, what each gate decided, how each planted case ended.

Everything is read from the tables and from Dagster's verdicts; the simulator's truth is not opened.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from fleet_assets.commands.demo_endings import UNKNOWN, Ending, Evidence, Late, endings
from fleet_assets.commands.session import Session, table_text
from fleet_assets.commands.time_table import times_text

if TYPE_CHECKING:
    from fleet_assets.provenance.ledger import Partition
    from services.fleet_simulator.fleet_plan import FleetPlan

_SHOWN: Final = {"pass": "pass", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}
_LONGEST_REASON: Final = 110


@dataclass
class Report:
    """Reads how the fleet stands.

    Attributes:
        session: The invocation.
        plan: The fleet.
        late: What the late drives changed, when they came in this invocation.
    """

    session: Session
    plan: "FleetPlan"
    late: Late | None = None

    @cached_property
    def states(self) -> dict[str, dict[str, Any]]:
        """State of each drive by id; drives that nobody knows of are absent."""
        from fleet_assets.commands.drives import drive_states

        wanted = {drive.drive_id for drive in self.plan.drives}
        return {row["drive_id"]: row for row in drive_states(self.session.fleet) if row["drive_id"] in wanted}

    @cached_property
    def partitions(self) -> "list[Partition]":
        """Partitions of day and depot that the fleet's drives are in."""
        return sorted({tuple(row["partition"].split("|")) for row in self.states.values() if row["partition"]})

    @cached_property
    def verdicts(self) -> "dict[tuple[str, Partition], Mapping[str, Any]]":
        """Latest verdict by `asset:gate` and partition; for daily assets the partition is a day."""
        from fleet_assets.build import all_gates
        from sensors.verdicts import latest_verdicts

        days: list[Partition] = sorted({partition[:1] for partition in self.partitions})
        asked: dict[int, list[Partition]] = {2: self.partitions, 1: days}
        found: dict[tuple[str, Partition], Mapping[str, Any]] = {}
        for gate in all_gates(self.session.fleet.tables):
            # Hours of telemetry are partitioned by one key as well, but never by a day.
            wanted = asked.get(len(gate.table.partition_by), [])
            name = f"{gate.key.asset_key.to_user_string()}:{gate.key.name}"
            for partition, verdict in latest_verdicts(self.session.instance, gate.key, wanted).items():
                found[name, partition] = verdict
        return found

    def _outcome(self, gate: str, partition: "Partition") -> str | None:
        stated = self.verdicts.get((gate, partition), {}).get("outcome")
        return None if stated is None else str(stated)

    @cached_property
    def endings(self) -> list[Ending]:
        """How each planted case ended."""
        return endings(Evidence(self.session.fleet, self.plan, self.states, self.verdicts, self.late))

    @property
    def as_planned(self) -> bool:
        """Whether everything ended as planned."""
        return all(ending.as_planned for ending in self.endings)

    def _drive_rows(self) -> Iterator[dict[str, Any]]:
        for drive in self.plan.drives:
            state = self.states.get(drive.drive_id, UNKNOWN)
            yield {
                "drive": drive.drive_id,
                "vehicle": drive.vehicle_id,
                "partition": state["partition"],
                "status": state["status"],
                "reason": state["reason"],
            }

    def _gate_rows(self, keys: int) -> tuple[list[dict[str, Any]], list[str]]:
        """Outcome of every gate of assets with so many partition keys, one column per partition."""
        wanted = self.partitions if keys > 1 else sorted({partition[:1] for partition in self.partitions})
        gates = list(dict.fromkeys(name for name, partition in self.verdicts if len(partition) == keys))
        names = ["|".join(partition) for partition in wanted]
        rows = []
        for gate in gates:
            outcomes = (self._outcome(gate, partition) for partition in wanted)
            told = ["not asked" if one is None else _SHOWN.get(one, one) for one in outcomes]
            rows.append({"gate": gate, **dict(zip(names, told, strict=True))})
        return rows, ["gate", *names]

    def document(self) -> dict[str, Any]:
        """The report as one document."""
        gates = [
            {"gate": gate, "partition": "|".join(partition), "outcome": verdict.get("outcome")}
            for (gate, partition), verdict in self.verdicts.items()
        ]
        return {
            "drives": list(self._drive_rows()),
            "planted": [asdict(ending) for ending in self.endings],
            "gates": gates,
            "late": None if self.late is None else asdict(self.late),
        }

    def text(self, times: Sequence[dict[str, Any]], *, idle: bool) -> str:
        """The report for people.

        Args:
            times: Rows of the time table; none when nothing was done.
            idle: Whether nothing had to be done.
        """
        parts = [
            "\nNothing to do: every drive is there and nothing is outstanding. This is how the fleet stands."
        ] * idle
        drives = [{**row, "reason": _short(row["reason"])} for row in self._drive_rows()]
        parts += ["\nDrives", table_text(drives, list(drives[0]))]
        for keys in (2, 1):
            rows, columns = self._gate_rows(keys)
            if rows:
                parts += [f"\nGates of {'a day at a depot' if keys > 1 else 'a whole day'}", table_text(rows, columns)]
        parts.append("\nPlanted, and how it ended")
        parts += [ending.text() for ending in self.endings]
        if times:
            parts += ["\nTime", times_text(times)]
        return "\n".join(parts)


def _short(reason: str | None) -> str:
    text = reason or ""
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
