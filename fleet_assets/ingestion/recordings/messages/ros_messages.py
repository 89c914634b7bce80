"""The decoder of a channel of ROS 1 or ROS 2 messages, from its type and what the recording says of it.

Here belongs the way from a type's name to a decoder. Definitions, layout and reading are in modules of their own.
"""

from typing import Final

from fleet_assets.ingestion.recordings.messages.can_messages import CAN_FRAME_TYPES, CanMessageDecoder, is_frame
from fleet_assets.ingestion.recordings.messages.opaque import OpaqueDecoder
from fleet_assets.ingestion.recordings.messages.ros_decoding import PlannedDecoder
from fleet_assets.ingestion.recordings.messages.ros_definitions import TypeLibrary, full_name
from fleet_assets.ingestion.recordings.messages.ros_plan import PlanCompiler
from fleet_assets.ingestion.recordings.messages.ros_types import RosDefinitionError

_KNOWN: Final = ("ros1msg", "ros2msg", "ros2idl", "")


def ros_decoder(
    encoding: str, type_name: str, definition_encoding: str, definition: bytes
) -> PlannedDecoder | CanMessageDecoder | OpaqueDecoder:
    """Find the decoder of ROS messages.

    Args:
        encoding: ``ros1`` or ``cdr``.
        type_name: Type as the recording names it.
        definition_encoding: ``ros1msg``, ``ros2msg``, ``ros2idl`` or empty.
        definition: Definition from the recording; empty where it has none.
    """
    name = full_name(type_name)
    if definition_encoding not in _KNOWN:
        return OpaqueDecoder(
            f"{type_name}: definitions of encoding {definition_encoding!r} do not go with {encoding} messages; "
            f"{', '.join(_KNOWN[:3])} do. Write the recording anew with one of these."
        )
    try:
        return _decoder(TypeLibrary(encoding, name, definition_encoding, definition), name, is_cdr=encoding == "cdr")
    except RosDefinitionError as error:
        return OpaqueDecoder(f"{type_name}: {error}.")


def _decoder(library: TypeLibrary, name: str, *, is_cdr: bool) -> PlannedDecoder | CanMessageDecoder:
    frame_type = CAN_FRAME_TYPES.get(name)
    if frame_type is not None:
        captures = {frame_type.data: frame_type.width}
        compiler = PlanCompiler(library, is_cdr=is_cdr, captures=captures)
        frames = PlannedDecoder(compiler.compile(name), tuple(compiler.columns), is_cdr=is_cdr, type_name=name)
        if is_frame(frame_type, frames.columns(())[0]):
            return CanMessageDecoder(frame_type, frames)
    compiler = PlanCompiler(library, is_cdr=is_cdr, captures={})
    return PlannedDecoder(compiler.compile(name), tuple(compiler.columns), is_cdr=is_cdr, type_name=name)
