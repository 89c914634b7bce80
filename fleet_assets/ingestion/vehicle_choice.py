"""Which of the known vehicles a recording is of: the spec that it fits best, by content.

Here belongs the comparison of specs with each other. How one spec fits a recording is told in `vehicle_check.py`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet_assets.ingestion.recordings.beginning import Beginning
from fleet_assets.ingestion.recordings.discovery.discover import TEXT_TABLES, Found
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, UnreadableRecordingError
from fleet_assets.ingestion.sensor_sync_and_format_conversion.vehicle_check import Fit, VehicleCheck, check_vehicle
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.policy.documents import InvalidPolicyError

BEGINNING_NS: Final = 30 * NS_PER_S
"""Stretch that is read first; most sensors send every second."""
_READ: Final = (Fit.MAPS, Fit.RATE_DIFFERS, Fit.UNIT_DIFFERS)
_MAY_COME_LATER: Final = (Fit.NO_MESSAGES,)
_SHORTEST_WORD: Final = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """The vehicle of a recording.

    Attributes:
        vehicle: The one that fits best, or None.
        equals: Names of all that fit equally well, the chosen one first; empty where none fits.
        by_name: Whether only the names of folders and files told it from its equals.
        problems: Why a spec could not be tried.
    """

    vehicle: Vehicle | None
    equals: tuple[str, ...] = ()
    by_name: bool = False
    problems: tuple[str, ...] = ()


def specs_for(kind: str, documents: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Names of the vehicle specs that read a format, told from the documents alone.

    Args:
        kind: Recording format.
        documents: Policy documents by name.
    """
    found = []
    for name in sorted(documents):
        stated = documents[name].get("format")
        formats = [stated] if isinstance(stated, str) else stated
        if not name.startswith("vehicles/") or not isinstance(formats, list) or kind not in formats:
            continue
        if kind not in TEXT_TABLES or "table" in documents[name]:
            found.append(name.removeprefix("vehicles/"))
    return found


def check_fit(found: Found, vehicle: Vehicle) -> VehicleCheck:
    """Compare a recording with one vehicle; read no further than its beginning where that settles it.

    Raises:
        InvalidSpecError: When a CAN database lacks what the spec asks for.
        UnreadableRecordingError: When the recording cannot be read.
    """
    recording = open_recording(found.files, vehicle.spec.formats, vehicle.spec.table)
    try:
        beginning = Beginning(recording, BEGINNING_NS)
        result = check_vehicle(beginning, vehicle.spec, vehicle.canonical, vehicle.dbcs)
        if _settled(result):
            return result
        return check_vehicle(recording, vehicle.spec, vehicle.canonical, vehicle.dbcs)
    finally:
        recording.close()


def _settled(result: VehicleCheck) -> bool:
    """Whether more messages would not change the answer."""
    broken = [row.fit for row in result.rows if row.required and row.fit not in _READ]
    return not broken or any(fit not in _MAY_COME_LATER for fit in broken)


def misfits(result: VehicleCheck) -> list[str]:
    """What a recording lacks that the spec requires, sensor by sensor."""
    return [f"{row.sensor}: {row.fit}" for row in result.rows if row.required and row.fit not in _READ]


def _merit(result: VehicleCheck) -> tuple[int, int, int, int]:
    """More signals first, then more messages read, then more as the spec says, then fewer that are missing."""
    named = [row for row in result.rows if row.sensor]
    read = [row for row in named if row.fit in _READ]
    signals = {signal for row in read for signal in row.signals}
    exact = sum(row.fit is Fit.MAPS for row in read)
    return len(signals), len(read), exact, len(read) - len(named)


def _hint(name: str, place: Path) -> int:
    """How much of a spec's name stands in a path: letters of its words that occur in the name."""
    words = {word for part in place.parts for word in re.split(r"[^a-z0-9]+", part.lower())}
    telling = [word for word in words if len(word) >= _SHORTEST_WORD and not word.isdigit() and word in name]
    return sum(map(len, telling))


def choose_vehicle(found: Found, vehicles: Sequence[Vehicle]) -> Choice:
    """Find the vehicle whose required sensors the recording all has, and of which it gives the most.

    Args:
        found: The recording.
        vehicles: Vehicles that read its format.
    """
    merits: dict[str, tuple[int, int, int, int]] = {}
    problems = []
    for vehicle in vehicles:
        try:
            result = check_fit(found, vehicle)
        except (InvalidPolicyError, UnreadableRecordingError) as error:
            problems.append(f"cannot try {vehicle.spec.name}: {error}")
            continue
        if result.fits:
            merits[vehicle.spec.name] = _merit(result)
    if not merits:
        return Choice(None, problems=tuple(problems))
    best = max(merits.values())
    equals = sorted(
        (name for name, merit in merits.items() if merit == best), key=lambda name: (-_hint(name, found.place), name)
    )
    by_name = len(equals) > 1 and _hint(equals[0], found.place) > _hint(equals[1], found.place)
    chosen = next(vehicle for vehicle in vehicles if vehicle.spec.name == equals[0])
    return Choice(chosen, tuple(equals), by_name, tuple(problems))
