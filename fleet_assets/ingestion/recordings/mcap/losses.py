"""What a person is told of an MCAP file that could not be read whole.

Here belongs how damage becomes losses whose messages add up with those that were read: the statistics at the file's end
count every message, the message indexes those of a chunk. Damage itself is found by ``walk.py``.
"""

from collections.abc import Mapping
from typing import Final

from fleet_assets.ingestion.recordings.mcap.layout import Layout
from fleet_assets.ingestion.recordings.mcap.walk import ODD_RECORD, Walker
from fleet_assets.ingestion.recordings.protocol import Loss

UPLOAD_AGAIN: Final = "Upload the file again; if the source is damaged too, what could be read is used."


def file_losses(name: str, layout: Layout, walker: Walker, channels: Mapping[int, str]) -> list[Loss]:
    """Losses of one pass over one file.

    Bytes are told by the rule that they break, messages by channel.

    Args:
        name: The file's name.
        layout: Its layout.
        walker: The pass, finished.
        channels: Wanted channels' names by number.
    """
    damages = walker.damages
    if not walker.finished and layout.problem and "truncated_file" not in damages.rules:
        damages.add("truncated_file", layout.data_end, 0, "the recorder did not finish the file; its end is missing")
    if walker.trailing_bytes:
        damages.add(
            "trailing_bytes", layout.data_end - walker.trailing_bytes, walker.trailing_bytes, "after the footer"
        )
    countable = layout.stated or not damages.uncounted
    losses = []
    for rule, stretches in damages.rules.items():
        if rule == ODD_RECORD and layout.stated:
            # Extensions of the format are no damage; had they been messages, these would be missing below.
            continue
        reason = (
            f"{name}: {rule}: {stretches.lost_bytes} bytes in {stretches.number} places, "
            f"first at byte {stretches.first_at}: {stretches.words}. {UPLOAD_AGAIN}"
        )
        losses.append(Loss(name, stretches.lost_bytes, 0 if countable else None, reason, rule))
    losses += _lost_messages(name, layout, walker, channels)
    if damages.unknown:
        messages = sum(count for count, _ in damages.unknown.values())
        size = sum(size for _, size in damages.unknown.values())
        numbers = ", ".join(map(str, sorted(damages.unknown)[:10]))
        reason = (
            f"{name}: unknown_channel: no record describes channel {numbers} of {messages} messages. {UPLOAD_AGAIN}"
        )
        # Where the statistics count, these messages are among those missing in their channels.
        losses.append(Loss(name, size, 0 if layout.stated else messages, reason, "unknown_channel"))
    return losses


def _lost_messages(name: str, layout: Layout, walker: Walker, channels: Mapping[int, str]) -> list[Loss]:
    losses = []
    rules = walker.damages.rules
    rule = max(rules, key=lambda name: rules[name].lost_bytes, default="missing_messages")
    for number, channel in channels.items():
        taken, stated = walker.taken(number), layout.counts.get(number, 0)
        lost = stated - taken if layout.stated else walker.damages.lost[number]
        if lost > 0:
            reason = f"{name}: {rule}: {lost} messages of {channel} are lost, {taken} are there. {UPLOAD_AGAIN}"
            losses.append(Loss(name, 0, lost, reason, rule, channel))
        elif layout.stated and taken > stated:
            reason = f"{name}: more_than_stated: {taken} messages of {channel} where the file states {stated}"
            losses.append(Loss(name, 0, 0, reason, "more_than_stated", channel))
    return losses


class Unusable:
    """Messages that were found and cannot be used, by channel and rule."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[int, int, str]] = {}

    def add(self, channel: str, rule: str, messages: int, size: int, words: str) -> None:
        """Count messages; none does nothing."""
        if messages:
            before, bytes_before, _ = self._found.get((channel, rule), (0, 0, ""))
            self._found[channel, rule] = (before + messages, bytes_before + size, words)

    def losses(self, name: str) -> list[Loss]:
        """What a file lost that way."""
        return [
            Loss(name, size, messages, f"{name}: {rule}: {messages} messages of {channel} {words}", rule, channel)
            for (channel, rule), (messages, size, words) in self._found.items()
        ]
