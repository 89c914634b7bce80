"""Text tables: every row becomes a message or a counted loss, whatever the cells hold."""

import csv
import io
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.open import open_recording, sniff_format
from fleet_assets.ingestion.recordings.protocol import WINDOW_NS, UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables import text_lines
from fleet_assets.ingestion.recordings.tables.csv_table import CsvRecording, is_csv
from fleet_assets.ingestion.recordings.windows import MAX_BATCH_ROWS
from fleet_assets.policy.table_layouts import parse_table_layout
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, corrupted, read_limited
from tests.ingestion.recordings.text_tables import LAYOUT, START_US, TRIPS, column, lost, opened, table_text, times


def test_rows_are_those_of_the_csv_module_and_times_are_exact_to_the_microsecond(tmp_path: Path) -> None:
    content = table_text(2500)
    recording = opened(tmp_path, content)
    batches = list(recording.batches())
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert times(batches) == [int(row["t"]) * 1000 for row in rows]
    assert column(batches, "x") == [float(row["east"]) for row in rows]
    assert column(batches, "v") == [float(row["speed"]) for row in rows]
    assert recording.channels()[0].fields == ("x", "v")
    assert recording.extent_ns() == (START_US * 1000, (START_US + 2499 * 100_000) * 1000)
    assert recording.summary().losses == ()
    assert recording.clock == "utc"
    assert recording.container_start_ns == START_US * 1000


def test_overlapping_tables_are_woven_in_ten_second_windows_and_unwanted_channels_are_not_read(tmp_path: Path) -> None:
    contents = {"a.csv": table_text(1000), "b.csv": table_text(1000)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    recording = CsvRecording({name: tmp_path / name for name in contents}, parse_table_layout(LAYOUT))
    batches = list(recording.batches({"poses"}))
    assert len(batches) == 10
    assert all(batch.t_ns[-1] - batch.t_ns[0] < WINDOW_NS for batch in batches)
    assert times(batches) == sorted(2 * times(list(opened(tmp_path, table_text(1000)).batches())))
    assert list(recording.batches({"other"})) == []


def test_a_table_alone_comes_in_batches_of_bounded_size_however_little_time_its_rows_take(tmp_path: Path) -> None:
    rows = MAX_BATCH_ROWS + 5
    recording = opened(tmp_path, table_text(rows, step_us=0))
    sizes = [len(batch) for batch in recording.batches()]
    assert sum(sizes) == rows
    assert max(sizes) <= MAX_BATCH_ROWS


def test_all_columns_with_numbers_are_fields_when_none_are_stated(tmp_path: Path) -> None:
    layout = {"channel": "poses", "points": [{"time": {"column": ["time_us", "t"], "unit": "us"}}]}
    content = b"t,a,note,place,b\n1000,1,x,POINT(1 2),\n2000,2,7,POINT(3 4),5\n"
    batches = list(opened(tmp_path, content, layout).batches())
    assert column(batches, "a") == [1.0, 2.0]
    assert column(batches, "place.x") == [1.0, 3.0]
    assert column(batches, "place.y") == [2.0, 4.0]
    assert np.array_equal(column(batches, "b"), [np.nan, 5.0], equal_nan=True)
    assert "t" not in batches[0].columns


@pytest.mark.parametrize(
    "content",
    [
        b"t,east,speed\r\n1000000,1.5,2\r\n2000000,2.5,3\r\n",
        b"\xef\xbb\xbft,east,speed\n1000000,1.5,2\n2000000,2.5,3\n",
        b't;east;speed\n1000000;"1.5";2\n"2000000";2.5;"3"\n',
        b"t\teast\tspeed\tn\xf6te\n1000000\t1.5\t2\t\xfc\n\n2000000\t2.5\t3\t\n",
        b't|"east"|speed|note\n1000000| 1.5 |2|"a|b"\n2000000|2.5e0|+3|"say ""hi"""\n\r\n',
        b"\n\nt,east,speed\n1000000,1.5,2\n\n2000000,2.5,3",
    ],
)
def test_spellings_of_one_table_give_the_same_messages(tmp_path: Path, content: bytes) -> None:
    recording = opened(tmp_path, content)
    batches = list(recording.batches())
    assert is_csv(content)
    assert times(batches) == [1_000_000_000, 2_000_000_000]
    assert (column(batches, "x"), column(batches, "v")) == ([1.5, 2.5], [2.0, 3.0])
    assert {messages for messages, _ in lost(recording).values()} <= {0}


def test_a_last_line_without_an_end_is_read_and_said(tmp_path: Path) -> None:
    recording = opened(tmp_path, b"t,east,speed\n1,1,1\n2,2,2")
    assert len(times(list(recording.batches()))) == 2
    assert lost(recording) == {"unterminated_line": (0, 0)}


def test_bad_rows_are_counted_rule_by_rule_and_the_others_go_on(tmp_path: Path) -> None:
    bad = [
        b"1000000,1",  # too few
        b"1000000,1,2,3,4,5",  # too many
        b"soon,1,2,x",
        b",1,2,x",
        b"99999999999999999999,1,2,x",
        b"1000000,one,2,x",
        b"1000000,1_0,2,x",
        b"1000000,\x00\x00,2,x",
        b'1000000,"1,2,x',
        b"1000000,1,2\rx,y,z",
        b"\xff\xfe,1,2,x",
    ]
    good = table_text(3).split(b"\n")
    recording = opened(tmp_path, b"\n".join([good[0], good[1], *bad, good[2], good[3], b""]))
    assert len(times(list(recording.batches()))) == 3
    losses = lost(recording)
    assert sum(messages or 0 for messages, _ in losses.values()) == len(bad)
    assert sum(size for _, size in losses.values()) == sum(len(line) + 1 for line in bad)
    assert set(losses) == {"wrong_cell_count", "invalid_time", "invalid_number"}
    reason = next(loss.reason for loss in recording.summary().losses if loss.rule == "wrong_cell_count")
    assert "line 3: 2 cells, 4 expected" in reason


def test_an_empty_cell_is_no_number_and_no_loss(tmp_path: Path) -> None:
    recording = opened(tmp_path, b"t,east,speed\n1,,2\n2,nan,3\n")
    batches = list(recording.batches())
    assert np.isnan(column(batches, "x")).all()
    assert column(batches, "v") == [2.0, 3.0]
    assert recording.summary().losses == ()


def test_a_line_longer_than_any_row_is_one_lost_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "MAX_LINE_BYTES", 300)
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 128)
    lines = table_text(50).split(b"\n")
    lines.insert(20, b"7" * 5000)
    recording = opened(tmp_path, b"\n".join(lines))
    assert len(times(list(recording.batches()))) == 50
    assert lost(recording) == {"line_too_long": (1, 5001)}


