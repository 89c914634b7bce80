"""Damaged and hostile MCAP files: what can be read is read, and the rest is counted."""

import random
import struct
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mcap.writer import IndexType

from fleet_assets.ingestion.recordings.mcap.reader import McapRecording
from fleet_assets.ingestion.recordings.mcap.records import CHUNK, DATA_END, MESSAGE, MESSAGE_INDEX
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, assert_survives, corrupted
from tests.ingestion.recordings.mcap_files import (
    COMPRESSIONS,
    START_NS,
    Sent,
    boundaries,
    mcap_bytes,
    read_times,
    records,
    save_files,
    sent_messages,
    sent_times,
)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Write contents to files `drive_<n>.mcap`."""
    return partial(save_files, tmp_path)


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
@pytest.mark.parametrize("summary", [True, False])
def test_a_damaged_chunk_costs_its_own_messages_and_these_are_counted_exactly(
    save: Any, compression: str, summary: bool
) -> None:
    messages = sent_messages("json", 4.0)
    content = bytearray(mcap_bytes(messages, "json", compression=compression, summary=summary))
    chunks = [(at, end) for opcode, at, end in records(content) if opcode == CHUNK]
    at, end = chunks[2]
    content[end - 60] ^= 0x10
    times, losses = read_times(save(bytes(content)))
    missing = {topic: len(expected) - len(times[topic]) for topic, expected in sent_times(messages).items()}
    assert sum(missing.values()) > 0
    assert {loss.channel: loss.messages for loss in losses if loss.channel} == missing
    assert sum(loss.messages or 0 for loss in losses) == sum(missing.values())
    assert sum(loss.lost_bytes for loss in losses) == end - at
    for topic, expected in sent_times(messages).items():
        assert set(times[topic]) <= set(expected)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_file_cut_at_any_record_keeps_all_messages_before_the_cut(save: Any, chunked: bool, compression: str) -> None:
    messages = sent_messages("json", 0.6)
    content = mcap_bytes(messages, "json", chunked=chunked, compression=compression, chunk_bytes=800)
    marks = list(records(content))
    whole = next(at for opcode, at, _ in marks if opcode == DATA_END)
    for cut in boundaries(content)[2:]:
        kept = 0
        for opcode, at, end in marks:
            if end <= cut and opcode == MESSAGE:
                kept += 1
            if opcode == MESSAGE_INDEX and end <= cut:
                kept += (end - at - 15) // 16
        try:
            times, losses = read_times(save(content[:cut]))
        except UnreadableRecordingError:
            assert kept == 0, cut
            continue
        if cut < whole:
            assert losses[-1].rule == "truncated_file"
            assert losses[-1].messages is None
        assert kept <= sum(map(len, times.values())) <= len(messages)
        for topic, found in times.items():
            assert found == sent_times(messages)[topic][: len(found)]


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
def test_the_messages_of_a_chunk_that_is_cut_off_are_salvaged_up_to_the_cut(save: Any, compression: str) -> None:
    rng = random.Random(5)  # noqa: S311 - repeatable content, not a secret
    messages = [Sent("/camera", START_NS + index * 10**8, START_NS, rng.randbytes(20_000)) for index in range(100)]
    content = mcap_bytes(messages, "json", compression=compression, chunk_bytes=1 << 24)
    (chunk,) = [(at, end) for opcode, at, end in records(content) if opcode == CHUNK]
    cut = (chunk[0] + chunk[1]) // 2
    recording = McapRecording(save(content[:cut]))
    batches = list(recording.batches())
    times = [t for batch in batches for t in batch.t_ns.tolist()]
    lost = [loss for loss in recording.summary().losses if loss.rule == "undecodable_message"]
    salvaged = len(times) + sum(loss.messages or 0 for loss in lost)
    assert 40 <= salvaged <= 50
    assert "truncated_file" in [loss.rule for loss in recording.summary().losses]


@pytest.mark.parametrize("size", [1 << 29, (1 << 29) + 1, 1 << 40, (1 << 64) - 1])
@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_chunk_that_claims_a_hostile_size_costs_itself_and_no_memory(save: Any, compression: str, size: int) -> None:
    messages = sent_messages("json")
    content = bytearray(mcap_bytes(messages, "json", compression=compression, crcs=False))
    at = [at for opcode, at, _ in records(content) if opcode == CHUNK][1]
    struct.pack_into("<Q", content, at + 25, size)
    files = save(bytes(content))
    tracemalloc.start()
    times, losses = read_times(files)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20
    lost = sum(loss.messages or 0 for loss in losses)
    assert lost > 0
    assert sum(map(len, times.values())) + lost == len(messages)


def test_a_chunk_that_unpacks_to_more_than_it_says_is_not_unpacked_further(save: Any) -> None:
    import zstandard

    messages = sent_messages("json")
    content = mcap_bytes(messages, "json")
    at, end = [(at, end) for opcode, at, end in records(content) if opcode == CHUNK][1]
    bomb = zstandard.compress(bytes(1 << 28))
    bomb += bytes(max(0, end - at - 9 - 44 - len(bomb)))
    head = content[at + 9 : at + 37] + struct.pack("<I", 4) + b"zstd" + struct.pack("<Q", len(bomb))
    replaced = content[:at] + struct.pack("<BQ", CHUNK, len(head) + len(bomb)) + head + bomb + content[end:]
    tracemalloc.start()
    times, losses = read_times(save(replaced))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20
    lost = sum(loss.messages or 0 for loss in losses)
    assert lost > 0
    assert sum(map(len, times.values())) + lost == len(messages)


def test_a_log_time_that_the_statistics_rule_out_is_counted_and_does_not_move_the_others(save: Any) -> None:
    messages = sent_messages("json")
    content = bytearray(mcap_bytes(messages, "json", chunked=False))
    at = [at for opcode, at, _ in records(content) if opcode == MESSAGE][20]
    content[at + 9 + 2 + 4 + 7] ^= 0x40
    times, losses = read_times(save(bytes(content)))
    assert sum(map(len, times.values())) == len(messages) - 1
    assert [(loss.rule, loss.messages) for loss in losses] == [("invalid_time", 1)]


def test_a_wrong_value_in_a_message_outside_chunks_is_told_by_the_checksum_of_all_data(save: Any) -> None:
    content = bytearray(mcap_bytes(sent_messages("ros2"), "ros2", chunked=False, data_crc=True))
    assert read_times(save(bytes(content)))[1] == ()
    at, end = [(at, end) for opcode, at, end in records(content) if opcode == MESSAGE][20]
    content[end - 1] ^= 1
    losses = read_times(save(bytes(content)))[1]
    assert [(loss.rule, loss.messages, loss.lost_bytes) for loss in losses] == [("wrong_checksum", 0, 0)]


def test_a_channel_whose_record_is_gone_is_named_with_its_messages(save: Any) -> None:
    messages = sent_messages("json")
    content = mcap_bytes(messages, "json", chunked=False, summary=False)
    opcode_at, end = next((at, end) for opcode, at, end in list(records(content))[::-1] if opcode == 4)
    topic = next(topic for topic in sent_times(messages) if topic.encode() in content[opcode_at:end])
    times, losses = read_times(save(content[:opcode_at] + content[end:]))
    assert topic not in times
    assert {loss.rule: loss.messages for loss in losses}["unknown_channel"] == len(sent_times(messages)[topic])


def test_memory_does_not_grow_with_the_length_of_the_recording(save: Any) -> None:
    rng = random.Random(3)  # noqa: S311 - repeatable content, not a secret
    blobs = [rng.randbytes(100_000) for _ in range(8)]

    def peak(count: int) -> int:
        messages = [Sent("/camera", START_NS + index * 10**8, START_NS, blobs[index % 8]) for index in range(count)]
        files = save(mcap_bytes(messages, "protobuf", compression="lz4", chunk_bytes=1 << 20))
        del messages
        tracemalloc.start()
        times, losses = read_times(files)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        lost = sum(loss.messages or 0 for loss in losses)
        assert sum(map(len, times.values())) + lost == count
        return highest

    assert peak(1500) < 1.5 * peak(150)


def fuzzed(seed: int) -> None:
    """One damaged variant of a file of a kind that depends on the seed."""
    variants: list[dict[str, Any]] = [
        {},
        {"compression": "none"},
        {"compression": "lz4", "summary": False},
        {"chunked": False},
        {"chunked": False, "summary": False},
        {"compression": "none", "crcs": False, "indexes": IndexType.CHUNK},
    ]
    options = variants[seed // 8 % len(variants)]
    messages = sent_messages("json", 2.0)
    content = mcap_bytes(messages, "json", chunk_bytes=1024, **options)
    outcome = assert_survives(
        content, seed, name="drive.mcap", formats=["mcap"], intact=len(messages), boundaries=boundaries(content)
    )
    kind, _ = corrupted(content, seed, boundaries(content))
    counted = outcome.state == "read" and outcome.lost is not None and options.get("summary", True)
    if counted and kind != "repeated_range" and not any(rule == "more_than_stated" for rule, _, _ in outcome.losses):
        assert outcome.total + (outcome.lost or 0) == len(messages), f"seed {seed}, {kind}, {options}: {outcome}"


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_damage_is_survived_and_counted(seed: int) -> None:
    fuzzed(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_more_damage_is_survived_and_counted(seed: int) -> None:
    fuzzed(seed)
