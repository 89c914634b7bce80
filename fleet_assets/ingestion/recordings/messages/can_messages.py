"""Message types that carry one CAN frame each: the table of them, and their messages as columns of a ``can`` channel.

Here belong standards (types that drivers of several makers share), never a vehicle's own names. Frames that report an
error and remote requests are no data frames: they are not usable, and readers count them as such.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.ros_decoding import PlannedDecoder
from fleet_assets.ingestion.recordings.windows import Columns

_HIGHEST_STANDARD: Final = 0x7FF
_HIGHEST_EXTENDED: Final = 0x1FFFFFFF
FIELDS: Final = ("bus", "can_id", "is_extended", "length", "data")


@dataclass(frozen=True, slots=True)
class CanFrameType:
    """How a message type names the parts of a frame.

    Attributes:
        can_id: Field of the identifier, without flags.
        is_extended: Field that tells identifiers of 29 bits.
        length: Field of the number of bytes.
        data: Field of the bytes.
        not_data: Fields that tell frames without data (remote requests, error reports).
        width: Bytes that a frame holds at most.
    """

    can_id: str
    is_extended: str
    length: str
    data: str
    not_data: tuple[str, ...]
    width: int


CAN_FRAME_TYPES: Final[Mapping[str, CanFrameType]] = {
    # https://github.com/ros-industrial/ros_canopen, https://github.com/autowarefoundation/ros2_socketcan
    "can_msgs/msg/Frame": CanFrameType("id", "is_extended", "dlc", "data", ("is_rtr", "is_error"), 8),
    "ros2_socketcan_msgs/msg/FdFrame": CanFrameType("id", "is_extended", "len", "data", ("is_error",), 64),
}


class CanMessageDecoder:
    """Decodes messages of one CAN frame each; the bus is 0, since these types do not name it.

    Args:
        frame_type: Where the parts of the frame are.
        decoder: Decoder of the message's fields.
    """

    kind: Final = "can"
    fields: Final = FIELDS
    problem: Final = ""

    def __init__(self, frame_type: CanFrameType, decoder: PlannedDecoder) -> None:
        self._type, self._decoder = frame_type, decoder
        self.expects = f"{decoder.expects}, a data frame with an identifier of 11 or 29 bits and its bytes"

    def columns(self, payloads: Sequence[bytes | memoryview]) -> tuple[Columns, NDArray[np.bool_]]:
        """Decode messages; see ``message_decoders.MessageDecoder``."""
        found, usable = self._decoder.columns(payloads)
        part = self._type
        is_extended = found[part.is_extended]
        highest = np.where(is_extended, _HIGHEST_EXTENDED, _HIGHEST_STANDARD)
        length = found[part.length]
        fits = (found[part.can_id] <= highest) & (length <= part.width)
        for name in part.not_data:
            fits &= ~found[name]
        usable[usable] = fits
        length = length[fits].astype(np.uint8)
        # What drivers leave behind a short frame's bytes is no part of it.
        inside = np.arange(part.width) < length[:, None]
        return {
            "bus": np.zeros(len(length), np.uint16),
            "can_id": found[part.can_id][fits].astype(np.uint32),
            "is_extended": is_extended[fits],
            "length": length,
            "data": np.where(inside, found[part.data][fits], 0).astype(np.uint8),
        }, usable


def is_frame(frame_type: CanFrameType, columns: Mapping[str, NDArray[np.generic]]) -> bool:
    """Whether a type of a known name really has the parts of a frame, by columns without rows."""
    wanted = {frame_type.can_id, frame_type.is_extended, frame_type.length, frame_type.data, *frame_type.not_data}
    if not wanted <= columns.keys():
        return False
    flags = all(columns[name].dtype == bool for name in (frame_type.is_extended, *frame_type.not_data))
    scalars = (columns[frame_type.can_id], columns[frame_type.length])
    numbers = all(column.dtype.kind in "ui" and column.ndim == 1 for column in scalars)
    return flags and numbers and columns[frame_type.data].shape[1:] == (frame_type.width,)
