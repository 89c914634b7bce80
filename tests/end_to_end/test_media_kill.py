"""kill -9 inside redaction, audit, keyframes and sweeps: a re-run ends in the same `fleet digest --objects`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet_assets.commands.identity import lake_digests
from tests import lidar_factory, photo_factory
from tests.end_to_end.fleets import assert_at_rest
from tests.end_to_end.killed_ingest import DRIVE_ID, MEDIA_MOMENTS
from tests.end_to_end.test_kill import PATIENCE_S, kill_at, start
from tests.harness import TestFleet, utc_ns

pytestmark = pytest.mark.slow
START_NS = utc_ns("2024-05-01T08:00:00")
PHOTOS, LIDAR = photo_factory.SPEC, lidar_factory.SPEC
KILLS = [
    (PHOTOS, "picture.redacted", 0.5),
    (PHOTOS, "media.stored", 0.0),
    (PHOTOS, "media.stored", 1.0),
    (PHOTOS, "picture.audited", 0.6),
    (PHOTOS, "media.released", 0.0),
    (PHOTOS, "keyframe.added", 0.5),
    (PHOTOS, "shard.stored", 0.0),
    (LIDAR, "sweep.added", 0.5),
]
"""Vehicle, moment, and which of its calls, as the share of all that an undisturbed run makes."""


@dataclass(frozen=True)
class Undisturbed:
    """What a run that nothing happened to leaves behind, and how often it passed each moment."""

    recording: Path
    digests: Mapping[str, str]
    calls: Mapping[str, int]


def recorded(folder: Path, spec: str) -> Path:
    if spec == LIDAR:
        lidar_factory.write_lidar_drive(folder, start_utc_ns=START_NS, seconds=1.5)
    else:
        photo_factory.write_photo_drive(folder, start_utc_ns=START_NS, pictures=12, step_ms=400)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Undisturbed]:
    """By vehicle; homes are gone for good, digests stay."""
    left = {}
    for spec in (PHOTOS, LIDAR):
        folder = tmp_path_factory.mktemp(spec)
        recording = recorded(folder / "recording", spec)
        process = start(folder / "home", recording, folder / "counter", spec=spec)
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert output.endswith("done\n"), output
        fleet = TestFleet(folder / "home", durable=True)
        assert_at_rest(fleet)
        calls = {file.name: file.stat().st_size for file in (folder / "counter").iterdir()}
        left[spec] = Undisturbed(recording, lake_digests(fleet.fleet, objects=True), calls)
    return left


def test_an_undisturbed_run_passes_every_moment(undisturbed: Mapping[str, Undisturbed]) -> None:
    passed = {(spec, moment) for spec, one in undisturbed.items() for moment in one.calls if moment in MEDIA_MOMENTS}
    assert {moment for _, moment in passed} == set(MEDIA_MOMENTS)
    assert {(spec, moment) for spec, moment, _ in KILLS} <= passed


@pytest.mark.parametrize(("spec", "moment", "share"), KILLS)
def test_a_kill_inside_the_work_on_media_leaves_no_trace_after_a_rerun(
    tmp_path: Path, undisturbed: Mapping[str, Undisturbed], spec: str, moment: str, share: float
) -> None:
    calm = undisturbed[spec]
    number = 1 + round(share * (calm.calls[moment] - 1))
    kill_at(tmp_path / "home", calm.recording, tmp_path / "counter", moment, number, spec=spec)
    fleet = TestFleet(tmp_path / "home", durable=True)
    fleet.upload(calm.recording, spec=spec, drive_id=DRIVE_ID)
    fleet.turn()
    assert lake_digests(fleet.fleet, objects=True) == calm.digests
    assert_at_rest(fleet)
