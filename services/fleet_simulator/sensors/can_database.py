"""The simulated vehicle's CAN messages: what is in them, as text of a DBC file and as bytes.

Here belongs the layout. The values come from `can.py` and `radar.py`. All signals are little endian and a message is
at most 8 bytes, so that a message is one whole number; encoding a table of them takes a few operations. The tests hold
the bytes against `cantools` with the text below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FILE_NAME: Final = "sim_car.dbc"
"""Name by which the vehicle spec finds it."""
RADAR_SLOTS: Final = 16
RADAR_PREFIX: Final = "RADAR_TRACK_"


@dataclass(frozen=True, slots=True)
class CanSignal:
    """A number in a message: physical = raw * scale.

    Attributes:
        name: Name.
        start: First bit.
        bits: Length.
        scale: Physical value of one step.
        unit: Physical unit.
        signed: Whether it may be negative.
        words: What its values mean.
    """

    name: str
    start: int
    bits: int
    scale: float = 1.0
    unit: str = ""
    signed: bool = False
    words: tuple[str, ...] = ()

    @property
    def raw_range(self) -> tuple[int, int]:
        """Lowest and highest raw value."""
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class CanMessage:
    """A message with an identifier of 11 bits."""

    name: str
    can_id: int
    length: int
    sender: str
    signals: tuple[CanSignal, ...]

    def encode(self, count: int, values: Mapping[str, Any]) -> NDArray[np.uint8]:
        """Encode messages; values beyond a signal's range stop at its end, as they do in a control unit.

        Args:
            count: How many.
            values: Physical values [n] by signal; signals left out are zero.

        Returns:
            uint8[n, 8]; bytes behind the message's length are zero.
        """
        word = np.zeros(count, np.uint64)
        for signal in self.signals:
            if signal.name in values:
                raw = np.clip(np.rint(np.asarray(values[signal.name]) / signal.scale), *signal.raw_range)
                mask = np.uint64((1 << signal.bits) - 1)
                word |= (raw.astype(np.int64).astype(np.uint64) & mask) << np.uint64(signal.start)
        return word.astype("<u8").view(np.uint8).reshape(count, 8)


def _wheel(name: str, start: int) -> CanSignal:
    return CanSignal(f"WHEEL_SPEED_{name}", start, 16, 0.01, "km/h")


WHEEL_SPEEDS: Final = CanMessage(
    "WHEEL_SPEEDS", 0x0AA, 8, "ESC", (_wheel("FL", 0), _wheel("FR", 16), _wheel("RL", 32), _wheel("RR", 48))
)
VEHICLE_MOTION: Final = CanMessage(
    "VEHICLE_MOTION",
    0x0B4,
    5,
    "ESC",
    (
        CanSignal("VEHICLE_SPEED", 0, 16, 0.01, "km/h"),
        CanSignal("YAW_RATE", 16, 16, 0.01, "deg/s", signed=True),
        CanSignal("MOTION_COUNTER", 32, 4),
    ),
)
STEERING: Final = CanMessage(
    "STEERING", 0x025, 3, "EPS", (CanSignal("STEER_ANGLE", 0, 16, 0.1, "deg", signed=True), CanSignal("COUNTER", 16, 4))
)
PEDALS: Final = CanMessage(
    "PEDALS",
    0x224,
    3,
    "ESC",
    (
        CanSignal("BRAKE_PRESSED", 0, 1),
        CanSignal("BRAKE_POSITION", 8, 8, 0.4, "%"),
        CanSignal("ACCELERATOR_POSITION", 16, 8, 0.4, "%"),
    ),
)
ADAS: Final = CanMessage(
    "ADAS",
    0x1D2,
    2,
    "ADAS",
    (
        CanSignal("ADAS_ENGAGED", 0, 1),
        CanSignal("ADAS_STATE", 1, 3, words=("OFF", "READY", "ENGAGED", "OVERRIDDEN", "TAKEOVER")),
        CanSignal("TAKEOVER_REQUEST", 4, 1),
    ),
)
RADAR_TRACKS: Final = tuple(
    CanMessage(
        f"{RADAR_PREFIX}{slot}",
        0x210 + slot,
        6,
        "RADAR",
        (
            CanSignal("VALID", 0, 1),
            CanSignal("LONG_DIST", 1, 13, 0.04, "m"),
            CanSignal("LAT_DIST", 14, 11, 0.04, "m", signed=True),
            CanSignal("REL_SPEED", 25, 13, 0.025, "m/s", signed=True),
            CanSignal("TRACK_AGE", 38, 8),
        ),
    )
    for slot in range(RADAR_SLOTS)
)
MESSAGES: Final = (STEERING, WHEEL_SPEEDS, VEHICLE_MOTION, ADAS, PEDALS, *RADAR_TRACKS)


def dbc_text() -> str:
    """The database in Vector's DBC format."""
    nodes = dict.fromkeys(message.sender for message in MESSAGES)
    lines = ['VERSION ""', "", "NS_ :", "", "BS_:", "", f"BU_: {' '.join(nodes)} RECORDER", ""]
    for message in MESSAGES:
        lines.append(f"BO_ {message.can_id} {message.name}: {message.length} {message.sender}")
        lines += [_signal_line(signal) for signal in message.signals]
        lines.append("")
    for message in MESSAGES:
        for signal in message.signals:
            if signal.words:
                words = " ".join(f'{value} "{word}"' for value, word in enumerate(signal.words))
                lines.append(f"VAL_ {message.can_id} {signal.name} {words} ;")
    return "\n".join(lines) + "\n"


def _signal_line(signal: CanSignal) -> str:
    sign = "-" if signal.signed else "+"
    low, high = (f"{raw * signal.scale:.10g}" for raw in signal.raw_range)
    return (
        f" SG_ {signal.name} : {signal.start}|{signal.bits}@1{sign} ({signal.scale:.10g},0) [{low}|{high}] "
        f'"{signal.unit}" RECORDER'
    )
