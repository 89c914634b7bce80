"""Vectorised CAN decoding against cantools' own decoding frame by frame, which is the independent oracle."""

import re
from pathlib import Path
from typing import Any

import cantools
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.arrays.comma2k19 import Comma2k19Recording
from fleet_assets.ingestion.recordings.dbc import find_dbcs
from fleet_assets.ingestion.sensor_sync_and_format_conversion.can_decode import (
    CanDatabaseError,
    decode_signals,
    excerpt,
    parse_messages,
)
from fleet_assets.policy.vehicles import DbcRef, Frames, VehicleSpec

SHARED = Path(__file__).parents[3] / "shared" / "data"
COMMA = SHARED / "comma2k19_example" / "sample"


def dbc_of(lines: list[str], frame_id: int = 291, length: int = 8) -> str:
    signals = "\n".join(f" SG_ {line} Vector__XXX" for line in lines)
    return f'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_:\n\nBO_ {frame_id} frame: {length} Vector__XXX\n{signals}\n\n'


def opendbc(file: str) -> str:
    ref = DbcRef("x", package="opendbc", file=file)
    return find_dbcs(VehicleSpec("x", "", "", {}, Frames("x", {}), {"x": ref}, (), (), ""), ())["x"].text


def oracle(text: str, name: str, payloads: np.ndarray) -> list[dict[str, Any]]:
    message = cantools.database.load_string(text, "dbc", strict=False).get_message_by_name(name)
    return [message.decode(bytes(row), decode_choices=False, allow_truncated=True) for row in payloads]


def assert_same(text: str, name: str, payloads: np.ndarray, lengths: np.ndarray | None = None) -> None:
    lengths = np.full(len(payloads), payloads.shape[1]) if lengths is None else lengths
    message = parse_messages(text, frozenset({name}), False)[name]
    decoded = decode_signals(message, tuple(message.signals), payloads, lengths)
    trimmed = [row[:size] for row, size in zip(payloads, lengths, strict=True)]
    for row, expected in enumerate(oracle(text, name, trimmed)):
        for signal, found in decoded.items():
            if signal in expected:
                np.testing.assert_allclose(found.values[row], float(expected[signal]), rtol=1e-12, atol=1e-12)
            else:
                assert np.isnan(found.values[row])
                assert found.short[row] or not found.present[row]


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[str], int]:
    """One signal anywhere in a frame of up to 64 bytes, any byte order, sign and length."""
    size = draw(st.sampled_from([1, 2, 3, 5, 8, 12, 16, 64]))
    little = draw(st.booleans())
    length = draw(st.integers(1, min(64, size * 8)))
    if little:
        start = draw(st.integers(0, size * 8 - length))
    else:
        highest = draw(st.integers(0, size * 8 - length))
        start = highest // 8 * 8 + 7 - highest % 8
    sign = draw(st.sampled_from("+-"))
    scale = draw(st.sampled_from([1, 0.5, 0.01, -2, 1e-7, 3]))
    offset = draw(st.sampled_from([0, -40, 1577840400, 0.25]))
    return [f'value : {start}|{length}@{int(little)}{sign} ({scale},{offset}) [0|0] ""'], size


@settings(max_examples=150, deadline=None)
@given(layouts(), st.integers(0, 2**32 - 1))
def test_any_signal_layout_decodes_as_cantools_does(layout: tuple[list[str], int], seed: int) -> None:
    lines, size = layout
    payloads = np.random.default_rng(seed).integers(0, 256, (20, size), dtype=np.uint8)
    payloads[0], payloads[1] = 0, 255
    assert_same(dbc_of(lines, length=size), "frame", payloads)


