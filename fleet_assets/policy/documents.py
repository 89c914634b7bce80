"""Loading policy documents: safe YAML, JSON Schema, digests.

A document states its schema in its first key (`schema: fleet.integrity/v1` → `schemas/integrity.schema.json`). What a
document means is not known here.
"""

import hashlib
import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import yaml

from fleet_assets.provenance.canonical import NotCanonicalError, canonical_json

MAX_DOCUMENT_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 100
"""Levels of nesting; a policy needs fewer than ten."""
_SCHEMA_NAME: Final = re.compile(r"^fleet\.([a-z_]+)/v(\d+)$")
_NAMED_BY_FILE: Final = {
    "vehicles/": "vehicle",
    "telemetry_schemas/": "telemetry_schema",
    "calibrations/": "lidar_calibration",
}
"""Folder → schema of the documents in it, each of which states the name of its file."""


class InvalidPolicyError(ValueError):
    """A policy document that breaks a rule; the message names document, place, rule and remedy."""


class UnknownSchemaError(InvalidPolicyError):
    """A schema that is not shipped."""


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: every process parses all policies at its start, ten times as fast with it."""


class _StrictLoader(_SafeLoader):  # type: ignore[misc] # one of two classes
    """Safe loader that refuses duplicate keys, and reads an unquoted date as text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise InvalidPolicyError(f"line {key_node.start_mark.line + 1}: key {key!r} is not text. Quote it.")
            if key in seen:
                raise InvalidPolicyError(f"line {key_node.start_mark.line + 1}: key {key!r} twice. Remove one.")
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _refuse_unfolding(text: str | bytes) -> None:
    """Refuse what is small as text and large as a value, before any value is made of it.

    Seventy aliases are enough for a document of a few hundred bytes that unfolds to 10^9 values, and libyaml follows
    nesting on the C stack.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        place = f"line {event.start_mark.line + 1 if event.start_mark is not None else '?'}"
        if isinstance(event, yaml.AliasEvent):
            raise InvalidPolicyError(f"{place}: alias *{event.anchor}; aliases are not allowed. Write the value out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"{place}: nested deeper than {MAX_DEPTH} levels")


def parse_yaml(text: str | bytes, source: str) -> Mapping[str, Any]:
    """Parse one YAML mapping from an untrusted source.

    Args:
        text: The document.
        source: Name used in errors.

    Raises:
        InvalidPolicyError: When it is too large, no valid YAML, uses tags, aliases or duplicate keys, holds a value
            that JSON does not know (NaN would pass every limit), or is no mapping.
    """
    if len(text) > MAX_DOCUMENT_BYTES:
        raise InvalidPolicyError(f"{source}: {len(text)} bytes, limit {MAX_DOCUMENT_BYTES}. Split the document.")
    try:
        _refuse_unfolding(text)
        document = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except InvalidPolicyError as error:
        raise InvalidPolicyError(f"{source}: {error}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidPolicyError(f"{source}: not valid YAML: {error}. Fix the line that it names.") from error
    if not isinstance(document, dict):
        raise InvalidPolicyError(f"{source}: holds {type(document).__name__}, expected a mapping of keys to values.")
    try:
        canonical_json(document)
    except (NotCanonicalError, RecursionError) as error:
        raise InvalidPolicyError(f"{source}: {error}") from error
    return document


def digest_of(value: Any) -> str:
    """SHA-256 (hex) over the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _whole_pattern(validator: Any, pattern: str, instance: object, schema: object) -> Iterator[Exception]:
    """JSON Schema's `pattern` with its `$` as ECMA 262 has it: the very end, not the place before a last newline."""
    del validator, schema
    import jsonschema

    ecma = re.sub(r"(?<!\\)\$$", r"\\Z", pattern)
    if isinstance(instance, str) and not re.search(ecma, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


@cache
def _strict_validator() -> Any:
    """The class, made once: making it takes longer than checking an upload's manifest."""
    import jsonschema

    return jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _whole_pattern})


def validate(document: Mapping[str, Any], schema: Mapping[str, Any], source: str) -> None:
    """Check a document against a JSON Schema and report every breach at once.

    Raises:
        InvalidPolicyError: Naming each place and what the schema wants there.
    """
    errors = sorted(
        _strict_validator()(schema).iter_errors(document), key=lambda error: list(map(str, error.absolute_path))
    )
    if errors:
        lines = [
            f"{'/'.join(map(str, error.absolute_path)) or '(top)'}: {error.message[:300]}" for error in errors[:20]
        ]
        raise InvalidPolicyError(f"{source}: " + "; ".join(lines))


