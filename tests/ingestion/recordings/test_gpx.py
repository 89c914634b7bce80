"""GPX tracks: every track point becomes a message or a counted loss; documents cannot harm the reader."""

import re
import xml.etree.ElementTree as ET
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gpxpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.open import sniff_format
from fleet_assets.ingestion.recordings.protocol import Batch, UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.gpx import GpxRecording, is_gpx
from tests.ingestion.recordings.corruption import (
    FAST_SEEDS,
    SLOW_SEEDS,
    assert_survives,
    corrupted,
    read_limited,
)

START = datetime(2015, 1, 1, 11, 35, 2, tzinfo=UTC)
START_NS = int(START.timestamp()) * 10**9
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<gpx version="1.1" creator="test" '
    'xmlns="http://www.topografix.com/GPX/1/1" xmlns:x="http://example.com/x">\n'
    "<metadata><time>1999-01-01T00:00:00Z</time></metadata>\n"
    '<wpt lat="1" lon="2"><time>1998-01-01T00:00:00Z</time></wpt>\n'
    '<rte><rtept lat="3" lon="4"><time>1997-01-01T00:00:00Z</time></rtept></rte>\n<trk><trkseg>\n'
)
TAIL = "</trkseg></trk>\n</gpx>\n"


def point(row: int) -> str:
    time = (START + timedelta(seconds=row)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'<trkpt lat="{48 + row / 1000:.6f}" lon="{11 - row / 1000:.6f}"><ele>{500 + row / 8}</ele>'
        f"<time>{time}</time><sat>7</sat><extensions><x:speed>{row / 2}</x:speed></extensions></trkpt>\n"
    )


def document(rows: int) -> bytes:
    return (HEAD + "".join(map(point, range(rows))) + TAIL).encode()


def opened(folder: Path, content: bytes) -> GpxRecording:
    (folder / "track.gpx").write_bytes(content)
    return GpxRecording({"track.gpx": folder / "track.gpx"})


def times(batches: list[Batch]) -> list[int]:
    return [int(value) for batch in batches for value in batch.t_ns]


def column(batches: list[Batch], name: str) -> list[float]:
    return [float(value) for batch in batches for value in batch.columns[name]]


def lost(recording: GpxRecording) -> dict[str, int | None]:
    return {loss.rule: loss.messages for loss in recording.summary().losses}


def test_points_are_those_of_gpxpy_and_only_the_driven_ones(tmp_path: Path) -> None:
    content = document(1500)
    recording = opened(tmp_path, content)
    batches = list(recording.batches())
    oracle = [point for point, *_ in gpxpy.parse(content.decode()).walk()]
    assert column(batches, "lat") == [point.latitude for point in oracle]
    assert column(batches, "lon") == [point.longitude for point in oracle]
    assert column(batches, "ele") == [point.elevation for point in oracle]
    assert times(batches) == [int(point.time.timestamp()) * 10**9 for point in oracle if point.time]
    assert column(batches, "speed") == [row / 2 for row in range(1500)]
    assert recording.channels()[0].fields == ("lat", "lon", "ele", "sat", "speed")
    assert recording.extent_ns() == (START_NS, START_NS + 1499 * 10**9)
    assert recording.summary().losses == ()


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("2015-01-01T11:35:02.25Z", START_NS + 250_000_000),
        ("2015-01-01T12:35:02+01:00", START_NS),
        ("2015-01-01T11:35:02", START_NS),
        (" 2015-01-01T11:35:02Z\n", START_NS),
    ],
)
def test_times_without_an_offset_are_utc(tmp_path: Path, cell: str, wanted: int) -> None:
    content = f'<gpx version="1.0"><trk><trkseg><trkpt lat="1" lon="2"><time>{cell}</time></trkpt></trkseg></trk></gpx>'
    assert times(list(opened(tmp_path, content.encode()).batches())) == [wanted]


def test_prefixes_and_other_encodings_are_read(tmp_path: Path) -> None:
    prefixed = re.sub(
        r"<(/?)(gpx|trk|trkseg|trkpt|time|ele|sat|extensions)\b", r"<\1g:\2", document(5).decode()
    ).replace("xmlns=", "xmlns:g=")
    assert len(times(list(opened(tmp_path, prefixed.encode()).batches()))) == 5
    wide = document(5).decode().replace("UTF-8", "UTF-16").encode("utf-16")
    assert is_gpx(wide)
    assert len(times(list(opened(tmp_path, wide).batches()))) == 5


def test_several_tracks_and_segments_are_one_channel_in_the_files_order(tmp_path: Path) -> None:
    content = document(6).replace(point(3).encode(), b"</trkseg></trk><trk><trkseg>" + point(3).encode())
    assert len(times(list(opened(tmp_path, content).batches()))) == 6


def test_points_without_time_or_place_are_lost_with_a_count(tmp_path: Path) -> None:
    content = document(20).decode()
    content = content.replace("<time>2015-01-01T11:35:05Z</time>", "").replace("T11:35:06Z", "T99:35:06Z")
    content = content.replace('lat="48.010000"', 'lat="north"').replace('lon="10.989000"', "")
    recording = opened(tmp_path, content.encode())
    assert len(times(list(recording.batches()))) == 16
    assert lost(recording) == {"invalid_time": 2, "invalid_number": 2}


def test_a_field_that_begins_late_is_said(tmp_path: Path) -> None:
    later = point(9000).replace("<sat>", "<hdop>1</hdop><sat>")
    recording = opened(tmp_path, document(9000).replace(TAIL.encode(), (later + TAIL).encode()))
    assert len(times(list(recording.batches()))) == 9001
    assert lost(recording) == {"late_field": 0}
    assert "hdop" in recording.summary().losses[0].reason


