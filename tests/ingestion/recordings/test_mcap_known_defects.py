"""Known defects of other MCAP readers and tools, each with its number in the issues of foxglove/mcap."""

import struct
from collections import Counter
from pathlib import Path

from mcap.writer import IndexType

from fleet_assets.ingestion.recordings.mcap.reader import McapRecording
from fleet_assets.ingestion.recordings.mcap.records import CHUNK
from tests.ingestion.recordings.corruption import read_limited
from tests.ingestion.recordings.mcap_files import START_NS, Sent, mcap_bytes, records, schema_of, sent_messages


def test_1735_a_file_with_chunk_index_and_without_message_index_gives_all_its_messages(tmp_path: Path) -> None:
    """The Python reader found no channel in such chunks and silently yielded nothing."""
    messages = sent_messages("json")
    path = tmp_path / "drive.mcap"
    path.write_bytes(mcap_bytes(messages, "json", indexes=IndexType.CHUNK))
    recording = McapRecording({"drive.mcap": path})
    for wanted in (None, {"/gnss"}):
        found = Counter[str]()
        for batch in recording.batches(wanted):
            found[batch.channel] += len(batch)
        assert found == Counter(one.topic for one in messages if wanted is None or one.topic in wanted)
        assert recording.summary().losses == ()


def test_1220_a_truncated_file_that_ends_in_a_huge_length_is_read_in_little_memory() -> None:
    """The Python reader took the bytes where the footer should be for a record and allocated its length."""
    messages = sent_messages("json")
    whole = mcap_bytes(messages, "json", chunked=False)
    data_end = next(at for opcode, at, _ in records(whole) if opcode == 0x0F)
    for opcode in range(1, 16):
        for length in (1 << 40, (1 << 62) + 5, (1 << 64) - 1):
            tail = struct.pack("<BQ", opcode, length) + b"uization" * 3 + b"tail"
            outcome = read_limited({"drive.mcap": whole[:data_end] + tail}, ["mcap"])
            assert outcome.state == "read", (opcode, length, outcome)
            assert outcome.total == len(messages), (opcode, length, outcome)
            assert "missing_index" in [rule for rule, _, _ in outcome.losses]
            assert sum(lost_bytes for _, lost_bytes, _ in outcome.losses) == len(tail)


def test_862_empty_message_indexes_do_not_make_the_reader_open_every_chunk(tmp_path: Path) -> None:
    """A tool left indexes of channels without messages in a chunk; readers of one topic then read the whole file."""
    schema = schema_of("json")
    static = [
        Sent("/static", START_NS + index, START_NS, schema.payload(START_NS, (0.0, 0.0, float(index))))
        for index in range(3)
    ]
    content = bytearray(
        mcap_bytes([*static, *sent_messages("json", start_ns=START_NS + 10)], "json", empty_indexes=True)
    )
    chunks = [(at, end) for opcode, at, end in records(content) if opcode == CHUNK]
    assert len(chunks) > 3
    for at, end in chunks[1:]:
        content[at + 60 : end] = bytes(end - at - 60)
    path = tmp_path / "drive.mcap"
    path.write_bytes(content)
    recording = McapRecording({"drive.mcap": path})
    # The other chunks cannot be unpacked any more: had they been opened, a loss would say so.
    assert [batch.t_ns.tolist() for batch in recording.batches({"/static"})] == [[one.log_ns for one in static]]
    assert recording.summary().losses == ()
    assert sum(len(batch) for batch in recording.batches()) < len(static) + len(sent_messages("json"))
    assert sum(loss.messages or 0 for loss in recording.summary().losses) > 0
