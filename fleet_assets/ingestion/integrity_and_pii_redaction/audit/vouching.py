"""Nobody reads redacted media without a signed report that vouches for them: checked where they are read.

Here belongs asking; what a signature says and who is trusted is the redaction's and the platform's business.
"""

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.signatures import signature_problems
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.statement import signature_id
from fleet_assets.provenance.ledger import LOG_UNIT_LENGTH, LakeTables, Partition
from fleet_assets.provenance.signing import SignatureRejectedError, Verifier
from fleet_assets.tables.redaction import REDACTED_MEDIA, REDACTION_REPORT, REDACTION_SIGNATURES

_NAMED = 5


def require_vouched(lake: LakeTables, partition: Partition, verifier: Verifier | None, key_id: str) -> int:
    """Check that every report of a partition is signed by a trusted key and about the media that are there.

    Args:
        lake: The ledger.
        partition: The partition whose media are about to be read.
        verifier: Knows the trusted keys; None where there is no key yet.
        key_id: Key whose signatures are looked up.

    Returns:
        Reports that were checked.

    Raises:
        SignatureRejectedError: Naming the drives whose media nobody vouches for.
    """
    report = lake.read(REDACTION_REPORT, lake.entries(REDACTION_REPORT, partition)).to_pylist()
    media = lake.read(REDACTED_MEDIA, lake.entries(REDACTED_MEDIA, partition)).to_pylist()
    wanted = {signature_id(row["report_sha256"], key_id)[:LOG_UNIT_LENGTH] for row in report}
    entries = [entry for entry in lake.entries(REDACTION_SIGNATURES) if entry.unit in wanted]
    problems, unsigned = signature_problems(
        report, media, lake.read(REDACTION_SIGNATURES, entries).to_pylist(), verifier
    )
    wrong = {drive: why for drive, why in problems.items() if why is not None}
    wrong |= dict.fromkeys(unsigned, "its report is not signed")
    stray = {row["drive_id"] for row in media} - {row["drive_id"] for row in report}
    wrong |= dict.fromkeys(stray, "there is no report about its media")
    if wrong:
        named = "; ".join(f"{drive}: {why}" for drive, why in sorted(wrong.items())[:_NAMED])
        raise SignatureRejectedError(
            f"redacted media of {len(wrong)} drives that nobody vouches for: {named}",
            "Materialize bronze/redaction_report of this partition again, so that what is there now is signed.",
        )
    return len(problems)
