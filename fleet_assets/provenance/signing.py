"""Signed statements: in-toto Statement v1 payloads in DSSE envelopes.

Here belong the envelope's parsing and checking, the statement and its SLSA provenance predicate, and the protocols that
hide where a key lives. Keys themselves belong to resources; deciding what has to be attested belongs to the areas.

Specifications: DSSE v1 (github.com/secure-systems-lab/dsse), in-toto Attestation Framework v1
(github.com/in-toto/attestation), SLSA Provenance v1 (slsa.dev/spec/v1.0/provenance).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from fleet_assets.provenance.canonical import canonical_json

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import Key  # type: ignore[attr-defined] # imported there for users
    from securesystemslib.signer import Signer as KeySigner  # type: ignore[attr-defined] # imported there for users

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
SLSA_PROVENANCE_TYPE: Final = "https://slsa.dev/provenance/v1"

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class SignatureRejectedError(Exception):
    """An envelope or its payload that must not be trusted.

    Args:
        reason: What is wrong, in one clause.
        remedy: What a person does next, as a sentence.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason, self.remedy = reason, remedy

    def __str__(self) -> str:
        return f"{self.reason}. {self.remedy}"


class Signer(Protocol):
    """Signs payloads with one key, wherever that key lives."""

    @property
    def key_id(self) -> str:
        """Identifier of the key, the same for its signer and its verifier."""
        ...

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        """Wrap a payload in an envelope with one signature over its type and bytes."""
        ...


class Verifier(Protocol):
    """Knows which keys and payload types are trusted."""

    def verify(self, envelope: Envelope) -> bytes:
        """Return the payload of an envelope that a trusted key signed.

        Raises:
            SignatureRejectedError: When there is no such signature or the payload type is not a trusted one.
        """
        ...


class EnvelopeSigner:
    """Signer on top of any securesystemslib signer: a local key, an HSM or a cloud key service."""

    __slots__ = ("_signer",)

    def __init__(self, signer: KeySigner) -> None:
        self._signer = signer

    @property
    def key_id(self) -> str:
        """Identifier of the public key."""
        return str(self._signer.public_key.keyid)

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        """Wrap a payload in an envelope with one signature over its type and bytes."""
        from securesystemslib.dsse import Envelope

        envelope = Envelope(payload, payload_type, {})
        envelope.sign(self._signer)
        return envelope

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key_id={self.key_id!r})"


class EnvelopeVerifier:
    """Verifier that accepts an envelope when at least one of the trusted public keys signed it.

    Args:
        keys: The trusted public keys, at least one.
        payload_types: The payload types that may be trusted.

    Raises:
        ValueError: When there is no key.
    """

    def __init__(self, keys: Iterable[Key], payload_types: Collection[str] = (PAYLOAD_TYPE,)) -> None:
        self._keys = {key.keyid: key for key in keys}
        self._payload_types = frozenset(payload_types)
        if not self._keys:
            raise ValueError("a verifier without keys would reject everything. Give at least one public key.")

    def verify(self, envelope: Envelope) -> bytes:
        """Return the payload of an envelope that a trusted key signed.

        Raises:
            SignatureRejectedError: When it is unsigned, signed by other keys, changed after signing, or of another
                payload type.
        """
        from securesystemslib.exceptions import VerificationError

        if envelope.payload_type not in self._payload_types:
            raise SignatureRejectedError(
                f"payload type {envelope.payload_type!r} is none of {sorted(self._payload_types)}",
                "Verify it with the tool that it was signed for.",
            )
        if not envelope.signatures:
            raise SignatureRejectedError("the envelope has no signature", "Ask its producer for a signed one.")
        if not self._keys.keys() & envelope.signatures.keys():
            raise SignatureRejectedError(
                f"signed by the keys {sorted(envelope.signatures)}, none of which is trusted ({sorted(self._keys)})",
                "If the signer is to be trusted, get its public key from a trusted source and add it.",
            )
        try:
            envelope.verify(list(self._keys.values()), threshold=1)
        except VerificationError as error:
            raise SignatureRejectedError(
                "the signature does not belong to this payload: one of them was changed after signing",
                "Fetch the envelope again from its source; if it is the same there, do not use what it attests.",
            ) from error
        return envelope.payload


def parse_envelope(text: bytes | str) -> Envelope:
    """Read a DSSE envelope from JSON, refusing all that could be read in two ways.

    Args:
        text: JSON with payload, payloadType and signatures; each signature with keyid and sig.

    Raises:
        SignatureRejectedError: When it is no JSON object (e.g. truncated), repeats a key, lacks or mistypes a field,
            has bad base64, or holds two signatures of one key. Signatures are not checked here.
    """
    from securesystemslib.dsse import Envelope

    document = _parse_object(text, "envelope")
    signatures = document.get("signatures")
    if not isinstance(signatures, list):
        raise _malformed("envelope", "signatures is no list")
    _require_texts(document, ("payload", "payloadType"), "envelope")
    seen: set[str] = set()
    for signature in signatures:
        _require_texts(signature, ("keyid", "sig"), "signature")
        if signature["keyid"] in seen:
            raise SignatureRejectedError(
                f"two signatures by the key {signature['keyid']!r}",
                "Ask its producer for an envelope with one signature per key.",
            )
        seen.add(signature["keyid"])
    try:
        return Envelope.from_dict(document)
    except ValueError as error:
        raise _malformed("envelope", f"bad base64: {error}") from error


def envelope_json(envelope: Envelope) -> bytes:
    """The JSON form of an envelope, the same bytes for the same envelope."""
    return canonical_json(envelope.to_dict())


