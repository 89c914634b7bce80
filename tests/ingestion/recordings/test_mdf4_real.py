"""The MDF 4 reader on the logs of real vehicles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_assets.ingestion.recordings.mdf4.reader import Mdf4Recording
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from tests.ingestion.recordings.mdf4_oracle import assert_same_frames, frames_of, lost, oracle, put

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "css_canedge_mf4" / "sample"
TRIP = SAMPLE / "3BA199E2_trip164_morning"


def real(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs the real logs."""
    absent = pytest.mark.skipif(not TRIP.is_dir(), reason="the CSS Electronics logs are not in ../shared/data")
    marked: Callable[..., None] = pytest.mark.real_data(absent(test))
    return marked


@real
def test_trip_164_is_292097_frames_over_2389_s_in_any_order_of_its_files() -> None:
    paths = sorted(TRIP.iterdir())
    expected = oracle(paths)
    for order in (paths, paths[::-1], [paths[index] for index in (2, 0, 4, 1, 3)]):
        recording = open_recording({f"{rank:064x}": path for rank, path in enumerate(order)})
        frames = frames_of(recording)
        assert len(frames["t_ns"]) == 292_097
        assert int((frames["t_ns"][-1] - frames["t_ns"][0]) / NS_PER_S) == 2389
        assert_same_frames(frames, expected)
        assert recording.summary().losses == ()
        assert recording.container_start_ns == 1_627_274_454 * NS_PER_S


@real
@pytest.mark.parametrize("name", ["j1939_truck_00000001.MF4", "nissan_leaf_uds_00000170.MF4"])
def test_other_loggers_files_give_the_frames_that_asammdf_reads(name: str) -> None:
    assert_same_frames(frames_of(Mdf4Recording({name: SAMPLE / name})), oracle([SAMPLE / name]))


@real
@pytest.mark.parametrize("keep", [0.7, 0.9, 0.99])
def test_of_a_truncated_log_messages_read_and_lost_add_up(tmp_path: Path, keep: float) -> None:
    content = sorted(TRIP.iterdir())[4].read_bytes()
    recording = Mdf4Recording(put(tmp_path / "cut", content[: round(len(content) * keep)]))
    count = sum(len(batch) for batch in recording.batches())
    assert count + lost(recording) == 5477
    assert lost(recording)
