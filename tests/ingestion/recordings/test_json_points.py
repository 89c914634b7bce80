"""JSON point lists: every object becomes a message or a counted loss."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.open import sniff_format
from fleet_assets.ingestion.recordings.protocol import Batch, UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables import json_points
from fleet_assets.ingestion.recordings.tables.json_points import JsonPointsRecording, is_json_points
from fleet_assets.policy.table_layouts import parse_table_layout
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, corrupted, read_limited

SECOND_NS = 10**9
START_S = 1_410_324_847
LAYOUT = {"channel": "track", "points": [{"time": {"column": "t", "unit": "s"}, "fields": {"a": "a", "x": "p.x"}}]}


def points(count: int) -> list[dict[str, Any]]:
    return [{"t": START_S + row, "a": row / 4, "p": f"POINT({row}.5 -7)", "tags": [{"k": "}"}]} for row in range(count)]


def as_list(count: int) -> bytes:
    return json.dumps(points(count)).encode()


def as_lines(count: int) -> bytes:
    return "".join(json.dumps(point) + "\n" for point in points(count)).encode()


def opened(folder: Path, content: bytes, layout: dict[str, Any] = LAYOUT) -> JsonPointsRecording:
    (folder / "points.json").write_bytes(content)
    return JsonPointsRecording({"points.json": folder / "points.json"}, parse_table_layout(layout))


def times(batches: list[Batch]) -> list[int]:
    return [int(value) for batch in batches for value in batch.t_ns]


def column(batches: list[Batch], name: str) -> list[float]:
    return [float(value) for batch in batches for value in batch.columns[name]]


def lost(recording: JsonPointsRecording) -> dict[str, int | None]:
    return {loss.rule: loss.messages for loss in recording.summary().losses}


@pytest.mark.parametrize(
    "content",
    [
        as_list(500),
        as_lines(500),
        json.dumps(points(500), indent=2).encode(),
        b"\xef\xbb\xbf" + as_list(500),
        b"\xef\xbb\xbf" + as_lines(500).replace(b"\n", b"\r\n\n"),
        as_lines(500)[:-1],
    ],
)
@pytest.mark.parametrize("block", [300, 1 << 20])
def test_lists_and_lines_give_what_the_json_module_reads(
    tmp_path: Path, content: bytes, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_points, "BLOCK_BYTES", block)
    recording = opened(tmp_path, content)
    assert is_json_points(content)
    batches = list(recording.batches())
    assert times(batches) == [point["t"] * SECOND_NS for point in points(500)]
    assert column(batches, "a") == [point["a"] for point in points(500)]
    assert column(batches, "x") == [row + 0.5 for row in range(500)]
    assert recording.extent_ns() == (START_S * SECOND_NS, (START_S + 499) * SECOND_NS)
    assert recording.summary().losses == ()
    again = list(recording.batches())
    assert times(again) == times(batches)


def test_nested_objects_flatten_and_names_with_dots_are_names(tmp_path: Path) -> None:
    layout = {
        "channel": "c",
        "points": [{"time": {"column": "at.time"}, "fields": {"lat": "at.place.lat", "v": "v.mean"}}],
    }
    rows = [{"at": {"time": f"2020-01-01T00:00:0{n}Z", "place": {"lat": n}}, "v.mean": n / 2} for n in range(3)]
    batches = list(opened(tmp_path, json.dumps(rows).encode(), layout).batches())
    assert column(batches, "lat") == [0.0, 1.0, 2.0]
    assert column(batches, "v") == [0.0, 0.5, 1.0]


def test_all_numbers_are_fields_when_none_are_stated_and_times_stay_exact(tmp_path: Path) -> None:
    layout = {"channel": "c", "points": [{"time": {"column": "t", "unit": "s"}}]}
    rows = (
        '[{"t": 1628184886.518266, "n": 1, "s": "word", "b": true, "l": [1]}, {"t": 1628184887, "n": null, "s": "7"}]'
    )
    recording = opened(tmp_path, rows.encode(), layout)
    batches = list(recording.batches())
    assert times(batches) == [1628184886518266000, 1628184887000000000]
    assert recording.channels()[0].fields == ("n",)
    assert column(batches, "n")[0] == 1.0


@pytest.mark.parametrize("content", [as_list(30), as_lines(30)])
def test_a_damaged_point_costs_itself_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    damaged = (
        content.replace(b'"a": 2.5', b'"a"! 2.5')
        .replace(b'"a": 5.0', b'"a": "?"')
        .replace(b'"t": 1410324850', b'"t": 9e99')
    )
    recording = opened(tmp_path, damaged)
    assert len(times(list(recording.batches()))) == 27
    assert lost(recording) == {"damaged_point": 1, "invalid_number": 1, "invalid_time": 1}


def test_what_is_no_object_is_counted(tmp_path: Path) -> None:
    recording = opened(
        tmp_path, b'[{"t": 1, "a": 1, "p": "POINT(1 2)"}, null, 7, {"t": 2, "a": 1, "p": "POINT Z (3 4 5)"}]'
    )
    assert column(list(recording.batches()), "x") == [1.0, 3.0]
    assert lost(recording) == {"not_an_object": 2}


def test_a_file_that_ends_early_is_said_to(tmp_path: Path) -> None:
    content = as_list(20)
    recording = opened(tmp_path, content[:-100])
    assert len(times(list(recording.batches()))) == 18
    assert lost(recording) == {"truncated_file": 1}
    recording = opened(tmp_path, content[: content.rindex(b", {")])
    assert len(times(list(recording.batches()))) == 19
    assert lost(recording) == {"truncated_file": 0}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"[]", "no_messages"),
        (b"[1, 2]", "no_messages"),
        (b"[" * 100_000, "no_messages"),
        (b'{"points": [{"t": 1}]}', "missing_column"),
        (b'[{"time": 1, "a": 2, "p": "POINT(1 2)"}]', "missing_column"),
        (b'[{"t": "x", "a": 2, "p": "POINT(1 2)"}]', "no_messages"),
        (b"", "no_messages"),
    ],
)
def test_what_holds_no_point_is_refused_by_name(tmp_path: Path, content: bytes, rule: str) -> None:
    with pytest.raises(UnreadableRecordingError) as caught:
        opened(tmp_path, content)
    assert caught.value.rule == rule
    assert caught.value.remedy


def test_a_missing_name_is_said_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRecordingError, match=r"the columns t, a, p\.lon, expected a column 'p\.x'"):
        opened(tmp_path, b'[{"t": 1, "a": 2, "p": {"lon": 1}}]')


def test_a_point_list_is_told_from_its_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(as_lines(3))
    assert sniff_format({"x": tmp_path / "x"}) == "json_points"
    assert not is_json_points(b"[1, 2]")
    assert not is_json_points(b"a,b\n1,2\n")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["t", "a", "p", "q", "t.u"]), VALUES, max_size=5), max_size=8),
    st.booleans(),
)
def test_any_json_objects_are_messages_or_counted_losses(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    lines: bool,  # noqa: FBT001 - a property's input
) -> None:
    folder = tmp_path_factory.mktemp("json")
    rows = [*points(1), *rows]
    content = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
    recording = opened(folder, content.encode())
    count = len(times(list(recording.batches())))
    assert count + sum(loss.messages or 0 for loss in recording.summary().losses) == len(rows)


def test_a_number_where_a_point_should_be_is_a_counted_loss_also_where_no_other_point_is_beside_it(
    tmp_path: Path,
) -> None:
    # The last line, without its end, is read by itself.
    recording = opened(tmp_path, as_lines(1) + json.dumps({**points(1)[0], "p": 0}).encode())
    assert len(times(list(recording.batches()))) == 1
    assert [(loss.rule, loss.messages) for loss in recording.summary().losses] == [("invalid_number", 1)]


def survives(seed: int, content: bytes) -> None:
    """Nothing disappears without a word, unless the damage takes whole points away without a trace."""
    kind, damaged = corrupted(content, seed)
    outcome = read_limited({"points.json": damaged}, ("json_points",), LAYOUT)
    assert outcome.state in ("read", "refused"), (seed, outcome)
    if outcome.state == "refused":
        assert outcome.detail
        return
    starts = damaged.count(b'{"t": ')
    assert outcome.total <= starts + 1
    if (
        kind not in ("deleted_range", "truncated")
        and outcome.total < 400
        and damaged.count(b"\n") >= content.count(b"\n")
    ):
        assert outcome.losses, (seed, kind, outcome)
    intact = sum(line in damaged for line in content[1:-1].replace(b"}, {", b"}\n{").splitlines())
    assert outcome.total >= intact - 2 * (400 - intact) - 2, (seed, kind, outcome)


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_a_damaged_point_list_is_read_or_refused(seed: int) -> None:
    survives(seed, as_lines(400) if seed % 3 else as_list(400))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_a_point_list_damaged_otherwise_is_read_or_refused(seed: int) -> None:
    survives(seed, as_lines(400) if seed % 3 else as_list(400))
