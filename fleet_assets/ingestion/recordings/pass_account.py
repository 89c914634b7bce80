"""What one pass over a recording gave out, by channel: every reader counts the batches that leave it.

Here belongs the count of what was read. What was lost is each format's own business.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from fleet_assets.ingestion.recordings.protocol import Batch, ChannelSummary


class PassAccount:
    """Messages and first and last time stamp per channel."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._spans: dict[str, tuple[int, int]] = {}

    def reset(self) -> None:
        """Begin a new pass."""
        self._counts.clear()
        self._spans.clear()

    def watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Count what goes out."""
        for batch in batches:
            low, high = int(batch.t_ns.min()), int(batch.t_ns.max())
            first, last = self._spans.get(batch.channel, (low, high))
            self._spans[batch.channel] = (min(first, low), max(last, high))
            self._counts[batch.channel] += len(batch)
            yield batch

    def summaries(self, names: Iterable[str]) -> dict[str, ChannelSummary]:
        """Counts and spans of the pass so far, for each of these channels."""
        return {name: ChannelSummary(self._counts[name], *self._spans.get(name, (None, None))) for name in names}
