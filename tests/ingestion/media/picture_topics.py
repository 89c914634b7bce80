"""Bags with a topic of pictures, written by rosbags, for tests of media."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_typestore

TOPIC = "/camera/front"
START_NS = 1_714_550_400 * 1_000_000_000
STEP_NS = 100_000_000
CAPTURE_NS = 30_000_000
"""How long before its arrival a picture was taken."""
STORE = get_typestore(Stores.ROS2_HUMBLE)


def scene(number: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """A smooth red, green, blue picture that moves."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * 3 + number * 8) % 256, (y * 5) % 256, np.full_like(x, number * 9 % 256)]
    return np.stack(planes, axis=2).astype(np.uint8)


def jpeg_file(number: int, comment: str = "secret") -> bytes:
    """The scene as a JPEG with a comment."""
    sink = io.BytesIO()
    Image.fromarray(scene(number)).save(sink, "JPEG", quality=90, comment=comment.encode())
    return sink.getvalue()


def write_pictures(folder: Path, pictures: Sequence[bytes], form: str = "jpeg") -> dict[str, Path]:
    """Write compressed pictures into a ROS 2 bag, ten per second."""
    kinds: Any = STORE.types
    writer = Ros2Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
    name = "sensor_msgs/msg/CompressedImage"
    with writer:
        connection = writer.add_connection(TOPIC, name, typestore=STORE)
        for number, data in enumerate(pictures):
            t_ns = START_NS + number * STEP_NS
            capture = t_ns - CAPTURE_NS
            stamp = kinds["builtin_interfaces/msg/Time"](sec=capture // 10**9, nanosec=capture % 10**9)
            message = kinds[name](
                header=kinds["std_msgs/msg/Header"](stamp=stamp, frame_id="front"),
                format=form,
                data=np.frombuffer(data, np.uint8),
            )
            writer.write(connection, t_ns, bytes(STORE.serialize_cdr(message, name)))
    return {path.name: path for path in sorted(folder.iterdir())}
