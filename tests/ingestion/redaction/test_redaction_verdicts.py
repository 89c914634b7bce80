"""Redaction is judged: what vanished fails, what is not there yet is inconclusive, and a signature has to fit."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.signatures import (
    signature_problems,
    wanted_signatures,
)
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.statement import report_statement
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.verdicts import (
    CameraFacts,
    frames_verdict,
    signed_verdict,
)
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import LOG_UNIT_LENGTH
from resources.signer import LocalSigner

POLICY = digest_of("policy")
SOUND = CameraFacts("d/front", True, 100, "redacted", False, 100, 1, 99)
HELD = replace(SOUND, name="d/rear", status="quarantined", reason=True, undecodable=40, written=0)
ABSENT = CameraFacts("d/side", False, None, "absent", False, 0, 0, 0)


def outcome(*cameras: CameraFacts, waiting: tuple[str, ...] = ()) -> Outcome:
    return frames_verdict(cameras, waiting, policy_digest=POLICY).outcome


def test_every_picture_accounted_for_passes_and_so_does_an_empty_partition() -> None:
    assert outcome(SOUND, HELD, ABSENT) is Outcome.PASS
    assert outcome() is Outcome.PASS


@pytest.mark.parametrize(
    "camera",
    [
        replace(SOUND, written=98),
        replace(SOUND, written=100),
        replace(SOUND, recorded=101),
        replace(SOUND, status=None),
        replace(HELD, reason=False),
        replace(HELD, written=60),
        replace(ABSENT, recorded=5),
        replace(ABSENT, required=True),
    ],
    ids=["one lost", "one too many", "not looked at", "not reported", "no reason", "held, yet written",
         "recorded, yet absent", "required, yet absent"],
)  # fmt: skip
def test_a_picture_or_camera_that_does_not_add_up_fails_and_is_named(camera: CameraFacts) -> None:
    verdict = frames_verdict([SOUND, replace(camera, name="e/cam")], (), policy_digest=POLICY)
    assert verdict.outcome is Outcome.FAIL
    assert str(verdict.figures["wrong"]).startswith("e/cam: ")


def test_a_drive_that_is_not_redacted_yet_is_inconclusive_unless_another_fails() -> None:
    assert outcome(SOUND, waiting=("x",)) is Outcome.INCONCLUSIVE
    assert outcome(SOUND, replace(SOUND, name="d/2", written=0), waiting=("x",)) is Outcome.FAIL


@pytest.fixture
def signing(tmp_path: Path) -> LocalSigner:
    return LocalSigner(key_dir=str(tmp_path / "keys"))


PAYLOAD = report_statement({"media/front/0": digest_of("media")}, digest_of("boxes"), {"cameras": []}).to_payload()
REPORT = [
    {"drive_id": "d", "day": "2024-05-01", "depot": "north", "report_sha256": hashlib.sha256(PAYLOAD).hexdigest()}
]
MEDIA = [{"drive_id": "d", "camera": "front", "part": 0, "sha256": digest_of("media")}]


def signed(signing: LocalSigner, now_ns: int = 1_714_550_400_123_456_789) -> list[dict[str, object]]:
    return wanted_signatures(REPORT, [], lambda _: PAYLOAD, signing.signer(), now_ns)


def test_a_signed_report_passes_and_says_who_when_and_what(signing: LocalSigner) -> None:
    (row,) = signed(signing)
    problems, unsigned = signature_problems(REPORT, MEDIA, [row], signing.verifier())
    assert signed_verdict(problems, unsigned, policy_digest=POLICY).outcome is Outcome.PASS
    statement = json.loads(signing.verifier().verify(_parsed(str(row["envelope"]))))
    assert statement["predicate"]["signedOn"] == "2024-05-01T08:00:00.123456789Z"
    assert statement["predicate"]["signedBy"] == signing.signer().key_id == row["key_id"]


def _parsed(envelope: str) -> object:
    from fleet_assets.provenance.signing import parse_envelope

    return parse_envelope(envelope)


def test_a_report_is_signed_once_by_a_key(signing: LocalSigner, tmp_path: Path) -> None:
    rows = signed(signing)
    held = {str(row["signature_id"])[:LOG_UNIT_LENGTH] for row in rows}
    assert wanted_signatures(REPORT, held, lambda _: PAYLOAD, signing.signer(), 5) == []
    other = LocalSigner(key_dir=str(tmp_path / "other")).signer()
    assert len(wanted_signatures(REPORT, held, lambda _: PAYLOAD, other, 5)) == 1


def test_a_report_without_a_signature_is_inconclusive(signing: LocalSigner) -> None:
    signing.signer()
    for verifier in (signing.verifier(), None):
        problems, unsigned = signature_problems(REPORT, MEDIA, [], verifier)
        verdict = signed_verdict(problems, unsigned, policy_digest=POLICY)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "bronze/redaction_report" in verdict.missing[0]


def test_other_media_another_report_and_a_foreign_key_fail(signing: LocalSigner, tmp_path: Path) -> None:
    (row,) = signed(signing)
    foreign = LocalSigner(key_dir=str(tmp_path / "foreign"))
    (theirs,) = signed(foreign)
    swapped = [{**MEDIA[0], "sha256": digest_of("other media")}]
    more = [*MEDIA, {**MEDIA[0], "part": 1}]
    other_report = [{**REPORT[0], "report_sha256": digest_of("another")}]
    relabelled = {**row, "report_sha256": digest_of("another")}
    changed = {**row, "envelope": str(row["envelope"]).replace('"sig":"', '"sig":"00')}
    for report, media, held in (
        (REPORT, swapped, row),
        (REPORT, more, row),
        (other_report, MEDIA, relabelled),
        (REPORT, MEDIA, theirs),
        (REPORT, MEDIA, changed),
    ):
        problems, unsigned = signature_problems(report, media, [held], signing.verifier())
        assert signed_verdict(problems, unsigned, policy_digest=POLICY).outcome is Outcome.FAIL
    problems, unsigned = signature_problems(REPORT, MEDIA, [theirs, row], signing.verifier())
    assert signed_verdict(problems, unsigned, policy_digest=POLICY).outcome is Outcome.PASS