def test_a_truncated_track_gives_its_points_and_says_what_is_missing(tmp_path: Path) -> None:
    content = document(100)
    cut = content.rindex(b"<time>") + 9
    recording = opened(tmp_path, content[:cut])
    assert len(times(list(recording.batches()))) == 99
    assert [(loss.rule, loss.messages, loss.lost_bytes) for loss in recording.summary().losses] == [
        ("truncated_file", 1, cut - content.rindex(b"<trkpt"))
    ]


@pytest.mark.parametrize(
    ("damage", "cost"),
    [
        (lambda text: text.replace('lat="48.050000"', 'lat="48.05<000"'), 1),
        (lambda text: text.replace("<time>2015-01-01T11:35:52Z</time>", "<time>2015-01-01T11:35:52Z</tome>"), 1),
        (lambda text: text.replace("<ele>506.25</ele>", "<ele>&boom;</ele>"), 1),
        (lambda text: text.replace("<ele>506.25</ele>", "<ele>\x00\x01</ele>"), 1),
        (lambda text: text.replace(point(50), point(50)[1:]), 1),
        (lambda text: text.replace(point(50), "\x00" * len(point(50))), 0),
        (lambda text: text.replace(point(50), point(50) + "<a>" * 5000), 0),
        (lambda text: text.replace(point(50), point(50).replace("</trkpt>", "")), 1),
    ],
)
def test_reading_goes_on_at_the_next_point_after_damage(tmp_path: Path, damage, cost: int) -> None:  # type: ignore[no-untyped-def]
    recording = opened(tmp_path, damage(document(100).decode()).encode())
    found = set(times(list(recording.batches())))
    assert {START_NS + row * 10**9 for row in range(100) if row != 50} <= found
    losses = recording.summary().losses
    assert losses
    assert sum(loss.messages or 0 for loss in losses) == cost
    assert len(found) + cost == 100 or not cost


@pytest.mark.parametrize(
    ("head", "what"),
    [
        ('<!DOCTYPE gpx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>', "entities"),
        ('<!DOCTYPE gpx SYSTEM "http://example.com/gpx.dtd">', "document type"),
        ('<!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/hostname">]>', "document type"),
    ],
)
def test_documents_that_could_define_entities_are_refused(tmp_path: Path, head: str, what: str) -> None:
    content = document(3).replace(b"<gpx", head.encode() + b"<gpx", 1)
    with pytest.raises(UnreadableRecordingError, match=what) as caught:
        opened(tmp_path, content)
    assert caught.value.rule == "document_type"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (document(0), "no_messages"),
        (b"<gpx>", "no_messages"),
        (b'<gpx><trk><trkseg><trkpt lat="1" lon="2"/></trkseg></trk></gpx>', "no_time"),
        (b"<gpx" + b" a" * 4_000_000, "no_messages"),
    ],
)
def test_what_holds_no_timed_point_is_refused_by_name(tmp_path: Path, content: bytes, rule: str) -> None:
    with pytest.raises(UnreadableRecordingError) as caught:
        opened(tmp_path, content)
    assert caught.value.rule == rule
    assert caught.value.remedy


def test_a_track_is_told_from_its_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(document(3))
    assert sniff_format({"x": tmp_path / "x"}) == "gpx"
    assert not is_gpx(b"<html></html>")


@given(
    st.lists(
        st.tuples(
            st.floats(-90, 90), st.floats(-180, 180), st.integers(0, 4 * 10**9), st.none() | st.floats(-500, 9000)
        ),
        min_size=1,
        max_size=20,
    )
)
def test_whatever_gpxpy_writes_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float, int, float | None]]
) -> None:
    track = gpxpy.gpx.GPXTrackSegment()
    for lat, lon, seconds, ele in rows:
        time = datetime.fromtimestamp(seconds, UTC)
        track.points.append(gpxpy.gpx.GPXTrackPoint(lat, lon, elevation=ele, time=time))
    document = gpxpy.gpx.GPX()
    document.tracks.append(gpxpy.gpx.GPXTrack())
    document.tracks[0].segments.append(track)
    content = document.to_xml()
    read = [point for point, *_ in gpxpy.parse(content).walk()]
    batches = list(opened(tmp_path_factory.mktemp("gpx"), content.encode()).batches())
    assert sorted(times(batches)) == sorted(int(point.time.timestamp()) * 10**9 for point in read if point.time)
    assert sorted(column(batches, "lat")) == sorted(point.latitude for point in read)
    if any(point.elevation is not None for point in read):
        wanted = [np.nan if point.elevation is None else point.elevation for point in read]
        assert np.array_equal(np.sort(column(batches, "ele")), np.sort(wanted), equal_nan=True)


def survives(seed: int) -> None:
    content = document(400)
    _, damaged = corrupted(content, seed)
    whole = {line for line in content.splitlines() if line.startswith(b"<trkpt")}
    with suppress(ET.ParseError):
        # What is still well-formed lost its points without a trace: all that it holds must be read or counted.
        held = sum(element.tag.endswith("}trkpt") for element in ET.fromstring(damaged).iter())  # noqa: S314 - ours
        outcome = read_limited({"track.gpx": damaged}, ("gpx",))
        assert outcome.state == "refused" or outcome.total + (outcome.lost or 0) == held, (seed, outcome)
        return
    outcome = assert_survives(content, seed, name="track.gpx", formats=("gpx",), intact=400)
    if outcome.state == "read":
        intact = sum(line in whole for line in damaged.splitlines())
        # Damage may swallow the point beside it, never more.
        assert outcome.total >= intact - 2 * (400 - min(intact, 400)) - 2, (seed, outcome)


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_a_damaged_track_is_read_or_refused(seed: int) -> None:
    survives(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_a_track_damaged_otherwise_is_read_or_refused(seed: int) -> None:
    survives(seed)
