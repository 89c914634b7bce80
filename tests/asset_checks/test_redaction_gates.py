"""The gates of redaction on data: each passes, fails and stays inconclusive, and errs never on what it can count.

None has a comparison that could be turned round unnoticed.
"""

import hashlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asset_checks import redaction as gates
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction import signatures
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.signatures import signature_unit, wanted_signatures
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.statement import report_statement
from fleet_assets.ingestion.steps import REDACT_STEP
from resources.signer import LocalSigner
from tests.asset_checks.gate_fleet import MADE, OLD, PARTITION, TABLES, GateFleet
from tests.gate_mutants import built, mutants

MEDIA, REPORT, STREAMS, SIGNATURES = (
    TABLES[f"bronze.{name}"]
    for name in ("redacted_media", "redaction_report", "sensor_streams", "redaction_signatures")
)
OPERATOR = REDACT_STEP.operator.name
PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
FILMING, BLIND = "photos", "nebula_vlp16"
"""Vehicles with a camera that they need, and with none."""
CAMERA = "camera"
SIGNED_AT_NS = 1_714_550_400_000_000_000
_scratch = tempfile.TemporaryDirectory(prefix="redaction-gates-")


@pytest.fixture(scope="module", autouse=True)
def _folder() -> Iterator[None]:
    yield
    _scratch.cleanup()


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Files:
    """Redacted media of single pictures, named by how many they hold."""

    def local(self, sha256: str, access: str) -> Path:
        """See `ObjectStore.local`."""
        assert access == "raw"
        path = Path(_scratch.name) / sha256
        if not path.exists():
            pq.write_table(pa.table({"frame": range(int(sha256))}), path)
        return path


@cache
def signer(name: str) -> LocalSigner:
    return LocalSigner(key_dir=str(Path(_scratch.name) / "keys" / name))


@dataclass
class RedactedFleet(GateFleet):
    """A fleet with media and a key."""

    objects: Any = field(default_factory=Files)
    signing: Any = field(default_factory=lambda: signer("own"))


# -- every picture is accounted for ------------------------------------------------------------------------------------


def filmed(
    recorded: int | None = 100,
    looked_at: int = 100,
    left_out: int = 1,
    written: int | None = 99,
    *,
    status: str | None = "redacted",
    rule: str | None = None,
    made: str = MADE,
    waiting: bool = False,
    fleet: RedactedFleet | None = None,
    name: str = "d",
) -> RedactedFleet:
    """One drive with a camera: pictures recorded, looked at, left out, and in its file; None where there is nothing."""
    fleet = fleet or RedactedFleet()
    fleet.drive(name, spec=FILMING)
    fleet.put(STREAMS, name, [] if recorded is None else [{"sensor": CAMERA, "messages": recorded}])
    counts = {"source_frames": looked_at, "undecodable": left_out}
    stated = [] if status is None else [{"camera": CAMERA, "status": status, "rule": rule, **counts}]
    fleet.put(REPORT, name, stated, made)
    files = [] if written is None else [{"camera": CAMERA, "media": "frames", "sha256": str(written)}]
    fleet.put(MEDIA, name, files, made)
    plan = fleet.plans.get(OPERATOR)
    drives, late = (list(plan.units), list(plan.waiting)) if plan else ([], [])
    (late if waiting else drives).append(name)
    fleet.plan(OPERATOR, drives, late)
    return fleet


def with_a_blind_one() -> RedactedFleet:
    fleet = filmed()
    fleet.drive("e", spec=BLIND)
    return fleet


def with_a_rejected_one() -> RedactedFleet:
    fleet = filmed()
    fleet.drive("e", "rejected", spec=FILMING, reason="size_mismatch")
    return fleet