def test_a_stray_quotation_mark_costs_one_row_and_not_the_rest_of_the_file(tmp_path: Path) -> None:
    lines = table_text(3000).split(b"\n")
    lines[100] = b'"' + lines[100]
    recording = opened(tmp_path, b"\n".join(lines))
    assert len(times(list(recording.batches()))) == 2999
    assert lost(recording) == {"wrong_cell_count": (1, len(lines[100]) + 1)}


def test_a_missing_column_is_named_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRecordingError, match=r"the columns t, north, speed, expected a column 'east'"):
        opened(tmp_path, b"t,north,speed\n1,2,3\n")
    with pytest.raises(UnreadableRecordingError, match=r"expected a column 't' with times"):
        opened(tmp_path, b"time,east,speed\n1,2,3\n")


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "no_rows"),
        (b"\n\n\n", "no_rows"),
        (b"t,east,speed\n", "no_messages"),
        (b"t,east,speed\nsoon,1,2\n", "no_messages"),
        (("t,east,speed\n1,2,3\n").encode("utf-16"), "wrong_encoding"),
        (",".join(map(str, range(9000))).encode() + b"\n", "too_many_columns"),
    ],
)
def test_what_holds_no_row_is_refused_by_name(tmp_path: Path, content: bytes, rule: str) -> None:
    with pytest.raises(UnreadableRecordingError) as caught:
        opened(tmp_path, content)
    assert caught.value.rule == rule
    assert caught.value.remedy


def test_a_table_without_a_layout_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(table_text(5))
    with pytest.raises(UnreadableRecordingError, match="State under `table`"):
        open_recording({"t.csv": tmp_path / "t.csv"})


