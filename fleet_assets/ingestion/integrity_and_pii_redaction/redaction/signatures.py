"""Signing the reports of a partition, and checking the signatures.

Here belongs which reports want a signature and which signature stands for which report. What a statement says is in
`statement.py`; where keys and rows lie is the platform's business.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.statement import (
    media_name,
    signature_id,
    signed_report,
    verified_report,
)
from fleet_assets.provenance.ledger import LOG_UNIT_LENGTH
from fleet_assets.provenance.signing import SignatureRejectedError, Signer, Verifier

Row = Mapping[str, Any]


def wanted_signatures(
    report: Iterable[Row], held: Collection[str], read: Callable[[str], bytes], signer: Signer, now_ns: int
) -> list[dict[str, Any]]:
    """Rows of `bronze.redaction_signatures` for reports that this key has not signed.

    Args:
        report: Rows of `bronze.redaction_report`.
        held: Units of `bronze.redaction_signatures`.
        read: Bytes of an object by its digest.
        signer: Whose key it is.
        now_ns: Wall clock of the platform.
    """
    drives = {row["report_sha256"]: {key: row[key] for key in ("drive_id", "day", "depot")} for row in report}
    rows = []
    for digest, drive in sorted(drives.items()):
        identity = signature_id(digest, signer.key_id)
        if signature_unit(digest, signer.key_id) not in held:
            envelope = signed_report(read(digest), digest, signer, now_ns).decode()
            stated = {"signature_id": identity, "report_sha256": digest, "key_id": signer.key_id}
            rows.append({**drive, **stated, "envelope": envelope})
    return rows


def signature_unit(report_sha256: str, key_id: str) -> str:
    """Unit of `bronze.redaction_signatures` that holds a key's signature of a report."""
    return signature_id(report_sha256, key_id)[:LOG_UNIT_LENGTH]


def signature_problems(
    report: Iterable[Row], media: Iterable[Row], held: Iterable[Row], verifier: Verifier | None
) -> tuple[dict[str, str | None], set[str]]:
    """What is wrong with the signatures of a partition's reports.

    Args:
        report: Rows of `bronze.redaction_report`.
        media: Rows of `bronze.redacted_media`.
        held: Rows of `bronze.redaction_signatures`.
        verifier: Knows the trusted keys; None where there is no key yet.

    Returns:
        By drive why no signature of its report can be trusted, None where one can; and drives without any.
    """
    vouched: dict[str, dict[str, str]] = defaultdict(dict)
    for row in media:
        vouched[row["drive_id"]][media_name(row["camera"], row["part"])] = row["sha256"]
    by_report: dict[str, list[Row]] = defaultdict(list)
    for row in held:
        by_report[row["report_sha256"]].append(row)
    problems: dict[str, str | None] = {}
    unsigned = set()
    for drive_id, digest in sorted({(row["drive_id"], row["report_sha256"]) for row in report}):
        signatures = by_report[digest]
        if not signatures or verifier is None:
            unsigned.add(drive_id)
        else:
            problems[drive_id] = _problem(signatures, verifier, digest, vouched[drive_id])
    return problems, unsigned


def _problem(signatures: Sequence[Row], verifier: Verifier, digest: str, media: Mapping[str, str]) -> str | None:
    """None when one of the signatures can be trusted, else what is wrong with the last one."""
    why = None
    for row in signatures:
        try:
            verified_report(row["envelope"], verifier, digest, media)
        except SignatureRejectedError as error:
            why = str(error)
        else:
            return None
    return why