FRAMES: dict[str, tuple[Callable[[], GateFleet], Outcome]] = {
    "nothing": (RedactedFleet, PASS),
    "all there": (filmed, PASS),
    "in two files": (lambda: filmed(written=49).put(MEDIA, "d", [{"camera": CAMERA, "media": "frames", "sha256": "49"},
        {"camera": CAMERA, "media": "frames", "part": 1, "sha256": "50"}]), PASS),
    "held with a reason": (lambda: filmed(left_out=40, written=None, status="quarantined", rule="presence"), PASS),
    "a picture vanished": (lambda: filmed(written=98), FAIL),
    "a picture too many": (lambda: filmed(written=100), FAIL),
    "not all were looked at": (lambda: filmed(recorded=101), FAIL),
    "not in the report": (lambda: filmed(status=None, written=None), FAIL),
    "held without a reason": (lambda: filmed(written=None, status="quarantined"), FAIL),
    "held, and media all the same": (lambda: filmed(status="quarantined", rule="presence"), FAIL),
    "the camera that it needs is absent": (lambda: filmed(None, 0, 0, None, status="absent"), FAIL),
    "a camera that nobody wants is absent": (lambda: filmed(None, 0, 0, None, status="absent").drive("d", spec=BLIND),
        PASS),
    "a vehicle without a camera": (with_a_blind_one, PASS),
    "a rejected drive": (with_a_rejected_one, PASS),
    "not redacted yet": (lambda: filmed(status=None, written=None, waiting=True), INCONCLUSIVE),
    "redacted by an older version": (lambda: filmed(written=98, made=OLD), INCONCLUSIVE),
    "one waits, one lost a picture": (lambda: filmed(written=98, fleet=filmed(waiting=True, name="a")), FAIL),
}  # fmt: skip


# -- somebody vouches for it -------------------------------------------------------------------------------------------


def vouched(
    *keys: str, media: str = "media", shown: str = "media", fleet: RedactedFleet | None = None, name: str = "d"
) -> RedactedFleet:
    """One drive whose report is about some media, signed by some keys; `shown` is what lies there."""
    fleet = fleet or RedactedFleet()
    about = {f"media/{CAMERA}/0": sha256_of(media)}
    payload = report_statement(about, sha256_of("boxes"), {"cameras": []}).to_payload()
    digest = hashlib.sha256(payload).hexdigest()
    fleet.drive(name, spec=FILMING)
    fleet.put(REPORT, name, [{"camera": CAMERA, "status": "redacted", "report_sha256": digest}])
    fleet.put(MEDIA, name, [{"camera": CAMERA, "part": 0, "sha256": sha256_of(shown)}])
    report = [{"drive_id": name, "day": PARTITION[0], "depot": PARTITION[1], "report_sha256": digest}]
    for key in keys:
        (row,) = wanted_signatures(report, (), lambda _: payload, signer(key).signer(), SIGNED_AT_NS)
        unit = signature_unit(digest, row["key_id"])
        fleet.lake.put(SIGNATURES, PARTITION, unit, [{**row, "signed_ns": SIGNED_AT_NS}], MADE)
    return fleet


SIGNED: dict[str, tuple[Callable[[], GateFleet], Outcome]] = {
    "nothing": (RedactedFleet, PASS),
    "signed": (lambda: vouched("own"), PASS),
    "signed by another key as well": (lambda: vouched("own", "foreign"), PASS),
    "not signed": (vouched, INCONCLUSIVE),
    "signed by another key alone": (lambda: vouched("foreign"), INCONCLUSIVE),
    "about other media": (lambda: vouched("own", shown="other"), FAIL),
    "one signed, one not": (lambda: vouched(media="b", shown="b", fleet=vouched("own"), name="e"), INCONCLUSIVE),
    "one not signed, one about other media": (lambda: vouched("own", shown="x", fleet=vouched(), name="e"), FAIL),
}


def told(verdict: Verdict) -> Any:
    return verdict.outcome.value, dict(verdict.figures), verdict.missing


@pytest.mark.parametrize(
    ("judge", "name"), [*(("judge_frames", name) for name in FRAMES), *(("judge_signatures", name) for name in SIGNED)]
)
def test_the_gate_says(judge: str, name: str) -> None:
    fleet, outcome = (FRAMES if judge == "judge_frames" else SIGNED)[name]
    verdict = getattr(gates, judge)(fleet(), PARTITION)
    assert verdict.outcome is outcome, verdict
    assert bool(verdict.missing) is (outcome is INCONCLUSIVE)


def answers(module: Any) -> list[Any]:
    said: list[Any] = []
    for judge, scenarios in (("judge_frames", FRAMES), ("judge_signatures", SIGNED)):
        for fleet, _ in scenarios.values():
            try:
                said.append(told(getattr(module, judge)(fleet(), PARTITION)))
            except Exception as error:  # noqa: BLE001 - a mutant may crash in any way
                said.append(repr(error))
    return said