def test_one_unreadable_file_of_a_drive_is_a_loss_and_the_others_are_joined_by_time(tmp_path: Path) -> None:
    first, second = table_text(20), table_text(20).replace(b"16281848", b"16281858")
    contents = {"b.csv": first, "a.csv": second, "c.csv": b"nothing,here\n1,2\n"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    recording = CsvRecording({name: tmp_path / name for name in contents}, parse_table_layout(LAYOUT))
    found = times(list(recording.batches()))
    assert found == sorted(found)
    assert len(found) == 40
    assert [(loss.path, loss.rule) for loss in recording.summary().losses] == [("c.csv", "missing_column")]


@pytest.mark.parametrize(
    ("unit", "cell", "t_ns"),
    [
        ("s", "1628184886.518266123", 1628184886518266123),
        ("s", "1628184886", 1628184886000000000),
        ("s", "1.628184886e9", 1628184886000000000),
        ("s", "1628184886.5182661239", 1628184886518266124),
        ("ms", "1628184886518.266", 1628184886518266000),
        ("us", "1628184886518266", 1628184886518266000),
        ("ns", "1628184886518266123", 1628184886518266123),
        ("ns", "-5", -5),
    ],
)
def test_numbers_of_every_unit_become_exact_nanoseconds(tmp_path: Path, unit: str, cell: str, t_ns: int) -> None:
    layout = {"channel": "c", "points": [{"time": {"column": "t", "unit": unit}}]}
    assert times(list(opened(tmp_path, f"t,a\n{cell},1\n".encode(), layout).batches())) == [t_ns]


@pytest.mark.parametrize(
    ("time", "cell", "utc"),
    [
        ({}, "2014-09-10 06:54:07+0200", "2014-09-10T04:54:07"),
        ({}, "2014-09-10T04:54:07.123456Z", "2014-09-10T04:54:07.123456"),
        ({}, "2014-09-10 06:54:07 +0200", "2014-09-10T04:54:07"),
        ({}, "2014-09-10T06:54:07", None),
        ({"zone": "Europe/Berlin"}, "2014-09-10 06:54:07", "2014-09-10T04:54:07"),
        ({"zone": "Europe/Berlin"}, "2014-09-10 06:54:07Z", "2014-09-10T06:54:07"),
        ({"zone": "Asia/Kathmandu"}, "2014-09-10 06:54:07.5", "2014-09-10T01:09:07.500000"),
        ({"format": "%d.%m.%Y %H:%M:%S", "zone": "Europe/Berlin"}, "10.09.2014 06:54:07", "2014-09-10T04:54:07"),
        ({"format": "%m/%d/%Y %I:%M %p %z"}, "09/10/2014 06:54 AM +0200", "2014-09-10T04:54:00"),
        ({"zone": "Europe/Berlin"}, "2014-03-30 02:30:00", "2014-03-30T01:30:00"),  # never was: offset of before
    ],
)
def test_texts_become_utc_and_those_without_an_offset_need_a_zone(
    tmp_path: Path, time: dict[str, str], cell: str, utc: str | None
) -> None:
    layout = {"channel": "c", "points": [{"time": {"column": "t", **time}}]}
    content = f"t,a\n{cell},1\n".encode()
    if utc is None:
        with pytest.raises(UnreadableRecordingError, match="invalid_time"):
            opened(tmp_path, content, layout)
        return
    wanted = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    exact = (wanted - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    assert times(list(opened(tmp_path, content, layout).batches())) == [exact]


def test_texts_of_both_kinds_in_one_column_and_nine_digits_are_read(tmp_path: Path) -> None:
    layout = {"channel": "c", "points": [{"time": {"column": "t", "zone": "UTC"}}]}
    content = b"t,a\n2014-09-10T04:54:07.123456789Z,1\n2014-09-10 04:54:08.000000001,2\nx,3\n"
    second = 1410324847 * 10**9
    recording = opened(tmp_path, content, layout)
    assert times(list(recording.batches())) == [second + 123456789, second + 10**9 + 1]
    assert lost(recording) == {"invalid_time": (1, 4)}


def test_the_hour_that_occurs_twice_goes_on_from_the_row_before(tmp_path: Path) -> None:
    layout = {"channel": "c", "points": [{"time": {"column": "t", "zone": "America/New_York"}}]}
    start = datetime(2013, 11, 3, 5, 0, tzinfo=UTC)  # 01:00 before the clocks go back at 06:00 UTC
    instants = [start + timedelta(minutes=10 * step) for step in range(-3, 15)]
    cells = [instant.astimezone(ZoneInfo("America/New_York")).strftime("%Y-%m-%d %H:%M:%S") for instant in instants]
    assert len(set(cells)) < len(cells)
    recording = opened(tmp_path, "\n".join(["t,a", *(f"{cell},1" for cell in cells), ""]).encode(), layout)
    assert times(list(recording.batches())) == [int(instant.timestamp()) * 10**9 for instant in instants]
    assert lost(recording) == {"ambiguous_time": (0, 0)}


def test_a_trip_over_the_repeated_hour_does_not_end_before_it_began(tmp_path: Path) -> None:
    recording = opened(tmp_path, b"2013-11-03 01:50:00,2013-11-03 01:20:00,40,41\n", TRIPS)
    pickup, dropoff = times(list(recording.batches()))
    assert dropoff - pickup == 30 * 60 * 10**9


def test_every_point_of_a_row_is_a_message_and_is_lost_by_itself(tmp_path: Path) -> None:
    content = b"2013-01-01 10:00:00,2013-01-01 10:10:00,40.5,40.6\n2013-01-01 11:00:00,never,40.7,40.8\n"
    recording = opened(tmp_path, content, TRIPS)
    batches = list(recording.batches())
    assert column(batches, "lat") == [40.5, 40.6, 40.7]
    assert {rule: messages for rule, (messages, _) in lost(recording).items()} == {"invalid_time": 1}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4 * 10**15),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(blacklist_characters="\r\n\x00", blacklist_categories=("Cs",)), max_size=20),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_whatever_the_csv_module_writes_on_one_line_per_row_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float, str]], delimiter: str, quoting: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerow(["t", "east", "speed", "note"])
    writer.writerows((t, x, 1, note) for t, x, note in rows)
    folder = tmp_path_factory.mktemp("csv")
    batches = list(opened(folder, text.getvalue().encode()).batches())
    assert sorted(zip(times(batches), column(batches, "x"), strict=True)) == sorted((t * 1000, x) for t, x, _ in rows)


