"""What there should be of maps, weather and enriched drives, made from what: pure reading of landing and ledger."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

from fleet_assets.ingestion.map_and_weather_enrichment.charts import (
    Region,
    cells_of_drive,
    chart_of,
    regions_in_force,
    rows_of,
)
from fleet_assets.ingestion.map_and_weather_enrichment.clips import ENRICH, enrich
from fleet_assets.ingestion.map_and_weather_enrichment.drive_cells import COVER, cover
from fleet_assets.ingestion.map_and_weather_enrichment.matching import MATCH, match_drive
from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import (
    MAPS_FOLDER,
    READ_MAP,
    Landed,
    landed_maps,
    read_map,
)
from fleet_assets.ingestion.map_and_weather_enrichment.weather_join import (
    JOIN_WEATHER,
    READ_WEATHER,
    WEATHER_FOLDER,
    join_weather,
    read_weather_file,
    reports_for,
    unit_of,
)
from fleet_assets.policy.documents import Policies
from fleet_assets.provenance.batches import BatchFile
from fleet_assets.provenance.drive_units import drive_units, first_row
from fleet_assets.provenance.fingerprints import Operator, fingerprint
from fleet_assets.provenance.ledger import Entry, LakeTables, Partition
from fleet_assets.provenance.platform import Landing, Platform
from fleet_assets.provenance.restate import Compute, Step, UnitInput, Wanted
from fleet_assets.tables import Table
from fleet_assets.tables.maps import DRIVE_CELLS, ROAD_NETWORK, WEATHER_DAYS, WEATHER_OBSERVATIONS

DRIVES: Final = "bronze.drives"


@dataclass
class EnrichmentState:
    """Everything that decides what there should be, read once.

    Attributes:
        lake: Ledger.
        tables: All tables by dotted name.
        policies: Policies in force.
        landing: Where extracts and weather files arrive.
    """

    lake: LakeTables
    tables: Mapping[str, Table]
    policies: Policies
    landing: Landing

    @cached_property
    def maps(self) -> list[Landed]:
        """Extracts in the landing zone."""
        return landed_maps(self.landing.batches(MAPS_FOLDER))

    @cached_property
    def regions(self) -> list[Region]:
        """Snapshots in force."""
        return regions_in_force(self.lake)

    @cached_property
    def weather_files(self) -> list[BatchFile]:
        """Weather files in the landing zone."""
        return self.landing.batches(WEATHER_FOLDER)

    @cached_property
    def weather_days(self) -> Mapping[str, list[dict[str, Any]]]:
        """Unit → its days of stations."""
        return {entry.unit: rows_of(self.lake, WEATHER_DAYS, entry) for entry in self.lake.entries(WEATHER_DAYS)}

    @cached_property
    def observations(self) -> Mapping[str, Entry]:
        """Unit → its file of observations."""
        return {entry.unit: entry for entry in self.lake.entries(WEATHER_OBSERVATIONS)}


def read_enrichment(platform: Platform) -> EnrichmentState:
    """Read everything that decides what there should be."""
    return EnrichmentState(platform.lake, platform.tables, platform.policies, platform.landing)


def map_units(state: EnrichmentState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """One unit per landed extract. A snapshot whose file was cleared from the landing zone stays as it is."""
    units: dict[Partition, Wanted] = {}
    for landed in state.maps:
        if partition not in {None, (landed.snapshot,)}:
            continue
        wanted = fingerprint(READ_MAP, state.policies, [(landed.snapshot, landed.file.stamp)])
        context = {"landed": landed, "landing": state.landing}
        units[(landed.snapshot,)] = Wanted({landed.snapshot: UnitInput(wanted, {}, context)})
    for entry in state.lake.entries(ROAD_NETWORK, partition):
        units.setdefault(entry.partition, Wanted({}, (entry.unit,)))
    return dict(sorted(units.items()))


def _fingerprint(state: EnrichmentState, operator: Operator, own: Mapping[str, Entry], **extras: str) -> str:
    inputs = sorted((name, entry.digest) for name, entry in own.items())
    return fingerprint(operator, state.policies, inputs, extras=extras)


def _drive_units(operator: Operator, state: EnrichmentState, partition: Partition | None) -> dict[Partition, Wanted]:
    """Drives of an operator that needs nothing but the files of its inputs."""

    def unit(drive_id: str, drive: Entry, own: Mapping[str, Entry]) -> UnitInput:
        del drive_id
        context = {"drive": first_row(state.lake, state.tables[DRIVES], drive)}
        return UnitInput(_fingerprint(state, operator, own), own, context)

    return drive_units(state.lake, state.tables, operator, unit, partition)


def match_units(state: EnrichmentState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """Drives to match, each with the part of a map that concerns it."""

    def unit(drive_id: str, drive: Entry, own: Mapping[str, Entry]) -> UnitInput:
        del drive_id
        chart = chart_of(cells_of_drive(state.lake, own[DRIVE_CELLS.name]), state.regions)
        wanted = _fingerprint(state, MATCH, own, map="none" if chart is None else chart.digest)
        context = {"drive": first_row(state.lake, state.tables[DRIVES], drive), "chart": chart}
        return UnitInput(wanted, own, context)

    return drive_units(state.lake, state.tables, MATCH, unit, partition)


def weather_file_units(state: EnrichmentState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """One unit per landed weather file. One that was cleared from the landing zone stays as it is."""
    del partition
    units = {}
    for file in state.weather_files:
        wanted = fingerprint(READ_WEATHER, state.policies, [(file.printable, file.stamp)])
        units[unit_of(file)] = UnitInput(wanted, {}, {"file": file, "landing": state.landing})
    held = {entry.unit for table in (WEATHER_OBSERVATIONS, WEATHER_DAYS) for entry in state.lake.entries(table)}
    return {(): Wanted(units, tuple(sorted(held - set(units))))} if units or held else {}


def weather_units(state: EnrichmentState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """Drives to join with weather, each with the reports that may concern it."""

    def unit(drive_id: str, drive: Entry, own: Mapping[str, Entry]) -> UnitInput:
        del drive_id
        cells = cells_of_drive(state.lake, own[DRIVE_CELLS.name])
        reports = reports_for(cells, state.weather_days, state.observations, state.policies["weather"]["join"])
        wanted = _fingerprint(state, JOIN_WEATHER, own, weather=reports.digest)
        context = {"drive": first_row(state.lake, state.tables[DRIVES], drive), "reports": reports}
        return UnitInput(wanted, own, context)

    return drive_units(state.lake, state.tables, JOIN_WEATHER, unit, partition)


Units = Callable[[EnrichmentState, Partition | None], Mapping[Partition, Wanted]]


def _step(operator: Operator, compute: Compute, units: Units | None = None) -> Step:
    return Step(operator, compute, read_enrichment, units or partial(_drive_units, operator))


READ_MAP_STEP: Final = _step(READ_MAP, read_map, map_units)
COVER_STEP: Final = _step(COVER, cover)
MATCH_STEP: Final = _step(MATCH, match_drive, match_units)
READ_WEATHER_STEP: Final = _step(READ_WEATHER, read_weather_file, weather_file_units)
WEATHER_STEP: Final = _step(JOIN_WEATHER, join_weather, weather_units)
ENRICH_STEP: Final = _step(ENRICH, enrich)
ENRICHMENT_STEPS: Final = (READ_MAP_STEP, READ_WEATHER_STEP, COVER_STEP, MATCH_STEP, WEATHER_STEP, ENRICH_STEP)
