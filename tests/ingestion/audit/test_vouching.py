"""Nobody reads redacted media without a signed report that vouches for them."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.vouching import require_vouched
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.statement import (
    media_name,
    report_statement,
    signature_id,
    signed_report,
)
from fleet_assets.provenance.ledger import LOG_UNIT_LENGTH
from fleet_assets.provenance.signing import SignatureRejectedError, Verifier
from fleet_assets.tables.redaction import REDACTED_MEDIA, REDACTION_REPORT, REDACTION_SIGNATURES
from resources.signer import LocalSigner
from tests.asset_checks.gate_fleet import PARTITION, GateFleet

MEDIA = "a" * 64


class Office:
    """A partition with one drive, its report and whoever signs it."""

    def __init__(self, folder: Path) -> None:
        self.key, self.fleet = LocalSigner(key_dir=str(folder / "keys")), GateFleet()
        self.signer = self.key.signer()
        self.payload = report_statement({media_name("front", 0): MEDIA}, "b" * 64, {}).to_payload()
        self.digest = hashlib.sha256(self.payload).hexdigest()
        self.media(MEDIA)
        self.fleet.put(REDACTION_REPORT, "d", [{"camera": "front", "report_sha256": self.digest}])

    def media(self, sha256: str) -> None:
        """Put media of this digest into place."""
        self.fleet.put(REDACTED_MEDIA, "d", [{"camera": "front", "part": 0, "sha256": sha256}])

    def sign(self, envelope: str | None = None) -> None:
        """Keep an envelope, as a rule the platform's own."""
        envelope = envelope or signed_report(self.payload, self.digest, self.signer, 1).decode()
        identity = signature_id(self.digest, self.signer.key_id)
        row: dict[str, Any] = {"signature_id": identity, "report_sha256": self.digest, "key_id": self.signer.key_id}
        row |= {"drive_id": "d", "day": PARTITION[0], "depot": PARTITION[1], "envelope": envelope, "signed_ns": 1}
        self.fleet.lake.put(REDACTION_SIGNATURES, (), identity[:LOG_UNIT_LENGTH], [row], "f" * 24)

    def check(self, verifier: Verifier | None = None) -> int:
        """Ask whether the media may be read."""
        return require_vouched(self.fleet.lake, PARTITION, verifier or self.key.verifier(), self.signer.key_id)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_signed_report_about_these_media_lets_them_be_read(office: Office) -> None:
    office.sign()
    assert office.check() == 1


def test_a_report_without_signature_does_not(office: Office) -> None:
    with pytest.raises(SignatureRejectedError, match="d: its report is not signed"):
        office.check()


def test_media_that_were_exchanged_after_signing_are_refused(office: Office) -> None:
    office.sign()
    office.media("c" * 64)
    with pytest.raises(SignatureRejectedError, match="does not vouch for media/front/0"):
        office.check()


def test_a_signature_that_was_changed_or_is_another_keys_is_refused(office: Office, tmp_path: Path) -> None:
    stranger = LocalSigner(key_dir=str(tmp_path / "other"))
    office.sign(signed_report(office.payload, office.digest, stranger.signer(), 1).decode())
    with pytest.raises(SignatureRejectedError, match="none of which is trusted"):
        office.check()
    office.sign(signed_report(office.payload, office.digest, office.signer, 1).decode().replace('"sig":"', '"sig":"00'))
    with pytest.raises(SignatureRejectedError, match="nobody vouches for"):
        office.check()


def test_media_without_any_report_are_refused_and_a_partition_without_media_is_fine(office: Office) -> None:
    office.fleet.put(REDACTION_REPORT, "d", [])
    with pytest.raises(SignatureRejectedError, match="no report about its media"):
        office.check()
    office.fleet.put(REDACTED_MEDIA, "d", [])
    assert office.check() == 0
