"""Folders of still pictures: their order, their times, and what is left out. Pillow writes the EXIF independently."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fleet_assets.ingestion.recordings.discovery.discover import Admission, discover
from fleet_assets.ingestion.recordings.images.stills import ImagesRecording
from fleet_assets.ingestion.recordings.open import open_recording, sniff_format
from fleet_assets.ingestion.recordings.protocol import Files, UnreadableRecordingError
from fleet_assets.policy.table_layouts import parse_table_layout, table_problems

EXIF_IFD, TAKEN, OFFSET, SUBSECOND = 0x8769, 0x9003, 0x9011, 0x9291
PHOTOS = Admission("photos", ("images",))
NS = 1_000_000_000


def still(  # noqa: PLR0917 - what a camera writes
    path: Path, taken: str = "", offset: str = "", subsecond: str = "", size: tuple[int, int] = (16, 12), grey: int = 9
) -> Path:
    exif = Image.Exif()
    entries = {TAKEN: taken, OFFSET: offset, SUBSECOND: subsecond}
    exif[EXIF_IFD] = {tag: value for tag, value in entries.items() if value}
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey, 40, 80)).save(path, exif=exif)
    return path


def files_in(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir())}


def read(files: Files) -> tuple[ImagesRecording, list[int]]:
    recording = open_recording(files, ("images",))
    assert isinstance(recording, ImagesRecording)
    return recording, [t_ns for batch in recording.batches() for t_ns in batch.t_ns.tolist()]


def test_pictures_without_times_follow_each_other_by_the_numbers_in_their_names(tmp_path: Path) -> None:
    for number in (10, 2, 1, 33):
        still(tmp_path / f"img{number}.png", size=(number, 5))
    recording, times = read(files_in(tmp_path))
    assert times == [0, NS, 2 * NS, 3 * NS]
    widths = [width for batch in recording.batches() for width in batch.columns["width"].tolist()]
    assert widths == [1, 2, 10, 33]
    assert (recording.clock, recording.container_start_ns) == ("monotonic", None)
    assert recording.summary().channels["images/0"].messages == 4


def test_the_interval_of_the_spec_is_kept_between_pictures_without_times(tmp_path: Path) -> None:
    for number in range(3):
        still(tmp_path / f"{number}.png", grey=number * 60)
    layout = parse_table_layout(None, {"interval_s": 0.25})
    recording = open_recording(files_in(tmp_path), ("images",), layout)
    assert [t_ns for batch in recording.batches() for t_ns in batch.t_ns.tolist()] == [0, NS // 4, NS // 2]


def test_an_interval_belongs_to_pictures_alone() -> None:
    layout = parse_table_layout(None, {"interval_s": 2})
    assert table_problems(("images",), layout) == []
    assert table_problems(("mcap",), layout) == ["stills: only format images has an interval. Remove it"]
    (problem,) = table_problems(("images", "csv"), layout)
    assert "format csv needs it" in problem


def test_exact_times_with_an_offset_are_utc_and_decide_the_order(tmp_path: Path) -> None:
    still(tmp_path / "b.jpg", "2024:05:01 10:00:00", "+02:00", "25")
    still(tmp_path / "a.jpg", "2024:05:01 10:00:00", "+02:00", "750")
    still(tmp_path / "c.jpg", "2024:05:01 07:59:59", "+00:00", "5")
    recording, times = read(files_in(tmp_path))
    eight = int(datetime(2024, 5, 1, 10, tzinfo=timezone(timedelta(hours=2))).timestamp()) * NS
    assert times == [eight - NS // 2, eight + NS // 4, eight + 3 * NS // 4]
    assert (recording.clock, recording.container_start_ns) == ("utc", times[0])


def test_times_without_an_offset_are_the_cameras_own_and_not_called_utc(tmp_path: Path) -> None:
    still(tmp_path / "a.jpg", "2024:05:01 10:00:00")
    recording, times = read(files_in(tmp_path))
    assert times == [int(datetime(2024, 5, 1, 10, tzinfo=UTC).timestamp()) * NS]
    assert (recording.clock, recording.container_start_ns) == ("monotonic", times[0])


def test_a_burst_within_a_second_is_spread_over_it_in_the_order_of_names(tmp_path: Path) -> None:
    for number in range(4):
        still(tmp_path / f"{number}.jpg", "2024:05:01 10:00:00", size=(number + 1, 5))
    _, times = read(files_in(tmp_path))
    assert np.diff(times).tolist() == [NS // 4] * 3


def test_one_picture_without_a_time_makes_names_decide_and_is_stated(tmp_path: Path) -> None:
    still(tmp_path / "1.jpg", "2024:05:01 10:00:05")
    still(tmp_path / "2.jpg")
    still(tmp_path / "3.jpg", "2024:05:01 10:00:00")
    recording, times = read(files_in(tmp_path))
    assert times == [0, NS, 2 * NS]
    (loss,) = recording.summary().losses
    assert (loss.rule, loss.path, loss.messages) == ("no_time", "2.jpg", 0)


@pytest.mark.parametrize(
    ("taken", "offset"),
    [
        ("2024:13:01 10:00:00", ""), ("2024:05:01 25:00:00", ""), ("0000:00:00 00:00:00", ""), ("yesterday", ""),
        ("    :  :     :  :  ", ""), ("2024:05:01 10:00:00", "+99:00"), ("2024-05-01T10:00:00", ""),
    ],
)  # fmt: skip
def test_a_time_that_can_be_none_is_as_good_as_none(taken: str, offset: str, tmp_path: Path) -> None:
    still(tmp_path / "a.jpg", taken, offset)
    recording, times = read(files_in(tmp_path))
    assert times == [0]
    assert recording.container_start_ns is None


def test_the_files_come_whole_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    for number in range(3):
        still(tmp_path / f"{number}.jpg", grey=number)
    (tmp_path / "1.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00")
    (tmp_path / "notes.txt").write_text("no picture")
    recording, times = read(files_in(tmp_path))
    found = [(one.t_ns, bytes(one.data)) for one in recording.payloads({"images/0"})]
    assert found == [(0, (tmp_path / "0.jpg").read_bytes()), (NS, (tmp_path / "2.jpg").read_bytes())]
    assert list(recording.payloads({"images/1"})) == []
    (loss,) = recording.summary().losses
    assert (loss.path, loss.rule, loss.messages) == ("1.jpg", "broken_picture", 1)
    assert len(times) == 2


@pytest.mark.parametrize("seed", range(40))
def test_damaged_heads_give_pictures_or_losses_and_never_anything_else(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    for number in range(4):
        path = still(tmp_path / f"{number}.{'jpg' if number % 2 else 'png'}", "2024:05:01 10:00:00", "+02:00")
        content = bytearray(path.read_bytes())
        for place in random.integers(4, min(200, len(content)), 6):
            content[place] = int(random.integers(0, 256))
        path.write_bytes(content)
    try:
        recording, times = read(files_in(tmp_path))
    except UnreadableRecordingError:
        return
    broken = [loss for loss in recording.summary().losses if loss.rule == "broken_picture"]
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
    unknown = [path for path in tmp_path.iterdir() if not path.read_bytes().startswith(starts)]
    assert len(times) + len(broken) + len(unknown) == 4


def test_pictures_only_that_are_all_damaged_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 picture")
    with pytest.raises(UnreadableRecordingError, match="broken_picture"):
        read(files_in(tmp_path))


def test_a_folder_of_pictures_is_one_recording_for_a_spec_that_reads_them_and_none_otherwise(tmp_path: Path) -> None:
    for number in range(3):
        still(tmp_path / "trip" / f"{number}.jpg", grey=number * 60)
    still(tmp_path / "other" / "a.png", grey=77)
    founds, ignored = discover(tmp_path, PHOTOS)
    assert [(found.format, sorted(found.files)) for found in founds] == [
        ("images", ["a.png"]),
        ("images", ["0.jpg", "1.jpg", "2.jpg"]),
    ]
    assert ignored == []
    nothing, (jpeg, png) = sorted_reasons(tmp_path)
    assert nothing == []
    assert (jpeg, png) == ("no recording of a known format (JPEG image)", "no recording of a known format (PNG image)")


def sorted_reasons(folder: Path) -> tuple[list[object], list[str]]:
    founds, ignored = discover(folder)
    return list(founds), sorted(item.reason for item in ignored)


def test_a_preview_beside_another_recording_does_not_make_it_a_mixture(tmp_path: Path) -> None:
    still(tmp_path / "preview.png")
    log = tmp_path / "a.log"
    log.write_text("".join(f"({second}.000000) can0 1A0#0102030405060708\n" for second in range(20)))
    assert sniff_format(files_in(tmp_path)) == "candump"


@pytest.mark.real_data
def test_the_road_sign_photos_are_one_drive_in_the_order_in_which_they_were_taken(real_data: Path) -> None:
    (found,), _ = discover(real_data / "road_sign_detection_cc0" / "sample" / "images", PHOTOS)
    recording, times = read(found.files)
    assert len(times) == 483
    first = next(iter(recording.payloads({"images/0"})))
    assert bytes(first.data) == found.files["road157.jpg"].read_bytes()
