"""Which batches are read and which hours are restated, planned from landing zone and ledger, on a lake in memory."""

import random
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry import state as planning
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.batches import ANY
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.receipts import Named, spelt_out
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.state import TelemetryState, read_telemetry
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.steps import (
    COLLECT_STEP,
    RECEIVE_STEP,
    REFUSE_LINES_STEP,
)
from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.provenance.ledger import Partition, plan
from fleet_assets.provenance.restate import Step, Wanted, restate
from fleet_assets.tables import Table
from fleet_assets.tables.telemetry import (
    TELEMETRY,
    TELEMETRY_BATCHES,
    TELEMETRY_LINES,
    TELEMETRY_QUARANTINE,
    TELEMETRY_REFUSED,
    TELEMETRY_TABLES,
)
from resources.landing import LocalLanding
from tests.memory_lake import InlineEngine, MemoryLake
from tests.telemetry import HOUR, HOUR_NS, PROBE, T0_NS, message, put

TABLES: Mapping[str, Table] = {table.name: table for table in TELEMETRY_TABLES}
SHIPPED = load_policies()
POLICIES = Policies({**SHIPPED.documents, "telemetry_schemas/probe": PROBE})
NINE, TEN = "2024-05-01-09:00", "2024-05-01-10:00"


@dataclass
class Station:
    """A landing zone and a lake in memory."""

    home: Path
    policies: Policies = POLICIES
    depots: tuple[str, ...] = ("north",)
    first_day: str = "2024-04-01"
    last_hour: str = "2024-05-02-23:00"
    lake: MemoryLake = field(default_factory=MemoryLake)
    puts: int = 0

    def put(self, *messages: Mapping[str, Any] | bytes) -> Path:
        """Land one batch."""
        self.puts += 1
        return put(self.home, f"batch{self.puts}", messages)

    def state(self) -> TelemetryState:
        """The state as it is now."""
        landing = LocalLanding(self.home / "landing")
        return TelemetryState(self.lake, self.policies, landing, self.depots, self.first_day, self.last_hour)

    def stale(self, step: Step) -> dict[Partition, Wanted]:
        """What of a step is to be done."""
        found = {}
        for partition, wanted in step.units(self.state(), None).items():
            held = [self.lake.entries(TABLES[name], partition) for name in step.operator.outputs]
            todo = plan({unit: made.fingerprint for unit, made in wanted.units.items()}, held)
            if todo.stale or set(todo.gone) - set(wanted.waiting):
                found[partition] = wanted
        return found

    def bring_up_to_date(self, *steps: Step) -> list[str]:
        """Run what is stale; returns the hours that were restated."""
        ran: list[str] = []
        for step in steps or (RECEIVE_STEP, COLLECT_STEP, REFUSE_LINES_STEP):
            for partition, wanted in self.stale(step).items():
                restate(
                    step.operator,
                    partition,
                    wanted.units,
                    step.compute,
                    lake=self.lake,
                    files=self.lake.files,
                    engine=InlineEngine(),
                    policies=self.policies,
                    tables=TABLES,
                    keep=wanted.waiting,
                )
                ran += partition
            assert self.stale(step) == {}
        return ran

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """All rows of a table."""
        rows: list[dict[str, Any]] = self.lake.read(table, self.lake.entries(table)).to_pylist()
        return rows

    def outcome(self) -> list[Any]:
        """Digests of everything that is part of identity."""
        tables = (TELEMETRY, TELEMETRY_QUARANTINE, TELEMETRY_REFUSED)
        return [[(e.partition, e.unit, e.digest) for e in self.lake.entries(table)] for table in tables]


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


# -- receiving -------------------------------------------------------------------------------------------------------


def test_batches_are_read_together_and_each_content_once(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "RECEIPT_BATCHES", 2)
    for number in range(5):
        station.put(message(f"m{number}"))
    station.put(message("m0"))
    station.bring_up_to_date(RECEIVE_STEP)
    assert len(station.lake.entries(TELEMETRY_BATCHES)) == len(station.lake.entries(TELEMETRY_LINES)) == 3
    assert len(station.rows(TELEMETRY_BATCHES)) == 5
    station.put(message("m9"))
    station.bring_up_to_date(RECEIVE_STEP)
    assert len(station.rows(TELEMETRY_BATCHES)) == 6
    assert len(station.lake.entries(TELEMETRY_BATCHES)) == 4


