"""Which drives each operator of this area should have in which partition, made from what.

Pure reading of the ledger. How a restatement runs is in `provenance/restate.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fleet_assets.perception.weights import WeightSource, named_weights
from fleet_assets.policy.documents import Policies, digest_of
from fleet_assets.provenance.drive_units import drive_units, first_row
from fleet_assets.provenance.fingerprints import Operator, fingerprint
from fleet_assets.provenance.ledger import Entry, LakeTables, Partition
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.provenance.platform import Platform
from fleet_assets.provenance.restate import UnitInput, Wanted
from fleet_assets.tables import Table

DRIVES: Final = "bronze.drives"


@dataclass(frozen=True)
class MiningState:
    """Everything that decides what mining should produce, read once.

    Attributes:
        lake: Ledger.
        tables: All tables by dotted name.
        policies: Policies in force.
        objects: Objects of the granted access classes.
        weights: Pretrained weights.
    """

    lake: LakeTables
    tables: Mapping[str, Table]
    policies: Policies
    objects: ObjectStore
    weights: WeightSource


def read_mining(platform: Platform) -> MiningState:
    """Read everything that decides what mining should produce."""
    return MiningState(platform.lake, platform.tables, platform.policies, platform.objects, platform.weights)


def _weights_digest(operator: Operator, state: MiningState) -> str:
    """Digest of the weights that are named in what the operator reads of its policies."""
    read = {
        name: {key: state.policies[name][key] for key in operator.policy[name] or state.policies[name]}
        for name in operator.names_weights
    }
    return digest_of({name: state.weights.digest(name) for name in sorted(set(named_weights(read)))})


def mining_units(operator: Operator, state: MiningState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """Drives that an operator of this area should have, by partition.

    Args:
        operator: The operator; its first input is `bronze.drives`.
        state: What decides.
        partition: The partition asked for; all when None.
    """

    def unit(drive_id: str, drive: Entry, own: Mapping[str, Entry]) -> UnitInput:
        del drive_id
        row = first_row(state.lake, state.tables[DRIVES], drive)
        digests = sorted((name, entry.digest) for name, entry in own.items())
        extras, context = {}, {"drive": row, "objects": state.objects}
        if operator.names_weights:
            extras["weights"] = _weights_digest(operator, state)
            context["weights"] = state.weights
        wanted = fingerprint(operator, state.policies, digests, vehicle_spec=row["vehicle_spec"], extras=extras)
        return UnitInput(wanted, own, context)

    return drive_units(state.lake, state.tables, operator, unit, partition)
