"""The generated CAN database and the encoder of its frames, against cantools."""

import cantools
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fleet_simulator.sensors.can_database import MESSAGES, CanMessage, dbc_text

DATABASE = cantools.database.load_string(dbc_text(), "dbc")


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_every_message_stands_in_the_database_as_it_is_encoded(message: CanMessage) -> None:
    known = DATABASE.get_message_by_name(message.name)
    assert (known.frame_id, known.length) == (message.can_id, message.length)
    assert {signal.name for signal in known.signals} == {signal.name for signal in message.signals}


@given(data=st.data(), message=st.sampled_from(MESSAGES))
def test_bytes_are_those_that_cantools_writes(data: st.DataObject, message: CanMessage) -> None:
    raw = {
        signal.name: data.draw(st.integers(*signal.raw_range), label=signal.name)
        for signal in message.signals
        if not signal.words
    }
    values = {signal.name: raw[signal.name] * signal.scale for signal in message.signals if signal.name in raw}
    others = {signal.name: 2 for signal in message.signals if signal.words}
    expected = DATABASE.encode_message(message.name, {**values, **others}, strict=False)
    encoded = message.encode(1, {name: np.array([value]) for name, value in {**values, **others}.items()})
    assert bytes(encoded[0, : message.length]) == expected
    assert not encoded[0, message.length :].any()


def test_values_beyond_a_signal_stop_at_its_end() -> None:
    message = next(message for message in MESSAGES if message.name == "STEERING")
    encoded = message.encode(2, {"STEER_ANGLE": np.array([1e6, -1e6])})
    decoded = [DATABASE.decode_message("STEERING", bytes(row[: message.length]))["STEER_ANGLE"] for row in encoded]
    assert decoded == pytest.approx([3276.7, -3276.8])
