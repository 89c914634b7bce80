"""What is stated about a drive's redaction, and who vouches for it.

The statement says what was done: detectors and policies by digest, and counts by camera. It follows from the drive and
from nothing else, so that it has the same bytes wherever it is made; its digest is in `bronze.redaction_report`.
Key and time of signing are facts of the platform: they are in the signed statement, which repeats the first one and
lies outside identity (`bronze.redaction_signatures`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.signing import (
    PAYLOAD_TYPE,
    SignatureRejectedError,
    Signer,
    Statement,
    Verifier,
    envelope_json,
    parse_envelope,
)

REPORT_TYPE: Final = "urn:fleet-assets:redaction-report:v1"
SIGNED_TYPE: Final = "urn:fleet-assets:signed-redaction-report:v1"
REPORT: Final = "report"
_NS_PER_S: Final = 1_000_000_000


def media_name(camera: str, part: int) -> str:
    """Name of a file of redacted media among the subjects of a statement."""
    return f"media/{camera}/{part}"


def report_statement(media: Mapping[str, str], boxes_sha256: str, predicate: Mapping[str, Any]) -> Statement:
    """What was done with a drive's pictures.

    Args:
        media: Digest of each file of redacted media by `media_name`.
        boxes_sha256: Digest of the list of everything that is covered.
        predicate: Drive, operator, detectors, policies and cameras.
    """
    return Statement({**media, "boxes": boxes_sha256}, REPORT_TYPE, predicate)


def signed_report(payload: bytes, report_sha256: str, signer: Signer, signed_ns: int) -> bytes:
    """Sign a report.

    Args:
        payload: The report's bytes.
        report_sha256: Their digest.
        signer: Whose key it is signed with.
        signed_ns: Wall clock of the platform.

    Returns:
        A DSSE envelope, JSON. Its statement has the report and all that the report is about as subjects.
    """
    report = Statement.from_payload(payload)
    seconds, rest_ns = divmod(signed_ns, _NS_PER_S)
    signed_on = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"
    statement = Statement(
        {**report.subjects, REPORT: report_sha256},
        SIGNED_TYPE,
        {"signedOn": signed_on, "signedBy": signer.key_id, "report": dict(report.predicate)},
    )
    return envelope_json(signer.sign(PAYLOAD_TYPE, statement.to_payload()))


def verified_report(
    envelope: bytes | str, verifier: Verifier, report_sha256: str, media: Mapping[str, str]
) -> Statement:
    """Check that a signed report is about these media.

    Args:
        envelope: DSSE envelope, JSON.
        verifier: Knows the trusted keys.
        report_sha256: Digest of the report that it has to be about.
        media: Digest of each file of redacted media that it has to vouch for, by `media_name`.

    Returns:
        The signed statement.

    Raises:
        SignatureRejectedError: When no trusted key signed it, or it is about another report or other media.
    """
    statement = Statement.from_payload(verifier.verify(parse_envelope(envelope)))
    if statement.predicate_type != SIGNED_TYPE:
        raise SignatureRejectedError(
            f"the statement is of type {statement.predicate_type!r}, expected {SIGNED_TYPE!r}",
            "Take the envelope from bronze.redaction_signatures.",
        )
    wanted = {**media, REPORT: report_sha256}
    if wrong := sorted(name for name, digest in wanted.items() if statement.subjects.get(name) != digest):
        raise SignatureRejectedError(
            f"the statement does not vouch for {', '.join(wrong)}",
            "Materialize bronze/redaction_report of this partition again, so that what is there now is signed.",
        )
    return statement


def signature_id(report_sha256: str, key_id: str) -> str:
    """Identity of a signature: a key signs a report once."""
    return digest_of([report_sha256, key_id])
