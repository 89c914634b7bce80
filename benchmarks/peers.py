"""What other libraries do with a recording: bare iteration over its messages, and decoding them.

Each function takes one recording and returns how many messages it saw. Nothing here is used by the product.
"""

import csv
import json
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.videos import parsed_telemetry, walked_telemetry

VIDEOS: Final = ("mp4 in fragments", "gpmf")
"""Kinds of MP4 files beside the usual one."""
Peer = Callable[[Path], int]


def _mcap(path: Path) -> int:
    from mcap.reader import make_reader

    with path.open("rb") as stream:
        # Ours checks them too, and its damage tests hold it to that.
        return sum(1 for _ in make_reader(stream, validate_crcs=True).iter_messages())


def _mcap_unindexed(path: Path) -> int:
    from mcap.reader import NonSeekingReader

    with path.open("rb") as stream:
        return sum(1 for _ in NonSeekingReader(stream).iter_messages(log_time_order=False))


def _rosbags(path: Path) -> int:
    from rosbags.highlevel import AnyReader

    with AnyReader([path.parent if path.suffix == ".db3" else path]) as reader:
        return sum(1 for _ in reader.messages())


def _rosbags_decoded(path: Path) -> int:
    from rosbags.highlevel import AnyReader

    count = 0
    with AnyReader([path.parent if path.suffix == ".db3" else path]) as reader:
        for connection, _, payload in reader.messages():
            reader.deserialize(payload, connection.msgtype)
            count += 1
    return count


def _mcap_decoded(path: Path) -> int:
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    with path.open("rb") as stream:
        return sum(1 for _ in make_reader(stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages())


def _sqlite(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return sum(1 for _ in connection.execute("select topic_id, timestamp, data from messages order by id"))


def _apsw(path: Path) -> int:
    import apsw

    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return sum(1 for _ in connection.execute("select topic_id, timestamp, data from messages order by id"))


def _python_can(path: Path) -> int:
    import can

    with can.LogReader(path) as reader:
        return sum(1 for _ in reader)


def asammdf_frames(path: Path) -> Iterator[Any]:
    """CAN frames of each group of an MDF4 file as asammdf gives them: a structured array."""
    from asammdf import MDF

    with MDF(path, process_bus_logging=False) as log:
        for index, group in enumerate(log.groups):
            if "CAN_DataFrame" in [channel.name for channel in group.channels]:
                yield log.get("CAN_DataFrame", group=index).samples


def _asammdf(path: Path) -> int:
    return sum(len(frames) for frames in asammdf_frames(path))


def _csv(path: Path) -> int:
    with path.open(newline="") as stream:
        return sum(1 for _ in csv.DictReader(stream))


def _csv_numbers(path: Path) -> int:
    with path.open(newline="") as stream:
        return sum(1 for row in csv.DictReader(stream) if [float(cell) for cell in row.values()])


def _pyarrow_csv(path: Path) -> int:
    from pyarrow import csv as arrow_csv

    return int(arrow_csv.read_csv(path).num_rows)


def _gpxpy(path: Path) -> int:
    import gpxpy

    with path.open() as stream:
        return int(gpxpy.parse(stream).get_points_no())


def _element_tree(path: Path) -> int:
    return sum(1 for _, element in ET.iterparse(path) if element.tag.endswith("trkpt"))  # noqa: S314 - our own file


def _json(path: Path) -> int:
    return len(json.loads(path.read_text()))


def _json_decoded(path: Path) -> int:
    from datetime import datetime

    def decoded(point: dict[str, str]) -> tuple[datetime, list[float]]:
        return datetime.fromisoformat(point["time"]), [float(part) for part in point["point"][6:-1].split()]

    return sum(1 for point in json.loads(path.read_text()) if decoded(point))


def _json_columns(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    points = json.loads(path.read_text())
    times = pc.cast(pa.array([point["time"] for point in points]), pa.timestamp("ns", "UTC"))
    pairs = pc.split_pattern(pc.utf8_slice_codeunits(pa.array([point["point"] for point in points]), 6, -1), " ")
    columns = [pc.cast(pc.list_element(pairs, place), pa.float64()) for place in (0, 1)]
    return min(len(times), *map(len, columns))


def _ijson(path: Path) -> int:
    import ijson

    with path.open("rb") as stream:
        return sum(1 for _ in ijson.items(stream, "item"))


def _pyav(path: Path) -> int:
    import av

    with av.open(path) as container:
        return sum(1 for packet in container.demux() if packet.size)


def _numpy(path: Path) -> int:
    import numpy as np

    arrays = {item: np.load(item) for item in path.rglob("*") if item.is_file()}
    times = np.concatenate([array for item, array in arrays.items() if item.name == "t"])
    return len(np.argsort(times, kind="stable"))


BARE: Final[Mapping[str, tuple[str, Peer]]] = {
    "comma2k19": ("numpy.load + argsort", _numpy),
    "mcap": ("mcap, checking CRCs", _mcap),
    "ros1": ("rosbags", _rosbags),
    "ros2": ("rosbags", _rosbags),
    "mdf4": ("asammdf", _asammdf),
    "blf": ("python-can", _python_can),
    "asc": ("python-can", _python_can),
    "candump": ("python-can", _python_can),
    "csv": ("csv", _csv),
    "gpx": ("gpxpy", _gpxpy),
    "json_points": ("json", _json),
    "mp4": ("PyAV", _pyav),
    "mp4 in fragments": ("PyAV", _pyav),
    "gpmf": ("py-gpmf-parser", parsed_telemetry),
}
"""The usual library of each format: name, and bare iteration without decoding."""
OTHERS: Final[Mapping[str, tuple[tuple[str, Peer], ...]]] = {
    "mcap": (("rosbags", _rosbags), ("mcap, unindexed", _mcap_unindexed)),
    "ros2": (("sqlite3", _sqlite), ("apsw", _apsw)),
    "csv": (("pyarrow", _pyarrow_csv),),
    "gpx": (("ElementTree", _element_tree),),
    "json_points": (("ijson", _ijson),),
    "gpmf": (("PyAV and a walk through the items", walked_telemetry),),
}
"""Further libraries that read the format; the fastest is the second yardstick."""
DECODED: Final[Mapping[str, tuple[str, Peer]]] = {
    "mcap": ("mcap + mcap-ros2-support", _mcap_decoded),
    "ros1": ("rosbags", _rosbags_decoded),
    "ros2": ("rosbags", _rosbags_decoded),
    "csv": ("csv and float", _csv_numbers),
    "json_points": ("json, fromisoformat and float", _json_decoded),
}
"""Decoding every message; formats that carry CAN frames are decoded by cantools (`worker.library_decode`)."""
FLOORS: Final[Mapping[str, tuple[str, Peer]]] = {"json_points": ("json and pyarrow", _json_columns)}
"""The same columns by the shortest way, without a look at what could be wrong: no reader built on the usual library can
do with less."""