@dataclass(frozen=True)
class Policies:
    """All policy documents in force: those shipped, overlaid by the user's own.

    Attributes:
        documents: Document by name; a vehicle spec is `vehicles/NAME`.
        folders: Where they came from, later ones win; also where files that they point at are looked up.
    """

    documents: Mapping[str, Mapping[str, Any]]
    folders: tuple[Path, ...] = ()
    _digests: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict, repr=False, compare=False)
    _derived: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Every task of a worker carries the policies: what was derived of them stays here."""
        return Policies, (self.documents, self.folders)

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        try:
            return self.documents[name]
        except KeyError:
            beside = [other for other in self.documents if Path(other).parent == Path(name).parent]
            known = ", ".join(sorted(beside or self.documents))
            raise InvalidPolicyError(f"no policy {name!r}. Known: {known}.") from None

    def __contains__(self, name: str) -> bool:
        return name in self.documents

    def digest(self, name: str, *keys: str) -> str:
        """Digest of a document, or of the top-level keys of it that an operator reads."""
        wanted = (name, keys)
        if wanted not in self._digests:
            document = self[name]
            self._digests[wanted] = digest_of({key: document.get(key) for key in keys} if keys else document)
        return self._digests[wanted]

    def derived(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Something that follows from the documents alone, made once.

        Args:
            key: What it is; equal keys mean equal values.
            make: Makes it.
        """
        if key not in self._derived:
            self._derived[key] = make()
        return self._derived[key]


@cache
def load_schema(name: str) -> Mapping[str, Any]:
    """A shipped JSON Schema by its short name, e.g. `vehicle`."""
    path = resources.files("policies") / "schemas" / f"{name}.schema.json"
    if not path.is_file():
        known = sorted(entry.name.split(".")[0] for entry in (resources.files("policies") / "schemas").iterdir())
        raise UnknownSchemaError(f"no schema {name!r}. Known: {', '.join(known)}.")
    schema: Mapping[str, Any] = json.loads(path.read_text())
    return schema


def load_document(text: bytes, source: str, expected: str | None = None) -> Mapping[str, Any]:
    """Parse one document and check it against the schema that it names; equal bytes are parsed once.

    Args:
        text: The document.
        source: Name used in errors.
        expected: Short name of the schema that a document in its place has; any when None.

    Raises:
        InvalidPolicyError: When it is no document of that schema, naming each breach.
    """
    return _load_document(text, source, expected)


@lru_cache(maxsize=256)
def _load_document(text: bytes, source: str, expected: str | None) -> Mapping[str, Any]:
    document = parse_yaml(text, source)
    name = document.get("schema")
    if not isinstance(name, str):
        raise InvalidPolicyError(f"{source}: no `schema:` key. Begin with e.g. `schema: fleet.vehicle/v1`.")
    match = _SCHEMA_NAME.match(name)
    if match is None:
        raise InvalidPolicyError(f"{source}: schema {name!r} is not of the form fleet.NAME/v1.")
    if expected is not None and match[1] != expected:
        raise InvalidPolicyError(f"{source}: schema {name!r}, allowed here: fleet.{expected}/v1. Correct it.")
    try:
        validate(document, load_schema(match[1]), source)
    except UnknownSchemaError as error:
        raise InvalidPolicyError(f"{source}: {error}") from error
    except InvalidPolicyError as error:
        raise InvalidPolicyError(f"{error}. Write it as policies/schemas/{match[1]}.schema.json says.") from error
    return document


def _yaml_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir() and not entry.name.startswith(("_", ".")) and entry.name != "schemas":
            yield from _yaml_files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            yield prefix + entry.name.removesuffix(".yaml"), entry


def _schema_of_folder(name: str) -> str | None:
    return next((schema for folder, schema in _NAMED_BY_FILE.items() if name.startswith(folder)), None)


def _expected_schema(name: str, shipped: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Schema that a document of this name has: one that is laid over a shipped one is of the same kind."""
    if (of_folder := _schema_of_folder(name)) is not None:
        return of_folder
    stated = _SCHEMA_NAME.match(shipped[name]["schema"]) if name in shipped else None
    return stated[1] if stated else None


def load_policies(overlay: Path | None = None) -> Policies:
    """Load the shipped policies and, over them, those of the user's own folder.

    Args:
        overlay: Folder of the same layout; may be absent.

    Raises:
        InvalidPolicyError: On the first document that breaks its schema, or states another name than its file's.
    """
    shipped = resources.files("policies")
    layers: list[Traversable] = [shipped]
    if overlay is not None and overlay.is_dir():
        layers.append(overlay)
    texts = tuple(
        (name, f"policies/{name}.yaml" if layer is shipped else str(entry), entry.read_bytes())
        for layer in layers
        for name, entry in _yaml_files(layer)
    )
    return _policies(texts, tuple(Path(str(layer)) for layer in layers))


@lru_cache(maxsize=8)
def _policies(texts: tuple[tuple[str, str, bytes], ...], folders: tuple[Path, ...]) -> Policies:
    """Equal bytes give the same object, so that what was derived of them (digests, tables) stays known."""
    documents: dict[str, Mapping[str, Any]] = {}
    for name, source, text in texts:
        documents[name] = load_document(text, source, _expected_schema(name, documents))
        if _schema_of_folder(name) is not None and documents[name].get("name") != Path(name).name:
            stated = documents[name].get("name")
            raise InvalidPolicyError(f"{source}: states name {stated!r}. Name file and spec alike.")
    return Policies(documents, folders)
