"""The MCAP reader against the mcap library, which stops at the first damage: the oracle of intact files."""

import itertools
import json
import random
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import IndexType, Writer

from fleet_assets.ingestion.recordings.mcap.reader import McapRecording, is_mcap
from fleet_assets.ingestion.recordings.mcap.records import CHUNK, MESSAGE
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import WINDOW_NS, Batch, UnreadableRecordingError
from tests.ingestion.recordings.mcap_files import (
    COMPRESSIONS,
    ENCODINGS,
    START_NS,
    Times,
    mcap_bytes,
    read_times,
    records,
    save_files,
    schema_of,
    sent_messages,
    sent_times,
)

VECTOR = {"ros1": "vector.", "ros2": "vector.", "protobuf": "", "json": ""}
STAMP = {"ros1": "header.stamp", "ros2": "header.stamp", "protobuf": "stamp_ns", "json": "stamp_ns"}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Write contents to files `drive_<n>.mcap`."""
    return partial(save_files, tmp_path)


def joined(batches: Sequence[Batch]) -> dict[str, dict[str, np.ndarray]]:
    """All columns by channel, with the log time as `t_ns`."""
    columns: dict[str, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    for batch in batches:
        for name, values in {"t_ns": batch.t_ns, **batch.columns}.items():
            columns[batch.channel][name].append(values)
    return {
        channel: {name: np.concatenate(parts) for name, parts in found.items()} for channel, found in columns.items()
    }


def factories(encoding: str) -> list[Any]:
    if encoding == "ros1":
        from mcap_ros1.decoder import DecoderFactory as Ros1

        return [Ros1()]
    if encoding == "ros2":
        from mcap_ros2.decoder import DecoderFactory as Ros2

        return [Ros2()]
    from mcap_protobuf.decoder import DecoderFactory as Protobuf

    return [Protobuf()]


def oracle(path: Path, encoding: str) -> dict[str, dict[str, list[float]]]:
    """Times and vectors by topic as the mcap library and its decoders read them."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with path.open("rb") as stream:
        if encoding == "json":
            rows = [
                (channel.topic, message, json.loads(message.data))
                for _, channel, message in make_reader(stream).iter_messages()
            ]
        else:
            reader = make_reader(stream, decoder_factories=factories(encoding))
            rows = [(row.channel.topic, row.message, row.decoded_message) for row in reader.iter_decoded_messages()]
    for topic, message, content in rows:
        vector = content if encoding in ("json", "protobuf") else content.vector
        found[topic]["t_ns"].append(message.log_time)
        found[topic]["publish_time"].append(message.publish_time)
        for part in "xyz":
            found[topic][part].append(vector[part] if encoding == "json" else getattr(vector, part))
    return found


INDEXES = {"all": IndexType.ALL, "no message index": IndexType.CHUNK, "no index": IndexType.NONE}
VARIANTS = [
    (encoding, compression, chunked, indexes, summary)
    for encoding, compression, chunked, indexes, summary in itertools.product(
        ENCODINGS, COMPRESSIONS, (True, False), INDEXES, (True, False)
    )
    if chunked or (compression == "none" and indexes == "all")
]


@pytest.mark.parametrize(("encoding", "compression", "chunked", "indexes", "summary"), VARIANTS)
def test_every_message_comes_with_the_time_and_the_values_that_the_library_reads(
    save: Any, *, encoding: str, compression: str, chunked: bool, indexes: str, summary: bool
) -> None:
    content = mcap_bytes(
        sent_messages(encoding, 1.0),
        encoding,
        compression=compression,
        chunked=chunked,
        indexes=INDEXES[indexes],
        summary=summary,
    )
    files = save(content)
    recording = McapRecording(files)
    found = joined(list(recording.batches()))
    expected = oracle(files["drive_0.mcap"], encoding)
    assert found.keys() == expected.keys()
    for topic, columns in expected.items():
        assert found[topic]["t_ns"].tolist() == columns["t_ns"]
        assert found[topic]["publish_time"].tolist() == columns["publish_time"]
        # JSON numbers are doubles.
        stamps = np.array(columns["publish_time"]).astype(float if encoding == "json" else np.int64)
        assert found[topic][STAMP[encoding]].astype(stamps.dtype).tolist() == stamps.tolist()
        for part in "xyz":
            assert found[topic][VECTOR[encoding] + part].tolist() == columns[part]
    losses = recording.summary().losses
    assert [loss.rule for loss in losses] == ([] if summary else ["missing_index"])
    assert sum(loss.lost_bytes for loss in losses) == 0
    assert sum(loss.messages or 0 for loss in losses) == 0


