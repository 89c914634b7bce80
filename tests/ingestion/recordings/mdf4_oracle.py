"""CAN frames of MDF 4 files as our reader and as asammdf give them; asammdf is the independent oracle."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fleet_assets.ingestion.recordings.mdf4.reader import Mdf4Recording

Frames = dict[str, np.ndarray]


def frames_of(recording: Mdf4Recording) -> Frames:
    """All CAN frames in the order that the reader gives them."""
    batches = list(recording.batches({"CAN"}))
    width = max((batch.columns["data"].shape[1] for batch in batches), default=0)
    columns = {
        name: np.concatenate([batch.columns[name] for batch in batches])
        for name in ("bus", "can_id", "is_extended", "length")
    }
    padded = [np.pad(batch.columns["data"], ((0, 0), (0, width - batch.columns["data"].shape[1]))) for batch in batches]
    return columns | {"t_ns": np.concatenate([batch.t_ns for batch in batches]), "data": np.concatenate(padded)}


def oracle(paths: list[Path]) -> Frames:
    """All CAN frames as asammdf reads them, files one after the other, sorted by time."""
    from asammdf import MDF

    found: dict[str, list[np.ndarray]] = {}
    for path in paths:
        with MDF(path, process_bus_logging=False) as mdf:
            for index, group in enumerate(mdf.groups):
                if "CAN_DataFrame" not in [channel.name for channel in group.channels]:
                    continue
                if not group.channel_group.cycles_nr:
                    continue
                frames = mdf.get("CAN_DataFrame", group=index)
                start_ns = int(mdf.header.start_time.timestamp() * 1e6) * 1000
                found.setdefault("t_ns", []).append(np.rint(frames.timestamps * 1e9).astype(np.int64) + start_ns)
                for ours, theirs in (("bus", "BusChannel"), ("can_id", "ID"), ("length", "DataLength")):
                    found.setdefault(ours, []).append(frames.samples[f"CAN_DataFrame.{theirs}"].astype(np.int64))
                found.setdefault("data", []).append(frames.samples["CAN_DataFrame.DataBytes"])
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    order = np.argsort(joined["t_ns"], kind="stable")
    return {name: column[order] for name, column in joined.items()}


def assert_same_frames(ours: Frames, theirs: Frames) -> None:
    for name, expected in theirs.items():
        np.testing.assert_array_equal(ours[name].astype(np.int64), expected.astype(np.int64), err_msg=name)


def lost(recording: Mdf4Recording) -> int:
    return sum(loss.messages or 0 for loss in recording.summary().losses)


# Byte surgery: offsets of ASAM MDF 4.1 blocks.
def u64(content: bytes, at: int) -> int:
    return struct.unpack_from("<Q", content, at)[0]


def first_group(content: bytes) -> tuple[int, int, int]:
    """Addresses of the first data group, its channel group and its data."""
    section = u64(content, 64 + 24)
    return section, u64(content, section + 32), u64(content, section + 40)


def data_last(path: Path) -> bytearray:
    """The file with its records moved to the end, as recorders lay it out that write while they record."""
    content = bytearray(path.read_bytes())
    section, _, data = first_group(content)
    block = content[data : data + u64(content, data + 8)]
    content += bytes(-len(content) % 8)
    struct.pack_into("<Q", content, section + 40, len(content))
    return content + block


def put(path: Path, content: bytes) -> Mapping[str, Path]:
    path.write_bytes(content)
    return {"recording": path}
