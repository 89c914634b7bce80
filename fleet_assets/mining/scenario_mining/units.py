"""Which mining requests should be answered, from what: one unit per request in the book.

A request looks at the drives that it was placed with, and at the lists of the requests that were there before it. A
drive that came later is not its business; one that is corrected or erased restates it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.mining.scenario_mining.operators import MINE, SENTENCES
from fleet_assets.mining.scenario_mining.requests import KIND
from fleet_assets.perception.weights import WeightSource
from fleet_assets.policy.documents import Policies
from fleet_assets.provenance.fingerprints import fingerprint
from fleet_assets.provenance.ledger import Entry, LakeTables, Partition
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.provenance.platform import Platform
from fleet_assets.provenance.requests import Request
from fleet_assets.provenance.restate import UnitInput, Wanted
from fleet_assets.tables import Table
from fleet_assets.tables.mining import CANDIDATE_SETS

UNIT_LENGTH: Final = 32
"""Characters of a request's identity that are its unit."""


@dataclass(frozen=True)
class RequestState:
    """Everything that decides which requests should be answered, and how.

    Attributes:
        lake: Ledger.
        tables: All tables by dotted name.
        policies: Policies in force.
        objects: Objects of the granted access classes.
        weights: Pretrained weights.
        book: Mining requests.
    """

    lake: LakeTables
    tables: Mapping[str, Table]
    policies: Policies
    objects: ObjectStore
    weights: WeightSource
    book: Sequence[Request]


def read_requests(platform: Platform) -> RequestState:
    """Read everything that decides which requests should be answered."""
    book = [request for request in platform.requests.all() if request.kind == KIND]
    return RequestState(platform.lake, platform.tables, platform.policies, platform.objects, platform.weights, book)


def unit_of(request_id: str) -> str:
    """Unit of a request in its tables."""
    return request_id[:UNIT_LENGTH]


def request_units(state: RequestState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """One unit per request; one whose drives or earlier requests are not done yet waits."""
    del partition
    if not state.book:
        return {}
    by_drive = {name: {entry.unit: entry for entry in state.lake.entries(state.tables[name])} for name in MINE.inputs}
    answered = {entry.unit: entry for entry in state.lake.entries(CANDIDATE_SETS)}
    units: dict[str, UnitInput] = {}
    waiting: list[str] = []
    for request in state.book:
        found = _unit(state, request, by_drive, answered)
        if found is None:
            waiting.append(unit_of(request.request_id))
        else:
            units[unit_of(request.request_id)] = found
    return {(): Wanted(units, tuple(sorted(waiting)))}


def _unit(
    state: RequestState,
    request: Request,
    by_drive: Mapping[str, Mapping[str, Entry]],
    answered: Mapping[str, Entry],
) -> UnitInput | None:
    """What a request is to be answered from; None while something of it is missing."""
    known = {other.request_id for other in state.book}
    earlier = [name for name in _texts(request.body.get("earlier")) if name in known]
    lists = [answered.get(unit_of(name)) for name in earlier]
    # A drive that is not among the clips any more was taken back: nothing of it is looked at.
    drives = [drive for drive in _texts(request.body.get("drives")) if drive in by_drive[MINE.inputs[0]]]
    entries = {name: [own[drive] for drive in drives if drive in own] for name, own in by_drive.items()}
    if None in lists or any(len(own) < len(drives) for own in entries.values()):
        return None
    before = [entry for entry in lists if entry is not None]
    inputs = [(f"{name}/{entry.unit}", entry.digest) for name, own in entries.items() for entry in own]
    inputs += [(f"{CANDIDATE_SETS.name}/{entry.unit}", entry.digest) for entry in before]
    weights = state.weights.digest(state.policies[SENTENCES]["words"]["weights"])
    extras = {"request": request.request_id, "weights": weights}
    context: dict[str, Any] = {
        "request": request,
        "entries": entries,
        "earlier": before,
        "objects": state.objects,
        "weights": state.weights,
    }
    return UnitInput(fingerprint(MINE, state.policies, inputs, extras=extras), {}, context)


def _texts(value: Any) -> list[str]:
    """Names in a body that anybody may have written; what is none is refused where the request is answered."""
    return sorted({name for name in value if isinstance(name, str)}) if isinstance(value, list) else []