@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail_otherwise_than_by_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    is_csv(content)
    lines = table_text(3) + content
    assert len(times(list(opened(folder, lines).batches()))) >= 3
    with suppress(UnreadableRecordingError):
        list(opened(folder, content).batches())


@pytest.mark.parametrize(
    ("content", "known"),
    [
        (table_text(3), True),
        (b"1,2,3", True),
        (b"a,b\nc,d\n", False),
        (b"Some words, and a number 7.\nOther words without\n", False),
        (b'{"a": 1,\n"b": 2}', False),
        (b"<a>1,2</a>\n<b>3,4</b>\n", False),
        (b"(1436509052.249713) can0 044#2A366C2BBA\n", False),
        (b"", False),
    ],
)
def test_tables_are_told_from_other_text(content: bytes, known: bool) -> None:  # noqa: FBT001 - a test's parameter
    assert is_csv(content) is known


def test_a_table_is_told_from_its_content(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(table_text(4))
    assert sniff_format({"x.bin": tmp_path / "x.bin"}) == "csv"


_GOOD_ROW = re.compile(rb"\s*-?\d{1,15}\s*,\s*-?\d*\.?\d*\s*,\s*-?\d*\.?\d*\s*,[^,]*")


def survives(seed: int) -> None:
    """Every line of the damaged file is a message or a counted loss.

    Lines that damage took away or glued together without a trace cannot be counted: no index says how many there were.
    """
    content = table_text(400)
    _, damaged = corrupted(content, seed)
    outcome = read_limited({"table.csv": damaged}, ("csv",), LAYOUT)
    assert outcome.state in ("read", "refused"), outcome
    header, _, body = damaged.partition(b"\n")
    if outcome.state == "refused" or header != content.partition(b"\n")[0]:
        assert outcome.detail or outcome.state == "read"
        return
    lines = [line for line in body.split(b"\n") if line.strip(b"\r")]
    assert outcome.total + (outcome.lost or 0) == len(lines), (seed, outcome)
    plain = [line for line in lines if line.isascii() and not set(line) & set(b'"\r\0')]
    assert outcome.total >= sum(bool(_GOOD_ROW.fullmatch(line)) for line in plain), (seed, outcome)


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_a_damaged_table_is_read_or_refused(seed: int) -> None:
    survives(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_a_table_damaged_otherwise_is_read_or_refused(seed: int) -> None:
    survives(seed)