def test_every_comparison_is_held_by_a_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers(gates)
    assert not [said for said in expected if isinstance(said, str)]
    found = list(mutants(inspect.getsource(gates), ("judge_frames", "_facts", "_cameras", "judge_signatures")))
    assert len(found) >= 4
    assert [mutant.place for mutant in found if answers(built(mutant.tree, gates)) == expected] == []
    judging = list(mutants(inspect.getsource(signatures), ("signature_problems",)))
    survivors = []
    for mutant in judging:
        monkeypatch.setattr(gates, "signature_problems", built(mutant.tree, signatures).signature_problems)
        survivors += [mutant.place] if answers(gates) == expected else []
    # No fleet is without a key: what a report without signatures and a verifier gives is in a test of its own.
    assert [place for place in survivors if "verifier" not in place] == []


# -- how often they err ------------------------------------------------------------------------------------------------

TRIED = 300
FAULTS: dict[str, tuple[dict[str, Any], Outcome]] = {
    "none": ({}, PASS),
    "fewer": ({"written": -1}, FAIL),
    "more": ({"written": 1}, FAIL),
    "unread": ({"recorded": 1}, FAIL),
    "unreported": ({"status": None, "written": None}, FAIL),
    "waiting": ({"waiting": True}, INCONCLUSIVE),
}


def drawn(seed: int) -> tuple[RedactedFleet, set[Outcome]]:
    """A partition of one to four drives of random length, each with a random fault or none, and what it should give."""
    rng = np.random.default_rng(seed)
    fleet, wanted = RedactedFleet(), set()
    for number in range(int(rng.integers(1, 5))):
        pictures = int(rng.integers(2, 60))
        left_out = int(rng.integers(0, 2))
        fault, outcome = FAULTS[str(rng.choice([*["none"] * 12, *FAULTS]))]
        amount = int(rng.integers(1, pictures - left_out + 1))
        written = fault.get("written", 0)
        filmed(
            pictures + amount * fault.get("recorded", 0),
            pictures,
            left_out,
            None if written is None else pictures - left_out + amount * written,
            status=fault.get("status", "redacted"),
            waiting=fault.get("waiting", False),
            fleet=fleet,
            name=f"d{number}",
        )
        wanted.add(outcome)
    return fleet, wanted


def decided(wanted: set[Outcome]) -> Outcome:
    return next(one for one in (FAIL, INCONCLUSIVE, PASS) if one in wanted)


def test_no_sound_partition_is_held_and_no_lost_picture_let_through() -> None:
    """300 random partitions: an error rate above 1 % would show itself with 95 % confidence."""
    wrong = 0
    for seed in range(10_000, 10_000 + TRIED):
        fleet, wanted = drawn(seed)
        wrong += gates.judge_frames(fleet, PARTITION).outcome is not decided(wanted)  # type: ignore[arg-type]
    assert wrong == 0
    assert clopper_pearson(0, TRIED, 0.95, side="upper").high < 0.01


def test_no_honest_signature_is_refused_and_no_other_media_vouched_for() -> None:
    kinds: dict[str, tuple[tuple[str, ...], bool, Outcome]] = {
        "signed": (("own",), False, PASS),
        "both": (("foreign", "own"), False, PASS),
        "unsigned": ((), False, INCONCLUSIVE),
        "foreign": (("foreign",), False, INCONCLUSIVE),
        "swapped": (("own",), True, FAIL),
    }
    wrong = 0
    for seed in range(10_000, 10_000 + TRIED):
        rng = np.random.default_rng(seed)
        fleet, wanted = RedactedFleet(), set()
        for number in range(int(rng.integers(1, 4))):
            keys, is_swapped, outcome = kinds[str(rng.choice([*["signed"] * 4, *kinds]))]
            media = f"{seed}/{number}"
            vouched(*keys, media=media, shown=f"{media}/x" if is_swapped else media, fleet=fleet, name=f"d{number}")
            wanted.add(outcome)
        wrong += gates.judge_signatures(fleet, PARTITION).outcome is not decided(wanted)  # type: ignore[arg-type]
    assert wrong == 0