def test_what_was_read_is_not_opened_again(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Path:
        raise AssertionError("the stamp in the ledger is enough")

    station.put(message())
    station.bring_up_to_date(RECEIVE_STEP)
    monkeypatch.setattr(LocalLanding, "batch", refuse)
    planning._digests.clear()  # noqa: SLF001 - as in a process of its own
    assert station.state().pending == {}


def test_a_receipt_that_a_kill_cut_short_leaves_nothing_behind(station: Station) -> None:
    station.put(message("a"))
    station.bring_up_to_date(RECEIVE_STEP)
    (whole,) = station.lake.entries(TELEMETRY_LINES)
    station.lake.live[TELEMETRY_BATCHES.name].clear()
    station.put(message("b"))
    assert station.state().taken == {}
    station.bring_up_to_date(RECEIVE_STEP)
    assert [entry.unit != whole.unit for entry in station.lake.entries(TELEMETRY_LINES)] == [True]
    assert len(station.rows(TELEMETRY_LINES)) == 2


# -- hours -----------------------------------------------------------------------------------------------------------


def test_only_the_hours_that_new_messages_touch_are_restated(station: Station) -> None:
    station.put(message("a"), message("b", T0_NS + HOUR_NS), message("c", T0_NS + 2 * HOUR_NS))
    assert station.bring_up_to_date() == [HOUR, NINE, TEN]
    station.put(message("late", T0_NS + HOUR_NS))
    assert station.bring_up_to_date() == [NINE]
    assert station.bring_up_to_date() == []


def test_a_new_schema_restates_the_hours_that_name_it_and_no_other(station: Station) -> None:
    station.put(message("a"), message("b", T0_NS + HOUR_NS, schema="fresh/1.0.0"))
    station.bring_up_to_date()
    fresh = {"telemetry_schemas/fresh": {**PROBE, "name": "fresh"}}
    station.policies = Policies({**POLICIES.documents, **fresh})
    assert station.bring_up_to_date() == [NINE]
    assert len(station.rows(TELEMETRY)) == 2
    other = {"telemetry_schemas/other": {**PROBE, "name": "other"}}
    station.policies = Policies({**POLICIES.documents, **fresh, **other})
    assert station.bring_up_to_date() == []


def test_a_new_depot_restates_the_hours_that_name_it_and_no_other(station: Station) -> None:
    station.put(message("a"), message("b", T0_NS + HOUR_NS, depot="east"))
    station.bring_up_to_date()
    station.depots = ("north", "west")
    assert station.bring_up_to_date() == []
    station.depots = ("east", "north")
    assert station.bring_up_to_date() == [NINE]


def test_an_hour_with_too_many_names_to_list_depends_on_the_whole_registry(station: Station) -> None:
    station.put(*(message(f"m{number}", schema=f"s{number}/1.0.0") for number in range(40)))
    station.bring_up_to_date()
    station.policies = Policies({**POLICIES.documents, "telemetry_schemas/s7": {**PROBE, "name": "s7"}})
    assert station.bring_up_to_date() == [HOUR]
    assert [row["message_id"] for row in station.rows(TELEMETRY)] == ["m7"]
    assert spelt_out({ANY, "x"}, ("a",)) == [ANY, "a", "x"]


def test_the_other_hour_of_a_shared_id_is_restated_with_it(station: Station) -> None:
    station.put(message("x", T0_NS))
    station.put(message("other", T0_NS + 2 * HOUR_NS))
    station.bring_up_to_date()
    station.put(message("x", T0_NS + HOUR_NS), message("y", T0_NS + HOUR_NS))
    assert station.bring_up_to_date() == [HOUR, NINE]
    assert sorted(row["message_id"] for row in station.rows(TELEMETRY)) == ["other", "x", "y"]
    assert [row["rule"] for row in station.rows(TELEMETRY_QUARANTINE)] == ["conflicting_message"]


def test_an_hour_that_is_taken_once_stays_when_the_first_day_moves_past_it(station: Station) -> None:
    station.put(message())
    station.bring_up_to_date()
    before = station.outcome()
    station.first_day = "2024-05-02"
    station.bring_up_to_date()
    assert station.outcome()[0] == before[0]


@pytest.mark.parametrize(
    ("hour", "received_day", "rule"),
    [
        ("2024-05-02-23:00", "2024-05-02", None),
        ("2024-05-03-00:00", "2024-05-02", "in_the_future"),
        ("2024-04-01-00:00", "2024-05-02", None),
        ("2024-03-31-23:00", "2024-05-02", "before_first_day"),
        ("2024-04-01-00:00", "2024-06-30", None),
        ("2024-04-01-00:00", "2024-07-01", "too_old"),
    ],
)
def test_a_limit_of_time_is_the_last_hour_that_is_taken(
    station: Station, hour: str, received_day: str, rule: str | None
) -> None:
    assert SHIPPED["telemetry"]["retention_days"] == 90
    breach = station.state().outside(hour, received_day)
    assert (breach.rule if breach else None) == rule


def test_a_message_that_runs_ahead_is_taken_up_when_its_hour_has_begun(station: Station) -> None:
    station.last_hour = HOUR
    station.put(message("a"), message("ahead", T0_NS + HOUR_NS))
    assert station.bring_up_to_date() == [HOUR]
    assert [row["rule"] for row in station.rows(TELEMETRY_REFUSED)] == ["in_the_future"]
    station.last_hour = NINE
    assert station.bring_up_to_date() == [NINE]
    assert station.rows(TELEMETRY_REFUSED) == []


def test_the_platform_gives_what_the_state_is_read_from(station: Station) -> None:
    class Settings:
        depots, first_day = ("north",), "2024-04-01"

    class Platform:
        lake, policies, landing = station.lake, POLICIES, LocalLanding(station.home)
        settings, last_hour = Settings, NINE

    platform: Any = Platform
    state = read_telemetry(platform)
    assert (state.depots, state.first_day, state.last_hour) == (("north",), "2024-04-01", NINE)


def test_what_several_messages_name_is_put_together() -> None:
    one, other = Named(1, frozenset({"a"}), frozenset({"x"})), Named(2, frozenset({"b"}), frozenset({"x"}))
    assert one | other == Named(3, frozenset({"a", "b"}), frozenset({"x"}))


# -- order -----------------------------------------------------------------------------------------------------------

ANYTHING = st.builds(
    lambda number, level, hours, changed: message(
        f"m{number}", T0_NS + hours * HOUR_NS, payload={"level": level}, **changed
    ),
    st.integers(0, 3),
    st.sampled_from([1, 2, 50]),
    st.sampled_from([0, 1, 2, 99, -24 * 60]),
    st.sampled_from([{}, {}, {"depot": "mars"}, {"schema": "nothing/1.0.0"}, {"vehicle_id": "car2"}]),
) | st.sampled_from([b"broken", b"{}"])


def arrived(batches: Iterable[Sequence[Any]], turns: random.Random | None = None) -> list[Any]:
    """Outcome of these batches in this order, brought up to date now and then."""
    with tempfile.TemporaryDirectory() as folder:
        station = Station(Path(folder))
        for batch in batches:
            station.put(*batch)
            if turns is not None and turns.random() < 0.5:
                station.bring_up_to_date()
        station.bring_up_to_date()
        return station.outcome()


@settings(max_examples=40)
@given(st.lists(ANYTHING, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_order_batches_repetition_and_moments_of_looking_leave_no_trace(
    messages: list[Any], chance: random.Random
) -> None:
    again = messages + chance.sample(messages, len(messages) // 3)
    chance.shuffle(again)
    cuts = sorted(chance.sample(range(1, len(again)), min(3, len(again) - 1)))
    pieces = [again[start:end] for start, end in zip([0, *cuts], [*cuts, len(again)], strict=True)]
    assert arrived([messages]) == arrived([*pieces, pieces[0]], chance)
