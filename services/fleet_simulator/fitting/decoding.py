"""Recordings, real or simulated, as the pipeline decodes them: the one module of the simulator that knows the pipeline.

Here belongs the way from files to series of canonical signals. Nothing that makes drives may import it: what is
simulated must not depend on how it is read.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.rules import find_breaches
from fleet_assets.ingestion.recordings.dbc import DbcNotFoundError, dbc_folders
from fleet_assets.ingestion.recordings.discovery.discover import Found, discover
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.sensor_series import split_series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.decode import decode_drive
from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import NoClockError, probe_clock
from fleet_assets.ingestion.vehicle import Vehicle, vehicle_of
from fleet_assets.ingestion.vehicle_choice import choose_vehicle, specs_for
from fleet_assets.policy.documents import Policies
from services.fleet_simulator.drive_truth import NS_PER_S

_KEYS: Final = {"drive_id": "fit", "day": "1970-01-01", "depot": "fit"}
_CUT: Final = "cut"


@dataclass(frozen=True)
class Signal:
    """One canonical signal at the rate it was sent at.

    Attributes:
        t_s: float64[n], seconds since the recording's start, increasing.
        value: float64[n], in the canonical unit; finite.
    """

    t_s: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Drive:
    """What one recording says.

    Attributes:
        name: Its place below the folder that was searched.
        spec: Vehicle spec that it fits.
        seconds: Length.
        signals: Canonical signals that it has; a signal of several sensors is the first one's.
    """

    name: str
    spec: str
    seconds: float
    signals: Mapping[str, Signal]


def find_drives(folder: Path, policies: Policies, wanted: frozenset[str]) -> Iterator[Drive]:
    """Every recording below a folder whose vehicle is wanted, in order of its place.

    Args:
        folder: Where recordings lie, with CAN databases beside them.
        policies: Policies in force.
        wanted: Vehicle specs of interest.

    Raises:
        UnreadableRecordingError: When the folder is not there.
    """
    folder = folder.resolve()
    founds, _ = discover(folder)
    for found in founds:
        vehicle = _vehicle(found, policies, wanted)
        if vehicle is not None:
            yield decode(found, vehicle, policies, str(found.place.relative_to(folder)))


def with_extra_signals(policies: Policies, extra: Mapping[str, Any]) -> Policies:
    """The policies with more canonical signals, which some vehicle specs then map.

    Args:
        policies: Policies in force.
        extra: Key `extra_signals` of the policy `simulation_fit`.
    """
    documents = deepcopy(dict(policies.documents))
    for name, signal in extra.items():
        plain = {"unit": "1", "type": "float64", "grid": False, "description": signal["description"]}
        documents["canonical_signals"]["signals"][name] = plain
        for spec, where in signal["vehicles"].items():
            documents[f"vehicles/{spec}"]["sensors"][where["sensor"]]["signals"][name] = dict(where["map"])
    return Policies(documents, policies.folders)


def decode_simulated(path: Path, policies: Policies, dbc_folder: Path, spec: str) -> Drive:
    """A simulated recording, read just as a real one is.

    Args:
        path: The recording.
        policies: Policies in force.
        dbc_folder: Where the vehicle's CAN database lies.
        spec: The vehicle's spec.
    """
    founds, _ = discover(path)
    return decode(founds[0], vehicle_of(policies, spec, [dbc_folder]), policies, path.stem)


def _vehicle(found: Found, policies: Policies, wanted: frozenset[str]) -> Vehicle | None:
    folders = dbc_folders(found.place)
    tried = []
    for name in specs_for(found.format, policies.documents):
        try:
            tried.append(vehicle_of(policies, name, folders))
        except DbcNotFoundError:
            continue  # a vehicle whose CAN database does not lie here is not the one that was recorded here
    chosen = choose_vehicle(found, tried).vehicle
    return chosen if chosen is not None and chosen.spec.name in wanted else None


def decode(found: Found, vehicle: Vehicle, policies: Policies, name: str) -> Drive:
    """Decode one recording and leave out what the integrity rules cut.

    Raises:
        UnreadableRecordingError: When nothing useful can be read.
    """
    spec = vehicle.spec
    recording = open_recording(found.files, spec.formats, spec.table)
    try:
        first_ns, _ = recording.extent_ns()
        try:
            clock = probe_clock(recording, spec, vehicle.dbcs, given_start_ns=None)
        except NoClockError as error:
            raise UnreadableRecordingError(name, "no_clock", value=str(error)) from error
        samples, streams = decode_drive(
            recording,
            spec,
            vehicle.canonical,
            vehicle.dbcs,
            clock_offset_ns=clock.clock_offset_ns,
            drive_columns=_KEYS,
        )
    finally:
        recording.close()
    row = {**_KEYS, "start_ns": clock.start_ns, "end_ns": clock.end_ns, "time_source": clock.time_source}
    row["bytes"] = found.bytes
    findings = find_breaches(samples, streams, spec, vehicle.canonical, policies["integrity"], row)
    cuts = [cut for cut in findings.to_pylist() if cut["severity"] == _CUT]
    start_ns = first_ns + clock.clock_offset_ns
    signals: dict[str, Signal] = {}
    for series in split_series(samples):
        if series.instance or series.signal in signals:
            continue
        good = series.usable
        for cut in cuts:
            if cut["sensor"] == series.sensor and cut["signal"] in {series.signal, None, "*"}:
                good &= (series.t_ns < cut["t_ns"]) | (series.t_ns > cut["end_ns"])
        t_ns, value = series.t_ns[good], series.value[good]
        fresh = np.concatenate(([True], np.diff(t_ns) > 0)) if len(t_ns) else np.zeros(0, dtype=np.bool_)
        if fresh.any():
            signals[series.signal] = Signal((t_ns[fresh] - start_ns) / NS_PER_S, value[fresh])
    return Drive(name, spec.name, (clock.end_ns - clock.start_ns) / NS_PER_S, signals)