@pytest.mark.parametrize(("length", "kind"), [(32, 1), (64, 2)])
@pytest.mark.parametrize("little", [0, 1])
def test_floating_point_signals_decode_as_cantools_does(length: int, kind: int, little: int) -> None:
    start = 0 if little else 7
    text = dbc_of([f'value : {start}|{length}@{little}- (1,0) [0|0] ""']) + f"SIG_VALTYPE_ 291 value : {kind};\n"
    dtype = ("<" if little else ">") + f"f{length // 8}"
    values = np.array([0.0, -1.5, 3.25e10, np.pi, -1e-30])
    payloads = np.zeros((len(values), 8), dtype=np.uint8)
    payloads[:, : length // 8] = values.astype(dtype).view(np.uint8).reshape(len(values), -1)
    assert_same(text, "frame", payloads)


MULTIPLEXED = [
    'mode M : 0|4@1+ (1,0) [0|0] ""',
    'speed m0 : 8|16@1+ (0.1,0) [0|0] "km/h"',
    'level m1 : 8|8@1- (1,0) [0|0] "%"',
    'always : 32|16@1+ (1,-5) [0|0] ""',
]


def test_multiplexed_signals_are_there_only_where_the_selector_says_so() -> None:
    payloads = np.random.default_rng(1).integers(0, 256, (200, 8), dtype=np.uint8)
    payloads[:100, 0] = payloads[:100, 0] & 0xF1
    assert_same(dbc_of(MULTIPLEXED), "frame", payloads[:100])


def test_extended_multiplexing_follows_nested_selectors_and_ranges() -> None:
    lines = [
        'outer M : 0|4@1+ (1,0) [0|0] ""',
        'inner m1M : 4|4@1+ (1,0) [0|0] ""',
        'deep m2 : 8|8@1+ (1,0) [0|0] ""',
        'wide m3 : 16|8@1+ (1,0) [0|0] ""',
    ]
    text = dbc_of(lines) + (
        "SG_MUL_VAL_ 291 inner outer 1-1;\nSG_MUL_VAL_ 291 deep inner 2-3;\nSG_MUL_VAL_ 291 wide outer 3-5, 9-9;\n"
    )
    payloads = np.random.default_rng(2).integers(0, 256, (256, 8), dtype=np.uint8)
    payloads[:, 0] = np.arange(256)
    message = parse_messages(text, frozenset({"frame"}), False)["frame"]
    decoded = decode_signals(message, ("deep", "wide"), payloads, np.full(256, 8))
    outer, inner = np.arange(256) % 16, np.arange(256) // 16
    np.testing.assert_array_equal(decoded["deep"].present, (outer == 1) & (inner >= 2) & (inner <= 3))
    np.testing.assert_array_equal(decoded["wide"].present, ((outer >= 3) & (outer <= 5)) | (outer == 9))
    np.testing.assert_array_equal(decoded["deep"].values[decoded["deep"].present], payloads[decoded["deep"].present, 1])


def test_a_frame_that_ends_before_the_signal_gives_no_value_and_is_counted() -> None:
    lines = ['early : 0|8@1+ (1,0) [0|0] ""', 'late : 32|16@1+ (1,0) [0|0] ""', 'big : 39|16@0+ (1,0) [0|0] ""']
    payloads = np.random.default_rng(3).integers(0, 256, (9, 8), dtype=np.uint8)
    assert_same(dbc_of(lines), "frame", payloads, np.arange(9))
    message = parse_messages(dbc_of(lines), frozenset({"frame"}), False)["frame"]
    late = decode_signals(message, ("late",), payloads, np.arange(9))["late"]
    assert late.short.sum() == 6
    assert np.isnan(late.values[:6]).all()


def test_a_payload_narrower_than_the_signal_is_short_everywhere() -> None:
    message = parse_messages(dbc_of(['late : 32|16@1+ (1,0) [0|0] ""']), frozenset({"frame"}), False)["frame"]
    late = decode_signals(message, ("late",), np.zeros((3, 2), np.uint8), np.full(3, 8))["late"]
    assert late.short.all()


def test_an_unknown_signal_is_named_with_those_that_exist() -> None:
    message = parse_messages(dbc_of(['early : 0|8@1+ (1,0) [0|0] ""']), frozenset({"frame"}), False)["frame"]
    with pytest.raises(CanDatabaseError, match="no signal 'sped'. Use one of: early"):
        decode_signals(message, ("sped",), np.zeros((1, 8), np.uint8), np.full(1, 8))


def test_a_missing_message_is_named() -> None:
    with pytest.raises(CanDatabaseError, match="no message WHEELS"):
        parse_messages(dbc_of(['early : 0|8@1+ (1,0) [0|0] ""']), frozenset({"WHEELS"}), False)


def test_statements_inside_comments_over_several_lines_are_not_taken_for_messages() -> None:
    text = 'CM_ "old:\nBO_ 5 ghost: 8 X\n SG_ a : 0|8@1+ (1,0) [0|0] \\"\\" X\n";\n' + dbc_of(
        ['early : 0|8@1+ (1,0) [0|0] "km/h"']
    )
    assert "ghost" not in excerpt(text, frozenset({"frame"}))
    with pytest.raises(CanDatabaseError, match="no message ghost"):
        excerpt(text, frozenset({"ghost"}))


def test_ids_above_eleven_bits_are_extended_even_where_the_database_forgets_the_flag() -> None:
    message = parse_messages(dbc_of(['a : 0|8@1+ (.25,0) [0|0] ""'], 0x12DD54A7), frozenset({"frame"}), False)["frame"]
    assert message.is_extended
    assert message.frame_id == 0x12DD54A7
    assert message.signals["a"].scale == 0.25


def test_j1939_messages_match_by_parameter_group_whatever_priority_and_source() -> None:
    text = dbc_of(['a : 0|8@1+ (1,0) [0|0] ""'], 0x80000000 | 0x18FEF1FE)
    message = parse_messages(text, frozenset({"frame"}), True)["frame"]
    ids = np.array([0x18FEF100, 0x0CFEF1AA, 0x18FEF200], dtype=np.uint32)
    assert message.matches_id(ids).tolist() == [True, True, False]
    exact = parse_messages(text, frozenset({"frame"}), False)["frame"]
    assert exact.matches_id(ids).tolist() == [False, False, False]


def test_toyota_frames_of_random_content_decode_as_cantools_does() -> None:
    text = opendbc("toyota_new_mc_pt_generated.dbc")
    for seed, name in enumerate(("WHEEL_SPEEDS", "STEER_ANGLE_SENSOR", "PCM_CRUISE", "BRAKE_MODULE")):
        payloads = np.random.default_rng(seed).integers(0, 256, (50, 8), dtype=np.uint8)
        assert_same(text, name, payloads)


@pytest.mark.real_data
@pytest.mark.skipif(not COMMA.is_dir(), reason="the comma2k19 example is not in ../shared/data")
def test_real_frames_decode_as_cantools_does() -> None:
    files = {str(path.relative_to(COMMA)): path for path in COMMA.rglob("*") if path.is_file()}
    frames: dict[tuple[int, int], list[np.ndarray]] = {}
    for batch in Comma2k19Recording(files).batches({"processed_log/CAN/raw_can"}):
        for bus, can_id in ((0, 0xAA), (0, 0x25), (0, 0x1D2), (1, 0x210)):
            rows = (batch.columns["bus"] == bus) & (batch.columns["can_id"] == can_id)
            frames.setdefault((bus, can_id), []).append(batch.columns["data"][rows][::20])
    powertrain, adas = opendbc("toyota_new_mc_pt_generated.dbc"), opendbc("toyota_adas.dbc")
    for key, text, name in (
        ((0, 0xAA), powertrain, "WHEEL_SPEEDS"),
        ((0, 0x25), powertrain, "STEER_ANGLE_SENSOR"),
        ((0, 0x1D2), powertrain, "PCM_CRUISE"),
        ((1, 0x210), adas, "TRACK_A_0"),
    ):
        assert_same(text, name, np.concatenate(frames[key]))


def usable(text: str, name: str) -> bool:
    try:
        return name in parse_messages(text, frozenset({name}), False)
    except CanDatabaseError:
        return False


@pytest.mark.slow
def test_every_message_of_every_opendbc_file_can_be_used_even_where_the_whole_file_is_refused() -> None:
    from importlib import resources

    from opendbc.dbc.generator.generator import generate_all

    texts = dict(generate_all())
    for entry in (resources.files("opendbc") / "dbc").iterdir():
        if entry.name.endswith(".dbc"):
            texts[entry.name] = entry.read_text(encoding="utf-8")
    refused, unusable = 0, []
    for file, text in texts.items():
        try:
            cantools.database.load_string(text, "dbc", strict=False)
        except cantools.database.UnsupportedDatabaseFormatError:
            refused += 1
        names = set(re.findall(r"^BO_ \d+ ([A-Za-z_]\w*) *:", text, re.MULTILINE))
        try:
            parse_messages(text, frozenset(names), False)
        except CanDatabaseError:
            unusable += [(file, name) for name in sorted(names) if not usable(text, name)]
    assert refused > 0
    assert len(unusable) < 0.01 * sum(text.count("\nBO_ ") for text in texts.values()), unusable[:20]
