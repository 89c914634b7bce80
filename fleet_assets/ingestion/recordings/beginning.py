"""The first stretch of a recording behind the same protocol, for questions that its beginning answers."""

from collections.abc import Collection, Iterator

from fleet_assets.ingestion.recordings.protocol import Batch, Channel, Recording, Summary


class Beginning:
    """A recording that ends early; it reads no further than that.

    Args:
        recording: The whole recording.
        span_ns: Time after its first message that still belongs to the beginning, up to the end of that window.
    """

    def __init__(self, recording: Recording, span_ns: int) -> None:
        self._recording, self._span_ns = recording, span_ns
        self.format, self.clock = recording.format, recording.clock
        self.container_start_ns = recording.container_start_ns

    def channels(self) -> tuple[Channel, ...]:
        """Channels of the whole recording."""
        return self._recording.channels()

    def extent_ns(self) -> tuple[int, int]:
        """Extent of the whole recording."""
        return self._recording.extent_ns()

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield the messages of the beginning; see the protocol."""
        first_ns: int | None = None
        for batch in self._recording.batches(wanted):
            low_ns = int(batch.t_ns.min())
            first_ns = low_ns if first_ns is None else min(first_ns, low_ns)
            if low_ns - first_ns > self._span_ns:
                return
            yield batch

    def summary(self) -> Summary:
        """What the pass read so far."""
        return self._recording.summary()

    def close(self) -> None:
        """Release files."""
        self._recording.close()