def test_channels_and_extent_come_from_the_summary_and_agree_with_a_scan(save: Any) -> None:
    messages = sent_messages("ros2")
    told = McapRecording(save(mcap_bytes(messages, "ros2")))
    scanned = McapRecording(save(mcap_bytes(messages, "ros2", summary=False)))
    counts = Counter(one.topic for one in messages)
    for recording in (told, scanned):
        assert {channel.name: channel.message_count for channel in recording.channels()} == counts
        assert {channel.type for channel in recording.channels()} == {"geometry_msgs/msg/Vector3Stamped"}
        assert recording.extent_ns() == (messages[0].log_ns, messages[-1].log_ns)
        assert recording.container_start_ns == messages[0].log_ns
        assert recording.clock == "utc"
    assert told.channels() == scanned.channels()


def test_log_times_counted_from_a_boot_are_not_taken_for_utc(save: Any) -> None:
    recording = McapRecording(save(mcap_bytes(sent_messages("json", start_ns=5_000_000_000), "json")))
    assert recording.clock == "monotonic"
    assert recording.container_start_ns is None


def test_only_wanted_channels_are_read_and_chunks_without_them_are_not_opened(save: Any) -> None:
    messages = sent_messages("json")
    early = [one for one in messages if one.topic != "/gnss" or one.log_ns < START_NS + 10**9]
    content = mcap_bytes(early, "json")
    chunks = [(at, end) for opcode, at, end in records(content) if opcode == CHUNK]
    damaged = bytearray(content)
    for at, end in chunks[-2:]:
        damaged[(at + end) // 2 : end] = bytes(end - (at + end) // 2)
    times, losses = read_times(save(bytes(damaged)), {"/gnss"})
    assert times == {"/gnss": sent_times(early)["/gnss"]}
    assert losses == ()
    assert sum(loss.messages or 0 for loss in read_times(save(bytes(damaged)))[1]) > 0


def test_chunks_out_of_time_order_are_read_in_time_order(save: Any) -> None:
    messages = sent_messages("json", 60.0)
    by_topic = sorted(messages, key=lambda one: one.topic)
    recording = McapRecording(save(mcap_bytes(by_topic, "json")))
    windows = []
    times: Times = defaultdict(list)
    for batch in recording.batches():
        windows.append((int(batch.t_ns[0]) - START_NS) // WINDOW_NS)
        times[batch.channel] += batch.t_ns.tolist()
    assert windows == sorted(windows)
    assert times == sent_times(messages)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.randoms(use_true_random=False),
    chunk_bytes=st.sampled_from([200, 1000, 100_000]),
    compression=st.sampled_from(sorted(COMPRESSIONS)),
    chunked=st.booleans(),
    summary=st.booleans(),
)
def test_no_order_of_messages_loses_or_repeats_one(
    save: Any, *, order: random.Random, chunk_bytes: int, compression: str, chunked: bool, summary: bool
) -> None:
    messages = sent_messages("json", 0.5)
    shuffled = messages.copy()
    order.shuffle(shuffled)
    content = mcap_bytes(
        shuffled, "json", chunk_bytes=chunk_bytes, compression=compression, chunked=chunked, summary=summary
    )
    times, _ = read_times(save(content))
    assert {topic: sorted(found) for topic, found in times.items()} == sent_times(messages)


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
def test_a_channel_that_only_an_unopened_chunk_describes_loses_nothing(save: Any, compression: str) -> None:
    """Its record may close one chunk while its first message opens the next.

    Without a summary chunks are counted by their indexes, and the second look must not take messages in chunks that are
    not packed for stray ones.
    """
    messages = sent_messages("json", 0.5)
    shuffled = messages.copy()
    random.Random(10).shuffle(shuffled)  # noqa: S311 - an order
    times, _ = read_times(save(mcap_bytes(shuffled, "json", chunk_bytes=1000, compression=compression, summary=False)))
    assert {topic: sorted(found) for topic, found in times.items()} == sent_times(messages)


def test_files_that_follow_each_other_are_one_recording(save: Any) -> None:
    messages = sent_messages("ros1", 4.0)
    parts = [messages[200:], messages[:100], messages[100:200]]
    files = save(*(mcap_bytes(part, "ros1") for part in parts))
    recording = McapRecording(files)
    assert joined(list(recording.batches()))["/imu"]["t_ns"].tolist() == sent_times(messages)["/imu"]
    assert recording.extent_ns() == (messages[0].log_ns, messages[-1].log_ns)
    assert sum(channel.message_count or 0 for channel in recording.channels()) == len(messages)


def test_files_that_overlap_are_woven_by_time(save: Any) -> None:
    messages = sent_messages("json", 4.0)
    times, losses = read_times(save(mcap_bytes(messages[::2], "json"), mcap_bytes(messages[1::2], "json")))
    assert times == sent_times(messages)
    assert [loss.rule for loss in losses] == ["overlapping_files"]


def test_a_can_database_beside_the_recording_is_passed_over(save: Any, tmp_path: Path) -> None:
    files = save(mcap_bytes(sent_messages("json"), "json"))
    files["bus.dbc"] = tmp_path / "bus.dbc"
    files["bus.dbc"].write_text('VERSION ""\n')
    assert read_times(files)[1] == ()


def two_channels(other_encoding: str) -> bytes:
    """One topic of two channels: the second with the schema of another encoding."""
    from io import BytesIO

    stream = BytesIO()
    writer = Writer(stream)
    writer.start()
    for number, encoding in enumerate(("json", other_encoding)):
        schema = schema_of(encoding)
        schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
        channel_id = writer.register_channel("/pose", schema.message_encoding, schema_id)
        for index in range(5):
            t_ns = START_NS + (2 * index + number) * 10**8
            writer.add_message(channel_id, t_ns, schema.payload(t_ns, (1.0, 2.0, 3.0)), t_ns)
    writer.finish()  # type: ignore[no-untyped-call]
    return stream.getvalue()


def test_two_channels_of_one_topic_with_the_same_fields_are_one_channel(save: Any) -> None:
    recording = McapRecording(save(two_channels("json")))
    (channel,) = recording.channels()
    assert (channel.name, channel.message_count) == ("/pose", 10)
    (batch,) = recording.batches()
    assert batch.t_ns.tolist() == [START_NS + index * 10**8 for index in range(10)]


def test_two_channels_of_one_topic_with_other_fields_are_told_apart_by_number(save: Any) -> None:
    recording = McapRecording(save(two_channels("ros2")))
    assert {channel.name: channel.message_count for channel in recording.channels()} == {"/pose#1": 5, "/pose#2": 5}
    assert {batch.channel: len(batch) for batch in recording.batches()} == {"/pose#1": 5, "/pose#2": 5}


def test_the_format_is_told_from_the_first_bytes(save: Any) -> None:
    content = mcap_bytes(sent_messages("json"), "json")
    assert is_mcap(content[:4096])
    assert not is_mcap(b"#ROSBAG V2.0\n")
    assert open_recording(save(content)).format == "mcap"


@pytest.mark.parametrize("summary", [True, False])
def test_a_recording_without_messages_is_refused(save: Any, summary: bool) -> None:
    with pytest.raises(UnreadableRecordingError, match="holds no message") as refusal:
        McapRecording(save(mcap_bytes([], "json", summary=summary)))
    assert refusal.value.rule == "no_messages"


def test_an_empty_file_and_a_foreign_one_are_named_and_the_others_are_read(save: Any) -> None:
    messages = sent_messages("json")
    times, losses = read_times(save(mcap_bytes(messages, "json"), b"", b"not a recording"))
    assert times == sent_times(messages)
    assert [(loss.path, loss.rule, loss.lost_bytes) for loss in losses] == [
        ("drive_1.mcap", "empty_file", 0),
        ("drive_2.mcap", "wrong_magic", 15),
    ]


def test_records_that_the_specification_does_not_know_are_skipped(save: Any) -> None:
    messages = sent_messages("json")
    content = mcap_bytes(messages, "json", chunked=False)
    at = next(at for opcode, at, _ in records(content) if opcode == MESSAGE)
    extended = content[:at] + struct.pack("<BQ", 0x9A, 20) + bytes(20) + content[at:]
    assert read_times(save(extended))[0] == sent_times(messages)


def test_a_message_that_its_decoder_cannot_use_is_left_out_and_counted(save: Any) -> None:
    messages = sent_messages("ros2", 1.0)
    broken = replace(messages[10], payload=messages[10].payload[:7])
    times, losses = read_times(save(mcap_bytes([*messages[:10], broken, *messages[11:]], "ros2")))
    assert sum(map(len, times.values())) == len(messages) - 1
    assert [(loss.rule, loss.messages, loss.lost_bytes, loss.channel) for loss in losses] == [
        ("undecodable_message", 1, 7, broken.topic)
    ]


def test_json_without_a_schema_is_read_by_what_its_first_message_looks_like(save: Any) -> None:
    from io import BytesIO

    stream = BytesIO()
    writer = Writer(stream)
    writer.start()
    channel_id = writer.register_channel("/speed", "json", 0)
    for index in range(10):
        writer.add_message(channel_id, START_NS + index, json.dumps({"mps": index / 2}).encode(), START_NS + index)
    writer.finish()  # type: ignore[no-untyped-call]
    recording = McapRecording(save(stream.getvalue()))
    assert recording.channels()[0].fields == ("mps", "publish_time")
    (batch,) = recording.batches()
    assert batch.columns["mps"].tolist() == [index / 2 for index in range(10)]
