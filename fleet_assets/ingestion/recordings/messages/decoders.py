"""Turning the raw messages of one channel into columns: the decoders that containers of typed messages share.

Here belong the decoder's interface, and the choice of a decoder by encoding.
Each encoding's work is in a module of its own (``ros_messages``, ``protobuf_decoding``, ``json_decoding``); where the
messages lie in a file is the container reader's business.

Columns, whatever the encoding: fields of nested messages get dotted names (``linear_acceleration.x``), numeric arrays
of fixed size are 2-D, time stamps and durations are int64 nanoseconds, strings give no column, byte blobs and arrays of
variable size give ``<name>.length`` (uint32). Messages that carry a CAN frame have the columns of a ``can`` channel.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.json_decoding import json_decoder
from fleet_assets.ingestion.recordings.messages.opaque import OpaqueDecoder
from fleet_assets.ingestion.recordings.messages.protobuf_decoding import protobuf_decoder
from fleet_assets.ingestion.recordings.messages.ros_messages import ros_decoder
from fleet_assets.ingestion.recordings.windows import Columns

ENCODINGS: Final = ("ros1", "cdr", "protobuf", "json")
Payloads = Sequence[bytes | memoryview]


class MessageDecoder(Protocol):
    """Decodes the messages of one channel.

    Attributes:
        kind: ``can``, ``fields`` or ``opaque``, as in ``protocol.Channel``.
        fields: Column names of its batches.
        problem: Why it cannot decode, with a remedy; empty unless the kind is ``opaque``.
        expects: What a payload must be to be usable, in words for a ``Loss``.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def fields(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def problem(self) -> str: ...  # noqa: D102
    @property
    def expects(self) -> str: ...  # noqa: D102

    def columns(self, payloads: Payloads) -> tuple[Columns, NDArray[np.bool_]]:
        """Decode messages; never raises because of what a payload holds.

        Args:
            payloads: One channel's messages, in order. How they are cut into calls does not change the result.

        Returns:
            The columns of the usable messages (arrays of length ``usable.sum()``), and which of the payloads were
            usable, bool[n].
        """
        ...


def message_decoder(
    encoding: str, type_name: str, definition_encoding: str, definition: bytes, sample: bytes | memoryview | None = None
) -> MessageDecoder:
    """Find the decoder of a channel's messages.

    Args:
        encoding: ``ros1``, ``cdr``, ``protobuf`` or ``json``.
        type_name: As the recording names it: ``sensor_msgs/Imu``, ``sensor_msgs/msg/Imu``, ``foxglove.PoseInFrame``.
        definition_encoding: ``ros1msg``, ``ros2msg``, ``ros2idl``, ``protobuf``, ``jsonschema``, or empty.
        definition: The type's definition from the recording; empty where it carries none.
        sample: The channel's first message. Only ``json`` without a schema needs it: its fields are the columns.

    Returns:
        A decoder; an opaque one whose ``problem`` says what was looked for and what to do when the encoding is unknown,
        or the definition is missing, damaged or nothing that numbers could be read from.
    """
    if encoding in ("ros1", "cdr"):
        return ros_decoder(encoding, type_name, definition_encoding, definition)
    if encoding == "protobuf":
        return protobuf_decoder(type_name, definition_encoding, definition)
    if encoding == "json":
        return json_decoder(type_name, definition_encoding, definition, sample)
    return OpaqueDecoder(
        f"{type_name or 'messages'}: encoding {encoding!r} is not known, only {', '.join(ENCODINGS)}. Record in one of "
        "these, or convert the recording; until then the messages are kept but not decoded."
    )
