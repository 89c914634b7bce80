"""kill -9 while telemetry is received and collected costs time, never a message, and never counts one twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.fleets import assert_at_rest
from tests.end_to_end.killed_ingest import TELEMETRY, land_batches
from tests.end_to_end.test_kill import PATIENCE_S, kill_at, start
from tests.harness import TestFleet
from tests.telemetry import HOUR_NS, T0_NS, jsonl, message

BATCHES = (
    [message(f"m{i}", T0_NS + i % 2 * HOUR_NS) for i in range(6)],
    [message("m1", T0_NS, payload={"level": 5}), message("m0"), b"broken"],
    [message("new", schema="nothing/1.0.0"), message("old", 0)],
)
MOMENTS = [
    *[("write.middle", share) for share in (0.5, 1)],
    *[("stage.after", share) for share in (0, 0.3, 1)],
    *[("commit.before", share) for share in (0, 0.2, 1)],
    *[("commit.unpointed", share) for share in (0.2, 0.6)],
    *[("commit.after", share) for share in (0, 0.2, 0.4, 1)],
    *[("event.after", share) for share in (0.2, 0.5, 0.8)],
]
HELD = {"bronze/telemetry_quarantine:unknown_schema": "2024-05-01-08:00"}
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Undisturbed:
    """What a run that nothing happened to leaves behind, and how often it passed each moment."""

    batches: Path
    roots: Mapping[str, str]
    counts: object
    calls: Mapping[str, int]


def received(fleet: TestFleet) -> object:
    """What was received, each batch once."""
    return fleet.sql("select batch, lines, messages from bronze.telemetry_batches order by batch")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    batches = folder / "batches"
    batches.mkdir()
    for number, lines in enumerate(BATCHES):
        (batches / f"{number}.jsonl").write_bytes(jsonl(lines))
    process = start(folder / "home", batches, folder / "counter", spec=TELEMETRY)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert output.endswith("done\n"), output
    fleet = land_batches(folder / "home", batches)
    assert_at_rest(fleet, held=HELD)
    calls = {file.name: file.stat().st_size for file in (folder / "counter").iterdir()}
    return Undisturbed(batches, fleet.digests(), received(fleet), calls)


@pytest.mark.parametrize(("moment", "share"), MOMENTS)
def test_a_kill_leaves_no_trace_after_a_rerun(
    tmp_path: Path, undisturbed: Undisturbed, moment: str, share: float
) -> None:
    number = 1 + round(share * (undisturbed.calls[moment] - 1))
    kill_at(tmp_path / "home", undisturbed.batches, tmp_path / "counter", moment, number, spec=TELEMETRY)
    fleet = land_batches(tmp_path / "home", undisturbed.batches)
    fleet.turn()
    assert fleet.digests() == undisturbed.roots
    assert received(fleet) == undisturbed.counts
    assert_at_rest(fleet, held=HELD)
