"""Fingerprints: one digest over everything that decides an output.

Fingerprint = operator and version ⊕ the policy keys it reads ⊕ weights ⊕ versions of the numeric libraries it names ⊕
digests of its inputs. Equal fingerprint means equal bytes; anything else that could change them is a defect.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Final

from fleet_assets.policy.documents import Policies, digest_of
from fleet_assets.provenance.canonical import canonical_json
from fleet_assets.provenance.ledger import FINGERPRINT_LENGTH

WRITER: Final = "pyarrow"
"""Writes every data file and puts its own version into it, so it decides bytes whatever the operator."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One declared computation from the drive's files in some tables to its files in others.

    Attributes:
        name: Dotted name, `workflow.step`.
        version: Raised whenever the output changes for the same input; the golden-digest test enforces it.
        inputs: Dotted names of the tables that it reads, the first one lists the units of a partition.
        outputs: Dotted names of the tables that it writes.
        policy: Policy document → top-level keys that it reads (empty: all). `vehicles/*` is the drive's own spec.
        libraries: Distributions whose numerics reach the output.
        reads_requests: Kinds of requests that change the output for the drive that they name.
        names_weights: Policy documents whose keys `weights` name the pretrained weights that it runs.
        consults: Tables of which it reads what concerns a unit, whoever's rows these are. They are lineage: a unit does
            not wait for them, and what it found there enters its fingerprint as a digest.
    """

    name: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    policy: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    reads_requests: tuple[str, ...] = ()
    names_weights: tuple[str, ...] = ()
    consults: tuple[str, ...] = ()

    @property
    def code_version(self) -> str:
        """Text for Dagster's `code_version`."""
        return f"{self.name}.{self.version}"


def policy_digest(operator: Operator, policies: Policies, vehicle_spec: str | None = None) -> str:
    """Digest of all policy keys that the operator reads for a drive of the given vehicle spec."""
    digests = {}
    for name, keys in operator.policy.items():
        document = f"vehicles/{vehicle_spec}" if name == "vehicles/*" else name
        digests[document] = policies.digest(document, *keys) if document in policies else "absent"
    return hashlib.sha256(canonical_json(digests)).hexdigest()


def gate_policy_digest(reads: Mapping[str, tuple[str, ...]], policies: Policies) -> str:
    """Digest of the policy keys that a gate reads, given as document → top-level keys."""
    return digest_of({name: policies.digest(name, *keys) for name, keys in reads.items()})


def library_versions(operator: Operator) -> dict[str, str]:
    """Installed version of each numeric library that the operator names; `absent` for an extra that is not there."""
    return {name: _version(name) for name in operator.libraries}


@cache
def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


def fingerprint(
    operator: Operator,
    policies: Policies,
    inputs: Sequence[tuple[str, str]],
    *,
    vehicle_spec: str | None = None,
    extras: Mapping[str, str] | None = None,
) -> str:
    """Fingerprint of one unit.

    Args:
        operator: What runs.
        policies: Policies in force.
        inputs: (table, digest) of each input file of the unit; an absent input is left out.
        vehicle_spec: Name of the drive's vehicle spec, where `vehicles/*` is read.
        extras: Further named digests, e.g. DBC files, weights, calibrations or requests about the unit.

    Returns:
        Hex text of `FINGERPRINT_LENGTH` characters.
    """
    # The canonical JSON of one object whose keys are sorted; all but the unit's own part is the same for every drive.
    own = canonical_json({"extras": dict(extras or {}), "inputs": sorted(inputs)})
    shared = _shared_part(operator, policies, vehicle_spec)
    return hashlib.sha256(own[:-1] + b"," + shared[1:]).hexdigest()[:FINGERPRINT_LENGTH]


def _shared_part(operator: Operator, policies: Policies, vehicle_spec: str | None) -> bytes:
    """What enters the fingerprints of all drives of one vehicle spec."""

    def make() -> bytes:
        return canonical_json(
            {
                "libraries": library_versions(operator),
                "operator": operator.code_version,
                "policy": policy_digest(operator, policies, vehicle_spec),
                "writer": _version(WRITER),
            }
        )

    reads = tuple(sorted(operator.policy.items()))
    made: bytes = policies.derived((operator.code_version, reads, operator.libraries, vehicle_spec), make)
    return made
