"""What redaction covers and what it leaves alone: real pictures through the whole path, simulated ones against truth.

`python -m benchmarks.redaction_study FOLDER [--drives 40] [--first-seed 10000] [--workers 2] [--only real|simulated]`
keeps one line per piece of work in FOLDER, so that it can be cut short and continued (delete the ledger, or change the
policy, to begin anew); `--write` renews `docs/redaction_study.md` from all that is there. With `--only` it renews that
part alone; the other one stays as it is, as long as the policies that it was made under are in force. Seeds below
10,000 are for tuning; of the photos, every second block of ten was looked at when the policy was set (see the page).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ROOT
from benchmarks.redaction_page import REAL, SIMULATED, page, part, parts_of
from benchmarks.redaction_real import SOURCES, study_source
from benchmarks.redaction_simulated import study_drive
from benchmarks.resumable import done_lines, run
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import AUDIT, POLICY
from fleet_assets.policy.documents import digest_of, load_policies

PAGE: Final = ROOT / "docs" / "redaction_study.md"
_DIGITS: Final = 8
_SIMULATED_BY: Final[Mapping[str, tuple[str, ...]]] = {"redaction": (), "media": (), "weights": ()}
_DECIDING: Final = {REAL: {**_SIMULATED_BY, POLICY: AUDIT.policy[POLICY]}, SIMULATED: _SIMULATED_BY}
"""Policies that decide about results, and the keys of them; all where none are named."""


def policy_key(kind: str) -> str:
    """What results of a kind stand for: the parts of policies that decide."""
    policies = load_policies()
    return digest_of({name: policies.digest(name, *keys) for name, keys in _DECIDING[kind].items()})[:_DIGITS]


def study(key: str) -> dict[str, Any]:
    """One piece of work: a real recording, or a simulated drive."""
    kind, what, _ = key.split(" ")
    return study_source(what) if kind == REAL else study_drive(int(what))


def chosen(done: Mapping[str, Any], kind: str, policy: str) -> list[dict[str, Any]]:
    """Results of one kind under the policy in force."""
    return [row for key, row in sorted(done.items()) if key.startswith(f"{kind} ") and key.endswith(f" {policy}")]


def parts(done: Mapping[str, Any], only: str | None, before: str) -> dict[str, tuple[str, str]]:
    """The parts of the page.

    Args:
        done: Lines of the ledger, by key.
        only: The part that is made anew; both when None.
        before: The page as it is.
    """
    kept = parts_of(before)
    made = {}
    for kind in (REAL, SIMULATED):
        key = policy_key(kind)
        holds = only not in {None, kind} and kind in kept and kept[kind][0] == key
        made[kind] = kept[kind] if holds else (key, part(kind, chosen(done, kind, key)))
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--drives", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=(REAL, SIMULATED))
    parser.add_argument("--write", action="store_true", help=f"renew {PAGE.relative_to(ROOT)}")
    given = parser.parse_args(arguments)
    ledger = given.folder / "redaction_study.jsonl"
    keys = {
        REAL: [f"{REAL} {name} {policy_key(REAL)}" for name in SOURCES],
        SIMULATED: [f"{SIMULATED} {given.first_seed + n} {policy_key(SIMULATED)}" for n in range(given.drives)],
    }
    if not given.write:
        for kind in keys if given.only is None else (given.only,):
            # What is ingested is worked on by processes of the platform's own, and a worker may have none.
            run(ledger, study, keys[kind], 1 if kind == REAL else given.workers)
    done = done_lines(ledger)
    text = page(load_policies()["redaction"], parts(done, given.only, PAGE.read_text(encoding="utf-8")))
    print(text)
    results = {kind: chosen(done, kind, policy_key(kind)) for kind in (REAL, SIMULATED)}
    (given.folder / "redaction_study.json").write_text(json.dumps(results))
    if given.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
