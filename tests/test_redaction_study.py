"""The page of the redaction study: a part is made anew, and the other stays as long as its policies are in force."""

from typing import Any

import pytest

from benchmarks import redaction_study
from benchmarks.redaction_page import REAL, SIMULATED, page, part, parts_of
from fleet_assets.policy.documents import load_policies

POLICY = load_policies()["redaction"]
KEYS = {REAL: "aaaa1111", SIMULATED: "bbbb2222"}


def recording(name: str, *confirmed: bool) -> dict[str, Any]:
    """Results of one recording of which the auditor asked so many questions."""
    hits = [
        {"frame": number, "detector": "cascade", "score": 1.0, "confirmed": yes, "why": f"why {number}",
         "crop_sha256": f"{number}" * 64}
        for number, yes in enumerate(confirmed)
    ]  # fmt: skip
    return {
        "name": name, "source_frames": 6, "frames": 6, "boxes": 2, "blurred_share": 0.25,
        "blurred_by_frame": {"3": 0.5}, "audited": {"looked_at": 5, "released": not any(confirmed)}, "hits": hits,
    }  # fmt: skip


def ledger(*rows: dict[str, Any]) -> dict[str, Any]:
    return {f"{REAL} {row['name']} {KEYS[REAL]}": row for row in rows}


BEFORE = page(
    POLICY,
    {
        REAL: (KEYS[REAL], part(REAL, [recording("stills")])),
        SIMULATED: (KEYS[SIMULATED], "## Simulated pictures\n\nSixty drives.\n\n| a |\n|---|\n| 1 |"),
    },
)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction_study, "policy_key", KEYS.__getitem__)


def test_a_page_gives_back_the_parts_that_it_was_made_of() -> None:
    assert page(POLICY, parts_of(BEFORE)) == BEFORE
    assert {kind: key for kind, (key, _) in parts_of(BEFORE).items()} == KEYS


def test_one_part_is_made_anew_and_the_other_stays_to_the_letter() -> None:
    made = redaction_study.parts(ledger(recording("dash_video", False)), REAL, BEFORE)
    assert made[SIMULATED] == parts_of(BEFORE)[SIMULATED]
    assert "dash video" in made[REAL][1]
    assert made[REAL] != parts_of(BEFORE)[REAL]
    assert redaction_study.parts({}, SIMULATED, BEFORE)[REAL] == parts_of(BEFORE)[REAL]


def test_a_part_of_other_policies_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction_study, "policy_key", {**KEYS, SIMULATED: "cccc3333"}.__getitem__)
    made = redaction_study.parts(ledger(recording("stills")), REAL, BEFORE)
    assert made[SIMULATED] == ("cccc3333", part(SIMULATED, []))
    assert "Not studied under these policies yet." in made[SIMULATED][1]


def test_a_renewal_of_all_takes_nothing_from_the_page_before() -> None:
    made = redaction_study.parts(ledger(recording("stills")), None, BEFORE)
    assert "Sixty drives" not in made[SIMULATED][1]


def test_results_under_other_policies_are_not_told() -> None:
    old = {f"{REAL} stills 99999999": recording("stills")}
    assert redaction_study.parts(old, REAL, BEFORE)[REAL][1] == part(REAL, [])


def test_every_hit_is_told_confirmed_ones_apart() -> None:
    text = part(REAL, [recording("stills", False, True, False)])
    assert "| highway stills | 5 | 3 | 1 | no |" in text
    confirmed, questions = text.split("Every hit that the second look did not confirm")
    assert ("why 1" in confirmed, "why 1" in questions) == (True, False)
    for number in (0, 2):
        assert f"| why {number} | `{str(number) * 12}` |" in questions
