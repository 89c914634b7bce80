"""The registry of telemetry schemas: what the payload of a message may hold, by name and version.

Here belong the parsed documents, what a payload breaks, and whether a version is a compatible successor of another.
Envelopes of messages, duplicates and quarantine belong to the ingestion area.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from fleet_assets.policy.documents import InvalidPolicyError, Policies, digest_of

PREFIX: Final = "telemetry_schemas/"
ABSENT: Final = "absent"
"""Stands for the digest of a schema that is not in the registry."""

Version = tuple[int, int, int]
_NAMES: Final[Mapping[type, str]] = {str: "text", bool: "boolean", int: "integer", float: "number", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a payload.

    Attributes:
        type: number, integer, boolean or text; a whole number is a number too.
        description: What a value means.
        unit: Unit of a number, empty otherwise.
        low: Smallest allowed number.
        high: Largest allowed number.
        values: Closed set of texts; empty where any will do.
        max_length: Longest text, in characters.
        required: Whether a payload must have it.
    """

    type: str
    description: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    values: tuple[str, ...] = ()
    max_length: int | None = None
    required: bool = False

    def breach(self, value: object) -> tuple[str, str] | None:
        """What is found and what is allowed, where a value breaks the field; None where it is fine."""
        if not self._has_type(value):
            return _NAMES.get(type(value), type(value).__name__), self.type
        if isinstance(value, str):
            if self.values and value not in self.values:
                return repr(value), f"one of: {', '.join(self.values)}"
            if self.max_length is not None and len(value) > self.max_length:
                return f"{len(value)} characters", f"{self.max_length} characters"
        elif isinstance(value, int | float) and not self.low <= value <= self.high:
            return f"{value:g}", f"{self.low:g} to {self.high:g} {self.unit}".rstrip()
        return None

    def _has_type(self, value: object) -> bool:
        if self.type == "boolean":
            return isinstance(value, bool)
        if self.type == "text":
            return isinstance(value, str)
        wanted = int if self.type == "integer" else int | float
        return isinstance(value, wanted) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class PayloadBreach:
    """How a payload breaks its schema: what was found, what is allowed, both with the field's name."""

    value: str
    limit: str


@dataclass(frozen=True, slots=True)
class TelemetrySchema:
    """One version of one schema.

    Attributes:
        name: Name of the schema.
        version: MAJOR.MINOR.PATCH.
        fields: Fields by name, in the document's order.
        description: What a message of it says.
        digest: Digest of what decides which payloads it takes.
    """

    name: str
    version: str
    fields: Mapping[str, Field]
    description: str
    digest: str

    def breach(self, payload: Mapping[str, Any]) -> PayloadBreach | None:
        """First breach of a payload, fields in order of their names; None where it keeps the schema."""
        for name in sorted({*payload, *self.fields}):
            field = self.fields.get(name)
            if field is None:
                return PayloadBreach(f"{name[:64]}: unknown field", f"fields of {self.name}/{self.version}")
            if name not in payload:
                if field.required:
                    return PayloadBreach(f"{name}: missing", "every required field")
            elif (found := field.breach(payload[name])) is not None:
                return PayloadBreach(f"{name}: {found[0][:80]}", f"{name}: {found[1]}")
        return None


def version_of(text: str) -> Version:
    """Version as numbers, which order as versions do."""
    major, minor, patch = (int(part) for part in text.split("."))
    return major, minor, patch


def incompatibilities(old: Mapping[str, Field], new: Mapping[str, Field]) -> Iterator[str]:
    """Why a payload that kept the old fields could break the new ones, or mean something else there.

    A later version of the same major one may only add optional fields and take more values than before.
    """
    for name, field in old.items():
        if name not in new:
            yield f"field {name} is gone"
        else:
            yield from _narrowed(name, field, new[name])
    for name, field in new.items():
        if name not in old and field.required:
            yield f"new field {name} is required"


def _narrowed(name: str, old: Field, new: Field) -> Iterator[str]:
    if new.type != old.type:
        yield f"{name} was {old.type}, is {new.type}"
    if new.unit != old.unit:
        yield f"{name} was in {old.unit}, is in {new.unit}"
    if new.required and not old.required:
        yield f"{name} was optional, is required"
    if new.low > old.low or new.high < old.high:
        yield f"the range of {name} is narrower"
    if new.values and not (old.values and set(old.values) <= set(new.values)):
        yield f"{name} takes fewer texts"
    longest = max(map(len, old.values)) if old.values else old.max_length or 0
    if new.max_length is not None and new.max_length < longest:
        yield f"{name} takes shorter texts only"


class Registry:
    """All schemas of the policies in force.

    Args:
        policies: Policies in force.

    Raises:
        InvalidPolicyError: When a range is empty, or a version is no compatible successor, naming what it breaks.
    """

    def __init__(self, policies: Policies) -> None:
        names = [name for name in sorted(policies.documents) if name.startswith(PREFIX)]
        self._schemas = {
            f"{schema.name}/{schema.version}": schema for name in names for schema in _parse(name, policies[name])
        }

    def __iter__(self) -> Iterator[TelemetrySchema]:
        return iter(self._schemas.values())

    def get(self, named: str) -> TelemetrySchema | None:
        """Schema by NAME/VERSION; None when there is none."""
        return self._schemas.get(named)

    def digest(self, named: str) -> str:
        """Digest of a schema by NAME/VERSION; `ABSENT` when there is none."""
        schema = self._schemas.get(named)
        return schema.digest if schema is not None else ABSENT

    @cached_property
    def whole(self) -> str:
        """Digest of the registry."""
        return digest_of({named: schema.digest for named, schema in self._schemas.items()})


def _parse(name: str, document: Mapping[str, Any]) -> Iterator[TelemetrySchema]:
    versions = sorted(document["versions"], key=version_of)
    fields = {version: _fields(f"{name} {version}", document["versions"][version]) for version in versions}
    for older, newer in zip(versions, versions[1:], strict=False):
        if version_of(older)[0] == version_of(newer)[0] and (
            problems := list(incompatibilities(fields[older], fields[newer]))
        ):
            raise InvalidPolicyError(
                f"{name}: version {newer} is no compatible successor of {older}: {'; '.join(problems)}. "
                f"Call it {version_of(newer)[0] + 1}.0.0, or only add optional fields."
            )
    for version in versions:
        digest = digest_of([document["name"], version, document["versions"][version]])
        yield TelemetrySchema(document["name"], version, fields[version], document["description"], digest)


def _fields(place: str, stated: Mapping[str, Mapping[str, Any]]) -> dict[str, Field]:
    fields = {}
    for name, body in stated.items():
        low, high = body.get("range", (-math.inf, math.inf))
        if low > high:
            raise InvalidPolicyError(f"{place}: the range of {name} begins at {low} and ends at {high}. Swap them.")
        fields[name] = Field(
            body["type"],
            body["description"],
            body.get("unit", ""),
            low,
            high,
            tuple(body.get("values", ())),
            body.get("max_length"),
            body.get("required", False),
        )
    return fields
