"""Zstandard with bounds: whole files into a temporary one, single messages in memory.

Here belongs the arithmetic that keeps a hostile file from filling disk or memory.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO, Final

MAGIC: Final = b"\x28\xb5\x2f\xfd"
FREE_BYTES: Final = 1 << 29
LARGEST_RATIO: Final = 256
"""A file may grow by this factor when decompressed, and by half a gigabyte beyond; more is an attack."""
MAX_MESSAGE_BYTES: Final = 1 << 28
_PIECE_BYTES: Final = 1 << 20
_FEED_BYTES: Final = 1 << 12
_MAX_WINDOW_BYTES: Final = 1 << 27


def is_zstd(head: bytes) -> bool:
    """Whether a file begins as a Zstandard frame does."""
    return head.startswith(MAGIC)


class InflatedFile:
    """A file decompressed into a temporary one, as far as it goes.

    Attributes:
        path: The temporary file; it is gone after ``close``.
        problem: Why it is not whole; empty otherwise.
        lost_bytes: Compressed bytes that could not be used.

    Args:
        source: The compressed file.
    """

    def __init__(self, source: Path) -> None:
        import zstandard

        self.problem, self.lost_bytes = "", 0
        self._target = NamedTemporaryFile(prefix="inflated-", suffix=".part")  # noqa: SIM115 - lives until close
        self.path = Path(self._target.name)
        self._written = 0
        size = source.stat().st_size
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        with source.open("rb") as stream:
            try:
                self._inflate(stream, decompressor, FREE_BYTES + LARGEST_RATIO * size)
            except zstandard.ZstdError as error:
                self.problem = f"{error} after {self._written} decompressed bytes"
            if self.problem:
                self.lost_bytes = max(1, size - stream.tell())
        self._target.flush()

    def _inflate(self, stream: BinaryIO, decompressor: Any, most: int) -> None:
        """Decompress frame after frame in pieces small enough that none can grow beyond bounds at once."""
        frame = decompressor.decompressobj()
        while piece := stream.read(_FEED_BYTES):
            while piece:
                if frame.eof:
                    frame = decompressor.decompressobj()
                self._written += self._target.write(frame.decompress(piece))
                piece = frame.unused_data if frame.eof else b""
            if self._written > most:
                self.problem = f"more than {most} bytes when decompressed"
                return
        if not frame.eof:
            self.problem = f"the file ends within a frame, after {self._written} decompressed bytes"

    def close(self) -> None:
        """Remove the temporary file."""
        self._target.close()


class MessageInflater:
    """Decompresses single messages; what they may grow to together is bounded too."""

    def __init__(self) -> None:
        import zstandard

        self._zstd: Any = zstandard
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        self._budget = FREE_BYTES

    def inflated(self, times: Sequence[int], payloads: Sequence[bytes]) -> tuple[list[int], list[bytes]]:
        """Decompress messages; those that are damaged or too large are left out with their times."""
        found = [
            (t_ns, whole)
            for t_ns, part in zip(times, payloads, strict=True)
            if (whole := self.inflate(part)) is not None
        ]
        return [t_ns for t_ns, _ in found], [whole for _, whole in found]

    def inflate(self, payload: bytes) -> bytes | None:
        """Decompress one message; None when it is damaged or too large."""
        self._budget += LARGEST_RATIO * len(payload)
        most = min(self._budget, MAX_MESSAGE_BYTES)
        try:
            stated = self._zstd.frame_content_size(payload)
            if stated > most:
                return None
            if stated >= 0:
                found: bytes = self._decompressor.decompress(payload)
            else:
                found = self._unstated(payload, most)
        except self._zstd.ZstdError:
            return None
        self._budget -= len(found)
        return found if len(found) <= most else None

    def _unstated(self, payload: bytes, most: int) -> bytes:
        parts, held = [], 0
        with self._decompressor.stream_reader(payload) as reader:
            while held <= most and (piece := reader.read(_PIECE_BYTES)):
                parts.append(piece)
                held += len(piece)
        return b"".join(parts)