@dataclass(frozen=True, slots=True)
class Statement:
    """An in-toto Statement v1: a claim about artefacts that are named by their digests.

    A valid signature says who made the claim; compare `subjects` with the digests at hand before relying on it.

    Attributes:
        subjects: SHA-256 (64 lower-case hex digits) by name, at least one.
        predicate_type: URI that says how to read the predicate.
        predicate: The claim, a JSON object.

    Raises:
        ValueError: When there is no subject, a name is empty, a digest is no SHA-256 or the type is no URI.
    """

    subjects: Mapping[str, str]
    predicate_type: str
    predicate: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.subjects:
            raise ValueError("a statement without subjects claims nothing. Name at least one output.")
        _require_digests(self.subjects, "subject")
        _require_uri(self.predicate_type, "predicate type")

    def to_payload(self) -> bytes:
        """The canonical JSON to be signed.

        Raises:
            NotCanonicalError: When the predicate holds something that is not JSON.
        """
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": _descriptors(self.subjects),
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> Statement:
        """Read a statement back from a verified payload.

        Raises:
            SignatureRejectedError: When it is no in-toto Statement v1 whose subjects all have a name and a SHA-256.
        """
        document = _parse_object(payload, "statement")
        if document.get("_type") != STATEMENT_TYPE:
            raise _malformed("statement", f"_type is {document.get('_type')!r}, expected {STATEMENT_TYPE!r}")
        _require_texts(document, ("predicateType",), "statement")
        predicate = document.get("predicate")
        if not isinstance(predicate, dict):
            raise _malformed("statement", "predicate is no object")
        subjects = _parse_subjects(document.get("subject"))
        try:
            return cls(subjects, document["predicateType"], predicate)
        except ValueError as error:
            raise _malformed("statement", str(error)) from error


def slsa_provenance(
    *,
    builder_id: str,
    build_type: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    parameters: Mapping[str, Any],
    invocation_id: str | None = None,
    started_on: datetime | None = None,
    finished_on: datetime | None = None,
) -> Statement:
    """State that a builder made these outputs from these inputs (SLSA Provenance v1).

    Without times and invocation id, equal work gives equal bytes.

    Args:
        builder_id: URI of what ran the work and is trusted to say so.
        build_type: URI that says how parameters and inputs become outputs.
        inputs: SHA-256 by name; become `resolvedDependencies`.
        outputs: SHA-256 by name; become the subjects.
        parameters: JSON object of what the caller chose; becomes `externalParameters`.
        invocation_id: Identifier of the run.
        started_on: When the work began, with a time zone.
        finished_on: When it ended, with a time zone.

    Raises:
        ValueError: When a digest, name, URI, parameter or time breaks its rule.
    """
    _require_uri(builder_id, "builder id")
    _require_uri(build_type, "build type")
    _require_digests(inputs, "input")
    canonical_json(parameters)
    times = {"startedOn": started_on, "finishedOn": finished_on}
    metadata = {name: _rfc3339(moment, name) for name, moment in times.items() if moment is not None}
    if invocation_id is not None:
        metadata["invocationId"] = invocation_id
    return Statement(
        subjects=dict(outputs),
        predicate_type=SLSA_PROVENANCE_TYPE,
        predicate={
            "buildDefinition": {
                "buildType": build_type,
                "externalParameters": dict(parameters),
                "resolvedDependencies": _descriptors(inputs),
            },
            "runDetails": {"builder": {"id": builder_id}} | ({"metadata": metadata} if metadata else {}),
        },
    )


def _descriptors(digests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": digests[name]}} for name in sorted(digests)]


def _parse_subjects(subjects: object) -> dict[str, str]:
    if not isinstance(subjects, list):
        raise _malformed("statement", "subject is no list")
    digests: dict[str, str] = {}
    for subject in subjects:
        _require_texts(subject, ("name",), "subject")
        name, by_algorithm = subject["name"], subject.get("digest")
        _require_texts(by_algorithm, ("sha256",), f"digest of {name!r}")
        if name in digests:
            raise _malformed("statement", f"the subject {name!r} appears twice")
        digests[name] = by_algorithm["sha256"]
    return digests


def _parse_object(text: bytes | str, what: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise _malformed(what, f"no valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise _malformed(what, "no JSON object")
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return document


def _require_texts(document: object, fields: tuple[str, ...], what: str) -> None:
    if not isinstance(document, dict):
        raise _malformed(what, "no JSON object")
    for name in fields:
        if not isinstance(document.get(name), str):
            raise _malformed(what, f"{name} is missing or no text")


def _malformed(what: str, reason: str) -> SignatureRejectedError:
    return SignatureRejectedError(
        f"malformed {what}: {reason}", "Fetch it again from its source; it may be cut off or of another format."
    )


def _require_digests(digests: Mapping[str, str], what: str) -> None:
    for name, digest in digests.items():
        if not name:
            raise ValueError(f"an {what} has an empty name. Name it after its table, partition or file.")
        if not _SHA256.fullmatch(digest):
            raise ValueError(f"{what} {name!r} has the digest {digest!r}, expected 64 lower-case hex digits (SHA-256).")


def _require_uri(text: str, what: str) -> None:
    parts = urlsplit(text)
    if not parts.scheme or not (parts.netloc or parts.path):
        raise ValueError(f"{what} is {text!r}, expected a URI such as https://example.org/builder/v1.")


def _rfc3339(moment: datetime, name: str) -> str:
    if moment.tzinfo is None:
        raise ValueError(f"{name} is {moment.isoformat()} without a time zone. Give an aware datetime.")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
